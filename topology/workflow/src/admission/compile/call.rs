//! `call`: a task for workers.

use serde_json::{Map, Value};

use super::metadata::{Allowed, Metadata};
use super::{Compiler, Scope};
use crate::admission::dsl_schema;
use crate::program::{Call, Kind};

/// Calls that the language defines.
pub(super) const BUILT_IN: [&str; 6] = [ASYNC_API, GRPC, HTTP, "openapi", "a2a", "mcp"];

/// Those of them that this release has.
pub(super) const SUPPORTED: [&str; 3] = [ASYNC_API, GRPC, HTTP];
pub(super) const ASYNC_API: &str = "asyncapi";
pub(super) const GRPC: &str = "grpc";
pub(super) const HTTP: &str = "http";

/// Properties of an entry of `use.functions` that have a meaning here.
const FUNCTION_PROPERTIES: [&str; 3] = ["call", "with", "metadata"];

/// Longest name of a function, in bytes.
const FUNCTION_BYTES_MAX: usize = 256;

impl Compiler<'_, '_> {
    pub(super) fn call(&mut self, task: &Value, scope: &Scope) -> Kind {
        let name = task.get("call").and_then(Value::as_str).unwrap_or_default();
        let entry = if BUILT_IN.contains(&name) { None } else { self.function(name) };
        let called = entry.as_ref().and_then(|(it, _)| it.get("call")?.as_str());
        match called.unwrap_or(name) {
            HTTP => return self.call_http(task, scope, entry),
            GRPC => return self.call_grpc(task, scope, entry),
            ASYNC_API => return self.call_async_api(task, scope, entry),
            _ => {}
        }
        let mut own = self.metadata(task, scope, Allowed::Call);
        let mut function = name.to_owned();
        let mut with = task.get("with").cloned();
        let mut with_scope = scope.below("with");
        if let Some((entry, pointer)) = entry {
            let at = Scope { pointer, ..scope.clone() };
            let theirs = self.metadata(&entry, &at, Allowed::Call);
            own = Metadata {
                queue: own.queue.or(theirs.queue),
                heartbeat: own.heartbeat.or(theirs.heartbeat),
                ..own
            };
            if let Some(called) = entry.get("call").and_then(Value::as_str) {
                called.clone_into(&mut function);
            }
            if let Some(defaults) = entry.get("with") {
                // Checked where it stands: the merged arguments stand nowhere.
                let checked = at.below("with");
                self.template(defaults, &checked);
                match &with {
                    Some(given) => {
                        self.template(given, &with_scope);
                        with = Some(merged(defaults, given));
                    }
                    None => (with, with_scope) = (Some(defaults.clone()), checked),
                }
            }
        }
        if function.is_empty() || function.len() > FUNCTION_BYTES_MAX {
            self.report.error(
                &scope.at("call"),
                "a function has a name of 1 to 256 bytes",
                "name the function that the workers know",
            );
        }
        let arguments = with.map(|it| self.template(&it, &with_scope));
        let queue = own.queue.unwrap_or_else(|| self.queue.clone());
        Kind::Call(Call { function: function.into(), queue, arguments, heartbeat: own.heartbeat })
    }

    /// Reports calls that the language has and this release has not. True if there is nothing more to say about the task.
    pub(super) fn refuse_call(&mut self, name: &str, scope: &Scope) -> bool {
        let pointer = scope.at("call");
        if SUPPORTED.contains(&name) {
            return false;
        }
        if BUILT_IN.contains(&name) {
            let instead = "call a function by its name, and let a worker of yours do it";
            self.report.unsupported(&pointer, &format!("`call: {name}`"), instead);
        } else if name.contains('@') || name.contains("://") {
            self.report.unsupported(
                &pointer,
                "a function from a catalog",
                "call a function that your workers know",
            );
        } else {
            return false;
        }
        true
    }

    fn function(&self, name: &str) -> Option<(Value, String)> {
        let entry = self.definition.get("use")?.get("functions")?.get(name)?;
        Some((entry.clone(), format!("/use/functions/{}", crate::admission::source::escape(name))))
    }

    /// An entry of `use.functions`: another name, with default arguments, for a function that workers know.
    pub(super) fn check_function(&mut self, name: &str, function: &Value, pointer: &str) {
        if BUILT_IN.contains(&name) {
            let message = format!("`call: {name}` is a call of the language, and never this function");
            self.report.error(pointer, message, "give the function another name");
        }
        let scope = Scope { pointer: pointer.to_owned(), locals: Vec::new(), depth: 0 };
        let Some(called) = function.get("call").and_then(Value::as_str) else {
            let instead = "define it as `call` of a function that your workers know";
            self.report.unsupported(pointer, "a function that is made of other tasks", instead);
            return;
        };
        if self.refuse_call(called, &scope) {
            return;
        }
        let is_built_in = SUPPORTED.contains(&called);
        let form = if is_built_in { called } else { "call" };
        self.report.violations(pointer, dsl_schema::check_task(form, function));
        if !is_built_in && self.function(called).is_some() {
            let instead = "call the function that your workers know";
            self.report.unsupported(
                &scope.at("call"),
                "a function that calls another one of `use.functions`",
                instead,
            );
        }
        for key in function.as_object().into_iter().flatten().map(|it| it.0) {
            if !FUNCTION_PROPERTIES.contains(&key.as_str()) {
                let instead = "put it on the task that calls the function";
                self.report.unsupported(&scope.at(key), &format!("`{key}` in `use.functions`"), instead);
            }
        }
    }
}

/// The defaults, with what the task gives in their place.
pub(super) fn merged(defaults: &Value, given: &Value) -> Value {
    match (defaults, given) {
        (Value::Object(defaults), Value::Object(given)) => {
            let mut all: Map<String, Value> = defaults.clone();
            all.extend(given.iter().map(|(key, value)| (key.clone(), value.clone())));
            Value::Object(all)
        }
        (_, given) => given.clone(),
    }
}
