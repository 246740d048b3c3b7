//! Settings of a partition.

use std::time::Duration;

use millrace_engine::Bounds;
use millrace_placement::{PartitionIndex, Topics};

use crate::input::Source;

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
    /// Most rows in one flush request.
    pub flush_rows_max: usize,
    /// Most changed instances without a snapshot, and most history rows unwritten; beyond, processing waits for the store.
    /// Bounds the tail that a restore reads (state protocol 2.5).
    pub dirty_max: usize,
    /// Memory for instances that are kept only because they may be needed again, in bytes.
    pub cache_bytes_max: usize,
    /// How long the stub of an ended instance refuses late commands. At least a week (state protocol 2.7).
    pub stub_ttl: Duration,
    /// How long history is kept, and an ended instance in the list; none for ever.
    pub history_retention: Option<Duration>,
    /// How far ahead timers are held in memory.
    pub timer_horizon: Duration,
    /// Where this processor's HTTP API is reached, for claims and checkpoints.
    pub api_url: Option<String>,
}

impl Config {
    /// The sources that `index` reads: its own partition of `.internal`, and its share of `.events`.
    pub fn sources(&self, index: PartitionIndex) -> impl Iterator<Item = Source> + use<> {
        let own = i32::try_from(index.0).expect("at most 4,096 partitions");
        let events = i32::try_from(self.event_partitions).expect("Kafka counts partitions in i32");
        let step = usize::try_from(self.partitions).expect("at most 4,096 partitions");
        std::iter::once(Source::Internal(own)).chain((own..events).step_by(step).map(Source::Events))
    }
}
