//! What a partition wants done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_placement::TimerBucket;
use millrace_schemas::instance::InstanceState;
use millrace_schemas::schedule::ScheduleState;
use millrace_schemas::{InstanceId, Offset, Stamp, TimerId, Timestamp, WorkflowVersion};

use crate::attributes::{Attributes, Term};
use crate::input::{QueryId, Source, SourceKind};
use crate::timer_index::TimerSlice;
use crate::transaction::Transaction;

/// One thing for the shell to do.
#[derive(Debug)]
pub enum Output {
    /// Read committed records of the changelog from `from`, until the fetch position has reached `until`, or so many bytes have come.
    ReadChangelog {
        /// First offset.
        from: Offset,
        /// Where to stop; a position, so control records count.
        until: Offset,
        /// Where to stop earlier, after a record.
        bytes_max: usize,
    },
    /// The restore is done: read the sources from here on. `.internal` is among them.
    Follow(Vec<(Source, Offset)>),
    /// Read these no more.
    Unfollow(Vec<Source>),
    /// Find the bounds of these partitions of topics, for as long as definitions name them. Each has an answer of its own.
    Locate(Vec<Locate>),
    /// Read these rows of the snapshot table.
    LoadSnapshots(Vec<InstanceId>),
    /// Read the definitions up to the end that they have now.
    CatchUpDefinitions,
    /// Fetch this schema from the registry into the codec.
    LoadSchema(u32),
    /// A part of the partition's share of the lane's next transaction. More of it may follow, until `Input::Seal`.
    Append(Transaction),
    /// The last part of it, after `Input::Seal`: commit the transaction. One at a time.
    Commit(Transaction),
    /// Write this, and retry until it is durable. One at a time.
    Flush(FlushRequest),
    /// Write the checkpoint row. Nothing waits for it.
    SaveCheckpoint {
        /// The row's write timestamp.
        stamp: Stamp,
        /// Encoded.
        value: Bytes,
    },
    /// Write who owns the partition and where it is reached. Nothing waits for it.
    SaveOwner {
        /// The row's write timestamp: of the claim, so the later owner's row stays.
        stamp: Stamp,
        /// The owner's HTTP API, if it has one.
        api_url: Option<String>,
    },
    /// Read the checkpoint row at a quorum.
    ReadCheckpoint,
    /// Delete the records of the changelog below this offset that are older than this time.
    TrimChangelog {
        /// First offset that stays, at the latest.
        before: Offset,
        /// What is as young as this stays, too.
        keep_since: Timestamp,
    },
    /// Read a page of the timer index, of this partition's buckets. One at a time.
    LoadTimers(TimerSlice),
    /// Rows of the timer index that are due in `[from, until)`, both whole hours, are of no more use to anybody, but for those that
    /// were written after their hour had ended. Nothing waits for it, and nothing is lost if it is not done.
    DropTimers {
        /// First hour.
        from: Timestamp,
        /// One past the last hour.
        until: Timestamp,
    },
    /// Stop reading all that is followed for a while: too much is dirty or queued. Nothing else is followed meanwhile.
    Pause,
    /// Go on reading.
    Resume,
    /// The answer to a query; none if there is no such instance.
    Answer {
        /// Which query.
        query: QueryId,
        /// The committed state.
        state: Option<Box<InstanceState>>,
    },
    /// The answer to a query for a schedule; none if there is no such schedule.
    AnswerSchedule {
        /// Which query.
        query: QueryId,
        /// The committed state.
        state: Option<Box<ScheduleState>>,
    },
    /// For metrics and logs.
    Observe(Observation),
    /// The restore is done and the claim is committed: the partition serves.
    Ready,
    /// Everything is flushed, after `Input::Drain`.
    Drained,
    /// This incarnation cannot go on; an operator must act. `detail` says what happened and what to do.
    Fail {
        /// For people.
        detail: String,
    },
}

/// A partition of a topic whose bounds are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locate {
    /// Which.
    pub source: Source,
    /// Also the first record that is not older than this.
    pub since: Option<Timestamp>,
}

/// Why a position of a topic was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Records were deleted before they were read.
    Trimmed,
    /// The topic ends before it: it was deleted and made anew.
    MadeAnew,
}

/// Matches an acknowledgement to its flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlushId(pub u64);

/// Rows to write. All of them are idempotent: writing one twice, or late, changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct FlushRequest {
    /// To match the acknowledgement.
    pub id: FlushId,
    /// Snapshots of committed states.
    pub snapshots: Vec<SnapshotWrite>,
    /// Pending timers.
    pub timers: Vec<TimerRow>,
    /// What happened, for people.
    pub history: Vec<HistoryRow>,
}

impl FlushRequest {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.timers.is_empty() && self.history.is_empty()
    }
}

/// A row of the snapshot table, written with `stamp` as its timestamp: of two writers, the one further down the log wins.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotWrite {
    /// The key.
    pub instance: InstanceId,
    /// The write timestamp.
    pub stamp: Stamp,
    /// Encoded.
    pub value: Bytes,
    /// How long the row stays: only stubs of ended instances expire.
    pub ttl: Option<Duration>,
    /// The row of the list index that goes with it, when it has changed.
    pub listing: Option<Listing>,
}

/// A row of the list index, written with the snapshot's stamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Which version.
    pub workflow: WorkflowVersion,
    /// The order of the list.
    pub started_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// `running`, `completed`, …
    pub status: &'static str,
    /// What the instance is found by: a row of the index for each, which stays as long as this row.
    pub attributes: Attributes,
    /// What it was found by before, and is no more. Their rows end with this write, and before that of the snapshot, which forgets them.
    pub retired: BTreeSet<Term>,
    /// How long the row stays: only those of ended instances expire, and not with the stub but by the workflow's retention.
    pub ttl: Option<Duration>,
}

/// A row of the timer index. Insert-only; stale rows are harmless, since the state is asked before a timer acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerRow {
    /// Which bucket.
    pub bucket: TimerBucket,
    /// When.
    pub due: Timestamp,
    /// Whose.
    pub instance: InstanceId,
    /// Which.
    pub timer: TimerId,
}

/// A changelog entry in the history table. Insert-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The instance.
    pub instance: InstanceId,
    /// Orders the rows of one instance.
    pub stamp: Stamp,
    /// The changelog entry, encoded.
    pub entry: Bytes,
    /// How long the row stays: the workflow's retention; none for ever.
    pub ttl: Option<Duration>,
}

/// Something worth counting. Sent after the commit that made it true.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// An instance started.
    InstanceStarted {
        /// Which version.
        workflow: WorkflowVersion,
    },
    /// An instance ended.
    InstanceEnded {
        /// Which version.
        workflow: WorkflowVersion,
        /// `completed`, `faulted` or `cancelled`.
        status: &'static str,
        /// When it was started.
        started_at: Timestamp,
    },
    /// A command was decided.
    CommandDecided {
        /// `Command::name`.
        command: &'static str,
        /// How many events it gave.
        events: usize,
        /// How many tasks were entered.
        steps: u64,
    },
    /// A command was refused.
    CommandRejected {
        /// `Command::name`.
        command: &'static str,
        /// `Rejection::reason`.
        reason: &'static str,
    },
    /// An incident was raised.
    IncidentRaised {
        /// Which instance.
        instance: InstanceId,
        /// `Incident::kind`.
        kind: String,
    },
    /// An instance was set aside: its log and the code disagree.
    InstanceQuarantined {
        /// Which.
        instance: InstanceId,
        /// Why.
        detail: String,
    },
    /// A record went to the dead letters.
    DeadLettered {
        /// Where it was read.
        source: Source,
        /// Where it stood.
        offset: Offset,
        /// A stable name.
        reason: &'static str,
        /// For people.
        detail: String,
    },
    /// A record was sent on to the partition that its key belongs to.
    Forwarded,
    /// An event that is addressed to nobody was sent to whoever listens.
    EventPublished,
    /// A channel has sent an event to those who listen.
    EventDelivered {
        /// How many they are.
        listeners: usize,
    },
    /// Nobody listened for an event in its channel: it waits there.
    EventKept,
    /// A schedule has started an instance.
    RunScheduled,
    /// A schedule has left out starts: too late, or because of a run that was still at it.
    StartsSkipped {
        /// How many.
        count: u64,
    },
    /// Records of topics of the users held no event that any definition listens for.
    RecordsPassedOver {
        /// How many.
        count: usize,
    },
    /// A topic of the users does not hold what was to be read next: reading goes on with its oldest record.
    SourceMoved {
        /// Which partition of it.
        source: Source,
        /// Why.
        moved: Moved,
        /// The position that was given up.
        from: Offset,
        /// Where reading goes on.
        to: Offset,
    },
    /// A task was sent to its workers.
    TaskDispatched {
        /// Which queue.
        queue: Arc<str>,
    },
    /// A task has ended: a worker has answered, or has not in time.
    TaskEnded {
        /// Which queue.
        queue: Arc<str>,
        /// `completed`, `failed` or `timed_out`.
        outcome: &'static str,
        /// From when it was entered.
        took: Duration,
    },
    /// A batch of records is committed, with all that they have caused.
    BatchCommitted {
        /// From the records' own times until now, by where they were read.
        latencies: Vec<(SourceKind, Duration)>,
        /// Records about an instance, a channel or a schedule of this partition.
        lookups: u64,
        /// How many of those had to wait for the store, of this batch or of the next one.
        misses: u64,
    },
    /// A timer acted.
    TimerFired {
        /// Between due and decided.
        lateness: Duration,
    },
    /// The clock of this processor is behind that of the last owner, or that one's was ahead: nobody can tell which.
    ClockBehind {
        /// The newest entry of the changelog is so far in the future.
        by: Duration,
    },
}
