//! Taking back a decision that turned out too large.
//!
//! A copy of the whole state for each command would cost in proportion to what is open; this keeps a copy of only what the
//! command touches, taken before it is touched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millrace_schemas::event::{Compensation, Event};
use millrace_schemas::instance::{
    BufferedSignal, Compensating, DeferredCommand, Execution, Halted, InstanceState, JoinedChannel,
    RememberedSignal, Status, Timer,
};
use millrace_schemas::{Attempt, ExecutionId, Payload, TimerId, Timestamp};

use crate::apply::subtree;

/// What one command's events have overwritten so far.
#[derive(Debug)]
pub(crate) enum Undo {
    /// The instance was absent.
    Absent,
    /// It was there.
    Touched(Box<Touched>),
}

#[derive(Debug)]
pub(crate) struct Touched {
    status: Status,
    updated_at: Timestamp,
    raw_input: Payload,
    input: Payload,
    context: Payload,
    next_execution: u32,
    next_timer: u32,
    steps: u64,
    executions: BTreeMap<ExecutionId, Execution>,
    timers: Option<BTreeMap<TimerId, Timer>>,
    deferred: Option<VecDeque<DeferredCommand>>,
    signals: Option<VecDeque<BufferedSignal>>,
    channels: Option<Vec<JoinedChannel>>,
    attributes: Option<Payload>,
    /// How many events from outside were remembered.
    remembered: usize,
    /// Those of them, and of later ones, that are remembered no more: what is remembered still comes after them.
    forgotten: Vec<RememberedSignal>,
    compensating: Option<Compensating>,
    halted: Vec<Halted>,
    restarts: u32,
    /// How many there were. Those that come are at the end…
    compensations_count: usize,
    /// …unless some have gone: then they are kept as they were before.
    compensations: Option<Vec<Compensation>>,
    /// An instance that had ended, and was opened again.
    ended: Option<InstanceState>,
}

impl Undo {
    /// Before the first event.
    pub(crate) fn begin(state: Option<&InstanceState>) -> Self {
        state.map_or(Self::Absent, |state| {
            Self::Touched(Box::new(Touched {
                status: state.status.clone(),
                updated_at: state.updated_at,
                raw_input: state.raw_input.clone(),
                input: state.input.clone(),
                context: state.context.clone(),
                next_execution: state.next_execution,
                next_timer: state.next_timer,
                steps: state.steps,
                executions: BTreeMap::new(),
                timers: None,
                deferred: None,
                signals: None,
                channels: None,
                attributes: state.attributes.clone(),
                remembered: state.remembered.len(),
                forgotten: Vec::new(),
                compensating: state.compensating.clone(),
                halted: state.halted.clone(),
                restarts: state.restarts,
                compensations_count: state.compensations.len(),
                compensations: None,
                ended: None,
            }))
        })
    }

    /// Before each event: keeps what it will overwrite.
    pub(crate) fn before(&mut self, state: Option<&InstanceState>, event: &Event) {
        if let (Self::Touched(touched), Some(state)) = (self, state) {
            touched.before(state, event);
        }
    }

    /// Puts the state back to where it was at the beginning.
    pub(crate) fn restore(self, state: &mut Option<InstanceState>) {
        match (self, state) {
            (Self::Touched(touched), Some(state)) => touched.restore(state),
            (Self::Absent | Self::Touched(_), state) => *state = None,
        }
    }
}

impl Touched {
    fn before(&mut self, state: &InstanceState, event: &Event) {
        match event {
            Event::InstanceStarted { .. }
            | Event::TimerSet { .. }
            | Event::InstanceSuspended { .. }
            | Event::IncidentRaised { .. }
            | Event::AttributesChanged { .. }
            | Event::InstanceResumed { .. } => {}
            Event::SignalReceived { forgotten, .. } => {
                self.forgotten.extend(state.remembered.iter().take(*forgotten as usize));
            }
            Event::TaskStarted { parent, attempt: Attempt::FIRST, .. } => self.keep(state, *parent),
            Event::TaskStarted { parent, .. } => self.keep_path(state, *parent),
            Event::TaskRan { parent, .. } => self.keep_path(state, *parent),
            Event::EventRoundEnded { execution, .. } => self.keep_path(state, *execution),
            Event::SequenceJumped { execution }
            | Event::IterationStarted { execution, .. }
            | Event::RetryScheduled { execution, .. }
            | Event::ErrorCaught { execution, .. }
            | Event::EventHeard { execution, .. }
            | Event::EventRoundStarted { execution, .. }
            | Event::TaskDispatched { execution, .. } => self.keep(state, *execution),
            Event::RetryStarted { execution } => self.keep_path(state, *execution),
            Event::TaskCompleted { execution, .. } | Event::TaskCancelled { execution } => {
                self.keep_ending(state, *execution);
            }
            Event::TaskFaulted { execution, .. }
            | Event::TaskHalted { execution, .. }
            | Event::TaskEdited { execution, .. } => {
                if let Some(execution) = execution {
                    self.keep_ending(state, *execution);
                }
            }
            Event::ChannelJoined { .. } | Event::ChannelLeft { .. } => self.keep_channels(state),
            Event::TaskRetried { scope, .. } => self.keep(state, *scope),
            Event::TaskSkipped { scope, .. } => self.keep_path(state, *scope),
            Event::CompensationAdded { is_again: false, .. } => {}
            Event::CompensationAdded { is_again: true, .. } | Event::TaskCompensated { .. } => {
                self.keep_compensations(state);
            }
            Event::InstanceRestarted { .. } if state.status.is_terminal() => self.ended = Some(state.clone()),
            Event::InstanceRestarted { scope, .. } => {
                self.keep_ending(state, *scope);
            }
            Event::TimerCleared { .. } | Event::HeartbeatRecorded { .. } => self.keep_timers(state),
            Event::SignalBuffered { .. } | Event::SignalConsumed { .. } => self.keep_signals(state),
            Event::CommandDeferred { .. } | Event::DeferredCommandTaken => self.keep_deferred(state),
            Event::CompensationStarted { .. }
            | Event::InstanceCompleted { .. }
            | Event::InstanceFaulted { .. }
            | Event::InstanceCancelled { .. } => {
                self.keep_compensations(state);
                self.keep_all(state, state.executions.keys().copied().collect());
                self.keep_timers(state);
                self.keep_signals(state);
                self.keep_deferred(state);
                self.keep_channels(state);
                self.forgotten.extend(&state.remembered);
            }
        }
    }

    /// Executions that this command opened are not kept: going back removes them.
    fn keep(&mut self, state: &InstanceState, id: ExecutionId) {
        if id.0 < self.next_execution
            && !self.executions.contains_key(&id)
            && let Some(execution) = state.executions.get(&id)
        {
            self.executions.insert(id, execution.clone());
        }
    }

    fn keep_all(&mut self, state: &InstanceState, ids: BTreeSet<ExecutionId>) {
        for id in ids {
            self.keep(state, id);
        }
    }

    /// A scope and all scopes around it: an export may change the context of any fork among them.
    fn keep_path(&mut self, state: &InstanceState, id: ExecutionId) {
        let mut at = Some(id);
        while let Some(id) = at {
            self.keep(state, id);
            at = state.executions.get(&id).and_then(|it| it.parent);
        }
    }

    fn keep_ending(&mut self, state: &InstanceState, id: ExecutionId) {
        self.keep_path(state, id);
        self.keep_all(state, subtree(&state.executions, id));
        self.keep_timers(state);
        self.keep_channels(state);
    }

    fn keep_timers(&mut self, state: &InstanceState) {
        let first = TimerId(self.next_timer);
        self.timers
            .get_or_insert_with(|| state.timers.range(..first).map(|(id, it)| (*id, it.clone())).collect());
    }

    fn keep_signals(&mut self, state: &InstanceState) {
        self.signals.get_or_insert_with(|| state.signals.clone());
    }

    fn keep_channels(&mut self, state: &InstanceState) {
        self.channels.get_or_insert_with(|| state.channels.clone());
    }

    fn keep_deferred(&mut self, state: &InstanceState) {
        self.deferred.get_or_insert_with(|| state.deferred.clone());
    }

    fn keep_compensations(&mut self, state: &InstanceState) {
        self.compensations.get_or_insert_with(|| state.compensations.clone());
    }

    fn restore(self, state: &mut InstanceState) {
        if let Some(ended) = self.ended {
            *state = ended;
            return;
        }
        state.executions.retain(|id, _| id.0 < self.next_execution);
        state.executions.extend(self.executions);
        match self.timers {
            Some(timers) => state.timers = timers,
            None => state.timers.retain(|id, _| id.0 < self.next_timer),
        }
        if let Some(deferred) = self.deferred {
            state.deferred = deferred;
        }
        if let Some(signals) = self.signals {
            state.signals = signals;
        }
        if let Some(channels) = self.channels {
            state.channels = channels;
        }
        if !self.forgotten.is_empty() {
            let left = std::mem::take(&mut state.remembered);
            state.remembered = self.forgotten.into_iter().chain(left).collect();
        }
        state.remembered.truncate(self.remembered);
        state.attributes = self.attributes;
        if let Some(compensations) = self.compensations {
            state.compensations = compensations;
        }
        state.compensations.truncate(self.compensations_count);
        state.compensating = self.compensating;
        state.halted = self.halted;
        state.restarts = self.restarts;
        state.status = self.status;
        state.updated_at = self.updated_at;
        state.raw_input = self.raw_input;
        state.input = self.input;
        state.context = self.context;
        state.next_execution = self.next_execution;
        state.next_timer = self.next_timer;
        state.steps = self.steps;
    }
}
