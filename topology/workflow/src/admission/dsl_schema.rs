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

/// What is wrong, where in the checked value (JSON pointer), and what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    pub(super) pointer: String,
    pub(super) message: String,
    pub(super) fix: String,
}

static PUBLISHED: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../dsl/workflow-1.0.3.yaml");
    Source::parse(text).map_err(|it| it.message).expect("the published schema is YAML").value
});

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = PUBLISHED.clone();
    // Lists of tasks, branches, and the tasks in `use.functions`, are checked task by task.
    schema["$defs"]["taskList"] = json!({ "type": "array" });
    schema["$defs"]["task"] = json!({ "type": "object" });
    // So are policies: each by its kind.
    schema["$defs"]["authenticationPolicy"] = json!({ "type": "object" });
    schema["$defs"]["referenceableAuthenticationPolicy"] = json!({ "type": "object" });
    // The content of a resource may stand where it would be referred to.
    let endpoint = schema["$defs"]["endpoint"].to_string();
    let endpoint = endpoint.replace("#/$defs/uriTemplate", "#/$defs/resourceUri");
    schema["$defs"]["externalResource"]["properties"]["endpoint"] =
        serde_json::from_str(&endpoint).expect("what was JSON still is");
    schema["$defs"]["resourceUri"] =
        json!({ "type": "string", "pattern": r"^([Dd][Aa][Tt][Aa]:|[A-Za-z][A-Za-z0-9+\-.]*://).*" });
    // A child is named as workflows are, by `document`.
    let named = |name: &str| PUBLISHED["properties"]["document"]["properties"][name]["pattern"].clone();
    let version = named("version");
    let version = version.as_str().expect("the published schema says what a version is");
    let kinds = "/$defs/runTask/allOf/1/properties/run/oneOf";
    let kinds = schema.pointer_mut(kinds).and_then(Value::as_array_mut);
    let child = kinds.into_iter().flatten().find_map(|it| it.pointer_mut("/properties/workflow/properties"));
    let child = child.expect("the published schema can run a workflow");
    child["namespace"]["pattern"] = named("namespace");
    child["name"]["pattern"] = named("name");
    child["version"]["pattern"] = format!("^latest$|{version}").into();
    // The source of an emitted event has a default.
    let with = "/$defs/emitTask/allOf/1/properties/emit/properties/event/properties/with/required";
    *schema.pointer_mut(with).expect("the published schema says what an event needs") = json!(["type"]);
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
        ("http", "#/$defs/callTask"),
        ("openapi", "#/$defs/callTask"),
        ("grpc", "#/$defs/callTask"),
        ("asyncapi", "#/$defs/callTask"),
        ("container", "#/$defs/runTask"),
        ("script", "#/$defs/runTask"),
        ("shell", "#/$defs/runTask"),
        ("workflow", "#/$defs/runTask"),
    ]
    .into_iter()
    .map(|(kind, reference)| {
        let mut schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": SCHEMA["$defs"],
            "$ref": reference,
        });
        // One form of a call: which one it is is known by its name.
        let title = match kind {
            "call" => Some("CallFunction"),
            "http" => Some("CallHTTP"),
            "openapi" => Some("CallOpenAPI"),
            "grpc" => Some("CallGRPC"),
            "asyncapi" => Some("CallAsyncAPI"),
            _ => None,
        };
        if let Some(title) = title {
            let form = SCHEMA["$defs"]["callTask"]["oneOf"]
                .as_array()
                .and_then(|it| it.iter().find(|it| it["title"] == title))
                .expect("the published schema has this form of a call");
            schema["$defs"]["callTask"] = form.clone();
        }
        // So with what is run: by the property that it is.
        let run = schema.pointer_mut("/$defs/runTask/allOf/1/properties/run");
        let run = run.expect("the published schema has a task that runs something");
        let mut forms = run["oneOf"].as_array().into_iter().flatten();
        if let Some(form) = forms.find(|it| it["properties"].get(kind).is_some()).cloned() {
            run["oneOf"] = json!([true]);
            run["allOf"] = json!([form]);
        }
        (kind, compile(&schema))
    })
    .collect()
});

/// The properties of a policy, by its kind, where no secret has them.
static POLICIES: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let kinds = PUBLISHED["$defs"]["authenticationPolicy"]["oneOf"].as_array().into_iter().flatten();
    kinds
        .flat_map(|it| it["properties"].as_object().into_iter().flatten())
        .map(|(kind, policy)| {
            // Of its two forms the other one is the name of a secret.
            let mut schema = policy["oneOf"][0].clone();
            schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
            schema["$defs"] = PUBLISHED["$defs"].clone();
            schema["type"] = json!("object");
            schema["unevaluatedProperties"] = json!(false);
            (kind.clone(), compile(&schema))
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

/// Violations of one task, whose keyword is `kind`, outside of the tasks in it. `http` stands for `call: http`, and so on.
pub(super) fn check_task(kind: &str, task: &Value) -> Vec<Violation> {
    TASKS.get(kind).map_or_else(Vec::new, |it| violations(it, task))
}

/// Violations of the properties of a policy of this kind.
pub(super) fn check_policy(kind: &str, properties: &Value) -> Vec<Violation> {
    POLICIES.get(kind).map_or_else(Vec::new, |it| violations(it, properties))
}

fn violations(validator: &Validator, value: &Value) -> Vec<Violation> {
    let mut found: Vec<Violation> = validator.iter_errors(value).map(|it| describe(&it)).collect();
    found.sort();
    found.dedup();
    // A property that is wrong inside is also reported as one that no form allows: the message about its inside is the better one.
    let places: Vec<String> = found.iter().map(|it| it.pointer.clone()).collect();
    found.retain(|it| {
        !(it.message.starts_with(UNKNOWN)
            && places.iter().any(|at| at.len() > it.pointer.len() && at.starts_with(&it.pointer)))
    });
    found
}

const UNKNOWN: &str = "unknown propert";

fn describe(error: &ValidationError<'_>) -> Violation {
    let pointer = error.instance_path().to_string();
    let (message, fix) = match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            if let Some(best) = best_branch(context) {
                return best;
            }
            (
                "this has none of the forms that are allowed here".to_owned(),
                "see the language's reference".to_owned(),
            )
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            ("this has several forms at once; only one is allowed".to_owned(), "keep one of them".to_owned())
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let names = unexpected.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
            let plural = if unexpected.len() == 1 { "y" } else { "ies" };
            (
                format!("{UNKNOWN}{plural} {names}"),
                "remove it, or correct its name or its indentation".to_owned(),
            )
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            (format!("the property `{name}` is missing"), format!("add `{name}`"))
        }
        ValidationErrorKind::Pattern { .. } if names_a_workflow(&pointer) => {
            let fix = match pointer.rsplit('/').next() {
                Some("version") if !pointer.starts_with("/document/") => {
                    "write a semantic version in quotes, such as '1.0.0', or `latest`"
                }
                Some("dsl" | "version") => "write a semantic version in quotes, such as '1.0.0'",
                _ => "use up to 63 letters, digits and `-`, not `-` at an end",
            };
            (format!("{} is not allowed here", error.instance()), fix.to_owned())
        }
        // The only pattern that begins so is that of durations.
        ValidationErrorKind::Pattern { pattern } if pattern.starts_with("^P") => (
            format!("{} is no duration", error.instance()),
            "write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`".to_owned(),
        ),
        // The only one that asks for a scheme is that of URIs.
        ValidationErrorKind::Pattern { pattern } if pattern.contains("://") => (
            format!("{} is no absolute URI", error.instance()),
            "write such as `https://example.com/pets/{petId}`, or `${ … }`".to_owned(),
        ),
        _ => (error.to_string(), "see the language's reference for what is allowed here".to_owned()),
    };
    Violation { pointer, message, fix }
}

fn names_a_workflow(pointer: &str) -> bool {
    ["/document/", "/run/workflow/"].iter().any(|it| pointer.starts_with(it))
}

/// Of several forms that do not fit, the one that fits best: the one whose violation is the deepest, then the one that is not
/// of another type altogether, then the one with the fewest violations.
fn best_branch(branches: &[Vec<ValidationError<'static>>]) -> Option<Violation> {
    let depth = |it: &str| it.matches('/').count();
    branches
        .iter()
        .filter_map(|errors| {
            let violations: Vec<Violation> = errors.iter().map(describe).collect();
            let deepest = violations.iter().map(|it| depth(&it.pointer)).max()?;
            let is_other_type = errors.iter().any(|it| {
                matches!(it.kind(), ValidationErrorKind::Type { .. })
                    && depth(it.instance_path().as_str()) == deepest
            });
            Some(((deepest, !is_other_type, usize::MAX - violations.len()), violations))
        })
        .max_by_key(|it| it.0)
        .and_then(|(_, violations)| violations.into_iter().max_by_key(|it| depth(&it.pointer)))
}
