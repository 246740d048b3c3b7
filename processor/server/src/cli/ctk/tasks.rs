//! The tasks of an instance, folded from its changelog: each that was started, in the order of starting.

use std::collections::BTreeMap;

use millrace_engine::Instance;
use millrace_schemas::event::{ChangelogEntry, Event, TaskError};
use millrace_schemas::instance::{ExecutionState, InstanceState};
use millrace_schemas::{ExecutionId, InstanceId};
use serde::Serialize;
use serde_json::Value;

/// One run of a task. A task that runs again is another one.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub(crate) struct TaskView {
    name: String,
    /// JSON pointer of the task in its definition.
    reference: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<TaskError>,
}

#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Status {
    Running,
    Completed,
    Faulted,
    Cancelled,
}

impl TaskView {
    fn started(reference: &str) -> Self {
        let name = reference.rsplit('/').next().unwrap_or_default();
        Self {
            // RFC 6901
            name: name.replace("~1", "/").replace("~0", "~"),
            reference: reference.to_owned(),
            status: Status::Running,
            output: None,
            error: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.status == Status::Running
    }

    pub(crate) fn reference(&self) -> &str {
        &self.reference
    }

    fn end(&mut self, status: Status, output: Option<Value>, error: Option<TaskError>) {
        (self.status, self.output, self.error) = (status, output, error);
    }
}

/// # Errors
/// When the entries are not the whole changelog of the instance.
pub(crate) fn fold<'e>(
    id: &InstanceId,
    entries: impl Iterator<Item = &'e ChangelogEntry>,
) -> anyhow::Result<Vec<TaskView>> {
    let mut fold = Fold::default();
    let mut instance = Instance::absent(id.clone());
    for entry in entries {
        for event in &entry.events {
            // What an event says of tasks is told by what was open before it, and after it.
            let is_end = is_end(event);
            if is_end {
                fold.instance_ends(event, instance.state());
            }
            instance.apply(event, entry.at)?;
            if let Some(state) = instance.state().filter(|_| !is_end) {
                fold.take(event, state);
            }
        }
    }
    Ok(fold.tasks)
}

/// Whether the instance has ended by it.
pub(crate) fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::InstanceCompleted { .. } | Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. }
    )
}

#[derive(Default)]
struct Fold {
    tasks: Vec<TaskView>,
    /// Where the open ones stand among them.
    open: BTreeMap<ExecutionId, usize>,
    /// The scope of the task that ended last.
    scope: Option<ExecutionId>,
}

impl Fold {
    /// `state` is that after the event.
    fn take(&mut self, event: &Event, state: &InstanceState) {
        match event {
            Event::TaskStarted { execution, task, .. } => {
                self.open.insert(*execution, self.tasks.len());
                self.tasks.push(TaskView::started(task));
            }
            Event::TaskRan { parent, task, .. } => {
                let mut view = TaskView::started(task);
                view.end(Status::Completed, data(state, *parent, task), None);
                self.tasks.push(view);
                self.scope = Some(*parent);
            }
            Event::TaskCompleted { execution, output, .. } => {
                self.end(*execution, Status::Completed, Some(output.value().clone()), None);
            }
            Event::TaskFaulted { execution: Some(execution), error, .. } => {
                self.end(*execution, Status::Faulted, None, Some(error.clone()));
            }
            Event::TaskFaulted { execution: None, task, error } => {
                let mut view = TaskView::started(task);
                view.end(Status::Faulted, None, Some(error.clone()));
                self.tasks.push(view);
            }
            Event::TaskCancelled { execution } => self.end(*execution, Status::Cancelled, None, None),
            _ => {}
        }
        // What was below a task that ended is gone with it.
        let gone: Vec<_> =
            self.open.keys().filter(|it| !state.executions.contains_key(it)).copied().collect();
        for execution in gone {
            self.end(execution, Status::Cancelled, None, None);
        }
    }

    fn end(
        &mut self,
        execution: ExecutionId,
        status: Status,
        output: Option<Value>,
        error: Option<TaskError>,
    ) {
        if let Some(index) = self.open.remove(&execution) {
            self.tasks[index].end(status, output, error);
        }
    }

    /// `state` is that before the end. `then: end` ends well what it stands in; anything else that is open is cut short.
    fn instance_ends(&mut self, event: &Event, state: Option<&InstanceState>) {
        if matches!(event, Event::InstanceCompleted { .. }) {
            let mut at = self.scope;
            while let Some(scope) = at {
                self.end(scope, Status::Completed, None, None);
                at = state.and_then(|it| it.executions.get(&scope)?.parent);
            }
        }
        for index in std::mem::take(&mut self.open).into_values() {
            self.tasks[index].end(Status::Cancelled, None, None);
        }
    }
}

/// The output of a task that ended at once: the data of its scope, or the result of its branch.
fn data(state: &InstanceState, scope: ExecutionId, task: &str) -> Option<Value> {
    let scope = state.executions.get(&scope)?;
    match &scope.state {
        ExecutionState::Sequence { data, .. }
        | ExecutionState::Loop { data, .. }
        | ExecutionState::Trying { data, .. }
        | ExecutionState::Catching { data, .. } => Some(data.value().clone()),
        ExecutionState::Branches { branches } => {
            let below = task.strip_prefix(&*scope.task)?.strip_prefix("/fork/branches/")?;
            let index: usize = below.split('/').next()?.parse().ok()?;
            Some(branches.get(index)?.output.as_ref()?.value().clone())
        }
        _ => None,
    }
}
