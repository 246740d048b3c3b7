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

    /// Whether both are the same allocation: a cheap test for "nothing changed".
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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
