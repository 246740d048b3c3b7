//! The semantics of instances: what a command does to one of them, and how a workflow goes on from there.
//!
//! Pure: no I/O, no clock, no randomness, no logging. Time and random bits come in with each command ([`Moment`]).
//!
//! [`Instance::step`] decides a command, given the compiled program, and applies what it decides; [`Instance::apply`] folds
//! one event into the state and is all that a restore needs. The instance changes through `apply` only, so live state and
//! replayed state cannot differ.
//!
//! # Why deciding and applying take turns
//! One command may move a workflow through hundreds of tasks, each of which starts from what the one before it left. So a
//! decision is made on a journal (`journal.rs`): `record(event)` applies the event and keeps it, and the next sub-step
//! sees its effects. Two rules keep that as safe as deciding first and applying later:
//! - Whatever can refuse a command is checked before its first record, so a rejection leaves the instance untouched.
//! - When a decision turns out too large for one record, everything recorded is undone (`undo.rs`) and an incident is
//!   decided instead.
//!
//! # Reading order
//! `instance`, the entry; `apply/`, one file for each family of events; `decide/`, one file for each command; `run/`, how
//! the flow goes from task to task, one file for each kind of task; `journal`, `undo` and `size`, what they stand on;
//! `attributes` and `query`, how an instance is found and looked at; `schedule/`, a key of another kind, which starts instances by the
//! clock; `channel/`, one more, where events meet those who listen.
//!
//! # Choices where the language leaves room
//! - A task that its `if` skips has no `then`: the flow goes on with the next task.
//! - `then: exit` in a `for` ends the loop, not the round.
//! - An event filter that fails to evaluate does not match: a strange event cannot fault a workflow.
//! - An error from a bound on the instance (steps, depth, state) cannot be caught: it faults the instance.
//! - What undoes an instance runs after all that it had open is gone, and nothing of it can end the instance: it is halted.
#![deny(clippy::wildcard_enum_match_arm)]

mod apply;
mod attributes;
mod bounds;
mod channel;
mod decide;
mod decision;
mod entity;
mod error;
mod instance;
mod iteration;
mod journal;
mod lifecycle;
mod problem;
mod progress;
mod query;
mod rewind;
mod run;
mod schedule;
mod secrets;
mod size;
mod timing;
mod undo;
mod variables;

pub use bounds::{Bounds, Moment};
pub use channel::{
    Channel, ChannelDecision, Destination, FindProgram, Routes, business_key_channel, channel_id,
};
pub use decision::{Decision, Effect, Outcome};
pub use entity::{Entity, EntityEntry};
pub use error::{Corrupt, Rejection};
pub use instance::Instance;
pub use progress::{Progress, TaskEnd, TaskProgress};
pub use query::Looked;
pub use rewind::{Rewound, rewind};
pub use run::refused_start;
pub use schedule::{Schedule, ScheduleDecision, Schedules};
pub use size::payload_bytes;

/// The source of commands that one instance sends another.
pub const INSTANCE_SOURCE: &str = "millrace:instance";
