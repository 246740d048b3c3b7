//! A sparse index of one segment: where to begin reading for an offset or a time.

/// More entries than this are thinned out, and the interval doubled: 384 KiB for a segment of any size, and at most 64 KiB to skip in one
/// of 1 GiB.
pub(crate) const ENTRIES_MAX: usize = 16 * 1024;

/// A batch of the segment, and what is known of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// The base offset of the batch.
    pub(crate) offset: i64,
    /// Where it begins in the file.
    pub(crate) position: u64,
    /// The highest timestamp, in ms, of all batches before it in the segment.
    pub(crate) max_timestamp_before_ms: i64,
}

/// The first batch has no entry: it is at position 0, whichever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    entries: Vec<IndexEntry>,
    interval_bytes: u64,
}

impl Index {
    pub(crate) fn new(interval_bytes: u32) -> Self {
        Self { entries: Vec::new(), interval_bytes: u64::from(interval_bytes) }
    }

    /// `entries` rise in offset and position.
    pub(crate) fn from_entries(entries: Vec<IndexEntry>) -> Self {
        // A segment that is closed gets no more of them.
        Self { entries, interval_bytes: u64::MAX }
    }

    pub(crate) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Learns of the next batch, and keeps an entry for it if the last one is far enough away.
    pub(crate) fn observe(&mut self, entry: IndexEntry) {
        let last = self.entries.last().map_or(0, |it| it.position);
        if entry.position.saturating_sub(last) < self.interval_bytes.max(1) {
            return;
        }
        if self.entries.len() == ENTRIES_MAX {
            let mut nth = 0;
            self.entries.retain(|_| {
                nth += 1;
                nth % 2 == 0
            });
            self.interval_bytes = self.interval_bytes.saturating_mul(2);
        }
        self.entries.push(entry);
    }

    /// A position at or before the batch that holds `offset`, and an upper bound for where that batch begins, if there is one before the
    /// end of the segment.
    pub(crate) fn around(&self, offset: i64) -> (u64, Option<u64>) {
        let next = self.entries.partition_point(|it| it.offset <= offset);
        let start = next.checked_sub(1).map_or(0, |it| self.entries[it].position);
        (start, self.entries.get(next).map(|it| it.position))
    }

    /// A position that no batch below `offset` lies behind, if there is one before the end of the segment.
    pub(crate) fn bound(&self, offset: i64) -> Option<u64> {
        self.entries.get(self.entries.partition_point(|it| it.offset < offset)).map(|it| it.position)
    }

    /// A position before which every timestamp is lower than `timestamp_ms`.
    pub(crate) fn before_time(&self, timestamp_ms: i64) -> u64 {
        let next = self.entries.partition_point(|it| it.max_timestamp_before_ms < timestamp_ms);
        next.checked_sub(1).map_or(0, |it| self.entries[it].position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: i64, position: u64, max_timestamp_before_ms: i64) -> IndexEntry {
        IndexEntry { offset, position, max_timestamp_before_ms }
    }

    #[test]
    fn lookups_land_at_or_before() {
        let mut index = Index::new(100);
        for (offset, position, time) in
            [(0, 0, -1), (5, 60, 10), (10, 120, 20), (15, 180, 15), (20, 240, 20), (25, 300, 40)]
        {
            index.observe(entry(offset, position, time));
        }
        assert_eq!(index.entries(), [entry(10, 120, 20), entry(20, 240, 20)]);
        assert_eq!(index.around(0), (0, Some(120)));
        assert_eq!(index.around(10), (120, Some(240)));
        assert_eq!(index.around(19), (120, Some(240)));
        assert_eq!(index.around(99), (240, None));
        assert_eq!((index.bound(0), index.bound(10)), (Some(120), Some(120)));
        assert_eq!((index.bound(11), index.bound(21)), (Some(240), None));
        assert_eq!((index.before_time(20), index.before_time(21)), (0, 240));
    }

    #[test]
    fn a_large_segment_has_a_coarser_index() {
        let mut index = Index::new(1);
        for nth in 0..5 * ENTRIES_MAX {
            index.observe(entry(nth as i64, nth as u64, -1));
        }
        assert!(index.entries().len() <= ENTRIES_MAX && index.entries().len() > ENTRIES_MAX / 3);
        let (start, end) = index.around(1_000);
        assert!((993..=1_000).contains(&start) && (1_001..=1_008).contains(&end.unwrap()), "{start}");
    }
}
