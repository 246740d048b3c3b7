//! How far a partition is behind its sources: in records and in time.
//!
//! The ends of the sources are what the brokers told the reader with what it fetched last, so nothing is asked for. Positions are those
//! after what is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_partition::Source;
use millrace_schemas::{Offset, Timestamp};

use crate::log::LogEnd;

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many records are before the ends of the sources.
    pub records: u64,
    /// How old the next one is; nothing when none waits.
    pub age: Duration,
}

/// Measures one partition, again and again.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Since when there is something of which nothing has been read: its age is not known.
    unread_since: Option<Timestamp>,
}

impl Meter {
    /// `positions`: the next offset to be handled of each source. `waiting`: what was read and is not committed, with its time, the next
    /// one first.
    pub(crate) fn measure<'s>(
        &mut self,
        positions: &'s BTreeMap<Source, Offset>,
        waiting: impl IntoIterator<Item = (&'s Source, Timestamp)>,
        end_of: impl Fn(&Source) -> Option<LogEnd>,
        now: Timestamp,
    ) -> Backlog {
        let mut read: BTreeMap<&Source, u64> = BTreeMap::new();
        let mut next = None;
        for (source, at) in waiting {
            next.get_or_insert(at);
            *read.entry(source).or_default() += 1;
        }
        let mut records = 0;
        for (source, position) in positions {
            let read = read.get(source).copied().unwrap_or(0);
            // What lies between the last record and the end may be markers of transactions, which nobody waits for.
            let unread = end_of(source).filter(|it| !it.is_read);
            let behind = unread.map_or(0, |it| u64::try_from(it.end.0 - position.0).unwrap_or(0));
            records += behind.max(read);
        }
        if next.is_none() && records > 0 {
            self.unread_since.get_or_insert(now);
        } else {
            self.unread_since = None;
        }
        let age = next.or(self.unread_since).map_or(Duration::ZERO, |it| now.since(it));
        Backlog { records, age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: Source = Source::Events(0);
    const INTERNAL: Source = Source::Internal(0);

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000)
    }

    fn positions() -> BTreeMap<Source, Offset> {
        [(EVENTS, Offset(10)), (INTERNAL, Offset(5))].into()
    }

    fn measure(meter: &mut Meter, ends: [LogEnd; 2], waiting: &[(Source, i64)], now: i64) -> (u64, u64) {
        let end_of = |it: &Source| Some(if *it == EVENTS { ends[0] } else { ends[1] });
        let waiting = waiting.iter().map(|(source, second)| (source, at(*second)));
        let Backlog { records, age } = meter.measure(&positions(), waiting, end_of, at(now));
        (records, age.as_secs())
    }

    fn read(end: i64) -> LogEnd {
        LogEnd { end: Offset(end), is_read: true }
    }

    fn unread(end: i64) -> LogEnd {
        LogEnd { end: Offset(end), is_read: false }
    }

    #[test]
    fn nothing_waits_when_all_is_read_though_markers_follow() {
        assert_eq!(measure(&mut Meter::default(), [read(11), read(6)], &[], 100), (0, 0));
    }

    #[test]
    fn what_was_read_and_is_not_committed_waits() {
        let waiting = [(EVENTS, 90), (EVENTS, 95), (INTERNAL, 80)];
        // The next one is not the oldest: records are handled in the order in which they were read.
        assert_eq!(measure(&mut Meter::default(), [read(12), read(6)], &waiting, 100), (3, 10));
    }

    #[test]
    fn what_the_reader_has_not_handed_on_counts_to_the_end() {
        let waiting = [(EVENTS, 90), (EVENTS, 95)];
        assert_eq!(measure(&mut Meter::default(), [unread(5_010), unread(5)], &waiting, 100), (5_000, 10));
    }

    #[test]
    fn nothing_read_of_what_is_there_is_as_old_as_that_has_been_so() {
        let mut meter = Meter::default();
        assert_eq!(measure(&mut meter, [unread(20), read(5)], &[], 100), (10, 0));
        assert_eq!(measure(&mut meter, [unread(30), read(5)], &[], 130), (20, 30));
        assert_eq!(measure(&mut meter, [read(30), read(5)], &[(EVENTS, 99)], 131), (1, 32));
        assert_eq!(measure(&mut meter, [unread(31), read(5)], &[], 132), (21, 0));
    }

    #[test]
    fn an_end_that_is_older_than_the_position_is_no_backlog() {
        assert_eq!(measure(&mut Meter::default(), [unread(7), unread(2)], &[], 100), (0, 0));
    }

    #[test]
    fn of_a_source_that_nothing_is_known_of_counts_what_was_read() {
        let waiting = [(&EVENTS, at(99))];
        let measured = Meter::default().measure(&positions(), waiting, |_| None, at(100));
        assert_eq!(measured, Backlog { records: 1, age: Duration::from_secs(1) });
    }
}
