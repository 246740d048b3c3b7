//! Every record that Millrace writes: the Rust types, their Avro schemas (`schemas/avro/*.avsc`), the wire framing, and the
//! CloudEvents binding of the public inbox.
//!
//! This crate knows bytes and shapes. It never decides anything about workflows, and it never touches a network, except for
//! [`registry`], the client of a Confluent-compatible schema registry.
//!
//! Reading order: [`ids`] and [`payload`], the words everything else is made of; [`command`], what an instance may be asked;
//! [`event`], what happened to it (the changelog); [`instance`], the fold of those events (the snapshot); [`task`], what
//! workers read and answer; [`partition`], the records that keep one partition's positions and ownership.

pub mod command;
pub mod event;
pub mod ids;
pub mod instance;
pub mod partition;
pub mod payload;
pub mod task;

pub use ids::{
    Attempt, EventId, ExecutionId, InstanceId, Offset, Stamp, TaskToken, TimerId, Timestamp, WorkflowName, WorkflowVersion,
};
pub use payload::Payload;
