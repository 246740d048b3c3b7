//! What expressions see: `$context`, `$input`, `$task` and the others.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use millrace_schemas::event::TaskError;
use millrace_schemas::instance::{Execution, ExecutionState};
use millrace_schemas::{ExecutionId, InstanceId, Payload, Timestamp};
use millrace_workflow::admission;
use millrace_workflow::expression::{Expression, Template, Variables};
use millrace_workflow::program::{DurationSource, Kind, Program, Task, TaskIndex};
use serde_json::{Value, json};

use crate::apply::branch_index;
use crate::journal::Journal;
use crate::{problem, run, timing};

/// From where an expression looks.
#[derive(Clone, Debug)]
pub(crate) struct View<'v> {
    /// The scope that the task runs in: its `$context` and local variables are seen.
    pub(crate) scope: ExecutionId,
    /// The task; none for the workflow's own expressions.
    pub(crate) task: Option<&'v Task>,
    /// When the task was entered.
    pub(crate) started_at: Timestamp,
    /// The workflow's input, while the instance does not exist yet.
    pub(crate) raw_input: Option<&'v Payload>,
    /// `$input`
    pub(crate) input: Option<&'v Payload>,
    /// `$output`
    pub(crate) output: Option<&'v Payload>,
    /// `$task.output`
    pub(crate) raw_output: Option<&'v Payload>,
    /// Another `$context` than the one of the scope.
    pub(crate) context: Option<&'v Payload>,
    /// `$secrets`
    pub(crate) secrets: Option<&'v Value>,
    /// Variables that hide those of the scopes.
    pub(crate) locals: &'v [(Arc<str>, Value)],
}

impl<'v> View<'v> {
    /// A view without data.
    pub(crate) fn of(scope: ExecutionId, task: Option<&'v Task>, started_at: Timestamp) -> Self {
        Self {
            scope,
            task,
            started_at,
            raw_input: None,
            input: None,
            output: None,
            raw_output: None,
            context: None,
            secrets: None,
            locals: &[],
        }
    }

    /// The view of an open task.
    pub(crate) fn of_open(execution: &'v Execution, task: &'v Task) -> Self {
        let scope = execution.parent.unwrap_or(ExecutionId::ROOT);
        Self { input: Some(&execution.input), ..Self::of(scope, Some(task), execution.started_at) }
    }
}

impl Journal<'_> {
    /// What an expression gives.
    pub(crate) fn evaluate(
        &self,
        expression: &Expression,
        input: &Value,
        view: &View<'_>,
    ) -> Result<Value, TaskError> {
        let sight = Sight { journal: self, view };
        expression
            .evaluate(input, &sight)
            .map_err(|error| problem::expression(view.reference(), error.to_string()))
    }

    /// Whether a condition holds.
    pub(crate) fn holds(
        &self,
        expression: &Expression,
        input: &Value,
        view: &View<'_>,
    ) -> Result<bool, TaskError> {
        let sight = Sight { journal: self, view };
        expression
            .is_true(input, &sight)
            .map_err(|error| problem::expression(view.reference(), error.to_string()))
    }

    /// What a template gives.
    pub(crate) fn fill(
        &self,
        template: &Template,
        input: &Value,
        view: &View<'_>,
    ) -> Result<Payload, TaskError> {
        let sight = Sight { journal: self, view };
        let value = template.evaluate(input, &sight);
        let value = value
            .map(Payload::from)
            .map_err(|error| problem::expression(view.reference(), error.to_string()))?;
        readable(value, view.reference())
    }

    /// A duration that is fixed, or computed.
    pub(crate) fn duration(
        &self,
        source: &DurationSource,
        input: &Value,
        view: &View<'_>,
    ) -> Result<Duration, TaskError> {
        match source {
            DurationSource::Fixed(duration) => Ok(*duration),
            DurationSource::Computed(template) => {
                let value = self.fill(template, input, view)?;
                admission::duration::parse(value.value()).map_err(|detail| {
                    problem::expression(view.reference(), format!("a duration was wanted: {detail}"))
                })
            }
        }
    }
}

impl View<'_> {
    /// JSON pointer of the task; that of the whole definition for the workflow's own expressions.
    fn reference(&self) -> &str {
        self.task.map_or("/", |it| &*it.reference)
    }
}

/// What is nested too deeply could be written to the log and not be read back.
pub(crate) fn readable(value: Payload, task: &str) -> Result<Payload, TaskError> {
    if value.is_too_deep() {
        let detail = format!(
            "data is nested more than {} deep; flatten it, a loop may be wrapping it again and again",
            Payload::DEPTH_MAX
        );
        return Err(problem::runtime(task, detail));
    }
    Ok(value)
}

/// A view on an instance. Each variable is made only when an expression asks for it.
pub(crate) struct Sight<'v, 's> {
    journal: &'v Journal<'s>,
    view: &'v View<'v>,
}

impl Variables for Sight<'_, '_> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        if let Some(local) = self.local(name) {
            return Some(local);
        }
        match name {
            "context" => self.view.context.or_else(|| self.context()).map(borrowed),
            "input" => self.view.input.map(borrowed),
            "output" => self.view.output.map(borrowed),
            "secrets" => self.view.secrets.map(Cow::Borrowed),
            "authorization" => self.authorization().map(Cow::Owned),
            "task" => self.task().map(Cow::Owned),
            "workflow" => Some(Cow::Owned(self.workflow())),
            "runtime" => Some(Cow::Owned(runtime())),
            _ => None,
        }
    }

    fn at(&self) -> Timestamp {
        self.journal.at()
    }
}

impl<'v, 's> Sight<'v, 's> {
    /// What expressions of an open task see.
    pub(crate) fn new(journal: &'v Journal<'s>, view: &'v View<'v>) -> Self {
        Self { journal, view }
    }
}

impl Sight<'_, '_> {
    /// A variable of a loop or a catch around the task; the innermost one of that name.
    fn local(&self, name: &str) -> Option<Cow<'_, Value>> {
        if let Some((_, value)) = self.view.locals.iter().rev().find(|(it, _)| **it == *name) {
            return Some(Cow::Borrowed(value));
        }
        let mut at = self.execution(self.view.scope);
        while let Some(scope) = at {
            match &scope.state {
                ExecutionState::Loop { items, index, .. } => {
                    if let Kind::For(it) = &self.journal.task_of(scope).kind {
                        if *it.each == *name {
                            return items.value().get(*index as usize).map(Cow::Borrowed);
                        }
                        if *it.at == *name {
                            return Some(Cow::Owned(Value::from(*index)));
                        }
                    }
                }
                ExecutionState::Gathering { heard, index, .. } => {
                    if let Kind::Listen(it) = &self.journal.task_of(scope).kind
                        && let Some(foreach) = &it.foreach
                    {
                        if *foreach.item == *name {
                            return run::wanted(it, heard)
                                .nth(*index as usize)
                                .map(|event| Cow::Owned(run::read(it.read, event)));
                        }
                        if *foreach.at == *name {
                            return Some(Cow::Owned(Value::from(*index)));
                        }
                    }
                }
                ExecutionState::Catching { error, .. } => {
                    if let Kind::Try(it) = &self.journal.task_of(scope).kind
                        && *it.catch.as_ == *name
                    {
                        return Some(Cow::Owned(error_value(error)));
                    }
                }
                ExecutionState::Sequence { .. }
                | ExecutionState::Branches { .. }
                | ExecutionState::Trying { .. }
                | ExecutionState::BackingOff { .. }
                | ExecutionState::Waiting
                | ExecutionState::Listening { .. }
                | ExecutionState::Calling { .. } => {}
            }
            at = scope.parent.and_then(|id| self.execution(id));
        }
        None
    }

    /// `$context`: that of the branch in the innermost fork which has exported, or the instance's.
    fn context(&self) -> Option<&Payload> {
        let mut below = self.view.task.map_or("", |it| &*it.reference);
        let mut at = self.execution(self.view.scope);
        while let Some(scope) = at {
            if let ExecutionState::Branches { branches } = &scope.state
                && let Some(branch) = branch_index(&scope.task, below).and_then(|it| branches.get(it))
                && let Some(context) = &branch.context
            {
                return Some(context);
            }
            below = &scope.task;
            at = scope.parent.and_then(|id| self.execution(id));
        }
        self.journal.instance().map(|it| &it.context)
    }

    fn execution(&self, id: ExecutionId) -> Option<&Execution> {
        self.journal.instance().and_then(|it| it.executions.get(&id))
    }

    /// `$authorization`: how the call authenticates. By what, only its worker knows.
    fn authorization(&self) -> Option<Value> {
        let Kind::Call(call) = &self.view.task?.kind else { return None };
        call.scheme.map(|scheme| json!({ "scheme": scheme, "parameter": null }))
    }

    /// `$task`. Its input is the raw one, before `input.from`; its output is the raw one, before `output.as`.
    fn task(&self) -> Option<Value> {
        let task = self.view.task?;
        let extended = task.on_behalf_of.unwrap_or(task.index);
        let raw_input =
            self.input_of_extended(extended).or_else(|| self.execution(self.view.scope).map(run::data));
        if let Some(extended) = task.on_behalf_of {
            return Some(self.extended_task(self.journal.program.task(extended), raw_input));
        }
        Some(json!({
            "name": &*task.name,
            "reference": &*task.reference,
            "definition": &*task.definition,
            "input": raw_input.map(Payload::value),
            "output": self.view.raw_output.map(Payload::value),
            "startedAt": moment(self.view.started_at),
        }))
    }

    /// The input of a task that is being extended: that of its extension, whatever that has done meanwhile.
    fn input_of_extended(&self, task: TaskIndex) -> Option<&Payload> {
        let mut at = self.execution(self.view.scope);
        while let Some(scope) = at.filter(|it| it.parent.is_some()) {
            let extension = self.journal.task_of(scope);
            if matches!(extension.kind, Kind::Extended(_)) && extension.on_behalf_of == Some(task) {
                return Some(&scope.input);
            }
            at = scope.parent.and_then(|id| self.execution(id));
        }
        None
    }

    /// `$task` of what an extension adds is the task that it is added to, with its definition's properties beside the others.
    fn extended_task(&self, task: &Task, raw_input: Option<&Payload>) -> Value {
        let mut described = task.definition.as_object().cloned().unwrap_or_default();
        described.insert("name".to_owned(), (*task.name).into());
        described.insert("reference".to_owned(), (*task.reference).into());
        described.insert("definition".to_owned(), (*task.definition).clone());
        described.insert("input".to_owned(), raw_input.map_or(Value::Null, |it| it.value().clone()));
        described.insert("startedAt".to_owned(), moment(self.view.started_at));
        Value::Object(described)
    }

    /// `$workflow`
    fn workflow(&self) -> Value {
        let state = self.journal.instance();
        let raw_input = state.map(|it| &it.raw_input).or(self.view.raw_input);
        let started_at = state.map_or(self.view.started_at, |it| it.started_at);
        workflow(self.journal.id, self.journal.program, raw_input, started_at)
    }
}

/// `$workflow`. Its input is the raw one.
pub(crate) fn workflow(
    id: &InstanceId,
    program: &Program,
    raw_input: Option<&Payload>,
    started_at: Timestamp,
) -> Value {
    json!({
        "id": id.as_str(),
        "definition": &*program.definition,
        "input": raw_input.map(Payload::value),
        "startedAt": moment(started_at),
    })
}

/// `$runtime`
pub(crate) fn runtime() -> Value {
    json!({ "name": "millrace", "version": env!("CARGO_PKG_VERSION"), "metadata": {} })
}

fn borrowed(payload: &Payload) -> Cow<'_, Value> {
    Cow::Borrowed(payload.value())
}

/// A time as the language's descriptors have it.
fn moment(at: Timestamp) -> Value {
    let milliseconds = at.0;
    json!({
        "iso8601": timing::rfc3339(at),
        "epoch": { "seconds": milliseconds.div_euclid(1_000), "milliseconds": milliseconds },
    })
}

/// An error as expressions see it.
pub(crate) fn error_value(error: &TaskError) -> Value {
    serde_json::to_value(error).expect("an error is plain JSON")
}
