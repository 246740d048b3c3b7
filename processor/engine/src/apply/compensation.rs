//! Events of undoing: what is kept for it, and how it goes.

use std::sync::Arc;

use millrace_schemas::event::{Compensation, Outcome};
use millrace_schemas::instance::{Compensating, ExecutionState, InstanceState, Status};
use millrace_schemas::{ExecutionId, Payload};

use super::{Misfit, branch_index, execution};

/// `CompensationAdded`. It follows the end of the task, so the output is where that has put it.
pub(super) fn added(
    state: &mut InstanceState,
    scope: ExecutionId,
    task: &Arc<str>,
    iteration: &Arc<str>,
    input: &Payload,
    is_again: bool,
) -> Result<(), Misfit> {
    let output = given(state, scope, task)?;
    if is_again {
        state.compensations.retain(|it| it.task != *task || it.iteration != *iteration);
    }
    let (task, iteration, input) = (task.clone(), iteration.clone(), input.clone());
    state.compensations.push(Compensation { task, iteration, input, output });
    Ok(())
}

/// What a scope was given by the task of it that ended last.
fn given(state: &mut InstanceState, scope: ExecutionId, task: &str) -> Result<Payload, Misfit> {
    let scope = execution(state, scope)?;
    match &scope.state {
        ExecutionState::Sequence { data, .. }
        | ExecutionState::Loop { data, .. }
        | ExecutionState::Trying { data, .. }
        | ExecutionState::Catching { data, .. }
        | ExecutionState::Gathering { data, .. } => Ok(data.clone()),
        ExecutionState::Branches { branches } => branch_index(&scope.task, task)
            .and_then(|it| branches.get(it)?.output.clone())
            .ok_or_else(|| format!("{task} is no branch of {} that has ended", scope.task)),
        ExecutionState::BackingOff { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Calling { .. } => Err(format!("{} runs no tasks now", scope.task)),
    }
}

/// `CompensationStarted`. Steps are counted anew: an instance that faulted for their number can be undone, too.
pub(super) fn started(state: &mut InstanceState, outcome: &Outcome) -> Result<(), Misfit> {
    if state.compensating.is_some() {
        return Err("it undoes what it has done already".to_owned());
    }
    state.compensating = Some(Compensating { outcome: outcome.clone() });
    state.status = Status::Running;
    state.executions.retain(|id, _| *id == ExecutionId::ROOT);
    state.timers.clear();
    state.channels.retain(|it| it.execution == ExecutionId::ROOT);
    state.deferred.clear();
    state.halted.clear();
    state.steps = 0;
    Ok(())
}

/// `TaskCompensated`
pub(super) fn undone(state: &mut InstanceState, task: &str, iteration: &str) -> Result<(), Misfit> {
    match state.compensations.pop() {
        Some(last) if *last.task == *task && *last.iteration == *iteration => Ok(()),
        _ => Err(format!("{task} is not the next one to be undone")),
    }
}
