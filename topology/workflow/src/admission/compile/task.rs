//! One task: which kind it is, and what all kinds have.

use std::sync::Arc;

use serde_json::Value;

use super::call::{BUILT_IN, SUPPORTED};
use super::extension::{Item, Placed};
use super::flow::Jump;
use super::metadata::Allowed;
use super::{Compiler, Scope};
use crate::admission::{dsl_schema, spelling};
use crate::program::{Block, DurationSource, For, Kind, Task, TaskIndex};

/// The words that make a task what it is. `do` comes last, since a `for` has one too.
const KEYWORDS: [&str; 12] =
    ["call", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait", "do"];

impl Compiler<'_, '_> {
    /// Compiles a task, everything in it, and what extensions add to it.
    pub(super) fn task(
        &mut self,
        name: &str,
        task: &Value,
        scope: &Scope,
        parent: Option<TaskIndex>,
        jumps: &mut Vec<Jump>,
    ) -> Placed {
        match self.keyword(task, scope) {
            Some(keyword) => self.extended(&Item { name, keyword, task, scope }, parent, jumps),
            None => {
                let task = self.place();
                Placed { listed: task, task }
            }
        }
    }

    /// Compiles a task and everything in it.
    pub(super) fn compile_task(
        &mut self,
        item: &Item<'_>,
        parent: Option<TaskIndex>,
        jumps: &mut Vec<Jump>,
    ) -> TaskIndex {
        let Item { name, keyword, task, scope } = *item;
        let index = self.place();
        let called = task.get("call").and_then(Value::as_str).filter(|_| keyword == "call");
        if called.is_some_and(|it| self.refuse_call(it, scope)) {
            return index;
        }
        let run = task.get("run").and_then(Value::as_object).filter(|_| keyword == "run");
        let form = called
            .filter(|it| SUPPORTED.contains(it))
            .or_else(|| run.and_then(super::run::form))
            .unwrap_or(keyword);
        self.report.violations(&scope.pointer, dsl_schema::check_task(form, task));
        if !matches!(keyword, "call" | "emit" | "listen" | "run") {
            self.metadata(task, scope, Allowed::Other);
        }
        let is_for_worker = self.is_for_worker(keyword, task);
        let compiled = Task {
            index,
            parent,
            name: name.into(),
            reference: scope.reference().into(),
            definition: Arc::new(task.clone()),
            condition: self.expression(task, "if", scope),
            input: self.for_worker(is_for_worker, |it| it.input(task, scope)),
            output: self.output(task, scope),
            export: self.export(task, scope),
            timeout: self.timeout(task, scope),
            then: self.then(task, scope, index, None, jumps),
            kind: self.for_worker(is_for_worker, |it| it.kind(keyword, task, scope, index, jumps)),
            compensation: self.compensation(task, scope, index),
            on_behalf_of: None,
            extended_by: None,
        };
        self.tasks[index.0 as usize] = Some(compiled);
        index
    }

    /// The word that says what the task is. None, and an error, if there is none or several.
    fn keyword(&mut self, task: &Value, scope: &Scope) -> Option<&'static str> {
        let Some(entries) = task.as_object() else {
            self.report.error(
                &scope.pointer,
                "a task must be a mapping",
                "write such as `set: { … }`, indented below the name",
            );
            return None;
        };
        let mut found = KEYWORDS.into_iter().filter(|it| entries.contains_key(*it));
        let first = found.next();
        let second = found.find(|it| !(first == Some("for") && *it == "do"));
        match (first, second) {
            (Some(keyword), None) => Some(keyword),
            (Some(first), Some(second)) => {
                let message = format!("a task does one thing; this one has both `{first}` and `{second}`");
                self.report.error(&scope.pointer, message, "split it into two tasks");
                None
            }
            (None, _) => {
                self.report_unknown(entries.keys().map(String::as_str), scope);
                None
            }
        }
    }

    fn report_unknown<'k>(&mut self, keys: impl Iterator<Item = &'k str> + Clone, scope: &Scope) {
        let is_call = keys.clone().find(|it| BUILT_IN.contains(it));
        let near = keys.clone().find_map(|key| spelling::suggest(key, KEYWORDS).map(|it| (key, it)));
        let mut known = KEYWORDS;
        known.sort_unstable();
        let known = format!("the kinds of tasks are {}", known.map(|it| format!("`{it}`")).join(", "));
        match (is_call, near) {
            (Some(key), _) => self.report.error(
                &scope.pointer,
                format!("`{key}` is no kind of task"),
                format!("write `call: {key}`"),
            ),
            (None, Some((key, it))) => {
                self.report.error(
                    &scope.at(key),
                    format!("`{key}` is no kind of task"),
                    format!("did you mean `{it}`?"),
                );
            }
            (None, None) => {
                let keys: Vec<String> = keys.map(|it| format!("`{it}`")).collect();
                let has = if keys.is_empty() {
                    "it is empty".to_owned()
                } else {
                    format!("it has {}", keys.join(", "))
                };
                self.report.error(&scope.pointer, format!("this task does not say what to do: {has}"), known);
            }
        }
    }

    fn kind(
        &mut self,
        keyword: &str,
        task: &Value,
        scope: &Scope,
        index: TaskIndex,
        jumps: &mut Vec<Jump>,
    ) -> Kind {
        match keyword {
            "set" => self.set(task, scope),
            "switch" => self.switch(task, scope, index, jumps),
            "for" => self.for_(task, scope, index),
            "fork" => self.fork(task, scope, index),
            "try" => self.try_(task, scope, index),
            "raise" => self.raise(task, scope),
            "wait" => {
                let duration = self.duration(task, "wait", scope);
                Kind::Wait { duration: duration.unwrap_or(DurationSource::Fixed(std::time::Duration::ZERO)) }
            }
            "emit" => self.emit(task, scope),
            "listen" => self.listen(task, scope, index),
            "call" => self.call(task, scope, index),
            "run" => self.run(task, scope),
            _ => Kind::Do { body: self.list(task, "do", scope, index) },
        }
    }

    fn list(&mut self, task: &Value, key: &str, scope: &Scope, index: TaskIndex) -> Block {
        self.block(task.get(key).unwrap_or(&Value::Null), &scope.below(key), Some(index))
    }

    fn set(&mut self, task: &Value, scope: &Scope) -> Kind {
        let scope = scope.below("set");
        let value = task.get("set").unwrap_or(&Value::Null);
        if value.as_str().is_some_and(|it| crate::expression::unwrap(it).is_none()) {
            let message = "`set` takes a mapping, or one expression in `${ }`";
            self.report.error(
                &scope.pointer,
                message,
                "write such as `set: ${ .order }` or `set: { total: ${ .total } }`",
            );
        }
        Kind::Set { value: self.template(value, &scope) }
    }

    fn for_(&mut self, task: &Value, scope: &Scope, index: TaskIndex) -> Kind {
        let header = task.get("for").unwrap_or(&Value::Null);
        let here = scope.below("for");
        let each = self.variable(header, "each", "item", &here);
        let at = self.variable(header, "at", "index", &here);
        if each == at {
            self.report.error(
                &here.pointer,
                format!("the item and its index are both called `{each}`"),
                "rename one of the two",
            );
        }
        let items = self.expression(header, "in", &here);
        let inner = scope.with_locals([&each, &at]);
        let condition = self.expression(task, "while", &inner);
        let body = self.list(task, "do", &inner, index);
        match items {
            Some(items) => Kind::For(For { each, at, items, condition, body }),
            // Reported: by the schema if it is missing, else as an expression.
            None => Kind::Do { body },
        }
    }

    fn fork(&mut self, task: &Value, scope: &Scope, index: TaskIndex) -> Kind {
        let fork = task.get("fork").unwrap_or(&Value::Null);
        let here = scope.below("fork");
        let branches =
            self.branches(fork.get("branches").unwrap_or(&Value::Null), &here.below("branches"), index);
        Kind::Fork { branches, compete: fork.get("compete").and_then(Value::as_bool).unwrap_or_default() }
    }
}
