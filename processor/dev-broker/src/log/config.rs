//! What a topic's configuration says about its partitions' logs.

/// Whose clock a record's timestamp is of (KIP-32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TimestampType {
    #[default]
    Create,
    LogAppend,
}

/// Names, meanings and defaults are Apache Kafka's, but for [`fsync`](Self::fsync).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogConfig {
    /// A segment that an append would make larger is closed first (`segment.bytes`).
    pub(crate) segment_bytes: u64,
    /// A segment whose first append is this long ago is closed (`segment.ms`).
    pub(crate) segment_ms: i64,
    /// From one index entry to the next (`index.interval.bytes`).
    pub(crate) index_interval_bytes: u32,
    /// `retention.bytes`; none is unlimited.
    pub(crate) retention_bytes: Option<u64>,
    /// `retention.ms`; none is unlimited.
    pub(crate) retention_ms: Option<i64>,
    /// Whether `cleanup.policy` has `compact`.
    pub(crate) compact: bool,
    /// Whether `cleanup.policy` has `delete`.
    pub(crate) delete: bool,
    /// How long tombstones and transaction markers stay after the first compaction that could drop them (`delete.retention.ms`).
    pub(crate) delete_retention_ms: i64,
    /// Younger records are not compacted (`min.compaction.lag.ms`, KIP-58).
    pub(crate) min_compaction_lag_ms: i64,
    /// Compaction waits until this much of the log is dirty (`min.cleanable.dirty.ratio`).
    pub(crate) min_cleanable_dirty_ratio: f64,
    /// Of one batch, compressed (`max.message.bytes`).
    pub(crate) max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub(crate) message_timestamp_type: TimestampType,
    /// Whether an append is on the disk before it is acknowledged. Without it, as with Kafka on one node, what was acknowledged
    /// survives the death of the process and not the loss of power.
    pub(crate) fsync: bool,
    /// A producer without an open transaction is forgotten after this long (`producer.id.expiration.ms`).
    pub(crate) producer_expiry_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            index_interval_bytes: 4096,
            retention_bytes: None,
            retention_ms: Some(7 * DAY_MS),
            compact: false,
            delete: true,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            min_cleanable_dirty_ratio: 0.5,
            max_message_bytes: 1024 * 1024 + 12,
            message_timestamp_type: TimestampType::Create,
            fsync: false,
            producer_expiry_ms: DAY_MS,
        }
    }
}
