//! The public contract: bytes, schemas, events of the inbox, and the page that describes them.
#![allow(clippy::unwrap_used)]

mod examples;
mod golden;
mod inbox;
mod page;
mod reference;
#[cfg(feature = "registry")]
mod registry;
mod source;
