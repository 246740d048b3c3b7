//! From the bytes of one schema to the bytes of another: Avro's schema resolution, without values in between.
//!
//! It serves records that an older release has written; today's typed reader reads the result.

use serde_json::Value;

use super::binary::{Reader, write_bytes, write_length, write_long};
use super::schema::{Schema, Shape, TypeId};
use crate::error::Damage;

/// Deepest nesting of types in one value.
pub(super) const DEPTH_MAX: u32 = 64;
/// Items that a value may have beyond its bytes: an item of an empty type takes none.
pub(super) const SPARE_ITEMS: usize = 100_000;

/// Rewrites `body`, written with `writer`, so that it follows `reader`.
pub(crate) fn resolve(writer: &Schema, reader: &Schema, body: &[u8]) -> Result<Vec<u8>, Damage> {
    let mut input = Reader::new(body);
    let mut resolution = Resolution { writer, reader, items: body.len() + SPARE_ITEMS };
    let mut out = Vec::with_capacity(body.len() + 64);
    resolution.convert(writer.root(), reader.root(), &mut input, &mut out, 0)?;
    input.finish()?;
    Ok(out)
}

struct Resolution<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    /// How many more values may be read.
    items: usize,
}

impl Resolution<'_> {
    fn count(&mut self, input: &Reader<'_>, depth: u32) -> Result<(), Damage> {
        if depth > DEPTH_MAX {
            return Err(input.damage("nested too deeply"));
        }
        self.items = self.items.checked_sub(1).ok_or_else(|| input.damage("more items than bytes"))?;
        Ok(())
    }

    fn convert(
        &mut self,
        from: TypeId,
        to: TypeId,
        input: &mut Reader<'_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<(), Damage> {
        self.count(input, depth)?;
        let (writer, reader) = (self.writer, self.reader);
        match (writer.shape(from), reader.shape(to)) {
            (Shape::Union(branches), _) => {
                let index = input.branch()?;
                let branch = *branches.get(index).ok_or_else(|| input.no_such_branch(index))?;
                self.convert(branch, to, input, out, depth + 1)
            }
            (written, Shape::Union(branches)) => {
                // An exact match goes before a promotion.
                let found = [is_same, is_promoted]
                    .iter()
                    .find_map(|fits| branches.iter().position(|it| fits(written, reader.shape(*it))));
                let index = found
                    .ok_or_else(|| input.damage("the reader's union has no branch for what was written"))?;
                write_length(out, index);
                self.convert(from, branches[index], input, out, depth + 1)
            }
            (Shape::Record { name: from_name, fields: written }, Shape::Record { name, fields: wanted })
                if name.reads(from_name) =>
            {
                let mut parts: Vec<Option<Vec<u8>>> = vec![None; wanted.len()];
                for field in written {
                    let place = wanted.iter().position(|it| it.name == field.name);
                    match place.or_else(|| wanted.iter().position(|it| it.aliases.contains(&field.name))) {
                        Some(place) => {
                            let mut part = Vec::new();
                            self.convert(field.type_id, wanted[place].type_id, input, &mut part, depth + 1)?;
                            parts[place] = Some(part);
                        }
                        None => self.skip(field.type_id, input, depth + 1)?,
                    }
                }
                for (field, part) in wanted.iter().zip(parts) {
                    match (part, &field.default) {
                        (Some(part), _) => out.extend_from_slice(&part),
                        (None, Some(default)) => {
                            write_default(reader, field.type_id, default, out)
                                .map_err(|detail| input.damage(detail))?;
                        }
                        (None, None) => {
                            return Err(input
                                .damage(format!("field {} was not written and has no default", field.name)));
                        }
                    }
                }
                Ok(())
            }
            (Shape::Array(from), Shape::Array(to)) => {
                convert_blocks(input, out, |input, out| self.convert(*from, *to, input, out, depth + 1))
            }
            (Shape::Map(from), Shape::Map(to)) => convert_blocks(input, out, |input, out| {
                write_bytes(out, input.bytes()?);
                self.convert(*from, *to, input, out, depth + 1)
            }),
            (
                Shape::Enum { name: from_name, symbols: written, .. },
                Shape::Enum { name, symbols, default },
            ) if name.reads(from_name) => {
                let index = input.branch()?;
                let symbol = written.get(index).ok_or_else(|| input.no_such_branch(index))?;
                let index = symbols.iter().position(|it| it == symbol);
                let index = index.or_else(|| symbols.iter().position(|it| Some(it) == default.as_ref()));
                write_length(
                    out,
                    index.ok_or_else(|| input.damage(format!("{symbol} is not known to the reader")))?,
                );
                Ok(())
            }
            (Shape::Int | Shape::Long, Shape::Float) => {
                out.extend_from_slice(&(input.long()? as f32).to_le_bytes());
                Ok(())
            }
            (Shape::Int | Shape::Long, Shape::Double) => {
                out.extend_from_slice(&(input.long()? as f64).to_le_bytes());
                Ok(())
            }
            (Shape::Float, Shape::Double) => {
                let bytes = input.take(4)?.try_into().expect("four bytes were taken");
                out.extend_from_slice(&f64::from(f32::from_le_bytes(bytes)).to_le_bytes());
                Ok(())
            }
            (written, wanted) if is_same(written, wanted) || is_promoted(written, wanted) => {
                // What is left looks the same in both.
                let start = input.position();
                self.skip(from, input, depth + 1)?;
                out.extend_from_slice(input.since(start));
                Ok(())
            }
            _ => Err(input.damage("the type that was written cannot be read as the one that is wanted")),
        }
    }

    fn skip(&mut self, id: TypeId, input: &mut Reader<'_>, depth: u32) -> Result<(), Damage> {
        self.count(input, depth)?;
        let writer = self.writer;
        match writer.shape(id) {
            Shape::Null => {}
            Shape::Boolean => drop(input.byte()?),
            Shape::Int | Shape::Long | Shape::Enum { .. } => drop(input.long()?),
            Shape::Float => drop(input.take(4)?),
            Shape::Double => drop(input.take(8)?),
            Shape::Bytes | Shape::String => drop(input.bytes()?),
            Shape::Fixed { size, .. } => drop(input.take(*size)?),
            Shape::Union(branches) => {
                let index = input.branch()?;
                let branch = *branches.get(index).ok_or_else(|| input.no_such_branch(index))?;
                self.skip(branch, input, depth + 1)?;
            }
            Shape::Record { fields, .. } => {
                for field in fields {
                    self.skip(field.type_id, input, depth + 1)?;
                }
            }
            Shape::Array(items) => loop {
                match input.block()? {
                    0 => break,
                    count => (0..count).try_for_each(|_| self.skip(*items, input, depth + 1))?,
                }
            },
            Shape::Map(values) => loop {
                match input.block()? {
                    0 => break,
                    count => (0..count).try_for_each(|_| {
                        input.bytes()?;
                        self.skip(*values, input, depth + 1)
                    })?,
                }
            },
        }
        Ok(())
    }
}

fn convert_blocks<'i>(
    input: &mut Reader<'i>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&mut Reader<'i>, &mut Vec<u8>) -> Result<(), Damage>,
) -> Result<(), Damage> {
    loop {
        let count = input.block()?;
        write_long(out, i64::try_from(count).map_err(|_| input.damage("a block is too long"))?);
        if count == 0 {
            return Ok(());
        }
        (0..count).try_for_each(|_| item(input, out))?;
    }
}

fn is_same(written: &Shape, wanted: &Shape) -> bool {
    match (written, wanted) {
        (Shape::Record { name: from, .. }, Shape::Record { name, .. })
        | (Shape::Enum { name: from, .. }, Shape::Enum { name, .. }) => name.reads(from),
        (Shape::Fixed { name: from, size: written }, Shape::Fixed { name, size }) => {
            name.reads(from) && written == size
        }
        _ => std::mem::discriminant(written) == std::mem::discriminant(wanted),
    }
}

fn is_promoted(written: &Shape, wanted: &Shape) -> bool {
    matches!(
        (written, wanted),
        (Shape::Int, Shape::Long | Shape::Float | Shape::Double)
            | (Shape::Long, Shape::Float | Shape::Double)
            | (Shape::Float, Shape::Double)
            | (Shape::Bytes, Shape::String)
            | (Shape::String, Shape::Bytes)
    )
}

/// Writes a field's default, as the schema gives it in JSON. The default of a union is one of its first branch.
fn write_default(schema: &Schema, id: TypeId, default: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let mismatch = || format!("the default {default} does not fit its type");
    match (schema.shape(id), default) {
        (Shape::Null, Value::Null) => {}
        (Shape::Boolean, Value::Bool(value)) => out.push(u8::from(*value)),
        (Shape::Int | Shape::Long, Value::Number(number)) => {
            write_long(out, number.as_i64().ok_or_else(mismatch)?)
        }
        (Shape::Float, Value::Number(number)) => {
            out.extend_from_slice(&(number.as_f64().ok_or_else(mismatch)? as f32).to_le_bytes());
        }
        (Shape::Double, Value::Number(number)) => {
            out.extend_from_slice(&number.as_f64().ok_or_else(mismatch)?.to_le_bytes())
        }
        (Shape::String, Value::String(text)) => write_bytes(out, text.as_bytes()),
        (Shape::Bytes, Value::String(text)) => write_bytes(out, &latin_1(text).ok_or_else(mismatch)?),
        (Shape::Fixed { size, .. }, Value::String(text)) => {
            let bytes = latin_1(text).filter(|bytes| bytes.len() == *size).ok_or_else(mismatch)?;
            out.extend_from_slice(&bytes);
        }
        (Shape::Enum { symbols, .. }, Value::String(symbol)) => {
            write_length(out, symbols.iter().position(|it| it == symbol).ok_or_else(mismatch)?);
        }
        (Shape::Union(branches), _) => {
            write_long(out, 0);
            write_default(schema, *branches.first().ok_or_else(mismatch)?, default, out)?;
        }
        (Shape::Record { fields, .. }, Value::Object(object)) => {
            for field in fields {
                let value = object.get(&field.name).or(field.default.as_ref()).ok_or_else(mismatch)?;
                write_default(schema, field.type_id, value, out)?;
            }
        }
        (Shape::Array(items), Value::Array(values)) => {
            if !values.is_empty() {
                write_length(out, values.len());
                values.iter().try_for_each(|value| write_default(schema, *items, value, out))?;
            }
            out.push(0);
        }
        (Shape::Map(items), Value::Object(object)) => {
            if !object.is_empty() {
                write_length(out, object.len());
                for (key, value) in object {
                    write_bytes(out, key.as_bytes());
                    write_default(schema, *items, value, out)?;
                }
            }
            out.push(0);
        }
        _ => return Err(mismatch()),
    }
    Ok(())
}

/// Avro writes bytes in JSON as the characters U+0000 to U+00FF.
fn latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn schema(text: &str) -> Schema {
        Schema::parse(text).unwrap()
    }

    fn record(fields: &str) -> Schema {
        schema(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#))
    }

    #[test]
    fn a_branch_is_found_by_its_name_not_by_its_fields() {
        let branch = |name: &str| {
            format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"x","type":"long"}}]}}"#)
        };
        let writer = schema(&format!("[{},{}]", branch("Left"), branch("Right")));
        let reader = schema(&format!("[{},{},{}]", branch("Right"), branch("Middle"), branch("Left")));
        assert_eq!(resolve(&writer, &reader, &[0, 14]).unwrap(), [4, 14]);
        assert_eq!(resolve(&writer, &reader, &[2, 14]).unwrap(), [0, 14]);
    }

    #[test]
    fn fields_move_come_and_go() {
        let writer = record(
            r#"{"name":"gone","type":{"type":"map","values":"string"}},{"name":"a","type":"int"},{"name":"b","type":"string"}"#,
        );
        let reader = record(
            r#"{"name":"b","type":"bytes"},{"name":"new","type":["null","string"],"default":null},
               {"name":"list","type":{"type":"array","items":"int"},"default":[1,2]},{"name":"c","aliases":["a"],"type":"double"}"#,
        );
        let body = [2, 2, b'k', 2, b'v', 0, 6, 2, b'x'];
        let mut expected = vec![2, b'x', 0, 4, 2, 4, 0];
        expected.extend_from_slice(&3f64.to_le_bytes());
        assert_eq!(resolve(&writer, &reader, &body).unwrap(), expected);
    }

    #[test]
    fn a_missing_field_without_a_default_is_an_error() {
        let error = resolve(&record(""), &record(r#"{"name":"a","type":"int"}"#), &[]).unwrap_err();
        assert_eq!(error.detail, "field a was not written and has no default");
    }

    #[test]
    fn items_of_an_empty_type_are_bounded() {
        let nulls = schema(r#"{"type":"array","items":"null"}"#);
        let mut body = Vec::new();
        write_long(&mut body, i64::MAX);
        assert_eq!(resolve(&nulls, &nulls, &body).unwrap_err().detail, "more items than bytes");
    }

    #[test]
    fn a_type_that_contains_itself_is_bounded() {
        let nested = schema(r#"{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}"#);
        assert_eq!(resolve(&nested, &nested, &[2; 4096]).unwrap_err().detail, "nested too deeply");
    }
}
