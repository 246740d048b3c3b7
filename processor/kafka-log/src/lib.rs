//! Kafka, as the processor and the command line need it. Of the processor's crates, this one alone names rdkafka.
//!
//! [`KafkaLog`] implements `millrace_runtime::log::Log`: the group that says which partitions are ours (`group`), the reader of the
//! sources (`follower`), transactions (`lane`, `producer`, `marking`), the reader of the changelog and that of the definitions.
//! [`Admin`], [`Publisher`] and [`Tail`] are plain clients for the command line.
//!
//! **Invariant:** the group's consumer reads nothing. It holds the lock: assignment and generation. The sources are read by a consumer
//! that belongs to no group, so a record never depends on a rebalance, and offsets are committed in transactions only.
//! **Invariant:** nothing here decides about workflows, or looks into a record.

mod admin;
mod changelog;
mod client;
mod config;
mod context;
mod definitions;
mod ends;
mod error;
mod follower;
mod group;
mod lane;
mod log;
mod marking;
mod producer;
mod record;
mod spread;

pub use admin::{Admin, Broker, Cluster, TopicDifference};
pub use client::{Isolation, Publisher, SILENCE_MAX, Start, Tail, TailRecord, TailSource};
pub use config::{GroupProtocol, KafkaConfig};
pub use lane::KafkaLane;
pub use log::KafkaLog;
