//! Which instances have events that no durable snapshot holds, and since which offset: the checkpoint may not pass the first of
//! them (state protocol 2.5; the recLSN of ARIES).

use std::collections::BTreeMap;

use millrace_schemas::{InstanceId, Offset, Timestamp};

#[derive(Debug)]
struct DirtyKey {
    /// First offset that no durable snapshot holds.
    first: Offset,
    /// A snapshot is being written, and these later events are not in it.
    first_since_flush: Option<Offset>,
    flushing: bool,
    since: Timestamp,
}

/// The dirty instances.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    keys: BTreeMap<InstanceId, DirtyKey>,
}

impl Dirty {
    /// `id` has an event at `offset`.
    pub(crate) fn mark(&mut self, id: &InstanceId, offset: Offset, at: Timestamp) {
        match self.keys.get_mut(id) {
            None => {
                self.keys.insert(
                    id.clone(),
                    DirtyKey { first: offset, first_since_flush: None, flushing: false, since: at },
                );
            }
            Some(key) if key.flushing && key.first_since_flush.is_none() => key.first_since_flush = Some(offset),
            Some(_) => {}
        }
    }

    /// A snapshot of the current state is being written.
    pub(crate) fn flush_started(&mut self, id: &InstanceId) {
        if let Some(key) = self.keys.get_mut(id) {
            key.flushing = true;
            key.first_since_flush = None;
        }
    }

    /// That snapshot is durable. Clean, unless there were events meanwhile.
    pub(crate) fn flushed(&mut self, id: &InstanceId, at: Timestamp) {
        let Some(key) = self.keys.get_mut(id) else { return };
        match key.first_since_flush.take() {
            Some(offset) => {
                key.first = offset;
                key.flushing = false;
                key.since = at;
            }
            None => {
                self.keys.remove(id);
            }
        }
    }

    /// An instance that is set aside is not written any more; its events stay in the log from `first` on, so it still holds the
    /// checkpoint.
    pub(crate) fn contains(&self, id: &InstanceId) -> bool {
        self.keys.contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The first offset that the checkpoint must not pass.
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.keys.values().map(|it| it.first).min()
    }

    /// When the oldest one became dirty.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.keys.values().map(|it| it.since).min()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &InstanceId> {
        self.keys.keys()
    }
}
