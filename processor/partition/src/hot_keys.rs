//! The busiest instances of a partition, by the space-saving algorithm (Metwally et al. 2005): the next owner loads them before it is
//! asked for them (state protocol 2.3, step 7, and section 5).

use std::collections::{BTreeMap, BTreeSet};

use millrace_schemas::InstanceId;

/// How many are kept in the checkpoint.
pub(crate) const HOT_KEYS: usize = 32;

/// How many are counted. An instance with more than one in so many commands is certain to be among them.
const COUNTED: usize = 4 * HOT_KEYS;

/// Counts are halved after so many commands, so that what was busy long ago is forgotten.
const HALF_LIFE: u64 = 100_000;

/// Counts commands by instance, in bounded memory.
#[derive(Debug, Default)]
pub(crate) struct HotKeys {
    counts: BTreeMap<InstanceId, u64>,
    /// The same, the least busy first: where most keys come once, each of them takes the place of another one.
    order: BTreeSet<(u64, InstanceId)>,
    seen: u64,
}

impl HotKeys {
    /// Begins with what was busy before, so that two quick takeovers do not forget it.
    pub(crate) fn after(before: &[InstanceId]) -> Self {
        let mut hot_keys = Self::default();
        for id in before.iter().take(HOT_KEYS) {
            hot_keys.set(id.clone(), 2);
        }
        hot_keys
    }

    fn set(&mut self, id: InstanceId, count: u64) {
        if let Some(before) = self.counts.insert(id.clone(), count) {
            self.order.remove(&(before, id.clone()));
        }
        self.order.insert((count, id));
    }

    pub(crate) fn count(&mut self, id: &InstanceId) {
        self.seen += 1;
        if self.seen.is_multiple_of(HALF_LIFE) {
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
            self.order = self.counts.iter().map(|(id, count)| (*count, id.clone())).collect();
        }
        if let Some(count) = self.counts.get(id) {
            return self.set(id.clone(), count + 1);
        }
        let mut inherited = 0;
        if self.counts.len() == COUNTED
            && let Some((count, least)) = self.order.pop_first()
        {
            self.counts.remove(&least);
            inherited = count;
        }
        self.set(id.clone(), inherited + 1);
    }

    /// Busiest first. Those that were seen once are left out: they are busy no more than any other.
    pub(crate) fn top(&self) -> Vec<InstanceId> {
        let mut busy: Vec<(&InstanceId, u64)> =
            self.counts.iter().filter(|it| *it.1 > 1).map(|(id, n)| (id, *n)).collect();
        busy.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        busy.into_iter().take(HOT_KEYS).map(|it| it.0.clone()).collect()
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
        assert!(keys.counts.len() <= COUNTED && keys.top().len() <= HOT_KEYS);
    }

    #[test]
    fn what_was_seen_once_is_not_hot() {
        let mut keys = HotKeys::default();
        (0..10).for_each(|n| keys.count(&id(n)));
        assert_eq!(keys.top(), []);
    }
}
