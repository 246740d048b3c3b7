//! Tasks of few lines: `do`, calls of `use.functions`, `set`, `switch`, `raise`, `wait`.

use millrace_schemas::event::{Activity, TaskError, TimerPurpose};
use millrace_workflow::expression::Template;
use millrace_workflow::program::{Block, Case, DurationSource, ErrorModel, Function};
use serde_json::Value;

use super::enter::Entering;
use super::{Next, Trouble};
use crate::journal::Journal;
use crate::problem;

impl Journal<'_> {
    pub(super) fn enter_do(&mut self, entering: Entering<'_>, body: &Block) -> Result<(), Trouble> {
        if body.tasks.is_empty() {
            return self.end_at_once(&entering, entering.input.clone(), entering.task.then);
        }
        let deadline = self.deadline(&entering)?;
        let scope =
            self.open(&entering, deadline, Activity::Sequence { then: self.flow_text(entering.then) })?;
        self.todo.push(Next::Begin { scope });
        Ok(())
    }

    /// The function's task runs with the arguments as its input.
    pub(super) fn enter_function(
        &mut self,
        entering: Entering<'_>,
        function: &Function,
    ) -> Result<(), Trouble> {
        let input = match &function.arguments {
            Some(arguments) => self.fill(arguments, entering.input.value(), &entering.view(self.at()))?,
            None => entering.input.clone(),
        };
        let deadline = self.deadline(&entering)?;
        let scope =
            self.open(&Entering { input, ..entering }, deadline, Activity::Sequence { then: None })?;
        self.todo.push(Next::Begin { scope });
        Ok(())
    }

    pub(super) fn enter_set(&mut self, entering: &Entering<'_>, value: &Template) -> Result<(), Trouble> {
        let output = self.fill(value, entering.input.value(), &entering.view(self.at()))?;
        self.end_at_once(entering, output, entering.task.then)
    }

    pub(super) fn enter_switch(&mut self, entering: &Entering<'_>, cases: &[Case]) -> Result<(), Trouble> {
        let mut flow = entering.task.then;
        for case in cases {
            let holds = match &case.when {
                Some(when) => self.holds(when, entering.input.value(), &entering.view(self.at()))?,
                None => true,
            };
            if holds {
                flow = case.then;
                break;
            }
        }
        self.end_at_once(entering, entering.input.clone(), flow)
    }

    pub(super) fn enter_raise(&mut self, entering: &Entering<'_>, error: &ErrorModel) -> Result<(), Trouble> {
        let value = self.fill(&error.template, entering.input.value(), &entering.view(self.at()))?;
        let reference = &entering.task.reference;
        let raised =
            raised(value.value(), reference).map_err(|detail| problem::expression(reference, detail))?;
        Err(problem::bounded(raised).into())
    }

    pub(super) fn enter_wait(
        &mut self,
        entering: &Entering<'_>,
        duration: &DurationSource,
    ) -> Result<(), Trouble> {
        let duration = self.duration(duration, entering.input.value(), &entering.view(self.at()))?;
        let due = self.at().plus(duration);
        let deadline = self.deadline(entering)?;
        let execution = self.open(entering, deadline, Activity::Waiting)?;
        Ok(self.set_timer(execution, due, TimerPurpose::Wait)?)
    }
}

/// Reads a raised error. Without an `instance` of its own it carries the pointer of the task that raises it.
fn raised(value: &Value, task: &str) -> Result<TaskError, String> {
    let text = |name: &str| match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(it)) => Ok(Some(it.clone())),
        Some(it) => Err(format!("`raise.error.{name}` must be a string, and is {it}")),
    };
    let error_type = text("type")?.ok_or("`raise.error.type` is missing")?;
    let status = value.get("status").and_then(Value::as_u64).and_then(|it| u16::try_from(it).ok());
    let status = status.ok_or("`raise.error.status` must be an HTTP status, a whole number")?;
    let instance = text("instance")?.unwrap_or_else(|| task.to_owned());
    Ok(TaskError {
        error_type,
        status,
        instance: Some(instance),
        title: text("title")?,
        detail: text("detail")?,
    })
}
