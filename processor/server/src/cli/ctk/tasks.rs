//! The tasks of an instance, folded from its changelog: each that was started, in the order of starting.
//!
//! The tasks of extensions are among them. What stands around a task and its extensions is not: nobody wrote it as a task.

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
            let is_end = is_end(event);
            if is_end {
                fold.instance_ends(event);
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
    open: BTreeMap<ExecutionId, Open>,
    /// The scope of the task that ended last.
    scope: Option<ExecutionId>,
}

/// An open execution.
struct Open {
    /// Where its task stands among them, if it is one.
    index: Option<usize>,
    /// The scope that it runs in.
    parent: ExecutionId,
}

impl Fold {
    /// `state` is that after the event.
    fn take(&mut self, event: &Event, state: &InstanceState) {
        match event {
            Event::TaskStarted { execution, parent, task, .. } => {
                let index = self.start(TaskView::started(task));
                self.open.insert(*execution, Open { index, parent: *parent });
            }
            Event::TaskRan { parent, task, .. } => {
                let mut view = TaskView::started(task);
                view.end(Status::Completed, data(state, *parent, task), None);
                self.start(view);
                self.scope = Some(*parent);
            }
            Event::TaskCompleted { execution, output, .. } => {
                self.scope = self.open.get(execution).map(|it| it.parent);
                self.end(*execution, Status::Completed, Some(output.value().clone()), None);
            }
            Event::TaskFaulted { execution: Some(execution), error, .. }
            | Event::TaskHalted { execution: Some(execution), error, .. } => {
                self.end(*execution, Status::Faulted, None, Some(error.clone()));
            }
            Event::TaskFaulted { execution: None, task, error }
            | Event::TaskHalted { execution: None, task, error, .. } => {
                let mut view = TaskView::started(task);
                view.end(Status::Faulted, None, Some(error.clone()));
                self.start(view);
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

    /// Where it stands, if it is a task.
    fn start(&mut self, view: TaskView) -> Option<usize> {
        if is_around(&view.reference) {
            return None;
        }
        self.tasks.push(view);
        Some(self.tasks.len() - 1)
    }

    fn end(
        &mut self,
        execution: ExecutionId,
        status: Status,
        output: Option<Value>,
        error: Option<TaskError>,
    ) {
        if let Some(index) = self.open.remove(&execution).and_then(|it| it.index) {
            self.tasks[index].end(status, output, error);
        }
    }

    /// `then: end` ends well what it stands in; anything else that is open is cut short.
    fn instance_ends(&mut self, event: &Event) {
        if matches!(event, Event::InstanceCompleted { .. }) {
            let mut at = self.scope;
            while let Some(scope) = at {
                at = self.open.get(&scope).map(|it| it.parent);
                self.end(scope, Status::Completed, None, None);
            }
        }
        for index in std::mem::take(&mut self.open).into_values().filter_map(|it| it.index) {
            self.tasks[index].end(Status::Cancelled, None, None);
        }
    }
}

/// `…/extensions/0`, around a task with its extension, and `…/extensions/0/after`, around what comes after it. After the name of a task,
/// nothing else is a number. And what holds the tasks that undo one.
fn is_around(reference: &str) -> bool {
    if reference.ends_with("/metadata/millrace/compensate") {
        return true;
    }
    let around = reference.strip_suffix("/after").unwrap_or(reference);
    around.rsplit_once("/extensions/").is_some_and(|(_, number)| number.bytes().all(|it| it.is_ascii_digit()))
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

#[cfg(test)]
mod tests {
    use millrace_schemas::event::Activity;
    use millrace_schemas::{Attempt, EventId, Payload, Timestamp};
    use serde_json::json;

    use super::*;

    fn begins(execution: u32, parent: u32, task: &str, activity: Activity) -> Event {
        Event::TaskStarted {
            execution: ExecutionId(execution),
            parent: ExecutionId(parent),
            task: task.into(),
            iteration: "".into(),
            attempt: Attempt::FIRST,
            input: None,
            activity,
        }
    }

    fn runs(parent: u32, task: &str, output: Option<Value>) -> Event {
        let (iteration, output) = ("".into(), output.map(Payload::from));
        Event::TaskRan { parent: ExecutionId(parent), task: task.into(), iteration, output, context: None }
    }

    fn error() -> TaskError {
        TaskError { error_type: "bad".to_owned(), status: 400, instance: None, title: None, detail: None }
    }

    /// A line a task.
    fn check(events: Vec<Event>, expected: expect_test::Expect) {
        let started = Event::InstanceStarted {
            workflow: "demo/tasks/1.0.0".parse().expect("is legal"),
            raw_input: json!({"n": 1}).into(),
            input: None,
            parent: None,
        };
        let cause = EventId { source: "/test".to_owned(), id: "1".to_owned() };
        let events = std::iter::once(started).chain(events).collect();
        let entry = ChangelogEntry { at: Timestamp(0), cause, traceparent: None, events };
        let id = InstanceId::new("i-1").expect("is legal");
        let tasks = fold(&id, std::iter::once(&entry)).expect("is a whole changelog");
        let line = |it: &TaskView| {
            let output = it.output.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
            format!("{} {:?}{output}\n", it.name, it.status)
        };
        expected.assert_eq(&tasks.iter().map(line).collect::<String>());
    }

    #[test]
    fn what_is_below_a_task_that_faults_is_cancelled_with_it() {
        check(
            vec![
                begins(1, 0, "/do/0/outer", Activity::Sequence { then: None }),
                begins(2, 1, "/do/0/outer/do/0/pause", Activity::Waiting),
                Event::TaskFaulted {
                    execution: Some(ExecutionId(1)),
                    task: "/do/0/outer".into(),
                    error: error(),
                },
                Event::InstanceFaulted { error: error() },
            ],
            expect_test::expect![[r#"
                outer Faulted
                pause Cancelled
            "#]],
        );
    }

    #[test]
    fn a_task_that_fails_while_it_is_entered_was_started() {
        check(
            vec![
                Event::TaskFaulted { execution: None, task: "/do/0/a~1b".into(), error: error() },
                Event::InstanceFaulted { error: error() },
            ],
            expect_test::expect![[r#"
                a/b Faulted
            "#]],
        );
    }

    #[test]
    fn outputs_that_are_not_written_are_those_of_the_scope_or_of_the_branch() {
        check(
            vec![
                runs(0, "/do/0/look", None),
                begins(1, 0, "/do/1/both", Activity::Branches { count: 2 }),
                runs(1, "/do/1/both/fork/branches/0/left", None),
                runs(1, "/do/1/both/fork/branches/1/right", Some(json!(2))),
                Event::TaskCompleted {
                    execution: ExecutionId(1),
                    output: json!([{"n": 1}, 2]).into(),
                    context: None,
                },
                Event::InstanceCompleted { output: Payload::null() },
            ],
            expect_test::expect![[r#"
                look Completed {"n":1}
                both Completed [{"n":1},2]
                left Completed {"n":1}
                right Completed 2
            "#]],
        );
    }

    #[test]
    fn tasks_of_extensions_are_tasks_and_what_is_around_them_is_not() {
        check(
            vec![
                begins(1, 0, "/do/0/extensions/extensions/0", Activity::Sequence { then: None }),
                runs(1, "/do/0/extensions/extensions/0/before/0/log", Some(json!("logged"))),
                runs(1, "/do/0/extensions", Some(json!(2))),
                begins(2, 1, "/do/0/extensions/extensions/0/after", Activity::Sequence { then: None }),
                runs(2, "/do/0/extensions/extensions/0/after/0/log", None),
                Event::InstanceCompleted { output: json!(2).into() },
            ],
            expect_test::expect![[r#"
                log Completed "logged"
                extensions Completed 2
                log Completed 2
            "#]],
        );
    }

    #[test]
    fn the_end_from_within_completes_what_is_around_it_and_cancels_the_rest() {
        check(
            vec![
                begins(1, 0, "/do/0/both", Activity::Branches { count: 2 }),
                begins(2, 1, "/do/0/both/fork/branches/0/left", Activity::Waiting),
                begins(3, 1, "/do/0/both/fork/branches/1/right", Activity::Sequence { then: None }),
                begins(4, 3, "/do/0/both/fork/branches/1/right/do/0/list", Activity::Sequence { then: None }),
                runs(4, "/do/0/both/fork/branches/1/right/do/0/list/do/0/last", Some(json!("end"))),
                Event::TaskCompleted {
                    execution: ExecutionId(4),
                    output: json!("end").into(),
                    context: None,
                },
                Event::InstanceCompleted { output: json!("end").into() },
            ],
            expect_test::expect![[r#"
                both Completed
                left Cancelled
                right Completed
                list Completed "end"
                last Completed "end"
            "#]],
        );
    }
}
