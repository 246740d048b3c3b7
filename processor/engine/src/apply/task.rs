//! Events of tasks and of the scopes that they run in.

use std::sync::Arc;

use millrace_schemas::event::Activity;
use millrace_schemas::instance::{Branch, Execution, ExecutionState, InstanceState};
use millrace_schemas::{Attempt, ExecutionId, Payload, Timestamp};

use super::{Misfit, branch_index, execution, subtree};

/// Where a task runs.
pub(super) struct Place<'e> {
    pub(super) parent: ExecutionId,
    pub(super) task: &'e Arc<str>,
    pub(super) iteration: &'e Arc<str>,
    pub(super) attempt: Attempt,
}

/// `TaskStarted`
pub(super) fn started(
    state: &mut InstanceState,
    id: ExecutionId,
    place: Place<'_>,
    input: Option<&Payload>,
    activity: &Activity,
    at: Timestamp,
) -> Result<(), Misfit> {
    if id.0 != state.next_execution {
        return Err(format!("execution {} is not the next one, {}", id.0, state.next_execution));
    }
    let data = data_for_child(state, place.parent)?;
    let input = input.cloned().unwrap_or(data);
    let execution = Execution {
        parent: Some(place.parent),
        task: place.task.clone(),
        iteration: place.iteration.clone(),
        attempt: place.attempt,
        attempt_seen: place.attempt,
        state: begun(activity, &input),
        input,
        started_at: at,
    };
    state.executions.insert(id, execution);
    state.next_execution += 1;
    state.steps += 1;
    seen(state, place.parent, place.attempt)
}

/// Scopes learn of an attempt in them, so that retries of their own take a number that nothing below has used.
pub(super) fn seen(state: &mut InstanceState, scope: ExecutionId, attempt: Attempt) -> Result<(), Misfit> {
    let mut at = Some(scope);
    while let Some(id) = at {
        let scope = execution(state, id)?;
        if scope.attempt_seen >= attempt {
            break;
        }
        scope.attempt_seen = attempt;
        at = scope.parent;
    }
    Ok(())
}

fn begun(activity: &Activity, input: &Payload) -> ExecutionState {
    match activity {
        Activity::Sequence { then } => {
            ExecutionState::Sequence { data: input.clone(), jumps: 0, then: then.clone() }
        }
        Activity::Loop { items } => {
            ExecutionState::Loop { items: items.clone(), index: 0, data: input.clone(), jumps: 0 }
        }
        Activity::Branches { count } => {
            let branches = (0..*count).map(|_| Branch { output: None, context: None }).collect();
            ExecutionState::Branches { branches }
        }
        Activity::Trying => ExecutionState::Trying { data: input.clone(), jumps: 0, retries: 0 },
        Activity::Waiting => ExecutionState::Waiting,
        Activity::Listening => ExecutionState::Listening { heard: Vec::new() },
        Activity::Gathering => ExecutionState::Gathering {
            heard: Vec::new(),
            is_done: false,
            is_busy: false,
            index: 0,
            data: input.clone(),
            jumps: 0,
            outputs: Vec::new(),
        },
        Activity::Call { queue, function, arguments, deadline, secrets } => ExecutionState::Calling {
            queue: queue.clone(),
            function: function.clone(),
            arguments: arguments.clone(),
            deadline: *deadline,
            dispatch: 0,
            secrets: secrets.clone(),
        },
    }
}

/// What the next task of a scope gets as its raw input.
fn data_for_child(state: &mut InstanceState, scope: ExecutionId) -> Result<Payload, Misfit> {
    let scope = execution(state, scope)?;
    match &scope.state {
        ExecutionState::Sequence { data, .. }
        | ExecutionState::Loop { data, .. }
        | ExecutionState::Trying { data, .. }
        | ExecutionState::Catching { data, .. }
        | ExecutionState::Gathering { data, .. } => Ok(data.clone()),
        ExecutionState::Branches { .. } => Ok(scope.input.clone()),
        ExecutionState::BackingOff { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Calling { .. } => Err(format!("{} runs no tasks now", scope.task)),
    }
}

/// `TaskRan`
pub(super) fn ran(
    state: &mut InstanceState,
    parent: ExecutionId,
    task: &str,
    output: Option<&Payload>,
    context: Option<&Payload>,
) -> Result<(), Misfit> {
    let unchanged = data_for_child(state, parent)?;
    ended_well(state, parent, task, output.cloned().unwrap_or(unchanged), context)?;
    state.steps += 1;
    Ok(())
}

/// `TaskCompleted`
pub(super) fn completed(
    state: &mut InstanceState,
    id: ExecutionId,
    output: &Payload,
    context: Option<&Payload>,
) -> Result<(), Misfit> {
    let ended = execution(state, id)?;
    let task = ended.task.clone();
    let parent = ended.parent.ok_or_else(|| "the root ends with the instance".to_owned())?;
    remove(state, id)?;
    ended_well(state, parent, &task, output.clone(), context)
}

/// A task's output becomes the data of its scope, or its branch's result.
pub(super) fn ended_well(
    state: &mut InstanceState,
    scope: ExecutionId,
    task: &str,
    output: Payload,
    context: Option<&Payload>,
) -> Result<(), Misfit> {
    let parent = execution(state, scope)?;
    match &mut parent.state {
        ExecutionState::Sequence { data, .. }
        | ExecutionState::Loop { data, .. }
        | ExecutionState::Trying { data, .. }
        | ExecutionState::Catching { data, .. }
        | ExecutionState::Gathering { data, .. } => *data = output,
        ExecutionState::Branches { branches } => {
            branch(&parent.task, branches, task)?.output = Some(output);
        }
        ExecutionState::BackingOff { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Calling { .. } => return Err(format!("{} runs no tasks now", parent.task)),
    }
    context.map_or(Ok(()), |context| exported(state, scope, task, context))
}

/// Sets `$context` as the task sees it: that of its branch in the innermost fork around it, or the instance's.
pub(super) fn exported(
    state: &mut InstanceState,
    scope: ExecutionId,
    task: &str,
    context: &Payload,
) -> Result<(), Misfit> {
    let mut at = Some(scope);
    let mut below: Arc<str> = task.into();
    while let Some(id) = at {
        let scope = execution(state, id)?;
        if let ExecutionState::Branches { branches } = &mut scope.state {
            branch(&scope.task, branches, &below)?.context = Some(context.clone());
            return Ok(());
        }
        below = scope.task.clone();
        at = scope.parent;
    }
    state.context = context.clone();
    Ok(())
}

fn branch<'s>(fork: &str, branches: &'s mut [Branch], task: &str) -> Result<&'s mut Branch, Misfit> {
    branch_index(fork, task)
        .and_then(|index| branches.get_mut(index))
        .ok_or_else(|| format!("{task} is no branch of {fork}"))
}

/// `TaskFaulted`
pub(super) fn faulted(state: &mut InstanceState, id: Option<ExecutionId>) -> Result<(), Misfit> {
    id.map_or(Ok(()), |id| remove(state, id))
}

/// `TaskCancelled`, and the end of every other task: it, all below it and their timers are gone.
pub(super) fn remove(state: &mut InstanceState, id: ExecutionId) -> Result<(), Misfit> {
    if id == ExecutionId::ROOT {
        return Err("the root ends with the instance".to_owned());
    }
    execution(state, id)?;
    let gone = subtree(&state.executions, id);
    for id in &gone {
        state.executions.remove(id);
    }
    state.timers.retain(|_, timer| !gone.contains(&timer.execution));
    state.channels.retain(|it| !gone.contains(&it.execution));
    state.halted.retain(|it| !gone.contains(&it.scope));
    Ok(())
}

/// `SequenceJumped`
pub(super) fn jumped(state: &mut InstanceState, id: ExecutionId) -> Result<(), Misfit> {
    let scope = execution(state, id)?;
    match &mut scope.state {
        ExecutionState::Sequence { jumps, .. }
        | ExecutionState::Loop { jumps, .. }
        | ExecutionState::Trying { jumps, .. }
        | ExecutionState::Catching { jumps, .. }
        | ExecutionState::Gathering { jumps, .. } => {
            *jumps += 1;
            Ok(())
        }
        ExecutionState::Branches { .. }
        | ExecutionState::BackingOff { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Calling { .. } => Err(format!("{} runs no list of tasks", scope.task)),
    }
}

/// `IterationStarted`
pub(super) fn iteration_started(state: &mut InstanceState, id: ExecutionId, next: u32) -> Result<(), Misfit> {
    let scope = execution(state, id)?;
    if let ExecutionState::Loop { index, jumps, .. } = &mut scope.state {
        *index = next;
        *jumps = 0;
        Ok(())
    } else {
        Err(format!("{} is no loop", scope.task))
    }
}

/// `EventRoundEnded`
pub(super) fn round_ended(
    state: &mut InstanceState,
    id: ExecutionId,
    output: &Payload,
    context: Option<&Payload>,
) -> Result<(), Misfit> {
    let scope = execution(state, id)?;
    let ExecutionState::Gathering { is_busy, outputs, .. } = &mut scope.state else {
        return Err(format!("{} runs no tasks for an event", scope.task));
    };
    *is_busy = false;
    outputs.push(output.clone());
    let (task, parent) = (scope.task.clone(), scope.parent);
    match (context, parent) {
        (Some(context), Some(parent)) => exported(state, parent, &task, context),
        _ => Ok(()),
    }
}
