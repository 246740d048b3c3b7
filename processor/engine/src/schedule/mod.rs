//! A schedule: what starts instances of a workflow by the clock.
//!
//! It is a key of the log like an instance, and built alike: `step` decides a command and applies what it decides, `apply` alone changes
//! the state.
//!
//! # How a start is decided once
//! A schedule has one timer, for its next *nominal time*. When it fires, the nominal times up to now are decided, in order, and the timer is
//! set for the one after them. None is decided twice: `decided_until` never goes back. And if it were, nothing would start twice: the id of an
//! instance is made of the workflow's name and the nominal time, and a second start of one id is refused.
//!
//! # How an end is noticed
//! Where the next start depends on the end of the run before (`after`, and the overlap policies but `allow`), the instance is started as a
//! child of the schedule, which it tells of its end as it would a parent.

mod apply;
mod decide;
mod known;

use std::sync::Arc;

use millrace_schemas::schedule::{
    AddressedScheduleCommand, ScheduleEntry, ScheduleEvent, ScheduleState, ScheduledRun, scheduled_workflow,
};
use millrace_schemas::{InstanceId, TimerId, Timestamp};
use millrace_workflow::program::Program;

pub use known::Schedules;

use crate::{Corrupt, Effect, Moment, Rejection};

/// The key of a schedule: a schedule, or the absence of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    id: InstanceId,
    state: Option<ScheduleState>,
}

/// What follows from a command for a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleDecision {
    /// Facts, already applied. Never empty.
    pub events: Vec<ScheduleEvent>,
    /// Consequences outside of the schedule, for the same transaction: starts.
    pub effects: Vec<Effect>,
}

impl Schedule {
    /// A schedule that nothing is known of.
    #[must_use]
    pub fn absent(id: InstanceId) -> Self {
        Self { id, state: None }
    }

    /// From a snapshot.
    #[must_use]
    pub fn from_state(id: InstanceId, state: ScheduleState) -> Self {
        Self { id, state: Some(state) }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Its state; none while it is absent.
    #[must_use]
    pub fn state(&self) -> Option<&ScheduleState> {
        self.state.as_ref()
    }

    /// Decides `command` and applies what was decided.
    ///
    /// `program` is the version that the schedule follows; for a definition, the version that it shall follow.
    ///
    /// # Errors
    /// A rejection; the schedule is unchanged.
    ///
    /// # Panics
    /// When `command` is for another schedule, or `program` is another version than the schedule follows: the caller's bug.
    pub fn step(
        &mut self,
        program: &Program,
        command: &AddressedScheduleCommand,
        moment: Moment,
    ) -> Result<ScheduleDecision, Rejection> {
        assert_eq!(self.id, command.instance, "a command is decided on the schedule that it is for");
        let workflow = scheduled_workflow(&self.id);
        assert_eq!(workflow.as_ref(), Some(&program.workflow.workflow), "a schedule starts its own workflow");
        let mut draft =
            Draft { schedule: self.clone(), program, moment, events: Vec::new(), effects: Vec::new() };
        decide::decide(&mut draft, command)?;
        let Draft { schedule, events, effects, .. } = draft;
        assert!(!events.is_empty(), "a command that records nothing is refused");
        *self = schedule;
        Ok(ScheduleDecision { events, effects })
    }

    /// Folds one event into the state. The only place a schedule changes. `at` is the entry's time.
    ///
    /// # Errors
    /// When the event cannot follow the state.
    pub fn apply(&mut self, event: &ScheduleEvent, at: Timestamp) -> Result<(), Corrupt> {
        apply::apply(&self.id, &mut self.state, event, at)
    }

    /// Folds a whole changelog entry.
    ///
    /// # Errors
    /// When an event cannot follow the state. The schedule is then of no use: part of the entry may be in it.
    pub fn apply_entry(&mut self, entry: &ScheduleEntry) -> Result<(), Corrupt> {
        entry.events.iter().try_for_each(|event| self.apply(event, entry.at))
    }

    /// Its pending timer, if there is one.
    pub fn timers(&self) -> impl Iterator<Item = (TimerId, Timestamp)> {
        self.state.iter().filter_map(|it| it.next).map(|it| (it.timer, it.due))
    }

    /// Approximate memory of the state, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let run = |it: &Option<ScheduledRun>| it.as_ref().map_or(0, |it| it.instance.as_str().len());
        let texts = self.state.as_ref().map_or(0, |it| {
            it.rhythm.len() + it.last_error.as_ref().map_or(0, String::len) + run(&it.running) + run(&it.last)
        });
        size_of::<Self>() + self.id.as_str().len() + texts
    }
}

/// A decision in the making: what is recorded is applied at once, to a copy, which a rejection throws away.
struct Draft<'p> {
    schedule: Schedule,
    program: &'p Program,
    moment: Moment,
    events: Vec<ScheduleEvent>,
    effects: Vec<Effect>,
}

impl Draft<'_> {
    fn record(&mut self, event: ScheduleEvent) {
        self.schedule
            .apply(&event, self.moment.at)
            .expect("an event decided from a state applies to that state");
        self.events.push(event);
    }

    fn state(&self) -> &ScheduleState {
        self.schedule.state.as_ref().expect("only a definition is decided on an absent schedule")
    }
}

fn text(value: &impl ToString) -> Arc<str> {
    value.to_string().into()
}
