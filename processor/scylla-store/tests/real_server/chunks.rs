//! Large snapshots: what other writers, crashes and people do to their chunks.

use std::time::Duration;

use bytes::Bytes;
use millrace_partition::{FlushId, FlushRequest, SnapshotRow, SnapshotWrite};
use millrace_runtime::store::SnapshotStore;
use millrace_schemas::{InstanceId, Stamp};
use millrace_scylla_store::{ScyllaConfig, ScyllaStore};
use scylla::client::session::Session;

use super::{config, drop_keyspace, session};

/// A keyspace, with a session beside the store.
struct World {
    config: ScyllaConfig,
    session: Session,
}

impl World {
    async fn new(purpose: &str) -> Self {
        let config = config(purpose);
        ScyllaStore::connect(config.clone()).await.unwrap().create_schema().await.unwrap();
        Self { config, session: session().await }
    }

    /// As another process has it: it remembers nothing.
    async fn store(&self) -> ScyllaStore {
        ScyllaStore::connect(self.config.clone()).await.unwrap()
    }

    /// Stamps of the chunks that are there, each once.
    async fn chunks(&self, name: &str) -> Vec<i64> {
        let statement = "SELECT stamp FROM KEYSPACE.snapshot_chunk WHERE instance = ? ALLOW FILTERING"
            .replace("KEYSPACE", &self.config.keyspace);
        let rows = self.session.query_unpaged(statement, (name,)).await.unwrap().into_rows_result().unwrap();
        let mut stamps: Vec<i64> = rows.rows::<(i64,)>().unwrap().map(|it| it.unwrap().0).collect();
        stamps.dedup();
        stamps
    }

    async fn execute(&self, statement: &str) {
        let statement = statement.replace("KEYSPACE", &self.config.keyspace);
        self.session.query_unpaged(statement, &[]).await.unwrap();
    }

    async fn end(self) {
        drop_keyspace(&self.config).await;
    }
}

fn id(name: &str) -> InstanceId {
    InstanceId::new(name).unwrap()
}

/// Megabytes that do not compress, another for each stamp.
fn large(stamp: i64) -> Bytes {
    let mut word = stamp.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word as u8
    };
    std::iter::repeat_with(next).take(2 << 20).collect()
}

fn request(name: &str, stamp: i64, value: impl Into<Bytes>) -> FlushRequest {
    let value = value.into();
    let write = SnapshotWrite { instance: id(name), stamp: Stamp(stamp), value, ttl: None, listing: None };
    FlushRequest { id: FlushId(1), snapshots: vec![write], timers: vec![], history: vec![] }
}

async fn write(store: &ScyllaStore, name: &str, stamp: i64, value: impl Into<Bytes>) {
    store.flush(&request(name, stamp, value)).await.unwrap();
}

async fn load(store: &ScyllaStore, name: &str) -> Option<SnapshotRow> {
    store.load_snapshot(&id(name)).await.unwrap()
}

#[tokio::test]
#[ignore = "needs a CQL server"]
async fn only_the_chunks_of_the_newest_row_stay() {
    let world = World::new("leftovers").await;
    let store = world.store().await;
    write(&store, "a", 1, large(1)).await;
    assert_eq!(world.chunks("a").await, [1]);
    write(&store, "a", 2, large(2)).await;
    assert_eq!(world.chunks("a").await, [2], "a large one removes older ones");
    // A zombie's chunks and row.
    write(&world.store().await, "a", 1, large(1)).await;
    assert_eq!(world.chunks("a").await, [2], "what comes late stays removed, and removes nothing newer");
    write(&store, "a", 3, "small").await;
    assert_eq!(world.chunks("a").await, [0; 0], "a small one removes them too");
    write(&world.store().await, "a", 2, large(2)).await;
    assert_eq!(world.chunks("a").await, [0; 0]);
    assert_eq!(load(&store, "a").await.unwrap().value, "small");
    world.end().await;
}

#[tokio::test]
#[ignore = "needs a CQL server"]
async fn the_next_owner_removes_what_the_last_one_left() {
    let world = World::new("owners").await;
    let store = world.store().await;
    write(&store, "a", 1, large(1)).await;
    let next = world.store().await;
    assert!(load(&next, "a").await.unwrap().value == large(1));
    write(&next, "a", 2, "small").await;
    assert_eq!(world.chunks("a").await, [0; 0], "it has seen that the row had chunks");

    // An owner that ended between its small row and the removal.
    write(&store, "b", 1, large(1)).await;
    let (sealed,) = world
        .session
        .query_unpaged(
            format!("SELECT value FROM {}.snapshot WHERE instance = 'a'", world.config.keyspace),
            &[],
        )
        .await
        .unwrap()
        .into_rows_result()
        .unwrap()
        .single_row::<(Bytes,)>()
        .unwrap();
    let statement = format!(
        "INSERT INTO {}.snapshot (instance, value) VALUES ('b', ?) USING TIMESTAMP 2",
        world.config.keyspace
    );
    world.session.query_unpaged(statement, (sealed,)).await.unwrap();
    let next = world.store().await;
    assert_eq!(load(&next, "b").await.unwrap(), SnapshotRow { stamp: Stamp(2), value: "small".into() });
    assert_eq!(world.chunks("b").await, [1]);
    // The same flush again, from the tail.
    write(&next, "b", 2, "small").await;
    assert_eq!(world.chunks("b").await, [0; 0], "the row tells that something may be left");
    world.end().await;
}

/// A row must not be visible before its chunks are: whoever ends in between would leave it damaged.
#[tokio::test]
#[ignore = "needs a CQL server"]
async fn a_flush_that_fails_at_its_chunks_leaves_the_row_and_is_repeated() {
    let world = World::new("failure").await;
    let store = world.store().await;
    write(&store, "a", 1, "small").await;
    world.execute("DROP TABLE KEYSPACE.snapshot_chunk").await;
    store.flush(&request("a", 2, large(2))).await.unwrap_err();
    assert_eq!(load(&store, "a").await.unwrap(), SnapshotRow { stamp: Stamp(1), value: "small".into() });
    store.create_schema().await.unwrap();
    write(&store, "a", 2, large(2)).await;
    assert!(load(&store, "a").await.unwrap().value == large(2));
    assert_eq!(world.chunks("a").await, [2]);
    world.end().await;
}

/// While one writes, others read whole snapshots and never go back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a CQL server"]
async fn readers_never_see_half_a_snapshot() {
    const LAST: i64 = 25;
    let world = World::new("race").await;
    let store = world.store().await;
    write(&store, "a", 1, large(1)).await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut reads, mut seen) = (0, 0);
                while seen < LAST {
                    let row = load(&store, "a").await.unwrap();
                    assert!(row.stamp.0 >= seen, "back from {seen} to {:?}", row.stamp);
                    seen = row.stamp.0;
                    assert!(
                        row.value == large(seen) || row.value == "small",
                        "not what was written at {seen}"
                    );
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for stamp in 2..=LAST {
        let value = if stamp % 5 == 0 { "small".into() } else { large(stamp) };
        write(&store, "a", stamp, value).await;
    }
    for reader in readers {
        let reads: u32 = tokio::time::timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
        assert!(reads > 1, "a reader that saw the end only");
    }
    assert_eq!(world.chunks("a").await, [0; 0]);
    world.end().await;
}

#[tokio::test]
#[ignore = "needs a CQL server"]
async fn damage_is_permanent_and_explained() {
    let world = World::new("damage").await;
    let store = world.store().await;
    let explain = async |name: &str| {
        let error = store.load_snapshot(&id(name)).await.unwrap_err();
        assert!(error.is_permanent, "{error}");
        let damage = error.source.source().unwrap().to_string();
        format!("{}: {damage}", error.source)
    };
    for name in ["missing", "changed", "row"] {
        write(&store, name, 1, large(1)).await;
    }
    let of = |name: &str| format!("instance = '{name}'");
    world.execute(&format!("DELETE FROM KEYSPACE.snapshot_chunk WHERE {}", of("missing"))).await;
    let missing = explain("missing").await;
    assert!(missing.contains("snapshot of missing at stamp 1") && missing.contains("backup"), "{missing}");
    assert!(missing.ends_with("0 of 2097152 bytes of the chunks are there"), "{missing}");

    let crc = {
        let statement = format!(
            "SELECT crc FROM {}.snapshot_chunk WHERE {} LIMIT 1",
            world.config.keyspace,
            of("changed")
        );
        let rows = world.session.query_unpaged(statement, &[]).await.unwrap().into_rows_result().unwrap();
        rows.single_row::<(i32,)>().unwrap().0
    };
    let statement = format!(
        "UPDATE {}.snapshot_chunk SET value = ? WHERE {} AND stamp = 1 AND crc = {crc} AND n = 3",
        world.config.keyspace,
        of("changed")
    );
    world.session.query_unpaged(statement, (vec![0_u8; 256 * 1024],)).await.unwrap();
    assert!(explain("changed").await.ends_with("the checksum does not match"));

    world.execute(&format!("UPDATE KEYSPACE.snapshot SET value = 0x01 WHERE {}", of("row"))).await;
    assert!(explain("row").await.ends_with("the row ends within its header"));

    // What is asked for with them is there all the same.
    write(&store, "whole", 1, "small").await;
    let asked = ["missing", "whole", "row", "nobody"].map(id);
    let rows = store.load_snapshots(&asked).await.unwrap();
    let whole = SnapshotRow { stamp: Stamp(1), value: "small".into() };
    assert!(rows[0].is_err() && rows[2].is_err());
    assert_eq!((rows[1].as_ref().unwrap(), rows[3].as_ref().unwrap()), (&Some(whole), &None));
    world.end().await;
}
