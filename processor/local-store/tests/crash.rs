//! A process that writes is killed at any moment; what it acknowledged is there, and no flush is there in part.
//! A program of its own: a child holds its parent's locks of folders until it has become another program.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use millrace_local_store::LocalStore;
use millrace_partition::{
    Attributes, FlushId, FlushRequest, HistoryRow, Listing, SnapshotWrite, TimerCursor, TimerRow, TimerSlice,
};
use millrace_placement::{PartitionIndex, TimerBucket};
use millrace_runtime::store::{ListQuery, SnapshotStore};
use millrace_schemas::{InstanceId, Stamp, TimerId, Timestamp, WorkflowName, WorkflowVersion};

/// Names the folder to the child: this same test binary, told to run [`child`] only.
const FOLDER: &str = "MILLRACE_LOCAL_STORE_TEST_FOLDER";

const KILLS: u64 = 12;
/// Instances that every flush writes anew.
const INSTANCES: i64 = 40;
/// More of them than the child lives to write.
const FLUSHES: i64 = 100_000;

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut acknowledged = -1;
    for kill in 0..KILLS {
        // From during the creation of the file to hundreds of flushes.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let life = Duration::from_micros(random % (2_000 << kill.min(8)));
        let last = write_until_killed(folder.path(), life);
        acknowledged = last.unwrap_or(acknowledged);
        let store = LocalStore::open(folder.path()).unwrap();
        let found = flushes_found(&store).await;
        assert!(
            found == acknowledged || found == acknowledged + 1,
            "acknowledged up to {acknowledged}, found up to {found}"
        );
        // One that was killed before it could acknowledge. The next child begins behind it.
        acknowledged = found;
    }
    assert!(acknowledged > 0, "no child lived long enough to acknowledge anything");
}

/// What the child acknowledged last, if anything.
fn write_until_killed(folder: &Path, life: Duration) -> Option<i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|it| it == "ready").expect("the child opens the folder");
    // The moment is what is tested; nothing waits for it.
    std::thread::sleep(life);
    child.kill().unwrap();
    // A line that was cut is no acknowledgement.
    let last = lines.filter_map(|it| it.strip_prefix("ack ")?.strip_suffix(" .")?.parse().ok()).last();
    assert!(!child.wait().unwrap().success());
    last
}

/// Not a test of its own: the process that is killed.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\nready").unwrap();
    let store = LocalStore::open(folder).unwrap();
    let first = flushes_found(&store).await + 1;
    if first > 0 {
        // The one before may have died between the two writes; twice in a row, and the checkpoint would be two behind.
        let last = first - 1;
        store.save_checkpoint(PartitionIndex(0), Stamp(last), Bytes::from(last.to_string())).await.unwrap();
    }
    for n in first..FLUSHES {
        store.flush(&flush(n)).await.unwrap();
        store.save_checkpoint(PartitionIndex(0), Stamp(n), Bytes::from(n.to_string())).await.unwrap();
        writeln!(stdout, "ack {n} .").unwrap();
    }
}

fn id(n: i64) -> InstanceId {
    InstanceId::new(format!("order-{n}")).unwrap()
}

fn workflow() -> WorkflowName {
    WorkflowName { namespace: "shop".into(), name: "order".into() }
}

fn flush(n: i64) -> FlushRequest {
    let version = WorkflowVersion { workflow: workflow(), version: "1.0.0".into() };
    let listing = |started_at| Listing {
        workflow: version.clone(),
        started_at,
        updated_at: Timestamp(n),
        status: "running",
        attributes: Attributes::default(),
        retired: BTreeSet::new(),
        ttl: None,
    };
    let snapshot = |instance: i64| SnapshotWrite {
        instance: id(instance),
        stamp: Stamp(n),
        value: Bytes::from(n.to_string().repeat(100)),
        ttl: None,
        listing: Some(listing(Timestamp(instance))),
    };
    FlushRequest {
        id: FlushId(n.unsigned_abs()),
        snapshots: (0..INSTANCES).map(snapshot).collect(),
        timers: vec![TimerRow {
            bucket: TimerBucket(1),
            due: Timestamp(n),
            instance: id(0),
            timer: TimerId(1),
        }],
        history: vec![HistoryRow {
            instance: id(0),
            stamp: Stamp(n),
            entry: Bytes::from(n.to_string()),
            ttl: None,
        }],
    }
}

/// The last flush that is there, after a look at all of its rows, and at one row of each before it; -1 for none.
async fn flushes_found(store: &LocalStore) -> i64 {
    let history = store.load_history(&id(0), None, u32::MAX).await.unwrap();
    let found = history.len() as i64 - 1;
    assert!(history.iter().zip(0..).all(|(it, n)| it.stamp == Stamp(n) && it.entry == n.to_string()));
    let (from, until) = (TimerCursor::Before(Timestamp(0)), Timestamp(i64::MAX));
    let slice = TimerSlice { from, until, entries_max: usize::MAX };
    let timers = store.load_timers(&[TimerBucket(1)], &slice).await.unwrap().timers;
    assert!(timers.iter().map(|it| it.due.0).eq(0..=found), "a timer for each");
    if found < 0 {
        return found;
    }
    for instance in 0..INSTANCES {
        let row = store.load_snapshot(&id(instance)).await.unwrap().unwrap();
        assert_eq!((row.stamp, row.value), (Stamp(found), Bytes::from(found.to_string().repeat(100))));
    }
    let all = ListQuery {
        workflow: workflow(),
        status: None,
        conditions: Vec::new(),
        from: Timestamp(0),
        until: Timestamp(i64::MAX),
        after: None,
        limit: 1_000,
    };
    let page = store.list(&all).await.unwrap();
    assert_eq!(page.rows.len() as i64, INSTANCES);
    assert!(page.rows.iter().all(|it| it.updated_at == Timestamp(found)));
    let checkpoint = store.load_checkpoint(PartitionIndex(0)).await.unwrap().map_or(-1, |it| it.0.0);
    assert!(checkpoint == found || checkpoint == found - 1, "the checkpoint is at {checkpoint} of {found}");
    found
}
