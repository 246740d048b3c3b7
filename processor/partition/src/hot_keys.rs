//! The busiest instances of a partition, by the space-saving algorithm (Metwally et al. 2005): the next owner loads them before it is
//! asked for them (state protocol 2.3, step 7, and section 5).

use std::collections::BTreeMap;

use millrace_schemas::InstanceId;

use crate::by_id::ById;

/// How many are kept in the checkpoint.
pub(crate) const HOT_KEYS: usize = 32;

/// How many are counted. An instance with more than one in so many commands is certain to be among them.
const COUNTED: usize = 4 * HOT_KEYS;

/// Counts are halved after so many commands, so that what was busy long ago is forgotten.
const HALF_LIFE: u64 = 100_000;

/// How often it was seen, and which of all commands was its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    count: u64,
    last: u64,
}

/// Counts commands by instance, in bounded memory.
#[derive(Debug, Default)]
pub(crate) struct HotKeys {
    /// Where each is in the order.
    places: ById<Place>,
    /// The least busy first, and of those that are as busy the one that was seen longest ago: where most keys come once, each of them
    /// takes the place of another one.
    order: BTreeMap<Place, InstanceId>,
    seen: u64,
}

impl HotKeys {
    /// Begins with what was busy before, so that two quick takeovers do not forget it.
    pub(crate) fn after(before: &[InstanceId]) -> Self {
        let mut hot_keys = Self::default();
        // The busiest last, as if it were the one that was seen last.
        for id in before.iter().take(HOT_KEYS).rev() {
            hot_keys.seen += 1;
            hot_keys.set(id, 2);
        }
        hot_keys
    }

    fn set(&mut self, id: &InstanceId, count: u64) {
        let place = Place { count, last: self.seen };
        if let Some(before) = self.places.insert(id.clone(), place) {
            self.order.remove(&before);
        }
        self.order.insert(place, id.clone());
    }

    pub(crate) fn count(&mut self, id: &InstanceId) {
        self.seen += 1;
        if self.seen.is_multiple_of(HALF_LIFE) {
            self.halve();
        }
        if let Some(Place { count, .. }) = self.places.get(id) {
            return self.set(id, count + 1);
        }
        let mut inherited = 0;
        if self.places.len() == COUNTED
            && let Some((Place { count, .. }, least)) = self.order.pop_first()
        {
            self.places.remove(&least);
            inherited = count;
        }
        self.set(id, inherited + 1);
    }

    fn halve(&mut self) {
        for (place, id) in std::mem::take(&mut self.order) {
            let place = Place { count: place.count / 2, ..place };
            if place.count == 0 {
                self.places.remove(&id);
            } else {
                self.places.insert(id.clone(), place);
                self.order.insert(place, id);
            }
        }
    }

    /// Busiest first. Those that were seen once are left out: they are busy no more than any other.
    pub(crate) fn top(&self) -> Vec<InstanceId> {
        let busy = self.order.iter().rev().take_while(|(place, _)| place.count > 1);
        busy.take(HOT_KEYS).map(|(_, id)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> InstanceId {
        InstanceId::new(format!("i{n}")).expect("short")
    }

    #[test]
    fn the_busiest_are_found_among_many_and_memory_is_bounded() {
        let mut keys = HotKeys::default();
        for n in 0..50_000 {
            keys.count(&id(n));
            if n % 20 == 0 {
                keys.count(&id(1_000_000));
            }
            if n % 40 == 0 {
                keys.count(&id(1_000_001));
            }
        }
        assert_eq!(keys.top()[..2], [id(1_000_000), id(1_000_001)]);
        assert!(keys.places.len() <= COUNTED && keys.top().len() <= HOT_KEYS);
    }

    #[test]
    fn what_was_seen_once_is_not_hot() {
        let mut keys = HotKeys::default();
        (0..10).for_each(|n| keys.count(&id(n)));
        assert_eq!(keys.top(), []);
    }
}
