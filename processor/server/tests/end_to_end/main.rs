//! From a produced Kafka event to the end of a workflow, through the binary alone. Plainly, all of it runs in `millrace dev`. What is
//! ignored then needs servers, which `cargo xtask ci` starts:
//!
//! ```sh
//! ops/cluster/cluster up && eval "$(ops/cluster/cluster env)"
//! cargo test -p millrace --test end_to_end -- --include-ignored
//! ```

#![allow(clippy::unwrap_used)]

mod api;
mod asking;
mod ctk;
mod dev;
mod hostile;
mod operators;
mod readme;
mod runbook;
mod schedules;
mod security;
mod servers;
mod stories;
mod support;
mod traces;
mod watching;
