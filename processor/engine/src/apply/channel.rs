//! The channels that open `listen`s have subscribed to.

use millrace_schemas::instance::{InstanceState, JoinedChannel};
use millrace_schemas::{ExecutionId, InstanceId};

use super::{Misfit, execution};

/// `ChannelJoined`
pub(super) fn joined(
    state: &mut InstanceState,
    id: ExecutionId,
    filter: u32,
    channel: &InstanceId,
) -> Result<(), Misfit> {
    execution(state, id)?;
    state.channels.push(JoinedChannel { execution: id, filter, channel: channel.clone() });
    Ok(())
}

/// `ChannelLeft`
pub(super) fn left(state: &mut InstanceState, id: ExecutionId, filter: u32) -> Result<(), Misfit> {
    let place = state.channels.iter().position(|it| (it.execution, it.filter) == (id, filter));
    let place = place.ok_or_else(|| format!("filter {filter} of execution {} is in no channel", id.0))?;
    state.channels.remove(place);
    Ok(())
}
