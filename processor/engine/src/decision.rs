//! What a step gives back.

use std::sync::Arc;

use millrace_schemas::channel::ChannelCommand;
use millrace_schemas::command::Command;
use millrace_schemas::event::Event;
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{InstanceId, Payload};
use serde_json::Value;

/// What follows from a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Facts, already applied. Never empty.
    pub events: Vec<Event>,
    /// Consequences outside of the instance, for the same transaction.
    pub effects: Vec<Effect>,
    /// What the sender is told, if it wants to be told.
    pub outcome: Outcome,
}

/// What became of a command that was not refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// What it asked for was done.
    #[default]
    Done,
    /// A `listen` has taken the event.
    Taken {
        /// JSON pointer of the `listen`.
        task: Arc<str>,
    },
    /// The event waits for a `listen`.
    Waits,
    /// The command waits for the instance to be resumed.
    Deferred,
    /// The worker's answer was too large: the task is sent out again when the instance is resumed.
    Dropped,
}

impl Outcome {
    /// In one word, as answers have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Taken { .. } => "taken",
            Self::Waits => "waits",
            Self::Deferred => "deferred",
            Self::Dropped => "dropped",
        }
    }

    /// JSON pointer of the `listen` that has taken an event.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::Taken { task } => Some(task),
            Self::Done | Self::Waits | Self::Deferred | Self::Dropped => None,
        }
    }
}

/// A consequence outside of the instance: a record in the same transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// To `<prefix>.commands.<queue>`.
    DispatchTask {
        /// Which queue.
        queue: Arc<str>,
        /// The record.
        task: Box<TaskCommand>,
    },
    /// To `<prefix>.emitted`, or to `topic`.
    EmitEvent {
        /// A topic in full, if the definition names one.
        topic: Option<Arc<str>>,
        /// The CloudEvent in its structured JSON form.
        event: Payload,
    },
    /// To `<prefix>.lifecycle`: what happened, as the language has it.
    PublishLifecycle {
        /// Such as `io.serverlessworkflow.workflow.started.v1`.
        event_type: String,
        /// The data of the CloudEvent.
        data: Value,
    },
    /// To `<prefix>.events`: a command for another instance, a child or the parent.
    SendCommand {
        /// Which instance.
        to: InstanceId,
        /// Names the event: the same however often it is decided.
        id: String,
        /// The command.
        command: Box<Command>,
    },
    /// To `<prefix>.events`: a command for a channel.
    SendToChannel {
        /// Its id.
        channel: InstanceId,
        /// Names the event: the same however often it is decided.
        id: String,
        /// The command.
        command: Box<ChannelCommand>,
    },
}
