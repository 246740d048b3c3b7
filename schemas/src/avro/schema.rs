//! Schemas at run time: older versions of our own, and anybody's that describes the data of a CloudEvent.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A schema: its types in a row, so that a type may contain itself.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

/// Place of a type in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeId(usize);

#[derive(Clone, Debug)]
pub(crate) struct Type {
    pub(crate) shape: Shape,
    pub(crate) meaning: Option<Meaning>,
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record { name: Name, fields: Vec<Field> },
    Enum { name: Name, symbols: Vec<String>, default: Option<String> },
    Fixed { name: Name, size: usize },
}

#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// With the namespace.
    pub(crate) full: String,
    /// Full names.
    pub(crate) aliases: Vec<String>,
}

impl Name {
    /// Whether data written under the name `writer` can be read under this one (Avro: the unqualified names decide).
    pub(crate) fn reads(&self, writer: &Self) -> bool {
        fn unqualified(name: &str) -> &str {
            name.rsplit('.').next().unwrap_or(name)
        }
        unqualified(&self.full) == unqualified(&writer.full) || self.aliases.contains(&writer.full)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) default: Option<Value>,
    pub(crate) type_id: TypeId,
}

/// Avro's logical types, as far as they change how a value looks in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Decimal { scale: u32 },
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
    LocalTimestampMillis,
    LocalTimestampMicros,
    LocalTimestampNanos,
}

/// A schema that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Avro schema: {detail}")]
pub struct InvalidSchema {
    detail: String,
}

fn invalid(detail: impl Into<String>) -> InvalidSchema {
    InvalidSchema { detail: detail.into() }
}

impl Schema {
    /// Parses a schema that stands alone: references to other registered schemas are refused.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidSchema> {
        // serde_json's limit on nesting bounds the recursion below.
        let json: Value = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let mut parser = Parser::default();
        let root = parser.parse(&json, "")?;
        let types = parser
            .types
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .expect("every type that was begun was finished");
        Ok(Self { types, root })
    }

    pub(crate) fn root(&self) -> TypeId {
        self.root
    }

    pub(crate) fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }

    pub(crate) fn shape(&self, id: TypeId) -> &Shape {
        &self.types[id.0].shape
    }

    /// The full name of the outermost type, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        match self.shape(self.root) {
            Shape::Record { name, .. } | Shape::Enum { name, .. } | Shape::Fixed { name, .. } => {
                Some(&name.full)
            }
            _ => None,
        }
    }

    /// The Parsing Canonical Form of Avro's specification.
    pub(crate) fn canonical_form(&self) -> String {
        let mut text = String::new();
        self.write_canonical(self.root, &mut text, &mut vec![false; self.types.len()]);
        text
    }

    /// CRC-64-AVRO of the canonical form.
    pub(crate) fn fingerprint(&self) -> u64 {
        fingerprint(self.canonical_form().as_bytes())
    }

    fn write_canonical(&self, id: TypeId, text: &mut String, named: &mut [bool]) {
        let shape = self.shape(id);
        if let Shape::Record { name, .. } | Shape::Enum { name, .. } | Shape::Fixed { name, .. } = shape {
            if named[id.0] {
                let _ = write!(text, "\"{}\"", name.full);
                return;
            }
            named[id.0] = true;
        }
        let _ = match shape {
            Shape::Null => write!(text, "\"null\""),
            Shape::Boolean => write!(text, "\"boolean\""),
            Shape::Int => write!(text, "\"int\""),
            Shape::Long => write!(text, "\"long\""),
            Shape::Float => write!(text, "\"float\""),
            Shape::Double => write!(text, "\"double\""),
            Shape::Bytes => write!(text, "\"bytes\""),
            Shape::String => write!(text, "\"string\""),
            Shape::Array(items) => {
                text.push_str("{\"type\":\"array\",\"items\":");
                self.write_canonical(*items, text, named);
                write!(text, "}}")
            }
            Shape::Map(values) => {
                text.push_str("{\"type\":\"map\",\"values\":");
                self.write_canonical(*values, text, named);
                write!(text, "}}")
            }
            Shape::Union(branches) => {
                for (index, branch) in branches.iter().enumerate() {
                    text.push(if index == 0 { '[' } else { ',' });
                    self.write_canonical(*branch, text, named);
                }
                write!(text, "{}", if branches.is_empty() { "[]" } else { "]" })
            }
            Shape::Record { name, fields } => {
                let _ = write!(text, "{{\"name\":\"{}\",\"type\":\"record\",\"fields\":[", name.full);
                for (index, field) in fields.iter().enumerate() {
                    let _ = write!(
                        text,
                        "{}{{\"name\":\"{}\",\"type\":",
                        if index == 0 { "" } else { "," },
                        field.name
                    );
                    self.write_canonical(field.type_id, text, named);
                    text.push('}');
                }
                write!(text, "]}}")
            }
            Shape::Enum { name, symbols, .. } => {
                let symbols: Vec<_> = symbols.iter().map(|symbol| format!("\"{symbol}\"")).collect();
                write!(
                    text,
                    "{{\"name\":\"{}\",\"type\":\"enum\",\"symbols\":[{}]}}",
                    name.full,
                    symbols.join(",")
                )
            }
            Shape::Fixed { name, size } => {
                write!(text, "{{\"name\":\"{}\",\"type\":\"fixed\",\"size\":{size}}}", name.full)
            }
        };
    }
}

#[derive(Default)]
struct Parser {
    /// None while a record is being parsed whose fields may name it.
    types: Vec<Option<Type>>,
    named: BTreeMap<String, TypeId>,
}

impl Parser {
    fn add(&mut self, shape: Shape, meaning: Option<Meaning>) -> TypeId {
        self.types.push(Some(Type { shape, meaning }));
        TypeId(self.types.len() - 1)
    }

    fn parse(&mut self, json: &Value, namespace: &str) -> Result<TypeId, InvalidSchema> {
        match json {
            Value::String(name) => self.parse_name(name, None, namespace),
            Value::Array(branches) => {
                let branches =
                    branches.iter().map(|branch| self.parse(branch, namespace)).collect::<Result<_, _>>()?;
                Ok(self.add(Shape::Union(branches), None))
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => self.parse_complex(kind, object, namespace),
                Some(inner) => self.parse(inner, namespace),
                None => Err(invalid("an object without \"type\"")),
            },
            _ => Err(invalid(format!("{json} stands where a type should"))),
        }
    }

    fn parse_name(
        &mut self,
        name: &str,
        meaning: Option<Meaning>,
        namespace: &str,
    ) -> Result<TypeId, InvalidSchema> {
        let shape = match name {
            "null" => Shape::Null,
            "boolean" => Shape::Boolean,
            "int" => Shape::Int,
            "long" => Shape::Long,
            "float" => Shape::Float,
            "double" => Shape::Double,
            "bytes" => Shape::Bytes,
            "string" => Shape::String,
            name => {
                let full = full_name(name, namespace);
                return self
                    .named
                    .get(&full)
                    .copied()
                    .ok_or_else(|| invalid(format!("type {full} is not defined in the schema itself")));
            }
        };
        Ok(self.add(shape, meaning))
    }

    fn parse_complex(
        &mut self,
        kind: &str,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<TypeId, InvalidSchema> {
        let meaning = meaning(object);
        match kind {
            "array" => {
                let items = self.parse(required(object, "items")?, namespace)?;
                Ok(self.add(Shape::Array(items), None))
            }
            "map" => {
                let values = self.parse(required(object, "values")?, namespace)?;
                Ok(self.add(Shape::Map(values), None))
            }
            "record" | "error" => {
                let (name, namespace) = name(object, namespace)?;
                let id = TypeId(self.types.len());
                self.types.push(None);
                self.define(&name, id)?;
                let mut fields = Vec::new();
                for field in list(object, "fields")? {
                    let field = field.as_object().ok_or_else(|| invalid("a field that is no object"))?;
                    fields.push(Field {
                        name: text(field, "name")?.to_owned(),
                        aliases: texts(field, "aliases")?,
                        default: field.get("default").cloned(),
                        type_id: self.parse(required(field, "type")?, &namespace)?,
                    });
                }
                self.types[id.0] = Some(Type { shape: Shape::Record { name, fields }, meaning });
                Ok(id)
            }
            "enum" => {
                let (name, _) = name(object, namespace)?;
                let default = object.get("default").and_then(Value::as_str).map(str::to_owned);
                let id = TypeId(self.types.len());
                self.define(&name, id)?;
                Ok(self.add(Shape::Enum { name, symbols: texts(object, "symbols")?, default }, meaning))
            }
            "fixed" => {
                let (name, _) = name(object, namespace)?;
                let size = required(object, "size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| invalid("a fixed type without a size"))?;
                let id = TypeId(self.types.len());
                self.define(&name, id)?;
                Ok(self.add(Shape::Fixed { name, size }, meaning))
            }
            primitive => self.parse_name(primitive, meaning, namespace),
        }
    }

    fn define(&mut self, name: &Name, id: TypeId) -> Result<(), InvalidSchema> {
        match self.named.insert(name.full.clone(), id) {
            None => Ok(()),
            Some(_) => Err(invalid(format!("type {} is defined twice", name.full))),
        }
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// The name of a type, and the namespace for what is inside of it.
fn name(object: &Map<String, Value>, enclosing: &str) -> Result<(Name, String), InvalidSchema> {
    let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(enclosing);
    let full = full_name(text(object, "name")?, namespace);
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !full.split('.').all(is_plain) {
        return Err(invalid(format!("{full:?} is no name")));
    }
    let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
    let aliases = texts(object, "aliases")?.iter().map(|alias| full_name(alias, &namespace)).collect();
    Ok((Name { full, aliases }, namespace))
}

fn required<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a Value, InvalidSchema> {
    object.get(key).ok_or_else(|| invalid(format!("an object without {key:?}")))
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a str, InvalidSchema> {
    required(object, key)?.as_str().ok_or_else(|| invalid(format!("{key:?} is no string")))
}

fn list<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a Vec<Value>, InvalidSchema> {
    required(object, key)?.as_array().ok_or_else(|| invalid(format!("{key:?} is no list")))
}

fn texts(object: &Map<String, Value>, key: &str) -> Result<Vec<String>, InvalidSchema> {
    if !object.contains_key(key) {
        return Ok(Vec::new());
    }
    let is_text = |value: &Value| value.as_str().map(str::to_owned);
    list(object, key)?
        .iter()
        .map(is_text)
        .collect::<Option<_>>()
        .ok_or_else(|| invalid(format!("{key:?} holds more than strings")))
}

/// A logical type that does not fit its type is ignored, as Avro asks for.
fn meaning(object: &Map<String, Value>) -> Option<Meaning> {
    let kind = object.get("type").and_then(Value::as_str)?;
    match (kind, object.get("logicalType").and_then(Value::as_str)?) {
        ("bytes" | "fixed", "decimal") => {
            let scale = object.get("scale").map_or(Some(0), Value::as_u64)?;
            u32::try_from(scale).ok().map(|scale| Meaning::Decimal { scale })
        }
        ("int", "date") => Some(Meaning::Date),
        ("int", "time-millis") => Some(Meaning::TimeMillis),
        ("long", "time-micros") => Some(Meaning::TimeMicros),
        ("long", "timestamp-millis") => Some(Meaning::TimestampMillis),
        ("long", "timestamp-micros") => Some(Meaning::TimestampMicros),
        ("long", "timestamp-nanos") => Some(Meaning::TimestampNanos),
        ("long", "local-timestamp-millis") => Some(Meaning::LocalTimestampMillis),
        ("long", "local-timestamp-micros") => Some(Meaning::LocalTimestampMicros),
        ("long", "local-timestamp-nanos") => Some(Meaning::LocalTimestampNanos),
        _ => None,
    }
}

/// CRC-64-AVRO, the "Rabin" fingerprint of Avro's specification.
fn fingerprint(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    bytes.iter().fold(EMPTY, |fingerprint, byte| {
        let entry = (0..8).fold((fingerprint ^ u64::from(*byte)) & 0xff, |bits, _| {
            (bits >> 1) ^ (EMPTY & (bits & 1).wrapping_neg())
        });
        (fingerprint >> 8) ^ entry
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fingerprints_are_those_of_the_reference_implementations() {
        // From Avro's own test data (share/test/data/schema-tests.txt).
        for (schema, expected) in
            [(r#""null""#, 7195948357588979594_i64), (r#"{"type":"boolean"}"#, -6970731678124411036)]
        {
            assert_eq!(Schema::parse(schema).unwrap().fingerprint().cast_signed(), expected, "{schema}");
        }
    }

    #[test]
    fn canonical_form_drops_what_readers_do_not_need() {
        let schema = Schema::parse(
            r#"{"type": "record", "name": "a.b.Node", "doc": "x", "fields": [
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
                {"name": "next", "type": ["null", "Node"]}]}"#,
        );
        assert_eq!(
            schema.unwrap().canonical_form(),
            r#"{"name":"a.b.Node","type":"record","fields":[{"name":"at","type":"long"},{"name":"next","type":["null","a.b.Node"]}]}"#
        );
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for text in [
            "",
            "7",
            "{}",
            "\"nothing\"",
            r#"{"type":"record","name":"A"}"#,
            r#"{"type":"fixed","name":"A","size":-1}"#,
        ] {
            assert!(Schema::parse(text).is_err(), "{text}");
        }
    }
}
