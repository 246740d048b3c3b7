//! What a partition is told.

use std::sync::Arc;

use bytes::Bytes;
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::{InstanceId, Offset, Stamp, Timestamp};

use crate::output::FlushId;
use crate::timer_index::{TimerCursor, TimerPage};
use crate::topics::UserTopic;
use crate::transaction::TransactionId;

/// One thing that happened outside.
#[derive(Debug)]
pub enum Input {
    /// The first input: the partition is ours, no transaction of an earlier owner is pending (state protocol 2.3).
    Acquired {
        /// The checkpoint row, if there is one.
        checkpoint: Option<Checkpoint>,
        /// First offset that the changelog still holds.
        changelog_start: Offset,
        /// High watermark of the changelog, read after the pending transactions were decided: the target of the restore.
        changelog_end: Offset,
        /// The group's committed offset of `.internal`, if any.
        internal_offset: Option<Offset>,
    },
    /// Committed records of the changelog, in order, as asked for by `ReadChangelog`.
    ChangelogRecords(Vec<ChangelogRecord>),
    /// The read has come so far.
    ChangelogRead {
        /// Where it stands; the target, or beyond, when all is read.
        position: Offset,
    },
    /// Records of one or more sources; in order within each source.
    Records(Vec<InboundRecord>),
    /// The topics of the users that definitions name now, all of them. Whenever they change, and at any time.
    Topics(Vec<UserTopic>),
    /// An answer to `Locate`.
    Located(Located),
    /// Answers to `LoadSnapshots`.
    SnapshotsLoaded(Vec<(InstanceId, LoadedRow)>),
    /// The definitions have been read up to the end they had after `CatchUpDefinitions`.
    DefinitionsCaughtUp,
    /// The codec has learnt this schema, or has learnt that it does not exist.
    SchemaLoaded(u32),
    /// The lane commits its transaction now: `Output::Commit` is the last part of the partition's share. Nothing, if it has none.
    Seal,
    /// The transaction is committed.
    Committed {
        /// Which.
        transaction: TransactionId,
        /// Offsets of the changelog records of all its parts, in the order in which they were given.
        changelog_offsets: Vec<Offset>,
    },
    /// The transaction is known to have been aborted; this incarnation still owns the partition.
    Aborted {
        /// Which.
        transaction: TransactionId,
    },
    /// Everything in the flush is durable.
    Flushed(FlushId),
    /// Timers of this partition, as asked for by `LoadTimers`.
    TimersLoaded {
        /// Where the slice began.
        from: TimerCursor,
        /// Its first entries.
        page: TimerPage,
    },
    /// The answer to `ReadCheckpoint`; none if there is no row, or it cannot be read.
    CheckpointRead(Option<Checkpoint>),
    /// Somebody wants to see an instance.
    Query {
        /// To match the answer.
        query: QueryId,
        /// Which instance.
        instance: InstanceId,
    },
    /// Time has passed; also sent at `next_deadline`.
    Tick,
    /// Hand over in good order: stop taking records, flush what is dirty. `Output::Drained` follows.
    Drain,
}

/// A partition that is read as a source of commands and events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `.internal`, by the group's assignment; the number is the index.
    Internal(i32),
    /// `.events`, by our own assignment; the number is the Kafka partition.
    Events(i32),
    /// A partition of a topic of the users, by our own assignment. It is read for events only.
    Topic(Arc<str>, i32),
}

/// What kind of topic a source is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// `.internal`
    Internal,
    /// `.events`
    Events,
    /// A topic of the users.
    Topic,
}

impl Source {
    /// What kind of topic it is of.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::Internal(_) => SourceKind::Internal,
            Self::Events(_) => SourceKind::Events,
            Self::Topic(..) => SourceKind::Topic,
        }
    }
}

/// The bounds of a partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Which.
    pub source: Source,
    /// The first offset that is there.
    pub start: Offset,
    /// The offset that the next record will have.
    pub end: Offset,
    /// The first record that is not older than was asked for, if there is one.
    pub since: Option<Offset>,
}

/// A record of a source.
#[derive(Clone, Debug)]
pub struct InboundRecord {
    /// Where it was read.
    pub source: Source,
    /// Where it stands.
    pub offset: Offset,
    /// The record's own time.
    pub timestamp: Timestamp,
    /// As it came.
    pub key: Option<Bytes>,
    /// As they came.
    pub headers: Vec<(String, Bytes)>,
    /// As it came.
    pub value: Option<Bytes>,
}

/// A record of the changelog.
#[derive(Clone, Debug)]
pub struct ChangelogRecord {
    /// Where it stands.
    pub offset: Offset,
    /// The instance id; none for positions and claims.
    pub key: Option<Bytes>,
    /// Encoded.
    pub value: Bytes,
}

/// A row of the snapshot table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRow {
    /// The write timestamp of the row.
    pub stamp: Stamp,
    /// Encoded.
    pub value: Bytes,
}

/// A row, none if there is none, or why it can never be read.
pub type LoadedRow = Result<Option<SnapshotRow>, String>;

/// Matches an answer to its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);
