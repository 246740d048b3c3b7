//! Folding events into the state. The only place an instance changes.
//!
//! Nothing here evaluates an expression or knows a definition: whatever was computed is in the event. Each function says
//! with an error what does not fit; a log that was written by this engine never gets there.

mod channel;
mod compensation;
mod dispatch;
mod ended;
mod halt;
mod path;
mod retry;
mod signal;
mod standstill;
mod started;
mod task;
mod timer;

use millrace_schemas::event::Event;
use millrace_schemas::instance::{Execution, InstanceState};
use millrace_schemas::{ExecutionId, InstanceId, Timestamp};

use crate::Corrupt;

pub(crate) use path::{branch_index, subtree};

/// What does not fit, for people.
type Misfit = String;

/// Folds `event` into `state`.
pub(crate) fn apply(
    id: &InstanceId,
    state: &mut Option<InstanceState>,
    event: &Event,
    at: Timestamp,
) -> Result<(), Corrupt> {
    let result = match state {
        None => started::absent(event, at).map(|it| *state = Some(it)),
        Some(state) if state.status.is_terminal() => ended(state, event, at),
        Some(state) => existing(state, event, at).map(|()| state.updated_at = at),
    };
    result.map_err(|detail| Corrupt { instance: id.clone(), event: name(event), detail })
}

/// The only event that an instance takes which has ended.
fn ended(state: &mut InstanceState, event: &Event, at: Timestamp) -> Result<(), Misfit> {
    let Event::InstanceRestarted { data, context, reopening: Some(reopening), .. } = event else {
        return Err(format!("it has ended ({})", state.status.name()));
    };
    halt::reopened(state, data, context.as_ref(), reopening, at);
    state.updated_at = at;
    Ok(())
}

fn existing(state: &mut InstanceState, event: &Event, at: Timestamp) -> Result<(), Misfit> {
    match event {
        Event::InstanceStarted { .. } => Err("it has started already".to_owned()),
        Event::TaskStarted { execution, parent, task, iteration, attempt, input, activity } => {
            let place = task::Place { parent: *parent, task, iteration, attempt: *attempt };
            task::started(state, *execution, place, input.as_ref(), activity, at)
        }
        Event::TaskRan { parent, task, output, context, .. } => {
            task::ran(state, *parent, task, output.as_ref(), context.as_ref())
        }
        Event::TaskCompleted { execution, output, context } => {
            task::completed(state, *execution, output, context.as_ref())
        }
        Event::TaskFaulted { execution, .. } => task::faulted(state, *execution),
        Event::TaskCancelled { execution } => task::remove(state, *execution),
        Event::SequenceJumped { execution } => task::jumped(state, *execution),
        Event::IterationStarted { execution, index } => task::iteration_started(state, *execution, *index),
        Event::RetryScheduled { execution, error, timer, due } => {
            retry::scheduled(state, *execution, error, *timer, *due)
        }
        Event::RetryStarted { execution } => retry::started(state, *execution),
        Event::ErrorCaught { execution, error } => retry::caught(state, *execution, error),
        Event::TimerSet { timer, execution, due, purpose } => {
            timer::set(state, *timer, *execution, *due, *purpose)
        }
        Event::TimerCleared { timer } => timer::cleared(state, *timer),
        Event::TaskDispatched { execution, dispatch } => dispatch::dispatched(state, *execution, *dispatch),
        Event::HeartbeatRecorded { execution, due } => dispatch::heartbeat(state, *execution, *due),
        Event::SignalBuffered { cause, event } => signal::buffered(state, cause, event),
        Event::EventHeard { execution, filter, event, is_last } => {
            signal::heard(state, *execution, *filter, event, *is_last)
        }
        Event::EventRoundStarted { execution, index, data } => {
            signal::round_started(state, *execution, *index, data)
        }
        Event::EventRoundEnded { execution, output, context } => {
            task::round_ended(state, *execution, output, context.as_ref())
        }
        Event::SignalReceived { digest, forgotten } => signal::received(state, *digest, *forgotten, at),
        Event::AttributesChanged { attributes } => {
            state.attributes = Some(attributes.clone());
            Ok(())
        }
        Event::SignalConsumed { execution, cause } => signal::consumed(state, *execution, cause),
        Event::InstanceSuspended { reason } => standstill::suspended(state, reason),
        Event::IncidentRaised { incident } => standstill::incident(state, incident),
        Event::CommandDeferred { cause, command } => standstill::deferred(state, cause, command),
        Event::InstanceResumed { .. } => standstill::resumed(state),
        Event::DeferredCommandTaken => standstill::taken(state),
        Event::CompensationAdded { scope, task, iteration, input, is_again } => {
            compensation::added(state, *scope, task, iteration, input, *is_again)
        }
        Event::CompensationStarted { outcome } => compensation::started(state, outcome),
        Event::TaskCompensated { task, iteration } => compensation::undone(state, task, iteration),
        Event::TaskHalted { execution, scope, task, then, error } => {
            let place = halt::Place { execution: *execution, scope: *scope, task, then: then.as_ref() };
            halt::halted(state, &place, error)
        }
        Event::TaskEdited { execution, scope, task, then, input, .. } => {
            let place = halt::Place { execution: *execution, scope: *scope, task, then: then.as_ref() };
            halt::edited(state, &place, input)
        }
        Event::TaskRetried { scope, task, .. } => halt::retried(state, *scope, task),
        Event::TaskSkipped { scope, task, output, .. } => {
            halt::release(state, *scope, task)?;
            task::ended_well(state, *scope, task, output.clone(), None)
        }
        Event::InstanceRestarted { scope, task, data, context, .. } => {
            halt::restarted(state, *scope, task, data, context.as_ref())
        }
        Event::InstanceCompleted { output } => ended::completed(state, output),
        Event::InstanceFaulted { error } => ended::faulted(state, error),
        Event::InstanceCancelled { reason } => ended::cancelled(state, reason),
        Event::ChannelJoined { execution, filter, channel } => {
            channel::joined(state, *execution, *filter, channel)
        }
        Event::ChannelLeft { execution, filter } => channel::left(state, *execution, *filter),
    }
}

fn execution(state: &mut InstanceState, id: ExecutionId) -> Result<&mut Execution, Misfit> {
    state.executions.get_mut(&id).ok_or_else(|| format!("execution {} is not open", id.0))
}

/// The variant's name: what `Debug` prints before its fields.
fn name(event: &Event) -> String {
    format!("{event:?}").chars().take_while(|it| it.is_alphanumeric()).collect()
}
