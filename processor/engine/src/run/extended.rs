//! Tasks with extensions: what comes before, the task itself, what comes after.
//!
//! What an extension computes stays in it: the task gets the input that it would get without, and gives the output that it would give.
//! Only a task *before* that says `then: exit` leaves in place of the task, with its own output.

use std::sync::Arc;

use millrace_schemas::ExecutionId;
use millrace_schemas::event::Activity;
use millrace_schemas::instance::{Execution, ExecutionState};
use millrace_workflow::program::{Extended, Flow, Kind, Task, TaskIndex};

use super::enter::{Entering, data};
use super::{Next, Trouble};
use crate::journal::{Journal, Stop};

impl<'s> Journal<'s> {
    pub(super) fn enter_extended(&mut self, entering: &Entering<'_>, it: &Extended) -> Result<(), Trouble> {
        if let Some(when) = &it.when
            && !self.holds(when, entering.input.value(), &entering.view(self.at()))?
        {
            self.todo.push(Next::Enter { scope: entering.scope, task: it.task, then: None });
            return Ok(());
        }
        let scope = self.open(entering, None, Activity::Sequence { then: None })?;
        self.todo.push(Next::Begin { scope });
        Ok(())
    }

    /// The extension that a scope is, if it is one.
    pub(super) fn extended(&self, scope: ExecutionId) -> Option<&'s Extended> {
        if scope == ExecutionId::ROOT {
            return None;
        }
        if let Kind::Extended(it) = &self.task_of(self.execution(scope)).kind { Some(it) } else { None }
    }

    /// Whether `scope` is the extension of `task`: then the task has the scope's own input.
    pub(super) fn is_within_its_extension(&self, scope: &Execution, task: &Task) -> bool {
        // Of several extensions some may not apply: the task then stands in a scope further out.
        let mut at = task.extended_by;
        while let Some(extension) = at.map(|it| self.program.task(it)) {
            if extension.reference == scope.task {
                return true;
            }
            at = extension.extended_by;
        }
        false
    }

    /// What follows a task of an extension. False if the flow goes on in the list before the task.
    pub(super) fn leaves_extended(
        &mut self,
        scope: ExecutionId,
        it: &Extended,
        task: TaskIndex,
        flow: Flow,
    ) -> Result<bool, Stop> {
        let is_itself = self.program.position(&it.body, task) == it.body.position(it.task);
        let then = match (it.after, flow) {
            (Some(after), flow) if is_itself => {
                self.todo.push(Next::Enter { scope, task: after, then: Some(flow) });
                return Ok(true);
            }
            (None, flow) if is_itself => flow,
            (Some(after), flow) if after == task => flow,
            (_, Flow::Exit) => self.task_extended(scope).then,
            _ => return Ok(false),
        };
        self.finish_then(scope, data(self.execution(scope)).clone(), None, Some(then))?;
        Ok(true)
    }

    fn task_extended(&self, scope: ExecutionId) -> &'s Task {
        let extension = self.task_of(self.execution(scope));
        self.program.task(extension.on_behalf_of.unwrap_or(extension.index))
    }

    /// A flow as the changelog has it.
    pub(super) fn flow_text(&self, flow: Option<Flow>) -> Option<Arc<str>> {
        match flow? {
            Flow::Continue => None,
            Flow::Exit => Some("exit".into()),
            Flow::End => Some("end".into()),
            Flow::Goto(target) => Some(self.program.task(target).reference.clone()),
        }
    }

    /// Where the flow goes after an open task, when not where the task says.
    pub(super) fn flow_after(&self, execution: &Execution) -> Option<Flow> {
        let ExecutionState::Sequence { then: Some(then), .. } = &execution.state else { return None };
        self.flow_of(then)
    }

    /// The flow that the changelog has as `text`.
    pub(crate) fn flow_of(&self, text: &str) -> Option<Flow> {
        match text {
            "exit" => Some(Flow::Exit),
            "end" => Some(Flow::End),
            reference => self.program.find(reference).map(|it| Flow::Goto(it.index)),
        }
    }
}
