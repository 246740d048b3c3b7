//! One batch of records on its way through a partition: read, prepared (everything it needs is in memory), decided, committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use millrace_engine::Entity;
use millrace_placement::PartitionIndex;
use millrace_schemas::channel::ChannelCommand;
use millrace_schemas::cloud_event::PublishedEvent;
use millrace_schemas::command::{Addressed, AddressedCommand, Command};
use millrace_schemas::schedule::ScheduleCommand;
use millrace_schemas::{InstanceId, Offset, Timestamp, WorkflowVersion};

use crate::input::{InboundRecord, Source};
use crate::output::Observation;
use crate::processed::Processed;
use crate::timer_index::TimerEntry;
use crate::transaction::TransactionId;

/// A batch. At most one exists at a time; whatever it has done is undone by dropping it.
#[derive(Debug)]
pub(crate) struct Batch {
    /// As they came; they go back to the inbox if the transaction is aborted.
    pub(crate) records: Vec<InboundRecord>,
    /// What each of them asks for. Filled by `prepare`.
    pub(crate) requests: Vec<Request>,
    /// Timers to propose in this transaction.
    pub(crate) due: Vec<TimerEntry>,
    /// Versions that schedules of this partition shall follow, to propose in this transaction.
    pub(crate) definitions: Vec<WorkflowVersion>,
    /// Positions of topics to set in this transaction, whatever they were.
    pub(crate) found: BTreeMap<Source, Offset>,
    pub(crate) stage: Stage,
    /// When its records were taken from the inbox.
    pub(crate) started_at: Timestamp,
}

impl Request {
    /// The timer whose proposal was read back.
    pub(crate) fn timer(&self) -> Option<TimerEntry> {
        let (timer, due) = match self {
            Self::Decide(command) => match command.command {
                Command::FireTimer { timer, due } => (timer, due),
                _ => return None,
            },
            Self::Schedule(command) => match command.command {
                ScheduleCommand::FireTimer { timer, due } => (timer, due),
                _ => return None,
            },
            _ => return None,
        };
        Some(TimerEntry { due, instance: self.key()?.clone(), timer })
    }

    /// The key of this partition that it is about.
    pub(crate) fn key(&self) -> Option<&InstanceId> {
        match self {
            Self::Decide(command) => Some(&command.instance),
            Self::Channel(command) => Some(&command.instance),
            Self::Schedule(command) => Some(&command.instance),
            Self::Publish(_)
            | Self::Hear(_)
            | Self::Forward { .. }
            | Self::DeadLetter { .. }
            | Self::NeedsSchema(_)
            | Self::Stop { .. } => None,
        }
    }
}

/// What one record asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command for an instance of this partition.
    Decide(Box<AddressedCommand>),
    /// A command for a channel of this partition.
    Channel(Box<Addressed<ChannelCommand>>),
    /// A command for a schedule of this partition.
    Schedule(Box<Addressed<ScheduleCommand>>),
    /// An event for whoever listens, wherever that is.
    Publish(Box<PublishedEvent>),
    /// What a record of a topic holds: an event in each of the ways in which it is read.
    Hear(Vec<PublishedEvent>),
    /// The key lives elsewhere.
    Forward {
        home: PartitionIndex,
        hops: u32,
        /// What has caused the record, for those who trace it.
        traceparent: Option<String>,
        tracestate: Option<String>,
    },
    /// Cannot be read.
    DeadLetter { reason: &'static str, detail: String },
    /// It needs this schema to be read.
    NeedsSchema(u32),
    /// To pass over it would be to lose it.
    Stop { detail: &'static str },
}

/// How far a batch is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Something is missing.
    Loading { snapshots: BTreeSet<InstanceId>, schemas: BTreeSet<u32>, definitions: Definitions },
    /// The transaction is with the shell.
    Committing(Box<Committing>),
}

/// Whether unknown workflows are known to be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Definitions {
    /// Nobody has asked.
    AsTheyAre,
    /// Being read up to their end.
    CatchingUp,
    /// They were read up to their end after the batch was read: what is unknown now does not exist.
    CaughtUp,
}

/// An entry of the changelog, on its way.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) instance: InstanceId,
    /// As it is written.
    pub(crate) value: Bytes,
    /// How long it stays in the history, if it goes there.
    pub(crate) history: Option<Option<Duration>>,
}

/// What becomes true with the commit.
#[derive(Debug, Default)]
pub(crate) struct Committing {
    pub(crate) transaction: Option<TransactionId>,
    /// The new states.
    pub(crate) entities: BTreeMap<InstanceId, Entity>,
    /// For each changelog record: what it holds, if it is an entry.
    pub(crate) changelog: Vec<Option<Entry>>,
    pub(crate) positions: BTreeMap<Source, Offset>,
    pub(crate) observations: Vec<Observation>,
    /// Instances that are set aside and were asked for by a timer.
    pub(crate) wakes: BTreeSet<InstanceId>,
    /// What is told of the records.
    pub(crate) processed: Vec<Processed>,
    /// It is the claim, not a batch of records.
    pub(crate) is_claim: bool,
    /// Records about a key of this partition.
    pub(crate) lookups: u64,
    /// Keys that were not in memory when they were asked for, since the last decision.
    pub(crate) misses: u64,
}
