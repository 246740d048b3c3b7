//! What must outlive the process.

use serde::{Deserialize, Serialize};

use super::names::{GroupId, ProducerId, TopicPartition};

/// A durable fact about a group, for the journal. Released variants keep their meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// Members have come together. Written when the generation starts, not when it is assigned as in Kafka, so that no generation
    /// that a client has ever seen can come again.
    GenerationStarted {
        group: GroupId,
        generation: i32,
        protocol_type: String,
    },
    /// The last member is gone. That is a generation too.
    GroupEmptied {
        group: GroupId,
        generation: i32,
        at_ms: u64,
    },
    OffsetCommitted {
        group: GroupId,
        partition: TopicPartition,
        offset: CommittedOffset,
    },
    /// Becomes a committed offset if and when the transaction commits (KIP-98).
    OffsetPending {
        group: GroupId,
        producer: ProducerId,
        partition: TopicPartition,
        offset: CommittedOffset,
    },
    /// What the producer had pending, in whatever groups, is now committed or void.
    TransactionEnded {
        producer: ProducerId,
        committed: bool,
    },
    /// Deleted on request, with its topic, or for its age. Takes pending ones along.
    OffsetDeleted {
        group: GroupId,
        partition: TopicPartition,
    },
    GroupDeleted {
        group: GroupId,
    },
}

/// How far a group has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommittedOffset {
    pub(crate) offset: i64,
    /// -1 if the client did not say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    pub(crate) at_ms: u64,
}
