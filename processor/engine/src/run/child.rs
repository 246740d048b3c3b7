//! `run: workflow`: another instance, which is a child of this one.
//!
//! To this instance a child is a call like any other: the child is sent a start where a worker is sent a task, and answers with the
//! token of the task when it ends. So answers that come late or twice, retries, timeouts and incidents are as they are for calls.
//!
//! Both ways commands go through the public inbox, in the transaction of what decided them. A child's id is made of its parent's id and
//! of the task's token, so it is the same however often it is decided, and no other's.

use millrace_schemas::command::Command;
use millrace_schemas::event::{Activity, Event, ParentTask, TaskError};
use millrace_schemas::instance::{ExecutionState, InstanceState};
use millrace_schemas::{ExecutionId, InstanceId, Payload, TaskToken};
use millrace_workflow::program::{CHILD_QUEUE, Child};

use super::Trouble;
use super::enter::Entering;
use crate::apply::subtree;
use crate::journal::{Journal, Stop};
use crate::problem;

impl Journal<'_> {
    pub(super) fn enter_child(&mut self, entering: &Entering<'_>, it: &Child) -> Result<(), Trouble> {
        let input = self.fill(&it.input, entering.input.value(), &entering.view(self.at()))?;
        if input.is_too_deep_for_inbox() {
            return Err(problem::runtime(&entering.task.reference, too_deep("the input of the child")).into());
        }
        let deadline = self.deadline(entering)?;
        let next = TaskToken { execution: ExecutionId(self.state().next_execution), dispatch: 1 };
        child_id(self.id, next).map_err(|detail| problem::runtime(&entering.task.reference, detail))?;
        let activity = Activity::Call {
            queue: CHILD_QUEUE.into(),
            function: named(it).into(),
            arguments: Some(input),
            deadline: deadline.filter(|_| it.is_awaited),
            secrets: Vec::new(),
        };
        let execution = self.open(entering, deadline, activity)?;
        self.dispatch_call(execution)?;
        if !it.is_awaited {
            self.answered = Some(execution);
            self.finish(execution, entering.input.clone(), None)?;
        }
        Ok(())
    }

    /// Sends a child on its way.
    pub(super) fn start_child(&mut self, id: ExecutionId, dispatch: u32, it: &Child) -> Result<(), Stop> {
        let token = TaskToken { execution: id, dispatch };
        let child = match child_id(self.id, token) {
            Ok(child) => child,
            Err(detail) => {
                let error = problem::runtime(&self.execution(id).task, detail);
                return self.fault(id, error, false);
            }
        };
        let ExecutionState::Calling { arguments, .. } = &self.execution(id).state else {
            unreachable!("a child that is started is waited for, if only for a moment");
        };
        let command = Command::Start {
            workflow: it.workflow.clone(),
            version: it.version.clone(),
            input: arguments.clone().unwrap_or_else(Payload::null),
            parent: it.is_awaited.then(|| ParentTask { instance: self.id.clone(), token }),
        };
        let name = format!("{child}/start");
        self.send(child, name, command)
    }

    /// What an event means for other instances: children of what it ends are cancelled, and a parent is told of the end.
    pub(crate) fn follow(&mut self, event: &Event) -> Result<(), Stop> {
        match event {
            // What undoes a task can end with something open below it, by `then: end` in a branch. Its own child has answered.
            Event::TaskCompleted { execution, .. } => self.let_go(*execution, |id| id != *execution),
            // The instance is still there for whoever knows it by its business key.
            Event::CompensationStarted { .. } => {
                self.leave_channels(|id| id != ExecutionId::ROOT)?;
                self.cancel_children_of(|_| true)
            }
            Event::InstanceRestarted { scope, .. } => {
                let within = subtree(&self.state().executions, *scope);
                let ends = |id| id != *scope && within.contains(&id);
                self.leave_channels(ends)?;
                self.cancel_children_of(ends)
            }
            Event::TaskCancelled { execution }
            | Event::TaskFaulted { execution: Some(execution), .. }
            | Event::TaskHalted { execution: Some(execution), .. }
            | Event::TaskEdited { execution: Some(execution), .. } => self.let_go(*execution, |_| true),
            Event::InstanceCompleted { output } => self.ended(|token| match output.is_too_deep_for_inbox() {
                false => Command::CompleteTask { token, output: output.clone() },
                true => {
                    let error = problem::runtime("", too_deep("the output of the child workflow"));
                    Command::FailTask {
                        token,
                        error: TaskError { instance: None, ..error },
                        retriable: false,
                    }
                }
            }),
            Event::InstanceFaulted { error } => {
                self.ended(|token| Command::FailTask { token, error: error.clone(), retriable: true })
            }
            Event::InstanceCancelled { reason } => {
                let detail = format!("the child workflow was cancelled: {reason}");
                let error = TaskError { instance: None, ..problem::runtime("", detail) };
                self.ended(|token| Command::FailTask { token, error, retriable: false })
            }
            Event::InstanceStarted { .. }
            | Event::TaskStarted { .. }
            | Event::TaskRan { .. }
            | Event::TaskFaulted { .. }
            | Event::TaskHalted { .. }
            | Event::TaskEdited { .. }
            | Event::TaskRetried { .. }
            | Event::TaskSkipped { .. }
            | Event::CompensationAdded { .. }
            | Event::TaskCompensated { .. }
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
            | Event::AttributesChanged { .. } => Ok(()),
        }
    }

    /// What ends with `execution` listens no more, and runs no children, if nobody has ended those before.
    fn let_go(
        &mut self,
        execution: ExecutionId,
        has_child: impl Fn(ExecutionId) -> bool,
    ) -> Result<(), Stop> {
        let state = self.state();
        if state.channels.is_empty() && !has_children(state) {
            return Ok(());
        }
        let ending = subtree(&state.executions, execution);
        self.leave_channels(|id| ending.contains(&id))?;
        self.cancel_children_of(|id| has_child(id) && ending.contains(&id))
    }

    fn ended(&mut self, answer: impl FnOnce(TaskToken) -> Command) -> Result<(), Stop> {
        self.leave_channels(|_| true)?;
        self.cancel_children_of(|_| true)?;
        let parent = self.instance().and_then(|it| it.parent.clone()).filter(|_| !self.is_parent_told);
        let Some(ParentTask { instance, token }) = parent else { return Ok(()) };
        let name = format!("{}/end", self.id);
        self.send(instance, name, answer(token))
    }

    fn cancel_children_of(&mut self, is_ending: impl Fn(ExecutionId) -> bool) -> Result<(), Stop> {
        let Some(state) = self.instance() else { return Ok(()) };
        let ending =
            waiting(state).filter(|it| is_ending(it.execution) && self.answered != Some(it.execution));
        let children: Vec<InstanceId> = ending.filter_map(|it| child_id(self.id, it).ok()).collect();
        for child in children {
            if !self.unsend_start(&child) {
                let reason = format!("the instance {} no longer waits for it", self.id);
                let name = format!("{child}/cancel");
                self.send(child, name, Command::Cancel { reason, compensate: self.undoes_children })?;
            }
        }
        Ok(())
    }
}

/// The tokens of the tasks that wait for children.
fn waiting(state: &InstanceState) -> impl Iterator<Item = TaskToken> {
    state.executions.iter().filter_map(|(id, it)| {
        let ExecutionState::Calling { queue, dispatch, .. } = &it.state else { return None };
        (**queue == *CHILD_QUEUE).then_some(TaskToken { execution: *id, dispatch: *dispatch })
    })
}

/// Most instances have none, and need not look at what ends.
fn has_children(state: &InstanceState) -> bool {
    waiting(state).next().is_some()
}

/// The id of the child that a task of `parent` waits for.
pub(crate) fn child_id(parent: &InstanceId, token: TaskToken) -> Result<InstanceId, String> {
    InstanceId::new(format!("{parent}.{token}")).map_err(|error| {
        format!(
            "no child can be made of {parent}: {error}; look for a workflow that runs itself without an end"
        )
    })
}

fn too_deep(what: &str) -> String {
    format!("{what} is nested more than {} deep; flatten it", Payload::INBOX_DEPTH_MAX)
}

/// The workflow, as people see it in the place of a function.
fn named(child: &Child) -> String {
    match &child.version {
        Some(version) => format!("{}/{version}", child.workflow),
        None => child.workflow.to_string(),
    }
}

/// What a parent is told when a start that it has sent is refused. None, if nobody waits; or if the start came twice, and the child is
/// there.
#[must_use]
pub fn refused_start(
    child: &InstanceId,
    command: &Command,
    state: Option<&InstanceState>,
    detail: &str,
) -> Option<crate::Effect> {
    let Command::Start { parent: Some(parent), .. } = command else { return None };
    if state.is_some_and(|it| it.parent.as_ref() == Some(parent)) {
        return None;
    }
    let detail = format!("the child workflow could not be started: {detail}");
    let error = TaskError { instance: None, ..problem::configuration("", detail) };
    Some(crate::Effect::SendCommand {
        to: parent.instance.clone(),
        id: format!("{child}/refused"),
        command: Box::new(Command::FailTask { token: parent.token, error, retriable: false }),
    })
}
