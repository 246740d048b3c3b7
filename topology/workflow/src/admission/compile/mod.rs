//! Data to program, and what a schema cannot check on the way.
//!
//! Compiling goes on after an error, to find the others; what it makes then is thrown away. So each step copes with data of a
//! wrong shape, in silence: the schema has reported that.

mod authentication;
mod block;
mod call;
mod child;
mod compensation;
mod data;
mod event;
mod extension;
mod faults;
mod flow;
mod function;
mod history;
mod http;
mod looking;
mod metadata;
mod openapi;
mod resource;
mod run;
mod schedule;
mod secrets;
mod service;
mod source;
mod task;
mod workflow;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::report::Report;
use crate::program::{Program, Task, TaskIndex};

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
    /// Whether a `listen` that does not say hears only events that are addressed to the instance.
    is_addressed: bool,
    /// `use.extensions`
    extensions: Vec<Arc<extension::Extension>>,
    /// What is compiled is added by an extension.
    is_adding: bool,
    /// What is compiled is given to a worker, which has secrets.
    sees_secrets: bool,
    /// What is compiled undoes a task.
    is_compensating: bool,
    /// A function is compiled to be checked, and not to run.
    is_checking: bool,
    /// The functions that are being compiled, each called by the one before.
    calling: Vec<String>,
}

/// Where in the definition the compiler is.
#[derive(Clone, Debug)]
struct Scope {
    /// JSON pointer into the definition.
    pointer: String,
    /// Set where the definition is used in another place than it stands in: what functions and extensions are made of.
    base: Option<Arc<Rebase>>,
    /// Loop and catch variables, without `$`, the innermost last.
    locals: Vec<Arc<str>>,
    /// Tasks around.
    depth: usize,
}

/// Tasks have references of their own for each place in which a part of the definition is used.
#[derive(Debug)]
struct Rebase {
    /// Bytes of the pointer that are replaced…
    length: usize,
    /// …by this.
    reference: String,
}

impl Scope {
    /// What names a task here.
    fn reference(&self) -> String {
        match &self.base {
            None => self.pointer.clone(),
            Some(base) => format!("{}{}", base.reference, &self.pointer[base.length..]),
        }
    }

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

fn by_reference(tasks: &[Task]) -> HashMap<Arc<str>, TaskIndex> {
    tasks.iter().map(|it| (Arc::clone(&it.reference), it.index)).collect()
}

impl Compiler<'_, '_> {
    /// A place for the next task.
    fn place(&mut self) -> TaskIndex {
        let index = TaskIndex(u32::try_from(self.tasks.len()).expect("TASKS_MAX is far below 2^32"));
        self.tasks.push(None);
        index
    }

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
        let workflow::Head {
            workflow,
            digest,
            definition,
            input,
            output,
            timeout,
            history,
            lifecycle,
            starts_on,
            business_key,
            attributes,
            queries,
            schedule,
            sources,
            on_fault,
            body,
        } = head;
        let by_reference = by_reference(&tasks);
        Self {
            workflow,
            digest,
            definition,
            input,
            output,
            timeout,
            history,
            lifecycle,
            starts_on,
            business_key,
            attributes,
            queries,
            schedule,
            sources,
            on_fault,
            body,
            tasks,
            by_reference,
        }
    }
}
