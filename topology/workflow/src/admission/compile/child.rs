//! `run: workflow`

use serde_json::{Map, Value};

use millrace_schemas::WorkflowName;

use super::{Compiler, Scope};
use crate::expression::Template;
use crate::program::{Child, Kind};

impl Compiler<'_, '_> {
    /// `run`: what its one property says.
    pub(super) fn child(&mut self, task: &Value, scope: &Scope) -> Kind {
        let scope = scope.below("run");
        let run = task.get("run").unwrap_or(&Value::Null);
        let workflow = run.get("workflow").unwrap_or(&Value::Null);
        let here = scope.below("workflow");
        let text = |name: &str| workflow.get(name).and_then(Value::as_str);
        if run.get("return").is_some() {
            self.report.error(
                &scope.at("return"),
                "`return` is for processes; a workflow gives its output",
                "remove it",
            );
        }
        for name in ["namespace", "name", "version"] {
            if text(name).is_some_and(|it| crate::expression::unwrap(it).is_some()) {
                let message = format!("the {name} of a child workflow cannot be an expression");
                self.report.error(&here.at(name), message, "name it; choose between several by a `switch`");
            }
        }
        for name in ["namespace", "name"] {
            if text(name).is_some_and(|it| !is_label(it) && crate::expression::unwrap(it).is_none()) {
                let fix = "write it as `document` of that workflow has it: up to 63 letters, digits and `-`";
                self.report.error(&here.at(name), format!("this is no {name} of a workflow"), fix);
            }
        }
        if text("version")
            .is_some_and(|it| it != "latest" && !is_version(it) && crate::expression::unwrap(it).is_none())
        {
            let fix = "write such as `1.0.0`, or `latest`";
            self.report.error(&here.at("version"), "this is no version of a workflow", fix);
        }
        let input = match workflow.get("input") {
            Some(input) => self.template(input, &here.below("input")),
            None => Template::of_constant(Value::Object(Map::new())),
        };
        Kind::Child(Child {
            workflow: WorkflowName {
                namespace: text("namespace").unwrap_or_default().into(),
                name: text("name").unwrap_or_default().into(),
            },
            version: text("version").filter(|it| *it != "latest").map(Into::into),
            input,
            is_awaited: run.get("await").and_then(Value::as_bool).unwrap_or(true),
        })
    }
}

/// A DNS label, as `document.namespace` and `document.name` are.
fn is_label(text: &str) -> bool {
    let is_inner = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A semantic version, near enough to name one: what is not deployed is told when the child starts.
fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b".-+".contains(&it))
}
