//! The embedded snapshot store: what `millrace dev` keeps in a folder where a fleet has ScyllaDB. The only crate that names `redb`.
//!
//! It keeps the same rows as the CQL store and passes the same suite: of two writes of a row the one with the greater [`Stamp`] stays,
//! whoever is late; stubs, history and list rows end by their own time to live; writing twice is writing once. A flush is one
//! transaction here, and once it is acknowledged it survives `kill -9` and loss of power. Callers may rely on the second, not on the
//! first: a CQL server does not promise it.
//!
//! It never replicates, never serves a second process (the folder is locked while it is open), and never blocks the caller's thread:
//! every operation may wait for the disk, and a write for the writes before it, so each runs on tokio's threads for blocking work.
//! Only [`LocalStore::open`] blocks its caller.
//!
//! Reading order: `layout`, the tables; `cell`, a value of them; `write`, flushes and what wins; `sweep`, what has expired; `read`;
//! `database`, the file and its troubles; `store`, all of it as a `SnapshotStore`.
//!
//! [`Stamp`]: millrace_schemas::Stamp

mod cell;
mod clock;
mod database;
mod error;
mod layout;
mod read;
mod store;
mod sweep;
mod write;

pub use store::LocalStore;
