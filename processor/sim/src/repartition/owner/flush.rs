//! Snapshots and checkpoints, written after the commit (state protocol 2.5).

use millrace_schemas::partition::{Checkpoint, Positions};
use millrace_schemas::{Offset, Stamp, Timestamp};

use super::Owner;
use crate::repartition::broker::Key;
use crate::repartition::store::{Row, Store, Write};

impl Owner {
    pub(crate) fn dirty(&self) -> Vec<Key> {
        self.dirty.keys().copied().collect()
    }

    /// Sends the committed state of a key.
    pub(crate) fn flush(&mut self, key: Key, store: &mut Store) {
        if !self.cache.contains_key(&key) {
            let cached = self.load(key, store);
            self.cache.insert(key, cached);
        }
        let cached = self.cache[&key].clone();
        store.in_flight.push(Write {
            index: self.index,
            generation: self.generation,
            stamp: cached.stamp,
            row: Row::Snapshot { key, state: cached.state },
        });
    }

    /// A write of this incarnation is in the store. The key is clean if that was its newest state.
    pub(crate) fn acknowledged(&mut self, write: &Write) {
        if let Row::Snapshot { key, .. } = &write.row
            && self.cache.get(key).is_some_and(|it| it.stamp == write.stamp)
        {
            self.dirty.remove(key);
        }
    }

    /// Drops the states that can be read again.
    pub(crate) fn evict(&mut self) {
        let dirty = &self.dirty;
        self.cache.retain(|key, _| dirty.contains_key(key));
    }

    /// Sends the checkpoint: everything before it is in the store.
    pub(crate) fn checkpoint(&self, store: &mut Store) {
        let offset = self.dirty.values().copied().chain([self.changelog_end]).min().expect("one is given");
        let checkpoint = Checkpoint {
            era: 0,
            era_base: Offset(0),
            changelog_offset: offset,
            positions: Positions { sources: self.sources(&self.positions) },
            timers_low_watermark: Timestamp(0),
            timers_from: None,
            newest_id: None,
            api_url: None,
            at: Timestamp(0),
            key_groups: self.holdings.installed().to_vec(),
            released: self.holdings.released().to_vec(),
            hot_keys: Vec::new(),
        };
        store.in_flight.push(Write {
            index: self.index,
            generation: self.generation,
            stamp: Stamp::new(0, Offset(0), self.changelog_end),
            row: Row::Checkpoint(Box::new(checkpoint)),
        });
    }
}
