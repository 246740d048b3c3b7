//! The truth: all changelogs folded from their beginning, by the engine alone.

use std::collections::{BTreeMap, BTreeSet};

use millrace_engine::{Entity, EntityEntry, Instance};
use millrace_partition::Programs as _;
use millrace_placement::{home, key_group};
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::event::{Event, ParentTask};
use millrace_schemas::instance::InstanceState;
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::schedule::ScheduleEvent;
use millrace_schemas::{EventId, ExecutionId, InstanceId, Offset, Stamp, TaskToken};
use millrace_workflow::schedule::Rhythm;

use super::Checks;
use crate::fleet::broker::{Broker, Place};
use crate::fleet::catalog::Catalog;
use crate::fleet::store::Store;
use crate::fleet::trace::Trace;

/// The only era of these runs.
const ERA: u32 = 1;

#[derive(Debug)]
pub(crate) struct Truth {
    codec: Codec,
    checks: Checks,
    skew_ms: i64,
    /// By a clock that is right.
    now: i64,
    logs: Vec<Lineage>,
    keys: BTreeMap<InstanceId, Key>,
    /// Snapshots that were sent to the store and that the fold has not reached yet.
    claimed: Vec<(Offset, Entity)>,
    /// Where the tasks stand in their queue whose answers were taken.
    answered: Vec<Offset>,
}

/// One changelog.
#[derive(Debug, Default)]
struct Lineage {
    read_to: Offset,
    /// The incarnation that has claimed the partition last, and those before it.
    owner: Option<u64>,
    former: BTreeSet<u64>,
    positions: BTreeMap<(String, i32), Offset>,
}

/// One instance, or one channel.
#[derive(Debug)]
pub(crate) struct Key {
    partition: usize,
    entity: Entity,
    /// As it was after each of its entries.
    versions: BTreeMap<Offset, Entity>,
    causes: BTreeSet<EventId>,
    /// The tasks that it has sent out, children among them.
    dispatched: BTreeSet<TaskToken>,
    parent: Option<ParentTask>,
    /// Of a schedule: the instances that it has started.
    started: Vec<InstanceId>,
    /// Of a schedule: the nominal times that it has decided, in one way or another.
    decided: u64,
}

impl Key {
    pub(crate) fn state(&self) -> Option<&InstanceState> {
        self.entity.as_instance().and_then(Instance::state)
    }

    pub(crate) fn entity(&self) -> &Entity {
        &self.entity
    }

    /// Of its newest entry.
    pub(crate) fn last_offset(&self) -> Option<Offset> {
        self.versions.last_key_value().map(|it| *it.0)
    }

    pub(crate) fn versions(&self) -> &BTreeMap<Offset, Entity> {
        &self.versions
    }
}

impl Key {
    fn note_schedule(&mut self, event: &ScheduleEvent) {
        match event {
            ScheduleEvent::RunStarted { run, instance, is_awaited, .. } => {
                // One that was buffered was decided before.
                let was_buffered = matches!(&self.entity, Entity::Schedule(it) if it.state().is_some_and(|it| {
                    it.buffered.as_ref().is_some_and(|it| it.instance == *instance)
                }));
                self.decided += u64::from(!was_buffered);
                self.started.push(instance.clone());
                if *is_awaited {
                    self.dispatched.insert(TaskToken { execution: ExecutionId(*run), dispatch: 1 });
                }
            }
            ScheduleEvent::StartBuffered { .. } => self.decided += 1,
            ScheduleEvent::StartsSkipped { count, .. } => self.decided += count,
            _ => {}
        }
    }
}

impl Truth {
    pub(crate) fn new(codec: Codec, partitions: usize, skew_ms: i64, checks: Checks) -> Self {
        let logs = (0..partitions).map(|_| Lineage::default()).collect();
        Self {
            codec,
            checks,
            skew_ms,
            now: 0,
            logs,
            keys: BTreeMap::new(),
            claimed: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// At the end: every child was started by a task of its parent that was committed.
    pub(crate) fn check_children(&self) -> Result<(), String> {
        self.keys.iter().try_for_each(|(id, key)| {
            let Some(parent) = &key.parent else { return Ok(()) };
            match self.keys.get(&parent.instance) {
                Some(it) if it.dispatched.contains(&parent.token) => Ok(()),
                Some(_) => {
                    Err(format!("{id} was started by a task {} of its parent that never was", parent.token))
                }
                None => Err(format!("{id} was started by {}, which does not exist", parent.instance)),
            }
        })
    }

    /// At the end: each schedule has decided each of its times once, what it has started is there, and it waits for nothing any more.
    pub(crate) fn check_schedules(&self, catalog: &Catalog) -> Result<(), String> {
        catalog.schedules().iter().try_for_each(|(id, version)| {
            let key = self.keys.get(id).ok_or_else(|| format!("{id} was never defined"))?;
            let Entity::Schedule(schedule) = &key.entity else { return Err(format!("{id} is no schedule")) };
            let state = schedule.state().ok_or_else(|| format!("{id} was never defined"))?;
            if state.next.is_some() || state.running.is_some() || state.buffered.is_some() {
                return Err(format!("{id} goes on: {state:?}"));
            }
            let distinct: BTreeSet<&InstanceId> = key.started.iter().collect();
            if distinct.len() != key.started.len() {
                return Err(format!("{id} has started something twice: {:?}", key.started));
            }
            if let Some(lost) = distinct.into_iter().find(|it| !self.keys.contains_key(*it)) {
                return Err(format!("{id} has started {lost}, which does not exist"));
            }
            if state.failed > 0 {
                return Err(format!("{id} says that a run has failed: {:?}", state.last_error));
            }
            let program = catalog.version(version).expect("it is in the catalog");
            let rules = program.schedule.as_ref().expect("it has a schedule");
            if matches!(rules.rhythm, Rhythm::After(_)) {
                return Ok(());
            }
            let times = std::iter::successors(rules.next_after(state.defined_at), |it| rules.next_after(*it));
            let expected = times.count() as u64;
            match key.decided == expected {
                true => Ok(()),
                false => Err(format!("{id} has decided {} of {expected} times", key.decided)),
            }
        })
    }

    pub(crate) fn answered(&self) -> &[Offset] {
        &self.answered
    }

    pub(crate) fn keys(&self) -> &BTreeMap<InstanceId, Key> {
        &self.keys
    }

    /// Folds what has become stable since the last time.
    pub(crate) fn advance(&mut self, broker: &mut Broker, now: i64, trace: &mut Trace) -> Result<(), String> {
        self.now = now;
        for partition in 0..self.logs.len() {
            let from = self.logs[partition].read_to;
            let (records, next) = broker.log(&Place::Changelog(partition)).committed(from, usize::MAX);
            for (offset, record) in records {
                let value = record.value.as_deref().unwrap_or_default();
                trace.bytes(value);
                let decoded = self.codec.decode_changelog(value).map_err(|it| it.to_string())?;
                let writer = record.writer.expect("only incarnations write changelogs");
                let key = record.key.clone();
                self.take(partition, offset, writer, key.as_deref(), decoded)?;
            }
            self.logs[partition].read_to = next;
        }
        self.check_claimed()
    }

    fn take(
        &mut self,
        partition: usize,
        offset: Offset,
        writer: u64,
        key: Option<&[u8]>,
        record: ChangelogRecord,
    ) -> Result<(), String> {
        let lineage = &mut self.logs[partition];
        if let ChangelogRecord::Claim(_) = record {
            if lineage.former.contains(&writer) {
                return Err(format!("incarnation {writer} claims {partition} again at {}", offset.0));
            }
            lineage.former.extend(lineage.owner.replace(writer));
        }
        self.checks.invariant(if lineage.owner == Some(writer) {
            Ok(())
        } else {
            Err(format!(
                "I1: changelog {partition} has a record of {writer} at {} under {:?}",
                offset.0, lineage.owner
            ))
        })?;
        match record {
            ChangelogRecord::Claim(_) => Ok(()),
            ChangelogRecord::Positions(positions) => {
                for source in positions.sources {
                    let old =
                        lineage.positions.insert((source.topic.clone(), source.partition), source.offset);
                    if old.is_some_and(|it| it > source.offset) {
                        return Err(format!(
                            "{}/{} went back to {}",
                            source.topic, source.partition, source.offset.0
                        ));
                    }
                }
                Ok(())
            }
            ChangelogRecord::Entry(entry) => {
                let cause = entry.cause.clone();
                self.entry(partition, offset, key, &cause, &EntityEntry::Instance(entry))
            }
            ChangelogRecord::Channel(entry) => {
                let cause = entry.cause.clone();
                self.entry(partition, offset, key, &cause, &EntityEntry::Channel(entry))
            }
            ChangelogRecord::Schedule(entry) => {
                let cause = entry.cause.clone();
                self.entry(partition, offset, key, &cause, &EntityEntry::Schedule(entry))
            }
            other => Err(format!("changelog {partition} has {other:?} at {}", offset.0)),
        }
    }

    fn entry(
        &mut self,
        partition: usize,
        offset: Offset,
        key: Option<&[u8]>,
        cause: &EventId,
        entry: &EntityEntry,
    ) -> Result<(), String> {
        let id = std::str::from_utf8(key.unwrap_or_default()).map_err(|it| it.to_string())?;
        let id = InstanceId::new(id).map_err(|it| it.to_string())?;
        let partitions = u32::try_from(self.logs.len()).expect("few");
        if home(key_group(id.as_str().as_bytes()), partitions).0 as usize != partition {
            return Err(format!("{id} was decided at {partition}, which is not its home"));
        }
        let key = self.keys.entry(id.clone()).or_insert_with(|| Key {
            partition,
            entity: Entity::absent(id.clone()),
            versions: BTreeMap::new(),
            causes: BTreeSet::new(),
            dispatched: BTreeSet::new(),
            parent: None,
            started: Vec::new(),
            decided: 0,
        });
        if !key.causes.insert(cause.clone()) {
            return Err(format!("{id}: {cause} was decided a second time, at {}", offset.0));
        }
        // The clock that proposed it may be ahead by the skew.
        if let Some(due) = due_of(cause)
            && self.now + self.skew_ms < due
        {
            return Err(format!("{id}: {cause} fired {} ms early", due - self.now));
        }
        let last = key.state().map(|it| it.updated_at);
        if last.is_some_and(|it| it > entry.at()) {
            return Err(format!("{id}: time runs backwards at {}", offset.0));
        }
        let events = match entry {
            EntityEntry::Instance(entry) => &entry.events[..],
            EntityEntry::Channel(_) | EntityEntry::Schedule(_) => &[],
        };
        for event in events {
            match event {
                Event::TaskDispatched { execution, dispatch } => {
                    key.dispatched.insert(TaskToken { execution: *execution, dispatch: *dispatch });
                }
                Event::InstanceStarted { parent, .. } => key.parent.clone_from(parent),
                Event::TaskCompleted { output, .. } => {
                    let at = output.value().get("at").and_then(serde_json::Value::as_i64);
                    self.answered.extend(at.map(Offset));
                }
                _ => {}
            }
        }
        if let EntityEntry::Schedule(entry) = entry {
            entry.events.iter().for_each(|event| key.note_schedule(event));
        }
        key.entity.apply_entry(entry).map_err(|it| format!("{id} at {}: {it}", offset.0))?;
        key.versions.insert(offset, key.entity.clone());
        Ok(())
    }

    /// I2: a snapshot that is sent to the store is the fold of the log up to its stamp.
    pub(crate) fn expect_snapshot(&mut self, stamp: Stamp, entity: Entity) {
        self.claimed.push((stamp.offset(Offset(0)), entity));
    }

    fn check_claimed(&mut self) -> Result<(), String> {
        let Self { claimed, keys, logs, checks, .. } = self;
        let mut result = Ok(());
        let partitions = u32::try_from(logs.len()).expect("few");
        claimed.retain(|(offset, entity)| {
            let id = entity.id();
            let partition = home(key_group(id.as_str().as_bytes()), partitions).0 as usize;
            if logs[partition].read_to <= *offset {
                return true;
            }
            if keys.get(id).and_then(|it| it.versions.get(offset)) != Some(entity) {
                result = Err(format!("I2: a snapshot of {id} at {} is not what its events say", offset.0));
            }
            false
        });
        checks.invariant(result)
    }

    /// I4: whatever lies below a checkpoint is in the store, in the visible rows.
    pub(crate) fn check_checkpoint(
        &self,
        partition: usize,
        checkpoint: &Checkpoint,
        store: &Store,
    ) -> Result<(), String> {
        let bound = checkpoint.changelog_offset;
        let result =
            self.keys.iter().filter(|(_, it)| it.partition == partition).try_for_each(|(id, key)| {
                let Some((last, _)) = key.versions.range(..bound).next_back() else { return Ok(()) };
                let row = store.snapshots.get(id).map(|it| it.stamp.offset(Offset(0)));
                if row < Some(*last) {
                    return Err(format!(
                        "I4: checkpoint {} passes {id} at {}: its row is at {row:?}",
                        bound.0, last.0
                    ));
                }
                let has_history = key.entity.as_instance().is_some();
                let missing = key.versions.range(..bound).filter(|_| has_history).find(|(offset, _)| {
                    !store.history.contains_key(&(id.clone(), Stamp::new(ERA, Offset(0), **offset)))
                });
                match missing {
                    Some((offset, _)) => {
                        Err(format!("checkpoint {} passes the history of {id} at {}", bound.0, offset.0))
                    }
                    None => Ok(()),
                }
            });
        self.checks.invariant(result)
    }
}

/// When the timer was due, if a timer was the cause: its id is `instance/timer/due`.
fn due_of(cause: &EventId) -> Option<i64> {
    (cause.source == "millrace:timer").then(|| cause.id.rsplit('/').next()?.parse().ok())?
}
