//! From `Acquired` to `Ready`: reading the tail, then the claim (state protocol 2.3).

use std::time::Duration;

use bytes::Bytes;
use millrace_engine::{Entity, EntityEntry, Instance, Moment};
use millrace_schemas::codec;
use millrace_schemas::codec::DecodeError;
use millrace_schemas::partition::{Checkpoint, Claim, TimerPlace};
use millrace_schemas::snapshot::SnapshotRecord;
use millrace_schemas::{InstanceId, Offset, Payload, Timestamp};

use crate::cache::Listed;
use crate::history::Retention;
use crate::hot_keys::HotKeys;
use crate::input::{ChangelogRecord, LoadedRow, SnapshotRow};
use crate::newcomers::Newcomers;
use crate::open::Open;
use crate::output::{HistoryRow, Observation, Output};
use crate::partition::{Partition, Phase, Programs};
use crate::records::timer_of;
use crate::restore::{Restore, TailEntry};
use crate::timer_index::{TimerCursor, TimerEntry};
use crate::timers::Timers;
use crate::trimming::Trimming;

/// Clocks of processors differ by less (state protocol 4.3).
const CLOCK_ERROR: Duration = Duration::from_millis(500);

impl Partition {
    pub(crate) fn acquire(
        &mut self,
        checkpoint: Option<Checkpoint>,
        (changelog_start, changelog_end): (Offset, Offset),
        internal_offset: Option<Offset>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let from = checkpoint.as_ref().map_or(Offset(0), |it| it.changelog_offset);
        if from < changelog_start {
            // Never skip ahead: events between the two are in no snapshot.
            return self.fail(
                format!(
                    "the checkpoint of partition {index} says that the changelog is needed from offset {from} (0: there is no \
                     checkpoint), but it begins at {changelog_start}: records were deleted that may be in no snapshot. Restore the \
                     changelog or the checkpoint row from a backup, or accept the loss: millrace era open --partition {index}",
                    index = self.index.0,
                    from = from.0,
                    changelog_start = changelog_start.0,
                ),
                out,
            );
        }
        if from > changelog_end {
            return self.fail(
                format!(
                    "the checkpoint of partition {index} stands at offset {from}, but the changelog ends at {changelog_end}: it was \
                     truncated or made anew. Restore it, or accept the snapshots as they are: millrace era open --partition {index}",
                    index = self.index.0,
                    from = from.0,
                    changelog_end = changelog_end.0,
                ),
                out,
            );
        }
        if checkpoint.as_ref().is_some_and(|it| !it.key_groups.is_empty() || !it.released.is_empty()) {
            return self.fail(
                format!(
                    "the checkpoint of partition {} was written by a newer release that repartitions: upgrade this processor",
                    self.index.0
                ),
                out,
            );
        }
        if let Some(checkpoint) = &checkpoint {
            self.era = checkpoint.era;
            self.era_base = checkpoint.era_base;
            self.write_behind.checkpoint_offset = checkpoint.changelog_offset;
            self.write_behind.checkpoint_at = Some(checkpoint.at);
            self.hot_keys_before.clone_from(&checkpoint.hot_keys);
            self.hot_keys = HotKeys::after(&checkpoint.hot_keys);
        }
        let newest_id = |it: &Checkpoint| it.newest_id.unwrap_or_else(|| Newcomers::assumed(None, now));
        self.newcomers = Newcomers::begin(checkpoint.as_ref().map(newest_id), now);
        // Without a checkpoint the whole log is the tail, and every pending timer is found there.
        let low_watermark = checkpoint.as_ref().map_or(now, |it| it.timers_low_watermark);
        let place = checkpoint.as_ref().and_then(|it| it.timers_from.clone());
        let timers_from = match place {
            None => TimerCursor::Before(low_watermark),
            Some(TimerPlace { instance, timer }) => {
                TimerCursor::At(TimerEntry { due: low_watermark, instance, timer })
            }
        };
        self.timers = Timers::new(timers_from, &self.config);
        self.changelog_end = changelog_end;
        self.trimming = Trimming::from(changelog_start, low_watermark);
        self.phase = Phase::Restoring(Box::new(Restore {
            newest_at: checkpoint.as_ref().map_or(Timestamp(0), |it| it.at),
            checkpoint,
            internal_offset,
            until: changelog_end,
            backlog: std::collections::VecDeque::new(),
            is_read: from >= changelog_end,
            paused_at: None,
            is_spilling: false,
        }));
        if from < changelog_end {
            out.push(self.read_on(from, changelog_end));
        }
    }

    pub(crate) fn changelog_records(
        &mut self,
        records: Vec<ChangelogRecord>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let Phase::Restoring(restore) = &mut self.phase else { return };
        let was_waiting = !restore.backlog.is_empty();
        restore.backlog.extend(records);
        if !was_waiting {
            self.read_backlog(now, out);
        }
    }

    /// Takes records in until one needs a schema that has to be fetched.
    pub(crate) fn read_backlog(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        loop {
            let Phase::Restoring(restore) = &mut self.phase else { return };
            let Some(record) = restore.backlog.pop_front() else { return };
            if record.offset >= restore.until {
                continue;
            }
            match self.codec.decode_changelog(&record.value) {
                Ok(codec::ChangelogRecord::Positions(positions)) => {
                    self.tail.positions = Some(positions.sources)
                }
                Ok(codec::ChangelogRecord::Claim(claim)) if claim.key_groups.is_empty() => {
                    restore.newest_at = restore.newest_at.max(claim.at);
                    let (era, base) = (claim.era, claim.era_base);
                    // Without a checkpoint, the first record of the log tells its era.
                    if restore.checkpoint.is_none() && self.tail_meter.entries() == 0 && base == Offset(0) {
                        (self.era, self.era_base) = (era, base);
                    }
                    if (self.era, self.era_base) != (era, base) {
                        let (index, offset) = (self.index.0, record.offset.0);
                        return self.fail(format!("changelog record {offset} of partition {index} begins era {era} at {base}, but the checkpoint is of era {checkpoint}: the store was restored from a backup that is older than the era, or a processor served the partition while the era was opened. Decide: millrace era open --partition {index}", base = base.0, checkpoint = self.era), out);
                    }
                }
                Ok(codec::ChangelogRecord::Entry(entry)) => {
                    if !self.take_entry(record, EntityEntry::Instance(entry), out) {
                        return;
                    }
                }
                Ok(codec::ChangelogRecord::Channel(entry)) => {
                    if !self.take_entry(record, EntityEntry::Channel(entry), out) {
                        return;
                    }
                }
                Ok(codec::ChangelogRecord::Schedule(entry)) => {
                    if !self.take_entry(record, EntityEntry::Schedule(entry), out) {
                        return;
                    }
                }
                Ok(
                    codec::ChangelogRecord::Claim(_)
                    | codec::ChangelogRecord::Adopted(_)
                    | codec::ChangelogRecord::Released(_)
                    | codec::ChangelogRecord::Installed(_),
                ) => {
                    // Key-groups have moved: going on would decide for keys that are not ours, or stamp them with an old era.
                    let offset = record.offset.0;
                    return self.fail(format!("changelog record {offset} of partition {} was written by a newer release that repartitions: upgrade this processor", self.index.0), out);
                }
                Err(DecodeError::UnknownSchemaId(id)) => {
                    restore.backlog.push_front(record);
                    out.push(Output::LoadSchema(id));
                    return;
                }
                Err(error) => match instance_id(&record) {
                    // Of one instance alone: it is parked when it is rebuilt.
                    Some(id) => {
                        let reason = format!("changelog record {} cannot be read: {error}", record.offset.0);
                        self.take_tail_entry(id, record, Err(reason), now);
                    }
                    None => {
                        let offset = record.offset.0;
                        return self.fail(format!("changelog record {offset} of partition {} cannot be read: {error}; it may be of a newer release: upgrade this processor", self.index.0), out);
                    }
                },
            }
        }
    }

    /// False when the partition cannot go on.
    fn take_entry(&mut self, record: ChangelogRecord, entry: EntityEntry, out: &mut Vec<Output>) -> bool {
        let Some(id) = instance_id(&record) else {
            let offset = record.offset.0;
            self.fail(format!("changelog record {offset} of partition {} has no instance id as its key: another program writes this topic; stop it", self.index.0), out);
            return false;
        };
        let at = entry.at();
        if let Phase::Restoring(restore) = &mut self.phase {
            restore.newest_at = restore.newest_at.max(at);
        }
        self.take_tail_entry(id, record, Ok(entry), at);
        true
    }

    fn take_tail_entry(
        &mut self,
        id: InstanceId,
        record: ChangelogRecord,
        entry: Result<EntityEntry, String>,
        at: Timestamp,
    ) {
        let ChangelogRecord { offset, value, .. } = record;
        let cause = match &entry {
            Ok(EntityEntry::Instance(entry)) => Some(&entry.cause),
            Ok(EntityEntry::Schedule(entry)) => Some(&entry.cause),
            Ok(EntityEntry::Channel(_)) | Err(_) => None,
        };
        if let Some(timer) = cause.and_then(|it| timer_of(it, &id)) {
            self.timers.fired(timer);
        }
        // What an earlier portion has left in memory is behind now.
        self.cache.forget(&id);
        self.dirty_in_memory = false;
        self.quarantine.forget(&id);
        self.newcomers.restored(&id);
        self.dirty.mark(&id, offset, at);
        self.tail_meter.add(Offset(offset.0 + 1), 1, value.len());
        self.tail.push(id, TailEntry { offset, value, entry });
    }

    /// Once the tail is read: sets the positions and commits the claim.
    pub(crate) fn finish_restore(&mut self, moment: Moment, out: &mut Vec<Output>) {
        let Phase::Restoring(restore) = &mut self.phase else { return };
        if !restore.is_read || !restore.backlog.is_empty() {
            return;
        }
        let known = self
            .tail
            .positions
            .as_ref()
            .or_else(|| restore.checkpoint.as_ref().map(|it| &it.positions.sources))
            .cloned()
            .unwrap_or_default();
        let internal_offset = restore.internal_offset;
        if restore.newest_at > moment.at.plus(CLOCK_ERROR) {
            let by = restore.newest_at.0 - moment.at.0;
            let by = Duration::from_millis(u64::try_from(by).unwrap_or(0));
            out.push(Output::Observe(Observation::ClockBehind { by }));
        }
        let own = self.own_source();
        // The log is the truth: what it says was committed with what the records have caused. The group's offset was, too, but it may
        // have been reset, and after an `era open` it is ahead of the log.
        self.positions = self
            .config
            .sources(self.index)
            .map(|source| {
                let told = self.records.position_of(&source, &known);
                let group = internal_offset.filter(|_| source == own);
                (source, told.or(group).unwrap_or_default())
            })
            .collect();
        // Those of topics stand there from when they were first read.
        self.positions.extend(self.records.topic_positions(&known));
        self.phase = Phase::Claiming;
        self.claim(moment.at, out);
    }

    pub(crate) fn claim(&mut self, at: Timestamp, out: &mut Vec<Output>) {
        let claim = Claim {
            incarnation: self.owner.incarnation.clone(),
            transactional_id: self.owner.transactional_id.clone(),
            api_url: self.config.api_url.clone(),
            at,
            era: self.era,
            era_base: self.era_base,
            key_groups: Vec::new(),
        };
        let mut open = Open::begin(self.next_transaction(), self.positions.clone(), at);
        open.work.is_claim = true;
        open.work.changelog.push(None);
        let claim = vec![self.records.claim(&claim)];
        out.push(Output::Append(self.share(&open, claim, Vec::new(), Vec::new())));
        self.open = Some(open);
    }

    pub(crate) fn claimed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.open_tasks.begin(now);
        self.phase = Phase::Active;
        let own = self.config.sources(self.index).map(|it| (it.clone(), self.positions[&it]));
        out.push(Output::Follow(own.collect()));
        out.push(Output::Ready);
        self.prefetch(out);
        out.push(Output::SaveOwner {
            stamp: self.stamp(Offset(self.changelog_end.0 - 1)),
            api_url: self.config.api_url.clone(),
        });
        self.write_behind.wants_checkpoint = true;
    }

    /// What was busy before is loaded before it is asked for.
    fn prefetch(&mut self, out: &mut Vec<Output>) {
        let Self { hot_keys_before, cache, loading, .. } = self;
        let mut ids = std::mem::take(hot_keys_before);
        ids.retain(|id| !cache.contains(id) && loading.insert(id.clone()));
        if !ids.is_empty() {
            out.push(Output::LoadSnapshots(ids));
        }
    }

    /// Rows of the snapshot table: an instance is its row plus its events in the tail that are not in the row.
    pub(crate) fn snapshots_loaded(
        &mut self,
        rows: Vec<(InstanceId, LoadedRow)>,
        now: Timestamp,
        programs: &impl Programs,
        out: &mut Vec<Output>,
    ) {
        self.write_behind.waits_for_loads = false;
        self.write_behind.rests_until = None;
        for (id, row) in rows {
            self.loading.remove(&id);
            if !self.cache.contains(&id) && !self.quarantine.contains(&id) {
                match row {
                    Ok(row) => self.rebuild(&id, row, now, programs, out),
                    // What the tail has of it stays there, and dirty: nothing may be written over a row that a backup could mend.
                    Err(detail) => self.quarantine(id.clone(), detail, out),
                }
            }
            if let Some(batch) = &mut self.batch {
                batch.missing.snapshots.remove(&id);
            }
        }
    }

    fn rebuild(
        &mut self,
        id: &InstanceId,
        row: Option<SnapshotRow>,
        now: Timestamp,
        programs: &impl Programs,
        out: &mut Vec<Output>,
    ) {
        let tail = self.tail.take(id);
        let row_stamp = row.as_ref().map(|it| it.stamp);
        if let Some(stamp) = row_stamp.filter(|it| *it >= self.stamp(self.changelog_end)) {
            let detail = format!(
                "its snapshot is stamped {}, beyond the end of the changelog at {}: the changelog was truncated or made anew",
                stamp.0, self.changelog_end.0
            );
            self.tell(id, &tail, Some(self.config.history_retention), now);
            // Nothing that could be written would win over its row.
            self.dirty.forget(id);
            return self.quarantine(id.clone(), detail, out);
        }
        // The row may be ahead of the checkpoint: what it holds is not applied again.
        let is_new = |it: &TailEntry| row_stamp.is_none_or(|stamp| self.stamp(it.offset) > stamp);
        let first_new = tail.iter().position(is_new).unwrap_or(tail.len());
        match self.fold(id, row.as_ref().map(|it| &it.value), &tail[first_new..]) {
            Ok(Folded { entity, parked_at, indexed }) => {
                // Whether the list shows what the row has is not known, but the index has nothing else.
                let listed = Listed { status: None, attributes: indexed };
                if let (Some(offset), true) = (parked_at, tail.is_empty()) {
                    self.unparked(entity, offset, now);
                    return self.cache.set_listed(id, listed);
                }
                let state = entity.as_instance().and_then(Instance::state);
                let retention = state.map(|it| Retention::of(&it.workflow, programs, &self.config));
                self.tell(id, &tail, retention.and_then(|it| it.history), now);
                // The row may even be ahead of the whole tail, as far as it was read.
                let ahead =
                    row_stamp.filter(|it| tail.last().is_some_and(|last| *it > self.stamp(last.offset)));
                let last_offset = match ahead {
                    Some(stamp) => Some(stamp.offset(self.era_base)),
                    None => tail.last().map(|it| it.offset),
                };
                if last_offset.is_some() {
                    self.timers.restored(&entity);
                }
                self.newcomers.read(id);
                self.cache.put(entity, last_offset, last_offset.is_some(), now);
                self.cache.set_listed(id, listed);
            }
            Err(detail) => {
                self.tell(id, &tail, Some(self.config.history_retention), now);
                let new: Vec<TailEntry> = tail.into_iter().skip(first_new).collect();
                if new.is_empty() {
                    self.dirty.forget(id);
                }
                self.park(id, detail, row.map(|it| it.value), new, out);
            }
        }
    }

    /// A row, with what comes after it.
    fn fold(&self, id: &InstanceId, row: Option<&Bytes>, tail: &[TailEntry]) -> Result<Folded, String> {
        let (mut entity, parked_at, indexed) = match row.map(|it| self.codec.decode_snapshot_record(it)) {
            None => (Entity::absent(id.clone()), None, None),
            Some(Ok(SnapshotRecord::Snapshot(snapshot))) => {
                let indexed = snapshot.state.attributes.clone();
                (Entity::of_snapshot(id.clone(), *snapshot), None, indexed)
            }
            Some(Ok(SnapshotRecord::Channel(snapshot))) => {
                (Entity::of_channel_snapshot(id.clone(), *snapshot), None, None)
            }
            Some(Ok(SnapshotRecord::Parked(parked))) => {
                let (entity, indexed) = self.unpark(id, &parked)?;
                (entity, Some(parked.offset), indexed)
            }
            Some(Ok(SnapshotRecord::Schedule(snapshot))) => {
                (Entity::of_schedule_snapshot(id.clone(), *snapshot), None, None)
            }
            Some(Err(error)) => return Err(format!("its snapshot cannot be read: {error}")),
        };
        for it in tail {
            let entry = it.entry.as_ref().map_err(Clone::clone)?;
            entity.apply_entry(entry).map_err(|it| it.to_string())?;
        }
        Ok(Folded { entity, parked_at, indexed })
    }

    /// What of the tail goes into the history.
    fn tell(
        &mut self,
        id: &InstanceId,
        tail: &[TailEntry],
        history: Option<Option<Duration>>,
        now: Timestamp,
    ) {
        let Some(ttl) = history else { return };
        for it in tail {
            self.push_history(id, it.offset, it.value.clone(), ttl, now);
        }
    }

    pub(crate) fn push_history(
        &mut self,
        id: &InstanceId,
        offset: Offset,
        entry: Bytes,
        ttl: Option<Duration>,
        now: Timestamp,
    ) {
        let row = HistoryRow { instance: id.clone(), stamp: self.stamp(offset), entry, ttl };
        self.write_behind.push_history(row, offset, now);
    }

    pub(crate) fn fail(&mut self, detail: String, out: &mut Vec<Output>) {
        self.phase = Phase::Ended;
        out.push(Output::Fail { detail });
    }
}

/// An entity that was rebuilt.
struct Folded {
    entity: Entity,
    /// Where its row ended, if it was one of a parked instance.
    parked_at: Option<Offset>,
    /// The attributes of its row: what the index has of it.
    indexed: Option<Payload>,
}

fn instance_id(record: &ChangelogRecord) -> Option<InstanceId> {
    let key = record.key.as_ref()?;
    InstanceId::new(std::str::from_utf8(key).ok()?).ok()
}
