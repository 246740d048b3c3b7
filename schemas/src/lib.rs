//! Every record that Millrace writes: the Rust types, their Avro schemas (`schemas/avro/*.avsc`), the wire framing, and the
//! CloudEvents binding of the public inbox.
//!
//! This crate knows bytes and shapes. It never decides anything about workflows, and it never touches a network, except for
//! `registry`, the client of a Confluent-compatible schema registry, which is there with the feature of that name.
//!
//! Reading order: [`ids`] and [`payload`], the words everything else is made of; [`command`], what an instance may be asked;
//! [`event`], what happened to it (the changelog); [`instance`], the fold of those events (the snapshot); [`channel`], where events meet
//! those who listen for them; [`schedule`], what starts instances by the clock; [`task`], what
//! workers read and answer; [`partition`], the records that keep one partition's positions and ownership; [`internal`], what
//! processors tell each other; [`trace`], what caused a record; [`key_groups`] and [`handover`], how keys move between partitions; [`codec`], all of these as bytes; [`cloud_event`], how the world talks to Millrace;
//! [`dead_letter`], what becomes of records that nobody can read.

mod avro;
mod catalogue;
pub mod channel;
pub mod cloud_event;
pub mod codec;
pub mod command;
pub mod dead_letter;
pub mod definition;
mod error;
pub mod event;
pub mod handover;
pub mod ids;
pub mod instance;
pub mod internal;
pub mod key_groups;
pub mod partition;
pub mod payload;
#[cfg(feature = "registry")]
pub mod registry;
pub mod schedule;
pub mod snapshot;
pub mod task;
pub mod trace;

pub use ids::{
    Attempt, EventId, ExecutionId, InstanceId, Offset, PlanId, Stamp, TaskToken, TimerId, Timestamp,
    WorkflowName, WorkflowVersion,
};
pub use payload::Payload;
