//! What is kept of transactions besides their records.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A partition of a topic, by name.
pub(crate) type TopicPartition = (String, i32);

/// One change, as the journal has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// Producer ids below this have been given out, or may have been.
    ProducerIdsReserved { below: i64 },
    /// A transactional id has a producer, and any before it is fenced.
    Initialised {
        id: String,
        producer_id: i64,
        epoch: i16,
        previous_epoch: Option<i16>,
        timeout_ms: u64,
        at_ms: i64,
    },
    /// A transaction goes on, or begins, with these partitions and groups.
    Joined { id: String, partitions: BTreeSet<TopicPartition>, groups: BTreeSet<String> },
    /// It is decided how it ends; from here on it ends so, whatever happens.
    Decided { id: String, epoch: i16, commit: bool },
    /// All its markers are written, and its offsets are committed or dropped.
    Ended { id: String },
    /// Nobody has used the id for long.
    Forgotten { id: String },
}
