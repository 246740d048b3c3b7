//! What the shell needs of a log (Kafka), as traits: `kafka-log` implements them for real, [`crate::memory`] for tests.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millrace_partition::{ChangelogRecord, InboundRecord, Located, Source, Transaction};
use millrace_placement::{PartitionIndex, TopicSpec};
use millrace_schemas::{Offset, Timestamp};
use tokio::sync::{mpsc, oneshot};

/// Marks one assignment of one partition as alive. Killed before a rebalance callback returns; checked right before offsets
/// are sent and right before a commit (state protocol, F2).
#[derive(Clone, Debug)]
pub struct Incarnation {
    partition: PartitionIndex,
    alive: Arc<AtomicBool>,
}

impl Incarnation {
    /// A new, live one.
    #[must_use]
    pub fn new(partition: PartitionIndex) -> Self {
        Self { partition, alive: Arc::new(AtomicBool::new(true)) }
    }

    /// Whose.
    #[must_use]
    pub fn partition(&self) -> PartitionIndex {
        self.partition
    }

    /// Ends it, for ever.
    pub fn kill(&self) {
        self.alive.store(false, Ordering::SeqCst);
    }

    /// Whether both are the same incarnation (not merely of the same partition).
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.alive, &other.alive)
    }

    /// Whether it has not been killed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }
}

/// What comes from the log without having been asked for.
#[derive(Debug)]
pub enum LogEvent {
    /// The group gave us these partitions. They come alive in the shell; their `Incarnation`s are in the event because the log
    /// must be able to kill them inside its rebalance callback. None: the group has been joined, or has changed, and gives us nothing new.
    Assigned(Vec<Incarnation>),
    /// The group takes these partitions away. The log waits (up to two seconds) for `done` before it lets the group go on: use the
    /// time to drain. Then it kills the incarnations.
    Revoking {
        /// Which: one that was made since is not meant.
        incarnations: Vec<Incarnation>,
        /// To be sent, or dropped, when drained.
        done: oneshot::Sender<()>,
    },
    /// These incarnations are dead already: fenced, lost, or revoked.
    Lost(Vec<PartitionIndex>),
    /// Records of sources that this incarnation follows, in order within each source. Records that were fetched for an earlier
    /// incarnation of the partition never come under a later one: positions would jump over what lies between.
    Records {
        /// The follower.
        incarnation: Incarnation,
        /// What was read.
        records: Vec<InboundRecord>,
    },
    /// The log cannot go on at all. The process ends.
    Fatal(LogError),
}

/// The end of a source, as the brokers told it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The offset that the next record will have.
    pub end: Offset,
    /// All records before it have come with [`LogEvent::Records`].
    pub is_read: bool,
}

/// A part of a partition's share of a transaction, with the right to commit it.
#[derive(Clone, Debug)]
pub struct Share {
    /// Must be alive.
    pub incarnation: Incarnation,
    /// What to produce.
    pub transaction: Transaction,
}

/// How a commit went.
#[derive(Debug)]
pub enum CommitOutcome {
    /// All shares are committed: for each that `commit` was given, the offsets of its changelog records, with those of its earlier parts.
    Committed(Vec<Vec<Offset>>),
    /// Nothing of it will ever be visible. Shares whose incarnation is still alive may be tried again.
    Aborted(LogError),
    /// Nobody knows. Every incarnation that has a part in it is to be dropped and acquired again; the lane has killed them.
    Unknown(LogError),
}

/// Errors of the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Worth another try.
    #[error("could not {doing}")]
    Retriable {
        /// What was tried.
        doing: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer owner exists.
    #[error("fenced while {doing}: another member owns the partition now")]
    Fenced {
        /// What was tried.
        doing: String,
    },
    /// An open transaction of somebody else has been in the way for [`HELD_UP_GRACE`]. Ask again for as long as it lasts; nothing was
    /// done yet. If its owner is dead, [`Log::end_transaction_of`] ends it at once.
    #[error("could not {doing} yet: {by}")]
    HeldUp {
        /// What was tried.
        doing: String,
        /// What is in the way, and how to find it.
        by: String,
    },
    /// Not worth another try.
    #[error("could not {doing}; {fix}")]
    Fatal {
        /// What was tried.
        doing: String,
        /// What to do.
        fix: String,
        /// Why not.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// How long an open transaction may be in the way before [`LogError::HeldUp`] says so. Transactions take milliseconds; one that takes
/// longer than this has an owner that is dead, or stuck.
pub const HELD_UP_GRACE: Duration = Duration::from_millis(500);

/// The log as the processor sees it. Cheap to clone.
pub trait Log: Clone + Send + Sync + 'static {
    /// A transactional producer.
    type Lane: Lane;

    /// Joins the group and starts reading; events arrive on the channel until it is dropped.
    ///
    /// # Errors
    /// When the topics are missing, or the group cannot be joined at all.
    fn join(&self) -> impl Future<Output = Result<mpsc::Receiver<LogEvent>, LogError>> + Send;

    /// Leaves the group in good order: revokes what is assigned, waits for it, goes.
    fn leave(&self) -> impl Future<Output = ()> + Send;

    /// A new incarnation of a partition whose last one died of something else than a rebalance (a commit with an unknown outcome,
    /// a failed restore). None if the partition is not assigned to this member any more. Reading for the old one stops.
    fn renew(&self, partition: PartitionIndex) -> Option<Incarnation>;

    /// How many partitions `.internal` has; the changelog must have as many.
    fn partitions(&self) -> u32;

    /// How many partitions `.events` has.
    fn event_partitions(&self) -> u32;

    /// Starts (or moves) the reading of these sources for a live incarnation. `Internal` sources are assigned already: they are
    /// moved there.
    fn follow(
        &self,
        incarnation: &Incarnation,
        sources: Vec<(Source, Offset)>,
    ) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Stops reading these public sources for this incarnation, before the next order that it gives. One that comes after it reads on.
    fn unfollow(&self, incarnation: &Incarnation, sources: Vec<Source>);

    /// The bounds of a source, and its first record that is not older than `since`, if there is such a record.
    ///
    /// # Errors
    /// Also when there is no such partition (any more).
    fn locate(
        &self,
        source: &Source,
        since: Option<Timestamp>,
    ) -> impl Future<Output = Result<Located, LogError>> + Send;

    /// The end of a source that is followed, as it is known without asking for it; none if that is not known yet.
    fn end_of(&self, source: &Source) -> Option<LogEnd>;

    /// How many partitions a topic has; none if it does not exist.
    fn topic_partitions(&self, topic: &str) -> impl Future<Output = Result<Option<u32>, LogError>> + Send;

    /// Holds the reading of these sources, without forgetting the position.
    /// It means this incarnation: one that comes after it reads on, however late the order arrives.
    fn pause(&self, incarnation: &Incarnation, sources: &[Source]);

    /// Goes on reading.
    fn resume(&self, incarnation: &Incarnation, sources: &[Source]);

    /// The group's committed offset of `.internal`, once no transaction has a pending offset for it (KIP-447,
    /// `require_stable`; state protocol, F3). Waits for that.
    ///
    /// # Errors
    /// [`LogError::HeldUp`] while a transaction is between the sending of its offsets and its end.
    fn stable_internal_offset(
        &self,
        partition: PartitionIndex,
    ) -> impl Future<Output = Result<Option<Offset>, LogError>> + Send;

    /// First offset and high watermark (read_uncommitted) of a changelog partition.
    fn changelog_bounds(
        &self,
        partition: PartitionIndex,
    ) -> impl Future<Output = Result<(Offset, Offset), LogError>> + Send;

    /// Reads committed records from `from` into `sink`, until the fetch position, control records and aborted ones counted, has
    /// reached `until`; or, before that, once records of `bytes_max` bytes have been handed on (about what they take in memory: keys,
    /// values, and 64 bytes each). One record is handed on at least, if there is one.
    ///
    /// Returns the position that was reached: `until` or more when all is read, else the offset after the last record that was
    /// handed on, where the next read goes on.
    ///
    /// # Errors
    /// [`LogError::HeldUp`] while a transaction is open below `until`; nothing was sent into `sink` then. [`LogError::Fatal`] when no
    /// record comes for three minutes, or when those that were asked for are gone.
    fn read_changelog(
        &self,
        partition: PartitionIndex,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        sink: mpsc::Sender<Vec<ChangelogRecord>>,
    ) -> impl Future<Output = Result<Offset, LogError>> + Send;

    /// Fences the producers of the lane with this transactional id, and aborts their open transaction, by being those producers for a
    /// moment. When this returns, the transaction is decided, and its markers are written or about to be: one that was
    /// being committed is committed.
    ///
    /// For a takeover: what a member that was killed leaves open holds up its successors until `transaction.timeout.ms` and the
    /// broker's next look have passed, 10 to 20 seconds. **Only** when all of this holds:
    ///
    /// 1. The partition is assigned to this member and alive; so the group has taken it from the owner.
    /// 2. The restore really is held up: [`Self::stable_internal_offset`] or [`Self::read_changelog`] has said [`LogError::HeldUp`].
    ///    A lane's id stands for all of its partitions. If only one of them moved away from a member that lives, its next transaction
    ///    would be fenced, too; then that lane makes its producer anew and restores its partitions, which is safe but not free. A
    ///    live lane decides its transactions within milliseconds, so it does not come to this unless it is stuck.
    /// 3. The id is that of the partition's last owner, by its row in the store (which an owner that died at once may not have written: then
    ///    only the time-out helps); and not one of this member's own lanes: those decide their
    ///    transactions themselves.
    ///
    /// Once for each restore: if it is held up still, the transaction belongs to somebody else, and only waiting helps.
    ///
    /// # Errors
    /// When the coordinator of the transactions does not answer.
    fn end_transaction_of(&self, transactional_id: &str)
    -> impl Future<Output = Result<(), LogError>> + Send;

    /// Deletes the changelog's records that stand before `before` and are older than `keep_since`; a younger one stays, and with it
    /// whatever stands behind it. Returns the first offset that is left; asks for nothing when nothing is to be deleted.
    ///
    /// `before` must be the offset of a checkpoint that was read back from the store at a quorum, never one that this process only
    /// believes to have written: what is deleted here is in no other place but the snapshots that this checkpoint vouches for (state
    /// protocol, 2.5).
    ///
    /// # Errors
    /// [`LogError::Fatal`] when the changelog ends before `before`.
    fn trim_changelog(
        &self,
        partition: PartitionIndex,
        before: Offset,
        keep_since: Timestamp,
    ) -> impl Future<Output = Result<Offset, LogError>> + Send;

    /// Follows a compacted topic of one partition (the definitions) from its beginning, for ever.
    fn tail_definitions(&self) -> impl Future<Output = Result<mpsc::Receiver<Definition>, LogError>> + Send;

    /// The end of the definitions topic now: the offset that the next record will have.
    fn definitions_end(&self) -> impl Future<Output = Result<Offset, LogError>> + Send;

    /// Creates what is missing among these topics; leaves those that exist alone.
    fn ensure_topics(&self, topics: Vec<TopicSpec>) -> impl Future<Output = Result<(), LogError>> + Send;

    /// The smallest `max.message.bytes` among the topics that the processor writes.
    fn record_bytes_max(&self) -> impl Future<Output = Result<usize, LogError>> + Send;

    /// Transactional producers of its own, with the stable transactional ids `<app>-<ordinal>-<lane>` and, for a second one,
    /// `<app>-<ordinal>-<lane>-b`.
    fn lane(&self, lane: u32) -> impl Future<Output = Result<Self::Lane, LogError>> + Send;
}

/// A record of the definitions topic, or the news that its end was reached.
#[derive(Clone, Debug)]
pub enum Definition {
    /// A record; a value of none deletes the key.
    Record {
        /// Where it stands.
        offset: Offset,
        /// `namespace/name/version`
        key: Option<Bytes>,
        /// Encoded.
        value: Option<Bytes>,
    },
    /// The reader stands at this offset; nothing is left before it.
    Position(Offset),
}

/// Transactional producers that take turns: one transaction at a time.
pub trait Lane: Send + 'static {
    /// The `transactional.id` that stands for all of them, for claims.
    fn transactional_id(&self) -> &str;

    /// Produces the records of these parts, in the transaction that the first of them begins. Waits for nothing: what goes wrong, `commit`
    /// tells.
    fn append(&mut self, parts: Vec<Share>);

    /// Produces the last part of each share, sends their internal offsets with fresh group metadata, and commits all that was appended.
    /// A part of an incarnation that is dead by then aborts the transaction. Never gives up half-way: after a fatal error its producer
    /// has been made anew when this returns.
    fn commit(&mut self, shares: Vec<Share>) -> impl Future<Output = CommitOutcome> + Send;
}

/// The pause between two tries of something that failed: doubles from 50 ms to 5 s.
#[must_use]
pub fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(50u64.saturating_mul(1 << attempt.min(7)).min(5_000))
}
