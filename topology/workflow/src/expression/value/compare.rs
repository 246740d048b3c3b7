//! Order and equality, as jaq has them, counted: large values may be compared again and again.

use std::cmp::Ordering;

use jaq_json::Val;

use super::{Metered, spend_walk};
use crate::expression::meter;

impl PartialEq for Metered {
    fn eq(&self, other: &Self) -> bool {
        is_equal(&self.value, &other.value)
    }
}

impl Eq for Metered {}

impl PartialOrd for Metered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Metered {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.value, &other.value)
    }
}

/// Which one is first.
pub(in crate::expression) fn compare(left: &Val, right: &Val) -> Ordering {
    meter::spend(1);
    match (left, right) {
        (Val::BStr(l) | Val::TStr(l), Val::BStr(r) | Val::TStr(r)) => {
            meter::spend_text(l.len().min(r.len()));
            l.cmp(r)
        }
        (Val::Arr(l), Val::Arr(r)) => {
            for (l, r) in l.iter().zip(r.iter()) {
                let order = compare(l, r);
                if order.is_ne() {
                    return order;
                }
            }
            l.len().cmp(&r.len())
        }
        (Val::Obj(l), Val::Obj(r)) if !l.is_empty() && !r.is_empty() => {
            let (l, r) = (by_key(l), by_key(r));
            let by_keys = by_order(l.iter().map(|it| it.0), r.iter().map(|it| it.0));
            by_keys.then_with(|| by_order(l.iter().map(|it| it.1), r.iter().map(|it| it.1)))
        }
        // The rest takes no time: at least one of them is no container, or they are empty.
        (l, r) => l.cmp(r),
    }
}

fn by_key(entries: &jaq_json::Map) -> Vec<(&Val, &Val)> {
    meter::spend(entries.len() as u64);
    meter::need(size_of::<(&Val, &Val)>() * entries.len());
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|l, r| compare(l.0, r.0));
    sorted
}

fn by_order<'a>(
    mut left: impl Iterator<Item = &'a Val>,
    mut right: impl Iterator<Item = &'a Val>,
) -> Ordering {
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(l), Some(r)) => {
                let order = compare(l, r);
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

/// Whether they are the same.
pub(in crate::expression) fn is_equal(left: &Val, right: &Val) -> bool {
    meter::spend(1);
    match (left, right) {
        (Val::BStr(l) | Val::TStr(l), Val::BStr(r) | Val::TStr(r)) => {
            meter::spend_text(if l.len() == r.len() { l.len() } else { 0 });
            l == r
        }
        (Val::Arr(l), Val::Arr(r)) => {
            l.len() == r.len() && l.iter().zip(r.iter()).all(|(l, r)| is_equal(l, r))
        }
        (Val::Obj(l), Val::Obj(r)) => {
            l.len() == r.len()
                && l.iter().all(|(key, l)| {
                    look_up(key, r.len());
                    r.get(key).is_some_and(|r| is_equal(l, r))
                })
        }
        (l, r) => l == r,
    }
}

/// Counts the search for `key` among as many others.
pub(in crate::expression) fn look_up(key: &Val, among: usize) {
    match key {
        Val::BStr(text) | Val::TStr(text) => meter::spend_text(text.len()),
        // NaN is not itself, and many of it fall on one place, where each is asked.
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::Arr(_) | Val::Obj(_) => {
            spend_walk(key);
            meter::spend(among as u64);
        }
    }
}
