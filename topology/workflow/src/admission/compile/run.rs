//! `run`: a task for the built-in worker, which runs a script, a shell command or a container; or a child workflow.
//!
//! The task's arguments are the value of `run`, its process evaluated, and the task's input if nobody waits for the process.

use serde_json::{Map, Value, json};

use super::metadata::Allowed;
use super::{Compiler, Scope};
use crate::expression::{self, Expression, Template};
use crate::program::{DurationSource, Kind};

/// The kinds of processes; each is a function of the built-in worker.
const PROCESSES: [&str; 3] = ["script", "shell", "container"];

/// Languages that scripts may be written in, and those names that mean the same.
const LANGUAGES: [&str; 3] = ["javascript", "js", "python"];

/// What is run: a process, or a workflow. None if there are several, or none.
pub(super) fn form(run: &Map<String, Value>) -> Option<&'static str> {
    let mut found = PROCESSES.into_iter().chain(["workflow"]).filter(|it| run.contains_key(*it));
    found.next().filter(|_| found.next().is_none())
}

impl Compiler<'_, '_> {
    pub(super) fn run(&mut self, task: &Value, scope: &Scope) -> Kind {
        let run = task.get("run").unwrap_or(&Value::Null);
        if run.get("workflow").is_some() {
            self.metadata(task, scope, Allowed::Other);
            return self.child(task, scope);
        }
        let here = scope.below("run");
        // Without one, or with several, the schema has said so.
        let function = PROCESSES.into_iter().find(|it| run.get(it).is_some()).unwrap_or(PROCESSES[0]);
        if run.get("container").is_some_and(|it| it.get("lifetime").is_none()) {
            let message =
                "the container is kept when it has ended, as the language has it without `lifetime`";
            self.report.warning(&here.at("container"), message, "add `lifetime: { cleanup: always }`");
        }
        let process = self.process(run.get(function).unwrap_or(&Value::Null), &here.below(function));
        let mut arguments = vec![(function.to_owned(), process)];
        for option in ["return", "await"] {
            if let Some(value) = run.get(option) {
                arguments.push((option.to_owned(), Template::of_constant(value.clone())));
            }
        }
        if run.get("await") == Some(&Value::Bool(false)) {
            // Such a task's output is its input.
            let input = Expression::compile(".", &[]).expect("the identity is an expression");
            arguments.push(("input".to_owned(), Template::of_expression(input)));
            if run.get("return").is_some() {
                let message = "the output of a process that is not awaited is the task's input";
                self.report.warning(&here.at("return"), message, "remove `return`, or `await: false`");
            }
        }
        self.built_in(function, task, scope, arguments, None)
    }

    fn process(&mut self, process: &Value, scope: &Scope) -> Template {
        let mut properties = Vec::new();
        for (name, value) in process.as_object().into_iter().flatten() {
            let at = scope.below(name);
            let value = match name.as_str() {
                "language" => self.language(value, &at),
                "source" => self.resource(value, &at),
                "lifetime" => self.lifetime(value, &at),
                _ => self.template(value, &at),
            };
            properties.push((name.clone(), value));
        }
        Template::of_object(properties)
    }

    fn language(&mut self, value: &Value, scope: &Scope) -> Template {
        if let Some(language) = value.as_str().filter(|it| expression::unwrap(it).is_none())
            && !LANGUAGES.iter().any(|it| it.eq_ignore_ascii_case(language))
        {
            let message = format!("`{language}` is no language of scripts");
            self.report.error(&scope.pointer, message, "write `javascript` or `python`");
        }
        self.template(value, scope)
    }

    /// `{ cleanup, after }`, the duration in milliseconds.
    fn lifetime(&mut self, value: &Value, scope: &Scope) -> Template {
        let mut lifetime = json!({ "cleanup": value.get("cleanup") });
        if let Some(after_ms) = self.fixed_ms(value, "after", scope) {
            lifetime["after"] = after_ms;
        }
        Template::of_constant(lifetime)
    }

    /// A duration that the worker is given, in milliseconds.
    pub(super) fn fixed_ms(&mut self, holder: &Value, key: &str, scope: &Scope) -> Option<Value> {
        match self.duration(holder, key, scope)? {
            DurationSource::Fixed(duration) => Some(u64::try_from(duration.as_millis()).ok()?.into()),
            DurationSource::Computed(_) => {
                let instead = "write the duration such as `PT30M` or `{ minutes: 30 }`";
                self.report.unsupported(&scope.at(key), "an expression here", instead);
                None
            }
        }
    }
}
