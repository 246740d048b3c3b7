//! One partition over a log and a store in memory. One program: as one for each file they would be compiled ten times.
#![allow(clippy::unwrap_used)]

mod answers;
mod attributes;
mod batches;
mod children;
mod keeping;
mod observing;
mod processed;
mod schedules;
mod timers;
mod topics;
mod world;
