//! Ids that were never used before, known without asking the store.
//!
//! A start has to know whether its id is taken, and mostly the store finds nothing: that was a third of what it did for short workflows. But
//! an id of UUID version 7 says when it was made (RFC 9562, 5.7), and an id that was made later than all that were ever used is not
//! among them. The times of ids are compared with the times of ids, so a clock that is wrong only has the store asked more often.
//!
//! What makes it true:
//! - Nothing begins under an id that is not in memory. It comes there from the store, or by [`Newcomers::admits`], which remembers it; what the store
//!   does not know is remembered, too. What is being read from the store is not admitted: the answer may come after the id has been
//!   used and has left memory again, and would bring back what was before.
//! - The newest time of all that was begun goes into each checkpoint, and the ids of the tail above it are seen by the restore, so the next
//!   owner knows as much.
//! - Besides, an owner admits only what was made after it came, by its own clock: what else might be lost, a checkpoint or the end of a log, is older.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use millrace_engine::Entity;
use millrace_schemas::{InstanceId, Timestamp};

use crate::cache::Cache;

/// Ids that are remembered one by one: those of producers that are late by less than the newest so many.
const USED_MAX: usize = 16_384;

/// Where nothing says what was used before: no id is supposed to be made so far ahead.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// Which ids that say when they were made have been used in this partition, by any owner.
#[derive(Debug)]
pub(crate) struct Newcomers {
    /// The newest under which something was begun.
    newest: Timestamp,
    /// Of those that are newer than this, the ones that may be used are in `used`.
    complete_after: Timestamp,
    /// When it was made, and a hash of it: two with the same only have the store asked.
    used: BTreeSet<(Timestamp, u64)>,
}

impl Newcomers {
    /// For an owner that comes now, and finds `newest` in the checkpoint; none if there is no checkpoint.
    pub(crate) fn begin(newest: Option<Timestamp>, now: Timestamp) -> Self {
        let newest = newest.unwrap_or(Timestamp(0));
        Self { newest, complete_after: newest.max(now), used: BTreeSet::new() }
    }

    /// What a checkpoint says that is not known to be of this log, or was written by an earlier release: none of the ids that were used is
    /// supposed to be newer.
    pub(crate) fn assumed(newest: Option<Timestamp>, now: Timestamp) -> Timestamp {
        newest.unwrap_or(Timestamp(0)).max(now.plus(AHEAD_MAX))
    }

    /// For the checkpoint.
    pub(crate) fn newest(&self) -> Timestamp {
        self.newest
    }

    /// An earlier owner has used `id`, as the tail says.
    pub(crate) fn restored(&mut self, id: &InstanceId) {
        let Some(made_at) = id.made_at() else { return };
        self.newest = self.newest.max(made_at);
        self.complete_after = self.complete_after.max(made_at);
    }

    /// Something is committed under `id`.
    pub(crate) fn committed(&mut self, id: &InstanceId) {
        self.newest = id.made_at().map_or(self.newest, |it| it.max(self.newest));
    }

    /// `id` has been read from the store: it is in memory, or comes to be.
    pub(crate) fn read(&mut self, id: &InstanceId) {
        self.remember(id);
    }

    /// Whether `id` is in memory, where it comes as an absent one if it was never used. `loading` is what is being read from the store.
    pub(crate) fn admits(
        &mut self,
        id: &InstanceId,
        cache: &mut Cache,
        loading: &BTreeSet<InstanceId>,
        now: Timestamp,
    ) -> bool {
        if cache.contains(id) {
            return true;
        }
        let is_new = !loading.contains(id) && self.remember(id);
        if is_new {
            cache.put(Entity::absent(id.clone()), None, false, now);
        }
        is_new
    }

    /// Whether it was never used so far.
    fn remember(&mut self, id: &InstanceId) -> bool {
        let Some(made_at) = id.made_at().filter(|it| *it > self.complete_after) else { return false };
        let is_new = self.used.insert((made_at, hash(id)));
        if self.used.len() > USED_MAX
            && let Some((oldest, _)) = self.used.pop_first()
        {
            self.complete_after = oldest;
        }
        is_new
    }
}

fn hash(id: &InstanceId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.as_str().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(made_at: i64, number: u32) -> InstanceId {
        let ms = format!("{made_at:012x}");
        InstanceId::new(format!("{}-{}-7000-8000-{number:012x}", &ms[..8], &ms[8..])).expect("short")
    }

    /// An owner, with its memory.
    struct World {
        newcomers: Newcomers,
        cache: Cache,
        loading: BTreeSet<InstanceId>,
    }

    impl World {
        fn begin(newest: Option<i64>, now: i64) -> Self {
            let newcomers = Newcomers::begin(newest.map(Timestamp), Timestamp(now));
            Self { newcomers, cache: Cache::new(Duration::ZERO), loading: BTreeSet::new() }
        }

        /// Whether it is new. If so, it is used, and leaves memory again.
        fn uses(&mut self, id: &InstanceId) -> bool {
            let is_new = self.newcomers.admits(id, &mut self.cache, &self.loading, Timestamp(0));
            if is_new {
                self.newcomers.committed(id);
                self.cache.forget(id);
            }
            is_new
        }
    }

    #[test]
    fn an_id_is_new_once_and_only_if_it_says_when_it_was_made() {
        let mut world = World::begin(None, 100);
        assert!(world.uses(&id(1_000, 1)));
        assert!(!world.uses(&id(1_000, 1)));
        assert!(world.uses(&id(1_000, 2)), "made in the same millisecond");
        assert!(world.uses(&id(500, 3)), "somebody was late");
        assert!(!world.uses(&id(100, 3)), "made before the owner came");
        world.newcomers.read(&id(2_000, 4));
        assert!(!world.uses(&id(2_000, 4)));
        assert!(!world.uses(&InstanceId::new("order-17").expect("short")));
        assert_eq!(world.newcomers.newest(), Timestamp(1_000), "of what was begun");
    }

    #[test]
    fn what_is_being_read_is_not_admitted_and_what_is_in_memory_is() {
        let mut world = World::begin(None, 0);
        world.loading.insert(id(1_000, 1));
        assert!(!world.uses(&id(1_000, 1)));
        world.loading.clear();
        let World { newcomers, cache, loading } = &mut world;
        assert!(newcomers.admits(&id(1_000, 1), cache, loading, Timestamp(0)));
        assert!(newcomers.admits(&id(1_000, 1), cache, loading, Timestamp(0)), "it is in memory now");
    }

    #[test]
    fn the_next_owner_takes_only_what_is_newer_than_all_that_was_used() {
        let mut world = World::begin(Some(1_000), 900);
        world.newcomers.restored(&id(1_500, 1));
        world.newcomers.restored(&id(1_200, 2));
        assert!(!world.uses(&id(1_500, 9)));
        assert!(world.uses(&id(1_501, 9)));
        assert_eq!(Newcomers::assumed(None, Timestamp(5_000)), Timestamp(86_405_000));
        assert_eq!(Newcomers::assumed(Some(Timestamp(90_000_000)), Timestamp(5_000)), Timestamp(90_000_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Whatever order they come in, and however many, nothing is new twice: not for one owner, and not for the next one.
        #[test]
        fn nothing_is_new_twice(
            times in prop::collection::vec(1..60_000_i64, 1..400),
            owners in 1..4_usize,
            filler in prop::sample::select(vec![0, USED_MAX - 5, USED_MAX + 100]),
        ) {
            let mut used = BTreeSet::new();
            let mut newest = None;
            for owner in 0..owners {
                // A clock that is of no help.
                let mut world = World::begin(newest, 0);
                for number in 0..filler {
                    // Newer ones, which push the others out.
                    world.newcomers.read(&id(30_000 + number as i64, 1_000_000));
                }
                for (number, at) in times.iter().enumerate() {
                    let id = id(*at, (number % 7) as u32);
                    if world.uses(&id) {
                        prop_assert!(used.insert(id.clone()), "{id} by owner {owner}");
                    }
                    prop_assert!(world.newcomers.used.len() <= USED_MAX);
                }
                newest = Some(world.newcomers.newest().0);
            }
        }
    }
}
