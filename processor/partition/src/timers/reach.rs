//! One place up to which the index is in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use millrace_schemas::Timestamp;

use super::{Bounds, earlier};
use crate::timer_index::{TimerCursor, TimerEntry, TimerPage, TimerSlice};

/// The shortest slice. It doubles while slices hold little, so that a quiet partition asks seldom, and halves while they hold more
/// than a page.
pub(super) const STEP_MIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Reach {
    /// Due before `loaded`, and not proposed. May hold stale entries; misses none.
    pub(super) near: BTreeSet<TimerEntry>,
    pub(super) loaded: TimerCursor,
    /// How far ahead of the clock the next slice ends.
    step: Duration,
}

impl Reach {
    pub(super) fn new(loaded: TimerCursor) -> Self {
        Self { near: BTreeSet::new(), loaded, step: STEP_MIN }
    }

    /// Whether a page fits in.
    pub(super) fn has_room(&self, bounds: Bounds) -> bool {
        self.near.len() + bounds.page <= bounds.near
    }

    /// When the next page is wanted; never, while there is no room for it.
    pub(super) fn load_at(&self, bounds: Bounds) -> Option<Timestamp> {
        self.has_room(bounds).then(|| earlier(self.loaded.due(), self.step / 2))
    }

    /// The next page, up to `end` if there is one.
    pub(super) fn next_slice(
        &self,
        now: Timestamp,
        bounds: Bounds,
        end: Option<Timestamp>,
    ) -> Option<TimerSlice> {
        if self.load_at(bounds).is_none_or(|it| it > now) {
            return None;
        }
        let until = now.plus(self.step);
        let until = end.map_or(until, |it| it.min(until));
        let from = self.loaded.clone();
        (from < TimerCursor::Before(until)).then_some(TimerSlice { from, until, entries_max: bounds.page })
    }

    /// The next slice is longer or shorter, by what this one held.
    pub(super) fn adapt(&mut self, page: &TimerPage, slice: &TimerSlice, bounds: Bounds) {
        let is_all = page.next >= TimerCursor::Before(slice.until);
        if !is_all {
            self.step = (self.step / 2).max(STEP_MIN);
        } else if page.timers.len() <= bounds.page / 4 {
            self.step = (self.step * 2).min(bounds.horizon);
        }
    }

    pub(super) fn insert(&mut self, timer: TimerEntry, near_max: usize, room: usize) {
        self.near.insert(timer);
        self.shrink(near_max, room);
    }

    /// Drops the far end, so that a page fits in again.
    pub(super) fn shrink(&mut self, near_max: usize, room: usize) {
        if self.near.len() <= near_max {
            return;
        }
        let kept = near_max.saturating_sub(room).max(1);
        while self.near.len() > kept {
            self.near.pop_last();
        }
        let last = self.near.last().expect("one is kept at least");
        self.loaded = TimerCursor::After(last.clone());
        self.step = STEP_MIN;
    }

    /// Takes the first ones that are due, until there are `max`.
    pub(super) fn take_due(
        &mut self,
        now: Timestamp,
        max: usize,
        due: &mut Vec<TimerEntry>,
        is_wanted: impl Fn(&TimerEntry) -> bool,
    ) {
        while due.len() < max && self.near.first().is_some_and(|it| it.due <= now) {
            due.extend(self.near.pop_first().filter(&is_wanted));
        }
    }
}
