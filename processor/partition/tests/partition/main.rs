//! One partition over a log and a store in memory. One program: with one for each file, `world` would be compiled and linked ten times.
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
