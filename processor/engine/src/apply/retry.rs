//! Events of a `try` that has an error on its hands.

use millrace_schemas::event::{TaskError, TimerPurpose};
use millrace_schemas::instance::{ExecutionState, InstanceState};
use millrace_schemas::{Attempt, ExecutionId, TimerId, Timestamp};

use super::{Misfit, execution, task, timer};

/// `RetryScheduled`
pub(super) fn scheduled(
    state: &mut InstanceState,
    id: ExecutionId,
    error: &TaskError,
    timer: TimerId,
    due: Timestamp,
) -> Result<(), Misfit> {
    let scope = execution(state, id)?;
    let ExecutionState::Trying { retries, .. } = scope.state else {
        return Err(format!("{} tries nothing", scope.task));
    };
    scope.state = ExecutionState::BackingOff { error: error.clone(), retries };
    timer::set(state, timer, id, due, TimerPurpose::RetryBackoff)
}

/// `RetryStarted`
pub(super) fn started(state: &mut InstanceState, id: ExecutionId) -> Result<(), Misfit> {
    let scope = execution(state, id)?;
    let ExecutionState::BackingOff { retries, .. } = scope.state else {
        return Err(format!("{} pauses before no retry", scope.task));
    };
    scope.state = ExecutionState::Trying { data: scope.input.clone(), jumps: 0, retries: retries + 1 };
    let attempt = Attempt(scope.attempt_seen.0 + 1);
    scope.attempt = attempt;
    task::seen(state, id, attempt)
}

/// `ErrorCaught`
pub(super) fn caught(state: &mut InstanceState, id: ExecutionId, error: &TaskError) -> Result<(), Misfit> {
    let scope = execution(state, id)?;
    let ExecutionState::Trying { .. } = scope.state else {
        return Err(format!("{} tries nothing", scope.task));
    };
    scope.state = ExecutionState::Catching { error: error.clone(), data: scope.input.clone(), jumps: 0 };
    Ok(())
}
