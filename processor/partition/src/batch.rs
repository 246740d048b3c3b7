//! One batch of records on its way to a decision: read, then prepared, when everything that it needs is in memory. Once it is decided it is
//! part of what is [open](crate::open).

use std::collections::{BTreeMap, BTreeSet};

use millrace_placement::PartitionIndex;
use millrace_schemas::channel::ChannelCommand;
use millrace_schemas::cloud_event::PublishedEvent;
use millrace_schemas::command::{Addressed, AddressedCommand, Command};
use millrace_schemas::schedule::ScheduleCommand;
use millrace_schemas::{InstanceId, Offset, Timestamp, WorkflowVersion};

use crate::input::{InboundRecord, Source};
use crate::timer_index::TimerEntry;

/// A batch that is not decided yet. At most one exists at a time; nothing has come of it so far.
#[derive(Debug)]
pub(crate) struct Batch {
    /// As they came.
    pub(crate) records: Vec<InboundRecord>,
    /// What each of them asks for. Filled by `prepare`.
    pub(crate) requests: Vec<Request>,
    /// Timers to propose in this transaction.
    pub(crate) due: Vec<TimerEntry>,
    /// Versions that schedules of this partition shall follow, to propose in this transaction.
    pub(crate) definitions: Vec<WorkflowVersion>,
    /// Positions of topics to set in this transaction, whatever they were.
    pub(crate) found: BTreeMap<Source, Offset>,
    pub(crate) missing: Missing,
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

/// What has to come before a batch can be decided.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) snapshots: BTreeSet<InstanceId>,
    pub(crate) schemas: BTreeSet<u32>,
    pub(crate) definitions: Definitions,
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
