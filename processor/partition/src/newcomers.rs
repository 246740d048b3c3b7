//! Ids that were never used before, known without asking the store.
//!
//! A start has to know whether its id is taken, and mostly the store finds nothing: that was a third of what it did for short workflows. But
//! an id of UUID version 7 says when it was made (RFC 9562, 5.7), and an id that was made later than all that were ever used is not
//! among them. No clock is trusted: the times of ids are compared with the times of ids. Whoever makes an id of the future only has
//! the store asked until then.
//!
//! What makes it true:
//! - An id comes into memory as one that nobody has used only by [`Newcomers::takes`] or [`Newcomers::saw`], and nothing is begun under an
//!   id that is not in memory.
//! - The newest time goes into each checkpoint, and the ids of the tail above it are seen by the restore, so the next owner knows as much.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use millrace_schemas::{InstanceId, Timestamp};

/// Ids that are remembered one by one: those of producers that are late by less than the newest so many.
const USED_MAX: usize = 16_384;

/// A checkpoint of an earlier release does not say what was used before it. No id is made so far ahead.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// Which ids that say when they were made have been used in this partition, by any owner.
#[derive(Debug)]
pub(crate) struct Newcomers {
    /// The newest that was used.
    newest: Timestamp,
    /// Of those that are newer than this, the ones that were used are in `used`.
    complete_after: Timestamp,
    /// When it was made, and a hash of it: two with the same only have the store asked.
    used: BTreeSet<(Timestamp, u64)>,
}

impl Default for Newcomers {
    /// None was used.
    fn default() -> Self {
        Self::until(Timestamp(0))
    }
}

impl Newcomers {
    fn until(newest: Timestamp) -> Self {
        Self { newest, complete_after: newest, used: BTreeSet::new() }
    }

    /// After a checkpoint that says so.
    pub(crate) fn after(newest: Option<Timestamp>, now: Timestamp) -> Self {
        Self::until(newest.unwrap_or_else(|| now.plus(AHEAD_MAX)))
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

    /// `id` is in memory now.
    pub(crate) fn saw(&mut self, id: &InstanceId) {
        self.takes(id);
    }

    /// Whether `id` was never used. It is from now on.
    pub(crate) fn takes(&mut self, id: &InstanceId) -> bool {
        let Some(made_at) = id.made_at().filter(|it| *it > self.complete_after) else { return false };
        self.newest = self.newest.max(made_at);
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(made_at: i64, number: u32) -> InstanceId {
        let ms = format!("{made_at:012x}");
        InstanceId::new(format!("{}-{}-7000-8000-{number:012x}", &ms[..8], &ms[8..])).expect("short")
    }

    #[test]
    fn an_id_is_new_once_and_only_if_it_says_when_it_was_made() {
        let mut newcomers = Newcomers::default();
        assert!(newcomers.takes(&id(1_000, 1)));
        assert!(!newcomers.takes(&id(1_000, 1)));
        assert!(newcomers.takes(&id(1_000, 2)), "made in the same millisecond");
        assert!(newcomers.takes(&id(500, 3)), "somebody was late");
        newcomers.saw(&id(2_000, 4));
        assert!(!newcomers.takes(&id(2_000, 4)));
        assert!(!newcomers.takes(&InstanceId::new("order-17").expect("short")));
        assert_eq!(newcomers.newest(), Timestamp(2_000));
    }

    #[test]
    fn the_next_owner_takes_only_what_is_newer_than_all_that_was_used() {
        let mut newcomers = Newcomers::after(Some(Timestamp(1_000)), Timestamp(5_000));
        newcomers.restored(&id(1_500, 1));
        newcomers.restored(&id(1_200, 2));
        assert!(!newcomers.takes(&id(1_500, 9)));
        assert!(newcomers.takes(&id(1_501, 9)));
        let mut unknown = Newcomers::after(None, Timestamp(5_000));
        assert!(!unknown.takes(&id(5_001, 1)));
        assert!(unknown.takes(&id(5_001 + 86_400_000, 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Whatever order they come in, and however many, nothing is taken twice: not by one owner, and not by the next one.
        #[test]
        fn nothing_is_taken_twice(
            times in prop::collection::vec(1..60_000_i64, 1..400),
            owners in 1..4_usize,
            filler in prop::sample::select(vec![0, USED_MAX - 5, USED_MAX + 100]),
        ) {
            let mut taken = BTreeSet::new();
            let mut newest = Some(Timestamp(0));
            for owner in 0..owners {
                let mut newcomers = Newcomers::after(newest, Timestamp(0));
                for number in 0..filler {
                    // Newer ones, which push the others out.
                    newcomers.saw(&id(30_000 + number as i64, 1_000_000));
                }
                for (number, at) in times.iter().enumerate() {
                    let id = id(*at, (number % 7) as u32);
                    if newcomers.takes(&id) {
                        prop_assert!(taken.insert(id.clone()), "{id} by owner {owner}");
                    }
                    prop_assert!(newcomers.used.len() <= USED_MAX);
                }
                newest = Some(newcomers.newest());
            }
        }
    }
}
