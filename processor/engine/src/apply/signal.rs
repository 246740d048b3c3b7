//! Events from outside: those that came before a `listen` for them, and those that one took.

use millrace_schemas::instance::{BufferedSignal, ExecutionState, Heard, InstanceState, RememberedSignal};
use millrace_schemas::{EventId, ExecutionId, Payload, Timestamp};

use super::{Misfit, execution};

/// `SignalReceived`
pub(super) fn received(
    state: &mut InstanceState,
    digest: i64,
    forgotten: u32,
    at: Timestamp,
) -> Result<(), Misfit> {
    let (forgotten, remembered) = (forgotten as usize, state.remembered.len());
    if forgotten > remembered {
        return Err(format!("{forgotten} events are to be forgotten, and {remembered} are remembered"));
    }
    state.remembered.drain(..forgotten);
    state.remembered.push_back(RememberedSignal { digest, at });
    Ok(())
}

/// `SignalBuffered`
pub(super) fn buffered(state: &mut InstanceState, cause: &EventId, event: &Payload) -> Result<(), Misfit> {
    state.signals.push_back(BufferedSignal { cause: cause.clone(), event: event.clone() });
    Ok(())
}

/// `SignalConsumed`
pub(super) fn consumed(state: &mut InstanceState, id: ExecutionId, cause: &EventId) -> Result<(), Misfit> {
    let listener = execution(state, id)?;
    if !matches!(listener.state, ExecutionState::Listening { .. } | ExecutionState::Gathering { .. }) {
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
    is_last: bool,
) -> Result<(), Misfit> {
    let listener = execution(state, id)?;
    let taken = Heard { filter, event: event.clone() };
    if let ExecutionState::Listening { heard } = &mut listener.state {
        heard.push(taken);
    } else if let ExecutionState::Gathering { heard, is_done: is_done @ false, .. } = &mut listener.state {
        heard.push(taken);
        *is_done = is_last;
    } else {
        return Err(format!("{} does not listen", listener.task));
    }
    Ok(())
}

/// `EventRoundStarted`
pub(super) fn round_started(
    state: &mut InstanceState,
    id: ExecutionId,
    next: u32,
    item: &Payload,
) -> Result<(), Misfit> {
    let listener = execution(state, id)?;
    let ExecutionState::Gathering { is_busy: is_busy @ false, index, data, jumps, .. } = &mut listener.state
    else {
        return Err(format!("{} can begin no tasks for an event", listener.task));
    };
    (*is_busy, *index, *jumps) = (true, next, 0);
    *data = item.clone();
    Ok(())
}
