//! Simulated worlds: the protocols of the processor under crashes, zombies and lost answers, thousands of times a second. A run is a
//! function of its seed; nothing in here reads a clock or does I/O.
//!
//! - [`fleet`]: the real engine and partition over a model broker and a model store (state protocol, section 2).
//! - [`repartition`]: a model of the live hand-over of key-groups (section 3), which the partition does not do yet.

pub mod fleet;
pub mod repartition;
