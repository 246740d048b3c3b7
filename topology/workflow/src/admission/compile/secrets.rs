//! `use.secrets` and `$secrets`: which tasks may see them, and which of them each names.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Compiler, Scope};
use crate::admission::spelling;
use crate::expression::{self, Template};

/// Most secrets of one task.
const SECRETS_MAX: usize = 100;

impl Compiler<'_, '_> {
    /// The names in `use.secrets`.
    pub(super) fn secret_names(&self) -> Vec<&str> {
        let names = self.definition.get("use").and_then(|it| it.get("secrets")).and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Secrets are for workers: what an expression elsewhere computes would be in the records for all to read.
    pub(super) fn check_secrets(&mut self, code: &str, pointer: &str) {
        if !expression::names(code, "secrets") {
            return;
        }
        if !self.sees_secrets {
            let fix = "use it in the `with` or the `input.from` of a `call`, or in a `run` of a process";
            self.report.error(pointer, "`$secrets` is seen only by tasks that a worker does", fix);
            return;
        }
        for path in expression::secrets(code) {
            match path.first() {
                None => {
                    let fix = "name the secret, such as `$secrets.token` or `$secrets.db.password`";
                    self.report.error(pointer, "`$secrets` as a whole cannot be had", fix);
                }
                Some(name) => self.check_secret(name, pointer),
            }
        }
    }

    /// A secret that is named at `pointer`.
    pub(super) fn check_secret(&mut self, name: &str, pointer: &str) {
        let known = self.secret_names();
        if known.contains(&name) {
            return;
        }
        let fix = match spelling::suggest(name, known) {
            Some(it) => format!("did you mean `{it}`?"),
            None => format!("add it, if this workflow may use it: `use: {{ secrets: [{name}] }}`"),
        };
        self.report.error(pointer, format!("`use.secrets` has no `{name}`"), fix);
    }

    /// The secrets that a task's arguments and its `input.from` name.
    pub(super) fn secrets(
        &mut self,
        task: &Value,
        arguments: Option<&Template>,
        scope: &Scope,
    ) -> Vec<Vec<String>> {
        let mut found = BTreeSet::new();
        if let Some(arguments) = arguments {
            arguments.for_each_expression(&mut |it| found.extend(expression::secrets(it.text())));
        }
        collect(task.get("input").and_then(|it| it.get("from")).unwrap_or(&Value::Null), &mut found);
        let found: Vec<Vec<String>> = found.into_iter().filter(|it: &Vec<String>| !it.is_empty()).collect();
        if found.len() > SECRETS_MAX {
            let message = format!("the task names {} secrets, and {SECRETS_MAX} may be named", found.len());
            self.report.error(&scope.pointer, message, "split it into several tasks");
        }
        // Sorted, so that what is within another stands after it.
        if let Some([whole, part]) = found.windows(2).find(|it| it[1].starts_with(&it[0])) {
            let message = format!(
                "the task names the secret `{}` as a whole, and `{}` in it",
                whole.join("."),
                part.join(".")
            );
            self.report.error(&scope.pointer, message, "name the properties that are wanted, each by itself");
        }
        found
    }

    /// Compiles what a worker is given.
    pub(super) fn for_worker<T>(&mut self, is: bool, compile: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.sees_secrets, is);
        let compiled = compile(self);
        self.sees_secrets = before;
        compiled
    }

    /// Whether a worker does the task.
    pub(super) fn is_for_worker(&self, keyword: &str, task: &Value) -> bool {
        match keyword {
            "call" => task.get("call").and_then(Value::as_str).is_some_and(|it| self.function(it).is_none()),
            "run" => task.get("run").is_some_and(|it| it.get("workflow").is_none()),
            _ => false,
        }
    }
}

fn collect(value: &Value, found: &mut BTreeSet<Vec<String>>) {
    match value {
        Value::String(text) => found.extend(expression::secrets(text)),
        Value::Array(items) => items.iter().for_each(|it| collect(it, found)),
        Value::Object(entries) => entries.values().for_each(|it| collect(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
