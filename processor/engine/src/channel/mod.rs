//! Channels: where events that are addressed to nobody meet those who listen for them.
//!
//! [`Routes`] tells from the definitions that are deployed to which channels an event belongs; whoever reads it from a topic sends it
//! there. A `listen` subscribes to the same channels (`run/subscribe.rs`), by the same two things: the type of the event, and the values
//! that its `correlate` compares. Both come to the channel as commands in one order, which is that of the log: so an event that comes
//! before the `listen` waits for it, one that comes after it is delivered, and none is both or neither.
//!
//! Everybody who listens when an event comes gets it. If nobody does, it waits, and whoever listens first gets it.
//!
//! A channel needs no timers: what its entries say is over once their time has passed, wherever that is noticed.

mod apply;
mod decide;
mod filter;
mod key;
mod routes;

use std::sync::Arc;

use millrace_schemas::channel::{ChannelCommand, ChannelEntry, ChannelEvent, ChannelState};
use millrace_schemas::command::Addressed;
use millrace_schemas::{InstanceId, Timestamp, WorkflowVersion};
use millrace_workflow::program::Program;

use crate::{Bounds, Effect, Moment, Rejection};

pub(crate) use filter::passes;
pub use key::channel_id;
pub(crate) use key::{event_digest, event_name};
pub use routes::{Destination, Routes, business_key_channel};

/// One channel, or the absence of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    id: InstanceId,
    state: ChannelState,
    /// Of the payloads in the state, in bytes of JSON.
    payload_bytes: usize,
}

/// What follows from a command. Nothing may follow: an unsubscription that comes late, an event that came before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelDecision {
    /// Facts, already applied.
    pub events: Vec<ChannelEvent>,
    /// Consequences outside of the channel, for the same transaction.
    pub effects: Vec<Effect>,
    /// It was an event that came before.
    pub is_duplicate: bool,
}

/// The definitions, by version.
pub type FindProgram<'p> = &'p dyn Fn(&WorkflowVersion) -> Option<Arc<Program>>;

impl Channel {
    /// An id that nothing is known of.
    #[must_use]
    pub fn absent(id: InstanceId) -> Self {
        Self::from_state(id, ChannelState::default())
    }

    /// From a snapshot.
    #[must_use]
    pub fn from_state(id: InstanceId, state: ChannelState) -> Self {
        let payload_bytes = apply::payload_bytes_of(&state);
        Self { id, state, payload_bytes }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> &ChannelState {
        &self.state
    }

    /// Decides `command` and applies what was decided.
    ///
    /// # Errors
    /// A rejection; the channel is unchanged.
    pub fn step(
        &mut self,
        command: &Addressed<ChannelCommand>,
        find: FindProgram<'_>,
        moment: Moment,
        bounds: &Bounds,
    ) -> Result<ChannelDecision, Rejection> {
        let decision = decide::decide(self, command, find, moment, bounds)?;
        if !decision.events.is_empty() {
            self.apply(&decision.events, moment.at);
        }
        Ok(decision)
    }

    /// Folds a whole changelog entry. Any entry can follow any state: a row may have expired that an entry comes after.
    pub fn apply_entry(&mut self, entry: &ChannelEntry) {
        self.apply(&entry.events, entry.at);
    }

    /// How long there is something to know of it; none for as long as somebody listens.
    #[must_use]
    pub fn needed_until(&self) -> Option<Timestamp> {
        if !self.state.subscriptions.is_empty() {
            return None;
        }
        let waiting = self.state.waiting.iter().map(|it| it.until);
        let seen = self.state.seen.iter().map(|it| it.until);
        Some(waiting.chain(seen).max().unwrap_or(self.state.updated_at))
    }

    /// Approximate memory of the state, in bytes. Cheap: nothing is counted anew.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        const SUBSCRIPTION_BYTES: usize = 400;
        const WAITING_BYTES: usize = 200;
        const SEEN_BYTES: usize = 16;
        let state = &self.state;
        size_of::<Self>()
            + self.id.as_str().len()
            + state.subscriptions.len() * SUBSCRIPTION_BYTES
            + state.waiting.len() * WAITING_BYTES
            + state.seen.len() * SEEN_BYTES
            + self.payload_bytes * crate::instance::MEMORY_OF_JSON
    }
}
