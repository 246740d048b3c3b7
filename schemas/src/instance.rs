//! The state of an instance: the fold of its events, and what a snapshot holds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::event::{Compensation, Incident, Outcome, ParentTask, SecretMarker, TaskError, TimerPurpose};
use crate::{Attempt, EventId, ExecutionId, InstanceId, Payload, TimerId, Timestamp, WorkflowVersion};

/// One run of a workflow, running or ended. An ended instance keeps nothing open: it is the stub that refuses late commands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceState {
    /// The version it stays on.
    pub workflow: WorkflowVersion,
    /// Running, standing still, or how it ended.
    pub status: Status,
    /// When it started.
    pub started_at: Timestamp,
    /// When the last event was applied.
    pub updated_at: Timestamp,
    /// The input as it came. Null once ended.
    pub raw_input: Payload,
    /// The input after `input.from`. Null once ended.
    pub input: Payload,
    /// `$context` outside of any fork. Null once ended.
    pub context: Payload,
    /// W3C trace context of the start.
    pub traceparent: Option<String>,
    /// What is open. The root, 0, is there as long as the instance has not ended.
    pub executions: BTreeMap<ExecutionId, Execution>,
    /// What is due some day.
    pub timers: BTreeMap<TimerId, Timer>,
    /// Commands that wait for a resume, oldest first.
    pub deferred: VecDeque<DeferredCommand>,
    /// Events from outside that no `listen` has taken yet, oldest first.
    pub signals: VecDeque<BufferedSignal>,
    /// The id of the next execution.
    pub next_execution: u32,
    /// The id of the next timer.
    pub next_timer: u32,
    /// Tasks entered so far, for the bound on them.
    pub steps: u64,
    /// The task of another instance that waits for this one to end.
    pub parent: Option<ParentTask>,
    /// Channels that open `listen`s have subscribed to.
    pub channels: Vec<JoinedChannel>,
    /// Events from outside that were accepted lately, oldest first: another copy of one is refused.
    pub remembered: VecDeque<RememberedSignal>,
    /// What it is found by: a JSON object of texts, numbers, `true` and `false`. None if there was never anything. They stay when it has
    /// ended.
    pub attributes: Option<Payload>,
    /// Tasks that have ended well and can be undone, in the order in which they ended.
    pub compensations: Vec<Compensation>,
    /// Set while the instance undoes what it has done, last of all.
    pub compensating: Option<Compensating>,
    /// Tasks that wait for somebody who says how they go on. Only an instance that stands still has some.
    pub halted: Vec<Halted>,
    /// How many times its flow was put back to a task.
    pub restarts: u32,
}

/// An instance that undoes what it has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compensating {
    /// How it will end.
    pub outcome: Outcome,
}

/// A task that begins again when somebody says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Halted {
    /// The scope it runs in.
    pub scope: ExecutionId,
    /// JSON pointer of the task. No other open or halted task has the same.
    pub task: Arc<str>,
    /// As in [`crate::event::Activity::Sequence`].
    pub then: Option<Arc<str>>,
    /// Why it failed, if it did.
    pub error: Option<TaskError>,
    /// What it will be given, when that is not what its scope has for it.
    pub input: Option<Payload>,
}

/// A channel that an open `listen` has subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedChannel {
    /// The `listen`.
    pub execution: ExecutionId,
    /// Which of its filters, from 0.
    pub filter: u32,
    /// The id of the channel.
    pub channel: InstanceId,
}

/// How an instance stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Status {
    /// It takes steps.
    Running,
    /// It stands still until it is resumed.
    Suspended {
        /// For people.
        reason: String,
    },
    /// It stands still until a human acts.
    Incident {
        /// What happened.
        incident: Incident,
    },
    /// It ended well.
    Completed {
        /// Its output.
        output: Payload,
    },
    /// It ended with an error.
    Faulted {
        /// The error.
        error: TaskError,
    },
    /// It was ended from outside.
    Cancelled {
        /// For people.
        reason: String,
    },
}

impl Status {
    /// Whether the instance has ended.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Completed { .. } | Self::Faulted { .. } | Self::Cancelled { .. } => true,
            Self::Running | Self::Suspended { .. } | Self::Incident { .. } => false,
        }
    }

    /// The status in one word, as people, metrics and the list index see it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Suspended { .. } => "suspended",
            Self::Incident { .. } => "incident",
            Self::Completed { .. } => "completed",
            Self::Faulted { .. } => "faulted",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

/// A task that has been entered and has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// The scope it runs in; only the root has none.
    pub parent: Option<ExecutionId>,
    /// JSON pointer of the task; the root's is `/do`.
    pub task: Arc<str>,
    /// As in [`crate::event::Event::TaskStarted`].
    pub iteration: Arc<str>,
    /// Which attempt of a surrounding `try` this belongs to. Of a `try` that has retried: the attempt its block is at.
    pub attempt: Attempt,
    /// The highest attempt used by this execution or anything that ran below it: a retry takes the next one.
    pub attempt_seen: Attempt,
    /// The input after `input.from`.
    pub input: Payload,
    /// When it was entered.
    pub started_at: Timestamp,
    /// What it is at.
    pub state: ExecutionState,
}

/// What an open execution is at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExecutionState {
    /// Runs a list of tasks. At rest, exactly one of them is open.
    Sequence {
        /// What flows to the next task.
        data: Payload,
        /// Jumps backwards so far.
        jumps: u32,
        /// As in [`crate::event::Activity::Sequence`].
        then: Option<Arc<str>>,
    },
    /// Runs a list for each item.
    Loop {
        /// A JSON array.
        items: Payload,
        /// The item it is at.
        index: u32,
        /// What flows to the next task.
        data: Payload,
        /// Jumps backwards so far.
        jumps: u32,
    },
    /// Runs branches side by side.
    Branches {
        /// One for each branch, in the order of the definition.
        branches: Vec<Branch>,
    },
    /// Runs the block of a `try`.
    Trying {
        /// What flows to the next task.
        data: Payload,
        /// Jumps backwards so far.
        jumps: u32,
        /// Retries so far.
        retries: u32,
    },
    /// Pauses before a retry.
    BackingOff {
        /// The error that was caught.
        error: TaskError,
        /// Retries so far, the coming one not counted.
        retries: u32,
    },
    /// Runs `catch.do`.
    Catching {
        /// The error that was caught.
        error: TaskError,
        /// What flows to the next task.
        data: Payload,
        /// Jumps backwards so far.
        jumps: u32,
    },
    /// Waits for its timer.
    Waiting,
    /// Waits for events.
    Listening {
        /// What it took so far.
        heard: Vec<Heard>,
    },
    /// Waits for a worker.
    Calling {
        /// As in [`crate::event::Activity::Call`].
        queue: Arc<str>,
        /// As in [`crate::event::Activity::Call`].
        function: Arc<str>,
        /// As in [`crate::event::Activity::Call`].
        arguments: Option<Payload>,
        /// As in [`crate::event::Activity::Call`].
        deadline: Option<Timestamp>,
        /// The latest dispatch; 0 before the first.
        dispatch: u32,
        /// As in [`crate::event::Activity::Call`].
        secrets: Vec<SecretMarker>,
    },
    /// Waits for events, and runs a list for each, one after the other.
    Gathering {
        /// What it took so far.
        heard: Vec<Heard>,
        /// Whether it takes no more.
        is_done: bool,
        /// Whether it runs its list for an event. At rest it is when one task is open.
        is_busy: bool,
        /// Which of the events that it took its list runs for, or ran for last.
        index: u32,
        /// What flows to the next task.
        data: Payload,
        /// Jumps backwards so far.
        jumps: u32,
        /// The output for each event that is done.
        outputs: Vec<Payload>,
    },
}

/// An event that a `listen` took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Which of its filters the event passed.
    pub filter: u32,
    /// The whole CloudEvent as a JSON object in the structured form.
    pub event: Payload,
}

/// One branch of a fork.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Its output, once it has ended well.
    pub output: Option<Payload>,
    /// Its own copy of `$context`, once it has exported.
    pub context: Option<Payload>,
}

/// A pending timer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// The execution it belongs to.
    pub execution: ExecutionId,
    /// When it is due.
    pub due: Timestamp,
    /// What it is for.
    pub purpose: TimerPurpose,
}

/// A command that came while the instance stood still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeferredCommand {
    /// Who asked.
    pub cause: EventId,
    /// What.
    pub command: Command,
}

/// An event from outside that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedSignal {
    /// As in [`crate::event::Event::SignalReceived`].
    pub digest: i64,
    /// When it was accepted.
    pub at: Timestamp,
}

/// An event from outside that came before a `listen` for it was open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BufferedSignal {
    /// Names the event. No two in the buffer have the same name.
    pub cause: EventId,
    /// The whole CloudEvent as a JSON object in the structured form.
    pub event: Payload,
}
