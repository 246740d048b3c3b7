//! Restore: reading the changelog from the checkpoint to the high watermark (state protocol 2.3).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use millrace_schemas::event::ChangelogEntry;
use millrace_schemas::partition::{Checkpoint, SourcePosition};
use millrace_schemas::{InstanceId, Offset};

use crate::input::ChangelogRecord;

/// What has been read so far.
#[derive(Debug)]
pub(crate) struct Restore {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) internal_offset: Option<Offset>,
    pub(crate) until: Offset,
    /// Records that wait for a schema.
    pub(crate) backlog: VecDeque<ChangelogRecord>,
    /// The shell has reached `until`.
    pub(crate) is_read: bool,
    pub(crate) tail: Tail,
}

/// A record of the changelog after the checkpoint.
#[derive(Debug)]
pub(crate) struct TailEntry {
    pub(crate) offset: Offset,
    /// As it stands in the log.
    pub(crate) value: Bytes,
    /// What it says, or why it cannot be read.
    pub(crate) entry: Result<ChangelogEntry, String>,
}

/// The changelog after the checkpoint, by instance.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) entries: BTreeMap<InstanceId, Vec<TailEntry>>,
    /// The last positions seen.
    pub(crate) positions: Option<Vec<SourcePosition>>,
}
