//! The aborted transactions of a log: what a `read_committed` consumer is told to leave out.

use std::collections::HashMap;

/// What a fetch response says of one (KIP-98): records of the producer from the first offset on are void, up to its next abort marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
}

/// One transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    pub(crate) marker_offset: i64,
    /// Where the log became stable up to with the marker. Whatever was aborted later began there or above.
    pub(crate) last_stable_offset: i64,
}

/// All of a log, by marker offset. In memory: 32 bytes each, until retention or compaction removes the marker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AbortedTransactions(Vec<AbortedTransaction>);

impl AbortedTransactions {
    /// Its marker is the latest.
    pub(crate) fn push(&mut self, aborted: AbortedTransaction) {
        self.0.push(aborted);
    }

    /// Those that a reader of the offsets `from..upto` may come across.
    pub(crate) fn overlapping(&self, from: i64, upto: i64) -> Vec<Aborted> {
        let mut found = Vec::new();
        for it in &self.0[self.position(from)..] {
            if it.first_offset < upto {
                found.push(Aborted { producer_id: it.producer_id, first_offset: it.first_offset });
            }
            if it.last_stable_offset >= upto {
                break;
            }
        }
        found
    }

    /// Those whose markers are at `from..upto`.
    pub(crate) fn ended_in(&self, from: i64, upto: i64) -> &[AbortedTransaction] {
        &self.0[self.position(from)..self.position(upto)]
    }

    /// Forgets those whose markers are below `start`, of which no record is left.
    pub(crate) fn forget_below(&mut self, start: i64) {
        self.0.drain(..self.position(start));
    }

    /// Forgets those with these marker offsets, which rise.
    pub(crate) fn forget(&mut self, marker_offsets: &[i64]) {
        self.0.retain(|it| marker_offsets.binary_search(&it.marker_offset).is_err());
    }

    pub(crate) fn by_producer(&self) -> AbortedByProducer {
        let mut by_producer = AbortedByProducer::default();
        for it in &self.0 {
            by_producer.0.entry(it.producer_id).or_default().push((it.first_offset, it.marker_offset));
        }
        by_producer
    }

    fn position(&self, offset: i64) -> usize {
        self.0.partition_point(|it| it.marker_offset < offset)
    }
}

/// To ask of one batch after another.
#[derive(Debug, Default)]
pub(crate) struct AbortedByProducer(HashMap<i64, Vec<(i64, i64)>>);

impl AbortedByProducer {
    /// Whether a transactional batch of the producer at `offset` is void.
    pub(crate) fn covers(&self, producer_id: i64, offset: i64) -> bool {
        let Some(ranges) = self.0.get(&producer_id) else { return false };
        let next = ranges.partition_point(|&(_, marker)| marker < offset);
        ranges.get(next).is_some_and(|&(first, _)| first <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aborted(
        producer_id: i64,
        first_offset: i64,
        marker_offset: i64,
        last_stable_offset: i64,
    ) -> AbortedTransaction {
        AbortedTransaction { producer_id, first_offset, marker_offset, last_stable_offset }
    }

    /// 1 from 0 to 9, 2 from 3 to 5 and again from 12 to 20, 3 from 7 to 30.
    fn list() -> AbortedTransactions {
        let mut list = AbortedTransactions::default();
        for it in [aborted(2, 3, 5, 0), aborted(1, 0, 9, 7), aborted(2, 12, 20, 7), aborted(3, 7, 30, 31)] {
            list.push(it);
        }
        list
    }

    #[test]
    fn a_reader_is_told_what_it_may_come_across() {
        let told = |from, upto| -> Vec<_> {
            list().overlapping(from, upto).into_iter().map(|it| (it.producer_id, it.first_offset)).collect()
        };
        assert_eq!(told(0, 40), [(2, 3), (1, 0), (2, 12), (3, 7)]);
        assert_eq!(told(0, 3), [(1, 0)]);
        assert_eq!(told(5, 7), [(2, 3), (1, 0)]);
        assert_eq!(told(6, 8), [(1, 0), (3, 7)]);
        assert_eq!(told(10, 12), [(3, 7)]);
        assert_eq!(told(31, 40), []);
    }

    #[test]
    fn a_batch_is_void_between_the_first_offset_and_the_marker_of_its_producer() {
        let list = list().by_producer();
        let void: Vec<_> = (0..32).filter(|it| list.covers(2, *it)).collect();
        assert_eq!(void, [3, 4, 5, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
        assert!(!list.covers(4, 3));
    }

    #[test]
    fn what_has_no_marker_any_more_is_forgotten() {
        let markers =
            |list: &AbortedTransactions| -> Vec<_> { list.0.iter().map(|it| it.marker_offset).collect() };
        let mut list = list();
        assert_eq!(list.ended_in(9, 30).len(), 2);
        list.forget_below(9);
        assert_eq!(markers(&list), [9, 20, 30]);
        list.forget(&[9, 30]);
        assert_eq!(markers(&list), [20]);
    }
}
