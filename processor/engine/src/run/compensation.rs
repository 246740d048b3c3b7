//! Undoing: what is kept for it while the flow goes on, and how it goes when the instance ends badly.
//!
//! Each task with a compensation that has ended well is kept, wherever it stood and whatever became of the tasks around it. When an error
//! is caught by nothing, or a cancel asks for it, all that is open is gone, and the tasks are undone one after the other, the
//! one that ended last first. Then the instance ends as it would have ended without.
//!
//! What undoes a task is a child of the root, which has no other one then. Nothing of it can end the instance: what fails in it, and
//! nothing catches, is halted.

use std::sync::Arc;

use millrace_schemas::event::{Activity, Compensation, Event, Outcome, TaskError, TimerPurpose};
use millrace_schemas::instance::Compensating;
use millrace_schemas::{Attempt, ExecutionId, Payload};
use millrace_workflow::program::{Flow, Task, TaskIndex};
use serde_json::json;

use super::Next;
use super::enter::{Again, next_attempt};
use crate::journal::{Journal, Stop};
use crate::problem;
use crate::size::payload_bytes;
use crate::variables::readable;

/// A task that has ended well.
pub(super) struct Done {
    pub(super) iteration: Arc<str>,
    pub(super) attempt: Attempt,
    pub(super) input: Payload,
}

impl<'s> Journal<'s> {
    /// Whether the instance undoes what it has done.
    pub(crate) fn is_compensating(&self) -> bool {
        self.state().compensating.is_some()
    }

    /// A task of `scope` has ended well: if something undoes it, that is kept.
    pub(super) fn keep_compensation(
        &mut self,
        task: &Task,
        scope: ExecutionId,
        done: Done,
    ) -> Result<(), Stop> {
        if task.compensation.is_none() || self.is_compensating() {
            return Ok(());
        }
        let Done { iteration, attempt, input } = done;
        let task = task.reference.clone();
        // Another attempt has the same idempotency key, so it has done the same thing. It is undone once.
        let kept = &self.state().compensations;
        let is_again =
            attempt > Attempt::FIRST && kept.iter().any(|it| it.iteration == iteration && it.task == task);
        self.record(Event::CompensationAdded { scope, task, iteration, input, is_again })
    }

    /// The instance ends with an error: now, or when it has undone what it has done.
    pub(crate) fn fault_instance(&mut self, error: TaskError) -> Result<(), Stop> {
        self.end_badly(Outcome::Faulted { error })
    }

    /// As [`Self::fault_instance`], for any outcome. What is to be undone waits for [`Journal::run`].
    pub(crate) fn end_badly(&mut self, outcome: Outcome) -> Result<(), Stop> {
        if self.is_compensating() || self.state().compensations.is_empty() {
            return self.end(outcome);
        }
        self.record(Event::CompensationStarted { outcome })?;
        self.todo.clear();
        self.entered = 0;
        self.todo.push(Next::Compensate);
        Ok(())
    }

    fn end(&mut self, outcome: Outcome) -> Result<(), Stop> {
        match outcome {
            Outcome::Faulted { error } => self.record(Event::InstanceFaulted { error }),
            Outcome::Cancelled { reason, is_parent_told } => {
                self.is_parent_told = is_parent_told;
                self.record(Event::InstanceCancelled { reason })
            }
        }
    }

    /// Undoes the task that has ended last, or ends when there is none.
    pub(super) fn compensate(&mut self) -> Result<(), Stop> {
        match self.state().compensations.last().cloned() {
            Some(last) => self.begin_compensation(&last, None),
            None => match self.state().compensating.clone() {
                Some(Compensating { outcome }) => self.end(outcome),
                None => Ok(()),
            },
        }
    }

    fn begin_compensation(&mut self, last: &Compensation, again: Option<Again>) -> Result<(), Stop> {
        /// A decision with fewer facts has a record to itself.
        const FACTS_OF_ITS_OWN: usize = 3;
        let task = self.compensation_of(last);
        self.task = task.reference.clone();
        let root = self.execution(ExecutionId::ROOT);
        let attempt = if again.is_some() { next_attempt(root) } else { root.attempt };
        let given = match again.and_then(|it| it.input) {
            Some(input) => Ok(input),
            None => self.undoes(last, task),
        };
        let input = match given {
            Ok(input) => input,
            Err(error) => return self.halt(None, ExecutionId::ROOT, task, None, error),
        };
        if self.is_filling(payload_bytes(&input)) && self.recorded() > FACTS_OF_ITS_OWN {
            return self.set_timer(ExecutionId::ROOT, self.at(), TimerPurpose::Compensation);
        }
        self.entered += 1;
        let execution = ExecutionId(self.state().next_execution);
        self.record(Event::TaskStarted {
            execution,
            parent: ExecutionId::ROOT,
            task: task.reference.clone(),
            iteration: last.iteration.clone(),
            attempt,
            input: Some(input),
            activity: Activity::Sequence { then: None },
        })?;
        self.todo.push(Next::Begin { scope: execution });
        Ok(())
    }

    /// What is given to what undoes a task: what that was given, and has given.
    fn undoes(&self, last: &Compensation, task: &Task) -> Result<Payload, TaskError> {
        let Compensation { input, output, .. } = last;
        let (bytes, max) = (payload_bytes(input) + payload_bytes(output), self.bounds.record_bytes_max);
        if bytes > max / 4 * 3 {
            let detail = format!(
                "the input and the output of the task have {bytes} bytes, too many for a record of {max} (record_bytes_max); retry this with an input of your own"
            );
            return Err(problem::runtime(&task.reference, detail));
        }
        let both = Payload::from(json!({ "input": input.value(), "output": output.value() }));
        readable(both, &task.reference)
    }

    /// What undoes a task.
    fn compensation_of(&self, last: &Compensation) -> &'s Task {
        let index = self.program.find(&last.task).and_then(|it| it.compensation);
        self.program.task(index.expect("an instance stays on the version that it runs"))
    }

    /// What undoes a task has ended well.
    pub(super) fn compensated(&mut self) -> Result<(), Stop> {
        let last = self.state().compensations.last().expect("what is undone is kept until then");
        let (task, iteration) = (last.task.clone(), last.iteration.clone());
        self.record(Event::TaskCompensated { task, iteration })?;
        self.todo.push(Next::Compensate);
        Ok(())
    }

    /// What undoes a task, around `scope`, which is in it.
    pub(super) fn compensation_around(&self, scope: ExecutionId) -> ExecutionId {
        let mut at = scope;
        while let Some(parent) = self.execution(at).parent.filter(|it| *it != ExecutionId::ROOT) {
            at = parent;
        }
        at
    }

    /// A task that was halted begins again.
    pub(super) fn enter_again(
        &mut self,
        scope: ExecutionId,
        task: TaskIndex,
        then: Option<Flow>,
        input: Option<Payload>,
    ) -> Result<(), Stop> {
        let again = Again { input };
        if scope == ExecutionId::ROOT
            && self.is_compensating()
            && let Some(last) = self.state().compensations.last().cloned()
        {
            return self.begin_compensation(&last, Some(again));
        }
        self.enter(scope, task, then, Some(again))
    }
}
