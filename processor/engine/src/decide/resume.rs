//! `Resume`

use millrace_schemas::ExecutionId;
use millrace_schemas::event::{Event, Incident};
use millrace_schemas::instance::Status;

use super::{act, check, deferral, start};
use crate::journal::{Journal, Stop};
use crate::{Outcome, Rejection};

pub(super) fn decide(journal: &mut Journal<'_>, reason: &str) -> Result<(), Stop> {
    if !deferral::stands_still(journal) {
        let detail = format!("instance {} is running; there is nothing to resume", journal.id);
        return Err(Rejection::InvalidState { detail }.into());
    }
    go_on(journal, reason)?;
    take_deferred(journal, usize::MAX)
}

/// Resumes, decides `count` of the deferred commands, and stops again: all of them at once do not fit one record.
pub(super) fn in_part(
    journal: &mut Journal<'_>,
    reason: &str,
    count: usize,
    incident: Incident,
) -> Result<(), Stop> {
    go_on(journal, reason)?;
    take_deferred(journal, count)?;
    if journal.state().status.is_terminal() {
        return Ok(());
    }
    if incident.execution.is_some() {
        journal.record(Event::DeferredCommandTaken)?;
    }
    journal.record(Event::IncidentRaised { incident })
}

fn go_on(journal: &mut Journal<'_>, reason: &str) -> Result<(), Stop> {
    let dropped = match &journal.state().status {
        Status::Incident { incident } => incident.execution,
        Status::Running
        | Status::Suspended { .. }
        | Status::Completed { .. }
        | Status::Faulted { .. }
        | Status::Cancelled { .. } => None,
    };
    journal.record(Event::InstanceResumed { reason: reason.to_owned() })?;
    // At rest the root always has an open task, unless an incident kept the body from beginning.
    if !journal.state().executions.keys().any(|it| *it != ExecutionId::ROOT) {
        return start::begin_body(journal);
    }
    if let Some(call) = dropped.filter(|it| journal.is_open(*it)) {
        journal.dispatch_call(call)?;
    }
    journal.run()
}

/// Deferred commands, in order. One that is refused by now is dropped, as it would have been without the standstill.
fn take_deferred(journal: &mut Journal<'_>, count: usize) -> Result<(), Stop> {
    for _ in 0..count {
        let Some(next) = journal.state().deferred.front().cloned() else { break };
        journal.entered = 0;
        journal.record(Event::DeferredCommandTaken)?;
        if check(journal, &next.command).is_err() {
            continue;
        }
        match act(journal, &next.cause, &next.command) {
            Ok(()) | Err(Stop::Rejected(_)) => {}
            Err(stop @ Stop::TooLarge(_)) => return Err(stop),
        }
    }
    // What became of them is not what became of the resume.
    journal.outcome = Outcome::Done;
    Ok(())
}
