//! A Kafka broker for development, embedded in `millrace dev`.
//!
//! It speaks enough of the Kafka protocol for unmodified clients (librdkafka, the Java client and its console tools, kcat) to
//! produce, fetch, form groups, run transactions and administer topics, and keeps what it acknowledges in a folder.
//!
//! **What it is not.** It is one node: nothing is replicated, and a lost disk is lost data. It knows no TLS, no SASL, no ACLs, no
//! quotas: whoever reaches its port may do everything, so it listens on loopback unless told otherwise. It has no KIP-848 groups,
//! share groups, fetch sessions, tiered storage or log directories. Without `fsync` what is acknowledged survives `kill -9` of the
//! process, and not the loss of power. It is not for production, and no option makes it so.
//!
//! Where to find what:
//! - `server`: sockets, frames, limits. `wire`: bytes to requests and back, with the codec of `kafka-protocol`; no hostile byte
//!   makes it panic or reserve memory without bound. `handlers`: one function an API.
//! - `group`: the consumer group coordinator, and `transactions`: the transaction coordinator. Both are pure state machines that
//!   yield changes as data.
//! - `log`: a partition as segment files. `topics`: the catalogue of partitions. `journal`: all that no partition's log says.
//! - `broker` ties them together: a change is written to the journal, then it is true, then the client hears of it.
//!
//! **Invariants.** A record of a transaction never comes behind its marker: both are checked under the partition's lock. A
//! transaction that is decided ends so, through any crash. A generation of a group that a client has seen never comes again.

mod broker;
mod config;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod handlers;
mod journal;
mod log;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod topics;
mod transactions;
mod wire;

pub use broker::OpenError;
pub use config::Config;
pub use server::{DevBroker, StartError};
