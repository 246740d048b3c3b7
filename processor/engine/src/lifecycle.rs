//! The language's lifecycle events: what happened to an instance and its tasks, for anybody who wants to follow.
//!
//! They are told as the events of the changelog are recorded, so they leave in the same transaction; a replay tells nothing.

use millrace_schemas::event::{Event, TaskError};
use millrace_schemas::instance::{Execution, InstanceState, Status};
use millrace_schemas::{ExecutionId, Payload, Timestamp};
use millrace_workflow::program::{Kind, Lifecycle, Task, TaskIndex};
use serde_json::{Value, json};

use crate::journal::Journal;
use crate::size::payload_bytes;
use crate::{Effect, apply, timing};

/// What all types begin with.
const PREFIX: &str = "io.serverlessworkflow.";

impl Journal<'_> {
    /// Tells what `event`, which is about to be applied, means to those who follow.
    pub(crate) fn tell(&mut self, event: &Event) {
        let level = self.program.lifecycle.unwrap_or(self.bounds.lifecycle);
        if level == Lifecycle::Off {
            return;
        }
        // The workflow is the first to begin, and the last to end.
        let ends = matches!(
            event,
            Event::InstanceCompleted { .. } | Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. }
        );
        if !ends {
            self.tell_of_workflow(event);
        }
        if level == Lifecycle::Task {
            self.tell_of_tasks(event);
        }
        if ends {
            self.tell_of_workflow(event);
        }
    }

    fn tell_of_workflow(&mut self, event: &Event) {
        let at = time(self.at());
        match event {
            Event::InstanceStarted { workflow, .. } => {
                let definition = json!({
                    "namespace": &*workflow.workflow.namespace,
                    "name": &*workflow.workflow.name,
                    "version": &*workflow.version,
                });
                self.publish("workflow.started", json!({ "definition": definition, "startedAt": at }));
            }
            Event::InstanceSuspended { .. } | Event::IncidentRaised { .. } => {
                self.publish("workflow.suspended", json!({ "suspendedAt": at }));
            }
            Event::InstanceResumed { .. } | Event::InstanceRestarted { reopening: Some(_), .. } => {
                self.publish("workflow.resumed", json!({ "resumedAt": at }));
            }
            Event::CompensationStarted { .. } => {
                if !matches!(self.state().status, Status::Running) {
                    self.publish("workflow.resumed", json!({ "resumedAt": at }));
                }
            }
            Event::InstanceCompleted { output } => {
                let output = self.told(output);
                self.publish("workflow.completed", json!({ "completedAt": at, "output": output }));
            }
            Event::InstanceFaulted { error } => {
                self.publish("workflow.faulted", json!({ "faultedAt": at, "error": problem(error) }));
            }
            Event::InstanceCancelled { .. } => {
                self.publish("workflow.cancelled", json!({ "cancelledAt": at }))
            }
            Event::TaskStarted { .. }
            | Event::TaskRan { .. }
            | Event::TaskCompleted { .. }
            | Event::TaskFaulted { .. }
            | Event::TaskCancelled { .. }
            | Event::SequenceJumped { .. }
            | Event::IterationStarted { .. }
            | Event::RetryScheduled { .. }
            | Event::RetryStarted { .. }
            | Event::ErrorCaught { .. }
            | Event::TimerSet { .. }
            | Event::TimerCleared { .. }
            | Event::TaskDispatched { .. }
            | Event::HeartbeatRecorded { .. }
            | Event::SignalBuffered { .. }
            | Event::SignalConsumed { .. }
            | Event::CommandDeferred { .. }
            | Event::DeferredCommandTaken
            | Event::EventHeard { .. }
            | Event::EventRoundStarted { .. }
            | Event::EventRoundEnded { .. }
            | Event::ChannelJoined { .. }
            | Event::ChannelLeft { .. }
            | Event::SignalReceived { .. }
            | Event::AttributesChanged { .. }
            | Event::CompensationAdded { .. }
            | Event::TaskCompensated { .. }
            | Event::TaskHalted { .. }
            | Event::TaskEdited { .. }
            | Event::TaskRetried { .. }
            | Event::TaskSkipped { .. }
            | Event::InstanceRestarted { .. } => {}
        }
    }

    fn tell_of_tasks(&mut self, event: &Event) {
        let at = time(self.at());
        match event {
            Event::TaskStarted { task, .. } => self.task_begins(task),
            Event::TaskRan { task, output, parent, .. } => {
                let unchanged = || self.instance()?.executions.get(parent).map(crate::run::data);
                let output = output.as_ref().or_else(unchanged).cloned();
                let output = output.map(|it| self.told(&it));
                self.task_begins(task);
                self.publish_task("completed", task, json!({ "completedAt": at, "output": output }));
            }
            Event::TaskCompleted { execution, output, .. } => {
                let task = self.execution(*execution).task.clone();
                let output = self.told(output);
                self.publish_task("completed", &task, json!({ "completedAt": at, "output": output }));
            }
            Event::TaskFaulted { execution, task, error }
            | Event::TaskHalted { execution, task, error, .. } => {
                match execution {
                    None => self.task_begins(task),
                    Some(execution) => self.cancelled_below(*execution, &[]),
                }
                self.publish_task("faulted", task, json!({ "faultedAt": at, "error": problem(error) }));
            }
            Event::TaskCancelled { execution } | Event::TaskEdited { execution: Some(execution), .. } => {
                self.cancelled_below(*execution, &[]);
                let task = self.execution(*execution).task.clone();
                self.publish_task("cancelled", &task, json!({ "cancelledAt": at }));
            }
            Event::RetryStarted { execution } => {
                let task = self.execution(*execution).task.clone();
                self.publish_task("retried", &task, json!({ "retriedAt": at }));
            }
            Event::TaskRetried { task, .. } => {
                self.publish_task("retried", task, json!({ "retriedAt": at }));
            }
            Event::TaskSkipped { task, output, .. } => {
                let output = self.told(output);
                self.publish_task("completed", task, json!({ "completedAt": at, "output": output }));
            }
            Event::InstanceRestarted { scope, .. } => self.cancelled_below(*scope, &[]),
            Event::CompensationStarted { .. } => self.cancelled_below(ExecutionId::ROOT, &[]),
            Event::InstanceSuspended { .. } | Event::IncidentRaised { .. } => {
                self.each_open_task("suspended", &json!({ "suspendedAt": at }));
            }
            Event::InstanceResumed { .. } => self.each_open_task("resumed", &json!({ "resumedAt": at })),
            Event::InstanceCompleted { .. } => {
                let around = self.around_the_end();
                self.cancelled_below(ExecutionId::ROOT, &around);
                for id in around {
                    let task = self.execution(id).task.clone();
                    self.publish_task("completed", &task, json!({ "completedAt": at }));
                }
            }
            Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. } => {
                self.cancelled_below(ExecutionId::ROOT, &[]);
            }
            Event::InstanceStarted { .. }
            | Event::SequenceJumped { .. }
            | Event::IterationStarted { .. }
            | Event::RetryScheduled { .. }
            | Event::ErrorCaught { .. }
            | Event::TimerSet { .. }
            | Event::TimerCleared { .. }
            | Event::TaskDispatched { .. }
            | Event::HeartbeatRecorded { .. }
            | Event::SignalBuffered { .. }
            | Event::SignalConsumed { .. }
            | Event::CommandDeferred { .. }
            | Event::DeferredCommandTaken
            | Event::EventHeard { .. }
            | Event::EventRoundStarted { .. }
            | Event::EventRoundEnded { .. }
            | Event::ChannelJoined { .. }
            | Event::ChannelLeft { .. }
            | Event::SignalReceived { .. }
            | Event::AttributesChanged { .. }
            | Event::CompensationAdded { .. }
            | Event::TaskCompensated { .. }
            | Event::TaskEdited { execution: None, .. } => {}
        }
    }

    /// An output as it is told: null when all that is told at once would be too much.
    fn told(&mut self, output: &Payload) -> Value {
        if self.has_room(payload_bytes(output)) { output.value().clone() } else { Value::Null }
    }

    fn task_begins(&mut self, task: &str) {
        let at = time(self.at());
        self.publish_task("created", task, json!({ "createdAt": at }));
        self.publish_task("started", task, json!({ "startedAt": at }));
    }

    /// The tasks within which `then: end` was said, the innermost first. They end well, without an output.
    fn around_the_end(&self) -> Vec<ExecutionId> {
        let parent = |id: &ExecutionId| self.execution(*id).parent;
        let mut around: Vec<_> = std::iter::successors(self.ends_from, parent).collect();
        // The outermost is the workflow itself.
        around.pop();
        around
    }

    /// What is open below an execution ends with it, but for those that `end_well`.
    fn cancelled_below(&mut self, id: ExecutionId, end_well: &[ExecutionId]) {
        let Some(state) = self.instance() else { return };
        let below = apply::subtree(&state.executions, id);
        let tasks = open_tasks(state, |it| *it != id && below.contains(it) && !end_well.contains(it));
        let data = json!({ "cancelledAt": time(self.at()) });
        tasks.iter().for_each(|task| self.publish_task("cancelled", task, data.clone()));
    }

    fn each_open_task(&mut self, what: &str, data: &Value) {
        let tasks = self.instance().map(|it| open_tasks(it, |_| true)).unwrap_or_default();
        tasks.iter().for_each(|task| self.publish_task(what, task, data.clone()));
    }

    fn publish_task(&mut self, what: &str, task: &str, mut data: Value) {
        if self.program.find(task).is_some_and(|it| !self.is_only_a_scope(it)) {
            data["workflow"] = self.id.as_str().into();
            data["task"] = task.into();
            self.effects
                .push(Effect::PublishLifecycle { event_type: format!("{PREFIX}task.{what}.v1"), data });
        }
    }

    /// What an extension makes around its tasks is no task of anybody's, nor is what holds the tasks that undo one.
    fn is_only_a_scope(&self, task: &Task) -> bool {
        if task.parent.is_some_and(|it| self.program.task(it).compensation == Some(task.index)) {
            return true;
        }
        let is_after = |parent: TaskIndex| matches!(&self.program.task(parent).kind, Kind::Extended(it) if it.after == Some(task.index));
        matches!(task.kind, Kind::Extended(_)) || task.parent.is_some_and(is_after)
    }

    fn publish(&mut self, what: &str, mut data: Value) {
        data["name"] = self.id.as_str().into();
        self.effects.push(Effect::PublishLifecycle { event_type: format!("{PREFIX}{what}.v1"), data });
    }
}

fn open_tasks(state: &InstanceState, wanted: impl Fn(&ExecutionId) -> bool) -> Vec<std::sync::Arc<str>> {
    let is_task = |(id, it): &(&ExecutionId, &Execution)| it.parent.is_some() && wanted(id);
    state.executions.iter().filter(is_task).map(|(_, it)| it.task.clone()).collect()
}

fn time(at: Timestamp) -> Value {
    timing::rfc3339(at).into()
}

fn problem(error: &TaskError) -> Value {
    serde_json::to_value(error).expect("an error is plain JSON")
}
