//! How far the tasks of an instance have come, as its history tells it: for people who look at the whole of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_schemas::event::{ChangelogEntry, Event, TaskError};
use millrace_schemas::{ExecutionId, Timestamp};

/// What became of all executions of one task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskProgress {
    /// How many times it was entered.
    pub entered: u32,
    /// How many times it ended well.
    pub completed: u32,
    /// How many times it ended with an error, or was halted with one.
    pub faulted: u32,
    /// How many times it was ended from outside.
    pub cancelled: u32,
    /// How many times it was left out by an operator.
    pub skipped: u32,
    /// How many times it was undone.
    pub compensated: u32,
    /// When it was entered last.
    pub entered_at: Option<Timestamp>,
    /// When it ended last.
    pub ended_at: Option<Timestamp>,
    /// How it ended last; none if it has never ended.
    pub last_end: Option<TaskEnd>,
    /// Its last error.
    pub error: Option<TaskError>,
}

/// How a task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// Well.
    Completed,
    /// With an error.
    Faulted,
    /// From outside.
    Cancelled,
    /// An operator has left it out.
    Skipped,
}

/// The tasks of an instance that were ever entered, by their JSON pointers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// By JSON pointer.
    pub tasks: BTreeMap<Arc<str>, TaskProgress>,
    /// Whether the history begins with the start of the instance: its beginning may have expired.
    pub is_whole: bool,
    open: BTreeMap<ExecutionId, Open>,
}

#[derive(Clone, Debug, PartialEq)]
struct Open {
    task: Arc<str>,
    parent: ExecutionId,
}

impl Progress {
    /// Folds a history, oldest entry first. One that is not whole gives what is left of it.
    pub fn of<'e>(entries: impl IntoIterator<Item = &'e ChangelogEntry>) -> Self {
        let mut progress = Self::default();
        let mut is_first = true;
        for entry in entries {
            if std::mem::take(&mut is_first) {
                progress.is_whole = matches!(entry.events.first(), Some(Event::InstanceStarted { .. }));
            }
            for event in &entry.events {
                progress.take(event, entry.at);
            }
        }
        progress
    }

    fn take(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::TaskStarted { execution, parent, task, .. } => {
                self.open.insert(*execution, Open { task: Arc::clone(task), parent: *parent });
                self.entered(task, at);
            }
            Event::TaskRan { task, .. } => {
                self.entered(task, at);
                self.ended(task, TaskEnd::Completed, at);
            }
            Event::TaskCompleted { execution, .. } => {
                if let Some(open) = self.open.remove(execution) {
                    self.cancel_below(*execution, at);
                    self.ended(&open.task, TaskEnd::Completed, at);
                }
            }
            Event::TaskFaulted { execution, task, error }
            | Event::TaskHalted { execution, task, error, .. } => {
                self.failed(*execution, task, error, at);
            }
            Event::TaskEdited { execution: Some(execution), .. } | Event::TaskCancelled { execution } => {
                self.cancel(*execution, at);
            }
            Event::TaskSkipped { task, .. } => self.ended(task, TaskEnd::Skipped, at),
            Event::TaskCompensated { task, .. } => {
                self.tasks.entry(Arc::clone(task)).or_default().compensated += 1;
            }
            Event::InstanceRestarted { scope, .. } => self.cancel_below(*scope, at),
            Event::CompensationStarted { .. }
            | Event::InstanceFaulted { .. }
            | Event::InstanceCancelled { .. }
            | Event::InstanceCompleted { .. } => self.cancel_below(ExecutionId::ROOT, at),
            Event::InstanceStarted { .. }
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
            | Event::InstanceSuspended { .. }
            | Event::IncidentRaised { .. }
            | Event::CommandDeferred { .. }
            | Event::InstanceResumed { .. }
            | Event::DeferredCommandTaken
            | Event::EventHeard { .. }
            | Event::EventRoundStarted { .. }
            | Event::EventRoundEnded { .. }
            | Event::ChannelJoined { .. }
            | Event::ChannelLeft { .. }
            | Event::SignalReceived { .. }
            | Event::AttributesChanged { .. }
            | Event::CompensationAdded { .. }
            | Event::TaskEdited { execution: None, .. }
            | Event::TaskRetried { .. } => {}
        }
    }

    fn entered(&mut self, task: &Arc<str>, at: Timestamp) {
        let progress = self.tasks.entry(Arc::clone(task)).or_default();
        progress.entered += 1;
        progress.entered_at = Some(at);
    }

    fn ended(&mut self, task: &Arc<str>, end: TaskEnd, at: Timestamp) {
        let progress = self.tasks.entry(Arc::clone(task)).or_default();
        match end {
            TaskEnd::Completed => progress.completed += 1,
            TaskEnd::Faulted => progress.faulted += 1,
            TaskEnd::Cancelled => progress.cancelled += 1,
            TaskEnd::Skipped => progress.skipped += 1,
        }
        progress.last_end = Some(end);
        progress.ended_at = Some(at);
    }

    fn failed(&mut self, execution: Option<ExecutionId>, task: &Arc<str>, error: &TaskError, at: Timestamp) {
        match execution {
            Some(execution) => {
                self.open.remove(&execution);
                self.cancel_below(execution, at);
            }
            // It failed while it was being entered.
            None => self.entered(task, at),
        }
        self.ended(task, TaskEnd::Faulted, at);
        if let Some(progress) = self.tasks.get_mut(task) {
            progress.error = Some(error.clone());
        }
    }

    /// An execution, and all below it.
    fn cancel(&mut self, execution: ExecutionId, at: Timestamp) {
        if let Some(open) = self.open.remove(&execution) {
            self.ended(&open.task, TaskEnd::Cancelled, at);
        }
        self.cancel_below(execution, at);
    }

    fn cancel_below(&mut self, execution: ExecutionId, at: Timestamp) {
        let below: Vec<_> =
            self.open.iter().filter(|(_, it)| it.parent == execution).map(|(id, _)| *id).collect();
        for child in below {
            self.cancel(child, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::event::Activity;
    use millrace_schemas::{Attempt, EventId, Payload};

    use super::*;

    fn started(execution: u32, parent: u32, task: &str) -> Event {
        Event::TaskStarted {
            execution: ExecutionId(execution),
            parent: ExecutionId(parent),
            task: task.into(),
            iteration: "".into(),
            attempt: Attempt::FIRST,
            input: None,
            activity: Activity::Waiting,
        }
    }

    fn begun() -> Event {
        Event::InstanceStarted {
            workflow: "shop/order/1.0.0".parse().expect("is legal"),
            raw_input: Payload::null(),
            input: None,
            parent: None,
        }
    }

    fn fold(events: Vec<Event>) -> Progress {
        let cause = EventId { source: "/test".to_owned(), id: "e".to_owned() };
        let entry = ChangelogEntry { at: Timestamp(7), cause, traceparent: None, events };
        Progress::of([&entry])
    }

    fn error() -> TaskError {
        TaskError {
            error_type: TaskError::RUNTIME.to_owned(),
            status: 500,
            instance: None,
            title: None,
            detail: None,
        }
    }

    #[test]
    fn what_was_open_below_a_task_that_failed_was_cancelled() {
        let progress = fold(vec![
            begun(),
            started(1, 0, "/do/0/both"),
            started(2, 1, "/do/0/both/fork/branches/0/left"),
            started(3, 1, "/do/0/both/fork/branches/1/right"),
            Event::TaskCompleted { execution: ExecutionId(2), output: Payload::null(), context: None },
            Event::TaskFaulted { execution: Some(ExecutionId(1)), task: "/do/0/both".into(), error: error() },
        ]);
        assert!(progress.is_whole);
        let end = |task: &str| progress.tasks[task].last_end;
        assert_eq!(end("/do/0/both"), Some(TaskEnd::Faulted));
        assert_eq!(end("/do/0/both/fork/branches/0/left"), Some(TaskEnd::Completed));
        assert_eq!(end("/do/0/both/fork/branches/1/right"), Some(TaskEnd::Cancelled));
        assert_eq!(progress.tasks["/do/0/both"].error, Some(error()));
    }

    #[test]
    fn a_task_that_is_halted_and_skipped_has_an_end() {
        let halted = Event::TaskHalted {
            execution: None,
            scope: ExecutionId::ROOT,
            task: "/do/0/charge".into(),
            then: None,
            error: error(),
        };
        let skipped = Event::TaskSkipped {
            scope: ExecutionId::ROOT,
            task: "/do/0/charge".into(),
            output: Payload::null(),
            by: "ann".to_owned(),
            reason: String::new(),
        };
        let progress = fold(vec![halted, skipped]);
        assert!(!progress.is_whole, "its beginning is not there");
        let task = &progress.tasks["/do/0/charge"];
        assert_eq!((task.entered, task.faulted, task.skipped), (1, 1, 1));
        assert_eq!(task.last_end, Some(TaskEnd::Skipped));
    }

    #[test]
    fn whatever_is_open_is_gone_with_the_instance() {
        let progress = fold(vec![
            begun(),
            started(1, 0, "/do/0/wait"),
            Event::InstanceCancelled { reason: String::new() },
        ]);
        assert_eq!(progress.tasks["/do/0/wait"].last_end, Some(TaskEnd::Cancelled));
    }
}
