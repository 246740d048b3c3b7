//! `FireTimer`

use millrace_schemas::event::{Event, TaskError, TimerPurpose};
use millrace_schemas::{ExecutionId, TimerId, Timestamp};

use crate::journal::{Journal, Stop};
use crate::run::Next;
use crate::{Rejection, problem, timing};

pub(super) fn check(journal: &Journal<'_>, id: TimerId, due: Timestamp) -> Result<(), Rejection> {
    let refused = |detail| Err(Rejection::InvalidState { detail });
    match journal.state().timers.get(&id) {
        None => refused(format!("timer {} is not set: it has fired, or is no longer wanted", id.0)),
        Some(timer) if timer.due != due => {
            let (now, then) = (timing::rfc3339(timer.due), timing::rfc3339(due));
            refused(format!("timer {} was moved from {then} to {now}", id.0))
        }
        Some(_) if due > journal.at() => {
            let (due, at) = (timing::rfc3339(due), timing::rfc3339(journal.at()));
            refused(format!("timer {} is due at {due}, and it is only {at}", id.0))
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn decide(journal: &mut Journal<'_>, id: TimerId) -> Result<(), Stop> {
    let timer = journal.state().timers.get(&id).expect("checked before").clone();
    let execution = timer.execution;
    let owner = journal.execution(execution);
    let task = owner.task.clone();
    let input = owner.input.clone();
    let started_at = owner.started_at;
    let late = |what: &str| -> TaskError {
        let (from, due) = (timing::rfc3339(started_at), timing::rfc3339(timer.due));
        problem::timeout(&task, format!("{what} by {due}; it was entered at {from}"))
    };
    match timer.purpose {
        TimerPurpose::Wait => journal.finish(execution, input, None)?,
        TimerPurpose::RetryBackoff => {
            journal.record(Event::TimerCleared { timer: id })?;
            journal.retry(execution)?;
        }
        TimerPurpose::Timeout => {
            journal.cancel_children(execution)?;
            let what = if execution == ExecutionId::ROOT { "the workflow" } else { &*task };
            journal.fault(execution, late(&format!("{what} did not end")), true)?;
        }
        TimerPurpose::AttemptTimeout => {
            journal.cancel_children(execution)?;
            let error = late(&format!("an attempt of {task} did not end"));
            journal.todo.push(Next::Faulted { scope: execution, error, retriable: true });
        }
        TimerPurpose::Compensation => {
            journal.record(Event::TimerCleared { timer: id })?;
            // A resume has begun it already, if there was one.
            if !journal.state().executions.keys().any(|it| *it != ExecutionId::ROOT) {
                journal.todo.push(Next::Compensate);
            }
        }
        TimerPurpose::Heartbeat => {
            journal.fault(execution, late(&format!("there was no heartbeat for {task}")), true)?;
        }
    }
    journal.run()
}
