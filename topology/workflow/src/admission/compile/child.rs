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
