//! Events of tasks that wait for somebody who says how they go on, and of what is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_schemas::event::{Reopening, TaskError};
use millrace_schemas::instance::{Execution, ExecutionState, Halted, InstanceState, Status};
use millrace_schemas::{Attempt, ExecutionId, Payload, Timestamp};

use super::task::{exported, remove};
use super::{Misfit, execution};

/// A task that ends for now, and where it goes on.
pub(super) struct Place<'e> {
    pub(super) execution: Option<ExecutionId>,
    pub(super) scope: ExecutionId,
    pub(super) task: &'e Arc<str>,
    pub(super) then: Option<&'e Arc<str>>,
}

/// `TaskHalted`
pub(super) fn halted(state: &mut InstanceState, place: &Place<'_>, error: &TaskError) -> Result<(), Misfit> {
    end(state, place)?;
    keep(state, place, Some(error.clone()), None)
}

/// `TaskEdited`
pub(super) fn edited(state: &mut InstanceState, place: &Place<'_>, input: &Payload) -> Result<(), Misfit> {
    let before = state.halted.iter_mut().find(|it| it.task == *place.task && it.scope == place.scope);
    if let Some(halted) = before {
        halted.input = Some(input.clone());
        return Ok(());
    }
    if place.execution.is_none() {
        return Err(format!("{} is not halted", place.task));
    }
    end(state, place)?;
    keep(state, place, None, Some(input.clone()))
}

fn end(state: &mut InstanceState, place: &Place<'_>) -> Result<(), Misfit> {
    place.execution.map_or(Ok(()), |id| remove(state, id))
}

fn keep(
    state: &mut InstanceState,
    place: &Place<'_>,
    error: Option<TaskError>,
    input: Option<Payload>,
) -> Result<(), Misfit> {
    execution(state, place.scope)?;
    let (scope, task, then) = (place.scope, place.task.clone(), place.then.cloned());
    state.halted.push(Halted { scope, task, then, error, input });
    Ok(())
}

/// `TaskRetried`. What it is given is what has flowed to it, as all that follows sees it.
pub(super) fn retried(state: &mut InstanceState, scope: ExecutionId, task: &str) -> Result<(), Misfit> {
    match release(state, scope, task)?.input {
        Some(input) => set_data(state, scope, &input),
        None => Ok(()),
    }
}

/// `TaskSkipped`, before its output is applied.
pub(super) fn release(state: &mut InstanceState, scope: ExecutionId, task: &str) -> Result<Halted, Misfit> {
    let position = state.halted.iter().position(|it| *it.task == *task && it.scope == scope);
    position.map(|it| state.halted.remove(it)).ok_or_else(|| format!("{task} is not halted"))
}

/// Branches have no data of their own: each is given the input of the fork.
fn set_data(state: &mut InstanceState, scope: ExecutionId, given: &Payload) -> Result<(), Misfit> {
    let scope = execution(state, scope)?;
    match &mut scope.state {
        ExecutionState::Sequence { data, .. }
        | ExecutionState::Loop { data, .. }
        | ExecutionState::Trying { data, .. }
        | ExecutionState::Catching { data, .. }
        | ExecutionState::Gathering { data, .. } => *data = given.clone(),
        ExecutionState::Branches { .. } => {}
        ExecutionState::BackingOff { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Calling { .. } => return Err(format!("{} runs no tasks now", scope.task)),
    }
    Ok(())
}

/// `InstanceRestarted` of an instance that is open.
pub(super) fn restarted(
    state: &mut InstanceState,
    scope: ExecutionId,
    task: &str,
    data: &Payload,
    context: Option<&Payload>,
) -> Result<(), Misfit> {
    let within = state.executions.iter().filter(|(_, it)| it.parent == Some(scope));
    for id in within.map(|(id, _)| *id).collect::<Vec<_>>() {
        remove(state, id)?;
    }
    state.halted.retain(|it| it.scope != scope);
    set_data(state, scope, data)?;
    state.restarts += 1;
    if scope == ExecutionId::ROOT {
        let number = state.restarts;
        let root = execution(state, scope)?;
        root.iteration = restart_iteration(number);
        if let ExecutionState::Sequence { jumps, .. } = &mut root.state {
            *jumps = 0;
        }
    } else {
        super::task::jumped(state, scope)?;
    }
    context.map_or(Ok(()), |context| exported(state, scope, task, context))
}

/// `InstanceRestarted` of an instance that has ended.
pub(super) fn reopened(
    state: &mut InstanceState,
    data: &Payload,
    context: Option<&Payload>,
    reopening: &Reopening,
    at: Timestamp,
) {
    let Reopening { raw_input, input, compensations } = reopening;
    state.restarts += 1;
    let root = Execution {
        parent: None,
        task: "/do".into(),
        iteration: restart_iteration(state.restarts),
        attempt: Attempt::FIRST,
        attempt_seen: Attempt::FIRST,
        input: input.clone(),
        started_at: at,
        state: ExecutionState::Sequence { data: data.clone(), jumps: 0, then: None },
    };
    state.status = Status::Running;
    state.raw_input = raw_input.clone();
    state.input = input.clone();
    state.context = context.cloned().unwrap_or_else(Payload::null);
    state.compensations.clone_from(compensations);
    state.executions = BTreeMap::from([(ExecutionId::ROOT, root)]);
}

fn restart_iteration(number: u32) -> Arc<str> {
    format!("!{number}").into()
}
