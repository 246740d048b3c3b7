//! Events of an instance that stands still, and of its going on.

use millrace_schemas::EventId;
use millrace_schemas::command::Command;
use millrace_schemas::event::Incident;
use millrace_schemas::instance::{DeferredCommand, InstanceState, Status};

use super::Misfit;

/// `InstanceSuspended`
pub(super) fn suspended(state: &mut InstanceState, reason: &str) -> Result<(), Misfit> {
    state.status = Status::Suspended { reason: reason.to_owned() };
    Ok(())
}

/// `IncidentRaised`. It may take the place of a suspension: the resume ends both.
pub(super) fn incident(state: &mut InstanceState, incident: &Incident) -> Result<(), Misfit> {
    state.status = Status::Incident { incident: incident.clone() };
    Ok(())
}

/// `CommandDeferred`
pub(super) fn deferred(state: &mut InstanceState, cause: &EventId, command: &Command) -> Result<(), Misfit> {
    state.deferred.push_back(DeferredCommand { cause: cause.clone(), command: command.clone() });
    Ok(())
}

/// `InstanceResumed`
pub(super) fn resumed(state: &mut InstanceState) -> Result<(), Misfit> {
    state.status = Status::Running;
    Ok(())
}

/// `DeferredCommandTaken`
pub(super) fn taken(state: &mut InstanceState) -> Result<(), Misfit> {
    state.deferred.pop_front().map(|_| ()).ok_or_else(|| "no command waits".to_owned())
}
