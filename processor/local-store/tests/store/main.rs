//! The embedded store on a disk.
#![allow(clippy::unwrap_used)]

mod crash;
mod folder;
mod suite;
