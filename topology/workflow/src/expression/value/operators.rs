//! `+`, `-`, `*`, `/` and `%`: what the result takes is counted before it is made.

use std::collections::BTreeSet;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

use jaq_core::ops::Math;
use jaq_core::{Error, ValR};
use jaq_json::{Map, Num, Rc, Val};

use super::{Items, Metered, build, compare, look_up, own_entries, own_items, size};
use crate::expression::meter;

type Result = ValR<Metered>;

fn cannot(left: Metered, operator: Math, right: Metered) -> Result {
    Err(Error::math(left, operator, right))
}

/// Arithmetic of two numbers.
fn calculate(left: &Num, right: &Num, operator: impl Fn(Num, Num) -> Num) -> Result {
    meter::spend(2 + words(left) * words(right) / 4);
    Ok(Metered::number(operator(left.clone(), right.clone())))
}

fn words(number: &Num) -> u64 {
    match number {
        Num::Int(_) | Num::Float(_) => 1,
        Num::BigInt(number) => 1 + number.bits() / 64,
        Num::Dec(text) => 1 + text.len() as u64 / 8,
    }
}

impl Add for Metered {
    type Output = Result;

    fn add(self, other: Self) -> Result {
        meter::spend(1);
        match (&self.value, &other.value) {
            (Val::Null, _) => Ok(other),
            (_, Val::Null) => Ok(self),
            (Val::Num(l), Val::Num(r)) => calculate(l, r, |l, r| l + r),
            (Val::TStr(l), Val::TStr(r)) | (Val::BStr(l), Val::BStr(r)) => {
                let (long, more) = (l.len(), r.len());
                size::check_text(long + more);
                // A text that nobody else holds grows in its place.
                meter::spend_text(if l.is_unique() { more } else { long + more });
                let taken = if l.is_unique() { 2 * more } else { size::bytes(&self.value) + more };
                meter::take(taken);
                if size::is_alone(&other.value) {
                    meter::give_back(size::bytes(&other.value));
                }
                let joined = self.into_value() + other.into_value();
                Ok(Self::given(joined.map_err(|_| unequal())?, 0))
            }
            (Val::Arr(_), Val::Arr(_)) => {
                let depth = usize::from(self.depth.max(other.depth));
                let (Val::Arr(mut l), Val::Arr(r)) = (self.into_value(), other.into_value()) else {
                    unreachable!("both were seen to be lists");
                };
                meter::spend(r.len() as u64);
                // The parts are counted already, as parts of the right one.
                meter::take(size::items_bytes(r.len()) - size::items_bytes(0));
                own_items(&mut l).extend(r.iter().cloned());
                if Rc::strong_count(&r) == 1 {
                    meter::give_back(size::items_bytes(r.len()));
                }
                Ok(Self::nested(Val::Arr(l), depth))
            }
            (Val::Obj(_), Val::Obj(_)) => {
                let depth = usize::from(self.depth.max(other.depth));
                let (Val::Obj(mut l), Val::Obj(r)) = (self.into_value(), other.into_value()) else {
                    unreachable!("both were seen to be mappings");
                };
                let entries = own_entries(&mut l);
                for (key, item) in r.iter() {
                    meter::spend(1);
                    build::insert(entries, key.clone(), item.clone());
                }
                if Rc::strong_count(&r) == 1 {
                    meter::give_back(size::entries_bytes(r.len()));
                }
                Ok(Self::nested(Val::Obj(l), depth))
            }
            _ => cannot(self, Math::Add, other),
        }
    }
}

fn unequal() -> Error<Metered> {
    Error::str("cannot join these")
}

impl Sub for Metered {
    type Output = Result;

    fn sub(self, other: Self) -> Result {
        meter::spend(1);
        match (&self.value, &other.value) {
            (Val::Num(l), Val::Num(r)) => calculate(l, r, |l, r| l - r),
            (Val::Arr(l), Val::Arr(r)) => {
                meter::need(size_of::<Ordered<'_>>() * 2 * r.len());
                let gone: BTreeSet<Ordered<'_>> = r.iter().map(Ordered).collect();
                let mut items = Items::new();
                for item in l.iter().filter(|it| !gone.contains(&Ordered(it))) {
                    items.push(self.part(item.clone()));
                }
                Ok(items.finish())
            }
            _ => cannot(self, Math::Sub, other),
        }
    }
}

/// A value in an order that is counted.
struct Ordered<'a>(&'a Val);

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered<'_> {}

impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        compare(self.0, other.0)
    }
}

impl Mul for Metered {
    type Output = Result;

    fn mul(self, other: Self) -> Result {
        meter::spend(1);
        match (&self.value, &other.value) {
            (Val::Num(l), Val::Num(r)) => calculate(l, r, |l, r| l * r),
            (Val::TStr(text) | Val::BStr(text), Val::Num(times))
            | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) => {
                let times = match times {
                    Num::Int(times) => usize::try_from(*times).unwrap_or(0),
                    Num::BigInt(_) if *times > Num::Int(0) => usize::MAX,
                    Num::BigInt(_) => 0,
                    Num::Float(_) | Num::Dec(_) => return cannot(self, Math::Mul, other),
                };
                if times == 0 {
                    return Ok(Self::plain(Val::Null));
                }
                let bytes = text.len().saturating_mul(times);
                size::check_text(bytes);
                meter::spend_text(bytes);
                meter::need(bytes);
                // Nothing many times would take its time too.
                let repeated = if text.is_empty() { Vec::new() } else { text.repeat(times) };
                let is_text = matches!((&self.value, &other.value), (Val::TStr(_), _) | (_, Val::TStr(_)));
                Ok(Self::made(if is_text { Val::utf8_str(repeated) } else { Val::byte_str(repeated) }, 0))
            }
            (Val::Obj(_), Val::Obj(_)) => {
                let depth = usize::from(self.depth.max(other.depth));
                let (Val::Obj(mut l), Val::Obj(r)) = (self.into_value(), other.into_value()) else {
                    unreachable!("both were seen to be mappings");
                };
                merge(&mut l, &r);
                Ok(Self::nested(Val::Obj(l), depth))
            }
            _ => cannot(self, Math::Mul, other),
        }
    }
}

/// Puts `right` into `left`, and mappings into mappings.
fn merge(left: &mut Rc<Map>, right: &Rc<Map>) {
    let left = own_entries(left);
    for (key, item) in right.iter() {
        meter::spend(1);
        look_up(key, left.len());
        match (left.get_mut(key), item) {
            (Some(Val::Obj(l)), Val::Obj(r)) => merge(l, r),
            (Some(l), r) => *l = r.clone(),
            (None, r) => build::insert(left, key.clone(), r.clone()),
        }
    }
}

impl Div for Metered {
    type Output = Result;

    fn div(self, other: Self) -> Result {
        meter::spend(1);
        match (&self.value, &other.value) {
            (Val::Num(l), Val::Num(r)) => calculate(l, r, |l, r| l / r),
            (Val::TStr(text), Val::TStr(separator)) | (Val::BStr(text), Val::BStr(separator)) => {
                meter::spend_text(text.len() + separator.len());
                let pieces = pieces(text, separator);
                meter::spend(2 * pieces as u64);
                let each = size::bytes(&Val::utf8_str(Vec::new()));
                meter::take(size::items_bytes(pieces) + pieces * each);
                let split = (self.value.clone() / other.value.clone()).map_err(|_| unequal())?;
                Ok(Self::given(split, 1))
            }
            _ => cannot(self, Math::Div, other),
        }
    }
}

/// Into how many pieces a text is split, or more.
fn pieces(text: &[u8], separator: &[u8]) -> usize {
    if separator.is_empty() {
        return text.len();
    }
    match (std::str::from_utf8(text), std::str::from_utf8(separator)) {
        (Ok(text), Ok(separator)) => text.matches(separator).count() + 1,
        (Err(_), _) | (_, Err(_)) => text.len() / separator.len() + 1,
    }
}

impl Rem for Metered {
    type Output = Result;

    fn rem(self, other: Self) -> Result {
        meter::spend(1);
        match (&self.value, &other.value) {
            (Val::Num(l), Val::Num(r)) if !(is_whole(l) && is_whole(r) && *r == Num::Int(0)) => {
                calculate(l, r, |l, r| l % r)
            }
            _ => cannot(self, Math::Rem, other),
        }
    }
}

fn is_whole(number: &Num) -> bool {
    matches!(number, Num::Int(_) | Num::BigInt(_))
}

impl Neg for Metered {
    type Output = Result;

    fn neg(self) -> Result {
        meter::spend(1);
        match &self.value {
            Val::Num(number) => {
                meter::spend(words(number));
                Ok(Self::number(-number.clone()))
            }
            _ => Err(Error::typ(self, "number")),
        }
    }
}
