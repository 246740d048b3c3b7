//! The events that the inbox understands, built; and the ones that Millrace writes.

use serde_json::{Value, json};

use super::{ANSWER, CloudEvent, FILTER, LISTENER, PARENT, PARENT_TOKEN, TASK_TOKEN, WORKFLOW, types};
use crate::channel::ChannelCommand;
use crate::command::{Answer, Command};
use crate::event::{ParentTask, TaskError};
use crate::schedule::schedule_id;
use crate::{EventId, InstanceId, TaskToken, WorkflowName};

/// Starts `instance` of `workflow`: of its newest version, when `version` is none.
#[must_use]
pub fn start_event(
    id: EventId,
    instance: &InstanceId,
    workflow: &WorkflowName,
    version: Option<&str>,
    input: Value,
) -> CloudEvent {
    let workflow = version.map_or_else(|| workflow.to_string(), |version| format!("{workflow}/{version}"));
    CloudEvent::new(id, types::START)
        .with_subject(instance.as_str())
        .with_extension(WORKFLOW, workflow)
        .with_data(input)
}

/// The event that asks a channel for `command`.
#[must_use]
pub fn channel_event(id: EventId, to: &InstanceId, command: &ChannelCommand) -> CloudEvent {
    let data = serde_json::to_value(command).expect("its maps have strings as their keys");
    CloudEvent::new(id, types::CHANNEL).with_subject(to.as_str()).with_data(data)
}

/// The event that asks for `command`, for those commands that entities send to instances: start, cancel, answers to tasks, events.
/// None for the others.
#[must_use]
pub fn command_event(id: EventId, to: &InstanceId, command: &Command) -> Option<CloudEvent> {
    match command {
        Command::Start { workflow, version, input, parent } => {
            let start = start_event(id, to, workflow, version.as_deref(), input.value().clone());
            Some(match parent {
                Some(parent) => with_parent(start, parent),
                None => start,
            })
        }
        Command::CompleteTask { token, output } => {
            Some(complete_event(id, to, *token, output.value().clone()))
        }
        Command::FailTask { token, error, retriable } => Some(fail_event(id, to, *token, error, *retriable)),
        Command::Cancel { reason, compensate } => Some(cancel_event(id, to, reason, *compensate)),
        Command::DeliverEvent { listener, filter, event } => Some(
            CloudEvent::new(id, types::DELIVER)
                .with_subject(to.as_str())
                .with_extension(LISTENER, listener.0)
                .with_extension(FILTER, *filter)
                .with_data(event.value().clone()),
        ),
        Command::RecordHeartbeat { .. }
        | Command::FireTimer { .. }
        | Command::DeliverSignal { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::Retry { .. }
        | Command::Edit { .. }
        | Command::Skip { .. }
        | Command::Restart { .. } => None,
    }
}

/// Starts an instance for a task of another one, `parent`, which is answered when it ends.
#[must_use]
pub fn with_parent(start: CloudEvent, parent: &ParentTask) -> CloudEvent {
    start
        .with_extension(PARENT, parent.instance.as_str())
        .with_extension(PARENT_TOKEN, parent.token.to_string())
}

/// Sends `instance` a signal. `event_type` must not begin with [`types::PREFIX`].
#[must_use]
pub fn signal_event(id: EventId, instance: &InstanceId, event_type: &str, data: Option<Value>) -> CloudEvent {
    let event = CloudEvent::new(id, event_type).with_subject(instance.as_str());
    match data {
        Some(data) => event.with_data(data),
        None => event,
    }
}

/// Answers a task with its output.
#[must_use]
pub fn complete_event(id: EventId, instance: &InstanceId, token: TaskToken, output: Value) -> CloudEvent {
    answer(id, types::TASK_COMPLETED, instance, token).with_data(output)
}

/// Answers a task with an error. Not `retriable`: the retries of a surrounding `try` are skipped.
#[must_use]
pub fn fail_event(
    id: EventId,
    instance: &InstanceId,
    token: TaskToken,
    error: &TaskError,
    retriable: bool,
) -> CloudEvent {
    let mut data = json!({ "type": error.error_type, "status": error.status });
    if let Some(title) = &error.title {
        data["title"] = title.as_str().into();
    }
    if let Some(detail) = &error.detail {
        data["detail"] = detail.as_str().into();
    }
    data["retriable"] = retriable.into();
    answer(id, types::TASK_FAILED, instance, token).with_data(data)
}

/// Says that the worker is still at the task.
#[must_use]
pub fn heartbeat_event(id: EventId, instance: &InstanceId, token: TaskToken) -> CloudEvent {
    answer(id, types::TASK_HEARTBEAT, instance, token)
}

/// Ends `instance`: now, or after what it has done is undone.
#[must_use]
pub fn cancel_event(id: EventId, instance: &InstanceId, reason: &str, compensate: bool) -> CloudEvent {
    let mut data = json!({ "reason": reason });
    if compensate {
        data["compensate"] = true.into();
    }
    CloudEvent::new(id, types::CANCEL).with_subject(instance.as_str()).with_data(data)
}

/// The event that an operator sends for `command`: a retry, an edit, a skip or a restart. None for the others.
#[must_use]
pub fn control_event(id: EventId, to: &InstanceId, command: &Command) -> Option<CloudEvent> {
    let (event_type, data) = super::control::write(command)?;
    Some(CloudEvent::new(id, event_type).with_subject(to.as_str()).with_data(data))
}

/// Holds `instance` until it is resumed.
#[must_use]
pub fn suspend_event(id: EventId, instance: &InstanceId, reason: &str) -> CloudEvent {
    with_reason(id, types::SUSPEND, instance, reason)
}

/// Lets `instance` go on.
#[must_use]
pub fn resume_event(id: EventId, instance: &InstanceId, reason: &str) -> CloudEvent {
    with_reason(id, types::RESUME, instance, reason)
}

/// Pauses the schedule of `workflow`.
#[must_use]
pub fn pause_schedule_event(id: EventId, workflow: &WorkflowName, reason: &str) -> CloudEvent {
    with_reason(id, types::SCHEDULE_PAUSE, &schedule_id(workflow), reason)
}

/// Lets the schedule of `workflow` go on.
#[must_use]
pub fn resume_schedule_event(id: EventId, workflow: &WorkflowName, reason: &str) -> CloudEvent {
    with_reason(id, types::SCHEDULE_RESUME, &schedule_id(workflow), reason)
}

/// Starts an instance of `workflow` now, as its schedule would.
#[must_use]
pub fn trigger_schedule_event(id: EventId, workflow: &WorkflowName) -> CloudEvent {
    CloudEvent::new(id, types::SCHEDULE_TRIGGER).with_subject(schedule_id(workflow).as_str())
}

/// What Millrace says when it refuses a command, in `<prefix>.lifecycle`. `command` is `Command::name`, `reason` a stable name
/// (`not_found`, `already_exists`, `duplicate`, `invalid_state`, …), `detail` for people.
#[must_use]
pub fn rejection_event(
    id: EventId,
    instance: &InstanceId,
    command: &str,
    cause: &EventId,
    reason: &str,
    detail: &str,
) -> CloudEvent {
    CloudEvent::new(id, types::COMMAND_REJECTED).with_subject(instance.as_str()).with_data(json!({
        "command": command,
        "cause": { "source": cause.source, "id": cause.id },
        "reason": reason,
        "detail": detail,
    }))
}

/// What Millrace says when it has done a command whose sender has asked for the outcome, in `<prefix>.lifecycle`. `command` is
/// `Command::name`; `outcome` a stable name (`done`, `taken`, `waits`, `deferred`, `dropped`); `task` the JSON pointer of the `listen`
/// that has taken an event; `status` how the instance stands after it.
#[must_use]
pub fn acceptance_event(
    id: EventId,
    instance: &InstanceId,
    command: &str,
    cause: &EventId,
    outcome: &str,
    task: Option<&str>,
    status: &str,
) -> CloudEvent {
    let mut data = json!({
        "command": command,
        "cause": { "source": cause.source, "id": cause.id },
        "outcome": outcome,
    });
    if let Some(task) = task {
        data["task"] = task.into();
    }
    data["status"] = status.into();
    CloudEvent::new(id, types::COMMAND_ACCEPTED).with_subject(instance.as_str()).with_data(data)
}

/// Asks for the outcome of what an event for the inbox asks for.
#[must_use]
pub fn with_answer(event: CloudEvent, answer: Answer) -> CloudEvent {
    match answer {
        Answer::Refusal => event,
        Answer::Outcome => event.with_extension(ANSWER, true),
        Answer::AtOnce => event.with_extension(ANSWER, "now"),
    }
}

fn answer(id: EventId, event_type: &str, instance: &InstanceId, token: TaskToken) -> CloudEvent {
    CloudEvent::new(id, event_type)
        .with_subject(instance.as_str())
        .with_extension(TASK_TOKEN, token.to_string())
}

fn with_reason(id: EventId, event_type: &str, instance: &InstanceId, reason: &str) -> CloudEvent {
    CloudEvent::new(id, event_type).with_subject(instance.as_str()).with_data(json!({ "reason": reason }))
}
