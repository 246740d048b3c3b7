//! The JSON schema of the language, applied so that one problem gives one message.
//!
//! The published schema describes a task as one of twelve forms and nests them. Applied as it is, one wrong word in a nested task gives
//! dozens of messages about all the forms it could have been. So each task is checked by itself, against the form that its keyword
//! names, with the lists inside of it left open; those are checked in their own turn.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

use super::source::Source;

/// A violation: JSON pointer within the checked value, and what is wrong.
pub(super) type Violation = (String, String);

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../dsl/workflow-1.0.3.yaml");
    let mut schema = Source::parse(text).map_err(|it| it.message).expect("the published schema is YAML").value;
    // Lists of tasks, and branches, are checked task by task.
    schema["$defs"]["taskList"] = json!({ "type": "array" });
    schema
});

static WORKFLOW: LazyLock<Validator> = LazyLock::new(|| compile(&SCHEMA));

static TASKS: LazyLock<BTreeMap<&'static str, Validator>> = LazyLock::new(|| {
    [
        ("do", "#/$defs/doTask"),
        ("emit", "#/$defs/emitTask"),
        ("for", "#/$defs/forTask"),
        ("fork", "#/$defs/forkTask"),
        ("listen", "#/$defs/listenTask"),
        ("raise", "#/$defs/raiseTask"),
        ("run", "#/$defs/runTask"),
        ("set", "#/$defs/setTask"),
        ("switch", "#/$defs/switchTask"),
        ("try", "#/$defs/tryTask"),
        ("wait", "#/$defs/waitTask"),
        ("call", "#/$defs/callTask"),
    ]
    .into_iter()
    .map(|(kind, reference)| {
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": SCHEMA["$defs"],
            "$ref": reference,
        });
        if kind == "call" {
            // Calls of functions only: the built-in ones are refused before.
            let function = SCHEMA["$defs"]["callTask"]["oneOf"]
                .as_array()
                .and_then(|it| it.iter().find(|it| it["title"] == "CallFunction"))
                .expect("the published schema has the form of a function call");
            schema["$defs"]["callTask"] = function.clone();
        }
        (kind, compile(&schema))
    })
    .collect()
});

fn compile(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).expect("the published schema is a schema")
}

/// Violations outside of the tasks.
pub(super) fn check_workflow(definition: &Value) -> Vec<Violation> {
    violations(&WORKFLOW, definition)
}

/// Violations of one task, whose keyword is `kind`, outside of the tasks in it.
pub(super) fn check_task(kind: &str, task: &Value) -> Vec<Violation> {
    TASKS.get(kind).map_or_else(Vec::new, |it| violations(it, task))
}

fn violations(validator: &Validator, value: &Value) -> Vec<Violation> {
    let mut found: Vec<Violation> = validator.iter_errors(value).map(|it| describe(&it)).collect();
    found.sort();
    found.dedup();
    // A property that is wrong inside is also reported as one that no form allows: the message about its inside is the better one.
    let inner: Vec<String> = found.iter().map(|it| it.0.clone()).collect();
    found.retain(|(pointer, message)| {
        !(message.starts_with("unknown propert") && inner.iter().any(|it| it.len() > pointer.len() && it.starts_with(pointer)))
    });
    found
}

fn describe(error: &ValidationError<'_>) -> Violation {
    let pointer = error.instance_path().to_string();
    let message = match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            return best_branch(context).unwrap_or((pointer, "this has none of the forms that are allowed here".to_owned()));
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => "this has several forms at once; only one is allowed".to_owned(),
        ValidationErrorKind::AdditionalProperties { unexpected } | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let names = unexpected.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
            if unexpected.len() == 1 { format!("unknown property {names}") } else { format!("unknown properties {names}") }
        }
        ValidationErrorKind::Required { property } => {
            format!("property `{}` is missing", property.as_str().unwrap_or_default())
        }
        _ => error.to_string(),
    };
    (pointer, message)
}

/// Of several forms that do not fit, the one that fits best: the one whose first violation is the deepest, then the one with the
/// fewest.
fn best_branch(branches: &[Vec<ValidationError<'static>>]) -> Option<Violation> {
    branches
        .iter()
        .filter_map(|errors| {
            let violations: Vec<Violation> = errors.iter().map(describe).collect();
            let depth = violations.iter().map(|it| it.0.matches('/').count()).max()?;
            let is_type = errors.iter().any(|it| matches!(it.kind(), ValidationErrorKind::Type { .. }) && it.instance_path().as_str().matches('/').count() == depth);
            Some(((depth, !is_type, usize::MAX - violations.len()), violations))
        })
        .max_by_key(|it| it.0)
        .and_then(|(_, violations)| violations.into_iter().max_by_key(|it| it.0.matches('/').count()))
}
