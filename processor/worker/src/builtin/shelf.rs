//! A bounded place for what is dear to get: tokens, documents.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex as AsyncMutex;

/// What an entry is found by: a digest, so that no secret is kept for it.
pub(super) type Key = [u8; 32];

/// The digest of several parts. Where one ends and the next begins makes a difference.
pub(super) fn key(parts: &[&[u8]]) -> Key {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}

/// Entries by key. Whoever needs one locks it and fills it: all others who need the same wait, and find it there. Past its bounds it
/// forgets what was not asked for longest.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    entries: Mutex<Entries<T>>,
    count_max: usize,
    weight_max: usize,
}

#[derive(Debug)]
struct Entries<T> {
    by_key: HashMap<Key, Entry<T>>,
    /// Counts what was asked for.
    clock: u64,
}

#[derive(Debug)]
struct Entry<T> {
    slot: Arc<AsyncMutex<T>>,
    asked: u64,
    weight: usize,
}

impl<T: Default> Shelf<T> {
    pub(super) fn new(count_max: usize, weight_max: usize) -> Self {
        let entries = Entries { by_key: HashMap::new(), clock: 0 };
        Self { entries: Mutex::new(entries), count_max, weight_max }
    }

    /// The entry; a new one if there is none.
    pub(super) fn slot(&self, key: Key) -> Arc<AsyncMutex<T>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clock += 1;
        let asked = entries.clock;
        let entry =
            entries.by_key.entry(key).or_insert_with(|| Entry { slot: Arc::default(), asked, weight: 0 });
        entry.asked = asked;
        let slot = Arc::clone(&entry.slot);
        self.shrink(&mut entries);
        slot
    }

    /// Says how heavy the entry is.
    pub(super) fn weigh(&self, key: Key, weight: usize) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.by_key.get_mut(&key) {
            entry.weight = weight;
        }
        self.shrink(&mut entries);
    }

    fn shrink(&self, entries: &mut Entries<T>) {
        let mut weight: usize = entries.by_key.values().map(|it| it.weight).sum();
        while entries.by_key.len() > self.count_max || (weight > self.weight_max && entries.by_key.len() > 1)
        {
            let oldest = entries.by_key.iter().min_by_key(|(_, it)| it.asked).map(|(key, _)| *key);
            let Some(gone) = oldest.and_then(|it| entries.by_key.remove(&it)) else { break };
            weight -= gone.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_not_asked_for_longest_is_forgotten() {
        let shelf = Shelf::<&str>::new(2, 100);
        let [a, b, c] = ["a", "b", "c"].map(|it| key(&[it.as_bytes()]));
        *shelf.slot(a).lock().await = "a";
        *shelf.slot(b).lock().await = "b";
        assert_eq!(*shelf.slot(a).lock().await, "a");
        *shelf.slot(c).lock().await = "c";
        assert_eq!(*shelf.slot(a).lock().await, "a");
        assert_eq!(*shelf.slot(b).lock().await, "");
        *shelf.slot(b).lock().await = "b";
        shelf.weigh(a, 60);
        shelf.weigh(b, 60);
        assert_eq!(*shelf.slot(a).lock().await, "");
        assert_eq!(*shelf.slot(b).lock().await, "b");
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
    }
}
