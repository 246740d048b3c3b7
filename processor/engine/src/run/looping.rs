//! `for`

use millrace_schemas::event::{Activity, Event};
use millrace_schemas::instance::ExecutionState;
use millrace_schemas::{ExecutionId, Payload};
use millrace_workflow::program::{For, Kind};
use serde_json::Value;

use super::enter::Entering;
use super::{Next, Trouble};
use crate::journal::{Journal, Stop};
use crate::problem;
use crate::variables::{View, readable};

impl Journal<'_> {
    pub(super) fn enter_for(&mut self, entering: &Entering<'_>, it: &For) -> Result<(), Trouble> {
        let items = self.evaluate(&it.items, entering.input.value(), &entering.view(self.at()))?;
        if !items.is_array() {
            let detail = format!("`for.in` must give an array, and gave {}", kind(&items));
            return Err(problem::expression(&entering.task.reference, detail).into());
        }
        let items = readable(Payload::from(items), &entering.task.reference)?;
        let deadline = self.deadline(entering)?;
        let execution = self.open(entering, deadline, Activity::Loop { items })?;
        Ok(self.round(execution, 0)?)
    }

    /// Begins the round at `next`, or ends the loop.
    pub(super) fn round(&mut self, id: ExecutionId, next: u32) -> Result<(), Stop> {
        let execution = self.execution(id);
        let task = self.task_of(execution);
        let (Kind::For(it), ExecutionState::Loop { items, data, .. }) = (&task.kind, &execution.state) else {
            unreachable!("the execution of a `for` is a loop");
        };
        let data = data.clone();
        let Some(item) = items.value().get(next as usize) else { return self.finish(id, data, None) };
        if let Some(condition) = &it.condition {
            let locals = [(it.each.clone(), item.clone()), (it.at.clone(), Value::from(next))];
            let view = View { locals: &locals, ..View::of_open(execution, task) };
            match self.holds(condition, data.value(), &view) {
                Ok(true) => {}
                Ok(false) => return self.finish(id, data, None),
                Err(error) => return self.fault(id, error, true),
            }
        }
        if next > 0 {
            // A round counts as a step, for a list may be empty, or all of its tasks be skipped.
            if let Some(error) = self.spinning(&task.reference) {
                return self.give_up(id, error);
            }
            self.entered += 1;
            self.record(Event::IterationStarted { execution: id, index: next })?;
        }
        self.todo.push(Next::Begin { scope: id });
        Ok(())
    }
}

/// The kind of a JSON value, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
