//! The snapshot store on ScyllaDB, or any server that speaks CQL (Apache Cassandra is tested). The only crate that names the
//! `scylla` driver.
//!
//! It keeps what the partitions flush: snapshots, checkpoints, the timer index, and for people the history and the list of instances.
//! The changelog is the truth about all of them, so this crate never deletes a row that anybody may need, never reads before it writes
//! and never uses a lightweight transaction: rows are idempotent, and where two writers may differ the write timestamp is a [`Stamp`], so the
//! writer further down the log wins (state protocol 2.5 to 2.8).
//!
//! [`Stamp`]: millrace_schemas::Stamp

mod batch;
mod chunks;
mod config;
mod envelope;
mod error;
mod history;
mod layout;
mod list;
mod replicas;
mod schema;
mod search;
mod snapshots;
mod statements;
mod store;
mod timers;
mod tls;
mod write;

pub use config::{Consistency, Credentials, InvalidSetting, Replication, ScyllaConfig};
pub use store::ScyllaStore;
pub use tls::{CertificateCheck, Identity, Tls};
