//! The crate against brokers. Without more, against one of `millrace-dev-broker`; against the Apache Kafka that `KAFKA_BOOTSTRAP`
//! names, as `cargo xtask ci` does it too:
//!
//! ```sh
//! KAFKA_BOOTSTRAP=localhost:9092 cargo test -p millrace-kafka-log --test brokers -- --include-ignored
//! ```
//!
//! What is ignored without that needs KIP-848 groups, which the broker for development does not have, or brokers of its own.

#![allow(clippy::unwrap_used)]

mod admin;
mod follow;
mod lane;
mod leaderless;
mod ownership;
mod support;
mod takeover;
mod trim;
