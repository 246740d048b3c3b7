//! What happened to an instance: the changelog, which is the truth.
//!
//! Events are facts. Applying one never evaluates an expression, never needs the definition, a clock or a random number:
//! whatever was computed is in the event. Released events keep their meaning for ever.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::{
    Attempt, EventId, ExecutionId, InstanceId, Payload, TaskToken, TimerId, Timestamp, WorkflowVersion,
};

/// One changelog record: what one command did to one instance. The record's key is the instance id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangelogEntry {
    /// When it was decided: the owner's clock.
    pub at: Timestamp,
    /// The event that caused it.
    pub cause: EventId,
    /// W3C trace context of the cause.
    pub traceparent: Option<String>,
    /// What happened, in order. Never empty.
    pub events: Vec<Event>,
}

/// One fact about one instance. Past tense.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The instance exists. Its root execution (0) is a sequence whose data is `input`.
    InstanceStarted {
        /// The version it stays on.
        workflow: WorkflowVersion,
        /// The input as it came.
        raw_input: Payload,
        /// The input after the workflow's `input.from`; absent when that changed nothing.
        input: Option<Payload>,
        /// The task of another instance that waits for this one to end (`run: workflow`).
        parent: Option<ParentTask>,
    },
    /// A task was entered that stays open for a while, or that has children.
    TaskStarted {
        /// Its id: one more than the last one's.
        execution: ExecutionId,
        /// The scope it runs in.
        parent: ExecutionId,
        /// JSON pointer of the task in its definition, such as `/do/0/reserve`.
        task: Arc<str>,
        /// Tells apart executions of one task: the indexes of the loops around it (`2.0`), then `~n` after the n-th jump back.
        iteration: Arc<str>,
        /// Which attempt of a surrounding `try` this belongs to.
        attempt: Attempt,
        /// The input after `input.from`; absent when it is the data of the scope, unchanged.
        input: Option<Payload>,
        /// What it does until it ends.
        activity: Activity,
    },
    /// A task that ends at once (`set`, `switch`, `emit`, an empty `do`) was entered and ended. It has no execution of its own.
    TaskRan {
        /// The scope it ran in.
        parent: ExecutionId,
        /// JSON pointer of the task.
        task: Arc<str>,
        /// As in [`Event::TaskStarted`].
        iteration: Arc<str>,
        /// The transformed output; absent when it is the data of the scope, unchanged.
        output: Option<Payload>,
        /// The new `$context`, when the task exports.
        context: Option<Payload>,
    },
    /// An open task ended well. Its output becomes the data of its scope, or its branch's result in a fork.
    TaskCompleted {
        /// Which.
        execution: ExecutionId,
        /// The transformed output.
        output: Payload,
        /// The new `$context`, when the task exports.
        context: Option<Payload>,
    },
    /// A task ended with an error; what was open below it is gone. The error goes on to the scope.
    TaskFaulted {
        /// The execution that ended; absent for a task that failed while it was being entered (or that ends at once).
        execution: Option<ExecutionId>,
        /// JSON pointer of the task.
        task: Arc<str>,
        /// The error.
        error: TaskError,
    },
    /// An open task and all below it were ended from outside: a lost race in a fork, a timeout, a cancelled instance.
    TaskCancelled {
        /// Which.
        execution: ExecutionId,
    },
    /// A jump backwards (`then:` an earlier task) in a sequence, loop or try block.
    SequenceJumped {
        /// The scope.
        execution: ExecutionId,
    },
    /// A loop goes on with its next item.
    IterationStarted {
        /// The loop.
        execution: ExecutionId,
        /// The item's index, from 0.
        index: u32,
    },
    /// A `try` has caught an error and will run its block again when the timer fires.
    RetryScheduled {
        /// The `try`.
        execution: ExecutionId,
        /// The error that was caught.
        error: TaskError,
        /// The timer that ends the pause.
        timer: TimerId,
        /// When. Jitter is in it.
        due: Timestamp,
    },
    /// The pause is over; the block of the `try` runs again, from the task's input.
    RetryStarted {
        /// The `try`.
        execution: ExecutionId,
    },
    /// A `try` has caught an error and runs `catch.do`, once.
    ErrorCaught {
        /// The `try`.
        execution: ExecutionId,
        /// The error.
        error: TaskError,
    },
    /// A durable timer was set.
    TimerSet {
        /// Its id: one more than the last one's.
        timer: TimerId,
        /// What it belongs to. It dies with this execution.
        execution: ExecutionId,
        /// When it is due.
        due: Timestamp,
        /// What it is for.
        purpose: TimerPurpose,
    },
    /// A timer has done its work, or is no longer wanted.
    TimerCleared {
        /// Which.
        timer: TimerId,
    },
    /// A call was sent to its workers: the first time, or again.
    TaskDispatched {
        /// The call.
        execution: ExecutionId,
        /// Which one: a number that grows each time.
        dispatch: u32,
    },
    /// A worker reported that it is still at it; the heartbeat timer was moved.
    HeartbeatRecorded {
        /// The call.
        execution: ExecutionId,
        /// The new due time of its heartbeat timer.
        due: Timestamp,
    },
    /// An event from outside came before any open `listen` matched it; it waits for one.
    SignalBuffered {
        /// Names the event. No two that wait have the same name.
        cause: EventId,
        /// The whole CloudEvent as a JSON object in the structured form.
        event: Payload,
    },
    /// An event that waited was taken by a `listen`.
    SignalConsumed {
        /// The `listen`.
        execution: ExecutionId,
        /// Which of the waiting events.
        cause: EventId,
    },
    /// The instance stands still. Commands are deferred until it is resumed.
    InstanceSuspended {
        /// For people.
        reason: String,
    },
    /// Something needs a human; the instance stands still. Commands are deferred until it is resumed.
    IncidentRaised {
        /// What happened.
        incident: Incident,
    },
    /// A command came while the instance stood still; it is decided after the resume.
    CommandDeferred {
        /// Who asked.
        cause: EventId,
        /// What.
        command: Command,
    },
    /// The instance goes on; an incident, if there was one, is closed. Deferred commands are decided next.
    InstanceResumed {
        /// For people.
        reason: String,
    },
    /// A deferred command was taken off the head of the queue, to be decided now.
    DeferredCommandTaken,
    /// The instance ended well.
    InstanceCompleted {
        /// Its output.
        output: Payload,
    },
    /// The instance ended with an error that nothing caught.
    InstanceFaulted {
        /// The error.
        error: TaskError,
    },
    /// The instance was ended from outside.
    InstanceCancelled {
        /// For people.
        reason: String,
    },
    /// A `listen` to several events took one of them.
    EventHeard {
        /// The `listen`.
        execution: ExecutionId,
        /// Which of its filters the event passed, from 0; those of `until` come after the others.
        filter: u32,
        /// The whole CloudEvent as a JSON object in the structured form.
        event: Payload,
        /// Whether it takes no more after it.
        is_last: bool,
    },
    /// A `listen` begins its tasks for an event that it took (`foreach`).
    EventRoundStarted {
        /// The `listen`.
        execution: ExecutionId,
        /// Which of the events that it took, from 0.
        index: u32,
        /// What its first task is given: the event as it is read.
        data: Payload,
    },
    /// A `listen` has done its tasks for an event.
    EventRoundEnded {
        /// The `listen`.
        execution: ExecutionId,
        /// The output for the event, transformed.
        output: Payload,
        /// The new `$context`, when it exports.
        context: Option<Payload>,
    },
    /// A `listen` has subscribed to a channel. It leaves it when it ends.
    ChannelJoined {
        /// The `listen`.
        execution: ExecutionId,
        /// Which of its filters, from 0.
        filter: u32,
        /// The id of the channel.
        channel: InstanceId,
    },
    /// An open `listen` needs a subscription no more.
    ChannelLeft {
        /// The `listen`.
        execution: ExecutionId,
        /// Which of its filters, from 0.
        filter: u32,
    },
    /// An event from outside was accepted. It is remembered, so that another copy of it is told from news.
    SignalReceived {
        /// Stands for its `source` and `id`.
        digest: i64,
        /// How many of those that are remembered are forgotten for it, the oldest first.
        forgotten: u32,
    },
    /// What the instance is found by has changed.
    AttributesChanged {
        /// All of them: a JSON object of texts, numbers, `true` and `false`.
        attributes: Payload,
    },
    /// A task that has a compensation has just ended well: what undoes it is kept until the instance has ended. Its output is what
    /// its scope was given.
    CompensationAdded {
        /// The scope it ran in.
        scope: ExecutionId,
        /// JSON pointer of the task.
        task: Arc<str>,
        /// As in [`Event::TaskStarted`].
        iteration: Arc<str>,
        /// Its input, after `input.from`.
        input: Payload,
        /// Whether it takes the place of what is kept of an earlier attempt: that had the same idempotency key.
        is_again: bool,
    },
    /// The instance will end, and undoes what it has done before: whatever was open is gone.
    CompensationStarted {
        /// How it will end.
        outcome: Outcome,
    },
    /// The task that had ended last, of those that are not undone yet, is undone.
    TaskCompensated {
        /// JSON pointer of the task that was undone.
        task: Arc<str>,
        /// As in [`Event::TaskStarted`].
        iteration: Arc<str>,
    },
    /// A task failed, and nothing caught it: it waits for somebody who says how it goes on. An incident follows.
    TaskHalted {
        /// The execution that ended; absent for a task that failed while it was being entered.
        execution: Option<ExecutionId>,
        /// The scope it runs in.
        scope: ExecutionId,
        /// JSON pointer of the task.
        task: Arc<str>,
        /// As in [`Activity::Sequence`].
        then: Option<Arc<str>>,
        /// The error.
        error: TaskError,
    },
    /// A task of an instance that stands still will begin again with another input. Until then it is halted.
    TaskEdited {
        /// The execution that ended for it; absent for a task that was halted already.
        execution: Option<ExecutionId>,
        /// The scope it runs in.
        scope: ExecutionId,
        /// JSON pointer of the task.
        task: Arc<str>,
        /// As in [`Activity::Sequence`].
        then: Option<Arc<str>>,
        /// What it will be given, before its `input.from`.
        input: Payload,
        /// Who asked for it.
        by: String,
        /// For people.
        reason: String,
    },
    /// A task that was halted begins again.
    TaskRetried {
        /// The scope it runs in.
        scope: ExecutionId,
        /// JSON pointer of the task.
        task: Arc<str>,
        /// Who asked for it.
        by: String,
        /// For people.
        reason: String,
    },
    /// A task that was halted is left out: somebody has said what it gives.
    TaskSkipped {
        /// The scope it runs in.
        scope: ExecutionId,
        /// JSON pointer of the task.
        task: Arc<str>,
        /// Its output.
        output: Payload,
        /// Who asked for it.
        by: String,
        /// For people.
        reason: String,
    },
    /// The flow was put back to a task: what is open in its list is gone, and all from there on runs again.
    InstanceRestarted {
        /// The scope whose list it is in.
        scope: ExecutionId,
        /// JSON pointer of the task.
        task: Arc<str>,
        /// What flows to it.
        data: Payload,
        /// `$context` as the task will see it; absent when it stays.
        context: Option<Payload>,
        /// Of an instance that had ended.
        reopening: Option<Reopening>,
        /// Who asked for it.
        by: String,
        /// For people.
        reason: String,
    },
}

/// How an instance ends that undoes first what it has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// With an error.
    Faulted {
        /// The error.
        error: TaskError,
    },
    /// It was asked to.
    Cancelled {
        /// For people.
        reason: String,
        /// Whether the instance that waits for it has asked, and waits no more.
        is_parent_told: bool,
    },
}

/// What an instance that has ended needs to run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reopening {
    /// The input as it came.
    pub raw_input: Payload,
    /// The input after the workflow's `input.from`.
    pub input: Payload,
    /// What undoes what it has done, oldest first.
    pub compensations: Vec<Compensation>,
}

/// A task that has ended well, and can be undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compensation {
    /// JSON pointer of the task.
    pub task: Arc<str>,
    /// As in [`Event::TaskStarted`]. No two have the same task and iteration.
    pub iteration: Arc<str>,
    /// Its input, after `input.from`.
    pub input: Payload,
    /// Its output.
    pub output: Payload,
}

/// A task that waits for another instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentTask {
    /// The instance that the task is in.
    pub instance: InstanceId,
    /// The task: what the answer carries.
    pub token: TaskToken,
}

/// A text that stands for a secret: the worker puts the secret in its place. So no secret is in any record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretMarker {
    /// The text, wherever it occurs in a string of the arguments. Nobody could know it before the arguments were computed.
    pub marker: String,
    /// The name of the secret, then the properties that lead to the value in it.
    pub path: Vec<String>,
}

/// What an open execution does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Activity {
    /// Runs the tasks of a list, one after the other (`do`).
    Sequence {
        /// Where the flow goes after it, when not where its task says: `exit`, `end`, or the JSON pointer of a task. Of tasks that
        /// extensions add after another one.
        then: Option<Arc<str>>,
    },
    /// Runs a list for each item (`for`).
    Loop {
        /// The items, a JSON array.
        items: Payload,
    },
    /// Runs branches side by side (`fork`).
    Branches {
        /// How many.
        count: u32,
    },
    /// Runs a list and catches its errors (`try`).
    Trying,
    /// Waits for its timer (`wait`).
    Waiting,
    /// Waits for an event (`listen`).
    Listening,
    /// Waits for a worker (`call`).
    Call {
        /// Queue: the topic `<prefix>.commands.<queue>`.
        queue: Arc<str>,
        /// The function that the worker shall run.
        function: Arc<str>,
        /// Its arguments, evaluated; absent when they are the task's input.
        arguments: Option<Payload>,
        /// When the task times out, if ever.
        deadline: Option<Timestamp>,
        /// Texts in the arguments that stand for secrets.
        secrets: Vec<SecretMarker>,
    },
    /// Waits for events, and runs tasks for each (`listen` with `foreach`).
    Gathering,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimerPurpose {
    /// The end of a `wait`.
    Wait,
    /// The end of the pause before a retry.
    RetryBackoff,
    /// The `timeout` of a task, or, on the root, of the workflow.
    Timeout,
    /// The longest time of one attempt of a `try` (`retry.limit.attempt.duration`). The error goes to that `try` itself.
    AttemptTimeout,
    /// A worker must give a sign of life before.
    Heartbeat,
    /// The next compensation, which had no room in the record of the ones before.
    Compensation,
}

/// An error of the language: RFC 7807 problem details.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskError {
    /// A URI, such as `https://serverlessworkflow.io/spec/1.0.0/errors/timeout`.
    #[serde(rename = "type")]
    pub error_type: String,
    /// As an HTTP status.
    pub status: u16,
    /// JSON pointer of the task that raised it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Short, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Long, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl TaskError {
    /// The type of an error that a worker reports without naming one.
    pub const RUNTIME: &'static str = "https://serverlessworkflow.io/spec/1.0.0/errors/runtime";
}

/// What stopped an instance until a human acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Stable name of the kind: `payload-too-large`, `task-faulted`, `compensation-failed`.
    pub kind: String,
    /// What happened, where, what to do.
    pub detail: String,
    /// The call whose answer was dropped; the resume dispatches it again.
    pub execution: Option<ExecutionId>,
}
