//! What an instance may be asked to do. Every command comes from one record: of the public inbox (a CloudEvent), or of the
//! internal topic (a timer that is due).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{ParentTask, Reopening, TaskError};
use crate::{EventId, ExecutionId, InstanceId, Payload, TaskToken, TimerId, Timestamp, WorkflowName};

/// A command with its address and its origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Addressed<C> {
    /// Which instance, or which channel.
    pub instance: InstanceId,
    /// The event that asked for it; a fired timer has `millrace:timer` as its source.
    pub cause: EventId,
    /// W3C trace context of the record (`traceparent` header), if it had one.
    pub traceparent: Option<String>,
    /// What goes with that (`tracestate` header).
    pub tracestate: Option<String>,
    /// What the sender wants to be told.
    pub answer: Answer,
    /// What is asked.
    pub command: C,
}

/// A command for an instance.
pub type AddressedCommand = Addressed<Command>;

/// What the sender of a command wants to be told of its outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// That it was refused, if it was.
    #[default]
    Refusal,
    /// What it did, too.
    Outcome,
    /// As [`Self::Outcome`]; and an event that no `listen` takes at once is refused, instead of waiting for one.
    AtOnce,
}

/// A request to one instance. Imperative; it may be refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Start the instance. A second start of the same id is refused, whatever it carries: starting is idempotent.
    Start {
        /// Which workflow.
        workflow: WorkflowName,
        /// Which version; the newest one that is deployed, when absent.
        version: Option<Arc<str>>,
        /// The raw input of the workflow.
        input: Payload,
        /// The task that waits for the instance to end, when another instance starts it.
        parent: Option<ParentTask>,
    },
    /// A worker has done a task.
    CompleteTask {
        /// From the task record.
        token: TaskToken,
        /// The raw output.
        output: Payload,
    },
    /// A worker could not do a task.
    FailTask {
        /// From the task record.
        token: TaskToken,
        /// Why.
        error: TaskError,
        /// Whether trying again may help. A permanent failure skips the retries of a surrounding `try`.
        retriable: bool,
    },
    /// A worker is still at a long task.
    RecordHeartbeat {
        /// From the task record.
        token: TaskToken,
    },
    /// A timer is due. Proposed by the partition, read back from the log, and only then decided.
    FireTimer {
        /// Which timer.
        timer: TimerId,
        /// When it was due.
        due: Timestamp,
    },
    /// An event from outside, addressed to this instance.
    DeliverSignal {
        /// The whole CloudEvent as a JSON object in the structured form (`specversion`, `id`, …, `data`).
        event: Payload,
    },
    /// End the instance; what is open is cancelled.
    Cancel {
        /// For people.
        reason: String,
        /// Whether what was done is undone first.
        compensate: bool,
    },
    /// Stop taking steps; commands that come meanwhile are deferred.
    Suspend {
        /// For people.
        reason: String,
    },
    /// Go on after [`Command::Suspend`] or after an incident.
    Resume {
        /// For people.
        reason: String,
    },
    /// An event from outside that a `listen` of the instance has subscribed to.
    DeliverEvent {
        /// The `listen`.
        listener: ExecutionId,
        /// Which of its filters, from 0.
        filter: u32,
        /// As in [`Command::DeliverSignal`].
        event: Payload,
    },
    /// Begin halted tasks again, and go on.
    Retry {
        /// JSON pointer of the task; all that are halted, when absent.
        task: Option<Arc<str>>,
        /// Another input.
        input: Option<Payload>,
        /// Who asks.
        by: String,
        /// For people.
        reason: String,
    },
    /// Give a task another input while the instance stands still.
    Edit {
        /// JSON pointer of the task.
        task: Arc<str>,
        /// Its input, before `input.from`.
        input: Payload,
        /// Who asks.
        by: String,
        /// For people.
        reason: String,
    },
    /// Leave a halted task out, and go on with what is said to be its output.
    Skip {
        /// JSON pointer of the task; the one that is halted, when absent.
        task: Option<Arc<str>>,
        /// Its output.
        output: Payload,
        /// Who asks.
        by: String,
        /// For people.
        reason: String,
    },
    /// Put the flow back to a task. It says all that the engine needs for it and does not keep.
    Restart {
        /// JSON pointer of the task.
        task: Arc<str>,
        /// What flows to it.
        input: Payload,
        /// `$context` as the task will see it; as it is, when absent.
        context: Option<Payload>,
        /// How many restarts there were before: one that comes twice is refused. Not looked at when absent.
        number: Option<u32>,
        /// For an instance that has ended.
        reopening: Option<Reopening>,
        /// Who asks.
        by: String,
        /// For people.
        reason: String,
    },
}

impl Command {
    /// The command's name, as metrics, logs and rejections show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::CompleteTask { .. } => "complete_task",
            Self::FailTask { .. } => "fail_task",
            Self::RecordHeartbeat { .. } => "record_heartbeat",
            Self::FireTimer { .. } => "fire_timer",
            Self::DeliverSignal { .. } => "deliver_signal",
            Self::Cancel { .. } => "cancel",
            Self::Suspend { .. } => "suspend",
            Self::Resume { .. } => "resume",
            Self::DeliverEvent { .. } => "deliver_event",
            Self::Retry { .. } => "retry",
            Self::Edit { .. } => "edit",
            Self::Skip { .. } => "skip",
            Self::Restart { .. } => "restart",
        }
    }
}
