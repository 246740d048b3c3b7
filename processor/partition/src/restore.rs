//! Restore: reading the changelog from the checkpoint to the high watermark (state protocol 2.3).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use millrace_engine::EntityEntry;
use millrace_schemas::partition::{Checkpoint, SourcePosition};
use millrace_schemas::{InstanceId, Offset, Timestamp};

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
    /// It has stopped here, before `until`: the portion was large enough.
    pub(crate) paused_at: Option<Offset>,
    /// What was read goes into the store before more is read.
    pub(crate) is_spilling: bool,
    /// The latest time that anything of it tells, by the clocks of those who wrote it.
    pub(crate) newest_at: Timestamp,
}

/// A record of the changelog after the checkpoint.
#[derive(Debug)]
pub(crate) struct TailEntry {
    pub(crate) offset: Offset,
    /// As it stands in the log.
    pub(crate) value: Bytes,
    /// What it says, or why it cannot be read.
    pub(crate) entry: Result<EntityEntry, String>,
}

/// The changelog after the checkpoint, by instance.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) entries: BTreeMap<InstanceId, Vec<TailEntry>>,
    /// Their size, in bytes.
    pub(crate) bytes: usize,
    /// The last positions seen.
    pub(crate) positions: Option<Vec<SourcePosition>>,
}

impl Tail {
    pub(crate) fn push(&mut self, id: InstanceId, entry: TailEntry) {
        self.bytes += entry.value.len();
        self.entries.entry(id).or_default().push(entry);
    }

    /// What there is of an instance, oldest first; it is not in the tail any more.
    pub(crate) fn take(&mut self, id: &InstanceId) -> Vec<TailEntry> {
        let entries = self.entries.remove(id).unwrap_or_default();
        self.bytes -= entries.iter().map(|it| it.value.len()).sum::<usize>();
        entries
    }
}
