//! `Restart`: the flow is put back to a task, and all from there on runs again.
//!
//! The command brings what flows to the task, for the state does not keep it: whoever sends it has read the history. What ran before and
//! is in the way is ended as a timeout would end it. What could be undone still can be: it was done, whatever runs again.

use millrace_schemas::ExecutionId;
use millrace_schemas::command::Command;
use millrace_schemas::event::{Event, Reopening};
use millrace_schemas::instance::ExecutionState;
use millrace_workflow::program::{Kind, Task};

use super::{deferral, start};
use crate::Rejection;
use crate::journal::{Journal, Stop};
use crate::run::Next;

/// As far as the next thing that waits; [`super::resume::go_on`] does the rest.
pub(super) fn decide(journal: &mut Journal<'_>, command: &Command) -> Result<(), Stop> {
    let Command::Restart { task, input, context, number, reopening, by, reason } = command else {
        unreachable!("only a restart is decided here");
    };
    let restarts = journal.state().restarts;
    if number.is_some_and(|it| it != restarts) {
        return refused(format!(
            "instance {} was restarted meanwhile, {restarts} times by now; look at it, and restart it again if it is still to be",
            journal.id
        ));
    }
    let Some(found) = journal.program.find(task) else {
        let detail = format!("workflow {} has no task {task}", journal.program.workflow);
        return Err(Rejection::InvalidArgument { detail }.into());
    };
    let listed = listed(journal, found);
    let has_ended = journal.state().status.is_terminal();
    let scope =
        if has_ended { of_ended(journal, listed, reopening.as_ref())? } else { of_open(journal, listed)? };
    if !has_ended && deferral::stands_still(journal) {
        journal.record(Event::InstanceResumed { reason: reason.clone() })?;
    }
    journal.record(Event::InstanceRestarted {
        scope,
        task: task.clone(),
        data: input.clone(),
        context: context.clone(),
        reopening: reopening.clone().filter(|_| has_ended),
        by: by.clone(),
        reason: reason.clone(),
    })?;
    if has_ended {
        // What it was found by last was not of this `$context`.
        journal.attributes_of = None;
        if let Err(error) = journal.join_by_business_key()? {
            return journal.fault_instance(error);
        }
        start::set_timeout(journal)?;
    }
    journal.todo.push(Next::Enter { scope, task: listed.index, then: None });
    Ok(())
}

fn refused<T>(detail: String) -> Result<T, Stop> {
    Err(Rejection::InvalidState { detail }.into())
}

/// What stands in the list for a task: itself, or what has it with its extensions.
fn listed<'p>(journal: &Journal<'p>, task: &'p Task) -> &'p Task {
    let mut at = task;
    while let Some(extension) = at.extended_by {
        at = journal.program.task(extension);
    }
    at
}

/// The scope for a task of an instance that has ended: there is only the root.
fn of_ended(journal: &Journal<'_>, task: &Task, reopening: Option<&Reopening>) -> Result<ExecutionId, Stop> {
    let Some(reopening) = reopening else {
        return refused(format!(
            "instance {} has ended ({}), and the restart does not bring what it needs to be open again; `millrace restart` sends that",
            journal.id,
            journal.state().status.name()
        ));
    };
    if task.parent.is_some() {
        let mut around = task;
        while let Some(parent) = around.parent {
            around = journal.program.task(parent);
        }
        return refused(format!(
            "instance {} has ended, and task {} stands in another one, which is not open any more; restart from {}",
            journal.id, task.reference, around.reference
        ));
    }
    let is_known = |it: &str| journal.program.find(it).is_some_and(|it| it.compensation.is_some());
    if let Some(unknown) = reopening.compensations.iter().find(|it| !is_known(&it.task)) {
        let detail = format!("task {} has nothing that undoes it", unknown.task);
        return Err(Rejection::InvalidArgument { detail }.into());
    }
    Ok(ExecutionId::ROOT)
}

/// The open scope whose list a task is in.
fn of_open(journal: &Journal<'_>, task: &Task) -> Result<ExecutionId, Stop> {
    if journal.is_compensating() {
        return refused(format!(
            "instance {} undoes what it has done, and does not run again before it has ended",
            journal.id
        ));
    }
    let Some(parent) = task.parent.map(|it| journal.program.task(it)) else { return Ok(ExecutionId::ROOT) };
    if matches!(parent.kind, Kind::Fork { .. }) {
        return refused(format!(
            "task {} is a branch, and runs beside others; restart from a task in it, or from the fork {}",
            task.reference, parent.reference
        ));
    }
    let scope = journal.state().executions.iter().find(|(_, it)| it.task == parent.reference);
    let runs_it = |id: ExecutionId| {
        let runs_a_list = match &journal.execution(id).state {
            ExecutionState::Sequence { .. }
            | ExecutionState::Loop { .. }
            | ExecutionState::Trying { .. }
            | ExecutionState::Catching { .. }
            | ExecutionState::Gathering { is_busy: true, .. } => true,
            ExecutionState::Gathering { .. }
            | ExecutionState::Branches { .. }
            | ExecutionState::BackingOff { .. }
            | ExecutionState::Waiting
            | ExecutionState::Listening { .. }
            | ExecutionState::Calling { .. } => false,
        };
        runs_a_list && journal.block(id).is_some_and(|it| it.position(task.index).is_some())
    };
    match scope.map(|(id, _)| *id).filter(|it| runs_it(*it)) {
        Some(scope) => Ok(scope),
        None => refused(format!(
            "task {} stands in {}, which does not run it now; restart from that task, or from one around it",
            task.reference, parent.reference
        )),
    }
}
