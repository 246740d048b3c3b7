//! Connections to Kafka, to the snapshot store and to the schema registry, as the options say.

mod any_store;
mod api;
mod kafka;
mod patience;
mod shared_tail;
mod store;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_schemas::codec::{Codec, DecodeError};
use millrace_schemas::registry::{Registry, RegistryError, SubjectNames};
use millrace_schemas::{EventId, Timestamp};
use uuid::Uuid;

pub(crate) use any_store::AnyStore;
pub(crate) use api::{ApiClient, refusal};
pub(crate) use kafka::{Kafka, Record, Sent, SentEvent, Tail, TopicView};
pub(crate) use patience::Patience;
pub(crate) use shared_tail::{Interrupted, SharedTail, Subscription, Wants};
pub(crate) use store::{StoreSettings, create_store, store, store_with};

use crate::config::Global;
use crate::exit::Failure;
use crate::reading::Peers;

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
    now().plus(Duration::from_secs(60))
}

/// For the APIs of processors, as the options say.
pub(crate) fn http(global: &Global, timeout: Duration) -> anyhow::Result<reqwest::Client> {
    let mut roots = Vec::new();
    if let Some(file) = &global.api_ca {
        let wrong = || format!("cannot use the certificates in {}", file.display());
        let fix = "give a PEM file with --api-ca (MILLRACE_API_CA)";
        let pem = std::fs::read(file).map_err(|error| Failure::refused(wrong(), fix).because(error))?;
        let read = reqwest::Certificate::from_pem_bundle(&pem);
        roots = read.map_err(|error| Failure::refused(wrong(), fix).because(error))?;
    }
    // A redirect could carry the token elsewhere, and no processor sends one.
    let builder = || reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
    // A machine without certificates of authorities, such as a slim container, still speaks HTTP, and HTTPS with those that are given.
    let usual = builder().tls_certs_merge(roots.clone()).build();
    let client = usual.or_else(|_| builder().tls_certs_only(roots).build());
    client.map_err(|error| Failure::new("there is no HTTP client", "check --api-ca").because(error).into())
}

/// Shows the APIs of processors who asks. Never shown itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bearer(pub(crate) Arc<str>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}

/// The token for the API, if one is given.
pub(crate) fn api_token(global: &Global) -> anyhow::Result<Option<Bearer>> {
    let text = match &global.api_token_file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            let what = format!("cannot read the token in {}", file.display());
            Failure::refused(what, "check --api-token-file (MILLRACE_API_TOKEN_FILE)").because(error)
        })?,
        None => std::env::var("MILLRACE_API_TOKEN").unwrap_or_default(),
    };
    Ok(Some(text.trim()).filter(|it| !it.is_empty()).map(|it| Bearer(it.into())))
}

/// How the processors of the fleet are asked, in the name of whoever runs this.
pub(crate) fn peers(global: &Global) -> anyhow::Result<Peers> {
    /// A processor that does not answer is passed over for the store.
    const TIMEOUT: Duration = Duration::from_secs(6);
    Ok(Peers::new(http(global, TIMEOUT)?, api_token(global)?))
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
