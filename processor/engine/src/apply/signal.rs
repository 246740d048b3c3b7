//! Events from outside: those that came before a `listen` for them, and those that one took.

use millrace_schemas::instance::{BufferedSignal, ExecutionState, Heard, InstanceState};
use millrace_schemas::{EventId, ExecutionId, Payload};

use super::{Misfit, execution};

/// `SignalBuffered`
pub(super) fn buffered(state: &mut InstanceState, cause: &EventId, event: &Payload) -> Result<(), Misfit> {
    state.signals.push_back(BufferedSignal { cause: cause.clone(), event: event.clone() });
    Ok(())
}

/// `SignalConsumed`
pub(super) fn consumed(state: &mut InstanceState, id: ExecutionId, cause: &EventId) -> Result<(), Misfit> {
    let listener = execution(state, id)?;
    if !matches!(listener.state, ExecutionState::Listening { .. }) {
        return Err(format!("{} does not listen", listener.task));
    }
    let position = state.signals.iter().position(|it| it.cause == *cause);
    let position = position.ok_or_else(|| format!("event {cause} is not waiting"))?;
    state.signals.remove(position);
    Ok(())
}

/// `EventHeard`
pub(super) fn heard(
    state: &mut InstanceState,
    id: ExecutionId,
    filter: u32,
    event: &Payload,
) -> Result<(), Misfit> {
    let listener = execution(state, id)?;
    let ExecutionState::Listening { heard } = &mut listener.state else {
        return Err(format!("{} does not listen", listener.task));
    };
    heard.push(Heard { filter, event: event.clone() });
    Ok(())
}
