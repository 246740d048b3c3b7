//! What comes with each step from outside: the moment, and the limits and other settings of the fleet.

use std::time::Duration;

use millrace_schemas::Timestamp;
use millrace_workflow::program::{Lifecycle, OnFault};

/// What the core may know of the world at one step. Time and randomness are data.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The owner's clock.
    pub at: Timestamp,
    /// Random bits for jitter, drawn by the shell for each command.
    pub random: u64,
}

/// Limits on every instance, and what is published of it. Past a limit it faults, or an incident is raised: a definition can never stop a
/// partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Tasks that one instance may enter.
    pub steps_max: u64,
    /// Tasks entered within one command: more than this many and the instance faults (an endless loop of `switch` and `set`).
    pub steps_per_command_max: u32,
    /// Largest changelog entry or outgoing record, in bytes: payload JSON, task references and other texts, and a little for
    /// each event. Past it: incident.
    pub record_bytes_max: usize,
    /// Largest total of payload JSON in the state, in bytes. Past it the instance faults.
    pub state_bytes_max: usize,
    /// Deepest nesting of open tasks. Past it the instance faults.
    pub depth_max: u32,
    /// Most commands that wait for a resume. Past it further ones are rejected. Timers do not count: there is at most one
    /// waiting command for each of them.
    pub deferred_max: usize,
    /// Most events from outside that wait for a `listen`. Past it further ones are rejected.
    pub signals_max: usize,
    /// How long an event that nobody listens for waits for somebody who does. Zero: not at all.
    pub event_wait: Duration,
    /// How long another event of the same `source` and `id` is a duplicate.
    pub duplicate_window: Duration,
    /// Most published events that one channel remembers for that.
    pub published_remembered_max: usize,
    /// Most listeners of one channel: those who correlate by nothing, or by the same.
    pub subscriptions_max: usize,
    /// Most events that wait in one channel.
    pub waiting_events_max: usize,
    /// Most events from outside that an instance remembers, for so long, to tell copies from news. Past it the oldest are forgotten; with 0, none is remembered.
    pub signals_remembered_max: usize,
    /// Which lifecycle events are published of instances whose definition does not say.
    pub lifecycle: Lifecycle,
    /// What becomes of instances with an error that nothing catches, where the definition does not say.
    pub on_fault: OnFault,
}

impl Default for Bounds {
    /// Values that fit a broker with the usual 1 MiB limit on a record.
    fn default() -> Self {
        Self {
            steps_max: 1_000_000,
            steps_per_command_max: 10_000,
            record_bytes_max: 900 * 1024,
            state_bytes_max: 8 * 1024 * 1024,
            // Above what admission lets pass, so only definitions from elsewhere get here.
            depth_max: 100,
            deferred_max: 1_000,
            signals_max: 100,
            event_wait: Duration::from_secs(600),
            duplicate_window: Duration::from_secs(600),
            published_remembered_max: 50_000,
            subscriptions_max: 10_000,
            waiting_events_max: 1_000,
            signals_remembered_max: 1_000,
            lifecycle: Lifecycle::Off,
            on_fault: OnFault::Fault,
        }
    }
}
