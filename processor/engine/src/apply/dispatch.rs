//! Events of a call that is with its workers.

use millrace_schemas::event::TimerPurpose;
use millrace_schemas::instance::{ExecutionState, InstanceState};
use millrace_schemas::{ExecutionId, Timestamp};

use super::{Misfit, execution};

/// `TaskDispatched`
pub(super) fn dispatched(state: &mut InstanceState, id: ExecutionId, next: u32) -> Result<(), Misfit> {
    let call = execution(state, id)?;
    match &mut call.state {
        ExecutionState::Calling { dispatch, .. } if next > *dispatch => {
            *dispatch = next;
            Ok(())
        }
        ExecutionState::Calling { dispatch, .. } => Err(format!("dispatch {next} cannot follow {dispatch}")),
        ExecutionState::Sequence { .. }
        | ExecutionState::Loop { .. }
        | ExecutionState::Branches { .. }
        | ExecutionState::Trying { .. }
        | ExecutionState::BackingOff { .. }
        | ExecutionState::Catching { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Gathering { .. } => Err(format!("{} is no call", call.task)),
    }
}

/// `HeartbeatRecorded`
pub(super) fn heartbeat(state: &mut InstanceState, id: ExecutionId, due: Timestamp) -> Result<(), Misfit> {
    let timer =
        state.timers.values_mut().find(|it| it.execution == id && it.purpose == TimerPurpose::Heartbeat);
    timer.map(|it| it.due = due).ok_or_else(|| format!("execution {} has no heartbeat timer", id.0))
}
