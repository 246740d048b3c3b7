//! The values that jaq computes with: jaq's own, each operation of which is counted.
//!
//! jaq's interpreter is generic over its values, so this is the place where it can be stopped: before a text is repeated, while a list is
//! collected, at each comparison. What a value means is as in `jaq_json`; what it costs is here.

mod build;
mod compare;
mod operators;
mod parts;
mod size;
mod traits;

use jaq_json::{Num, Rc, Val};

use super::meter::{self, PATH_MAX, Stop, VALUE_DEPTH_MAX};

pub(super) use build::{Entries, Items};
pub(super) use compare::{compare, is_equal, look_up};
pub(super) use size::{check_text, json_bytes, payload_bytes, spend_walk};
pub(super) use traits::position;

/// A value, and what is known of where it came from.
#[derive(Clone, Debug)]
pub(super) struct Metered {
    value: Val,
    /// How deep it is nested, or more: 0 for what holds nothing.
    depth: u16,
    /// Over how many keys it was reached, one after the other. As long as jaq's path to it, or longer.
    keys: u16,
}

impl Metered {
    /// A value that was counted already, or that the evaluation was given.
    pub(super) fn given(value: Val, depth: usize) -> Self {
        Self { value, depth: checked(depth), keys: 0 }
    }

    /// A value that takes no memory of its own: null, true, a machine's number.
    pub(super) fn plain(value: Val) -> Self {
        Self { value, depth: 0, keys: 0 }
    }

    /// A value that was just made; counts what it takes.
    pub(super) fn made(value: Val, depth: usize) -> Self {
        meter::take(size::bytes(&value));
        Self::nested(value, depth)
    }

    /// A container that was counted already. `depth` is that of its deepest part and 1, or more.
    fn nested(value: Val, mut depth: usize) -> Self {
        if depth > VALUE_DEPTH_MAX {
            // What is known is a bound only: `.a = [.b]` again and again goes no deeper, but `depth` does not see it.
            depth = size::depth(&value);
        }
        Self { value, depth: checked(depth), keys: 0 }
    }

    pub(super) fn text(text: Vec<u8>) -> Self {
        size::check_text(text.len());
        Self::made(Val::utf8_str(text), 0)
    }

    /// A number, if it is not too long.
    pub(super) fn number(number: Num) -> Self {
        size::check_number(&number);
        Self::made(Val::Num(number), 0)
    }

    pub(super) fn as_value(&self) -> &Val {
        &self.value
    }

    pub(super) fn depth(&self) -> usize {
        self.depth.into()
    }

    /// What is inside; it stays counted.
    pub(super) fn into_value(mut self) -> Val {
        std::mem::take(&mut self.value)
    }

    /// A part of this value, as if reached without a key.
    fn part(&self, value: Val) -> Self {
        Self { value, depth: self.depth.saturating_sub(1), keys: self.keys }
    }

    /// A part of a value, reached by one more key.
    fn follow(&self, value: Val, depth: u16) -> Self {
        Self { value, depth, keys: one_more(self.keys) }
    }
}

fn checked(depth: usize) -> u16 {
    match u16::try_from(depth) {
        Ok(depth) if usize::from(depth) <= VALUE_DEPTH_MAX => depth,
        Ok(_) | Err(_) => meter::stop(Stop::Depth),
    }
}

fn one_more(keys: u16) -> u16 {
    if usize::from(keys) >= PATH_MAX {
        meter::stop(Stop::Path);
    }
    keys + 1
}

/// Gives back what it took, if nobody else holds it.
impl Drop for Metered {
    fn drop(&mut self) {
        release(&self.value);
    }
}

/// Gives back what goes when `value` is dropped.
fn release(value: &Val) {
    if !size::is_alone(value) {
        return;
    }
    meter::give_back(size::bytes(value));
    match value {
        Val::Arr(items) => items.iter().for_each(release),
        Val::Obj(entries) => entries.iter().for_each(|(key, item)| {
            release(key);
            release(item);
        }),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) => {}
    }
}

/// The list to change: a counted copy, if somebody else holds it too.
fn own_items(items: &mut Rc<Vec<Val>>) -> &mut Vec<Val> {
    if Rc::strong_count(items) > 1 {
        meter::spend(items.len() as u64);
        meter::take(size::items_bytes(items.len()));
    }
    Rc::make_mut(items)
}

/// The mapping to change: a counted copy, if somebody else holds it too.
fn own_entries(entries: &mut Rc<jaq_json::Map>) -> &mut jaq_json::Map {
    if Rc::strong_count(entries) > 1 {
        meter::spend(4 * entries.len() as u64);
        meter::take(size::entries_bytes(entries.len()));
    }
    Rc::make_mut(entries)
}
