//! Where things live: topics and their settings, key -> key-group -> partition, timer buckets.
//!
//! Pure. Key-groups are computed here and never taken from a producer's partitioner.

pub mod holdings;
pub mod key_group;
pub mod topics;

pub use holdings::{Holdings, Place};
pub use key_group::{
    KEY_GROUPS, KeyGroup, KeyGroups, PartitionIndex, TIMER_BUCKETS, TimerBucket, home, key_group,
    keyed_partition,
};
pub use topics::{TopicSpec, Topics};
