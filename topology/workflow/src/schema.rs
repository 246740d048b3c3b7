//! JSON Schemas of inputs, outputs and contexts.

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// A compiled JSON Schema.
#[derive(Debug)]
pub struct Schema(Box<jsonschema::Validator>);

impl Schema {
    /// Compiles a schema document (draft 2020-12 unless `$schema` says otherwise). References to other documents are refused.
    ///
    /// # Errors
    /// Why it is no schema.
    pub fn compile(document: &Value) -> Result<Self, String> {
        jsonschema::validator_for(document).map(|it| Self(Box::new(it))).map_err(|error| match error.kind() {
            ValidationErrorKind::Referencing(_) => {
                "it refers to another document, or to a part that is not there".to_owned()
            }
            _ => {
                let place = error.instance_path().to_string();
                if place.is_empty() { error.to_string() } else { format!("{place}: {error}") }
            }
        })
    }

    /// Checks `value`.
    ///
    /// # Errors
    /// Up to three violations, each with its place in the value.
    pub fn validate(&self, value: &Value) -> Result<(), String> {
        const SHOWN_MAX: usize = 3;
        let violations: Vec<String> = self
            .0
            .iter_errors(value)
            .take(SHOWN_MAX)
            .map(|error| {
                let place = error.instance_path().to_string();
                let place = if place.is_empty() { "the value".to_owned() } else { place };
                format!("{place}: {error}")
            })
            .collect();
        if violations.is_empty() { Ok(()) } else { Err(violations.join("; ")) }
    }
}
