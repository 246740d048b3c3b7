//! What leaves a partition whole or not at all.

use std::sync::Arc;

use bytes::Bytes;
use millrace_schemas::Offset;

use crate::processed::Processed;

/// A part of one partition's share of a Kafka transaction. A lane may put the shares of several partitions into one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The same for all parts, and unique within the incarnation.
    pub id: TransactionId,
    /// Events and claims, for the partition's own changelog partition, in order; the last part ends with the positions.
    pub changelog: Vec<OutgoingRecord>,
    /// Everything else, in order.
    pub records: Vec<OutgoingRecord>,
    /// Records of the sources that it takes in, as far as somebody wants to know. The log has no use for it.
    pub processed: Vec<Processed>,
    /// The next offset of `.internal` to read. That of the last part is committed with every transaction, moved or not: it is the fence
    /// (state protocol, F1).
    pub internal_offset: Offset,
}

/// Counts the transactions of one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u64);

/// A record to produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// In full.
    pub topic: Arc<str>,
    /// Explicit, or by the key (murmur2, as Java's default partitioner); of commands, any.
    pub partition: Option<i32>,
    /// None for records without a key.
    pub key: Option<Bytes>,
    /// Kafka headers.
    pub headers: Vec<(String, Bytes)>,
    /// The value; none is a tombstone.
    pub value: Option<Bytes>,
}
