//! What takes time: reads of the log and the store, and writes that wait for their answers. What `runtime`'s effects do.

use std::collections::{BTreeMap, BTreeSet};

use millrace_partition::{InboundRecord, Input, Located, Source, TimerCursor, TimerSlice};
use millrace_placement::{PartitionIndex, TimerBucket, home, key_group};
use millrace_schemas::{Offset, Stamp, Timestamp};
use rand::RngExt;

use super::{World, place};
use crate::fleet::broker::Place;
use crate::fleet::mutant::Mutant;
use crate::fleet::node::{Acquiring, Effect, Incarnation};

impl World {
    /// Whether a step of the effect would change anything.
    pub(super) fn can_progress(&mut self, number: usize, index: usize, effect: u64) -> bool {
        let store_answers = self.store_answers();
        match &self.nodes[number].owned[&index].effects[&effect] {
            Effect::Acquire(Acquiring::StableOffset { early_end }) => {
                let is_early = early_end.is_none() && self.has(Mutant::EndBeforeStableOffset);
                is_early
                    || self.has(Mutant::UnstableOffsetFetch)
                    || self.broker.group.stable_offset(index).is_ok()
            }
            Effect::Acquire(Acquiring::Checkpoint { .. }) => store_answers,
            Effect::AcquireAgain { until } => *until <= self.now,
            Effect::ReadChangelog { position, .. } => {
                let position = *position;
                let log = self.broker.log(&Place::Changelog(index));
                log.stable() > position || position < log.start()
            }
            Effect::LoadSnapshots { ids, until, .. } => {
                store_answers && (!ids.is_empty() || *until <= self.now || !self.faults_are_on)
            }
            Effect::LoadTimers(_) | Effect::ReadCheckpoint => store_answers,
            // They go on when their writes are answered.
            Effect::Flush { waiting, .. } => waiting.is_empty(),
            Effect::Save { waiting } => waiting.is_empty(),
            Effect::Acquire(Acquiring::Bounds { .. })
            | Effect::Follow(_)
            | Effect::Locate(_)
            | Effect::TrimChangelog(_)
            | Effect::Answer(_) => true,
        }
    }

    pub(super) fn progress(&mut self, number: usize, index: usize, id: u64) {
        let Some(owned) = self.nodes[number].owned.get_mut(&index) else { return };
        let Some(effect) = owned.effects.remove(&id) else { return };
        let incarnation = owned.incarnation.clone();
        if let Some(rest) = self.advance_effect(number, &incarnation, effect)
            && let Some(owned) = self.nodes[number].owned(&incarnation)
        {
            owned.effects.insert(id, rest);
        }
    }

    fn advance_effect(&mut self, number: usize, incarnation: &Incarnation, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Acquire(acquiring) => return self.advance_acquiring(number, incarnation, acquiring),
            Effect::AcquireAgain { .. } => self.renew(number, incarnation),
            Effect::ReadChangelog { position, until, bytes_left } => {
                return self.read_changelog(number, incarnation, position, until, bytes_left);
            }
            Effect::Follow(sources) => self.follow(number, incarnation, sources),
            Effect::Locate(source) => {
                let log = self.broker.log(&place(&source));
                let located = Located { start: log.start(), end: log.end(), since: None, source };
                return Some(Effect::Answer(Box::new(Input::Located(located))));
            }
            // The answer travels: what was read may be old when it arrives.
            Effect::LoadSnapshots { ids, rows, .. } if ids.is_empty() => {
                self.input(number, incarnation, Input::SnapshotsLoaded(rows));
            }
            Effect::LoadSnapshots { mut ids, mut rows, until } => {
                let choice = self.dice.network.random_range(0..ids.len());
                let id = ids.swap_remove(choice);
                let mut row = self.store.snapshots.get(&id).cloned();
                if let Some(row) = row.as_mut().filter(|_| self.mutant == Some(Mutant::NoOffsetGuard)) {
                    row.stamp = Stamp(0);
                }
                rows.push((id, Ok(row)));
                return Some(Effect::LoadSnapshots { ids, rows, until });
            }
            Effect::LoadTimers(slice) => return Some(self.load_timers(incarnation, slice)),
            Effect::ReadCheckpoint => {
                let row = self.store.checkpoints.get(&incarnation.index).map(|it| it.1.clone());
                let own = self.nodes[number].owned(incarnation).and_then(|it| it.checkpoint.clone());
                let row = if self.has(Mutant::TrimToOwnCheckpoint) { own } else { row };
                let checkpoint = row.map(|it| self.codec.decode_checkpoint(&it).expect("we wrote it"));
                self.input(number, incarnation, Input::CheckpointRead(checkpoint));
            }
            Effect::TrimChangelog(before) => {
                self.broker.log(&Place::Changelog(incarnation.index)).trim(before)
            }
            Effect::Flush { id, request, .. } => {
                if let Some(owned) = self.nodes[number].owned(incarnation) {
                    for snapshot in &request.snapshots {
                        let offset = snapshot.stamp.offset(Offset(0));
                        if owned.last_dirty.get(&snapshot.instance).is_some_and(|it| *it <= offset) {
                            owned.last_dirty.remove(&snapshot.instance);
                        }
                    }
                }
                self.input(number, incarnation, Input::Flushed(id));
            }
            Effect::Save { .. } => {}
            Effect::Answer(input) => self.input(number, incarnation, *input),
        }
        None
    }

    fn follow(&mut self, number: usize, incarnation: &Incarnation, sources: Vec<(Source, Offset)>) {
        let outlive = self.has(Mutant::RecordsOutliveIncarnation);
        let handled = self.handled.clone();
        let forgets = self.has(Mutant::TopicPositionsNotKept);
        let ends: BTreeMap<Source, Offset> = sources
            .iter()
            .filter(|(source, offset)| forgets && is_topic(source) && *offset > Offset(0))
            .map(|(source, _)| (source.clone(), self.broker.log(&place(source)).end()))
            .collect();
        let node = &mut self.nodes[number];
        let follower = node.follower.clone();
        let Some(owned) = node.owned(incarnation) else { return };
        for (source, offset) in sources {
            let old = follower.get(&source).filter(|_| outlive).copied();
            let elsewhere = [old, handled.get(&source).copied(), ends.get(&source).copied()];
            let from = elsewhere.into_iter().flatten().max().map_or(offset, |it| it.max(offset));
            owned.reads.insert(source, from);
        }
    }

    /// The page is read now, and its answer under way.
    fn load_timers(&mut self, incarnation: &Incarnation, slice: TimerSlice) -> Effect {
        let index = PartitionIndex(u32::try_from(incarnation.index).expect("few"));
        let partitions = self.config.partitions;
        let buckets: BTreeSet<TimerBucket> = TimerBucket::owned_by(index, partitions).collect();
        let mut page = self.store.timers(&buckets, &slice);
        if self.has(Mutant::TimerReadIsStale) {
            page.timers.retain(|it| self.store.timers_before.iter().any(|old| old.1 == *it));
            self.store.timers_before = self.store.timers.clone();
        }
        if let TimerCursor::After(last) = &page.next {
            match self.mutant {
                Some(Mutant::TimerPageDropsLast) => {
                    page.timers.pop();
                }
                Some(Mutant::TimerCursorSkipsEqual) => {
                    page.next =
                        TimerCursor::Before(Timestamp(last.due.0 + 1)).min(TimerCursor::Before(slice.until));
                }
                _ => {}
            }
        }
        page.timers.retain(|it| home(key_group(it.instance.as_str().as_bytes()), partitions) == index);
        Effect::Answer(Box::new(Input::TimersLoaded { from: slice.from, page }))
    }

    /// Records of one source, as far as they are stable.
    pub(super) fn fetch(&mut self, number: usize, index: usize, source: Source) {
        let max = self.dice.network.random_range(1..=5);
        let Some(owned) = self.nodes[number].owned.get_mut(&index) else { return };
        let Some(position) = owned.reads.get(&source).copied() else { return };
        let incarnation = owned.incarnation.clone();
        let Some((records, next)) = self.broker.log(&place(&source)).fetch(position, max) else { return };
        let records: Vec<InboundRecord> = records
            .into_iter()
            .map(|(offset, record)| InboundRecord {
                source: source.clone(),
                offset,
                timestamp: Timestamp(record.at),
                key: record.key.clone(),
                headers: record.headers.clone(),
                value: record.value.clone(),
            })
            .collect();
        owned.reads.insert(source.clone(), next);
        self.nodes[number].follower.insert(source, next);
        if !records.is_empty() {
            self.input(number, &incarnation, Input::Records(records));
        }
    }

    /// A write arrives, and its answer with it.
    pub(super) fn store_delivers(&mut self) {
        let choice = self.dice.network.random_range(0..1_000_000);
        if let Some(token) = self.store.deliver(choice) {
            self.answered(token);
        }
    }

    fn answered(&mut self, token: crate::fleet::store::Token) {
        let Some((number, incarnation, effect)) = self.senders.remove(&token) else { return };
        let Some(owned) = self.nodes[number].owned(&incarnation) else { return };
        if let Some(Effect::Flush { waiting, .. } | Effect::Save { waiting }) = owned.effects.get_mut(&effect)
        {
            waiting.remove(&token);
        }
    }

    /// A write is not answered in time: it is tried again, while the first try is lost, or late.
    pub(super) fn store_times_out(&mut self) {
        let waited: Vec<usize> =
            (0..self.store.network.len()).filter(|it| self.store.network[*it].token.is_some()).collect();
        let choice = waited[self.dice.faults.random_range(0..waited.len())];
        let token = self.store.network[choice].token.take().expect("filtered");
        if self.happens(self.swarm.weights.store_loses) {
            self.store.network.swap_remove(choice);
        }
        if self.has(Mutant::TimedOutWriteCounts) {
            return self.answered(token);
        }
        let Some((number, incarnation, effect)) = self.senders.get(&token).cloned() else { return };
        let Some(owned) = self.nodes[number].owned(&incarnation) else { return };
        if let Some(Effect::Flush { waiting, .. } | Effect::Save { waiting }) = owned.effects.get(&effect)
            && let Some(write) = waiting.get(&token)
        {
            let write = write.clone();
            self.store.send(write, Some(token));
        }
    }
}

fn is_topic(source: &Source) -> bool {
    matches!(source, Source::Topic(..))
}
