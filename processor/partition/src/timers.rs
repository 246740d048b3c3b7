//! The near future of this partition's timers. The truth about a timer is the state of its instance; what is here only says when to
//! look (state protocol 4.2).

use std::collections::BTreeSet;
use std::time::Duration;

use millrace_engine::Entity;
use millrace_schemas::Timestamp;

use crate::input::TimerEntry;

/// Timers due soon, and timers that the index does not hold yet.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Due before `loaded_until`, and not proposed yet. May hold stale entries; misses none.
    near: BTreeSet<TimerEntry>,
    /// Pending, and not yet known to be in the index.
    unindexed: BTreeSet<TimerEntry>,
    /// Up to here, `near` is complete (or the load that completes it is on its way).
    loaded_until: Timestamp,
    /// The load on its way.
    loading_from: Option<Timestamp>,
    horizon: Duration,
}

impl Timers {
    /// Nothing is loaded from `low_watermark` on.
    pub(crate) fn new(low_watermark: Timestamp, horizon: Duration) -> Self {
        Self {
            near: BTreeSet::new(),
            unindexed: BTreeSet::new(),
            loaded_until: low_watermark,
            loading_from: None,
            horizon,
        }
    }

    /// The state of an instance has changed from `before` to `after`.
    pub(crate) fn changed(&mut self, before: Option<&Entity>, after: &Entity) {
        let before: BTreeSet<TimerEntry> = entries(before).collect();
        let after: BTreeSet<TimerEntry> = entries(Some(after)).collect();
        for gone in before.difference(&after) {
            self.near.remove(gone);
            self.unindexed.remove(gone);
        }
        // A timer that stays pending is left alone: it may have been proposed already.
        for new in after.difference(&before) {
            self.unindexed.insert(new.clone());
            if new.due < self.loaded_until {
                self.near.insert(new.clone());
            }
        }
    }

    /// The state of an instance was rebuilt with events of the tail: what the index holds of it is not known. (An instance without
    /// events in the tail was flushed together with its timers, so the index has them all.)
    pub(crate) fn restored(&mut self, entity: &Entity) {
        for timer in entries(Some(entity)) {
            if timer.due < self.loaded_until {
                self.near.insert(timer.clone());
            }
            self.unindexed.insert(timer);
        }
    }

    /// The slice to load next, if it is time for one. The slice counts as loaded from now on, so that timers set meanwhile go
    /// straight to memory; those that wait for the index are taken over here.
    pub(crate) fn next_slice(&mut self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        if self.loading_from.is_some() || self.loaded_until >= now.plus(self.horizon / 2) {
            return None;
        }
        let (from, until) = (self.loaded_until, now.plus(self.horizon));
        self.loading_from = Some(from);
        self.loaded_until = until;
        self.near.extend(self.unindexed.iter().take_while(|it| it.due < until).cloned());
        Some((from, until))
    }

    /// A slice has come.
    pub(crate) fn loaded(&mut self, from: Timestamp, timers: Vec<TimerEntry>) {
        if self.loading_from == Some(from) {
            self.loading_from = None;
        }
        self.near.extend(timers);
    }

    /// Takes timers that are due, oldest first.
    pub(crate) fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<TimerEntry> {
        let mut due = Vec::new();
        while due.len() < max && self.near.first().is_some_and(|it| it.due <= now) {
            due.extend(self.near.pop_first());
        }
        due
    }

    /// What was taken has not been proposed after all.
    pub(crate) fn put_back(&mut self, timers: Vec<TimerEntry>) {
        self.near.extend(timers);
    }

    pub(crate) fn is_unindexed(&self, timer: &TimerEntry) -> bool {
        self.unindexed.contains(timer)
    }

    /// The index holds this one.
    pub(crate) fn indexed(&mut self, timer: &TimerEntry) {
        self.unindexed.remove(timer);
    }

    /// When the next timer is due, or the next slice is to be loaded.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let slice = match self.loading_from {
            Some(_) => None,
            None => Some(Timestamp(
                self.loaded_until.0 - i64::try_from(self.horizon.as_millis() / 2).unwrap_or(0),
            )),
        };
        self.near.first().map(|it| it.due).into_iter().chain(slice).min()
    }

    /// Every timer due before this has been proposed and committed; a restore loads from here.
    pub(crate) fn low_watermark(&self, taken: &[TimerEntry]) -> Timestamp {
        let near = self.near.first().map(|it| it.due);
        let taken = taken.iter().map(|it| it.due).min();
        let loaded = self.loading_from.unwrap_or(self.loaded_until);
        near.into_iter().chain(taken).chain([loaded]).min().expect("one is given")
    }

    /// Timers in memory.
    pub(crate) fn len(&self) -> usize {
        self.near.len()
    }
}

/// The pending timers of an entity.
pub(crate) fn entries(entity: Option<&Entity>) -> impl Iterator<Item = TimerEntry> {
    entity
        .into_iter()
        .flat_map(|it| it.timers().map(|(timer, due)| TimerEntry { due, instance: it.id().clone(), timer }))
}
