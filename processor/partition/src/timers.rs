//! The near future of this partition's timers. The truth about a timer is the state of its instance; what is here only says when to
//! look (state protocol 4.2).
//!
//! What is here is bounded, however many timers are due. The index is read a page at a time, in its order, and *reached* up to the last
//! entry of the last page. A timer that is set below that place goes straight to memory; one beyond it does not, it is read when its
//! turn comes. Whatever is too much is dropped from the far end, and the place goes back: what was dropped is in the index, or waits
//! for it.
//!
//! A herd of timers that are due at once takes a while. The place where the index is read then falls behind the clock, and with it
//! everything that is due later. So once it is a second behind, a second place is opened, at the clock, and what is due from there on
//! fires in time, while the herd is worked off with the rest of the pace. When the first place has come to where the second began, the
//! two are one again.

mod reach;

use std::collections::BTreeSet;
use std::time::Duration;

use millrace_engine::Entity;
use millrace_schemas::Timestamp;

use self::reach::{Reach, STEP_MIN};
use crate::config::Config;
use crate::pace::Pace;
use crate::timer_index::{TimerCursor, TimerEntry, TimerPage, TimerSlice};

/// So far behind the clock, a second place is opened.
const BEHIND: Duration = Duration::from_secs(1);

/// Timers due soon, and timers that the index does not hold yet.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Everything before it has been proposed, or is in memory.
    oldest: Reach,
    /// While the oldest are behind: from the clock on.
    newest: Option<Newest>,
    /// Pending, and not yet known to be in the index.
    unindexed: BTreeSet<TimerEntry>,
    /// Of those, the ones that have come into the index since the load on its way began, and that it may have missed.
    indexed_meanwhile: BTreeSet<TimerEntry>,
    /// Proposed, and not read back.
    proposed: BTreeSet<TimerEntry>,
    /// Decided by an earlier owner, after the checkpoint: the index still tells of them.
    fired: BTreeSet<TimerEntry>,
    loading: Option<Loading>,
    pace: Pace,
    bounds: Bounds,
    pages: u64,
}

#[derive(Debug)]
struct Newest {
    /// Where it began.
    start: Timestamp,
    reach: Reach,
}

/// A page on its way.
#[derive(Debug)]
struct Loading {
    slice: TimerSlice,
    is_newest: bool,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Of one page.
    page: usize,
    /// Of what one reach holds in memory.
    near: usize,
    /// Of what is proposed and not read back.
    proposed: usize,
    horizon: Duration,
}

impl Timers {
    /// Nothing is loaded from `low_watermark` on.
    pub(crate) fn new(low_watermark: TimerCursor, config: &Config) -> Self {
        let bounds = Bounds {
            page: config.timer_page(),
            near: (config.timers_near_max / 2).max(2),
            proposed: config.batch_records_max,
            horizon: config.timer_horizon.max(STEP_MIN),
        };
        Self {
            oldest: Reach::new(low_watermark),
            newest: None,
            unindexed: BTreeSet::new(),
            indexed_meanwhile: BTreeSet::new(),
            proposed: BTreeSet::new(),
            fired: BTreeSet::new(),
            loading: None,
            pace: Pace::new(config.timer_fires_per_second),
            bounds,
            pages: 0,
        }
    }

    /// The state of an instance has changed from `before` to `after`.
    pub(crate) fn changed(&mut self, before: Option<&Entity>, after: &Entity) {
        let before: BTreeSet<TimerEntry> = entries(before).collect();
        let after: BTreeSet<TimerEntry> = entries(Some(after)).collect();
        for gone in before.difference(&after) {
            self.oldest.near.remove(gone);
            if let Some(newest) = &mut self.newest {
                newest.reach.near.remove(gone);
            }
            self.unindexed.remove(gone);
            self.indexed_meanwhile.remove(gone);
        }
        // A timer that stays pending is left alone: it may have been proposed already.
        for new in after.difference(&before) {
            self.set(new.clone());
        }
    }

    /// The state of an instance was rebuilt with events of the tail: what the index holds of it is not known. (An instance without
    /// events in the tail was flushed together with its timers, so the index has them all.)
    pub(crate) fn restored(&mut self, entity: &Entity) {
        entries(Some(entity)).for_each(|timer| self.set(timer));
    }

    /// A timer that the index may not hold.
    pub(crate) fn set(&mut self, timer: TimerEntry) {
        self.remember(timer.clone());
        self.unindexed.insert(timer);
    }

    /// Into memory, if the index is read beyond its place.
    fn remember(&mut self, timer: TimerEntry) {
        if self.oldest.loaded.has_passed(&timer) {
            self.oldest.insert(timer, self.bounds.near, self.bounds.page);
        } else if let Some(newest) = self.newest.as_mut().filter(|it| it.covers(&timer)) {
            newest.reach.insert(timer, self.bounds.near, self.bounds.page);
        }
    }

    /// The page to load next, if it is time for one.
    pub(crate) fn next_slice(&mut self, now: Timestamp) -> Option<TimerSlice> {
        if self.loading.is_some() {
            return None;
        }
        self.open_newest(now);
        let Self { oldest, newest, bounds, .. } = self;
        let newest_slice = newest.as_ref().and_then(|it| it.reach.next_slice(now, *bounds, None));
        let is_newest = newest_slice.is_some();
        let start = newest.as_ref().map(|it| it.start);
        let slice = newest_slice.or_else(|| oldest.next_slice(now, *bounds, start))?;
        self.loading = Some(Loading { slice: slice.clone(), is_newest });
        Some(slice)
    }

    /// The oldest fill the memory that there is for them, and are behind.
    fn open_newest(&mut self, now: Timestamp) {
        let loaded = self.oldest.loaded.due();
        if self.newest.is_some() || self.oldest.has_room(self.bounds) || loaded.plus(BEHIND) > now {
            return;
        }
        // What is due in between waits with the oldest.
        let start = Timestamp(loaded.0.saturating_add(1)).max(earlier(now, BEHIND));
        self.newest = Some(Newest { start, reach: Reach::new(TimerCursor::Before(start)) });
    }

    /// A page has come.
    pub(crate) fn loaded(&mut self, from: &TimerCursor, mut page: TimerPage) {
        let Some(Loading { slice, is_newest }) = self.loading.take_if(|it| it.slice.from == *from) else {
            return;
        };
        self.pages += 1;
        let meanwhile = std::mem::take(&mut self.indexed_meanwhile);
        let reach = match (&mut self.newest, is_newest) {
            (Some(newest), true) => &mut newest.reach,
            (_, false) => &mut self.oldest,
            (None, true) => return,
        };
        // It had to give some back meanwhile: there would be a gap.
        if reach.loaded != slice.from {
            return;
        }
        reach.adapt(&page, &slice, self.bounds);
        let fits = |it: &&TimerEntry| !slice.from.has_passed(it) && page.next.has_passed(it);
        let beside = |set: &BTreeSet<TimerEntry>| -> Vec<TimerEntry> {
            set.iter().skip_while(|it| slice.from.has_passed(it)).take_while(fits).cloned().collect()
        };
        let overlay = [beside(&self.unindexed), beside(&meanwhile)];
        reach.loaded = page.next.clone();
        page.timers.retain(|it| !self.fired.contains(it));
        reach.near.extend(page.timers);
        reach.near.extend(overlay.into_iter().flatten());
        reach.shrink(self.bounds.near, self.bounds.page);
        self.join();
        let passed = self.oldest.loaded.due();
        self.fired.retain(|it| it.due >= passed);
    }

    /// Once the oldest have come to where the newest began.
    fn join(&mut self) {
        let is_reached =
            self.newest.as_ref().is_some_and(|it| self.oldest.loaded >= TimerCursor::Before(it.start));
        if let Some(newest) = self.newest.take_if(|_| is_reached) {
            self.oldest.near.extend(newest.reach.near);
            self.oldest.loaded = self.oldest.loaded.clone().max(newest.reach.loaded);
            self.oldest.shrink(self.bounds.near, self.bounds.page);
        }
    }

    /// Takes timers that are due, at most so many, and as many as the pace allows: while some are behind, three of four from the
    /// newest, if so many are due. Oldest first.
    pub(crate) fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<TimerEntry> {
        let open = self.bounds.proposed.saturating_sub(self.proposed.len());
        let max = max.min(open);
        if max == 0 || self.first_due().is_none_or(|it| it > now) {
            return Vec::new();
        }
        let allowed = self.pace.allowed(now);
        let max = max.min(allowed);
        let mut due = Vec::new();
        let Self { oldest, newest, proposed, .. } = self;
        // One that was read twice, since its place went back, is not proposed twice.
        let is_new = |it: &TimerEntry| !proposed.contains(it);
        if let Some(newest) = newest {
            newest.reach.take_due(now, (max * 3).div_ceil(4), &mut due, is_new);
        }
        oldest.take_due(now, max, &mut due, is_new);
        if let Some(newest) = newest {
            newest.reach.take_due(now, max, &mut due, is_new);
        }
        let is_holding_up = due.len() == allowed && self.first_due().is_some_and(|it| it <= now);
        self.pace.took(due.len(), is_holding_up, now);
        due
    }

    /// A batch with other work than timers has taken so long.
    pub(crate) fn other_work_took(&mut self, took: Duration, now: Timestamp) {
        self.pace.other_work_took(took, now);
    }

    fn first_due(&self) -> Option<Timestamp> {
        let newest = self.newest.as_ref().and_then(|it| it.reach.near.first());
        newest.into_iter().chain(self.oldest.near.first()).map(|it| it.due).min()
    }

    /// Nothing has come of what was taken.
    pub(crate) fn put_back(&mut self, timers: Vec<TimerEntry>) {
        for timer in timers {
            self.proposed.remove(&timer);
            // What is beyond the places now will be read again.
            self.remember(timer);
        }
    }

    /// Of what was taken, this is proposed by the transaction that is open.
    pub(crate) fn proposed(&mut self, timer: TimerEntry) {
        self.proposed.insert(timer);
    }

    /// The tail says that this one was decided.
    pub(crate) fn fired(&mut self, timer: TimerEntry) {
        self.fired.insert(timer);
    }

    /// A proposal was read back.
    pub(crate) fn handled(&mut self, timer: &TimerEntry) {
        self.proposed.remove(timer);
    }

    pub(crate) fn is_unindexed(&self, timer: &TimerEntry) -> bool {
        self.unindexed.contains(timer)
    }

    /// The index holds this one.
    pub(crate) fn indexed(&mut self, timer: &TimerEntry) {
        let is_being_read = self.loading.as_ref().is_some_and(|it| it.slice.contains(timer));
        if self.unindexed.remove(timer) && is_being_read {
            self.indexed_meanwhile.insert(timer.clone());
        }
    }

    /// When the next timer may be proposed, or the next page is to be loaded.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let reaches = || [Some(&self.oldest), self.newest.as_ref().map(|it| &it.reach)].into_iter().flatten();
        let load = reaches().filter_map(|it| it.load_at(self.bounds)).min();
        // The oldest end where the newest begin.
        let load = load.filter(|_| self.loading.is_none());
        let fire = self.first_due().map(|it| it.max(self.pace.next_at()));
        let fire = fire.filter(|_| self.proposed.len() < self.bounds.proposed);
        let open = Some(self.oldest.loaded.due().plus(BEHIND)).filter(|_| {
            self.newest.is_none() && self.loading.is_none() && !self.oldest.has_room(self.bounds)
        });
        [load, fire, open].into_iter().flatten().min()
    }

    /// Every timer before this has been proposed and committed; a restore loads from here.
    pub(crate) fn low_watermark<'t>(&'t self, taken: impl Iterator<Item = &'t TimerEntry>) -> TimerCursor {
        let near = self.oldest.near.first().into_iter().chain(taken).min();
        near.map(|it| TimerCursor::At(it.clone()))
            .into_iter()
            .chain([self.oldest.loaded.clone()])
            .min()
            .expect("one is given")
    }

    /// Timers in memory.
    pub(crate) fn len(&self) -> usize {
        self.oldest.near.len() + self.newest.as_ref().map_or(0, |it| it.reach.near.len())
    }

    /// Timers that the index does not hold yet.
    pub(crate) fn unindexed_len(&self) -> usize {
        self.unindexed.len()
    }

    /// Pages that were loaded, so far.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }
}

impl Newest {
    fn covers(&self, timer: &TimerEntry) -> bool {
        timer.due >= self.start && self.reach.loaded.has_passed(timer)
    }
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

/// The pending timers of an entity.
pub(crate) fn entries(entity: Option<&Entity>) -> impl Iterator<Item = TimerEntry> {
    entity
        .into_iter()
        .flat_map(|it| it.timers().map(|(timer, due)| TimerEntry { due, instance: it.id().clone(), timer }))
}
