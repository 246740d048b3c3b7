//! From one task of a list to the next: `then`, and the end of a list.

use millrace_schemas::ExecutionId;
use millrace_schemas::event::Event;
use millrace_schemas::instance::{Execution, ExecutionState};
use millrace_workflow::program::{Block, Flow, Kind, Task, TaskIndex};

use super::Next;
use super::enter::data;
use crate::journal::{Journal, Stop};
use crate::problem;

impl<'s> Journal<'s> {
    /// The definition of an open task; the root has none.
    pub(crate) fn task_of(&self, execution: &Execution) -> &'s Task {
        self.program.find(&execution.task).expect("an instance stays on the version that it runs")
    }

    /// The list that a scope runs now.
    pub(crate) fn block(&self, id: ExecutionId) -> Option<&'s Block> {
        if id == ExecutionId::ROOT {
            return Some(&self.program.body);
        }
        let execution = self.execution(id);
        let catching = matches!(execution.state, ExecutionState::Catching { .. });
        match &self.task_of(execution).kind {
            Kind::Do { body } => Some(body),
            Kind::For(it) => Some(&it.body),
            Kind::Try(it) if catching => Some(&it.catch.body),
            Kind::Try(it) => Some(&it.body),
            Kind::Function(it) => Some(&it.body),
            Kind::Extended(it) => Some(&it.body),
            Kind::Listen(it) => it.foreach.as_ref().map(|it| &it.body),
            Kind::Set { .. }
            | Kind::Switch { .. }
            | Kind::Fork { .. }
            | Kind::Raise { .. }
            | Kind::Wait { .. }
            | Kind::Emit(_)
            | Kind::Call(_)
            | Kind::Child(_) => None,
        }
    }

    pub(super) fn begin(&mut self, scope: ExecutionId) -> Result<(), Stop> {
        match self.block(scope).and_then(|it| it.tasks.first()) {
            Some(task) => {
                self.todo.push(Next::Enter { scope, task: *task, then: None });
                Ok(())
            }
            None => self.list_ended(scope),
        }
    }

    pub(super) fn after(&mut self, scope: ExecutionId, task: TaskIndex, flow: Flow) -> Result<(), Stop> {
        if scope == ExecutionId::ROOT && self.is_compensating() {
            return self.compensated();
        }
        let Some(block) = self.block(scope) else { return self.branch_ended(scope, task, flow) };
        if let Some(extended) = self.extended(scope)
            && self.leaves_extended(scope, extended, task, flow)?
        {
            return Ok(());
        }
        let here = self.program.position(block, task);
        match flow {
            Flow::Continue => match here.and_then(|it| block.tasks.get(it + 1)) {
                Some(next) => {
                    self.todo.push(Next::Enter { scope, task: *next, then: None });
                    Ok(())
                }
                None => self.list_ended(scope),
            },
            Flow::Exit if self.gathers(scope) => self.event_round_ended(scope, true),
            Flow::Exit => self.finish(scope, data(self.execution(scope)).clone(), None),
            Flow::End => self.end_instance(scope, data(self.execution(scope)).clone()),
            Flow::Goto(target) => {
                let Some(there) = block.position(target) else { return self.astray(scope, task) };
                if here.is_none_or(|here| there <= here) {
                    self.record(Event::SequenceJumped { execution: scope })?;
                }
                self.todo.push(Next::Enter { scope, task: target, then: None });
                Ok(())
            }
        }
    }

    /// A jump out of its list. Admission refuses it; should one get through, the instance faults and the partition goes on.
    pub(super) fn astray(&mut self, scope: ExecutionId, task: TaskIndex) -> Result<(), Stop> {
        let reference = &self.program.task(task).reference;
        let detail = "`then` names a task that is not in the same list; correct the definition".to_owned();
        self.todo.push(Next::Faulted { scope, error: problem::runtime(reference, detail), retriable: false });
        Ok(())
    }

    fn list_ended(&mut self, scope: ExecutionId) -> Result<(), Stop> {
        let execution = self.execution(scope);
        if let ExecutionState::Loop { index, .. } = execution.state {
            return self.round(scope, index + 1);
        }
        if self.gathers(scope) {
            return self.event_round_ended(scope, false);
        }
        self.finish(scope, data(execution).clone(), None)
    }
}
