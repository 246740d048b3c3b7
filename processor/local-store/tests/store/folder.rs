//! The folder: who may open it, and what becomes of it when somebody else writes into it.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use millrace_local_store::LocalStore;
use millrace_partition::{
    Attributes, FlushId, FlushRequest, HistoryRow, Listing, SnapshotWrite, TimerCursor, TimerRow, TimerSlice,
};
use millrace_placement::{PartitionIndex, TimerBucket};
use millrace_runtime::store::{ListQuery, OwnerRow, SnapshotStore, StoreError};
use millrace_schemas::{InstanceId, Stamp, TimerId, Timestamp, WorkflowName, WorkflowVersion};

#[tokio::test]
async fn a_folder_that_is_in_use_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    let clone = store.clone();
    let error = LocalStore::open(folder.path()).unwrap_err();
    assert!(error.is_permanent);
    let text = chain(&error);
    assert!(text.contains(&folder.path().display().to_string()), "{text}");
    assert!(text.contains("another process has it open") && text.contains("another folder"), "{text}");
    drop(store);
    assert!(LocalStore::open(folder.path()).unwrap_err().is_permanent, "a clone has it still");
    drop(clone);
    LocalStore::open(folder.path()).unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let nested = folder.path().join("not/there/yet");
    fill(&nested).await;
    let store = LocalStore::open(&nested).unwrap();
    for n in 0..ROWS {
        let row = store.load_snapshot(&id(n)).await.unwrap().unwrap();
        assert!(row.stamp == Stamp(n) && row.value == value(n));
    }
}

#[tokio::test]
async fn what_is_no_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    let error = LocalStore::open(&file).unwrap_err();
    assert!(error.is_permanent, "{}", chain(&error));
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    for content in [&b""[..], b"text", &[0; 100_000], &b"text".repeat(100_000)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("store.redb"), content).unwrap();
        let error = LocalStore::open(folder.path()).unwrap_err();
        let text = chain(&error);
        assert!(
            error.is_permanent && text.contains("the file is damaged"),
            "{} bytes: {text}",
            content.len()
        );
        assert!(text.contains("to begin anew"), "{text}");
    }
}

#[tokio::test]
async fn a_truncated_file_is_refused_and_never_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path()).await;
    let path = folder.path().join("store.redb");
    let whole = fs::read(&path).unwrap();
    for part in [0, 1, 100, 4_095, 4_096, 10_000, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..part]).unwrap();
        let damage = damage(folder.path()).await;
        let damage = damage.unwrap_or_else(|| panic!("{part} of {} bytes pass for the whole", whole.len()));
        assert!(damage.is_permanent, "{part} bytes: {}", chain(&damage));
    }
    fs::write(&path, &whole).unwrap();
    assert!(damage(folder.path()).await.is_none());
}

/// Whatever bytes are changed, the process goes on: the answer is an error, or what was written.
#[tokio::test]
async fn changed_bytes_are_an_error_or_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path()).await;
    let path = folder.path().join("store.redb");
    let whole = fs::read(&path).unwrap();
    let (mut random, mut seen) = (0x2545_f491_4f6c_dd1d_u64, 0);
    for n in 0..60 {
        let mut changed = whole.clone();
        // One in three in the header, where all of the file hangs.
        let end = if n % 3 == 0 { 512 } else { whole.len() as u64 };
        for _ in 0..16 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            changed[(random % end) as usize] ^= (random >> 32) as u8 | 1;
        }
        fs::write(&path, &changed).unwrap();
        seen += usize::from(damage(folder.path()).await.is_some());
    }
    assert!(seen > 30, "only {seen} of 60 were seen");
}

const ROWS: i64 = 100;

fn id(n: i64) -> InstanceId {
    InstanceId::new(format!("order-{n}")).unwrap()
}

fn value(n: i64) -> Bytes {
    // Does not compress, so that its bytes are all over the file.
    let mut word = (n.unsigned_abs() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word as u8
    };
    std::iter::repeat_with(next).take(700).collect()
}

fn workflow() -> WorkflowName {
    WorkflowName { namespace: "shop".into(), name: "order".into() }
}

async fn fill(folder: &Path) {
    let store = LocalStore::open(folder).unwrap();
    let mut request =
        FlushRequest { id: FlushId(1), snapshots: Vec::new(), timers: Vec::new(), history: Vec::new() };
    for n in 0..ROWS {
        request.snapshots.push(SnapshotWrite {
            instance: id(n),
            stamp: Stamp(n),
            value: value(n),
            ttl: None,
            listing: Some(Listing {
                workflow: WorkflowVersion { workflow: workflow(), version: "1.0.0".into() },
                started_at: Timestamp(n),
                updated_at: Timestamp(n),
                status: "running",
                attributes: Attributes::default(),
                retired: BTreeSet::new(),
                ttl: None,
            }),
        });
        request.history.push(HistoryRow { instance: id(n), stamp: Stamp(n), entry: value(n), ttl: None });
        let timer = TimerRow {
            bucket: TimerBucket(n as u16 % 4),
            due: Timestamp(n),
            instance: id(n),
            timer: TimerId(1),
        };
        request.timers.push(timer);
    }
    store.flush(&request).await.unwrap();
    store.save_checkpoint(PartitionIndex(0), Stamp(1), "here".into()).await.unwrap();
    store.save_owner(PartitionIndex(0), &owner()).await.unwrap();
}

fn owner() -> OwnerRow {
    OwnerRow { stamp: Stamp(1), transactional_id: "millrace-0-0".to_owned(), api_url: None }
}

/// Opens the store and reads everything. The first error, and if there is none, whether rows are missing or others.
async fn damage(folder: &Path) -> Option<StoreError> {
    read_everything(folder).await.err()
}

async fn read_everything(folder: &Path) -> Result<(), StoreError> {
    let store = LocalStore::open(folder)?;
    for n in 0..ROWS {
        let row = store.load_snapshot(&id(n)).await?;
        assert!(row.is_some_and(|it| it.stamp == Stamp(n) && it.value == value(n)), "{n}: another snapshot");
        let history = store.load_history(&id(n), None, 10).await?;
        assert!(history.len() == 1 && history[0].entry == value(n), "{n}: another history");
    }
    let buckets = [0, 1, 2, 3].map(TimerBucket);
    let (from, until) = (TimerCursor::Before(Timestamp(0)), Timestamp(i64::MAX));
    let slice = TimerSlice { from, until, entries_max: usize::MAX };
    let timers = store.load_timers(&buckets, &slice).await?.timers;
    assert_eq!(timers.len() as i64, ROWS);
    let query = ListQuery {
        workflow: workflow(),
        status: None,
        conditions: Vec::new(),
        from: Timestamp(0),
        until: Timestamp(i64::MAX),
        after: None,
        limit: 10_000,
    };
    assert_eq!(store.list(&query).await?.rows.len() as i64, ROWS);
    assert_eq!(store.load_checkpoint(PartitionIndex(0)).await?, Some((Stamp(1), "here".into())));
    assert_eq!(store.load_owner(PartitionIndex(0)).await?, Some(owner()));
    Ok(())
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}
