//! What is committed and not yet in the store, besides the snapshots: history rows, the flush on its way, the checkpoint.

use std::collections::{BTreeMap, VecDeque};

use millrace_schemas::{InstanceId, Offset, Timestamp};

use crate::by_id::ById;
use crate::cache::Listed;
use crate::output::{FlushId, HistoryRow};
use crate::timer_index::TimerEntry;

#[derive(Debug, Default)]
pub(crate) struct WriteBehind {
    /// By their place in the log: a restore finds those of one instance at a time.
    history: BTreeMap<Offset, (Timestamp, HistoryRow)>,
    /// Those of each instance, in their order.
    offsets: ById<VecDeque<Offset>>,
    pub(crate) in_flight: Option<InFlight>,
    flushes: u64,
    /// Of the checkpoint that was written last.
    pub(crate) checkpoint_offset: Offset,
    /// When that was, by its own word.
    pub(crate) checkpoint_at: Option<Timestamp>,
    /// Nothing can be flushed before instances have been loaded.
    pub(crate) waits_for_loads: bool,
    /// There was nothing that could be written, though something is dirty: until then nobody looks again.
    pub(crate) rests_until: Option<Timestamp>,
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
        let offsets = self.offsets.or_default(&row.instance);
        if let Err(place) = offsets.binary_search(&offset) {
            offsets.insert(place, offset);
        }
        self.history.insert(offset, (at, row));
    }

    pub(crate) fn next_id(&mut self) -> FlushId {
        self.flushes += 1;
        FlushId(self.flushes)
    }

    /// The first so many of those that are older than all that came after `until`, and of those of the instances that are `wanted`. Of
    /// each instance that is from its first on, without a gap, whatever the clock has done: a store may rely on it.
    ///
    /// It looks at no more than it may take, and at those of the wanted: there may be many times as many.
    pub(crate) fn front_rows(
        &self,
        max: usize,
        until: Timestamp,
        wanted: &[InstanceId],
    ) -> Vec<(Offset, HistoryRow)> {
        let old = self.history.iter().take_while(|(_, (at, _))| *at <= until).take(max).map(|it| *it.0);
        let mut offsets: Vec<Offset> = old.collect();
        if offsets.len() < max {
            let old_end = offsets.last().copied();
            let is_new = |it: &&Offset| old_end.is_none_or(|end| **it > end);
            for of_one in wanted.iter().filter_map(|it| self.offsets.get(it)) {
                offsets.extend(of_one.iter().filter(is_new).take(max));
            }
            offsets.sort_unstable();
            offsets.truncate(max);
        }
        offsets.into_iter().map(|offset| (offset, self.history[&offset].1.clone())).collect()
    }

    /// These rows are durable.
    pub(crate) fn written(&mut self, rows: &[Offset]) {
        for offset in rows {
            let Some((_, row)) = self.history.remove(offset) else { continue };
            if let Some(offsets) = self.offsets.get_mut(&row.instance) {
                // The first one, as a rule: of each instance they are written from the first on.
                if let Ok(place) = offsets.binary_search(offset) {
                    offsets.remove(place);
                }
                if offsets.is_empty() {
                    self.offsets.remove(&row.instance);
                }
            }
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millrace_schemas::Stamp;

    use super::*;

    #[test]
    fn what_is_taken_of_an_instance_has_no_gap_though_the_clock_went_back() {
        let mut behind = WriteBehind::default();
        for (offset, name, at) in [(1, "a", 90), (2, "a", 100), (3, "b", 80), (4, "a", 91)] {
            let instance = InstanceId::new(name).expect("an id");
            let row = HistoryRow { instance, stamp: Stamp(offset), entry: Bytes::new(), ttl: None };
            behind.push_history(row, Offset(offset), Timestamp(at));
        }
        let taken = |until: i64, wanted: &str, max: usize| -> Vec<i64> {
            let wanted: Vec<_> = InstanceId::new(wanted).into_iter().collect();
            let rows = behind.front_rows(max, Timestamp(until), &wanted);
            rows.into_iter().map(|it| it.0.0).collect()
        };
        assert_eq!(taken(95, "", 9), [1]);
        assert_eq!(taken(95, "b", 9), [1, 3]);
        assert_eq!(taken(0, "a", 9), [1, 2, 4]);
        assert_eq!(taken(100, "", 3), [1, 2, 3]);
        assert_eq!(taken(0, "a", 2), [1, 2]);
        behind.written(&[Offset(1), Offset(3)]);
        let instance = InstanceId::new("a").expect("an id");
        let rows = behind.front_rows(9, Timestamp(0), &[instance]);
        assert_eq!(rows.into_iter().map(|it| it.0.0).collect::<Vec<_>>(), [2, 4]);
    }
}
