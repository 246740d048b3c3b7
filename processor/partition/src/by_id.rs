//! What is looked up by the id of an instance, and never gone through: so its order, which differs from run to run, cannot reach an
//! output. Beside a tree it saves a dozen comparisons of ids that begin alike, each somewhere else in memory.

#![allow(clippy::disallowed_types, reason = "nothing here can be iterated over")]

use std::collections::{HashMap, HashSet};

use ahash::RandomState;
use millrace_schemas::InstanceId;

/// Memory for so many more is not worth giving back.
const SPARE: usize = 1_024;

/// A map by id. Its hash is quick, and keyed by chance: whoever chooses ids cannot choose where they fall.
#[derive(Debug)]
pub(crate) struct ById<V>(HashMap<InstanceId, V, RandomState>);

impl<V> Default for ById<V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<V> ById<V> {
    pub(crate) fn get(&self, id: &InstanceId) -> Option<&V> {
        self.0.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &InstanceId) -> Option<&mut V> {
        self.0.get_mut(id)
    }

    pub(crate) fn contains(&self, id: &InstanceId) -> bool {
        self.0.contains_key(id)
    }

    /// What was there before.
    pub(crate) fn insert(&mut self, id: InstanceId, value: V) -> Option<V> {
        self.0.insert(id, value)
    }

    /// What is there, or the default, which is put there.
    pub(crate) fn or_default(&mut self, id: &InstanceId) -> &mut V
    where
        V: Default,
    {
        self.0.entry(id.clone()).or_default()
    }

    /// What was there. Memory that is left over goes back, so that after a herd there is none.
    pub(crate) fn remove(&mut self, id: &InstanceId) -> Option<V> {
        let removed = self.0.remove(id)?;
        if self.0.capacity() > 4 * self.0.len() + SPARE {
            self.0.shrink_to(2 * self.0.len());
        }
        Some(removed)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A set of ids that are somewhere else.
#[derive(Debug)]
pub(crate) struct Ids<'a>(HashSet<&'a InstanceId, RandomState>);

impl Ids<'_> {
    pub(crate) fn contains(&self, id: &InstanceId) -> bool {
        self.0.contains(id)
    }
}

impl<'a> FromIterator<&'a InstanceId> for Ids<'a> {
    fn from_iter<I: IntoIterator<Item = &'a InstanceId>>(ids: I) -> Self {
        Self(ids.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_herd_its_memory_goes_back() {
        let id = |n: usize| InstanceId::new(format!("i{n}")).expect("short");
        let mut map = ById::default();
        for n in 0..50_000 {
            map.insert(id(n), n);
        }
        for n in 0..49_990 {
            assert_eq!(map.remove(&id(n)), Some(n));
        }
        assert!(map.0.capacity() <= 2 * SPARE, "{}", map.0.capacity());
        assert_eq!((map.len(), map.get(&id(49_995))), (10, Some(&49_995)));
    }
}
