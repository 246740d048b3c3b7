//! Which record of a key is the newest.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Offsets by key, for one pass. Keys are known by 128 bits of keyed hashes, so that long ones cost no more than short ones: two of a
/// billion keys are taken for one with a probability below 10^-20.
#[derive(Debug)]
pub(super) struct NewestByKey {
    hashers: [RandomState; 2],
    offsets: HashMap<u128, i64>,
    keys_max: usize,
    seen_upto: i64,
}

impl NewestByKey {
    pub(super) fn new(keys_max: usize) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            offsets: HashMap::new(),
            keys_max,
            seen_upto: 0,
        }
    }

    /// Whether the next batch, with this many records, is for the next pass. One batch always fits, or there would be no progress.
    pub(super) fn is_full_for(&self, record_count: i32) -> bool {
        let records = usize::try_from(record_count).unwrap_or(0);
        !self.offsets.is_empty() && self.offsets.len().saturating_add(records) > self.keys_max
    }

    /// Offsets of a key rise.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) {
        self.offsets.insert(self.hash(key), offset);
    }

    /// Every record below `offset` has been put, now or in an earlier pass.
    pub(super) fn see_upto(&mut self, offset: i64) {
        self.seen_upto = offset;
    }

    pub(super) fn seen_upto(&self) -> i64 {
        self.seen_upto
    }

    /// Whether a later record of the key was seen.
    pub(super) fn supersedes(&self, key: &[u8], offset: i64) -> bool {
        self.offsets.get(&self.hash(key)).is_some_and(|newest| *newest > offset)
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let [high, low] = self.hashers.each_ref().map(|it| u128::from(it.hash_one(key)));
        high << 64 | low
    }
}
