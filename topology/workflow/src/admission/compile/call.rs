//! `call`: a task for workers.

use serde_json::Value;

use super::metadata::Allowed;
use super::{Compiler, Scope};
use crate::program::{Call, Kind, TaskIndex};

/// Calls that the language defines.
pub(super) const BUILT_IN: [&str; 6] = ["asyncapi", "grpc", HTTP, "openapi", "a2a", "mcp"];

/// The one of them that this release has.
pub(super) const HTTP: &str = "http";

/// Longest name of a function, in bytes.
const FUNCTION_BYTES_MAX: usize = 256;

impl Compiler<'_, '_> {
    pub(super) fn call(&mut self, task: &Value, scope: &Scope, index: TaskIndex) -> Kind {
        let name = task.get("call").and_then(Value::as_str).unwrap_or_default();
        if name == HTTP {
            return self.call_http(task, scope);
        }
        if let Some((function, pointer)) = self.function(name) {
            let function = function.clone();
            return self.call_function(name, &function, pointer, task, scope, index);
        }
        let own = self.metadata(task, scope, Allowed::Call);
        if name.is_empty() || name.len() > FUNCTION_BYTES_MAX {
            self.report.error(
                &scope.at("call"),
                "a function has a name of 1 to 256 bytes",
                "name the function that the workers know",
            );
        }
        let arguments = task.get("with").map(|it| self.template(it, &scope.below("with")));
        let queue = own.queue.unwrap_or_else(|| self.queue.clone());
        Kind::Call(Call {
            function: name.into(),
            queue,
            arguments,
            heartbeat: own.heartbeat,
            secrets: self.secrets(task, "with"),
        })
    }

    /// Reports calls that the language has and this release has not. True if there is nothing more to say about the task.
    pub(super) fn refuse_call(&mut self, name: &str, scope: &Scope) -> bool {
        let pointer = scope.at("call");
        if name == HTTP || self.function(name).is_some() {
            return false;
        }
        if BUILT_IN.contains(&name) {
            let instead = "call a function by its name, and let a worker of yours do it";
            self.report.unsupported(&pointer, &format!("`call: {name}`"), instead);
        } else if name.contains('@') || name.contains("://") {
            let fix = "deploy it by `millrace deploy`, which fetches the function; or write it into `use.functions`, under this name";
            self.report.error(&pointer, "this function is elsewhere", fix);
        } else {
            return false;
        }
        true
    }
}
