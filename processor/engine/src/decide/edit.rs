//! `Edit`: another input for a task that stands still.
//!
//! What the task has done so far is ended by it, so that an answer which comes late finds nothing to answer. It begins again, with the
//! new input, when the instance goes on.

use std::sync::Arc;

use millrace_schemas::event::Event;
use millrace_schemas::instance::{Execution, ExecutionState, Halted};
use millrace_schemas::{ExecutionId, Payload};

use super::deferral;
use crate::Rejection;
use crate::journal::{Journal, Stop};

pub(super) fn decide(
    journal: &mut Journal<'_>,
    task: &Arc<str>,
    input: &Payload,
    by: &str,
    reason: &str,
) -> Result<(), Stop> {
    let refused = |detail| Err(Rejection::InvalidState { detail }.into());
    if !deferral::stands_still(journal) {
        return refused(format!(
            "instance {} is running, and a task gets another input only while it stands still; suspend it first",
            journal.id
        ));
    }
    let Some((execution, scope, then)) = find(journal, task) else {
        let open = journal.state().executions.values().filter(|it| it.parent.is_some()).map(|it| &*it.task);
        let halted = journal.state().halted.iter().map(|it| &*it.task);
        let names: Vec<_> = open.chain(halted).collect();
        let names =
            if names.is_empty() { "no task is".to_owned() } else { format!("open are {}", names.join(", ")) };
        return refused(format!("task {task} is not open in instance {}: {names}", journal.id));
    };
    let (task, input, by, reason) = (task.clone(), input.clone(), by.to_owned(), reason.to_owned());
    journal.record(Event::TaskEdited { execution, scope, task, then, input, by, reason })
}

/// What of a task is open, the scope that it runs in, and where the flow goes after it.
fn find(
    journal: &Journal<'_>,
    task: &Arc<str>,
) -> Option<(Option<ExecutionId>, ExecutionId, Option<Arc<str>>)> {
    let state = journal.state();
    if let Some(Halted { scope, then, .. }) = state.halted.iter().find(|it| it.task == *task) {
        return Some((None, *scope, then.clone()));
    }
    let (id, execution) = state.executions.iter().find(|(_, it)| it.task == *task)?;
    let Execution { parent, state, .. } = execution;
    let then = if let ExecutionState::Sequence { then, .. } = state { then.clone() } else { None };
    Some((Some(*id), (*parent)?, then))
}
