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
