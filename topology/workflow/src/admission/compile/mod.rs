//! Data to program, and what a schema cannot check on the way.
//!
//! Compiling goes on after an error, to find the others; what it makes then is thrown away. So each step copes with data of a
//! wrong shape, in silence: the schema has reported that.

mod block;
mod call;
mod data;
mod event;
mod faults;
mod flow;
mod history;
mod http;
mod metadata;
mod run;
mod service;
mod task;
mod workflow;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::report::Report;
use crate::program::{Program, Task};

pub(super) use workflow::compile;

/// Most tasks of a definition.
pub const TASKS_MAX: usize = 10_000;
/// Deepest nesting of tasks in tasks.
pub const DEPTH_MAX: usize = 64;

struct Compiler<'c, 's> {
    report: &'c mut Report<'s>,
    definition: &'c Value,
    /// In preorder. A task's place is taken when it is met, and filled when all in it is compiled.
    tasks: Vec<Option<Task>>,
    /// The queue of calls that do not name one.
    queue: Arc<str>,
}

/// Where in the definition the compiler is.
#[derive(Clone, Debug)]
struct Scope {
    /// JSON pointer.
    pointer: String,
    /// Loop and catch variables, without `$`, the innermost last.
    locals: Vec<Arc<str>>,
    /// Tasks around.
    depth: usize,
}

impl Scope {
    /// The value `key` of the value here.
    fn at(&self, key: &str) -> String {
        format!("{}/{}", self.pointer, super::source::escape(key))
    }

    fn below(&self, key: &str) -> Self {
        Self { pointer: self.at(key), ..self.clone() }
    }

    fn with_locals<const N: usize>(&self, names: [&Arc<str>; N]) -> Self {
        let mut scope = self.clone();
        scope.locals.extend(names.into_iter().cloned());
        scope
    }
}

fn by_reference(tasks: &[Task]) -> HashMap<Arc<str>, crate::program::TaskIndex> {
    tasks.iter().map(|it| (Arc::clone(&it.reference), it.index)).collect()
}

impl Compiler<'_, '_> {
    /// `use.<kind>.<name>`, with its pointer. None, and an error at `pointer`, if it is not there.
    fn used(&mut self, kind: &str, name: &str, pointer: &str) -> Option<(Value, String)> {
        let entries = self.definition.get("use").and_then(|it| it.get(kind)).and_then(Value::as_object);
        if let Some(entry) = entries.and_then(|it| it.get(name)) {
            return Some((entry.clone(), format!("/use/{kind}/{}", super::source::escape(name))));
        }
        let names: Vec<&str> = entries.map(|it| it.keys().map(String::as_str).collect()).unwrap_or_default();
        let hint = super::spelling::hint(name, &names);
        self.report.error(
            pointer,
            format!("`use.{kind}` has no `{name}`"),
            format!("{hint} (they are defined under `use.{kind}`)"),
        );
        None
    }
}

/// Every value that a program is made of, once it is complete.
fn complete(tasks: Vec<Option<Task>>) -> Option<Vec<Task>> {
    tasks.into_iter().collect()
}

impl Program {
    fn assemble(head: workflow::Head, tasks: Vec<Task>) -> Self {
        let workflow::Head { workflow, digest, definition, input, output, timeout, history, body } = head;
        let by_reference = by_reference(&tasks);
        Self { workflow, digest, definition, input, output, timeout, history, body, tasks, by_reference }
    }
}
