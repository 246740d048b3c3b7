//! What processors tell each other: the records of `<prefix>.internal`. They are written in transactions, to an explicit partition.

use bytes::Bytes;

use crate::handover::{HandedOver, Progressed, ReleaseRequested};
use crate::{InstanceId, Offset, TimerId, Timestamp, WorkflowVersion};

/// A record of `<prefix>.internal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InternalRecord {
    /// A record of the inbox that arrived at another partition than its key's home.
    Forwarded(ForwardedRecord),
    /// A durable timer is due.
    TimerFired(TimerFired),
    /// Key-groups shall move.
    ReleaseRequested(ReleaseRequested),
    /// Key-groups have moved here.
    HandedOver(HandedOver),
    /// How far the parent is.
    Progressed(Progressed),
    /// The schedule of a workflow shall follow a version of it.
    ScheduleProposed(ScheduleProposed),
}

/// A record of the inbox, byte for byte, sent on to the home of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedRecord {
    /// Where it was read first. Stays the same over several hops.
    pub source: RecordPosition,
    /// How many times it has been sent on, this time counted.
    pub hops: u32,
    /// The record's own time.
    pub timestamp: Timestamp,
    /// As it came.
    pub key: Option<Bytes>,
    /// As they came; a header without a value has an empty one.
    pub headers: Vec<(String, Bytes)>,
    /// As it came.
    pub value: Option<Bytes>,
}

/// Where one record stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPosition {
    /// Topic, in full.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Its offset.
    pub offset: Offset,
}

/// Proposes to fire a timer. The owner decides it when it reads this back, by the state: a timer that is gone does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerFired {
    /// Whose.
    pub instance: InstanceId,
    /// Which.
    pub timer: TimerId,
    /// When it was due.
    pub due: Timestamp,
}

/// Proposes that the schedule of a workflow follows a version of it. The owner of the schedule writes it when it sees that the newest version
/// is another one than the schedule follows, and decides it when it reads this back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleProposed {
    /// Which.
    pub version: WorkflowVersion,
}
