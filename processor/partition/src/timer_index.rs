//! How the timer index is read: in the order of its entries (due time, instance, timer), a page at a time, so that a million timers due
//! at one instant are many pages and never a million entries in memory (state protocol 4.2).

use std::cmp::Ordering;

use millrace_schemas::{InstanceId, TimerId, Timestamp};

/// An entry of the timer index. In the order in which it is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerEntry {
    /// When.
    pub due: Timestamp,
    /// Whose. By the bytes of its text, as every store orders text.
    pub instance: InstanceId,
    /// Which.
    pub timer: TimerId,
}

/// A place between two entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerCursor {
    /// Before all that is due then, or later.
    Before(Timestamp),
    /// Right before this one.
    At(TimerEntry),
    /// Right after this one. What is due at the same time may still follow.
    After(TimerEntry),
}

/// Entries from `from` on that are due before `until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerSlice {
    /// Where to begin.
    pub from: TimerCursor,
    /// One past the last due time.
    pub until: Timestamp,
    /// Of one page. At least one.
    pub entries_max: usize,
}

/// The first entries of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerPage {
    /// In order. May be stale.
    pub timers: Vec<TimerEntry>,
    /// How far it has come: there is nothing between the last entry and here. The slice is read when this is its end.
    pub next: TimerCursor,
}

impl TimerCursor {
    /// Whether the entry lies before this place.
    #[must_use]
    pub fn has_passed(&self, entry: &TimerEntry) -> bool {
        match self {
            Self::Before(due) => entry.due < *due,
            Self::At(next) => entry < next,
            Self::After(last) => entry <= last,
        }
    }

    /// All that is due before this lies before this place.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        match self {
            Self::Before(due) => *due,
            Self::At(entry) | Self::After(entry) => entry.due,
        }
    }

    /// As the order of this: the time, then all that is due at it, one after the other.
    fn order(&self) -> (Timestamp, Option<(&InstanceId, TimerId, bool)>) {
        match self {
            Self::Before(due) => (*due, None),
            Self::At(it) => (it.due, Some((&it.instance, it.timer, false))),
            Self::After(it) => (it.due, Some((&it.instance, it.timer, true))),
        }
    }
}

impl PartialOrd for TimerCursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TimerCursor {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl TimerSlice {
    /// Whether an entry belongs to it.
    #[must_use]
    pub fn contains(&self, entry: &TimerEntry) -> bool {
        entry.due < self.until && !self.from.has_passed(entry)
    }

    /// The page that begins with `timers`: entries of the slice, in order, none left out before the last of them. `is_all`: none
    /// left out after it either.
    #[must_use]
    pub fn page(&self, mut timers: Vec<TimerEntry>, is_all: bool) -> TimerPage {
        let is_all = is_all && timers.len() <= self.entries_max;
        timers.truncate(self.entries_max);
        let next = match timers.last() {
            Some(last) if !is_all => TimerCursor::After(last.clone()),
            Some(_) => TimerCursor::Before(self.until),
            None if is_all => TimerCursor::Before(self.until),
            None => self.from.clone(),
        };
        TimerPage { timers, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(due: i64, name: &str) -> TimerEntry {
        TimerEntry { due: Timestamp(due), instance: InstanceId::new(name).unwrap(), timer: TimerId(1) }
    }

    #[test]
    fn places_are_ordered_as_the_entries_that_they_have_passed() {
        let places = [
            TimerCursor::Before(Timestamp(1)),
            TimerCursor::At(entry(1, "a")),
            TimerCursor::After(entry(1, "a")),
            TimerCursor::At(entry(1, "b")),
            TimerCursor::After(entry(1, "b")),
            TimerCursor::Before(Timestamp(2)),
            TimerCursor::Before(Timestamp(3)),
            TimerCursor::After(entry(3, "a")),
        ];
        assert!(places.is_sorted());
        let entries = [entry(0, "z"), entry(1, "a"), entry(1, "b"), entry(2, "a"), entry(3, "a")];
        let passed: Vec<usize> =
            places.iter().map(|place| entries.iter().filter(|it| place.has_passed(it)).count()).collect();
        assert_eq!(passed, [1, 1, 2, 2, 3, 3, 4, 5]);
    }

    #[test]
    fn a_full_page_ends_at_its_last_entry_and_the_last_page_at_the_end_of_the_slice() {
        let slice = |entries_max| TimerSlice {
            from: TimerCursor::Before(Timestamp(0)),
            until: Timestamp(9),
            entries_max,
        };
        let timers = vec![entry(1, "a"), entry(1, "b")];
        let end = TimerCursor::Before(Timestamp(9));
        assert_eq!(slice(2).page(timers.clone(), true).next, end);
        assert_eq!(slice(2).page(timers.clone(), false).next, TimerCursor::After(entry(1, "b")));
        let cut = slice(1).page(timers, true);
        assert_eq!((cut.timers.len(), cut.next), (1, TimerCursor::After(entry(1, "a"))));
        assert_eq!(slice(1).page(Vec::new(), true).next, end);
    }
}
