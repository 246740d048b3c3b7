//! What a broker's configuration says about groups.

use std::time::Duration;

/// The limits that groups keep. The names of Kafka's settings are in the lines.
#[derive(Clone, Debug)]
pub(crate) struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub(crate) session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`
    pub(crate) session_timeout_max: Duration,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members. Kafka waits three
    /// seconds, which spares a large group many rebalances; whoever develops would wait for nothing.
    pub(crate) initial_rebalance_delay: Duration,
    /// `group.max.size`; bounds the pending member ids too.
    pub(crate) group_size_max: usize,
    /// `offset.metadata.max.bytes`
    pub(crate) offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`
    pub(crate) offsets_retention: Duration,
    /// How long a group without members and offsets is remembered. Kafka has no setting: it looks every ten minutes.
    pub(crate) empty_group_retention: Duration,
    /// How many groups there may be. Kafka has no limit.
    pub(crate) groups_max: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::ZERO,
            group_size_max: 1_000,
            offset_metadata_bytes_max: 4_096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            empty_group_retention: Duration::from_secs(10 * 60),
            groups_max: 10_000,
        }
    }
}
