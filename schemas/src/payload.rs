//! Workflow data.

use std::fmt::{self, Write};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON value that flows through a workflow. Cloning is cheap: the value is shared and never changes.
///
/// In Avro it is `bytes` holding the compact JSON text in UTF-8.
#[derive(Clone)]
pub struct Payload(Arc<Shared>);

struct Shared {
    value: Value,
    /// Counted when somebody asks: bounds on records and states ask again and again.
    json_bytes: OnceLock<usize>,
}

impl Payload {
    /// The JSON `null`.
    #[must_use]
    pub fn null() -> Self {
        Self::from(Value::Null)
    }

    /// The value itself.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// Bytes of it as compact JSON in UTF-8.
    #[must_use]
    pub fn json_bytes(&self) -> usize {
        *self.0.json_bytes.get_or_init(|| json_bytes(&self.0.value))
    }

    /// Deepest nesting of arrays and objects that a payload may have. A deeper one can be written, but not read back: the JSON
    /// reader stops at 127, to protect the stack. So whoever makes a payload asks [`Self::is_too_deep`] before it is recorded.
    pub const DEPTH_MAX: usize = 120;

    /// Deepest nesting of what comes in by the inbox: a workflow can still wrap it before [`Self::DEPTH_MAX`] is reached.
    pub const INBOX_DEPTH_MAX: usize = 100;

    /// Whether it is nested too deeply for an event of the inbox.
    #[must_use]
    pub fn is_too_deep_for_inbox(&self) -> bool {
        is_deeper_than(self.value(), Self::INBOX_DEPTH_MAX)
    }

    /// Whether it is nested more deeply than [`Self::DEPTH_MAX`].
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        is_deeper_than(self.value(), Self::DEPTH_MAX)
    }

    /// Whether both are the same allocation: a cheap test for "nothing changed".
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Whether arrays and objects are nested more than `depth` deep.
pub(crate) fn is_deeper_than(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth == 0 || items.iter().any(|item| is_deeper_than(item, depth - 1)),
        Value::Object(fields) => depth == 0 || fields.values().any(|field| is_deeper_than(field, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::null()
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self(Arc::new(Shared { value, json_bytes: OnceLock::new() }))
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.value() == other.value()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

/// Bytes of `value` as compact JSON in UTF-8.
fn json_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(it) => 5 - usize::from(*it),
        Value::Number(it) => {
            let mut count = Counter(0);
            write!(count, "{it}").expect("counting does not fail");
            count.0
        }
        Value::String(it) => text_bytes(it),
        Value::Array(items) => {
            2 + items.len().saturating_sub(1) + items.iter().map(json_bytes).sum::<usize>()
        }
        Value::Object(fields) => {
            let inner: usize = fields.iter().map(|(name, it)| text_bytes(name) + 1 + json_bytes(it)).sum();
            2 + fields.len().saturating_sub(1) + inner
        }
    }
}

fn text_bytes(text: &str) -> usize {
    let escapes: usize = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
            0..0x20 => 5,
            _ => 0,
        })
        .sum();
    2 + text.len() + escapes
}

struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn depth_counts_arrays_and_objects() {
        let nested =
            |depth| Payload::from((0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner])));
        assert!(!nested(Payload::DEPTH_MAX).is_too_deep());
        assert!(nested(Payload::DEPTH_MAX + 1).is_too_deep());
        let text = nested(Payload::DEPTH_MAX).value().to_string();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "what is not too deep can be read back");
    }

    #[test]
    fn json_is_counted_as_it_is_written() {
        for value in [
            json!(null),
            json!(true),
            json!(false),
            json!([]),
            json!({}),
            json!([1, -2.5, "a\"\\\n\u{1}ü"]),
            json!({"a": {"b": [1, 2]}, "c": 1e300}),
        ] {
            let text = value.to_string();
            assert_eq!(Payload::from(value).json_bytes(), text.len(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_are_counted_as_they_are_written(text in any::<String>()) {
            let value = Value::String(text);
            let written = value.to_string().len();
            prop_assert_eq!(Payload::from(value).json_bytes(), written);
        }
    }
}
