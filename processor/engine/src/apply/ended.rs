//! The three ends of an instance. What remains is a stub: the status, and what tells late commands apart from news.

use millrace_schemas::Payload;
use millrace_schemas::event::TaskError;
use millrace_schemas::instance::{InstanceState, Status};

use super::Misfit;

/// `InstanceCompleted`
pub(super) fn completed(state: &mut InstanceState, output: &Payload) -> Result<(), Misfit> {
    end(state, Status::Completed { output: output.clone() })
}

/// `InstanceFaulted`
pub(super) fn faulted(state: &mut InstanceState, error: &TaskError) -> Result<(), Misfit> {
    end(state, Status::Faulted { error: error.clone() })
}

/// `InstanceCancelled`
pub(super) fn cancelled(state: &mut InstanceState, reason: &str) -> Result<(), Misfit> {
    end(state, Status::Cancelled { reason: reason.to_owned() })
}

fn end(state: &mut InstanceState, status: Status) -> Result<(), Misfit> {
    state.status = status;
    state.executions.clear();
    state.timers.clear();
    state.deferred.clear();
    state.signals.clear();
    state.channels.clear();
    state.remembered.clear();
    state.compensations.clear();
    state.compensating = None;
    state.halted.clear();
    state.raw_input = Payload::null();
    state.input = Payload::null();
    state.context = Payload::null();
    Ok(())
}
