//! From anybody's Avro to plain JSON: the data of a CloudEvent whose schema is in the registry.
//!
//! Plain means: a union is the value of its branch, untagged; bytes and fixed are base64; a timestamp is RFC 3339 in UTC, a date
//! and a time are ISO 8601; a decimal is a string, so that no digit is lost.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Value};

use super::binary::Reader;
use super::resolve::{DEPTH_MAX, SPARE_ITEMS};
use super::schema::{Meaning, Schema, Shape, TypeId};
use crate::error::Damage;

/// Reads `body`, written with `schema`.
pub(crate) fn to_json(schema: &Schema, body: &[u8]) -> Result<Value, Damage> {
    let mut input = Reader::new(body);
    let value =
        Conversion { schema, items: body.len() + SPARE_ITEMS }.convert(schema.root(), &mut input, 0)?;
    input.finish()?;
    Ok(value)
}

struct Conversion<'a> {
    schema: &'a Schema,
    /// How many more values may be read.
    items: usize,
}

impl Conversion<'_> {
    fn convert(&mut self, id: TypeId, input: &mut Reader<'_>, depth: u32) -> Result<Value, Damage> {
        if depth > DEPTH_MAX {
            return Err(input.damage("nested too deeply"));
        }
        self.items = self.items.checked_sub(1).ok_or_else(|| input.damage("more items than bytes"))?;
        let found = self.schema.get(id);
        Ok(match &found.shape {
            Shape::Null => Value::Null,
            Shape::Boolean => Value::Bool(input.byte()? != 0),
            Shape::Int | Shape::Long => {
                let number = input.long()?;
                found
                    .meaning
                    .and_then(|meaning| moment(meaning, number))
                    .map_or_else(|| number.into(), Value::String)
            }
            Shape::Float => {
                let bytes = input.take(4)?.try_into().expect("four bytes were taken");
                f64::from(f32::from_le_bytes(bytes)).into()
            }
            Shape::Double => {
                f64::from_le_bytes(input.take(8)?.try_into().expect("eight bytes were taken")).into()
            }
            Shape::Bytes => blob(found.meaning, input.bytes()?),
            Shape::Fixed { size, .. } => blob(found.meaning, input.take(*size)?),
            Shape::String => input.text()?.into(),
            Shape::Enum { symbols, .. } => {
                let index = input.branch()?;
                symbols.get(index).ok_or_else(|| input.no_such_branch(index))?.as_str().into()
            }
            Shape::Union(branches) => {
                let index = input.branch()?;
                let branch = *branches.get(index).ok_or_else(|| input.no_such_branch(index))?;
                self.convert(branch, input, depth + 1)?
            }
            Shape::Record { fields, .. } => {
                let mut object = Map::new();
                for field in fields {
                    object.insert(field.name.clone(), self.convert(field.type_id, input, depth + 1)?);
                }
                Value::Object(object)
            }
            Shape::Array(items) => {
                let mut array = Vec::new();
                loop {
                    match input.block()? {
                        0 => break Value::Array(array),
                        count => {
                            for _ in 0..count {
                                array.push(self.convert(*items, input, depth + 1)?);
                            }
                        }
                    }
                }
            }
            Shape::Map(values) => {
                let mut object = Map::new();
                loop {
                    match input.block()? {
                        0 => break Value::Object(object),
                        count => {
                            for _ in 0..count {
                                let key = input.text()?.to_owned();
                                object.insert(key, self.convert(*values, input, depth + 1)?);
                            }
                        }
                    }
                }
            }
        })
    }
}

/// A date or a time as text; none if it is out of the calendar's range, where the number itself says more.
fn moment(meaning: Meaning, number: i64) -> Option<String> {
    let utc = |timestamp: Timestamp| timestamp.to_string();
    let local = |timestamp: Timestamp| TimeZone::UTC.to_datetime(timestamp).to_string();
    let time = |since_midnight: SignedDuration| {
        civil::Time::midnight().checked_add(since_midnight).ok().map(|time| time.to_string())
    };
    match meaning {
        Meaning::Date => {
            let days = SignedDuration::from_hours(number.checked_mul(24)?);
            civil::date(1970, 1, 1).checked_add(days).ok().map(|date| date.to_string())
        }
        Meaning::TimeMillis => time(SignedDuration::from_millis(number)),
        Meaning::TimeMicros => time(SignedDuration::from_micros(number)),
        Meaning::TimestampMillis => Timestamp::from_millisecond(number).ok().map(utc),
        Meaning::TimestampMicros => Timestamp::from_microsecond(number).ok().map(utc),
        Meaning::TimestampNanos => Timestamp::from_nanosecond(number.into()).ok().map(utc),
        Meaning::LocalTimestampMillis => Timestamp::from_millisecond(number).ok().map(local),
        Meaning::LocalTimestampMicros => Timestamp::from_microsecond(number).ok().map(local),
        Meaning::LocalTimestampNanos => Timestamp::from_nanosecond(number.into()).ok().map(local),
        Meaning::Decimal { .. } => None,
    }
}

fn blob(meaning: Option<Meaning>, bytes: &[u8]) -> Value {
    let decimal = match meaning {
        Some(Meaning::Decimal { scale }) => decimal(bytes, scale),
        _ => None,
    };
    decimal.unwrap_or_else(|| BASE64_STANDARD.encode(bytes)).into()
}

/// A decimal of up to 38 digits; none beyond.
fn decimal(bytes: &[u8], scale: u32) -> Option<String> {
    if bytes.is_empty() || bytes.len() > 16 || scale > 38 {
        return None;
    }
    let fill = if bytes[0] & 0x80 == 0 { 0x00 } else { 0xff };
    let mut wide = [fill; 16];
    wide[16 - bytes.len()..].copy_from_slice(bytes);
    let unscaled = i128::from_be_bytes(wide);
    let scale = usize::try_from(scale).ok()?;
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn check(schema: &str, body: &[u8], expected: Value) {
        assert_eq!(to_json(&Schema::parse(schema).unwrap(), body).unwrap(), expected, "{schema}");
    }

    #[test]
    fn values_become_plain_json() {
        check(r#"["null","string"]"#, &[0], Value::Null);
        check(r#"["null","string"]"#, &[2, 2, b'x'], json!("x"));
        check(r#""bytes""#, &[4, 0xff, 0], json!("/wA="));
        check(r#"{"type":"array","items":"int"}"#, &[3, 4, 2, 4, 2, 6, 0], json!([1, 2, 3]));
        check(r#"{"type":"map","values":"boolean"}"#, &[2, 2, b'k', 1, 0], json!({"k": true}));
        check(r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, &[2], json!("B"));
    }

    #[test]
    fn logical_types_become_text() {
        check(r#"{"type":"long","logicalType":"timestamp-millis"}"#, &[0], json!("1970-01-01T00:00:00Z"));
        check(
            r#"{"type":"long","logicalType":"local-timestamp-micros"}"#,
            &[0],
            json!("1970-01-01T00:00:00"),
        );
        check(r#"{"type":"int","logicalType":"date"}"#, &[4], json!("1970-01-03"));
        check(r#"{"type":"int","logicalType":"time-millis"}"#, &[0x90, 0x1c], json!("00:00:01.8"));
        check(
            r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
            &[4, 0xff, 0xf6],
            json!("-0.10"),
        );
        check(r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":0}"#, &[2, 12], json!("12"));
    }
}
