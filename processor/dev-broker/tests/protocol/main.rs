//! What goes over the wire, byte for byte, well formed and not. Whatever a client sends has a defined outcome, and the broker goes on
//! to serve the others.

#![allow(clippy::unwrap_used)]

mod client;
mod hostile;
mod requests;
mod versions;
