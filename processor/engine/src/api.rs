//! CONTRACT SKETCH (the engine's owner reshapes this file into modules, keeping these names and signatures).

use std::sync::Arc;
use std::time::Duration;

use millrace_schemas::command::AddressedCommand;
use millrace_schemas::event::{ChangelogEntry, Event};
use millrace_schemas::instance::InstanceState;
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{InstanceId, Payload, Timestamp};
use millrace_workflow::program::Program;

/// One key of the log: an instance, or the absence of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    id: InstanceId,
    state: Option<InstanceState>,
}

/// What the core may know of the world at one step. Time and randomness are data.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The owner's clock.
    pub at: Timestamp,
    /// Random bits for jitter, drawn by the shell for each command.
    pub random: u64,
}

/// Limits on every instance. Past them it faults, or an incident is raised: a definition can never stop a partition.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Tasks that one instance may enter.
    pub steps_max: u64,
    /// Tasks entered within one command: more than this many and the instance faults (an endless loop of `switch` and `set`).
    pub steps_per_command_max: u32,
    /// Largest total of payload JSON in one changelog entry or one outgoing record, in bytes. Past it: incident.
    pub record_bytes_max: usize,
    /// Largest total of payload JSON in the state, in bytes. Past it the instance faults.
    pub state_bytes_max: usize,
    /// Deepest nesting of scopes. Past it the instance faults.
    pub depth_max: u32,
    /// Most commands that wait for a resume. Past it further ones are rejected.
    pub deferred_max: usize,
}

/// What follows from a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Facts, already applied. Never empty.
    pub events: Vec<Event>,
    /// Consequences outside of the instance, for the same transaction.
    pub effects: Vec<Effect>,
}

/// A consequence outside of the instance: a record in the same transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// To `<prefix>.commands.<queue>`.
    DispatchTask {
        /// Which queue.
        queue: Arc<str>,
        /// The record.
        task: Box<TaskCommand>,
    },
    /// To `<prefix>.emitted`, or to `topic`.
    EmitEvent {
        /// A topic in full, if the definition names one.
        topic: Option<Arc<str>>,
        /// The CloudEvent in its structured JSON form.
        event: Payload,
    },
}

/// A recorded refusal. The command had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such instance (or its stub has expired).
    #[error("instance {instance} does not exist; start it first, or check the id")]
    NotFound { instance: InstanceId },
    /// A start of an id that is taken.
    #[error("instance {instance} exists already ({status}); a start is idempotent, nothing was done")]
    AlreadyExists { instance: InstanceId, status: &'static str },
    /// The state does not allow it: an ended instance, an answer that is late or came twice, a timer that is gone.
    #[error("{detail}")]
    InvalidState { detail: String },
    /// The command itself is wrong.
    #[error("{detail}")]
    InvalidArgument { detail: String },
}

/// An event cannot follow this state: the log and the code disagree. The instance is quarantined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event} cannot follow the state of instance {instance}: {detail}")]
pub struct Corrupt {
    pub instance: InstanceId,
    pub event: String,
    pub detail: String,
}

impl Instance {
    /// An id that nothing is known of.
    #[must_use]
    pub fn absent(id: InstanceId) -> Self {
        Self { id, state: None }
    }

    /// From a snapshot.
    #[must_use]
    pub fn from_state(id: InstanceId, state: InstanceState) -> Self {
        Self { id, state: Some(state) }
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
    pub fn step(
        &mut self,
        program: &Program,
        command: &AddressedCommand,
        moment: Moment,
        bounds: &Bounds,
    ) -> Result<Decision, Rejection> {
        let _ = (program, command, moment, bounds);
        unimplemented!("contract sketch")
    }

    /// Folds one event into the state. The only place an instance changes. `at` is the entry's time.
    ///
    /// # Errors
    /// When the event cannot follow the state.
    pub fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), Corrupt> {
        let _ = (event, at);
        unimplemented!("contract sketch")
    }

    /// Folds a whole changelog entry (also sets `traceparent` and `updated_at`).
    ///
    /// # Errors
    /// When an event cannot follow the state.
    pub fn apply_entry(&mut self, entry: &ChangelogEntry) -> Result<(), Corrupt> {
        let _ = entry;
        unimplemented!("contract sketch")
    }

    /// Approximate memory of the state, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        unimplemented!("contract sketch")
    }
}

#[allow(unused)]
fn _unused(_: Duration) {}
