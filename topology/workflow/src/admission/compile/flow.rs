//! Where the flow goes: `then`, and `switch`.

use std::sync::Arc;

use serde_json::Value;

use super::{Compiler, Scope};
use crate::program::{Case, Flow, Kind, TaskIndex};

/// A `then` that names a task, to be resolved when its list is known.
pub(super) struct Jump {
    pub(super) from: TaskIndex,
    /// The case of a `switch`; none for the task's own `then`.
    pub(super) case: Option<usize>,
    pub(super) name: String,
    /// Of the `then`.
    pub(super) pointer: String,
}

impl Compiler<'_, '_> {
    /// A flow directive. A name becomes a jump, to be resolved later.
    pub(super) fn then(
        &self,
        holder: &Value,
        scope: &Scope,
        from: TaskIndex,
        case: Option<usize>,
        jumps: &mut Vec<Jump>,
    ) -> Flow {
        match holder.get("then").and_then(Value::as_str) {
            None | Some("continue") => Flow::Continue,
            Some("exit") => Flow::Exit,
            Some("end") => Flow::End,
            Some(name) => {
                jumps.push(Jump { from, case, name: name.to_owned(), pointer: scope.at("then") });
                Flow::Continue
            }
        }
    }

    pub(super) fn switch(
        &mut self,
        task: &Value,
        scope: &Scope,
        from: TaskIndex,
        jumps: &mut Vec<Jump>,
    ) -> Kind {
        let scope = scope.below("switch");
        let mut entries: Vec<(usize, &String, &Value)> = Vec::new();
        let mut default = None;
        for (index, entry) in task.get("switch").and_then(Value::as_array).into_iter().flatten().enumerate() {
            let Some((name, case)) =
                entry.as_object().filter(|it| it.len() == 1).and_then(|it| it.iter().next())
            else {
                continue;
            };
            if case.get("when").is_some() {
                entries.push((index, name, case));
                continue;
            }
            let pointer = scope.below(&index.to_string()).at(name);
            if default.is_some() {
                let message =
                    format!("a `switch` has one default case: `{name}` is a second one without `when`");
                self.report.error(&pointer, message, "give it a `when`, or remove it");
            } else {
                default = Some((index, name, case));
            }
        }
        if let (Some((index, name, _)), Some((last, ..))) = (default, entries.last())
            && index < *last
        {
            let message =
                format!("the default case `{name}` stands before others; it is tried last all the same");
            self.report.warning(&scope.below(&index.to_string()).at(name), message, "move it to the end");
        }
        entries.extend(default);
        let mut cases = Vec::with_capacity(entries.len());
        for (index, name, case) in entries {
            let here = scope.below(&index.to_string()).below(name);
            let then = self.then(case, &here, from, Some(cases.len()), jumps);
            let when = self.expression(case, "when", &here);
            cases.push(Case { name: Arc::from(name.as_str()), when, then });
        }
        Kind::Switch { cases }
    }
}
