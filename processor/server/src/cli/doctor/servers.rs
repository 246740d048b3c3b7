//! Can the servers be reached?

use millrace_placement::PartitionIndex;
use millrace_runtime::store::SnapshotStore as _;
use millrace_scylla_store::ScyllaStore;

use super::{Check, chain};
use crate::clients::{self, Kafka};
use crate::config::Global;

pub(super) async fn kafka(global: &Global, kafka: &Kafka) -> Check {
    match kafka.describe_cluster().await {
        Ok(description) => Check::ok("kafka", description),
        Err(error) => Check::fail(
            "kafka",
            format!("{} does not answer: {}", global.bootstrap, chain(&error)),
            "check --bootstrap, and that the brokers run; TLS and SASL are set with --kafka-set",
        ),
    }
}

/// Nothing to check without one.
pub(super) async fn registry(global: &Global) -> Option<Check> {
    let url = global.registry.as_deref()?;
    Some(match clients::codec(global).await {
        Ok(_) => Check::ok("registry", format!("{url} has all schemas")),
        Err(error) => Check::fail("registry", chain(&error), "check --registry, and that the registry runs"),
    })
}

/// Without --cql a processor is asked, and not the store.
pub(super) async fn api(global: &Global) -> Check {
    let url = &global.api;
    match super::fleet::ready(global, url).await {
        Ok(text) => Check::ok("api", format!("{url} is {}", text.trim())),
        Err(error) => Check::fail(
            "api",
            format!("{url}: {}", chain(&error)),
            "say where a processor or `millrace dev` is with --api; with --cql the store is checked, and all owners",
        ),
    }
}

pub(super) async fn store(global: &Global) -> (Check, Option<ScyllaStore>) {
    let keyspace = global.keyspace();
    let store = match clients::store(global).await {
        Ok(store) => store,
        Err(error) => {
            let fix = "check --cql, and that a CQL server runs there; without it processors stop when their bounds are reached";
            return (Check::fail("store", chain(&error), fix), None);
        }
    };
    match store.load_checkpoint(PartitionIndex(0)).await {
        Ok(_) => (
            Check::ok("store", format!("{} has keyspace {keyspace}", global.contact_points().join(","))),
            Some(store),
        ),
        Err(error) => {
            let is_permanent = error.is_permanent;
            let fix = if is_permanent {
                "create the tables: millrace topics apply"
            } else {
                "check that enough replicas of the keyspace are up"
            };
            let error = anyhow::Error::new(error);
            (Check::fail("store", format!("keyspace {keyspace}: {}", chain(&error)), fix), None)
        }
    }
}
