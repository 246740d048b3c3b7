//! What the store costs, in the pattern of a partition: `cargo run --release -p millrace-local-store --example measure -- FOLDER FLUSHES`.
//! The folder must not exist; it is left behind.
//!
//! A flush has 1,000 rows: 250 snapshots of some 500 bytes and as many list rows, half of them of new instances and half of recent
//! ones, 400 rows of history, 100 timers. When the file is large, up to a hundred flushes more, of instances that lie anywhere in it.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millrace_local_store::LocalStore;
use millrace_partition::{
    Attributes, FlushId, FlushRequest, HistoryRow, Listing, SnapshotWrite, TimerCursor, TimerRow, TimerSlice,
};
use millrace_placement::{TIMER_BUCKETS, TimerBucket};
use millrace_runtime::store::{ListQuery, SnapshotStore};
use millrace_schemas::{InstanceId, Stamp, TimerId, Timestamp, WorkflowName, WorkflowVersion};

const READS: u64 = 20_000;

const COLD_FLUSHES_MAX: u64 = 100;

/// Which instances a flush is of.
#[derive(Clone, Copy)]
enum Among {
    /// New ones, and those of a while ago.
    Recent,
    /// So many, at random.
    All(u64),
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: measure FOLDER FLUSHES";
    let folder = PathBuf::from(arguments.next().expect(usage));
    let flushes: u64 = arguments.next().expect(usage).parse().expect(usage);
    assert!(!folder.exists(), "{} exists", folder.display());

    let store = LocalStore::open(&folder).unwrap();
    let mut random = Random(42);
    let mut times = Vec::new();
    for n in 0..flushes {
        let request = flush(n, &mut random, Among::Recent);
        times.push(timed(store.flush(&request)).await);
    }
    report_flushes("flush of 1,000 rows", times);
    drop(store);
    println!("{:>10.0} MB long is the file (it has holes)", bytes_of(&folder) as f64 / 1e6);

    let start = Instant::now();
    let store = LocalStore::open(&folder).unwrap();
    report("open", vec![start.elapsed()]);
    let instances = flushes * 125;
    let mut times = Vec::new();
    for _ in 0..READS {
        let id = id(random.below(instances));
        times.push(
            timed(async {
                assert!(store.load_snapshot(&id).await?.is_some());
                Ok(())
            })
            .await,
        );
    }
    report("load a snapshot", times);
    let mut times = Vec::new();
    for n in flushes..flushes + flushes.min(COLD_FLUSHES_MAX) {
        let request = flush(n, &mut random, Among::All(instances));
        times.push(timed(store.flush(&request)).await);
    }
    report_flushes("flush of 1,000 rows of any instances", times);
    let buckets: Vec<TimerBucket> = (0..TIMER_BUCKETS).map(TimerBucket).collect();
    let mut times = Vec::new();
    for _ in 0..50 {
        let due = started_at(random.below(instances));
        let until = due.plus(Duration::from_secs(20));
        let slice = TimerSlice { from: TimerCursor::Before(due), until, entries_max: 5_000 };
        times.push(timed(async { store.load_timers(&buckets, &slice).await }).await);
    }
    report("load a page of timers, all buckets", times);
    let (mut lists, mut histories) = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        let n = random.below(instances);
        let query = ListQuery {
            workflow: workflow().workflow,
            status: None,
            conditions: Vec::new(),
            from: Timestamp(0),
            until: started_at(n),
            after: None,
            limit: 50,
        };
        lists.push(timed(store.list(&query)).await);
        histories.push(timed(store.load_history(&id(n), None, 1_000)).await);
    }
    report("a page of 50 of the list", lists);
    report("the history of an instance", histories);
}

async fn timed<T>(work: impl Future<Output = Result<T, millrace_runtime::store::StoreError>>) -> Duration {
    let start = Instant::now();
    work.await.unwrap();
    start.elapsed()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("{:>10.3} ms median, {:.3} 99 %, {:.3} most: {what}", at(0.5), at(0.99), at(1.0));
}

fn report_flushes(what: &str, times: Vec<Duration>) {
    let rows = times.len() as f64 * 1_000.0;
    println!("{:>10.0} rows/s", rows / times.iter().sum::<Duration>().as_secs_f64());
    report(what, times);
}

fn bytes_of(folder: &Path) -> u64 {
    folder.read_dir().unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Half noise, half the same words, as encoded states are.
    fn bytes(&mut self, count: u64) -> Bytes {
        let words = (0..count / 16).flat_map(|_| [self.next().to_le_bytes(), *b"\x06amount\x08"]);
        words.flatten().collect()
    }
}

fn flush(n: u64, random: &mut Random, among: Among) -> FlushRequest {
    let mut request =
        FlushRequest { id: FlushId(n), snapshots: Vec::new(), timers: Vec::new(), history: Vec::new() };
    for k in 0..250 {
        let instance = match among {
            Among::Recent if k < 125 => n * 125 + k,
            Among::Recent => (n * 125).saturating_sub(random.below(2_500)),
            Among::All(instances) => random.below(instances),
        };
        let id = id(instance);
        let stamp = Stamp((n * 1_000 + k * 3).cast_signed());
        let listing = Listing {
            workflow: workflow(),
            started_at: started_at(instance),
            updated_at: started_at(instance),
            status: "running",
            attributes: Attributes::default(),
            retired: BTreeSet::new(),
            ttl: None,
        };
        let bytes = 480 + random.below(64);
        request.snapshots.push(SnapshotWrite {
            instance: id.clone(),
            stamp,
            value: random.bytes(bytes),
            ttl: None,
            listing: Some(listing),
        });
        for row in 0..if k % 5 < 3 { 2 } else { 1 } {
            let ttl = Some(Duration::from_secs(30 * 86_400));
            let stamp = Stamp(stamp.0 + row);
            request.history.push(HistoryRow { instance: id.clone(), stamp, entry: random.bytes(304), ttl });
        }
        if k % 5 < 2 {
            let bucket = TimerBucket((instance % u64::from(TIMER_BUCKETS)) as u16);
            let due = started_at(instance).plus(Duration::from_secs(60));
            request.timers.push(TimerRow { bucket, due, instance: id, timer: TimerId(1) });
        }
    }
    request
}

/// Scattered, as ids of customers are.
fn id(n: u64) -> InstanceId {
    let scattered = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    InstanceId::new(format!("order-{scattered:016x}-{n:07}")).unwrap()
}

fn started_at(n: u64) -> Timestamp {
    Timestamp(1_700_000_000_000 + n.cast_signed() * 10)
}

fn workflow() -> WorkflowVersion {
    let workflow = WorkflowName { namespace: "shop".into(), name: "order".into() };
    WorkflowVersion { workflow, version: "1.0.0".into() }
}
