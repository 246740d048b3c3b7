//! Settings of a partition.

use std::time::Duration;

use millrace_engine::Bounds;
use millrace_placement::{PartitionIndex, Topics};

use crate::input::Source;
use crate::processed::Described;

/// Settings that all partitions of a processor share.
#[derive(Clone, Debug)]
pub struct Config {
    /// Topic names.
    pub topics: Topics,
    /// How many partitions `.internal` and `.changelog` have.
    pub partitions: u32,
    /// How many partitions `.events` has.
    pub event_partitions: u32,
    /// Limits on instances.
    pub bounds: Bounds,
    /// Most records in one transaction of one partition.
    pub batch_records_max: usize,
    /// Most records that wait in memory; beyond, reading pauses.
    pub inbox_records_max: usize,
    /// How long a changed instance may wait for its snapshot.
    pub flush_interval: Duration,
    /// Most snapshots in one flush request; it may have eight times as many entries of the history, and the timers of its instances.
    pub flush_rows_max: usize,
    /// The tail that a restore reads, while the store keeps up: at half of it a flush begins without waiting for the interval
    /// (state protocol 2.5).
    pub tail: TailLimit,
    /// Most bytes of the tail that a restore holds in memory; a longer one is written to the store on the way.
    pub restore_bytes_max: usize,
    /// What may wait for a store that does not keep up; beyond, processing waits with it.
    pub unflushed: TailLimit,
    /// How long the changelog waits to be trimmed after a checkpoint that allows it.
    pub trim_interval: Duration,
    /// How long the changelog is kept at least, though the store holds all of it: for audits, and for a store that is restored from
    /// a backup of that age.
    pub changelog_retention: Duration,
    /// Memory for instances that are kept only because they may be needed again, in bytes.
    pub cache_bytes_max: usize,
    /// How long an instance stays in memory after it was last needed.
    pub cache_idle: Duration,
    /// How long the stub of an ended instance refuses late commands. At least a week (state protocol 2.7).
    pub stub_ttl: Duration,
    /// How long history is kept, and an ended instance in the list; none for ever.
    pub history_retention: Option<Duration>,
    /// How far ahead timers are held in memory, at most.
    pub timer_horizon: Duration,
    /// Most timers in memory that the index holds, too. At least four.
    pub timers_near_max: usize,
    /// Most timers that are proposed in a second. At least one.
    pub timer_fires_per_second: u32,
    /// Where this processor's HTTP API is reached, for claims and checkpoints.
    pub api_url: Option<String>,
    /// What transactions tell of the records that they take in.
    pub described: Described,
}

/// A stretch of the changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailLimit {
    /// Changelog entries: one for each command that was decided.
    pub entries: usize,
    /// Their bytes as they were written, before compression.
    pub bytes: usize,
}

impl TailLimit {
    /// For restores: 50,000 entries or 20 MB.
    pub const TAIL: Self = Self { entries: 50_000, bytes: 20_000_000 };
    /// For outages of the store: 200,000 entries or 64 MB.
    pub const UNFLUSHED: Self = Self { entries: 200_000, bytes: 64_000_000 };
}

/// Entries of one page of the timer index, where memory is not short.
const TIMER_PAGE: usize = 5_000;

impl Config {
    /// Entries of one page of the timer index: a part of what may be in memory.
    pub(crate) fn timer_page(&self) -> usize {
        (self.timers_near_max / 4).clamp(1, TIMER_PAGE)
    }

    /// The sources that `index` reads: its own partition of `.internal`, and its share of `.events`.
    pub fn sources(&self, index: PartitionIndex) -> impl Iterator<Item = Source> + use<> {
        let own = i32::try_from(index.0).expect("at most 4,096 partitions");
        let events = i32::try_from(self.event_partitions).expect("Kafka counts partitions in i32");
        let step = usize::try_from(self.partitions).expect("at most 4,096 partitions");
        std::iter::once(Source::Internal(own)).chain((own..events).step_by(step).map(Source::Events))
    }
}
