//! What follows from each command, given the state.
//!
//! | | absent | running | suspended, incident | ended |
//! |---|---|---|---|---|
//! | start | starts | exists already | exists already | exists already |
//! | an answer, a timer, an event | not found | decided | deferred | refused |
//! | cancel | not found | ends, or undoes first | ends, or undoes first | refused |
//! | suspend | not found | suspends | refused | refused |
//! | resume | not found | refused | resumes | refused |
//! | retry, skip | not found | refused | resumes, if a task is halted | refused |
//! | edit | not found | refused | decided | refused |
//! | restart | not found | goes back | goes back, and resumes | opens it again |

mod cancel;
mod complete_task;
mod deferral;
mod deliver_event;
mod deliver_signal;
mod edit;
mod fail_task;
mod fire_timer;
mod record_heartbeat;
mod restart;
mod resume;
mod start;
mod suspend;
mod token;
mod too_large;

use millrace_schemas::EventId;
use millrace_schemas::command::{AddressedCommand, Answer, Command};

use crate::Rejection;
use crate::journal::{Journal, Stop};

pub(crate) use too_large::{too_large, unacceptable};

/// Decides one command on a journal on which nothing has been recorded yet.
pub(crate) fn decide(journal: &mut Journal<'_>, addressed: &AddressedCommand) -> Result<(), Stop> {
    let AddressedCommand { cause, command, answer, .. } = addressed;
    if let Command::Start { input, parent, .. } = command {
        return start::decide(journal, input, parent.as_ref());
    }
    let instance = journal.id.clone();
    let Some(state) = journal.instance() else { return Err(Rejection::NotFound { instance }.into()) };
    if state.status.is_terminal() && !matches!(command, Command::Restart { .. }) {
        let status = state.status.name();
        let name = command.name();
        let article = if name.starts_with('e') { "an" } else { "a" };
        let detail = format!("instance {instance} has ended ({status}); {article} {name} has no effect");
        return Err(Rejection::InvalidState { detail }.into());
    }
    match command {
        Command::Cancel { reason, compensate } => cancel::decide(journal, cause, reason, *compensate),
        Command::Suspend { reason } => suspend::decide(journal, reason),
        Command::Resume { .. } | Command::Retry { .. } | Command::Skip { .. } => {
            resume::decide(journal, command)
        }
        Command::Edit { task, input, by, reason } => edit::decide(journal, task, input, by, reason),
        Command::Restart { .. } => {
            resume::go_on(journal, command)?;
            resume::take_deferred(journal, usize::MAX)
        }
        Command::Start { .. }
        | Command::CompleteTask { .. }
        | Command::FailTask { .. }
        | Command::RecordHeartbeat { .. }
        | Command::FireTimer { .. }
        | Command::DeliverSignal { .. }
        | Command::DeliverEvent { .. } => {
            check(journal, command)?;
            let is_still = deferral::stands_still(journal);
            if let Command::DeliverSignal { .. } = command {
                deliver_signal::check_news(journal, cause)?;
                journal.must_be_taken = *answer == Answer::AtOnce;
                if journal.must_be_taken && is_still {
                    let why = "the instance stands still; resume it, then send again";
                    return Err(deliver_signal::not_taken(cause, why).into());
                }
            }
            if is_still {
                name_task(journal, command);
                deferral::defer(journal, cause, command)
            } else {
                act(journal, cause, command)
            }
        }
    }
}

/// Notes the task that a command is about, for what there may be to say about it.
fn name_task(journal: &mut Journal<'_>, command: &Command) {
    let execution = match command {
        Command::CompleteTask { token, .. }
        | Command::FailTask { token, .. }
        | Command::RecordHeartbeat { token } => Some(token.execution),
        Command::FireTimer { timer, .. } => journal.state().timers.get(timer).map(|it| it.execution),
        Command::DeliverEvent { listener, .. } => Some(*listener).filter(|it| journal.is_open(*it)),
        Command::Start { .. }
        | Command::DeliverSignal { .. }
        | Command::Cancel { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::Retry { .. }
        | Command::Edit { .. }
        | Command::Skip { .. }
        | Command::Restart { .. } => None,
    };
    if let Some(execution) = execution {
        journal.task = journal.execution(execution).task.clone();
    }
}

/// Whether a command that moves the flow can be decided, now or after a resume.
fn check(journal: &Journal<'_>, command: &Command) -> Result<(), Rejection> {
    match command {
        Command::CompleteTask { token, .. } | Command::FailTask { token, .. } => {
            token::check(journal, *token)
        }
        Command::RecordHeartbeat { token } => record_heartbeat::check(journal, *token),
        Command::FireTimer { timer, due } => fire_timer::check(journal, *timer, *due),
        Command::DeliverSignal { event } | Command::DeliverEvent { event, .. } => {
            deliver_signal::check(event)
        }
        Command::Start { .. }
        | Command::Cancel { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::Retry { .. }
        | Command::Edit { .. }
        | Command::Skip { .. }
        | Command::Restart { .. } => Ok(()),
    }
}

/// Decides a command that moves the flow, once it has been checked.
fn act(journal: &mut Journal<'_>, cause: &EventId, command: &Command) -> Result<(), Stop> {
    name_task(journal, command);
    match command {
        Command::CompleteTask { token, output } => complete_task::decide(journal, *token, output),
        Command::FailTask { token, error, retriable } => {
            fail_task::decide(journal, *token, error, *retriable)
        }
        Command::RecordHeartbeat { token } => record_heartbeat::decide(journal, *token),
        Command::FireTimer { timer, .. } => fire_timer::decide(journal, *timer),
        Command::DeliverSignal { event } => deliver_signal::decide(journal, cause, event),
        Command::DeliverEvent { listener, filter, event } => {
            deliver_event::decide(journal, cause, (*listener, *filter), event)
        }
        Command::Start { .. }
        | Command::Cancel { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::Retry { .. }
        | Command::Edit { .. }
        | Command::Skip { .. }
        | Command::Restart { .. } => unreachable!("these are not deferred"),
    }
}
