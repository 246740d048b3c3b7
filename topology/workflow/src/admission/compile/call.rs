//! `call`: a task for workers.

use serde_json::Value;

use super::metadata::Allowed;
use super::{Compiler, Scope};
use crate::expression::Template;
use crate::program::{BUILT_IN_QUEUE, Call, Kind, TaskIndex};

/// Calls that the language defines.
pub(super) const BUILT_IN: [&str; 6] = [ASYNC_API, GRPC, HTTP, OPENAPI, "a2a", "mcp"];

pub(super) const ASYNC_API: &str = "asyncapi";
pub(super) const GRPC: &str = "grpc";
pub(super) const HTTP: &str = "http";
pub(super) const OPENAPI: &str = "openapi";

/// Those of them that this release has.
pub(super) const SUPPORTED: [&str; 4] = [ASYNC_API, GRPC, HTTP, OPENAPI];

/// Longest name of a function, in bytes.
const FUNCTION_BYTES_MAX: usize = 256;

/// Makes the arguments of one of the language's calls.
pub(super) type Arguments<'c, 's> = fn(&mut Compiler<'c, 's>, &With<'_>) -> Vec<(String, Template)>;

/// The `with` of a call.
pub(super) struct With<'a> {
    value: &'a Value,
    scope: Scope,
}

impl<'a> With<'a> {
    /// An argument, and where it stands.
    pub(super) fn get(&self, name: &str) -> Option<(&'a Value, Scope)> {
        Some((self.value.get(name)?, self.scope.below(name)))
    }
}

impl<'c, 's> Compiler<'c, 's> {
    pub(super) fn call(&mut self, task: &Value, scope: &Scope, index: TaskIndex) -> Kind {
        let name = task.get("call").and_then(Value::as_str).unwrap_or_default();
        match name {
            HTTP => return self.built_in_call(HTTP, task, scope, Compiler::http_arguments),
            OPENAPI => return self.built_in_call(OPENAPI, task, scope, Compiler::openapi_arguments),
            GRPC => return self.built_in_call(GRPC, task, scope, Compiler::grpc_arguments),
            ASYNC_API => return self.built_in_call(ASYNC_API, task, scope, Compiler::async_api_arguments),
            _ => {}
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
        let secrets = self.secrets(task, arguments.as_ref(), scope);
        Kind::Call(Call {
            function: name.into(),
            queue,
            arguments,
            heartbeat: own.heartbeat,
            secrets,
            scheme: None,
        })
    }

    /// Reports calls that the language has and this release has not. True if there is nothing more to say about the task.
    pub(super) fn refuse_call(&mut self, name: &str, scope: &Scope) -> bool {
        let pointer = scope.at("call");
        if SUPPORTED.contains(&name) || self.function(name).is_some() {
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

    /// A call that the language defines, as a task for the built-in worker.
    pub(super) fn built_in_call(
        &mut self,
        function: &'static str,
        task: &Value,
        scope: &Scope,
        arguments: Arguments<'c, 's>,
    ) -> Kind {
        let with = With { value: task.get("with").unwrap_or(&Value::Null), scope: scope.below("with") };
        let arguments = arguments(self, &with);
        let scheme = self.scheme(with.value);
        self.built_in(function, task, scope, arguments, scheme)
    }

    /// A task for the built-in worker.
    pub(super) fn built_in(
        &mut self,
        function: &'static str,
        task: &Value,
        scope: &Scope,
        arguments: Vec<(String, Template)>,
        scheme: Option<&'static str>,
    ) -> Kind {
        let own = self.metadata(task, scope, Allowed::BuiltInCall);
        let arguments = Template::of_object(arguments);
        let secrets = self.secrets(task, Some(&arguments), scope);
        Kind::Call(Call {
            function: function.into(),
            queue: BUILT_IN_QUEUE.into(),
            arguments: Some(arguments),
            heartbeat: own.heartbeat,
            secrets,
            scheme,
        })
    }
}
