//! The snapshot store.

use clap::Args;
use millrace_scylla_store::{Consistency, Replication, ScyllaConfig, ScyllaStore};

use crate::config::Global;
use crate::exit::Failure;

/// How the store keeps what it is given.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Snapshot store")]
pub(crate) struct StoreSettings {
    /// Copies of each row, if the keyspace has yet to be created: a number, or JSON such as {"dc1": 3, "dc2": 3}
    #[arg(long, default_value = "3", env = "MILLRACE_CQL_REPLICATION")]
    replication: Replication,

    /// How many copies have to answer: LOCAL_QUORUM or QUORUM
    #[arg(long, default_value = "LOCAL_QUORUM", env = "MILLRACE_CQL_CONSISTENCY")]
    consistency: Consistency,
}

/// Connects, for reading.
pub(crate) async fn store(global: &Global) -> anyhow::Result<ScyllaStore> {
    connect(config(global)?).await
}

/// Connects, for writing.
pub(crate) async fn store_with(global: &Global, settings: &StoreSettings) -> anyhow::Result<ScyllaStore> {
    connect(ScyllaConfig {
        replication: settings.replication.clone(),
        consistency: settings.consistency,
        ..config(global)?
    })
    .await
}

/// Creates the keyspace and the tables, so far as they are missing.
pub(crate) async fn create_store(global: &Global, settings: &StoreSettings) -> anyhow::Result<()> {
    let store = store_with(global, settings).await?;
    store.create_schema().await.map_err(|error| {
        let fix = "let somebody do it who may create keyspaces, or leave the store alone with --no-store";
        let passes = !error.is_permanent;
        let what = format!("cannot create the tables of keyspace {}", global.keyspace());
        Failure { passes, ..Failure::new(what, fix).because(error) }.into()
    })
}

fn config(global: &Global) -> Result<ScyllaConfig, Failure> {
    Ok(ScyllaConfig {
        credentials: global.cql_credentials()?,
        tls: global.tls_to_cql()?,
        datacenter: global.cql_datacenter.clone(),
        ..ScyllaConfig::new(global.contact_points(), global.keyspace())
    })
}

async fn connect(config: ScyllaConfig) -> anyhow::Result<ScyllaStore> {
    let contact_points = config.contact_points.join(", ");
    ScyllaStore::connect(config).await.map_err(|error| {
        let fix = "check --cql, --cql-tls and its kin, --cql-login or --cql-user and MILLRACE_CQL_PASSWORD, and that a CQL server runs there";
        let what = format!("cannot connect to the snapshot store at {contact_points}");
        let passes = !error.is_permanent;
        Failure { passes, ..Failure::new(what, fix).because(error) }.into()
    })
}
