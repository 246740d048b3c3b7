//! `Resume`, `Retry` and `Skip`: an instance that stands still goes on.

use std::sync::Arc;

use millrace_schemas::command::Command;
use millrace_schemas::event::{Event, Incident};
use millrace_schemas::instance::{Halted, Status};
use millrace_schemas::{ExecutionId, Payload};
use millrace_workflow::program::TaskIndex;

use super::{act, check, deferral, restart, start};
use crate::journal::{Journal, Stop};
use crate::run::Next;
use crate::{Outcome, Rejection};

pub(super) fn decide(journal: &mut Journal<'_>, command: &Command) -> Result<(), Stop> {
    may_go_on(journal, command)?;
    go_on(journal, command)?;
    take_deferred(journal, usize::MAX)
}

/// Goes on, decides `count` of the deferred commands, and stops again: all of them at once do not fit one record.
pub(super) fn in_part(
    journal: &mut Journal<'_>,
    command: &Command,
    count: usize,
    incident: Incident,
) -> Result<(), Stop> {
    go_on(journal, command)?;
    take_deferred(journal, count)?;
    if journal.state().status.is_terminal() {
        return Ok(());
    }
    if incident.execution.is_some() {
        journal.record(Event::DeferredCommandTaken)?;
    }
    journal.record(Event::IncidentRaised { incident })
}

/// What refuses a command is looked at before anything is recorded.
fn may_go_on(journal: &Journal<'_>, command: &Command) -> Result<(), Rejection> {
    if let Command::Retry { task, input, .. } = command {
        let halted = named(journal, task.as_ref())?;
        if input.is_some() && halted.len() > 1 {
            return refused(format!("{}, and one input is for one of them: name it", several(&halted)));
        }
        return Ok(());
    }
    if let Command::Skip { task, .. } = command {
        let halted = named(journal, task.as_ref())?;
        if halted.len() > 1 {
            return refused(format!("{}, and one output is for one of them: name it", several(&halted)));
        }
        return Ok(());
    }
    match deferral::stands_still(journal) {
        true => Ok(()),
        false => refused(format!("instance {} is running; there is nothing to resume", journal.id)),
    }
}

/// The halted tasks that are meant: the one that is named, or all.
fn named<'j>(journal: &'j Journal<'_>, task: Option<&Arc<str>>) -> Result<Vec<&'j Halted>, Rejection> {
    let all = &journal.state().halted;
    if all.is_empty() {
        return refused(format!(
            "no task of instance {} has failed and waits for somebody; resume the instance if it stands still, or restart it from a task",
            journal.id
        ));
    }
    let halted: Vec<_> = all.iter().filter(|it| task.is_none_or(|task| it.task == *task)).collect();
    if halted.is_empty() {
        let task = task.map_or("", |it| &**it);
        return refused(format!(
            "task {task} does not wait for somebody; {}",
            several(&all.iter().collect::<Vec<_>>())
        ));
    }
    Ok(halted)
}

fn several(halted: &[&Halted]) -> String {
    let names: Vec<_> = halted.iter().map(|it| &*it.task).collect();
    let waits = if names.len() == 1 { "waits" } else { "wait" };
    format!("{} {waits}", names.join(" and "))
}

fn refused<T>(detail: String) -> Result<T, Rejection> {
    Err(Rejection::InvalidState { detail })
}

/// What the command says, and whatever else had to wait for somebody to say something.
pub(super) fn go_on(journal: &mut Journal<'_>, command: &Command) -> Result<(), Stop> {
    let dropped = match &journal.state().status {
        Status::Incident { incident } => incident.execution,
        Status::Running
        | Status::Suspended { .. }
        | Status::Completed { .. }
        | Status::Faulted { .. }
        | Status::Cancelled { .. } => None,
    };
    if let Command::Retry { task, input, by, reason } = command {
        resumed(journal, reason)?;
        retry(journal, task.as_ref(), input.as_ref(), by, reason)?;
    } else if let Command::Skip { task, output, by, reason } = command {
        resumed(journal, reason)?;
        skip(journal, task.as_ref(), output, by, reason)?;
    } else if let Command::Resume { reason } = command {
        resume(journal, reason)?;
    } else {
        restart::decide(journal, command)?;
    }
    if let Some(call) = dropped.filter(|it| journal.is_open(*it)) {
        journal.dispatch_call(call)?;
    }
    journal.run()
}

/// Halted tasks are retried, or what could not begin begins.
fn resume(journal: &mut Journal<'_>, reason: &str) -> Result<(), Stop> {
    let is_halted = !journal.state().halted.is_empty();
    resumed(journal, reason)?;
    if is_halted {
        return retry(journal, None, None, "", reason);
    }
    if journal.state().executions.keys().any(|it| *it != ExecutionId::ROOT) {
        return Ok(());
    }
    // At rest the root always has a task, unless an incident kept the body from beginning, or the record was full.
    if journal.is_compensating() {
        journal.todo.push(Next::Compensate);
        return Ok(());
    }
    start::begin_body(journal)
}

fn resumed(journal: &mut Journal<'_>, reason: &str) -> Result<(), Stop> {
    journal.record(Event::InstanceResumed { reason: reason.to_owned() })
}

/// Halted tasks begin again, in the order in which they were halted.
fn retry(
    journal: &mut Journal<'_>,
    task: Option<&Arc<str>>,
    input: Option<&Payload>,
    by: &str,
    reason: &str,
) -> Result<(), Stop> {
    let (by, reason) = (by.to_owned(), reason.to_owned());
    let meant = |it: &&Halted| task.is_none_or(|task| it.task == *task);
    let halted: Vec<Halted> = journal.state().halted.iter().filter(meant).cloned().collect();
    let mut again = Vec::new();
    for Halted { scope, task, then, input: edited, .. } in halted {
        if let Some(input) = input {
            let (task, then, input) = (task.clone(), then.clone(), input.clone());
            let (by, reason) = (by.clone(), reason.clone());
            journal.record(Event::TaskEdited { execution: None, scope, task, then, input, by, reason })?;
        }
        let (then, index) = (then.and_then(|it| journal.flow_of(&it)), index_of(journal, &task));
        journal.record(Event::TaskRetried { scope, task, by: by.clone(), reason: reason.clone() })?;
        again.push(Next::Again { scope, task: index, then, input: input.cloned().or(edited) });
    }
    journal.todo.extend(again.into_iter().rev());
    Ok(())
}

/// A halted task is left out; the flow goes on behind it.
fn skip(
    journal: &mut Journal<'_>,
    task: Option<&Arc<str>>,
    output: &Payload,
    by: &str,
    reason: &str,
) -> Result<(), Stop> {
    let meant = |it: &&Halted| task.is_none_or(|task| it.task == *task);
    let halted = journal.state().halted.iter().find(meant).cloned().expect("checked before");
    let Halted { scope, task, then, .. } = halted;
    let index = index_of(journal, &task);
    let own = journal.program.task(index).then;
    let flow = then.and_then(|it| journal.flow_of(&it)).unwrap_or(own);
    let (output, by, reason) = (output.clone(), by.to_owned(), reason.to_owned());
    journal.record(Event::TaskSkipped { scope, task, output, by, reason })?;
    journal.todo.push(Next::After { scope, task: index, flow });
    Ok(())
}

fn index_of(journal: &Journal<'_>, task: &str) -> TaskIndex {
    journal.program.find(task).expect("an instance stays on the version that it runs").index
}

/// Deferred commands, in order. One that is refused by now is dropped, as it would have been without the standstill.
pub(super) fn take_deferred(journal: &mut Journal<'_>, count: usize) -> Result<(), Stop> {
    for _ in 0..count {
        let Some(next) = journal.state().deferred.front().cloned() else { break };
        journal.entered = 0;
        journal.delivered = None;
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
