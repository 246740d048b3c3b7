//! The store on a real CQL server. Leaves no keyspace behind, unless a test fails.
//! `CQL_CONTACT_POINT=… cargo test -p millrace-scylla-store --test real_server -- --include-ignored`

#![allow(clippy::unwrap_used)]

mod chunks;

use std::time::{SystemTime, UNIX_EPOCH};

use millrace_placement::PartitionIndex;
use millrace_runtime::store::SnapshotStore;
use millrace_runtime::store_suite;
use millrace_scylla_store::{Credentials, Replication, ScyllaConfig, ScyllaStore};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

fn contact_point() -> String {
    std::env::var("CQL_CONTACT_POINT").expect(
        "CQL_CONTACT_POINT must name a CQL server, such as 127.0.0.1:9042 (start ScyllaDB or Cassandra; the tests make \
         keyspaces of their own and drop them)",
    )
}

/// Settings with a keyspace that nobody else uses.
fn config(purpose: &str) -> ScyllaConfig {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let mut config = ScyllaConfig::new(vec![contact_point()], format!("test_{purpose}_{now}"));
    config.replication = Replication::EachDatacenter(1);
    config
}

async fn session() -> Session {
    SessionBuilder::new().known_node(contact_point()).build().await.unwrap()
}

async fn drop_keyspace(config: &ScyllaConfig) {
    session().await.query_unpaged(format!("DROP KEYSPACE {}", config.keyspace), &[]).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a CQL server"]
async fn keeps_what_every_store_must_keep() {
    let config = config("suite");
    let store = ScyllaStore::connect(config.clone()).await.unwrap();
    store.create_schema().await.unwrap();
    store_suite::all(&store).await;
    drop_keyspace(&config).await;
}

#[tokio::test]
#[ignore = "needs a CQL server"]
async fn the_schema_is_created_once_and_its_absence_is_explained() {
    let config = config("schema");
    let store = ScyllaStore::connect(config.clone()).await.unwrap();
    let error = store.load_checkpoint(PartitionIndex(0)).await.unwrap_err();
    assert!(error.is_permanent, "{error}: {}", error.source);
    assert!(error.to_string().contains("millrace topics apply"), "{error}");
    store.create_schema().await.unwrap();
    assert_eq!(store.load_checkpoint(PartitionIndex(0)).await.unwrap(), None, "the same store goes on");
    store.create_schema().await.unwrap();
    drop_keyspace(&config).await;
}

/// The list of earlier releases has no column for attributes, and the index is missing.
#[tokio::test]
#[ignore = "needs a CQL server"]
async fn the_tables_of_an_earlier_release_get_what_is_new() {
    let config = config("earlier");
    let (session, keyspace) = (session().await, &config.keyspace);
    for statement in [
        format!(
            "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}}"
        ),
        format!(
            "CREATE TABLE {keyspace}.listing (workflow text, day int, shard tinyint, started_at timestamp, instance text, \
             version text, status text, updated_at timestamp, PRIMARY KEY ((workflow, day, shard), started_at, instance)) \
             WITH CLUSTERING ORDER BY (started_at DESC, instance DESC)"
        ),
    ] {
        session.query_unpaged(statement, &[]).await.unwrap();
    }
    let store = ScyllaStore::connect(config.clone()).await.unwrap();
    store.create_schema().await.unwrap();
    store.create_schema().await.unwrap();
    store_suite::instances_are_found_by_their_attributes(&store).await;
    drop_keyspace(&config).await;
}

#[tokio::test]
#[ignore = "needs a CQL server"]
async fn wrong_settings_are_permanent_and_an_absent_server_is_not() {
    let mut wrong = config("settings");
    wrong.keyspace = "Drop; it".to_owned();
    assert!(ScyllaStore::connect(wrong).await.unwrap_err().is_permanent);

    let mut elsewhere = config("settings");
    elsewhere.datacenter = Some("nowhere".to_owned());
    let error = ScyllaStore::connect(elsewhere).await.unwrap_err();
    assert!(error.is_permanent && error.source.to_string().contains("nowhere"), "{error}: {}", error.source);

    let nobody = ScyllaConfig::new(vec!["127.0.0.1:1".to_owned()], "millrace");
    let error = ScyllaStore::connect(nobody).await.unwrap_err();
    assert!(!error.is_permanent, "{error}: {}", error.source);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");

    // Without authentication the server takes any user; this only shows that giving one is no mistake.
    let mut named = config("settings");
    named.credentials = Some(Credentials { user: "ada".to_owned(), password: "secret".to_owned() });
    ScyllaStore::connect(named).await.unwrap();
}
