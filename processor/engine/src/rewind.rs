//! What a restart from a task needs and the state does not keep: it is read from the history.

use millrace_schemas::event::{ChangelogEntry, Event, Reopening};
use millrace_schemas::instance::{ExecutionState, InstanceState};
use millrace_schemas::{ExecutionId, InstanceId, Payload};

use crate::apply::branch_index;
use crate::run::data;
use crate::{Corrupt, Instance};

/// What the history of an instance says about a restart from one of its tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewound {
    /// What flowed to the task when it was entered last, and `$context` as it saw it. None, if it never was.
    pub entered: Option<(Payload, Payload)>,
    /// How many restarts there were.
    pub restarts: u32,
    /// Of an instance that has ended: what it needs to be open again, and its last `$context`.
    pub ended: Option<(Reopening, Payload)>,
}

/// Folds the history of an instance, oldest entry first, and looks for the moment before `task` was entered last.
///
/// # Errors
/// When the history is not whole, because its beginning has expired.
pub fn rewind<'e>(
    id: &InstanceId,
    entries: impl IntoIterator<Item = &'e ChangelogEntry>,
    task: &str,
) -> Result<Rewound, Corrupt> {
    let mut instance = Instance::absent(id.clone());
    let (mut entered, mut ended) = (None, None);
    for entry in entries {
        for event in &entry.events {
            if let Some(state) = instance.state() {
                if let Some(scope) = entering(state, event, task) {
                    entered = Some((given(state, scope, task), context(state, scope, task)));
                }
                if is_end(event) {
                    let (raw_input, input) = (state.raw_input.clone(), state.input.clone());
                    let compensations = state.compensations.clone();
                    ended = Some((Reopening { raw_input, input, compensations }, state.context.clone()));
                }
            }
            instance.apply(event, entry.at)?;
        }
    }
    let state = instance.state();
    Ok(Rewound {
        entered,
        restarts: state.map_or(0, |it| it.restarts),
        ended: ended.filter(|_| state.is_some_and(|it| it.status.is_terminal())),
    })
}

/// The scope in which an event enters a task.
fn entering(state: &InstanceState, event: &Event, task: &str) -> Option<ExecutionId> {
    let (scope, entered) =
        if let Event::TaskStarted { parent, task, .. } | Event::TaskRan { parent, task, .. } = event {
            (*parent, task)
        } else if let Event::TaskHalted { execution: None, scope, task, .. } = event {
            (*scope, task)
        } else if let Event::TaskFaulted { execution: None, task, .. } = event {
            (around(state, task), task)
        } else {
            return None;
        };
    (**entered == *task).then_some(scope)
}

/// The scope of a task that failed while it was entered: its pointer begins with that of the scope, and no other that is open is longer.
fn around(state: &InstanceState, task: &str) -> ExecutionId {
    let is_around = |scope: &str| task.strip_prefix(scope).is_some_and(|it| it.starts_with('/'));
    let around = state.executions.iter().filter(|(_, it)| is_around(&it.task));
    around.max_by_key(|(_, it)| it.task.len()).map_or(ExecutionId::ROOT, |(id, _)| *id)
}

fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::InstanceCompleted { .. } | Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. }
    )
}

/// What flows to a task of a scope; to one with extensions, what flows to the outermost of them.
fn given(state: &InstanceState, scope: ExecutionId, task: &str) -> Payload {
    let (mut at, mut given) = (Some(scope), None);
    while let Some(scope) = at.and_then(|id| state.executions.get(&id)) {
        if !is_extension(&scope.task, task) {
            return given.unwrap_or_else(|| data(scope).clone());
        }
        given = Some(scope.input.clone());
        at = scope.parent;
    }
    given.unwrap_or_else(Payload::null)
}

/// Extensions of a task are named after it.
fn is_extension(scope: &str, task: &str) -> bool {
    scope.strip_prefix(task).is_some_and(|it| it.starts_with("/extensions/"))
}

/// `$context` as a task of a scope sees it: that of the innermost fork's branch which has exported, or the instance's.
fn context(state: &InstanceState, scope: ExecutionId, task: &str) -> Payload {
    let (mut at, mut below) = (state.executions.get(&scope), task);
    while let Some(scope) = at {
        if let ExecutionState::Branches { branches } = &scope.state
            && let Some(branch) = branch_index(&scope.task, below).and_then(|it| branches.get(it))
            && let Some(context) = &branch.context
        {
            return context.clone();
        }
        below = &scope.task;
        at = scope.parent.and_then(|id| state.executions.get(&id));
    }
    state.context.clone()
}
