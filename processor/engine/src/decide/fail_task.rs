//! `FailTask`

use millrace_schemas::TaskToken;
use millrace_schemas::event::TaskError;

use crate::journal::{Journal, Stop};
use crate::problem;

pub(super) fn decide(
    journal: &mut Journal<'_>,
    token: TaskToken,
    error: &TaskError,
    retriable: bool,
) -> Result<(), Stop> {
    let error = problem::bounded(complete(error, &journal.task, retriable));
    journal.answered = Some(token.execution);
    journal.fault(token.execution, error, retriable)?;
    journal.run()
}

/// Fills in what the worker left out: an empty type, a status of 0. The pointer is always that of the task.
fn complete(given: &TaskError, task: &str, retriable: bool) -> TaskError {
    let usual = if retriable { problem::communication } else { problem::runtime };
    let usual = usual(task, "the worker gave no reason".to_owned());
    let typed = !given.error_type.is_empty();
    TaskError {
        error_type: if typed { given.error_type.clone() } else { usual.error_type },
        status: if given.status == 0 { usual.status } else { given.status },
        instance: usual.instance,
        title: given.title.clone().or_else(|| usual.title.filter(|_| !typed)),
        detail: given.detail.clone().or_else(|| usual.detail.filter(|_| !typed)),
    }
}
