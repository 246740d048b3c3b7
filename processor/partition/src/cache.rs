//! Instances in memory. Clean ones go when they have been idle for long enough, or, least recently used first, when the memory is
//! needed; dirty ones stay until their snapshot is durable.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_engine::Entity;
use millrace_schemas::{InstanceId, Offset, Payload, Timestamp};

use crate::by_id::ById;

/// Idle instances leave in groups of what became idle within so many milliseconds, so that an idle partition is not woken for each.
const IDLE_GRAIN_MS: i64 = 1_000;

/// What the store is known to list of an entity; of a channel, nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Listed {
    /// The status that the list shows; none if that is not known.
    pub(crate) status: Option<&'static str>,
    /// What the index may have of its attributes.
    pub(crate) attributes: Option<Payload>,
}

/// A committed entity in memory.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) entity: Entity,
    /// Changelog offset of its last entry, when that is known to this incarnation: what its snapshot is stamped with.
    pub(crate) last_offset: Option<Offset>,
    pub(crate) listed: Listed,
    size_bytes: usize,
    used_at: Timestamp,
    /// Its place in the order of eviction; none while it is dirty.
    place: Option<u64>,
}

/// The instances in memory.
#[derive(Debug)]
pub(crate) struct Cache {
    /// In boxes: entities are large, and the table moves when many have come or gone.
    entries: ById<Box<Cached>>,
    /// Clean ones, least recently used first.
    evictable: BTreeMap<u64, InstanceId>,
    places: u64,
    bytes: usize,
    idle: Duration,
}

impl Cache {
    /// Empty. What is clean leaves after `idle`.
    pub(crate) fn new(idle: Duration) -> Self {
        Self { entries: ById::default(), evictable: BTreeMap::new(), places: 0, bytes: 0, idle }
    }

    pub(crate) fn get(&self, id: &InstanceId) -> Option<&Cached> {
        self.entries.get(id).map(|it| &**it)
    }

    pub(crate) fn contains(&self, id: &InstanceId) -> bool {
        self.entries.contains(id)
    }

    /// Marks `id` as used just now.
    pub(crate) fn touch(&mut self, id: &InstanceId, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.used_at = now;
        if entry.place.is_some() {
            self.make_evictable(id);
        }
    }

    /// Puts the committed state of an instance, and keeps what is known of the list index. It stays until `cleaned`, if it is dirty.
    pub(crate) fn put(
        &mut self,
        entity: Entity,
        last_offset: Option<Offset>,
        is_dirty: bool,
        now: Timestamp,
    ) {
        let id = entity.id().clone();
        let size_bytes = entity.size_bytes();
        self.bytes += size_bytes;
        let mut cached =
            Cached { entity, last_offset, listed: Listed::default(), size_bytes, used_at: now, place: None };
        if let Some(before) = self.entries.get_mut(&id) {
            self.bytes -= before.size_bytes;
            if let Some(place) = before.place {
                self.evictable.remove(&place);
            }
            cached.listed = std::mem::take(&mut before.listed);
            **before = cached;
        } else {
            self.entries.insert(id.clone(), Box::new(cached));
        }
        if !is_dirty {
            self.make_evictable(&id);
        }
    }

    /// The snapshot of its present state is durable.
    pub(crate) fn cleaned(&mut self, id: &InstanceId) {
        if self.entries.get(id).is_some_and(|it| it.place.is_none()) {
            self.make_evictable(id);
        }
    }

    fn make_evictable(&mut self, id: &InstanceId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if let Some(place) = entry.place {
            self.evictable.remove(&place);
        }
        self.places += 1;
        entry.place = Some(self.places);
        self.evictable.insert(self.places, id.clone());
    }

    pub(crate) fn set_listed(&mut self, id: &InstanceId, listed: Listed) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.listed = listed;
        }
    }

    fn remove(&mut self, id: &InstanceId) -> Option<Cached> {
        let entry = self.entries.remove(id)?;
        if let Some(place) = entry.place {
            self.evictable.remove(&place);
        }
        self.bytes -= entry.size_bytes;
        Some(*entry)
    }

    /// Evicts what has been idle, and more until at most `bytes_max` are in use, if it `may_go`.
    pub(crate) fn shrink(&mut self, bytes_max: usize, now: Timestamp, may_go: impl Fn(&InstanceId) -> bool) {
        let mut excess = self.bytes.saturating_sub(bytes_max);
        let mut victims = Vec::new();
        for id in self.evictable.values() {
            let entry = self.entries.get(id).expect("what can be evicted is there");
            if excess == 0 && entry.used_at.plus(self.idle) > now {
                break;
            }
            if may_go(id) {
                excess = excess.saturating_sub(entry.size_bytes);
                victims.push(id.clone());
            }
        }
        for id in victims {
            self.remove(&id);
        }
    }

    /// When the next instance will have been idle for long enough.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let (_, first) = self.evictable.first_key_value()?;
        let used_at = self.entries.get(first)?.used_at;
        let idle_at = used_at.plus(self.idle).0;
        Some(Timestamp(idle_at.saturating_add(IDLE_GRAIN_MS - idle_at.rem_euclid(IDLE_GRAIN_MS))))
    }

    /// Forgets one instance now: an ended one whose stub is durable.
    pub(crate) fn forget(&mut self, id: &InstanceId) {
        self.remove(id);
    }

    /// Instances in memory.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory in use, approximately, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
