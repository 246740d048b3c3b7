//! How far each partition of the queue may be committed.
//!
//! Tasks finish in any order; a Kafka commit says "all before this offset are done". So a partition is committed up to its
//! lowest unfinished task, and not further.

use std::collections::{BTreeMap, VecDeque};

use millrace_schemas::Timestamp;

/// Stands for one received record until it is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) partition: i32,
    offset: i64,
    /// Which stay of the partition with this worker. A partition that was revoked and came back has lost its old receipts.
    stay: u64,
}

/// A partition and the next offset to read from it.
pub(crate) type Position = (i32, i64);

/// Records that were received and not yet committed, partition by partition.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    windows: BTreeMap<i32, Window>,
    stays: u64,
}

/// One partition, from the lowest unfinished record to the last received one.
#[derive(Debug)]
struct Window {
    stay: u64,
    /// Ascending, with gaps (transaction markers, aborted records).
    records: VecDeque<Received>,
    /// The next offset to read, when all before it are finished.
    position: Option<i64>,
    /// What was committed last.
    committed: Option<i64>,
}

/// A record that was received.
#[derive(Debug)]
struct Received {
    offset: i64,
    is_finished: bool,
    /// When it was written.
    at: Timestamp,
}

impl Offsets {
    /// Notes a record that was just read.
    pub(crate) fn receive(&mut self, partition: i32, offset: i64, at: Timestamp) -> Receipt {
        let is_known = self
            .windows
            .get(&partition)
            .is_some_and(|it| it.records.back().is_none_or(|last| last.offset < offset));
        if !is_known {
            // A new partition; or one that was reset to an earlier offset, whose old receipts mean nothing any more.
            self.stays += 1;
            let window =
                Window { stay: self.stays, records: VecDeque::new(), position: None, committed: None };
            self.windows.insert(partition, window);
        }
        let window = self.windows.get_mut(&partition).expect("it was there, or was inserted above");
        window.records.push_back(Received { offset, is_finished: false, at });
        Receipt { partition, offset, stay: window.stay }
    }

    /// Whether the partition has stayed here since the record was received.
    pub(crate) fn is_current(&self, receipt: Receipt) -> bool {
        self.windows.get(&receipt.partition).is_some_and(|it| it.stay == receipt.stay)
    }

    /// Notes that a record needs no further work. A receipt from before a revocation is ignored.
    pub(crate) fn finish(&mut self, receipt: Receipt) {
        let Some(window) = self.windows.get_mut(&receipt.partition).filter(|it| it.stay == receipt.stay)
        else {
            return;
        };
        let Ok(index) = window.records.binary_search_by_key(&receipt.offset, |it| it.offset) else {
            return;
        };
        window.records[index].is_finished = true;
        while let Some(first) = window.records.front().filter(|it| it.is_finished) {
            window.position = Some(first.offset + 1);
            window.records.pop_front();
        }
    }

    /// What can be committed and has not been yet. It is taken for committed from now on, unless [`Self::recommit`] says no.
    pub(crate) fn take_uncommitted(&mut self) -> Vec<Position> {
        let mut positions = Vec::new();
        for (partition, window) in &mut self.windows {
            if window.position != window.committed {
                window.committed = window.position;
                positions.extend(window.position.map(|offset| (*partition, offset)));
            }
        }
        positions
    }

    /// A commit failed: everything is to be committed again.
    pub(crate) fn recommit(&mut self) {
        for window in self.windows.values_mut() {
            window.committed = None;
        }
    }

    /// These partitions go to somebody else: forgets them, and gives what is still to be committed of them.
    pub(crate) fn revoke(&mut self, partitions: impl IntoIterator<Item = i32>) -> Vec<Position> {
        let revoked = partitions
            .into_iter()
            .filter_map(|partition| Some((partition, self.windows.remove(&partition)?)));
        revoked
            .filter(|(_, window)| window.position != window.committed)
            .filter_map(|(partition, window)| Some((partition, window.position?)))
            .collect()
    }

    /// The next offset of a partition that is not finished, if anything of it was received.
    pub(crate) fn position(&self, partition: i32) -> Option<i64> {
        let window = self.windows.get(&partition)?;
        window.records.front().map(|it| it.offset).or(window.position)
    }

    /// How many records of a partition were received and are not finished.
    pub(crate) fn unfinished(&self, partition: i32) -> usize {
        let records = self.windows.get(&partition).map(|it| it.records.iter());
        records.map_or(0, |it| it.filter(|it| !it.is_finished).count())
    }

    /// When the oldest record was written that was received and is not finished.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.windows.values().filter_map(|it| it.records.front()).map(|it| it.at).min()
    }

    /// How many records of a partition wait for its lowest unfinished one, that one included.
    pub(crate) fn window_len(&self, partition: i32) -> usize {
        self.windows.get(&partition).map_or(0, |window| window.records.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(0);

    #[test]
    fn a_partition_is_committed_up_to_its_lowest_unfinished_task() {
        let mut offsets = Offsets::default();
        let [a, b, c] = [10, 11, 14].map(|offset| offsets.receive(0, offset, AT));
        offsets.finish(b);
        assert_eq!(offsets.take_uncommitted(), []);
        offsets.finish(a);
        assert_eq!(offsets.take_uncommitted(), [(0, 12)]);
        assert_eq!(offsets.take_uncommitted(), []);
        offsets.finish(c);
        assert_eq!(offsets.take_uncommitted(), [(0, 15)]);
    }

    #[test]
    fn partitions_do_not_hold_each_other_up() {
        let mut offsets = Offsets::default();
        let _stuck = offsets.receive(0, 0, AT);
        let done = offsets.receive(1, 7, AT);
        offsets.finish(done);
        assert_eq!(offsets.take_uncommitted(), [(1, 8)]);
    }

    #[test]
    fn a_failed_commit_is_made_again() {
        let mut offsets = Offsets::default();
        let a = offsets.receive(3, 1, AT);
        offsets.finish(a);
        assert_eq!(offsets.take_uncommitted(), [(3, 2)]);
        offsets.recommit();
        assert_eq!(offsets.take_uncommitted(), [(3, 2)]);
    }

    #[test]
    fn a_revoked_partition_gives_what_is_done_and_forgets_the_rest() {
        let mut offsets = Offsets::default();
        let a = offsets.receive(0, 5, AT);
        let b = offsets.receive(0, 6, AT);
        offsets.finish(a);
        assert_eq!(offsets.revoke([0, 9]), [(0, 6)]);
        // It comes back from where the group has committed it; the old receipt must not finish the new delivery.
        let again = offsets.receive(0, 6, AT);
        assert!(offsets.is_current(again) && !offsets.is_current(b));
        offsets.finish(b);
        assert_eq!(offsets.take_uncommitted(), []);
        offsets.finish(again);
        assert_eq!(offsets.take_uncommitted(), [(0, 7)]);
    }

    #[test]
    fn a_partition_that_was_reset_to_an_earlier_offset_begins_anew() {
        let mut offsets = Offsets::default();
        let old = offsets.receive(0, 100, AT);
        let new = offsets.receive(0, 2, AT);
        offsets.finish(old);
        assert_eq!(offsets.take_uncommitted(), []);
        offsets.finish(new);
        assert_eq!(offsets.take_uncommitted(), [(0, 3)]);
        assert_eq!(offsets.window_len(0), 0);
    }

    #[test]
    fn the_window_counts_from_the_lowest_unfinished_task() {
        let mut offsets = Offsets::default();
        let first = offsets.receive(0, 0, AT);
        let rest: Vec<Receipt> = (1..10).map(|offset| offsets.receive(0, offset, AT)).collect();
        rest.into_iter().for_each(|receipt| offsets.finish(receipt));
        assert_eq!(offsets.window_len(0), 10);
        offsets.finish(first);
        assert_eq!(offsets.window_len(0), 0);
    }

    #[test]
    fn what_is_left_to_do_is_told() {
        let mut offsets = Offsets::default();
        assert_eq!((offsets.position(0), offsets.unfinished(0), offsets.oldest()), (None, 0, None));
        let [a, b, _] =
            [(5, 90), (6, 80), (9, 95)].map(|(offset, at)| offsets.receive(0, offset, Timestamp(at)));
        offsets.finish(b);
        assert_eq!((offsets.position(0), offsets.unfinished(0)), (Some(5), 2));
        assert_eq!(offsets.oldest(), Some(Timestamp(90)));
        offsets.finish(a);
        assert_eq!((offsets.position(0), offsets.oldest()), (Some(9), Some(Timestamp(95))));
    }
}
