//! Functions that jaq has for its own type of values only, and those that could not be bounded from outside.

use jaq_core::box_iter::box_once;
use jaq_core::native::Fun;
use jaq_core::native::{bome, run, unary, v};
use jaq_core::{Bind, Cv, Error, Exn, ValR, ValT as _, ValXs};
use jaq_json::{Num, Val};
use jaq_std::ValT as _;

use super::library::Jq;
use super::meter::{self, Held};
use super::value::{Items, Metered, compare, is_equal, look_up, payload_bytes, spend_walk};
use super::{json_text, regex};

/// Longest format of a time, in bytes.
const FORMAT_BYTES_MAX: usize = 256;

/// Bytes that jaq takes for each item of a list that it sorts.
const SORTED_BYTES: usize = 160;

/// What replaces jaq's functions: definitions in jq, and the natives that they call by other names. What a function sorts by is collected
/// in jq, where it is counted.
pub(super) const DEFINITIONS: &str = r#"
def matches($re; $flags): __check_regex($re; $flags) | __matches($re; $flags);
def split_matches($re; $flags): __check_regex($re; $flags) | __split_matches($re; $flags);
def split_($re; $flags): __check_regex($re; $flags) | __split_($re; $flags);
def strftime($format): __check_format($format) | __strftime($format);
def strptime($format): __check_format($format) | __strptime($format);
def sort_by(f): __hold(__sort_by([f]));
def group_by(f): __hold(__group_by([f]));
def min_by_or_empty(f): __hold(__min_by_or_empty([f]));
def max_by_or_empty(f): __hold(__max_by_or_empty([f]));
"#;

/// The names that only [`DEFINITIONS`] may use, and what jaq calls the same.
pub(super) const HIDDEN: &[(&str, &str)] = &[
    ("__check_regex", ""),
    ("__check_format", ""),
    ("__hold", ""),
    ("__matches", "matches"),
    ("__split_matches", "split_matches"),
    ("__split_", "split_"),
    ("__strftime", "strftime"),
    ("__strptime", "strptime"),
    ("__sort_by", "sort_by"),
    ("__group_by", "group_by"),
    ("__min_by_or_empty", "min_by_or_empty"),
    ("__max_by_or_empty", "max_by_or_empty"),
];

/// The functions.
pub(super) fn functions() -> impl Iterator<Item = Fun<Jq>> {
    let natives: [(&'static str, usize, jaq_core::RunPtr<Jq>); 10] = [
        ("fromjson", 0, |cv| from_json(cv.1)),
        ("tojson", 0, |cv| bome(Ok(cv.1.to_json()))),
        ("tobytes", 0, |cv| bome(to_bytes(cv.1))),
        ("length", 0, |cv| bome(length(cv.1))),
        ("contains", 1, |cv| unary(cv, |l, r| Ok(contains(l.as_value(), r.as_value()).into()))),
        ("has", 1, |cv| unary(cv, has)),
        ("indices", 1, |cv| unary(cv, |l, r| indices(&l, &r))),
        ("bsearch", 1, |cv| unary(cv, |items, wanted| search(&items, &wanted))),
        ("__check_regex", 2, check_regex),
        ("__check_format", 1, |cv| unary(cv, check_format)),
    ];
    let hold = run::<Jq>(("__hold", [Bind::Fun(())].into(), hold));
    natives
        .into_iter()
        .map(|(name, arguments, function)| run::<Jq>((name, v(arguments), function)))
        .chain([hold])
}

fn from_json<'a>(text: Metered) -> ValXs<'a, Metered> {
    let Val::TStr(bytes) = text.as_value() else {
        return box_once(Err(Exn::from(Error::typ(text, "string"))));
    };
    let depth = json_text::check(bytes);
    // All at once: a parser that waits would have to keep the text. What comes after an error would be no value.
    let mut values = Items::new();
    let mut failure = None;
    for value in jaq_json::read::parse_many(bytes) {
        match value {
            Ok(value) => {
                meter::take(spend_walk(&value));
                values.push(Metered::given(value, depth));
            }
            Err(error) => {
                let error = Error::str(format_args!("cannot parse {text} as JSON: {error}"));
                failure = Some(Err(Exn::from(error)));
                break;
            }
        }
    }
    Box::new(values.finish().values().map(|it| it.map_err(Exn::from)).chain(failure))
}

/// Runs a function that gives one value at most, and meanwhile holds the memory that it takes for its input's items.
fn hold<'a>(mut cv: Cv<'a, Jq>) -> ValXs<'a, Metered> {
    let (function, context) = cv.0.pop_fun();
    let items = match cv.1.as_value() {
        Val::Arr(items) => items.len(),
        _ => 0,
    };
    let held = Held::new(SORTED_BYTES * items);
    let result = function.run((context, cv.1)).next();
    drop(held);
    Box::new(result.into_iter())
}

fn to_bytes(value: Metered) -> ValR<Metered> {
    let length = payload_bytes(value.as_value());
    super::value::check_text(length);
    meter::spend_text(length);
    let mut bytes = Vec::with_capacity(length);
    match append_bytes(value.as_value(), &mut bytes) {
        Ok(()) => Ok(Metered::made(Val::byte_str(bytes), 0)),
        Err(value) => {
            let value = Metered::given(value.clone(), super::meter::VALUE_DEPTH_MAX);
            Err(Error::str(format_args!("cannot convert {value} to bytes")))
        }
    }
}

fn append_bytes<'a>(value: &'a Val, bytes: &mut Vec<u8>) -> Result<(), &'a Val> {
    match value {
        Val::Num(number) => {
            let byte = number.as_isize().and_then(|it| u8::try_from(it).ok());
            bytes.push(byte.ok_or(value)?);
        }
        Val::BStr(text) | Val::TStr(text) => bytes.extend_from_slice(text),
        Val::Arr(items) => items.iter().try_for_each(|it| append_bytes(it, bytes))?,
        Val::Null | Val::Bool(_) | Val::Obj(_) => return Err(value),
    }
    Ok(())
}

fn length(value: Metered) -> ValR<Metered> {
    let length = match value.as_value() {
        Val::Null => 0,
        Val::Num(number) => return Ok(Metered::number(number_length(number))),
        Val::TStr(text) => {
            meter::spend_text(text.len());
            String::from_utf8_lossy(text).chars().count()
        }
        Val::BStr(bytes) => bytes.len(),
        Val::Arr(items) => items.len(),
        Val::Obj(entries) => entries.len(),
        Val::Bool(_) => return Err(Error::str(format_args!("{value} has no length"))),
    };
    Ok(Metered::from(length))
}

/// The length of a number is what it is without its sign.
fn number_length(number: &Num) -> Num {
    match number {
        Num::Int(_) | Num::BigInt(_) if *number < Num::Int(0) => -number.clone(),
        Num::Int(_) | Num::BigInt(_) => number.clone(),
        Num::Float(number) => Num::Float(number.abs()),
        Num::Dec(text) => match Num::from_dec_str(text) {
            Num::Float(number) => Num::Float(number.abs()),
            other => other,
        },
    }
}

/// Whether every part of `right` is in `left`.
fn contains(left: &Val, right: &Val) -> bool {
    meter::spend(1);
    match (left, right) {
        (Val::BStr(l), Val::BStr(r)) | (Val::TStr(l), Val::TStr(r)) => find(l, r).next().is_some(),
        (Val::Arr(l), Val::Arr(r)) => r.iter().all(|r| l.iter().any(|l| contains(l, r))),
        (Val::Obj(l), Val::Obj(r)) => r.iter().all(|(key, r)| {
            look_up(key, l.len());
            l.get(key).is_some_and(|l| contains(l, r))
        }),
        (l, r) => is_equal(l, r),
    }
}

/// Where `part` is in `text`, in bytes; occurrences may overlap.
fn find<'a>(text: &'a [u8], part: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    // At most so many bytes are compared, most often many fewer.
    meter::spend(1 + (text.len() as u64 / 32) * (1 + part.len() as u64 / 32));
    let last = (text.len() + 1).saturating_sub(part.len());
    (0..last).filter(move |at| text[*at..].starts_with(part))
}

fn indices(value: &Metered, part: &Metered) -> ValR<Metered> {
    let mut found = Items::new();
    let mut push = |at: usize| found.push(Metered::from(at));
    match (value.as_value(), part.as_value()) {
        (Val::BStr(_), Val::BStr(part)) | (Val::TStr(_), Val::TStr(part)) if part.is_empty() => {}
        (Val::BStr(text), Val::BStr(part)) => find(text, part).for_each(push),
        (Val::TStr(text), Val::TStr(part)) => {
            // In characters: those before, without the bytes that go on with one.
            let is_start = |it: &&u8| !matches!(**it, 0x80..=0xBF);
            let (mut at_byte, mut at) = (0, 0);
            for found in find(text, part) {
                at += text[at_byte..found].iter().filter(is_start).count();
                at_byte = found;
                push(at);
            }
        }
        (Val::Arr(_), Val::Arr(_)) => {
            if matches!(part.as_value(), Val::Arr(part) if part.is_empty()) {
                return Ok(found.finish());
            }
            return jaq_core::ValT::index(value.clone(), part);
        }
        (Val::Arr(items), part) => {
            items.iter().enumerate().filter(|(_, it)| is_equal(it, part)).for_each(|(at, _)| push(at));
        }
        _ => return Err(Error::index(value.clone(), part.clone())),
    }
    Ok(found.finish())
}

fn has(value: Metered, key: Metered) -> ValR<Metered> {
    let has = match (value.as_value(), key.as_value()) {
        (Val::Null, _) => false,
        (Val::Arr(items), Val::Num(number @ (Num::Int(_) | Num::BigInt(_)))) => {
            super::value::position(number, items.len()).is_some_and(|at| at < items.len())
        }
        (Val::BStr(bytes), Val::Num(number @ (Num::Int(_) | Num::BigInt(_)))) => {
            super::value::position(number, bytes.len()).is_some_and(|at| at < bytes.len())
        }
        (Val::Obj(entries), key) => {
            look_up(key, entries.len());
            entries.contains_key(key)
        }
        // What can be indexed with it otherwise, has it.
        _ => value.index(&key).map(|_| true)?,
    };
    Ok(has.into())
}

fn search(items: &Metered, wanted: &Metered) -> ValR<Metered> {
    let Val::Arr(sorted) = items.as_value() else { return Err(Error::typ(items.clone(), "array")) };
    let at = match sorted.binary_search_by(|it| compare(it, wanted.as_value())) {
        Ok(at) => at as isize,
        Err(at) => -1 - at as isize,
    };
    Ok(Metered::from(at))
}

fn check_regex<'a>(mut cv: Cv<'a, Jq>) -> ValXs<'a, Metered> {
    let flags = cv.0.pop_var();
    let pattern = cv.0.pop_var();
    // What is no text is refused, with a better message, by what comes next.
    if let (Some(text), Some(pattern), Some(flags)) =
        (cv.1.as_utf8_bytes(), pattern.as_utf8_bytes(), flags.as_utf8_bytes())
    {
        regex::check(pattern, flags, text.len());
    }
    box_once(Ok(cv.1))
}

fn check_format(value: Metered, format: Metered) -> ValR<Metered> {
    match format.as_utf8_bytes() {
        Some(format) if format.len() > FORMAT_BYTES_MAX => {
            Err(Error::str(format_args!("the format of a time is longer than {FORMAT_BYTES_MAX} bytes")))
        }
        _ => Ok(value),
    }
}
