//! Events of timers.

use millrace_schemas::event::TimerPurpose;
use millrace_schemas::instance::{InstanceState, Timer};
use millrace_schemas::{ExecutionId, TimerId, Timestamp};

use super::{Misfit, execution};

/// `TimerSet`
pub(super) fn set(
    state: &mut InstanceState,
    id: TimerId,
    owner: ExecutionId,
    due: Timestamp,
    purpose: TimerPurpose,
) -> Result<(), Misfit> {
    if id.0 != state.next_timer {
        return Err(format!("timer {} is not the next one, {}", id.0, state.next_timer));
    }
    execution(state, owner)?;
    state.timers.insert(id, Timer { execution: owner, due, purpose });
    state.next_timer += 1;
    Ok(())
}

/// `TimerCleared`
pub(super) fn cleared(state: &mut InstanceState, id: TimerId) -> Result<(), Misfit> {
    state.timers.remove(&id).map(|_| ()).ok_or_else(|| format!("timer {} is not set", id.0))
}
