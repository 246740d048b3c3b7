//! Lists and mappings that grow, counted element by element.

use jaq_json::{Map, Rc, Val};

use super::{Metered, look_up, release, size};
use crate::expression::meter;

/// A list that is being made.
pub(in crate::expression) struct Items {
    items: Vec<Val>,
    depth: usize,
}

impl Items {
    pub(in crate::expression) fn new() -> Self {
        meter::take(size::items_bytes(0));
        Self { items: Vec::new(), depth: 0 }
    }

    pub(in crate::expression) fn push(&mut self, item: Metered) {
        meter::spend(1);
        meter::take(size::items_bytes(1) - size::items_bytes(0));
        self.depth = self.depth.max(item.depth());
        self.items.push(item.into_value());
    }

    pub(in crate::expression) fn finish(mut self) -> Metered {
        let items = std::mem::take(&mut self.items);
        // What `drop` gives back is that of an empty list; this one takes it again.
        meter::take(size::items_bytes(0));
        Metered::nested(Val::Arr(Rc::new(items)), self.depth + 1)
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        meter::give_back(size::items_bytes(self.items.len()));
        self.items.iter().for_each(release);
    }
}

/// A mapping that is being made.
pub(in crate::expression) struct Entries {
    entries: Map,
    depth: usize,
}

impl Entries {
    pub(in crate::expression) fn new() -> Self {
        meter::spend(10);
        meter::take(size::entries_bytes(0));
        Self { entries: Map::default(), depth: 0 }
    }

    pub(in crate::expression) fn insert(&mut self, key: Metered, item: Metered) {
        self.depth = self.depth.max(key.depth()).max(item.depth());
        insert(&mut self.entries, key.into_value(), item.into_value());
    }

    pub(in crate::expression) fn finish(mut self) -> Metered {
        let entries = std::mem::take(&mut self.entries);
        meter::take(size::entries_bytes(0));
        Metered::nested(Val::obj(entries), self.depth + 1)
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        meter::give_back(size::entries_bytes(self.entries.len()));
        for (key, item) in &self.entries {
            release(key);
            release(item);
        }
    }
}

/// Puts an entry into a mapping, counted.
pub(super) fn insert(entries: &mut Map, key: Val, item: Val) {
    meter::spend(5);
    look_up(&key, entries.len());
    meter::take(size::entries_bytes(1) - size::entries_bytes(0));
    let count = entries.len();
    if entries.insert(key, item).is_some() || entries.len() == count {
        meter::give_back(size::entries_bytes(1) - size::entries_bytes(0));
    }
}
