//! What a partition wants done: what `runtime`'s lane does with outputs.

use millrace_engine::Entity;
use millrace_partition::{FlushRequest, Output, Transaction};
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::snapshot::SnapshotRecord;
use millrace_schemas::{Offset, Stamp, Timestamp};
use rand::RngExt;

use super::World;
use crate::fleet::mutant::Mutant;
use crate::fleet::node::{Effect, Incarnation, Share};
use crate::fleet::store::{Token, Write};

/// Failed restores without faults, after which there is no hope.
const FAILURES_MAX: u32 = 10;

impl World {
    pub(super) fn perform(&mut self, number: usize, incarnation: &Incarnation, output: Output) {
        match output {
            Output::Append(transaction) | Output::Commit(transaction) => {
                self.hand_over(number, incarnation, transaction);
            }
            Output::ReadChangelog { from, until, bytes_max } => {
                let effect = Effect::ReadChangelog { position: from, until, bytes_left: bytes_max };
                self.begin(number, incarnation, effect);
            }
            Output::Follow(sources) => self.begin(number, incarnation, Effect::Follow(sources)),
            Output::Unfollow(sources) => {
                if let Some(owned) = self.nodes[number].owned(incarnation) {
                    owned.reads.retain(|it, _| !sources.contains(it));
                }
            }
            Output::Locate(asked) => {
                for it in asked {
                    self.begin(number, incarnation, Effect::Locate(it.source));
                }
            }
            Output::LoadSnapshots(ids) => {
                let is_slow = self.happens(self.swarm.weights.store_timeout);
                let until = if is_slow { self.now + self.dice.faults.random_range(1..20_000) } else { 0 };
                self.begin(number, incarnation, Effect::LoadSnapshots { ids, rows: Vec::new(), until });
            }
            Output::CatchUpDefinitions => {
                let answer = Box::new(millrace_partition::Input::DefinitionsCaughtUp);
                self.begin(number, incarnation, Effect::Answer(answer));
            }
            Output::Flush(request) => self.flush(number, incarnation, request),
            Output::SaveCheckpoint { stamp, value } => {
                self.save_checkpoint(number, incarnation, stamp, value);
            }
            Output::SaveOwner { stamp, api_url } => {
                self.save(number, incarnation, Write::Owner { partition: incarnation.index, stamp, api_url });
            }
            Output::ReadCheckpoint => self.begin(number, incarnation, Effect::ReadCheckpoint),
            Output::TrimChangelog { before, .. } => {
                self.begin(number, incarnation, Effect::TrimChangelog(before));
            }
            Output::LoadTimers(slice) => self.begin(number, incarnation, Effect::LoadTimers(slice)),
            Output::Pause => self.set_paused(number, incarnation, true),
            Output::Resume => self.set_paused(number, incarnation, false),
            Output::Drained => {
                if let Some(owned) = self.nodes[number].owned(incarnation) {
                    owned.is_drained = true;
                }
            }
            Output::Fail { detail } => self.fail(number, incarnation, &detail),
            Output::LoadSchema(id) => self.violate(Err(format!("nobody writes records of a schema {id}"))),
            // What stays in the index too long does no harm.
            Output::DropTimers { .. } => {}
            Output::Observe(_) | Output::Ready | Output::Answer { .. } | Output::AnswerSchedule { .. } => {}
        }
    }

    fn begin(&mut self, number: usize, incarnation: &Incarnation, effect: Effect) {
        let id = self.number();
        if let Some(owned) = self.nodes[number].owned(incarnation) {
            owned.effects.insert(id, effect);
        }
    }

    /// The shell tries again after a while: a zombie may fail where its successor does not.
    fn fail(&mut self, number: usize, incarnation: &Incarnation, detail: &str) {
        if !self.faults_are_on {
            self.failures += 1;
            if self.failures > FAILURES_MAX {
                self.violate(Err(format!("a partition cannot be restored: {detail}")));
            }
        }
        let until = self.now + 1_000;
        self.begin(number, incarnation, Effect::AcquireAgain { until });
    }

    fn set_paused(&mut self, number: usize, incarnation: &Incarnation, is_paused: bool) {
        if let Some(owned) = self.nodes[number].owned(incarnation) {
            owned.is_paused = is_paused;
        }
    }

    fn hand_over(&mut self, number: usize, incarnation: &Incarnation, transaction: Transaction) {
        check_causes(&transaction, &self.config.topics.internal());
        let lanes = self.nodes[number].lanes.len();
        let share = Share { incarnation: incarnation.clone(), transaction, offsets: Vec::new() };
        self.nodes[number].lanes[incarnation.index % lanes].ready.push(share);
    }

    fn flush(&mut self, number: usize, incarnation: &Incarnation, request: FlushRequest) {
        let mut writes: Vec<Write> = Vec::new();
        for snapshot in &request.snapshots {
            let decoded =
                self.codec.decode_snapshot_record(&snapshot.value).expect("the partition encoded it");
            match decoded {
                SnapshotRecord::Snapshot(decoded) => {
                    let entity = Entity::of_snapshot(snapshot.instance.clone(), *decoded);
                    self.truth.expect_snapshot(snapshot.stamp, entity);
                }
                SnapshotRecord::Channel(decoded) => {
                    let entity = Entity::of_channel_snapshot(snapshot.instance.clone(), *decoded);
                    self.truth.expect_snapshot(snapshot.stamp, entity);
                }
                SnapshotRecord::Schedule(decoded) => {
                    let entity = Entity::of_schedule_snapshot(snapshot.instance.clone(), *decoded);
                    self.truth.expect_snapshot(snapshot.stamp, entity);
                }
                // Log and code never disagree, unless a mutant has put them apart.
                SnapshotRecord::Parked(parked) => {
                    self.violate(Err(format!("{} was set aside: {}", snapshot.instance, parked.reason)));
                }
            }
            let is_left_out = snapshot.instance.is_channel() && self.has(Mutant::ChannelsNotWritten)
                || snapshot.instance.is_schedule() && self.has(Mutant::SchedulesNotWritten);
            if is_left_out {
                continue;
            }
            writes.push(Write::Snapshot(snapshot.clone()));
        }
        let timers = request.timers.iter().cloned().map(Write::Timer);
        if self.has(Mutant::TimersIndexedLate)
            && let Some(owned) = self.nodes[number].owned(incarnation)
        {
            writes.extend(std::mem::replace(&mut owned.late_timers, timers.collect()));
        } else if !self.has(Mutant::TimersNotIndexed) {
            writes.extend(timers);
        }
        if !self.has(Mutant::HistoryNotWritten) {
            writes.extend(request.history.iter().cloned().map(Write::History));
        }
        let id = request.id;
        let request = Box::new(request);
        self.send(number, incarnation, writes, |waiting| Effect::Flush { id, request, waiting });
    }

    fn save(&mut self, number: usize, incarnation: &Incarnation, write: Write) {
        self.send(number, incarnation, vec![write], |waiting| Effect::Save { waiting });
    }

    /// Writes go out side by side, and arrive in any order.
    fn send(
        &mut self,
        number: usize,
        incarnation: &Incarnation,
        writes: Vec<Write>,
        effect: impl FnOnce(std::collections::BTreeMap<Token, Write>) -> Effect,
    ) {
        let id = self.number();
        let mut waiting = std::collections::BTreeMap::new();
        for write in writes {
            let token = Token(self.number());
            self.senders.insert(token, (number, incarnation.clone(), id));
            self.store.send(write.clone(), Some(token));
            waiting.insert(token, write);
        }
        let effect = effect(waiting);
        if let Some(owned) = self.nodes[number].owned(incarnation) {
            owned.effects.insert(id, effect);
        }
    }

    fn save_checkpoint(
        &mut self,
        number: usize,
        incarnation: &Incarnation,
        mut stamp: Stamp,
        mut value: bytes::Bytes,
    ) {
        let mut checkpoint = self.codec.decode_checkpoint(&value).expect("the partition encoded it");
        if self.break_checkpoint(number, incarnation, &mut checkpoint) {
            stamp = Stamp::new(checkpoint.era, checkpoint.era_base, checkpoint.changelog_offset);
            value = self.codec.encode_checkpoint(&checkpoint).into();
        }
        let result = self.truth.check_checkpoint(incarnation.index, &checkpoint, &self.store);
        self.violate(result);
        if let Some(owned) = self.nodes[number].owned(incarnation) {
            owned.checkpoint = Some(value.clone());
        }
        self.save(number, incarnation, Write::Checkpoint { partition: incarnation.index, stamp, value });
    }

    /// What the mutants of the checkpoint do. False if there is none.
    fn break_checkpoint(
        &mut self,
        number: usize,
        incarnation: &Incarnation,
        checkpoint: &mut Checkpoint,
    ) -> bool {
        let Some(mutant) = self.mutant else { return false };
        let Some(owned) = self.nodes[number].owned(incarnation) else { return false };
        let end = owned.partition.gauges().changelog_end;
        match mutant {
            Mutant::CheckpointIgnoresDirty => checkpoint.changelog_offset = end,
            Mutant::CheckpointAtLastDirty => {
                let last: Option<Offset> = owned.last_dirty.values().min().copied();
                checkpoint.changelog_offset = last.unwrap_or(end);
            }
            Mutant::TimerWatermarkAhead => checkpoint.timers_low_watermark.0 += 3_600_000,
            Mutant::TimerPlaceAhead => {
                checkpoint.timers_low_watermark.0 += i64::from(checkpoint.timers_from.take().is_some())
            }
            Mutant::NewestIdNotKept => checkpoint.newest_id = Some(Timestamp(0)),
            _ => return false,
        }
        true
    }
}

/// Whoever traces is told one cause of each record, and of none that it has none, but for what a partition proposes to itself.
fn check_causes(transaction: &Transaction, internal: &str) {
    let mut next = 0;
    for told in &transaction.processed {
        assert_eq!(told.caused.start, next, "{told:?} goes on where the one before it ends");
        next = told.caused.end;
    }
    let mut rest = transaction.records[next..].iter();
    assert!(rest.all(|it| *it.topic == *internal), "only proposals have no cause: {transaction:?}");
}
