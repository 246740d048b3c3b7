//! Deterministic simulation of a fleet: the real engine and the real partition, many processes, one thread, one seed.
//!
//! What is real: every rule about instances (`engine`) and about a partition (`partition`): restore, batches, timers, write-behind,
//! checkpoints, forwarding. What is modelled: Kafka (`broker`), the snapshot store (`store`), and the shell between them
//! and the partition (`node`, `world`), which takes the same steps as `runtime` and `kafka-log`, one request at a time, so that a fault
//! fits between any two of them.
//!
//! # What may fail
//! A process dies anywhere, requests on the network included, or is stopped for longer than its session and wakes up as a zombie. The
//! group moves partitions in the middle of a batch, away and back. A producer's request fails; the end of a transaction is lost, or
//! executed and its answer lost; a transaction outlives its producer until the broker gives it up; markers are late. A write to the
//! store is late by any time, reordered, lost, or applied and reported as timed out; the store answers nobody for a while. Clocks
//! differ. Records arrive at the wrong partition, starts and answers come twice.
//!
//! # What may not
//! Kafka and the store lose nothing that they have acknowledged, and their reads see it (no unclean election; a quorum both ways).
//! A log is not cut by anybody but us. Nobody but processors writes to `.changelog` and `.internal`.

mod broker;
mod catalog;
mod check;
mod clients;
mod mutant;
mod node;
mod store;
mod swarm;
mod trace;
mod world;

pub use check::Checks;
pub use mutant::Mutant;
pub use world::{Outcome, run};
