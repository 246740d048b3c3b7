//! The crate against a real Kafka cluster.

#![cfg(feature = "real-servers")]
#![allow(clippy::unwrap_used)]

mod admin;
mod follow;
mod lane;
mod ownership;
mod support;
mod takeover;
mod trim;
