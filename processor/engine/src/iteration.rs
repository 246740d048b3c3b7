//! Telling apart the executions of one task: iteration strings.
//!
//! The string is the path of rounds that lead to a task, from the outside in:
//! - each `for` around the task adds the index of its item; a dot stands before it unless it comes first: `2`, `2.0`;
//! - each list of tasks that has been jumped back in adds `~n` after its n-th jump, followed by `@d` where `d` is the number of
//!   scopes around that list, unless it is the workflow's own: `~1`, `2~3@1`, `2~1@2.0`;
//! - all begin with `!n` after the n-th restart, if that was from a task of the workflow's own list: `!1`, `!1.2`. A restart in another
//!   list counts as a jump back in it.
//!
//! Without the depth, two different rounds could share a string (the second round of a loop's list and the second round of a
//! `do` in it), and with the string an idempotency key. With it, task, iteration and attempt name one execution.

use std::sync::Arc;

use millrace_schemas::ExecutionId;
use millrace_schemas::instance::{Execution, ExecutionState, InstanceState};

/// The iteration of what runs directly in `scope`.
pub(crate) fn of_child(state: &InstanceState, scope: &Execution) -> Arc<str> {
    let (index, jumps) = match &scope.state {
        ExecutionState::Loop { index, jumps, .. } | ExecutionState::Gathering { index, jumps, .. } => {
            (Some(*index), *jumps)
        }
        ExecutionState::Sequence { jumps, .. }
        | ExecutionState::Trying { jumps, .. }
        | ExecutionState::Catching { jumps, .. } => (None, *jumps),
        ExecutionState::Branches { .. }
        | ExecutionState::BackingOff { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Calling { .. } => (None, 0),
    };
    if index.is_none() && jumps == 0 {
        return scope.iteration.clone();
    }
    let mut text = scope.iteration.to_string();
    if let Some(index) = index {
        let dot = if text.is_empty() { "" } else { "." };
        text = format!("{text}{dot}{index}");
    }
    if jumps > 0 {
        text = match depth(state, scope.parent) {
            0 => format!("{text}~{jumps}"),
            depth => format!("{text}~{jumps}@{depth}"),
        };
    }
    text.into()
}

/// How many scopes there are from `scope` to the root, both counted.
pub(crate) fn depth(state: &InstanceState, scope: Option<ExecutionId>) -> u32 {
    let mut depth = 0;
    let mut at = scope;
    while let Some(execution) = at.and_then(|id| state.executions.get(&id)) {
        depth += 1;
        at = execution.parent;
    }
    depth
}
