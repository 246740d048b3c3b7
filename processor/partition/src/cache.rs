//! Instances in memory. Clean ones go, least recently used first, when the memory is needed; dirty ones stay until their snapshot is
//! durable.

use std::collections::BTreeMap;

use millrace_engine::Instance;
use millrace_schemas::{InstanceId, Offset};

/// A committed instance in memory.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) instance: Instance,
    /// Changelog offset of its last entry, when that is known to this incarnation: what its snapshot is stamped with.
    pub(crate) last_offset: Option<Offset>,
    /// The status that the list index is known to show.
    pub(crate) listed: Option<&'static str>,
    size_bytes: usize,
    used: u64,
}

/// The instances in memory.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: BTreeMap<InstanceId, Cached>,
    by_use: BTreeMap<u64, InstanceId>,
    clock: u64,
    bytes: usize,
}

impl Cache {
    pub(crate) fn get(&self, id: &InstanceId) -> Option<&Cached> {
        self.entries.get(id)
    }

    pub(crate) fn contains(&self, id: &InstanceId) -> bool {
        self.entries.contains_key(id)
    }

    /// Marks `id` as used just now.
    pub(crate) fn touch(&mut self, id: &InstanceId) {
        if let Some(entry) = self.entries.get_mut(id) {
            self.by_use.remove(&entry.used);
            self.clock += 1;
            entry.used = self.clock;
            self.by_use.insert(self.clock, id.clone());
        }
    }

    /// Puts the committed state of an instance, and keeps what is known of the list index.
    pub(crate) fn put(&mut self, instance: Instance, last_offset: Option<Offset>) {
        let id = instance.id().clone();
        let listed = self.remove(&id).and_then(|it| it.listed);
        self.clock += 1;
        let size_bytes = instance.size_bytes();
        self.bytes += size_bytes;
        self.by_use.insert(self.clock, id.clone());
        self.entries.insert(id, Cached { instance, last_offset, listed, size_bytes, used: self.clock });
    }

    pub(crate) fn set_listed(&mut self, id: &InstanceId, status: &'static str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.listed = Some(status);
        }
    }

    fn remove(&mut self, id: &InstanceId) -> Option<Cached> {
        let entry = self.entries.remove(id)?;
        self.by_use.remove(&entry.used);
        self.bytes -= entry.size_bytes;
        Some(entry)
    }

    /// Evicts the least recently used instances that `may_go`, until at most `bytes_max` are in use.
    pub(crate) fn shrink(&mut self, bytes_max: usize, may_go: impl Fn(&InstanceId) -> bool) {
        if self.bytes <= bytes_max {
            return;
        }
        let mut excess = self.bytes - bytes_max;
        let mut victims = Vec::new();
        for id in self.by_use.values() {
            if excess == 0 {
                break;
            }
            if may_go(id) {
                excess = excess.saturating_sub(self.entries[id].size_bytes);
                victims.push(id.clone());
            }
        }
        for id in victims {
            self.remove(&id);
        }
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
