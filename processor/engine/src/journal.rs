//! A decision in the making.

use std::sync::Arc;

use millrace_schemas::channel::{ChannelCommand, SubscriptionId};
use millrace_schemas::command::Command;
use millrace_schemas::event::{Event, Incident};
use millrace_schemas::instance::{Execution, InstanceState, Status};
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{ExecutionId, InstanceId, Payload, TaskToken, Timestamp};
use millrace_workflow::program::Program;

use crate::apply::apply;
use crate::problem;
use crate::run::Next;
use crate::size::{Weight, command_bytes, event_bytes, payload_bytes, secret_bytes};
use crate::undo::Undo;
use crate::{Bounds, Decision, Effect, Moment, Outcome, Rejection};

/// What decisions are made on: the instance, changed by what has been recorded so far, and what has been recorded.
#[derive(Debug)]
pub(crate) struct Journal<'s> {
    pub(crate) id: &'s InstanceId,
    pub(crate) program: &'s Program,
    pub(crate) moment: Moment,
    pub(crate) bounds: &'s Bounds,
    /// Tasks entered by this command, those that were skipped counted.
    pub(crate) entered: u32,
    /// Random numbers drawn by this command.
    pub(crate) draws: u64,
    /// The task that was entered or continued last: what an incident names.
    pub(crate) task: Arc<str>,
    /// The call that the command answers: what it waited for has ended by itself.
    pub(crate) answered: Option<ExecutionId>,
    /// The `listen`, and its filter, to which a channel has delivered an event: what it had subscribed for one event has ended by itself.
    pub(crate) delivered: Option<(ExecutionId, u32)>,
    /// The scope from which the instance ends well: what it stands in ends well, too.
    pub(crate) ends_from: Option<ExecutionId>,
    /// The parent has asked for the end: it waits for no answer.
    pub(crate) is_parent_told: bool,
    /// The event must not wait for a `listen`.
    pub(crate) must_be_taken: bool,
    /// What became of the command.
    pub(crate) outcome: Outcome,
    /// The `$context` that the instance's attributes are of; none if they were not computed yet.
    pub(crate) attributes_of: Option<Payload>,
    /// Whether children that nobody waits for any more undo what they have done.
    pub(crate) undoes_children: bool,
    /// What the flow has yet to do, next one last.
    pub(crate) todo: Vec<Next>,
    /// What the state weighs.
    pub(crate) weight: Weight,
    state: &'s mut Option<InstanceState>,
    events: Vec<Event>,
    pub(crate) effects: Vec<Effect>,
    bytes: usize,
    effect_bytes: usize,
    undo: Undo,
}

/// How many times the size of the largest record all that leaves with one decision may have.
pub(crate) const EFFECTS_MAX: usize = 32;

/// The incident of an instance with a task that failed.
const TASK_FAULTED: &str = "task-faulted";
/// The incident of an instance that could not be undone.
const COMPENSATION_FAILED: &str = "compensation-failed";

/// Why a decision could not be made.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The command is refused. Nothing was recorded for it.
    Rejected(Rejection),
    /// What was decided does not fit a record. What was recorded must be taken back.
    TooLarge(TooLarge),
}

/// A record that would be too large.
#[derive(Debug)]
pub(crate) struct TooLarge {
    /// The task that was at work.
    pub(crate) task: Arc<str>,
    /// Its bytes when it was noticed.
    pub(crate) bytes: usize,
    /// Deferred commands that had been decided by then, the last of them perhaps in part.
    pub(crate) taken: usize,
    /// Tasks that had been entered by then.
    pub(crate) entered: usize,
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl<'s> Journal<'s> {
    pub(crate) fn new(
        id: &'s InstanceId,
        state: &'s mut Option<InstanceState>,
        weight: Weight,
        program: &'s Program,
        moment: Moment,
        bounds: &'s Bounds,
    ) -> Self {
        Self {
            id,
            program,
            moment,
            bounds,
            entered: 0,
            draws: 0,
            task: "/do".into(),
            answered: None,
            delivered: None,
            ends_from: None,
            is_parent_told: false,
            must_be_taken: false,
            outcome: Outcome::Done,
            attributes_of: state.as_ref().map(|it| it.context.clone()),
            undoes_children: true,
            todo: vec![],
            weight,
            undo: Undo::begin(state.as_ref()),
            state,
            events: vec![],
            effects: vec![],
            bytes: 0,
            effect_bytes: 0,
        }
    }

    /// The owner's clock.
    pub(crate) fn at(&self) -> Timestamp {
        self.moment.at
    }

    /// The instance as it is by now; none while it is absent.
    pub(crate) fn instance(&self) -> Option<&InstanceState> {
        self.state.as_ref()
    }

    /// The instance as it is by now.
    pub(crate) fn state(&self) -> &InstanceState {
        self.state
            .as_ref()
            .expect("only a start is decided on an absent instance, and it records the start first")
    }

    /// An open execution.
    pub(crate) fn execution(&self, id: ExecutionId) -> &Execution {
        self.state().executions.get(&id).expect("the flow goes on in executions that are open")
    }

    /// Whether an execution is (still) open.
    pub(crate) fn is_open(&self, id: ExecutionId) -> bool {
        self.state().executions.contains_key(&id)
    }

    /// A fact: applies it and keeps it.
    pub(crate) fn record(&mut self, event: Event) -> Result<(), Stop> {
        if is_end(&event) {
            // What has ended is found by what it was at its end.
            self.note_attributes()?;
        }
        let bytes = event_bytes(&event);
        self.bytes += bytes;
        self.check_size(self.bytes)?;
        self.follow(&event)?;
        self.tell(&event);
        self.undo.before(self.state.as_ref(), &event);
        apply(self.id, self.state, &event, self.moment.at)
            .expect("an event decided from a state applies to that state");
        if let Some(state) = &self.state {
            self.weight.grow(&event, bytes, state);
        }
        self.events.push(event);
        Ok(())
    }

    /// A task for a worker.
    pub(crate) fn dispatch(&mut self, queue: Arc<str>, task: TaskCommand) -> Result<(), Stop> {
        self.check_effect(payload_bytes(&task.arguments) + secret_bytes(&task.secrets))?;
        self.effects.push(Effect::DispatchTask { queue, task: Box::new(task) });
        Ok(())
    }

    /// An event for the world.
    pub(crate) fn emit(&mut self, topic: Option<Arc<str>>, event: Payload) -> Result<(), Stop> {
        self.check_effect(payload_bytes(&event))?;
        self.effects.push(Effect::EmitEvent { topic, event });
        Ok(())
    }

    /// A command for another instance.
    pub(crate) fn send(&mut self, to: InstanceId, id: String, command: Command) -> Result<(), Stop> {
        self.check_effect(command_bytes(&command))?;
        self.effects.push(Effect::SendCommand { to, id, command: Box::new(command) });
        Ok(())
    }

    /// A command for a channel.
    pub(crate) fn send_to_channel(
        &mut self,
        channel: InstanceId,
        id: String,
        command: ChannelCommand,
    ) -> Result<(), Stop> {
        if let ChannelCommand::Subscribe { subscription, .. } = &command {
            self.check_effect(subscription.variables.as_ref().map_or(0, payload_bytes))?;
        }
        self.effects.push(Effect::SendToChannel { channel, id, command: Box::new(command) });
        Ok(())
    }

    /// Takes back a subscription that this very decision has made. False if there is none.
    pub(crate) fn unsubscribe_unsent(&mut self, subscription: &SubscriptionId) -> bool {
        let is_it = |it: &Effect| matches!(it, Effect::SendToChannel { command, .. } if matches!(&**command, ChannelCommand::Subscribe { id, .. } if id == subscription));
        let found = self.effects.iter().position(is_it);
        found.map(|at| self.effects.remove(at)).is_some()
    }

    /// Takes back a start that this very decision has made. False if there is none.
    pub(crate) fn unsend_start(&mut self, of: &InstanceId) -> bool {
        let is_start = |it: &Effect| matches!(it, Effect::SendCommand { to, command, .. } if to == of && matches!(**command, Command::Start { .. }));
        let found = self.effects.iter().position(is_start);
        found.map(|at| self.effects.remove(at)).is_some()
    }

    /// A record of its own, and one of those that leave together.
    fn check_effect(&mut self, bytes: usize) -> Result<(), Stop> {
        self.check_size(bytes)?;
        self.effect_bytes += bytes;
        self.check_size(self.effect_bytes / EFFECTS_MAX)
    }

    /// Whether there is room for `bytes` more of what need not be told.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        let has_room = self.effect_bytes + bytes <= self.bounds.record_bytes_max;
        if has_room {
            self.effect_bytes += bytes;
        }
        has_room
    }

    fn check_size(&self, bytes: usize) -> Result<(), Stop> {
        if bytes <= self.bounds.record_bytes_max {
            return Ok(());
        }
        let taken = self.events.iter().filter(|it| matches!(it, Event::DeferredCommandTaken)).count();
        let entered = |it: &&Event| matches!(it, Event::TaskRan { .. } | Event::TaskStarted { .. });
        let entered = self.events.iter().filter(entered).count();
        Err(Stop::TooLarge(TooLarge { task: self.task.clone(), bytes, taken, entered }))
    }

    /// Whether most of the room in this decision's record, and in what leaves with it, is taken, once it has `bytes` more.
    pub(crate) fn is_filling(&self, bytes: usize) -> bool {
        let max = self.bounds.record_bytes_max;
        let enters = self.entered >= self.bounds.steps_per_command_max / 2;
        enters || self.bytes + bytes > max / 2 || self.effect_bytes + bytes > max * EFFECTS_MAX / 2
    }

    /// How many facts were recorded.
    pub(crate) fn recorded(&self) -> usize {
        self.events.len()
    }

    /// What remains to be seen to once nothing moves any more.
    pub(crate) fn settle(&mut self) -> Result<(), Stop> {
        self.check_state()?;
        self.raise_halted()
    }

    /// Ends the instance if its state has grown past the bound. What undoes it may take as much again.
    fn check_state(&mut self) -> Result<(), Stop> {
        let Some(state) = self.state.as_ref().filter(|it| !it.status.is_terminal()) else { return Ok(()) };
        let is_compensating = state.compensating.is_some();
        let max = self.bounds.state_bytes_max * if is_compensating { 2 } else { 1 };
        self.weight.settle(state, max);
        let bytes = self.weight.bytes();
        if bytes <= max {
            return Ok(());
        }
        if is_compensating {
            let detail = format!(
                "what undoes the instance holds {bytes} bytes of data, and {max} are allowed (twice state_bytes_max); raise the bound and resume it, or cancel it, which leaves undone what is not undone yet"
            );
            return match state.status {
                Status::Running => self.raise(COMPENSATION_FAILED, detail),
                Status::Suspended { .. }
                | Status::Incident { .. }
                | Status::Completed { .. }
                | Status::Faulted { .. }
                | Status::Cancelled { .. } => Ok(()),
            };
        }
        let detail = format!(
            "the instance holds {bytes} bytes of data, and {max} are allowed (state_bytes_max); keep less in the workflow's data and `$context`, pass references to large data, or raise the bound"
        );
        self.fault_instance(problem::runtime(&self.task, detail))?;
        self.run()?;
        self.check_state()
    }

    /// An instance with tasks that nobody but a human lets go on stands still.
    fn raise_halted(&mut self) -> Result<(), Stop> {
        let Some(state) = self.state.as_ref().filter(|it| matches!(it.status, Status::Running)) else {
            return Ok(());
        };
        let Some(halted) = state.halted.first() else { return Ok(()) };
        let (kind, otherwise) = match &state.compensating {
            Some(_) => {
                (COMPENSATION_FAILED, "or cancel the instance, which leaves undone what is not undone yet")
            }
            None => (TASK_FAULTED, "restart the instance from an earlier task, or cancel it"),
        };
        let error = halted.error.as_ref();
        let why =
            error.map_or("", |it| it.detail.as_deref().or(it.title.as_deref()).unwrap_or(&it.error_type));
        let others = match state.halted.len() - 1 {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        let detail = format!(
            "task {}{others} failed, and nothing caught it: {why}; retry it, perhaps with another input, skip it by giving its output, {otherwise}",
            halted.task
        );
        self.raise(kind, detail)
    }

    fn raise(&mut self, kind: &str, detail: String) -> Result<(), Stop> {
        self.record(Event::IncidentRaised {
            incident: Incident { kind: kind.to_owned(), detail, execution: None },
        })
    }

    /// Takes back everything that was recorded.
    pub(crate) fn abandon(self) {
        self.undo.restore(self.state);
    }

    /// The decision. Tasks for workers are left out when what waits for them is gone already: a branch that faulted cancels
    /// calls that the same command has just made.
    pub(crate) fn close(self) -> Decision {
        let Self { state, events, mut effects, outcome, .. } = self;
        assert!(!events.is_empty(), "a command that records nothing is refused");
        effects.retain(|effect| match effect {
            Effect::DispatchTask { task, .. } => {
                let TaskToken { execution, .. } = task.token;
                state.as_ref().is_some_and(|it| it.executions.contains_key(&execution))
            }
            Effect::EmitEvent { .. }
            | Effect::SendCommand { .. }
            | Effect::SendToChannel { .. }
            | Effect::PublishLifecycle { .. } => true,
        });
        Decision { events, effects, outcome }
    }
}

fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::InstanceCompleted { .. } | Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. }
    )
}
