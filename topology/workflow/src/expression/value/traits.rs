//! What jaq's interpreter and its standard library ask of a value.

use std::fmt;

use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{Error, Exn, ValR, ValX};
use jaq_json::{Num, Val};

use super::parts::Parts;
use super::{Entries, Items, Metered, build, is_equal, json_bytes, look_up, own_entries, own_items, size};
use crate::expression::meter;

type Iter<T> = Box<dyn Iterator<Item = T>>;

const NUMBER_AS_INDEX: &str = "integer";
const ITERABLE: &str = "iterable (array or object)";
const RANGEABLE: &str = "rangeable (array or string)";

impl From<bool> for Metered {
    fn from(is: bool) -> Self {
        Self::plain(Val::Bool(is))
    }
}

impl From<isize> for Metered {
    fn from(number: isize) -> Self {
        Self::plain(Val::from(number))
    }
}

impl From<usize> for Metered {
    fn from(number: usize) -> Self {
        Self::number(Num::from_integral(number))
    }
}

impl From<f64> for Metered {
    fn from(number: f64) -> Self {
        Self::plain(Val::from(number))
    }
}

impl From<String> for Metered {
    fn from(text: String) -> Self {
        meter::spend_text(text.len());
        Self::text(text.into_bytes())
    }
}

impl From<Range<Self>> for Metered {
    fn from(range: Range<Self>) -> Self {
        let mut entries = Entries::new();
        for (name, bound) in [("start", range.start), ("end", range.end)] {
            if let Some(bound) = bound {
                entries.insert(name.to_owned().into(), bound);
            }
        }
        entries.finish()
    }
}

impl FromIterator<Self> for Metered {
    fn from_iter<T: IntoIterator<Item = Self>>(iter: T) -> Self {
        let mut items = Items::new();
        iter.into_iter().for_each(|it| items.push(it));
        items.finish()
    }
}

/// As JSON. Counted before it is written: jaq writes whole values into its messages.
impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = json_bytes(&self.value);
        size::check_text(bytes);
        meter::need(2 * bytes);
        self.value.fmt(f)
    }
}

impl jaq_core::ValT for Metered {
    fn from_num(text: &str) -> ValR<Self> {
        // To read a long number takes the square of its length.
        meter::spend(text.len() as u64 * text.len() as u64 / 64);
        let number = <Val as jaq_core::ValT>::from_num(text).map_err(|it| Error::str(it.into_val()))?;
        match number {
            Val::Num(number) => Ok(Self::number(number)),
            other => Ok(Self::plain(other)),
        }
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(iter: I) -> ValR<Self> {
        let mut entries = Entries::new();
        iter.into_iter().for_each(|(key, item)| entries.insert(key, item));
        Ok(entries.finish())
    }

    fn key_values(self) -> Iter<Result<(Self, Self), Error<Self>>> {
        match &self.value {
            Val::Arr(_) | Val::Obj(_) => Box::new(Parts::of(self).map(Ok)),
            _ => Box::new(std::iter::once(Err(Error::typ(self, ITERABLE)))),
        }
    }

    fn values(self) -> Iter<ValR<Self>> {
        match &self.value {
            Val::Arr(_) | Val::Obj(_) => Box::new(Parts::of(self).map(|(_, item)| Ok(item))),
            _ => Box::new(std::iter::once(Err(Error::typ(self, ITERABLE)))),
        }
    }

    fn index(self, index: &Self) -> ValR<Self> {
        meter::spend(1);
        let found = match (&self.value, &index.value) {
            (Val::Null, _) => Val::Null,
            (Val::Arr(items), Val::Num(number @ (Num::Int(_) | Num::BigInt(_)))) => {
                position(number, items.len()).and_then(|at| items.get(at)).cloned().unwrap_or_default()
            }
            (Val::BStr(bytes), Val::Num(number @ (Num::Int(_) | Num::BigInt(_)))) => {
                position(number, bytes.len())
                    .and_then(|at| bytes.get(at))
                    .map_or(Val::Null, |it| Val::from(usize::from(*it)))
            }
            (Val::Arr(_), Val::Arr(part)) if part.is_empty() => return Ok(Items::new().finish()),
            (Val::Arr(items), Val::Arr(part)) => return Ok(occurrences(items, part)),
            (Val::Obj(entries), key) => {
                look_up(key, entries.len());
                entries.get(key).cloned().unwrap_or_default()
            }
            (Val::BStr(_) | Val::TStr(_) | Val::Arr(_), Val::Obj(_)) => {
                let (start, end) = bounds(index);
                return self.range(start.as_ref()..end.as_ref());
            }
            _ => return Err(Error::index(self, index.clone())),
        };
        Ok(self.step_to(found))
    }

    fn range(self, range: Range<&Self>) -> ValR<Self> {
        let inner = range.start.map(|it| &it.value)..range.end.map(|it| &it.value);
        match &self.value {
            Val::Arr(items) => meter::spend(items.len() as u64),
            Val::BStr(text) | Val::TStr(text) => meter::spend_text(text.len()),
            _ => return Err(Error::typ(self, RANGEABLE)),
        }
        check_range(&range)?;
        let part =
            jaq_core::ValT::range(self.value.clone(), inner).map_err(|it| Error::str(it.into_val()))?;
        meter::take(match &part {
            Val::Arr(items) => size::items_bytes(items.len()),
            _ => size::bytes(&Val::utf8_str(Vec::new())),
        });
        Ok(self.follow(part, self.depth))
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match &self.value {
            Val::Arr(_) => {
                let mut items = Items::new();
                for (_, item) in Parts::of(self) {
                    for new in f(item) {
                        items.push(new?);
                    }
                }
                Ok(items.finish())
            }
            Val::Obj(_) => {
                let mut entries = Entries::new();
                for (key, item) in Parts::of(self) {
                    if let Some(new) = f(item).next() {
                        entries.insert(key, new?);
                    }
                }
                Ok(entries.finish())
            }
            _ => opt.fail(self, |it| Exn::from(Error::typ(it, ITERABLE))),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        mut self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        meter::spend(1);
        if let (Val::BStr(_) | Val::TStr(_) | Val::Arr(_), Val::Obj(_)) = (&self.value, &index.value) {
            let (start, end) = bounds(index);
            return self.map_range(start.as_ref()..end.as_ref(), opt, f);
        }
        let depth = self.depth;
        let part_depth = usize::from(depth.saturating_sub(1));
        match &mut self.value {
            Val::Obj(entries) => {
                let entries = own_entries(entries);
                look_up(&index.value, entries.len());
                let old = entries.get_mut(&index.value).map(std::mem::take);
                let is_there = old.is_some();
                let new = f(Self::given(old.unwrap_or_default(), part_depth)).next().transpose()?;
                let new_depth = new.as_ref().map_or(0, |it| it.depth).max(index.depth);
                match new {
                    Some(new) if is_there => entries[&index.value] = new.into_value(),
                    Some(new) => build::insert(entries, index.value.clone(), new.into_value()),
                    None => {
                        // As jaq does it, at the price of the order.
                        if entries.swap_remove(&index.value).is_some() {
                            meter::give_back(size::entries_bytes(1) - size::entries_bytes(0));
                        }
                    }
                }
                Ok(self.deepened(new_depth))
            }
            Val::Arr(items) => {
                let at = match &index.value {
                    Val::Num(number @ (Num::Int(_) | Num::BigInt(_))) if is_index(number) => {
                        position(number, items.len()).filter(|at| *at < items.len())
                    }
                    _ => {
                        let error = Error::typ(index.clone(), NUMBER_AS_INDEX);
                        return opt.fail(self, |_| Exn::from(error));
                    }
                };
                let Some(at) = at else {
                    let error = Error::str(format_args!("index {index} out of bounds"));
                    return opt.fail(self, |_| Exn::from(error));
                };
                let items = own_items(items);
                let old = std::mem::take(&mut items[at]);
                let new = f(Self::given(old, part_depth)).next().transpose()?;
                let new_depth = new.as_ref().map_or(0, |it| it.depth);
                match new {
                    Some(new) => items[at] = new.into_value(),
                    None => {
                        meter::spend(items.len() as u64 / 4);
                        meter::give_back(size::items_bytes(1) - size::items_bytes(0));
                        items.remove(at);
                    }
                }
                Ok(self.deepened(new_depth))
            }
            _ => opt.fail(self, |it| Exn::from(Error::typ(it, ITERABLE))),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        mut self,
        range: Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        if !matches!(self.value, Val::Arr(_) | Val::BStr(_) | Val::TStr(_)) {
            return opt.fail(self, |it| Exn::from(Error::typ(it, "array")));
        }
        if let Err(error) = check_range(&range) {
            return opt.fail(self, |_| Exn::from(error));
        }
        let whole = length(&self.value);
        let skip = match range.start {
            Some(start) if !matches!(start.value, Val::Null) => {
                length(&self.clone().range(None..range.start)?.value)
            }
            Some(_) | None => 0,
        };
        let part = self.clone().range(range.start..range.end)?.keyless();
        let take = length(&part.value);
        let new = f(part).next().transpose()?;
        match &mut self.value {
            Val::Arr(items) => {
                let new = match new {
                    None => Items::new().finish(),
                    Some(new) if matches!(new.value, Val::Arr(_)) => new,
                    Some(new) => return Err(Exn::from(Error::typ(new, "array"))),
                };
                let new_items = match &new.value {
                    Val::Arr(it) => it.as_slice(),
                    _ => &[],
                };
                meter::spend((whole + new_items.len()) as u64);
                meter::take(size::items_bytes(new_items.len()));
                own_items(items).splice(skip..skip + take, new_items.iter().cloned());
                meter::give_back(size::items_bytes(take));
                let new_depth = new.depth.saturating_sub(1);
                drop(new);
                Ok(self.deepened(new_depth))
            }
            old => {
                let is_text = matches!(old, Val::TStr(_));
                let (Val::TStr(text) | Val::BStr(text)) = old else { return Ok(self) };
                let new = match new {
                    None => Self::plain(Val::Null),
                    Some(new) => match (&new.value, is_text) {
                        (Val::TStr(_), true) | (Val::BStr(_), false) => new,
                        _ => return Err(Exn::from(Error::typ(new, "string"))),
                    },
                };
                let new = jaq_std::ValT::as_bytes(&new).unwrap_or_default();
                size::check_text(whole - take + new.len());
                meter::need(whole + new.len());
                let joined = [&text[..skip], new, &text[skip + take..]].concat();
                Ok(Self::made(if is_text { Val::utf8_str(joined) } else { Val::byte_str(joined) }, 0))
            }
        }
    }

    fn as_bool(&self) -> bool {
        !matches!(self.value, Val::Null | Val::Bool(false))
    }

    fn into_string(self) -> Self {
        match &self.value {
            Val::TStr(_) => self,
            Val::BStr(text) => Self::made(Val::TStr(text.clone()), 0),
            _ => self.to_json(),
        }
    }
}

impl Metered {
    /// Its JSON, as text.
    pub(in crate::expression) fn to_json(&self) -> Self {
        let bytes = json_bytes(&self.value);
        size::check_text(bytes);
        meter::spend(10);
        meter::need(bytes);
        let mut text = Vec::with_capacity(bytes.min(4096));
        let pretty = jaq_json::write::Pp::default();
        // Writing into memory does not fail.
        let _ = jaq_json::write::write(&mut text, &pretty, 0, &self.value);
        Self::text(text)
    }

    fn step_to(&self, value: Val) -> Self {
        self.follow(value, self.depth.saturating_sub(1))
    }

    fn keyless(self) -> Self {
        let depth = self.depth;
        Self { value: self.into_value(), depth, keys: 0 }
    }

    /// The same after a part of it was set that is itself as deep as this.
    fn deepened(self, part: u16) -> Self {
        let depth = usize::from(self.depth.max(part + 1));
        Self::nested(self.into_value(), depth)
    }
}

/// The bounds that a mapping `{start, end}` has.
fn bounds(index: &Metered) -> (Option<Metered>, Option<Metered>) {
    let bound = |name: &str| match &index.value {
        Val::Obj(entries) => {
            entries.get(&Val::utf8_str(name.as_bytes().to_vec())).map(|it| index.part(it.clone()))
        }
        _ => None,
    };
    (bound("start"), bound("end"))
}

/// Refuses bounds that are no whole numbers.
fn check_range(range: &Range<&Metered>) -> Result<(), Error<Metered>> {
    for bound in [range.start, range.end].into_iter().flatten() {
        let is_fit = match &bound.value {
            Val::Null => true,
            Val::Num(number) => is_index(number),
            _ => false,
        };
        if !is_fit {
            return Err(Error::typ(bound.clone(), NUMBER_AS_INDEX));
        }
    }
    Ok(())
}

/// Whether it is whole, and no larger than a machine counts.
fn is_index(number: &Num) -> bool {
    match number {
        Num::Int(_) => true,
        Num::BigInt(number) => number.bits() <= u64::from(usize::BITS),
        Num::Float(_) | Num::Dec(_) => false,
    }
}

/// The place that a number, counted from the end if negative, stands for.
pub(in crate::expression) fn position(number: &Num, length: usize) -> Option<usize> {
    let number = number.as_isize()?;
    if number >= 0 { Some(number.unsigned_abs()) } else { length.checked_sub(number.unsigned_abs()) }
}

/// Where `part` is in `items`.
fn occurrences(items: &[Val], part: &[Val]) -> Metered {
    let mut found = Items::new();
    for (at, window) in items.windows(part.len()).enumerate() {
        meter::spend(1);
        if window.iter().zip(part).all(|(l, r)| is_equal(l, r)) {
            found.push(Metered::plain(Val::from(at as isize)));
        }
    }
    found.finish()
}

fn length(value: &Val) -> usize {
    match value {
        Val::Arr(items) => items.len(),
        Val::BStr(text) | Val::TStr(text) => text.len(),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::Obj(_) => 0,
    }
}

impl jaq_std::ValT for Metered {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        let Val::Arr(items) = &self.value else { return Err(self) };
        meter::need(2 * size_of::<Self>() * items.len());
        Ok(Parts::of(self).map(|it| it.1).collect())
    }

    fn is_int(&self) -> bool {
        matches!(self.value, Val::Num(Num::Int(_) | Num::BigInt(_)))
    }

    fn as_isize(&self) -> Option<isize> {
        match &self.value {
            Val::Num(number) => number.as_isize(),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        jaq_std::ValT::as_f64(&self.value)
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self.value, Val::TStr(_))
    }

    /// Whoever asks for the bytes looks at all of them, and may make as many again.
    fn as_bytes(&self) -> Option<&[u8]> {
        match &self.value {
            Val::BStr(text) | Val::TStr(text) => {
                meter::spend_text(text.len());
                meter::need(6 * text.len());
                Some(text)
            }
            _ => None,
        }
    }

    fn as_sub_str(&self, part: &[u8]) -> Self {
        meter::take(size::bytes(&Val::utf8_str(Vec::new())));
        Self::given(jaq_std::ValT::as_sub_str(&self.value, part), 0)
    }

    fn from_utf8_bytes(text: impl AsRef<[u8]> + Send + 'static) -> Self {
        let bytes = text.as_ref().len();
        size::check_text(bytes);
        meter::spend_text(bytes);
        Self::made(<Val as jaq_std::ValT>::from_utf8_bytes(text), 0)
    }
}
