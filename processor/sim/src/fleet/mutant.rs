//! The protocol, broken on purpose in one place. Each mutant must be caught, or the simulation cannot see what it is for.
//!
//! Mutants live in the simulated shell, broker and store, between the real partition and its world: production code has no
//! switches for them. What a mutant does to the partition is done to its inputs and outputs.

/// One way to break the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Mutant {
    /// Of two snapshots of a key the one that arrives last stays, as with write timestamps from the servers' clocks.
    WallClockSnapshots,
    /// The partition is told that its transaction is committed before it is: it flushes what may yet be aborted.
    SnapshotBeforeCommit,
    /// The restore ends at the last stable offset instead of the high watermark (KAFKA-10167).
    RestoreToStableOffset,
    /// The checkpoint stands at the end of the log, whatever is dirty.
    CheckpointIgnoresDirty,
    /// The checkpoint stands at the last offset of each dirty key, not at its first.
    CheckpointAtLastDirty,
    /// The committed offset is read without waiting for pending ones (no `require_stable`, KIP-447).
    UnstableOffsetFetch,
    /// A replay applies what the snapshot already holds.
    NoOffsetGuard,
    /// A transaction of a dead incarnation goes out under fresh group metadata (F2).
    FreshMetadataForStaleIncarnation,
    /// Of two checkpoints the one that arrives last stays. Costs only a longer replay, until the log is trimmed.
    WallClockCheckpoints,
    /// The log is trimmed to the checkpoint in memory, whose write may be lost.
    TrimToOwnCheckpoint,
    /// A transaction whose outcome nobody knows is taken for aborted, and its batch tried again.
    UnknownCommitRetried,
    /// The batch of a transaction whose outcome nobody knows is tried again by the lane's other producer, which need not wait for it.
    OtherProducerGoesOn,
    /// Records that were fetched for an earlier incarnation reach the next one.
    RecordsOutliveIncarnation,
    /// A write that timed out counts as durable.
    TimedOutWriteCounts,
    /// The timer index is not written.
    TimersNotIndexed,
    /// The checkpoint says that all timers of the next hour have fired.
    TimerWatermarkAhead,
    /// The checkpoint says that all timers that are due at the same instant as the next one have fired.
    TimerPlaceAhead,
    /// A timer is indexed by the flush after the one that it belongs to: the checkpoint has moved by then.
    TimersIndexedLate,
    /// A full page of the timer index lacks its last entry.
    TimerPageDropsLast,
    /// The page after a full one begins at the next due time, not at the next entry.
    TimerCursorSkipsEqual,
    /// The timer index is read as it was when it was read the last time.
    TimerReadIsStale,
    /// Proposals to fire timers leave with the owner's next transaction, if there is one: the checkpoint may have passed them by then.
    ProposalInNextTransaction,
    /// Clocks are ahead by far more than they may be.
    ClockFarAhead,
    /// A proposal is for whatever timer of the instance is pending when it is read, not for the one that was due.
    ProposalForAnyTimer,
    /// Transactions carry no group metadata (no F1).
    NoGroupFence,
    /// History rows are left out of the flushes.
    HistoryNotWritten,
    /// Positions of users' topics are kept where they are not part of the transaction, as a consumer does that commits by itself: whoever
    /// reads next begins where the last one has handled records, whatever came of its transaction.
    TopicPositionsOutsideTransaction,
    /// A users' topic is read from its end whenever it is read anew, as without positions.
    TopicPositionsNotKept,
    /// Forwarded records leave outside of the transaction.
    ForwardOutsideTransaction,
    /// Commands that one instance sends another leave once the transaction is known to be committed. (That they leave before it
    /// does no harm: whoever decides again decides the same, for the log has an order.)
    CommandAfterTransaction,
    /// Events leave their channel for those who listen outside of the transaction that says so.
    DeliveryOutsideTransaction,
    /// A channel's events leave for those who listen once the transaction is known to be committed: an owner that dies between the match
    /// and the delivery takes them along.
    DeliveryAfterTransaction,
    /// Events that are addressed to nobody leave for their channels once the position behind them is known to be committed.
    PublishAfterTransaction,
    /// Subscriptions leave for their channels once the transaction is known to be committed.
    SubscribeAfterTransaction,
    /// Rows of channels are left out of the flushes.
    ChannelsNotWritten,
    /// Rows of schedules are left out of the flushes: the next owner knows neither what has been started nor what is to come.
    SchedulesNotWritten,
    /// Rows that shall expire some day are gone at once.
    RowsExpireEarly,
    /// The high watermark is read before the pending offsets have been waited for.
    EndBeforeStableOffset,
    /// The checkpoint does not say how new the newest id is that was ever used: what is started again counts as never used.
    NewestIdNotKept,
    /// Of the incarnations that have parts in a transaction only the last one must be alive when it is committed.
    PartsOfTheDeadCommitted,
    /// Nothing tells a task from one that an aborted transaction had in its place: an answer to that one is taken for it.
    TokensComeAgain,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 41] = [
        Self::WallClockSnapshots,
        Self::SnapshotBeforeCommit,
        Self::RestoreToStableOffset,
        Self::CheckpointIgnoresDirty,
        Self::CheckpointAtLastDirty,
        Self::UnstableOffsetFetch,
        Self::NoOffsetGuard,
        Self::FreshMetadataForStaleIncarnation,
        Self::WallClockCheckpoints,
        Self::TrimToOwnCheckpoint,
        Self::UnknownCommitRetried,
        Self::OtherProducerGoesOn,
        Self::RecordsOutliveIncarnation,
        Self::TimedOutWriteCounts,
        Self::TimersNotIndexed,
        Self::TimerWatermarkAhead,
        Self::TimerPlaceAhead,
        Self::TimersIndexedLate,
        Self::TimerPageDropsLast,
        Self::TimerCursorSkipsEqual,
        Self::TimerReadIsStale,
        Self::ProposalInNextTransaction,
        Self::ClockFarAhead,
        Self::ProposalForAnyTimer,
        Self::NoGroupFence,
        Self::HistoryNotWritten,
        Self::TopicPositionsOutsideTransaction,
        Self::TopicPositionsNotKept,
        Self::ForwardOutsideTransaction,
        Self::CommandAfterTransaction,
        Self::DeliveryOutsideTransaction,
        Self::DeliveryAfterTransaction,
        Self::PublishAfterTransaction,
        Self::SubscribeAfterTransaction,
        Self::ChannelsNotWritten,
        Self::SchedulesNotWritten,
        Self::RowsExpireEarly,
        Self::EndBeforeStableOffset,
        Self::NewestIdNotKept,
        Self::PartsOfTheDeadCommitted,
        Self::TokensComeAgain,
    ];
}
