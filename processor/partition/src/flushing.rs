//! Snapshots, indexes and the checkpoint: outside of the transaction, behind it, and only ever of what is committed
//! (state protocol 2.5).

use std::collections::BTreeSet;
use std::time::Duration;

use millrace_engine::Entity;
use millrace_placement::{TimerBucket, key_group};
use millrace_schemas::channel::ChannelSnapshot;
use millrace_schemas::partition::{Checkpoint, Positions, TimerPlace};
use millrace_schemas::schedule::ScheduleSnapshot;
use millrace_schemas::snapshot::Snapshot;
use millrace_schemas::{InstanceId, Offset, Payload, TimerId, Timestamp};

use crate::attributes::{Attributes, Term};
use crate::cache::{Cached, Listed};
use crate::history::Retention;
use crate::output::{FlushId, FlushRequest, Listing, Output, SnapshotWrite, TimerRow};
use crate::partition::{Partition, Phase, Programs, needed};
use crate::quarantine::{WAKE, WAKE_AFTER};
use crate::timer_index::{TimerCursor, TimerEntry};
use crate::timers::entries;
use crate::write_behind::InFlight;

/// What a flush takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// All that there is room for.
    All,
    /// What will hardly change again before it has to be written: that has changed until then, or is at rest. A workflow of seconds is
    /// written once, when it has ended, however often others fill a flush meanwhile.
    Settled { until: Timestamp },
}

/// Entries of the history in one flush, at most, for each row of the snapshots that it may have: most workflows have fewer.
const ENTRIES_PER_ROW: usize = 8;

/// How much longer the row of a channel stays than anything in it means something, for clocks that differ.
const CHANNEL_ROW_SPARE: Duration = Duration::from_secs(60);

/// What an instance was found by, and is no more.
fn retired(before: Option<&Payload>, now: Option<&Payload>) -> BTreeSet<Term> {
    if before == now {
        return BTreeSet::new();
    }
    let now = Attributes::of(now).terms();
    Attributes::of(before).terms().into_iter().filter(|it| !now.contains(it)).collect()
}

impl Partition {
    /// When the oldest unwritten change has waited long enough.
    pub(crate) fn flush_deadline(&self) -> Option<Timestamp> {
        if self.write_behind.in_flight.is_some() || self.write_behind.waits_for_loads {
            return None;
        }
        let oldest = self.dirty.oldest().into_iter().chain(self.write_behind.oldest()).min()?;
        let due = oldest.plus(self.config.flush_interval);
        Some(self.write_behind.rests_until.map_or(due, |it| it.max(due)))
    }

    pub(crate) fn advance_flush(&mut self, now: Timestamp, programs: &impl Programs, out: &mut Vec<Output>) {
        if self.write_behind.in_flight.is_some() {
            return;
        }
        let is_draining = matches!(self.phase, Phase::Draining);
        // What has ended gets no later events that its snapshot could hold as well, and waits for nothing but memory.
        let is_full = self.tail_meter.reaches(self.config.tail, 2);
        if !is_draining
            && !is_full
            && self.dirty.at_rest() < self.config.flush_rows_max
            && !self.quarantine.wants_flush()
            && self.flush_deadline().is_none_or(|it| it > now)
        {
            if std::mem::take(&mut self.write_behind.wants_checkpoint) {
                self.save_checkpoint(now, out);
            }
            return;
        }
        if !is_draining {
            self.load_dirty(out);
        }
        let scope = match is_draining || is_full {
            true => Scope::All,
            // Half of the time that a change may wait: then the next flush comes after the other half.
            false => Scope::Settled { until: now.minus(self.config.flush_interval / 2) },
        };
        let request = self.flush_request(scope, now, programs);
        if !request.is_empty() {
            out.push(Output::Flush(request));
        } else if is_draining && self.open.is_none() {
            self.write_behind.in_flight = None;
            self.save_checkpoint(now, out);
            self.phase = Phase::Ended;
            out.push(Output::Drained);
        } else {
            self.write_behind.in_flight = None;
            // What is left is dirty and not in memory yet; or it is set aside because its row cannot be read, until an operator acts.
            self.write_behind.waits_for_loads = !self.loading.is_empty();
            self.write_behind.rests_until = Some(now.plus(self.config.flush_interval));
            if std::mem::take(&mut self.write_behind.wants_checkpoint) {
                self.save_checkpoint(now, out);
            }
        }
    }

    /// Instances of the tail that nobody has needed yet: their snapshots are behind, so they hold the checkpoint.
    pub(crate) fn load_dirty(&mut self, out: &mut Vec<Output>) {
        if self.dirty_in_memory {
            return;
        }
        let Self { dirty, cache, loading, quarantine, config, .. } = self;
        let mut load: Vec<InstanceId> = dirty
            .ids()
            .filter(|id| !cache.contains(id) && !quarantine.contains(id) && !loading.contains(id))
            .take(config.flush_rows_max.saturating_sub(loading.len()))
            .cloned()
            .collect();
        self.dirty_in_memory = load.is_empty() && loading.is_empty();
        if !load.is_empty() {
            load.sort();
            loading.extend(load.iter().cloned());
            out.push(Output::LoadSnapshots(load));
        }
    }

    pub(crate) fn flush_request(
        &mut self,
        scope: Scope,
        now: Timestamp,
        programs: &impl Programs,
    ) -> FlushRequest {
        let id = self.write_behind.next_id();
        let rows_max = self.config.flush_rows_max;
        let dirty: Box<dyn Iterator<Item = &InstanceId>> = match scope {
            Scope::All => Box::new(self.dirty.ids()),
            Scope::Settled { until } => Box::new(self.dirty.settled(until)),
        };
        let dirty = dirty.filter(|id| {
            !self.quarantine.is_unparked(id)
                && (self.cache.get(id).is_some_and(|it| it.last_offset.is_some())
                    || self.quarantine.is_unwritten(id))
        });
        let ids: Vec<InstanceId> = self.quarantine.unparked().chain(dirty).take(rows_max).cloned().collect();
        let entries_max = ENTRIES_PER_ROW * rows_max;
        let until = match scope {
            Scope::All => Timestamp(i64::MAX),
            Scope::Settled { until } => until,
        };
        let history = self.write_behind.front_rows(entries_max, until, &ids);
        let (offsets, history) = history.into_iter().unzip();
        let mut request =
            FlushRequest { id, snapshots: self.parked_writes(&ids), timers: Vec::new(), history };
        let mut in_flight =
            InFlight { id, snapshots: Vec::new(), parked: Vec::new(), timers: Vec::new(), history: offsets };
        for id in ids {
            self.dirty.flush_started(&id);
            let Some(cached) = self.cache.get(&id) else {
                in_flight.parked.push(id);
                continue;
            };
            let offset = cached.last_offset.expect("filtered just now");
            for timer in entries(Some(&cached.entity)).filter(|it| self.timers.is_unindexed(it)) {
                request.timers.push(row(&timer));
                in_flight.timers.push(timer);
            }
            let Some((write, listed)) = self.snapshot_write(&id, cached, offset, now, programs) else {
                continue;
            };
            request.snapshots.push(write);
            in_flight.snapshots.push((id, listed));
        }
        for instance in self.quarantine.take_wakes() {
            let timer = TimerEntry { due: now.plus(WAKE_AFTER), instance, timer: WAKE };
            request.timers.push(row(&timer));
            self.timers.set(timer.clone());
            in_flight.timers.push(timer);
        }
        self.write_behind.in_flight = Some(in_flight);
        request
    }

    /// The row of an entity, and what the list shows of it then.
    fn snapshot_write(
        &self,
        id: &InstanceId,
        cached: &Cached,
        offset: Offset,
        now: Timestamp,
        programs: &impl Programs,
    ) -> Option<(SnapshotWrite, Listed)> {
        let era = self.era;
        let (value, ttl, listing, listed) = match &cached.entity {
            Entity::Instance(instance) => {
                let state = instance.state()?;
                let status = state.status.name();
                let has_ended = state.status.is_terminal();
                let listed = Listed { status: Some(status), attributes: state.attributes.clone() };
                let before = &cached.listed;
                let listing = (*before != listed).then(|| Listing {
                    workflow: state.workflow.clone(),
                    started_at: state.started_at,
                    updated_at: state.updated_at,
                    status,
                    attributes: Attributes::of(state.attributes.as_ref()),
                    retired: retired(before.attributes.as_ref(), state.attributes.as_ref()),
                    ttl: Retention::of(&state.workflow, programs, &self.config).listing.filter(|_| has_ended),
                });
                let value = self.codec.encode_snapshot(&Snapshot { state: state.clone(), era, offset });
                (value, has_ended.then_some(self.config.stub_ttl), listing, listed)
            }
            Entity::Channel(channel) => {
                let snapshot = ChannelSnapshot { state: channel.state().clone(), era, offset };
                let ttl = channel.needed_until().map(|it| it.since(now) + CHANNEL_ROW_SPARE);
                (self.codec.encode_channel_snapshot(&snapshot), ttl, None, Listed::default())
            }
            Entity::Schedule(schedule) => {
                let snapshot = ScheduleSnapshot { state: schedule.state()?.clone(), era, offset };
                (self.codec.encode_schedule_snapshot(&snapshot), None, None, Listed::default())
            }
        };
        let (instance, stamp) = (id.clone(), self.stamp(offset));
        Some((SnapshotWrite { instance, stamp, value: value.into(), ttl, listing }, listed))
    }

    pub(crate) fn flushed(&mut self, id: FlushId, now: Timestamp, out: &mut Vec<Output>) {
        let Some(done) = self.write_behind.in_flight.take_if(|it| it.id == id) else { return };
        for timer in &done.timers {
            self.timers.indexed(timer);
        }
        for instance in done.parked {
            self.quarantine.written(&instance);
            self.dirty.flushed(&instance, now);
        }
        let needed = needed(self.open.as_ref(), self.batch.as_ref(), &self.inbox);
        for (instance, listed) in done.snapshots {
            self.cache.set_listed(&instance, listed);
            self.quarantine.written(&instance);
            self.dirty.flushed(&instance, now);
            let is_at_rest = self.cache.get(&instance).is_some_and(|it| it.entity.is_at_rest());
            if self.dirty.contains(&instance) {
                continue;
            }
            if is_at_rest && !needed.contains(&instance) {
                self.cache.forget(&instance);
            } else {
                self.cache.cleaned(&instance);
            }
        }
        self.write_behind.written(&done.history);
        if matches!(self.phase, Phase::Active | Phase::Draining) {
            self.save_checkpoint(now, out);
        }
    }

    /// Everything before the checkpoint's offset is in the store. Its own offset is its stamp: of two rows, whoever wrote them, the one
    /// that allows the shorter restore stays. Rows with one offset may differ in the rest, but each is true (state protocol 2.7, I4).
    fn save_checkpoint(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.write_behind.wants_checkpoint = false;
        let offset = self
            .dirty
            .first_offset()
            .into_iter()
            .chain(self.write_behind.first_offset())
            .chain([self.changelog_end])
            .min()
            .expect("one is given");
        let (timers_low_watermark, timers_from) = match self.timers_low_watermark() {
            TimerCursor::Before(due) => (due, None),
            TimerCursor::At(it) => (it.due, Some(TimerPlace { instance: it.instance, timer: it.timer })),
            // The greatest number has no next one: it is looked at again.
            TimerCursor::After(it) => {
                let timer = TimerId(it.timer.0.saturating_add(1));
                (it.due, Some(TimerPlace { instance: it.instance, timer }))
            }
        };
        let checkpoint = Checkpoint {
            era: self.era,
            era_base: self.era_base,
            changelog_offset: offset,
            positions: Positions { sources: self.records.source_positions(&self.positions) },
            timers_low_watermark,
            api_url: None,
            at: now,
            key_groups: Vec::new(),
            released: Vec::new(),
            hot_keys: self.hot_keys.top(),
            timers_from,
            newest_id: Some(self.newcomers.newest()),
        };
        self.write_behind.checkpoint_offset = offset;
        self.write_behind.checkpoint_at = Some(now);
        self.tail_meter.drop_below(offset);
        self.schedule_trimming(now);
        out.push(Output::SaveCheckpoint {
            stamp: self.stamp(offset),
            value: self.codec.encode_checkpoint(&checkpoint).into(),
        });
    }
}

fn row(timer: &TimerEntry) -> TimerRow {
    TimerRow {
        bucket: TimerBucket::of(key_group(timer.instance.as_str().as_bytes())),
        due: timer.due,
        instance: timer.instance.clone(),
        timer: timer.timer,
    }
}
