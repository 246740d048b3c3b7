//! One key of the log.

use millrace_schemas::command::{AddressedCommand, Command};
use millrace_schemas::event::{ChangelogEntry, Compensation, Event};
use millrace_schemas::instance::{Execution, InstanceState, Timer};
use millrace_schemas::{ExecutionId, InstanceId, TimerId, Timestamp};
use millrace_workflow::expression;
use millrace_workflow::program::Program;

use crate::apply::apply;
use crate::journal::{Journal, Stop};
use crate::size::{Weight, event_bytes};
use crate::{Bounds, Corrupt, Decision, Moment, Rejection, decide};

/// One key of the log: an instance, or the absence of one.
#[derive(Clone, Debug)]
pub struct Instance {
    id: InstanceId,
    state: Option<InstanceState>,
    weight: Weight,
}

/// Two are equal when id and state are; what they weigh is only an estimate.
impl PartialEq for Instance {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.state == other.state
    }
}

impl Instance {
    /// An id that nothing is known of.
    #[must_use]
    pub fn absent(id: InstanceId) -> Self {
        Self { id, state: None, weight: Weight::default() }
    }

    /// From a snapshot.
    #[must_use]
    pub fn from_state(id: InstanceId, state: InstanceState) -> Self {
        let weight = Weight::of(&state);
        Self { id, state: Some(state), weight }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Its state; none while it is absent.
    #[must_use]
    pub fn state(&self) -> Option<&InstanceState> {
        self.state.as_ref()
    }

    /// Decides `command` and applies what was decided.
    ///
    /// `program` is the instance's own version (for a start: the version that was resolved).
    ///
    /// # Errors
    /// A rejection; the instance is unchanged.
    ///
    /// # Panics
    /// When `command` is for another instance, or `program` is another version than the instance runs: the caller's bug.
    pub fn step(
        &mut self,
        program: &Program,
        command: &AddressedCommand,
        moment: Moment,
        bounds: &Bounds,
    ) -> Result<Decision, Rejection> {
        assert_eq!(self.id, command.instance, "a command is decided on the instance that it is for");
        if let Some(state) = &self.state {
            let ended = state.status.is_terminal() || matches!(command.command, Command::Start { .. });
            assert!(
                ended || state.workflow == program.workflow,
                "an instance stays on the version that it runs"
            );
        }
        let step = Step { program, moment, bounds };
        let decision = match self.attempt(&step, |journal| decide::decide(journal, command)) {
            Err(Stop::TooLarge(found)) => decide::too_large(self, &step, command, &found),
            decided => decided,
        };
        let decision = decision.map_err(|stop| match stop {
            Stop::Rejected(rejection) => rejection,
            Stop::TooLarge(_) => decide::unacceptable(&command.command, bounds),
        })?;
        self.note_start(&decision.events, command.traceparent.as_deref());
        Ok(decision)
    }

    /// Decides on a journal. Whatever it recorded is taken back unless it ends well.
    pub(crate) fn attempt(
        &mut self,
        step: &Step<'_>,
        plan: impl FnOnce(&mut Journal<'_>) -> Result<(), Stop>,
    ) -> Result<Decision, Stop> {
        let Step { program, moment, bounds } = *step;
        let mut journal = Journal::new(&self.id, &mut self.state, self.weight, program, moment, bounds);
        // What undoes an instance may change `$context` once more.
        let decided = expression::for_command(|| {
            plan(&mut journal)?;
            journal.settle()?;
            journal.note_attributes()?;
            journal.settle()?;
            journal.note_attributes()
        });
        match decided {
            Ok(()) => {
                self.weight = journal.weight;
                Ok(journal.close())
            }
            Err(stop) => {
                journal.abandon();
                Err(stop)
            }
        }
    }

    /// Folds one event into the state. The only place an instance changes. `at` is the entry's time.
    ///
    /// # Errors
    /// When the event cannot follow the state.
    pub fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), Corrupt> {
        apply(&self.id, &mut self.state, event, at)?;
        if let Some(state) = &self.state {
            self.weight.grow(event, event_bytes(event), state);
        }
        Ok(())
    }

    /// Folds a whole changelog entry (also sets `traceparent` and `updated_at`).
    ///
    /// # Errors
    /// When an event cannot follow the state. The instance is then of no use: part of the entry may be in it.
    pub fn apply_entry(&mut self, entry: &ChangelogEntry) -> Result<(), Corrupt> {
        entry.events.iter().try_for_each(|event| self.apply(event, entry.at))?;
        self.note_start(&entry.events, entry.traceparent.as_deref());
        if let Some(state) = &self.state {
            self.weight.settle(state, usize::MAX);
        }
        Ok(())
    }

    fn note_start(&mut self, events: &[Event], traceparent: Option<&str>) {
        if let (Some(Event::InstanceStarted { .. }), Some(state)) = (events.first(), &mut self.state) {
            state.traceparent = traceparent.map(ToOwned::to_owned);
        }
    }

    /// Approximate memory of the state, in bytes. Cheap: nothing is counted anew.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let Some(state) = &self.state else { return size_of::<Self>() };
        let executions = map_bytes(state.executions.len(), size_of::<(ExecutionId, Execution)>());
        let timers = map_bytes(state.timers.len(), size_of::<(TimerId, Timer)>());
        let compensations = state.compensations.capacity() * size_of::<Compensation>();
        let payloads = self.weight.bytes() * MEMORY_OF_JSON;
        size_of::<Self>() + self.id.as_str().len() + executions + timers + compensations + payloads
    }
}

/// Bytes in memory for each byte of JSON, on the average: numbers and short objects take more, long texts less.
pub(crate) const MEMORY_OF_JSON: usize = 3;

/// Memory of a B-tree map. Its nodes have eleven places each, and are allocated whole: one execution takes as much as eleven.
const fn map_bytes(entries: usize, entry_bytes: usize) -> usize {
    entries.div_ceil(11) * 11 * entry_bytes
}

/// What stays the same over the attempts at one command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'s> {
    pub(crate) program: &'s Program,
    pub(crate) moment: Moment,
    pub(crate) bounds: &'s Bounds,
}
