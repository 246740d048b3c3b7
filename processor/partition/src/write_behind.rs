//! What is committed and not yet in the store, besides the snapshots: history rows, the flush on its way, the checkpoint.

use std::collections::BTreeMap;

use millrace_schemas::{InstanceId, Offset, Timestamp};

use crate::cache::Listed;
use crate::output::{FlushId, HistoryRow};
use crate::timer_index::TimerEntry;

#[derive(Debug, Default)]
pub(crate) struct WriteBehind {
    /// By their place in the log: a restore finds those of one instance at a time.
    history: BTreeMap<Offset, (Timestamp, HistoryRow)>,
    pub(crate) in_flight: Option<InFlight>,
    flushes: u64,
    /// Of the checkpoint that was written last.
    pub(crate) checkpoint_offset: Offset,
    /// Nothing can be flushed before instances have been loaded.
    pub(crate) waits_for_loads: bool,
    /// A checkpoint is due whether or not it moves.
    pub(crate) wants_checkpoint: bool,
}

/// A flush that the shell is writing.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) id: FlushId,
    /// Instances, and what the store will list of them.
    pub(crate) snapshots: Vec<(InstanceId, Listed)>,
    /// Instances that are written as parked.
    pub(crate) parked: Vec<InstanceId>,
    pub(crate) timers: Vec<TimerEntry>,
    /// Offsets of history rows.
    pub(crate) history: Vec<Offset>,
}

impl WriteBehind {
    pub(crate) fn push_history(&mut self, row: HistoryRow, offset: Offset, at: Timestamp) {
        self.history.insert(offset, (at, row));
    }

    pub(crate) fn next_id(&mut self) -> FlushId {
        self.flushes += 1;
        FlushId(self.flushes)
    }

    /// Of those that `is_wanted` by its instance and its time, the first so many. Of each instance that is from its first on, as long as
    /// none is wanted after one that is not.
    pub(crate) fn front_rows(
        &self,
        max: usize,
        is_wanted: impl Fn(&InstanceId, Timestamp) -> bool,
    ) -> Vec<(Offset, HistoryRow)> {
        let wanted = self.history.iter().filter(|(_, (at, row))| is_wanted(&row.instance, *at));
        wanted.take(max).map(|(offset, it)| (*offset, it.1.clone())).collect()
    }

    /// These rows are durable.
    pub(crate) fn written(&mut self, rows: &[Offset]) {
        for offset in rows {
            self.history.remove(offset);
        }
    }

    /// The checkpoint must not pass this.
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.history.first_key_value().map(|it| *it.0)
    }

    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.history.first_key_value().map(|it| it.1.0)
    }
}
