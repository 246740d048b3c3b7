//! Calls of functions that the definition has in `use.functions`: the function's task is compiled where it is called.

use std::sync::Arc;

use serde_json::Value;

use super::call::BUILT_IN;
use super::metadata::Allowed;
use super::{Compiler, Rebase, Scope};
use crate::admission::source::escape;
use crate::program::{Block, Function, Kind, TaskIndex};

impl Compiler<'_, '_> {
    /// The entry of `use.functions`, and its pointer.
    pub(super) fn function(&self, name: &str) -> Option<(&Value, String)> {
        let entry = self.definition.get("use")?.get("functions")?.get(name)?;
        Some((entry, format!("/use/functions/{}", escape(name))))
    }

    /// A call of the function `name`, whose entry is `function`.
    pub(super) fn call_function(
        &mut self,
        name: &str,
        function: &Value,
        pointer: String,
        task: &Value,
        scope: &Scope,
        index: TaskIndex,
    ) -> Kind {
        self.metadata(task, scope, Allowed::Other);
        let arguments = task.get("with").map(|it| self.template(it, &scope.below("with")));
        if self.is_checking {
            // The function is checked by itself.
            return Kind::Function(Function { arguments, body: Block::default() });
        }
        let reference = format!("{}/{}", scope.below("call").reference(), escape(name));
        let base = Rebase { length: pointer.len(), reference };
        let at = Scope {
            pointer,
            base: Some(Arc::new(base)),
            // It sees its input, not the loops around the call.
            locals: Vec::new(),
            depth: scope.depth + 1,
        };
        let body = Block { tasks: vec![self.function_task(name, function, &at, Some(index))] };
        Kind::Function(Function { arguments, body })
    }

    fn function_task(
        &mut self,
        name: &str,
        function: &Value,
        scope: &Scope,
        parent: Option<TaskIndex>,
    ) -> TaskIndex {
        if self.calling.iter().any(|it| it == name) {
            let message = format!("the function `{name}` calls itself, and would never end");
            self.report.error(
                &scope.pointer,
                message,
                "use a `for`, a jump back by `then`, or `run: workflow`",
            );
            return self.place();
        }
        if self.is_full(scope) || self.is_too_deep(scope) {
            return self.place();
        }
        self.calling.push(name.to_owned());
        let mut jumps = Vec::new();
        let placed = self.task(name, function, scope, parent, &mut jumps);
        self.calling.pop();
        for jump in jumps {
            let message = format!("a function cannot go to `{}`: it is one task, in no list", jump.name);
            self.report.error(&jump.pointer, message, "put tasks that follow one another into a `do`");
        }
        placed.listed
    }

    /// Checks the entries of `use.functions`, called or not, each without those that it calls.
    pub(super) fn check_functions(&mut self) {
        let entries =
            self.definition.get("use").and_then(|it| it.get("functions")).and_then(Value::as_object);
        for (name, function) in entries.into_iter().flatten() {
            let pointer = format!("/use/functions/{}", escape(name));
            if BUILT_IN.contains(&name.as_str()) {
                let message = format!("`call: {name}` is a call of the language, and never this function");
                self.report.error(&pointer, message, "give the function another name");
            }
            let scope = Scope { pointer, base: None, locals: Vec::new(), depth: 0 };
            let first = self.tasks.len();
            self.is_checking = true;
            self.function_task(name, function, &scope, None);
            self.is_checking = false;
            self.tasks.truncate(first);
        }
    }
}
