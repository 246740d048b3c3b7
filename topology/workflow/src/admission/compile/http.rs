//! `call: http`: a task for the built-in worker.
//!
//! The task's arguments are those of the language, in one form: the endpoint is its URI, with names replaced by what the data has.

use serde_json::{Value, json};

use super::call::{HTTP, merged};
use super::metadata::{Allowed, Metadata};
use super::{Compiler, Scope};
use crate::admission::dsl_schema;
use crate::expression::{self, Template, UriTemplate};
use crate::program::{BUILT_IN_QUEUE, Call, Kind};

/// The arguments, in the order in which the worker's request shows them.
const ARGUMENTS: [&str; 7] = ["method", "endpoint", "query", "headers", "body", "output", "redirect"];

/// Headers that say how a message is carried, which is the client's business and not the caller's. The worker refuses them as well,
/// since an expression may give any.
const CARRIER_HEADERS: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a call is made of: the task's own `with`, over that of the entry of `use.functions` that it names.
pub(super) struct With<'a> {
    pub(super) own: Option<&'a Value>,
    pub(super) own_scope: Scope,
    pub(super) defaults: Option<(&'a Value, Scope)>,
}

impl<'a> With<'a> {
    /// An argument, and where it stands.
    pub(super) fn get(&self, name: &str) -> Option<(&'a Value, Scope)> {
        if let Some(value) = self.own.and_then(|it| it.get(name)) {
            return Some((value, self.own_scope.below(name)));
        }
        let (defaults, scope) = self.defaults.as_ref()?;
        Some((defaults.get(name)?, scope.below(name)))
    }
}

impl Compiler<'_, '_> {
    pub(super) fn call_http(&mut self, task: &Value, scope: &Scope, entry: Option<(Value, String)>) -> Kind {
        let mut own = self.metadata(task, scope, Allowed::BuiltInCall);
        let mut with = With { own: task.get("with"), own_scope: scope.below("with"), defaults: None };
        if let Some((entry, pointer)) = &entry {
            let at = Scope { pointer: pointer.clone(), ..scope.clone() };
            let theirs = self.metadata(entry, &at, Allowed::BuiltInCall);
            own = Metadata { heartbeat: own.heartbeat.or(theirs.heartbeat), ..own };
            with.defaults = entry.get("with").map(|it| (it, at.below("with")));
            self.check_merged(&with, entry, scope);
        }
        let mut arguments = Vec::new();
        for name in ARGUMENTS {
            let Some((value, at)) = with.get(name) else { continue };
            let value = match name {
                "method" => self.method(value, &at),
                "endpoint" => self.endpoint(value, &at),
                "headers" => self.headers(value, &at),
                _ => self.template(value, &at),
            };
            arguments.push((name.to_owned(), value));
        }
        Kind::Call(Call {
            function: HTTP.into(),
            queue: BUILT_IN_QUEUE.into(),
            arguments: Some(Template::of_object(arguments)),
            heartbeat: own.heartbeat,
        })
    }

    /// A task that calls an entry of `use.functions` has the form of any call; with the entry's defaults it must be an HTTP call.
    fn check_merged(&mut self, with: &With<'_>, entry: &Value, scope: &Scope) {
        let (Some(own), Some((defaults, _))) = (with.own, &with.defaults) else { return };
        if dsl_schema::check_task(HTTP, entry).is_empty() {
            let whole = json!({ "call": HTTP, "with": merged(defaults, own) });
            self.report.violations(&scope.pointer, dsl_schema::check_task(HTTP, &whole));
        }
    }

    fn method(&mut self, value: &Value, scope: &Scope) -> Template {
        if let Some(method) = constant(value)
            && (!is_token(method) || ["CONNECT", "TRACE"].iter().any(|it| it.eq_ignore_ascii_case(method)))
        {
            let fix = "use `get`, `post`, `put`, `patch`, `delete`, `head` or `options`";
            self.report.error(&scope.pointer, format!("`{method}` is no method to call"), fix);
        }
        self.template(value, scope)
    }

    /// The endpoint's URI.
    pub(super) fn endpoint(&mut self, value: &Value, scope: &Scope) -> Template {
        if value.get("authentication").is_some() {
            let instead = "let a worker of yours make calls that need credentials: those in a definition could be read by everybody";
            self.report.unsupported(&scope.at("authentication"), "`authentication`", instead);
        }
        let (uri, scope) = match value.get("uri") {
            Some(uri) => (uri, scope.below("uri")),
            None => (value, scope.clone()),
        };
        let Some(text) = constant(uri) else { return self.template(uri, &scope) };
        let fix = "write such as `https://example.com/pets/{petId}`, where `petId` is a property of the task's input";
        match UriTemplate::parse(text) {
            Ok(template) => {
                self.check_uri(text, &scope);
                Template::of_uri(template)
            }
            Err(problem) => {
                self.report.error(&scope.pointer, format!("this is no URI template: {problem}"), fix);
                Template::of_constant(Value::Null)
            }
        }
    }

    fn check_uri(&mut self, text: &str, scope: &Scope) {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if !["http", "https"].iter().any(|it| it.eq_ignore_ascii_case(scheme)) {
            let message = format!("`{scheme}` is no scheme of HTTP");
            self.report.error(&scope.pointer, message, "begin it with `https://` or `http://`");
        }
        if rest.split(['/', '?', '#', '\\']).next().is_some_and(|it| it.contains('@')) {
            self.report.unsupported(
                &scope.pointer,
                "a URI with credentials in it",
                "let a worker of yours make calls that need credentials: those in a definition could be read by everybody",
            );
        }
    }

    fn headers(&mut self, value: &Value, scope: &Scope) -> Template {
        for name in value.as_object().into_iter().flatten().map(|it| it.0) {
            if !is_token(name) {
                let fix = "a header's name has letters, digits and `-`";
                self.report.error(&scope.at(name), format!("`{name}` cannot be the name of a header"), fix);
            } else if CARRIER_HEADERS.iter().any(|it| it.eq_ignore_ascii_case(name)) {
                let message = format!("the header `{name}` is set by the client itself");
                self.report.error(&scope.at(name), message, "remove it");
            }
        }
        self.template(value, scope)
    }
}

/// Text that is no expression.
fn constant(value: &Value) -> Option<&str> {
    value.as_str().filter(|it| expression::unwrap(it).is_none())
}

/// A token of RFC 9110: what methods and names of headers are made of.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it))
}
