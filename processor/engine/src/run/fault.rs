//! How an error finds its way from a task to whatever catches it.

use millrace_schemas::ExecutionId;
use millrace_schemas::event::{Event, TaskError};
use millrace_schemas::instance::ExecutionState;

use super::Next;
use crate::journal::{Journal, Stop};

impl Journal<'_> {
    /// An open task ends with an error, which goes on to its scope.
    pub(crate) fn fault(&mut self, id: ExecutionId, error: TaskError, retriable: bool) -> Result<(), Stop> {
        let execution = self.execution(id);
        let Some(scope) = execution.parent else { return self.record(Event::InstanceFaulted { error }) };
        let task = execution.task.clone();
        self.record(Event::TaskFaulted { execution: Some(id), task, error: error.clone() })?;
        self.todo.push(Next::Faulted { scope, error, retriable });
        Ok(())
    }

    /// A task of `scope` has ended with an error.
    pub(super) fn faulted(
        &mut self,
        scope: ExecutionId,
        error: TaskError,
        retriable: bool,
    ) -> Result<(), Stop> {
        match self.execution(scope).state {
            ExecutionState::Trying { retries, .. } => self.consider(scope, error, retriable, retries),
            ExecutionState::Branches { .. } => {
                self.cancel_children(scope)?;
                self.fault(scope, error, retriable)
            }
            ExecutionState::Sequence { .. }
            | ExecutionState::Loop { .. }
            | ExecutionState::Catching { .. }
            | ExecutionState::Gathering { .. }
            | ExecutionState::BackingOff { .. }
            | ExecutionState::Waiting
            | ExecutionState::Listening { .. }
            | ExecutionState::Calling { .. } => self.fault(scope, error, retriable),
        }
    }
}
