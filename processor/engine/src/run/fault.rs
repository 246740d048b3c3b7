//! How an error finds its way from a task to whatever catches it, and what becomes of one that nothing catches.

use std::sync::Arc;

use millrace_schemas::ExecutionId;
use millrace_schemas::event::{Event, TaskError};
use millrace_schemas::instance::ExecutionState;
use millrace_workflow::program::{OnFault, Task};

use super::Next;
use crate::journal::{Journal, Stop};

impl Journal<'_> {
    /// An open task ends with an error, which goes on to its scope.
    pub(crate) fn fault(&mut self, id: ExecutionId, error: TaskError, retriable: bool) -> Result<(), Stop> {
        let execution = self.execution(id);
        let Some(scope) = execution.parent else { return self.fault_instance(error) };
        if self.halts(scope, &error) {
            return self.halt_open(id, scope, error);
        }
        let task = execution.task.clone();
        self.record(Event::TaskFaulted { execution: Some(id), task, error: error.clone() })?;
        self.todo.push(Next::Faulted { scope, error, retriable });
        Ok(())
    }

    /// An open task ends for a bound on the instance, and no error of that may be caught.
    pub(super) fn give_up(&mut self, id: ExecutionId, error: TaskError) -> Result<(), Stop> {
        match self.execution(id).parent.filter(|_| self.is_compensating()) {
            Some(scope) => self.halt_open(id, scope, error),
            None => self.fault_instance(error),
        }
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

    /// Whether a task of `scope` that fails with `error` is kept for somebody to look at.
    pub(super) fn halts(&self, scope: ExecutionId, error: &TaskError) -> bool {
        let on_fault = self.program.on_fault.unwrap_or(self.bounds.on_fault);
        (self.is_compensating() || on_fault == OnFault::Incident) && self.is_uncaught(scope, error)
    }

    /// Whether nothing around would catch it. A `try` that cannot say has an error of its own to report, and is asked first.
    fn is_uncaught(&self, scope: ExecutionId, error: &TaskError) -> bool {
        let mut at = Some(scope);
        while let Some(id) = at {
            let scope = self.execution(id);
            if let ExecutionState::Trying { .. } = scope.state
                && self.catches(id, error).unwrap_or(true)
            {
                return false;
            }
            at = scope.parent;
        }
        true
    }

    fn halt_open(&mut self, id: ExecutionId, scope: ExecutionId, error: TaskError) -> Result<(), Stop> {
        let execution = self.execution(id);
        let then = match &execution.state {
            ExecutionState::Sequence { then, .. } => then.clone(),
            ExecutionState::Loop { .. }
            | ExecutionState::Branches { .. }
            | ExecutionState::Trying { .. }
            | ExecutionState::BackingOff { .. }
            | ExecutionState::Catching { .. }
            | ExecutionState::Waiting
            | ExecutionState::Listening { .. }
            | ExecutionState::Calling { .. }
            | ExecutionState::Gathering { .. } => None,
        };
        self.halt(Some(id), scope, self.task_of(execution), then, error)
    }

    /// A task fails, and waits for somebody who says how it goes on.
    pub(super) fn halt(
        &mut self,
        execution: Option<ExecutionId>,
        scope: ExecutionId,
        task: &Task,
        then: Option<Arc<str>>,
        error: TaskError,
    ) -> Result<(), Stop> {
        self.record(Event::TaskHalted { execution, scope, task: task.reference.clone(), then, error })
    }
}
