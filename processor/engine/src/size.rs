//! Bytes of payload JSON and other texts: what the bounds on records and on the state count.

use millrace_schemas::Payload;
use millrace_schemas::command::Command;
use millrace_schemas::event::{Activity, Compensation, Event, Outcome, Reopening, SecretMarker, TaskError};
use millrace_schemas::instance::{ExecutionState, Halted, InstanceState, Status};
/// Bytes of a payload as JSON.
#[must_use]
pub fn payload_bytes(payload: &Payload) -> usize {
    payload.json_bytes()
}

fn optional_bytes(payload: Option<&Payload>) -> usize {
    payload.map_or(0, payload_bytes)
}

/// Bytes of the texts of an error: they may come from expressions, so they count as payload.
pub(crate) fn error_bytes(error: &TaskError) -> usize {
    error.error_type.len()
        + error.instance.as_ref().map_or(0, String::len)
        + error.title.as_ref().map_or(0, String::len)
        + error.detail.as_ref().map_or(0, String::len)
}

/// Bytes of payload that a command brings.
pub(crate) fn command_bytes(command: &Command) -> usize {
    match command {
        Command::Start { input, .. } => payload_bytes(input),
        Command::CompleteTask { output, .. } => payload_bytes(output),
        Command::FailTask { error, .. } => error_bytes(error),
        Command::DeliverSignal { event } | Command::DeliverEvent { event, .. } => payload_bytes(event),
        Command::Cancel { reason, .. } | Command::Suspend { reason } | Command::Resume { reason } => {
            reason.len()
        }
        Command::Retry { input, by, reason, .. } => optional_bytes(input.as_ref()) + by.len() + reason.len(),
        Command::Edit { input: data, by, reason, .. } | Command::Skip { output: data, by, reason, .. } => {
            payload_bytes(data) + by.len() + reason.len()
        }
        Command::Restart { input, context, reopening, by, reason, .. } => {
            let data = payload_bytes(input) + optional_bytes(context.as_ref());
            data + reopening.as_ref().map_or(0, reopening_bytes) + by.len() + reason.len()
        }
        Command::RecordHeartbeat { .. } | Command::FireTimer { .. } => 0,
    }
}

/// What it takes to remember an event from outside, in bytes: a digest and a time.
const REMEMBERED_BYTES: usize = 16;
fn reopening_bytes(it: &Reopening) -> usize {
    let kept: usize = it.compensations.iter().map(compensation_bytes).sum();
    payload_bytes(&it.raw_input) + payload_bytes(&it.input) + kept
}

fn compensation_bytes(it: &Compensation) -> usize {
    it.task.len() + it.iteration.len() + payload_bytes(&it.input) + payload_bytes(&it.output)
}

fn outcome_bytes(it: &Outcome) -> usize {
    match it {
        Outcome::Faulted { error } => error_bytes(error),
        Outcome::Cancelled { reason, .. } => reason.len(),
    }
}

fn halted_bytes(it: &Halted) -> usize {
    it.task.len() + it.error.as_ref().map_or(0, error_bytes) + optional_bytes(it.input.as_ref())
}

/// What an event needs in its record besides payloads and texts, in bytes, roughly and generously.
const EVENT_BYTES: usize = 16;

/// Bytes that an event adds to its record, roughly: its payloads and its other texts.
///
/// Commands taken from the queue and incidents count nothing, for what is decided *because* a record is full must fit it.
pub(crate) fn event_bytes(event: &Event) -> usize {
    let variable = match event {
        Event::InstanceStarted { raw_input, input, .. } => {
            payload_bytes(raw_input) + optional_bytes(input.as_ref())
        }
        Event::TaskStarted { task, iteration, input, activity, .. } => {
            task.len() + iteration.len() + optional_bytes(input.as_ref()) + activity_bytes(activity)
        }
        Event::TaskRan { task, iteration, output, context, .. } => {
            let payloads = optional_bytes(output.as_ref()) + optional_bytes(context.as_ref());
            task.len() + iteration.len() + payloads
        }
        Event::TaskCompleted { output, context, .. } => {
            payload_bytes(output) + optional_bytes(context.as_ref())
        }
        Event::TaskFaulted { task, error, .. } => task.len() + error_bytes(error),
        Event::RetryScheduled { error, .. }
        | Event::ErrorCaught { error, .. }
        | Event::InstanceFaulted { error } => error_bytes(error),
        Event::SignalBuffered { cause, event } => cause.source.len() + cause.id.len() + payload_bytes(event),
        Event::EventHeard { event, .. } => payload_bytes(event),
        Event::EventRoundStarted { data, .. } => payload_bytes(data),
        Event::EventRoundEnded { output, context, .. } => {
            payload_bytes(output) + optional_bytes(context.as_ref())
        }
        Event::SignalReceived { .. } => REMEMBERED_BYTES,
        Event::AttributesChanged { attributes } => payload_bytes(attributes),
        Event::SignalConsumed { cause, .. } => cause.source.len() + cause.id.len(),
        Event::CommandDeferred { cause, command } => {
            cause.source.len() + cause.id.len() + command_bytes(command)
        }
        Event::CompensationAdded { task, iteration, input, .. } => {
            task.len() + iteration.len() + payload_bytes(input)
        }
        Event::CompensationStarted { outcome } => outcome_bytes(outcome),
        Event::TaskCompensated { task, iteration } => task.len() + iteration.len(),
        Event::TaskHalted { task, error, .. } => task.len() + error_bytes(error),
        Event::TaskEdited { task, input: data, by, reason, .. }
        | Event::TaskSkipped { task, output: data, by, reason, .. } => {
            task.len() + payload_bytes(data) + by.len() + reason.len()
        }
        Event::TaskRetried { task, by, reason, .. } => task.len() + by.len() + reason.len(),
        Event::InstanceRestarted { task, data, context, reopening, by, reason, .. } => {
            let data = payload_bytes(data) + optional_bytes(context.as_ref());
            let reopening = reopening.as_ref().map_or(0, reopening_bytes);
            task.len() + data + reopening + by.len() + reason.len()
        }
        Event::InstanceCompleted { output } => payload_bytes(output),
        Event::InstanceSuspended { reason }
        | Event::InstanceResumed { reason }
        | Event::InstanceCancelled { reason } => reason.len(),
        Event::ChannelJoined { channel, .. } => channel.as_str().len(),
        Event::TaskCancelled { .. }
        | Event::SequenceJumped { .. }
        | Event::IterationStarted { .. }
        | Event::RetryStarted { .. }
        | Event::TimerSet { .. }
        | Event::TimerCleared { .. }
        | Event::TaskDispatched { .. }
        | Event::HeartbeatRecorded { .. }
        | Event::ChannelLeft { .. } => 0,
        Event::DeferredCommandTaken | Event::IncidentRaised { .. } => return 0,
    };
    EVENT_BYTES + variable
}

/// Bytes of what stands for secrets.
pub(crate) fn secret_bytes(secrets: &[SecretMarker]) -> usize {
    secrets.iter().map(|it| it.marker.len() + it.path.iter().map(String::len).sum::<usize>()).sum()
}

fn activity_bytes(activity: &Activity) -> usize {
    match activity {
        Activity::Loop { items } => payload_bytes(items),
        Activity::Call { arguments, secrets, .. } => {
            optional_bytes(arguments.as_ref()) + secret_bytes(secrets)
        }
        Activity::Sequence { .. }
        | Activity::Branches { .. }
        | Activity::Trying
        | Activity::Waiting
        | Activity::Listening
        | Activity::Gathering => 0,
    }
}

/// Bytes of payload in a state, each payload counted as often as a snapshot writes it.
pub(crate) fn state_bytes(state: &InstanceState) -> usize {
    let status = match &state.status {
        Status::Completed { output } => payload_bytes(output),
        Status::Faulted { error } => error_bytes(error),
        Status::Suspended { reason } | Status::Cancelled { reason } => reason.len(),
        Status::Running | Status::Incident { .. } => 0,
    };
    let executions: usize =
        state.executions.values().map(|it| payload_bytes(&it.input) + execution_state_bytes(&it.state)).sum();
    let deferred: usize = state.deferred.iter().map(|it| command_bytes(&it.command)).sum();
    let signals: usize = state.signals.iter().map(|it| payload_bytes(&it.event)).sum();
    let data = payload_bytes(&state.raw_input) + payload_bytes(&state.input) + payload_bytes(&state.context);
    let channels: usize = state.channels.iter().map(|it| it.channel.as_str().len()).sum();
    let found_by = optional_bytes(state.attributes.as_ref());
    let remembered = state.remembered.len() * REMEMBERED_BYTES;
    let compensations: usize = state.compensations.iter().map(compensation_bytes).sum();
    let outcome = state.compensating.as_ref().map_or(0, |it| outcome_bytes(&it.outcome));
    let halted: usize = state.halted.iter().map(halted_bytes).sum();
    data + status
        + executions
        + deferred
        + signals
        + channels
        + remembered
        + found_by
        + compensations
        + outcome
        + halted
}

fn execution_state_bytes(state: &ExecutionState) -> usize {
    match state {
        ExecutionState::Sequence { data, .. } | ExecutionState::Trying { data, .. } => payload_bytes(data),
        ExecutionState::Loop { items, data, .. } => payload_bytes(items) + payload_bytes(data),
        ExecutionState::Branches { branches } => branches
            .iter()
            .map(|it| optional_bytes(it.output.as_ref()) + optional_bytes(it.context.as_ref()))
            .sum(),
        ExecutionState::BackingOff { error, .. } => error_bytes(error),
        ExecutionState::Catching { error, data, .. } => error_bytes(error) + payload_bytes(data),
        ExecutionState::Calling { arguments, secrets, .. } => {
            optional_bytes(arguments.as_ref()) + secret_bytes(secrets)
        }
        ExecutionState::Listening { heard } => heard.iter().map(|it| payload_bytes(&it.event)).sum(),
        ExecutionState::Gathering { heard, data, outputs, .. } => {
            let heard: usize = heard.iter().map(|it| payload_bytes(&it.event)).sum();
            heard + payload_bytes(data) + outputs.iter().map(payload_bytes).sum::<usize>()
        }
        ExecutionState::Waiting => 0,
    }
}

/// What a state weighs in payload bytes, kept up to date without counting the state at each step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    /// When the state was last counted.
    counted: usize,
    /// Never less than what a count would give now.
    ceiling: usize,
}

impl Weight {
    /// How far the ceiling may lie above twice the last count before the state is counted again.
    const SLACK_BYTES: usize = 16 * 1024;

    /// Counts.
    pub(crate) fn of(state: &InstanceState) -> Self {
        let counted = state_bytes(state);
        Self { counted, ceiling: counted }
    }

    /// Takes in an event of `bytes` that was just applied. A payload of an event may end up in the state more than once (the input of
    /// a scope is its first data, too; the root also has the instance's), and an absent one stands for one that is shared.
    pub(crate) fn grow(&mut self, event: &Event, bytes: usize, state: &InstanceState) {
        let shared = match event {
            Event::TaskStarted { execution, input: None, .. }
            | Event::RetryStarted { execution }
            | Event::ErrorCaught { execution, .. } => {
                state.executions.get(execution).map_or(0, |it| 2 * payload_bytes(&it.input))
            }
            Event::TaskRan { parent, output: None, .. } => {
                state.executions.get(parent).map_or(0, |it| payload_bytes(&it.input))
            }
            Event::CompensationAdded { .. } => {
                state.compensations.last().map_or(0, |it| payload_bytes(&it.output))
            }
            Event::CompensationStarted { .. }
            | Event::TaskCompensated { .. }
            | Event::TaskHalted { .. }
            | Event::TaskEdited { .. }
            | Event::TaskRetried { .. }
            | Event::TaskSkipped { .. }
            | Event::InstanceRestarted { .. }
            | Event::InstanceStarted { .. }
            | Event::TaskStarted { .. }
            | Event::TaskRan { .. }
            | Event::TaskCompleted { .. }
            | Event::TaskFaulted { .. }
            | Event::TaskCancelled { .. }
            | Event::SequenceJumped { .. }
            | Event::IterationStarted { .. }
            | Event::RetryScheduled { .. }
            | Event::TimerSet { .. }
            | Event::TimerCleared { .. }
            | Event::TaskDispatched { .. }
            | Event::HeartbeatRecorded { .. }
            | Event::SignalBuffered { .. }
            | Event::SignalConsumed { .. }
            | Event::EventHeard { .. }
            | Event::EventRoundStarted { .. }
            | Event::EventRoundEnded { .. }
            | Event::ChannelJoined { .. }
            | Event::ChannelLeft { .. }
            | Event::SignalReceived { .. }
            | Event::AttributesChanged { .. }
            | Event::InstanceSuspended { .. }
            | Event::IncidentRaised { .. }
            | Event::CommandDeferred { .. }
            | Event::InstanceResumed { .. }
            | Event::DeferredCommandTaken
            | Event::InstanceCompleted { .. }
            | Event::InstanceFaulted { .. }
            | Event::InstanceCancelled { .. } => 0,
        };
        self.ceiling += 4 * bytes + shared;
    }

    /// Counts again if the ceiling has drifted away, or has passed `limit`.
    pub(crate) fn settle(&mut self, state: &InstanceState, limit: usize) {
        if self.ceiling > limit || self.ceiling > 2 * self.counted + Self::SLACK_BYTES {
            *self = Self::of(state);
        }
    }

    /// Never less than the payload bytes of the state.
    pub(crate) fn bytes(self) -> usize {
        self.ceiling
    }
}
