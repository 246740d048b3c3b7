//! Avro's binary encoding of Rust types, by hand: no intermediate values, no schema at run time.
//!
//! A type says once which fields it has, in order (the macros below); reading, writing and the schema that a test compares with
//! `avro/*.avsc` all follow from that.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Damage;
use crate::{InstanceId, Payload};

/// A type with a place in a schema.
pub(crate) trait Avro: Sized {
    /// Appends the encoding.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads what [`Avro::write`] has written. Never panics, and never allocates more than a small multiple of the input.
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage>;

    /// The schema in Parsing Canonical Form; `named` has the named types that are defined already.
    #[cfg(test)]
    fn schema(named: &mut std::collections::BTreeSet<String>) -> String;
}

/// The rest of a body. Every read is checked against what is left.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

/// Small numbers of either sign are small: 0, -1, 1, -2, …
fn unzigzag(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.body.len() - self.at
    }

    /// The input between a position that was read already and here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.body[start..self.at]
    }

    #[cold]
    pub(crate) fn damage(&self, detail: impl Into<String>) -> Damage {
        Damage { at: self.at, detail: detail.into() }
    }

    /// The body must have ended.
    pub(crate) fn finish(&self) -> Result<(), Damage> {
        match self.remaining() {
            0 => Ok(()),
            rest => Err(self.damage(format!("{rest} bytes follow the end of the record"))),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damage> {
        let byte = *self.body.get(self.at).ok_or_else(|| self.damage("the record ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        if length > self.remaining() {
            return Err(self.damage(format!("{length} bytes expected, {} are left", self.remaining())));
        }
        let taken = &self.body[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    /// A variable-length, zigzag coded number.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Damage> {
        // Most are lengths, numbers of branches and ordinals: one byte.
        if let Some(byte) = self.body.get(self.at).copied().filter(|it| it & 0x80 == 0) {
            self.at += 1;
            return Ok(unzigzag(byte.into()));
        }
        self.long_of_many()
    }

    #[inline(never)]
    fn long_of_many(&mut self) -> Result<i64, Damage> {
        let mut bits = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            bits |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(unzigzag(bits));
            }
        }
        Err(self.damage("a number is longer than 64 bits"))
    }

    /// A number that must fit a narrower type.
    pub(crate) fn number<N: TryFrom<i64>>(&mut self) -> Result<N, Damage> {
        let long = self.long()?;
        N::try_from(long).map_err(|_| self.damage(format!("{long} is out of range")))
    }

    /// Length-prefixed bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.number()?;
        self.take(length)
    }

    /// Length-prefixed UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str, Damage> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.damage("a string is not UTF-8"))
    }

    /// The number of items in the next block of an array or map; 0 ends it.
    pub(crate) fn block(&mut self) -> Result<u64, Damage> {
        let count = self.long()?;
        if count < 0 {
            // A negative count is followed by the block's size in bytes, for readers that skip it.
            let _bytes: usize = self.number()?;
        }
        Ok(count.unsigned_abs())
    }

    /// The branch of a union.
    pub(crate) fn branch(&mut self) -> Result<usize, Damage> {
        self.number()
    }

    #[cold]
    pub(crate) fn no_such_branch(&self, index: usize) -> Damage {
        self.damage(format!("there is no branch {index} here"))
    }
}

pub(crate) fn write_long(out: &mut Vec<u8>, value: i64) {
    let mut bits = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while bits >= 0x80 {
        out.push((bits & 0x7f) as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

pub(crate) fn write_length(out: &mut Vec<u8>, length: usize) {
    write_long(out, i64::try_from(length).expect("a length in memory fits 63 bits"));
}

pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn write_items<'a, T: Avro + 'a>(out: &mut Vec<u8>, items: impl ExactSizeIterator<Item = &'a T>) {
    if items.len() > 0 {
        write_length(out, items.len());
        items.for_each(|item| item.write(out));
    }
    out.push(0);
}

fn read_items<T: Avro>(input: &mut Reader<'_>, mut push: impl FnMut(T)) -> Result<(), Damage> {
    loop {
        match input.block()? {
            0 => return Ok(()),
            // All our items take at least one byte, so a count that lies soon runs out of input.
            count => (0..count).try_for_each(|_| T::read(input).map(&mut push))?,
        }
    }
}

/// Numbers: `$avro` is the schema's type.
macro_rules! avro_number {
    ($($type:ty as $avro:literal),*) => { $(
        impl Avro for $type {
            fn write(&self, out: &mut Vec<u8>) {
                // Only a u64 can be too large, and none of ours counts that far: they are durations and step counts.
                write_long(out, i64::try_from(*self).unwrap_or(i64::MAX));
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
                input.number()
            }
            #[cfg(test)]
            fn schema(_: &mut std::collections::BTreeSet<String>) -> String {
                concat!("\"", $avro, "\"").to_owned()
            }
        }
    )* };
}
avro_number!(i64 as "long", u64 as "long", u32 as "long", i32 as "int", u16 as "int");

impl Avro for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            byte => Err(input.damage(format!("{byte} is not a boolean"))),
        }
    }
    #[cfg(test)]
    fn schema(_: &mut std::collections::BTreeSet<String>) -> String {
        "\"boolean\"".to_owned()
    }
}

/// Strings: whatever `From<&str>` makes.
macro_rules! avro_string {
    ($($type:ty),*) => { $(
        impl Avro for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_bytes(out, self.as_bytes());
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
                input.text().map(Into::into)
            }
            #[cfg(test)]
            fn schema(_: &mut std::collections::BTreeSet<String>) -> String {
                "\"string\"".to_owned()
            }
        }
    )* };
}
avro_string!(String, Arc<str>);

impl Avro for InstanceId {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, self.as_str().as_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        let text = input.text()?;
        Self::new(text).map_err(|error| input.damage(error.to_string()))
    }
    #[cfg(test)]
    fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
        String::schema(named)
    }
}

impl Avro for Bytes {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, self);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        input.bytes().map(Self::copy_from_slice)
    }
    #[cfg(test)]
    fn schema(_: &mut std::collections::BTreeSet<String>) -> String {
        "\"bytes\"".to_owned()
    }
}

impl Avro for Payload {
    fn write(&self, out: &mut Vec<u8>) {
        // The length stands before the text and is not known yet: leave room for two bytes, which fits most, and move the text
        // when that was wrong.
        const ROOM: usize = 2;
        let start = out.len();
        out.extend_from_slice(&[0; ROOM]);
        serde_json::to_writer(&mut *out, self.value()).expect("a JSON value can be written to memory");
        let length = out.len() - start - ROOM;
        let end = out.len();
        write_length(out, length);
        let used = out.len() - end;
        let mut prefix = [0; 10];
        prefix[..used].copy_from_slice(&out[end..]);
        out.truncate(end);
        if used == ROOM {
            out[start..start + ROOM].copy_from_slice(&prefix[..used]);
        } else {
            out.splice(start..start + ROOM, prefix[..used].iter().copied());
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        let text = input.bytes()?;
        serde_json::from_slice::<serde_json::Value>(text)
            .map(Self::from)
            .map_err(|error| input.damage(format!("a payload is not JSON: {error}")))
    }
    #[cfg(test)]
    fn schema(_: &mut std::collections::BTreeSet<String>) -> String {
        "\"bytes\"".to_owned()
    }
}

impl<T: Avro> Avro for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            None => write_long(out, 0),
            Some(value) => {
                write_long(out, 1);
                value.write(out);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        match input.branch()? {
            0 => Ok(None),
            1 => T::read(input).map(Some),
            index => Err(input.no_such_branch(index)),
        }
    }
    #[cfg(test)]
    fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
        format!("[\"null\",{}]", T::schema(named))
    }
}

impl<T: Avro> Avro for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_items(out, self.iter());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        let mut items = Self::new();
        read_items(input, |item| items.push(item))?;
        Ok(items)
    }
    #[cfg(test)]
    fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
        format!("{{\"type\":\"array\",\"items\":{}}}", T::schema(named))
    }
}

impl<T: Avro> Avro for VecDeque<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_items(out, self.iter());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        Vec::read(input).map(Self::from)
    }
    #[cfg(test)]
    fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
        Vec::<T>::schema(named)
    }
}

/// A newtype is what it wraps.
macro_rules! avro_newtype {
    ($($type:ident($inner:ty)),*) => { $(
        impl Avro for $type {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
                <$inner>::read(input).map(Self)
            }
            #[cfg(test)]
            fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
                <$inner>::schema(named)
            }
        }
    )* };
}

/// A struct is a record of the same name.
macro_rules! avro_record {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl Avro for $type {
            fn write(&self, out: &mut Vec<u8>) {
                $( self.$field.write(out); )*
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
                Ok(Self { $( $field: Avro::read(input)?, )* })
            }
            #[cfg(test)]
            fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
                $crate::avro::binary::record_schema(named, stringify!($type), &[
                    $( (stringify!($field), $crate::avro::binary::schema_of(|it: &Self| &it.$field)), )*
                ])
            }
        }
    };
}

/// An enum with fields is a union of records, each named after its variant and `$suffix`. The numbers are the branches: they
/// never change, and new ones come at the end.
macro_rules! avro_union {
    ($type:ident + $suffix:literal { $($index:literal $variant:ident { $($field:ident),* },)* }) => {
        impl Avro for $type {
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$variant { $($field),* } => {
                        write_long(out, $index);
                        $( $field.write(out); )*
                    } )*
                }
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
                match input.branch()? {
                    $( $index => Ok(Self::$variant { $( $field: Avro::read(input)? ),* }), )*
                    index => Err(input.no_such_branch(index)),
                }
            }
            #[cfg(test)]
            fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
                let branches: &[(usize, &str, &[(&str, $crate::avro::binary::SchemaOf)])] = &[
                    $( ($index, concat!(stringify!($variant), $suffix), &[
                        $( (stringify!($field), $crate::avro::binary::schema_of(|it: &Self| match it {
                            Self::$variant { $field, .. } => $field,
                            #[allow(unreachable_patterns)]
                            _ => unreachable!("only its type is asked for"),
                        })), )*
                    ]), )*
                ];
                for (position, (index, name, _)) in branches.iter().enumerate() {
                    assert_eq!(position, *index, "the branches of a union are numbered in order: {name}");
                }
                let branches: Vec<_> = branches
                    .iter()
                    .map(|(_, name, fields)| $crate::avro::binary::record_schema(named, name, fields))
                    .collect();
                format!("[{}]", branches.join(","))
            }
        }
    };
}

/// An enum without fields is an Avro enum: symbols in `SCREAMING_CASE`, in order.
macro_rules! avro_enum {
    ($type:ident { $($index:literal $variant:ident as $symbol:literal,)* }) => {
        impl Avro for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_long(out, match self { $( Self::$variant => $index, )* });
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
                match input.branch()? {
                    $( $index => Ok(Self::$variant), )*
                    index => Err(input.no_such_branch(index)),
                }
            }
            #[cfg(test)]
            fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
                $crate::avro::binary::named_schema(named, stringify!($type), |_, name| {
                    format!("{{\"name\":\"{name}\",\"type\":\"enum\",\"symbols\":[{}]}}", [$( concat!("\"", $symbol, "\"") ),*].join(","))
                })
            }
        }
    };
}

pub(crate) use {avro_enum, avro_newtype, avro_record, avro_union};

#[cfg(test)]
pub(crate) type SchemaOf = fn(&mut std::collections::BTreeSet<String>) -> String;

/// The schema of a field, whose type is known from the function that borrows it.
#[cfg(test)]
pub(crate) fn schema_of<S, T: Avro>(_: fn(&S) -> &T) -> SchemaOf {
    T::schema
}

#[cfg(test)]
pub(crate) fn named_schema(
    named: &mut std::collections::BTreeSet<String>,
    name: &str,
    define: impl FnOnce(&mut std::collections::BTreeSet<String>, &str) -> String,
) -> String {
    let name = format!("io.millrace.v1.{name}");
    if named.insert(name.clone()) { define(named, &name) } else { format!("\"{name}\"") }
}

#[cfg(test)]
pub(crate) fn record_schema(
    named: &mut std::collections::BTreeSet<String>,
    name: &str,
    fields: &[(&str, SchemaOf)],
) -> String {
    named_schema(named, name, |named, name| {
        let fields: Vec<_> = fields
            .iter()
            .map(|(field, schema)| format!("{{\"name\":\"{field}\",\"type\":{}}}", schema(named)))
            .collect();
        format!("{{\"name\":\"{name}\",\"type\":\"record\",\"fields\":[{}]}}", fields.join(","))
    })
}
