//! Which instances have events that no durable snapshot holds, and since which offset: the checkpoint may not pass the first of
//! them (state protocol 2.5; the recLSN of ARIES).

use std::collections::{BTreeMap, BTreeSet};

use millrace_schemas::{InstanceId, Offset, Timestamp};

use crate::by_id::ById;

#[derive(Debug)]
struct DirtyKey {
    /// First offset that no durable snapshot holds.
    first: Offset,
    /// A snapshot is being written, and these later events are not in it.
    first_since_flush: Option<Offset>,
    is_flushing: bool,
}

/// The dirty instances.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    keys: ById<DirtyKey>,
    /// By their first offset, which is the order in which they became dirty, with the time of that.
    order: BTreeMap<Offset, (InstanceId, Timestamp)>,
    /// The first offsets of those at rest.
    at_rest: BTreeSet<Offset>,
}

impl Dirty {
    /// `id` has an event at `offset`.
    pub(crate) fn mark(&mut self, id: &InstanceId, offset: Offset, at: Timestamp) {
        match self.keys.get_mut(id) {
            None => {
                let key = DirtyKey { first: offset, first_since_flush: None, is_flushing: false };
                self.keys.insert(id.clone(), key);
                self.order.insert(offset, (id.clone(), at));
            }
            Some(key) => {
                if key.is_flushing {
                    key.first_since_flush.get_or_insert(offset);
                }
                self.at_rest.remove(&key.first);
            }
        }
    }

    /// With its last event, `id` has come to rest: to wait for more events, which the same snapshot could hold, is of no use.
    pub(crate) fn rests(&mut self, id: &InstanceId) {
        if let Some(key) = self.keys.get(id) {
            self.at_rest.insert(key.first);
        }
    }

    /// A snapshot of the current state is being written.
    pub(crate) fn flush_started(&mut self, id: &InstanceId) {
        if let Some(key) = self.keys.get_mut(id) {
            key.is_flushing = true;
            key.first_since_flush = None;
        }
    }

    /// That snapshot is durable. Clean, unless there were events meanwhile: those hold the checkpoint from now on.
    ///
    /// One that was clean when the snapshot was begun, and is dirty now, stays so: the snapshot holds none of its events.
    pub(crate) fn flushed(&mut self, id: &InstanceId, at: Timestamp) {
        let Some(key) = self.keys.get_mut(id).filter(|it| it.is_flushing) else { return };
        self.order.remove(&key.first);
        let is_at_rest = self.at_rest.remove(&key.first);
        match key.first_since_flush.take() {
            Some(offset) => {
                key.first = offset;
                key.is_flushing = false;
                self.order.insert(offset, (id.clone(), at));
                if is_at_rest {
                    self.at_rest.insert(offset);
                }
            }
            None => drop(self.keys.remove(id)),
        }
    }

    /// Nothing will ever be written of `id`.
    pub(crate) fn forget(&mut self, id: &InstanceId) {
        if let Some(key) = self.keys.remove(id) {
            self.order.remove(&key.first);
            self.at_rest.remove(&key.first);
        }
    }

    pub(crate) fn contains(&self, id: &InstanceId) -> bool {
        self.keys.contains(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many of them are at rest.
    pub(crate) fn at_rest(&self) -> usize {
        self.at_rest.len()
    }

    /// The first offset that the checkpoint must not pass.
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.order.first_key_value().map(|it| *it.0)
    }

    /// When the one with the first offset became dirty.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.order.first_key_value().map(|it| it.1.1)
    }

    /// Oldest first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &InstanceId> {
        self.order.values().map(|it| &it.0)
    }

    /// Those that became dirty until then, and those at rest; oldest first.
    pub(crate) fn settled(&self, until: Timestamp) -> impl Iterator<Item = &InstanceId> {
        let mut by_age = self.order.iter();
        let mut at_rest = None;
        // Only as far as they are taken: there may be many more than a flush has room for.
        std::iter::from_fn(move || {
            if at_rest.is_none() {
                match by_age.next() {
                    Some((_, (id, since))) if *since <= until => return Some(id),
                    Some((young, _)) => at_rest = Some(self.at_rest.range(young..)),
                    None => return None,
                }
            }
            at_rest.as_mut()?.next().map(|offset| &self.order[offset].0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is parked is rebuilt clean, and its row written all the same: events may come while that is under way.
    #[test]
    fn a_snapshot_of_a_clean_instance_does_not_clean_what_came_after_it() {
        let id = InstanceId::new("i").expect("an id");
        let mut dirty = Dirty::default();
        dirty.flush_started(&id);
        dirty.mark(&id, Offset(7), Timestamp(0));
        dirty.flushed(&id, Timestamp(1));
        assert_eq!(dirty.first_offset(), Some(Offset(7)));

        dirty.flush_started(&id);
        dirty.mark(&id, Offset(9), Timestamp(2));
        dirty.flushed(&id, Timestamp(3));
        assert_eq!(dirty.first_offset(), Some(Offset(9)));

        dirty.flush_started(&id);
        dirty.flushed(&id, Timestamp(4));
        assert_eq!(dirty.first_offset(), None);
    }

    #[test]
    fn what_is_old_or_at_rest_is_settled() {
        let id = |n: i64| InstanceId::new(format!("i{n}")).expect("an id");
        let mut dirty = Dirty::default();
        for n in 0..6 {
            dirty.mark(&id(n), Offset(n), Timestamp(n * 10));
        }
        for n in [1, 3, 4, 5] {
            dirty.rests(&id(n));
        }
        // Woken by another event.
        dirty.mark(&id(4), Offset(6), Timestamp(60));
        let settled = |dirty: &Dirty, until: i64| -> Vec<InstanceId> {
            dirty.settled(Timestamp(until)).cloned().collect()
        };
        assert_eq!(settled(&dirty, -1), [1, 3, 5].map(id));
        assert_eq!(settled(&dirty, 20), [0, 1, 2, 3, 5].map(id));
        assert_eq!(settled(&dirty, 50), [0, 1, 2, 3, 4, 5].map(id));
        assert_eq!(dirty.at_rest(), 3);
        // One more event while it is written, with which it rests again; another that is not written.
        dirty.flush_started(&id(3));
        dirty.mark(&id(3), Offset(7), Timestamp(70));
        dirty.rests(&id(3));
        dirty.flushed(&id(3), Timestamp(80));
        dirty.forget(&id(5));
        assert_eq!(settled(&dirty, -1), [1, 3].map(id));
        dirty.flush_started(&id(3));
        dirty.flushed(&id(3), Timestamp(90));
        assert_eq!((settled(&dirty, -1), dirty.at_rest()), (vec![id(1)], 1));
    }
}
