//! The embedded store on a disk.
#![allow(clippy::unwrap_used)]

mod folder;
mod suite;
