//! Instances whose log and code disagree. They are set aside; their neighbours go on. What is needed to rebuild one goes into the store
//! in place of its snapshot, so it holds up neither the checkpoint nor the trimming of the log, and a release that can read it gets it
//! back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use millrace_engine::{Entity, EntityEntry};
use millrace_schemas::codec::ChangelogRecord;
use millrace_schemas::snapshot::{ParkedInstance, SnapshotRecord};
use millrace_schemas::{InstanceId, Offset, Payload, TimerId, Timestamp};

use crate::output::{Observation, Output, SnapshotWrite};
use crate::partition::Partition;
use crate::restore::TailEntry;

/// Why they are set aside, and what is to be written of them.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    reasons: BTreeMap<InstanceId, String>,
    /// Not in the store yet.
    unwritten: BTreeMap<InstanceId, (Offset, Bytes)>,
    /// Rebuilt from what was parked; their rows and timers are to be written.
    unparked: BTreeSet<InstanceId>,
    /// To be tried again after a while: written as timers.
    wakes: BTreeSet<InstanceId>,
}

impl Quarantine {
    pub(crate) fn contains(&self, id: &InstanceId) -> bool {
        self.reasons.contains_key(id)
    }

    pub(crate) fn reason(&self, id: &InstanceId) -> Option<&str> {
        self.reasons.get(id).map(String::as_str)
    }

    /// It has new entries: it is tried again.
    pub(crate) fn forget(&mut self, id: &InstanceId) {
        self.reasons.remove(id);
    }

    pub(crate) fn len(&self) -> usize {
        self.reasons.len()
    }

    /// Whether something is to be written that nothing in the log is waiting for.
    pub(crate) fn wants_flush(&self) -> bool {
        !self.unparked.is_empty() || !self.wakes.is_empty()
    }

    pub(crate) fn unparked(&self) -> impl Iterator<Item = &InstanceId> {
        self.unparked.iter()
    }

    pub(crate) fn is_unparked(&self, id: &InstanceId) -> bool {
        self.unparked.contains(id)
    }

    pub(crate) fn is_unwritten(&self, id: &InstanceId) -> bool {
        self.unwritten.contains_key(id)
    }

    pub(crate) fn written(&mut self, id: &InstanceId) {
        self.unwritten.remove(id);
        self.unparked.remove(id);
    }

    /// A parked instance takes no part until it is loaded, and its timers are in no index. So it gets one of its own: whoever owns
    /// it then loads it, and tries again.
    pub(crate) fn wake_later(&mut self, id: &InstanceId) {
        self.wakes.insert(id.clone());
    }

    pub(crate) fn take_wakes(&mut self) -> BTreeSet<InstanceId> {
        std::mem::take(&mut self.wakes)
    }
}

/// The timer of a parked instance: no instance has so many.
pub(crate) const WAKE: TimerId = TimerId(u32::MAX);

/// How long a parked instance is left alone.
pub(crate) const WAKE_AFTER: Duration = Duration::from_secs(3_600);

impl Partition {
    pub(crate) fn quarantine(&mut self, id: InstanceId, detail: String, out: &mut Vec<Output>) {
        out.push(Output::Observe(Observation::InstanceQuarantined {
            instance: id.clone(),
            detail: detail.clone(),
        }));
        self.quarantine.reasons.insert(id, detail);
    }

    /// As `quarantine`, of an instance with entries in the tail: they are kept, with the row that they come after.
    pub(crate) fn park(
        &mut self,
        id: &InstanceId,
        detail: String,
        row: Option<Bytes>,
        tail: Vec<TailEntry>,
        out: &mut Vec<Output>,
    ) {
        if let Some(last) = tail.last() {
            let mut parked = ParkedInstance {
                era: self.era,
                offset: last.offset,
                reason: detail.clone(),
                snapshot: row,
                entries: Vec::new(),
            };
            // It was parked before: one row holds it all.
            if let Some(bytes) = &parked.snapshot
                && let Ok(SnapshotRecord::Parked(earlier)) = self.codec.decode_snapshot_record(bytes)
            {
                parked.snapshot = earlier.snapshot;
                parked.entries = earlier.entries;
            }
            parked.entries.extend(tail.into_iter().map(|it| it.value));
            let value = self.codec.encode_parked(&parked).into();
            self.quarantine.unwritten.insert(id.clone(), (parked.offset, value));
        }
        self.quarantine.wake_later(id);
        self.quarantine(id.clone(), detail, out);
    }

    /// The rows to write of those that were parked.
    pub(crate) fn parked_writes(&self, ids: &[InstanceId]) -> Vec<SnapshotWrite> {
        ids.iter()
            .filter_map(|id| {
                let (offset, value) = self.quarantine.unwritten.get(id)?;
                Some(SnapshotWrite {
                    instance: id.clone(),
                    stamp: self.stamp(*offset),
                    value: value.clone(),
                    ttl: None,
                    listing: None,
                })
            })
            .collect()
    }

    /// It is back. What was not written while it was parked is written now, though the log has moved on.
    pub(crate) fn unparked(&mut self, entity: Entity, offset: Offset, now: Timestamp) {
        self.timers.restored(&entity);
        self.quarantine.unparked.insert(entity.id().clone());
        self.cache.put(entity, Some(offset), true, now);
    }

    /// Tries again what an earlier owner could not do.
    /// With the attributes that the index has of it.
    pub(crate) fn unpark(
        &self,
        id: &InstanceId,
        parked: &ParkedInstance,
    ) -> Result<(Entity, Option<Payload>), String> {
        let mut entity = match &parked.snapshot {
            None => Entity::absent(id.clone()),
            Some(row) => match self.codec.decode_snapshot_record(row) {
                Ok(SnapshotRecord::Snapshot(snapshot)) => Entity::of_snapshot(id.clone(), *snapshot),
                Ok(SnapshotRecord::Channel(snapshot)) => Entity::of_channel_snapshot(id.clone(), *snapshot),
                Ok(SnapshotRecord::Schedule(snapshot)) => Entity::of_schedule_snapshot(id.clone(), *snapshot),
                Ok(SnapshotRecord::Parked(_)) => return Err("it was parked twice".to_owned()),
                Err(error) => return Err(format!("its snapshot cannot be read: {error}")),
            },
        };
        let indexed = entity.as_instance().and_then(|it| it.state()).and_then(|it| it.attributes.clone());
        for value in &parked.entries {
            let entry = match self.codec.decode_changelog(value) {
                Ok(ChangelogRecord::Entry(entry)) => EntityEntry::Instance(entry),
                Ok(ChangelogRecord::Channel(entry)) => EntityEntry::Channel(entry),
                Ok(ChangelogRecord::Schedule(entry)) => EntityEntry::Schedule(entry),
                Ok(_) => return Err("a record of another kind was parked with it".to_owned()),
                Err(error) => return Err(format!("an entry of the changelog cannot be read: {error}")),
            };
            entity.apply_entry(&entry).map_err(|it| it.to_string())?;
        }
        Ok((entity, indexed))
    }
}
