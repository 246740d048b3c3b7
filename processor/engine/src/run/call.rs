//! `call` of a named function: a task for workers.

use millrace_schemas::event::{Activity, Event, TimerPurpose};
use millrace_schemas::instance::ExecutionState;
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{ExecutionId, TaskToken};
use millrace_workflow::program::{Call, Kind};

use super::Trouble;
use super::enter::Entering;
use crate::journal::{Journal, Stop};

impl Journal<'_> {
    pub(super) fn enter_call(&mut self, entering: &Entering<'_>, it: &Call) -> Result<(), Trouble> {
        let arguments = match &it.arguments {
            Some(arguments) => {
                Some(self.fill(arguments, entering.input.value(), &entering.view(self.at()))?)
            }
            None => None,
        };
        let deadline = self.deadline(entering)?;
        let (queue, function) = (it.queue.clone(), it.function.clone());
        let secrets = entering.secrets.used_in(arguments.as_ref().unwrap_or(&entering.input));
        let execution =
            self.open(entering, deadline, Activity::Call { queue, function, arguments, deadline, secrets })?;
        Ok(self.dispatch_call(execution)?)
    }

    /// Sends a call to its workers, for the first time or again.
    pub(crate) fn dispatch_call(&mut self, id: ExecutionId) -> Result<(), Stop> {
        let ExecutionState::Calling { dispatch, .. } = self.execution(id).state else {
            unreachable!("only a call is sent to workers");
        };
        let dispatch = dispatch + 1 + self.salt(id, dispatch);
        self.record(Event::TaskDispatched { execution: id, dispatch })?;
        self.clear_timer(id, TimerPurpose::Heartbeat)?;
        let heartbeat = self.heartbeat_of(id);
        if let Some(heartbeat) = heartbeat {
            self.set_timer(id, self.at().plus(heartbeat), TimerPurpose::Heartbeat)?;
        }
        if let Kind::Child(child) = &self.task_of(self.execution(id)).kind {
            return self.start_child(id, dispatch, child);
        }
        let execution = self.execution(id);
        let ExecutionState::Calling { queue, function, arguments, deadline, secrets, .. } = &execution.state
        else {
            unreachable!("only a call is sent to workers");
        };
        let (queue, secrets) = (queue.clone(), secrets.clone());
        let separator = if execution.iteration.is_empty() { "" } else { "#" };
        let command = TaskCommand {
            instance: self.id.clone(),
            token: TaskToken { execution: id, dispatch },
            workflow: self.state().workflow.clone(),
            task: execution.task.clone(),
            iteration: execution.iteration.clone(),
            attempt: execution.attempt,
            idempotency_key: format!("{}#{}{separator}{}", self.id, execution.task, execution.iteration),
            function: function.clone(),
            arguments: arguments.clone().unwrap_or_else(|| execution.input.clone()),
            deadline: *deadline,
            heartbeat_ms: heartbeat.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            secrets,
        };
        self.dispatch(queue, command)
    }

    /// What makes a token another one than that of a decision whose transaction was aborted: a worker may have seen the task all the same,
    /// and its answer must not be taken for one to the task that was decided in its place. A child's is not needed: nobody reads starts
    /// that are not committed.
    fn salt(&self, id: ExecutionId, dispatch: u32) -> u32 {
        let is_child = matches!(self.task_of(self.execution(id)).kind, Kind::Child(_));
        // One that is sent out for ever comes to the end of the numbers no sooner than by counting.
        if is_child || dispatch > u32::MAX / 2 {
            return 0;
        }
        u32::try_from(self.moment.random >> 44).expect("20 bits")
    }

    /// How often a call wants a sign of life, if it does.
    pub(crate) fn heartbeat_of(&self, id: ExecutionId) -> Option<std::time::Duration> {
        if let Kind::Call(it) = &self.task_of(self.execution(id)).kind { it.heartbeat } else { None }
    }
}
