//! Workflow data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JSON value that flows through a workflow. Cloning is cheap: the value is shared and never changes.
///
/// In Avro it is `bytes` holding the compact JSON text in UTF-8.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload(Arc<Value>);

impl Payload {
    /// The JSON `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(Arc::new(Value::Null))
    }

    /// The value itself.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Deepest nesting of arrays and objects that a payload may have. A deeper one can be written, but not read back: the JSON
    /// reader stops at 127, to protect the stack. So whoever makes a payload asks [`Self::is_too_deep`] before it is recorded.
    pub const DEPTH_MAX: usize = 120;

    /// Deepest nesting of what comes in by the inbox: a workflow can still wrap it before [`Self::DEPTH_MAX`] is reached.
    pub const INBOX_DEPTH_MAX: usize = 100;

    /// Whether it is nested too deeply for an event of the inbox.
    #[must_use]
    pub fn is_too_deep_for_inbox(&self) -> bool {
        is_deeper_than(&self.0, Self::INBOX_DEPTH_MAX)
    }

    /// Whether it is nested more deeply than [`Self::DEPTH_MAX`].
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        is_deeper_than(&self.0, Self::DEPTH_MAX)
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
        Self(Arc::new(value))
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
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
}
