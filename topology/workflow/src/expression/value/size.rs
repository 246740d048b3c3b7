//! How large values are. The sizes are estimates of what the allocator gives, and rather too large.

use jaq_json::{Num, Rc, Val};

use crate::expression::meter::{self, DIGITS_MAX, Stop, TEXT_BYTES_MAX};

const LIST: usize = 64;
/// A slot, room to grow, and the box of a text that may be in it.
const ITEM: usize = 64;
const MAPPING: usize = 224;
const ENTRY: usize = 144;
const TEXT: usize = 96;
const NUMBER: usize = 64;

/// Bits of a number of [`DIGITS_MAX`] digits.
const BITS_MAX: u64 = DIGITS_MAX as u64 * 10 / 3;

/// Bytes that the value takes itself, without its parts.
pub(super) fn bytes(value: &Val) -> usize {
    match value {
        Val::Null | Val::Bool(_) | Val::Num(Num::Int(_) | Num::Float(_)) => 0,
        Val::Num(Num::BigInt(number)) => NUMBER + (number.bits() / 8) as usize,
        Val::Num(Num::Dec(text)) => NUMBER + text.len(),
        Val::BStr(text) | Val::TStr(text) => TEXT + text.len(),
        Val::Arr(items) => items_bytes(items.len()),
        Val::Obj(entries) => entries_bytes(entries.len()),
    }
}

pub(super) fn items_bytes(count: usize) -> usize {
    LIST + ITEM * count
}

pub(super) fn entries_bytes(count: usize) -> usize {
    MAPPING + ENTRY * count
}

/// Whether what it takes goes when this one is dropped.
pub(super) fn is_alone(value: &Val) -> bool {
    match value {
        Val::Null | Val::Bool(_) | Val::Num(Num::Int(_) | Num::Float(_)) => false,
        Val::Num(Num::BigInt(number)) => Rc::strong_count(number) == 1,
        Val::Num(Num::Dec(text)) => Rc::strong_count(text) == 1,
        Val::BStr(text) | Val::TStr(text) => text.is_unique(),
        Val::Arr(items) => Rc::strong_count(items) == 1,
        Val::Obj(entries) => Rc::strong_count(entries) == 1,
    }
}

/// Refuses a text that is too long.
pub(in crate::expression) fn check_text(bytes: usize) {
    if bytes > TEXT_BYTES_MAX {
        meter::stop(Stop::Text);
    }
}

pub(super) fn check_number(number: &Num) {
    let is_too_long = match number {
        Num::Int(_) | Num::Float(_) => false,
        Num::BigInt(number) => number.bits() > BITS_MAX,
        Num::Dec(text) => text.len() > DIGITS_MAX,
    };
    if is_too_long {
        meter::stop(Stop::Digits);
    }
}

/// How deep it is nested.
pub(super) fn depth(value: &Val) -> usize {
    meter::spend(1);
    match value {
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) => 0,
        Val::Arr(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Val::Obj(entries) => {
            1 + entries.iter().map(|(key, item)| depth(key).max(depth(item))).max().unwrap_or(0)
        }
    }
}

/// Counts a walk over all of it, and gives the bytes that all of it takes.
pub(in crate::expression) fn spend_walk(value: &Val) -> usize {
    meter::spend(1);
    let parts: usize = match value {
        Val::Null | Val::Bool(_) | Val::Num(_) => 0,
        Val::BStr(text) | Val::TStr(text) => {
            meter::spend_text(text.len());
            0
        }
        Val::Arr(items) => items.iter().map(spend_walk).sum(),
        Val::Obj(entries) => entries.iter().map(|(key, item)| spend_walk(key) + spend_walk(item)).sum(),
    };
    bytes(value) + parts
}

/// How long its JSON is, or longer. Counts the walk.
pub(in crate::expression) fn json_bytes(value: &Val) -> usize {
    meter::spend(1);
    match value {
        Val::Null | Val::Bool(_) => 5,
        Val::Num(Num::Int(_) | Num::Float(_)) => 32,
        Val::Num(Num::BigInt(number)) => {
            let digits = 2 + number.bits() as usize / 3;
            // Writing a number takes the square of its length.
            meter::spend(1 + (digits * digits / 4096) as u64);
            digits
        }
        Val::Num(Num::Dec(text)) => text.len(),
        Val::BStr(text) => {
            meter::spend_text(text.len());
            3 + 4 * text.len()
        }
        Val::TStr(text) => {
            meter::spend_text(text.len());
            let is_special = |it: &&u8| matches!(**it, 0..=0x1F | b'\\' | b'"' | 0x7F);
            // What is no UTF-8 may become a replacement character, of three bytes.
            let is_high = |it: &&u8| **it >= 0x80;
            2 + text.len()
                + 5 * text.iter().filter(is_special).count()
                + 2 * text.iter().filter(is_high).count()
        }
        Val::Arr(items) => 2 + items.iter().map(|it| 1 + json_bytes(it)).sum::<usize>(),
        Val::Obj(entries) => {
            2 + entries.iter().map(|(key, item)| 2 + json_bytes(key) + json_bytes(item)).sum::<usize>()
        }
    }
}

/// How long the bytes in nested lists are together.
pub(in crate::expression) fn payload_bytes(value: &Val) -> usize {
    meter::spend(1);
    match value {
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::Obj(_) => 1,
        Val::BStr(text) | Val::TStr(text) => text.len(),
        Val::Arr(items) => items.iter().map(payload_bytes).sum(),
    }
}
