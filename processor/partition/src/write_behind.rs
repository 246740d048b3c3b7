//! What is committed and not yet in the store, besides the snapshots: history rows, the flush on its way, the checkpoint.

use std::collections::VecDeque;

use millrace_schemas::{InstanceId, Offset, Timestamp};

use crate::input::TimerEntry;
use crate::output::{FlushId, HistoryRow};

#[derive(Debug, Default)]
pub(crate) struct WriteBehind {
    history: VecDeque<(Offset, Timestamp, HistoryRow)>,
    pub(crate) in_flight: Option<InFlight>,
    flushes: u64,
    /// Of the checkpoint that was written last.
    pub(crate) checkpoint_offset: Offset,
    /// A checkpoint is due whether or not it moves.
    pub(crate) wants_checkpoint: bool,
}

/// A flush that the shell is writing.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) id: FlushId,
    /// Instances, and the status that the list index will show.
    pub(crate) snapshots: Vec<(InstanceId, &'static str)>,
    pub(crate) timers: Vec<TimerEntry>,
    /// How many history rows, from the front.
    pub(crate) history: usize,
}

impl WriteBehind {
    pub(crate) fn push_history(&mut self, row: HistoryRow, offset: Offset, at: Timestamp) {
        self.history.push_back((offset, at, row));
    }

    pub(crate) fn next_id(&mut self) -> FlushId {
        self.flushes += 1;
        FlushId(self.flushes)
    }

    pub(crate) fn front_rows(&self, max: usize) -> Vec<HistoryRow> {
        self.history.iter().take(max).map(|it| it.2.clone()).collect()
    }

    /// The flush is durable.
    pub(crate) fn drop_front(&mut self, rows: usize) {
        self.history.drain(..rows);
    }

    /// The checkpoint must not pass this.
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.history.front().map(|it| it.0)
    }

    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.history.front().map(|it| it.1)
    }
}
