//! The parts of a list or a mapping, one after the other.

use jaq_json::{Map, Rc, Val};

use super::{Metered, one_more, release, size};
use crate::expression::meter;

/// Yields keys and items. Parts of what nobody else holds are moved out, so that they can be changed in their place.
pub(in crate::expression) struct Parts {
    from: From,
    /// Of the parts.
    depth: u16,
    keys: u16,
}

enum From {
    /// Somebody else holds it too, or it has no parts.
    Shared {
        whole: Metered,
        at: usize,
    },
    Items {
        items: std::vec::IntoIter<Val>,
        at: usize,
        bytes: usize,
    },
    Entries {
        entries: <Map as IntoIterator>::IntoIter,
        bytes: usize,
    },
}

impl Parts {
    pub(in crate::expression) fn of(whole: Metered) -> Self {
        let (depth, keys) = (whole.depth.saturating_sub(1), one_more(whole.keys));
        if !size::is_alone(&whole.value) {
            return Self { from: From::Shared { whole, at: 0 }, depth, keys };
        }
        let bytes = size::bytes(&whole.value);
        let from = match whole.into_value() {
            Val::Arr(items) => From::Items { items: Rc::unwrap_or_clone(items).into_iter(), at: 0, bytes },
            Val::Obj(entries) => From::Entries { entries: Rc::unwrap_or_clone(entries).into_iter(), bytes },
            other => From::Shared { whole: Metered::given(other, 0), at: 0 },
        };
        Self { from, depth, keys }
    }

    fn part(&self, value: Val) -> Metered {
        Metered { value, depth: self.depth, keys: self.keys }
    }
}

impl Iterator for Parts {
    type Item = (Metered, Metered);

    fn next(&mut self) -> Option<Self::Item> {
        // `..` hands each part through all that is above it.
        meter::spend(1 + u64::from(self.keys) / 4);
        let key_at = |at: usize| Metered::plain(Val::from(at as isize));
        match &mut self.from {
            From::Shared { whole, at } => {
                let (key, item) = match &whole.value {
                    Val::Arr(items) => (Val::from(*at as isize), items.get(*at)?.clone()),
                    Val::Obj(entries) => {
                        let (key, item) = entries.get_index(*at)?;
                        (key.clone(), item.clone())
                    }
                    Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) => return None,
                };
                *at += 1;
                Some((self.part(key), self.part(item)))
            }
            From::Items { items, at, .. } => {
                let item = items.next()?;
                let key = key_at(*at);
                *at += 1;
                Some((key, self.part(item)))
            }
            From::Entries { entries, .. } => {
                let (key, item) = entries.next()?;
                Some((self.part(key), self.part(item)))
            }
        }
    }

    /// Exact: jaq takes a short cut for what yields one value.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.from {
            From::Shared { whole, at } => match &whole.value {
                Val::Arr(items) => items.len() - at,
                Val::Obj(entries) => entries.len() - at,
                Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) => 0,
            },
            From::Items { items, .. } => items.len(),
            From::Entries { entries, .. } => entries.len(),
        };
        (left, Some(left))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        match &self.from {
            From::Shared { .. } => {}
            From::Items { items, bytes, .. } => {
                items.as_slice().iter().for_each(release);
                meter::give_back(*bytes);
            }
            From::Entries { entries, bytes } => {
                for (key, item) in entries.as_slice() {
                    release(key);
                    release(item);
                }
                meter::give_back(*bytes);
            }
        }
    }
}
