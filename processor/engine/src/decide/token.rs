//! Whether a worker's answer is for a call that waits for it.

use millrace_schemas::TaskToken;
use millrace_schemas::instance::{ExecutionState, Status};

use crate::Rejection;
use crate::journal::Journal;

pub(super) fn check(journal: &Journal<'_>, token: TaskToken) -> Result<(), Rejection> {
    let state = journal.state();
    let refused = |detail| Err(Rejection::InvalidState { detail });
    let execution = state.executions.get(&token.execution);
    let Some((task, ExecutionState::Calling { dispatch, .. })) = execution.map(|it| (&it.task, &it.state))
    else {
        return refused(format!("task {token} is not open: answered twice, late, or cancelled"));
    };
    if *dispatch != token.dispatch {
        let current = TaskToken { dispatch: *dispatch, ..token };
        return refused(format!(
            "task {token} ({task}) is not open: the latest that was sent out is {current}, and only that one may be answered"
        ));
    }
    if let Status::Incident { incident } = &state.status
        && incident.execution == Some(token.execution)
    {
        return refused(format!(
            "task {token} ({task}) is not open: its answer was dropped by an incident; it is sent out again when the instance is resumed"
        ));
    }
    Ok(())
}
