//! Connections to Kafka, to the snapshot store and to the schema registry, as the options say.

mod api;
mod kafka;
mod patience;
mod store;

use std::time::{SystemTime, UNIX_EPOCH};

use millrace_schemas::codec::{Codec, DecodeError};
use millrace_schemas::registry::{Registry, RegistryError, SubjectNames};
use millrace_schemas::{EventId, Timestamp};
use uuid::Uuid;

pub(crate) use api::{ApiClient, refusal};
pub(crate) use kafka::{Kafka, Record, Sent, Tail, TopicView};
pub(crate) use patience::Patience;
pub(crate) use store::{StoreSettings, create_store, store, store_with};

use crate::config::Global;
use crate::exit::Failure;

/// CloudEvents `source` of what the command line sends.
pub(crate) const SOURCE: &str = "/millrace/cli";

/// A new name for an event.
pub(crate) fn event_id() -> EventId {
    EventId { source: SOURCE.to_owned(), id: Uuid::now_v7().to_string() }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// After all that has started: the clocks of the owners may be ahead of ours.
pub(crate) fn soon() -> Timestamp {
    now().plus(std::time::Duration::from_secs(60))
}

/// For HTTP and HTTPS. A machine without certificates of authorities, such as a slim container, still speaks the former.
pub(crate) fn http(timeout: std::time::Duration) -> reqwest::Result<reqwest::Client> {
    let builder = || reqwest::Client::builder().timeout(timeout);
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}

/// Reads and writes records: with the registry's schema ids if there is a registry.
pub(crate) async fn codec(global: &Global) -> anyhow::Result<Codec> {
    let Some(url) = &global.registry else { return Ok(Codec::single_object()) };
    let fix = "check --registry, and that the registry runs";
    let failed = |error| {
        let passes = matches!(error, RegistryError::Unreachable { .. });
        let failure = Failure::new(format!("cannot use the schema registry {url}"), fix).because(error);
        Failure { passes, ..failure }
    };
    let registry = Registry::new(url).map_err(failed)?;
    Ok(Codec::with_registry(&registry, &SubjectNames::default()).await.map_err(failed)?)
}

/// A record that is not what its topic carries.
pub(crate) fn undecodable(record: &Record, error: DecodeError) -> Failure {
    let fix = match &error {
        DecodeError::UnknownSchemaId(_) => {
            "it was written with a schema registry: give its address with --registry"
        }
        _ => "check which producer writes this topic, and that this release is not older than the processors",
    };
    let place = format!("{}/{} at offset {}", record.topic, record.partition, record.offset.0);
    Failure::new(format!("cannot read the record in {place}"), fix).because(error)
}
