//! `call: http`: a task for the built-in worker.
//!
//! The task's arguments are those of the language, in one form: the endpoint is its URI, with names replaced by what the data has;
//! `authentication` stands beside it, where no data can put one.

use serde_json::Value;

use super::call::With;
use super::{Compiler, Scope};
use crate::expression::{self, Template, UriTemplate};

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

impl Compiler<'_, '_> {
    pub(super) fn http_arguments(&mut self, with: &With<'_>) -> Vec<(String, Template)> {
        let mut arguments = Vec::new();
        for name in ARGUMENTS {
            let Some((value, at)) = with.get(name) else { continue };
            let value = match name {
                "method" => self.method(value, &at),
                "endpoint" => {
                    if let Some(policy) = value.get("authentication") {
                        self.check_authorization(with);
                        let policy = self.authentication(policy, &at.below("authentication"));
                        arguments.push(("authentication".to_owned(), policy));
                    }
                    self.endpoint(value, &at)
                }
                "headers" => self.headers(value, &at),
                _ => self.template(value, &at),
            };
            arguments.push((name.to_owned(), value));
        }
        arguments
    }

    /// Of a header and a policy that both say who calls, the policy would go unheard, or the header.
    fn check_authorization(&mut self, with: &With<'_>) {
        let Some((headers, at)) = with.get("headers") else { return };
        let names = headers.as_object().into_iter().flatten().map(|it| it.0);
        for name in names.filter(|it| it.eq_ignore_ascii_case("authorization")) {
            let message = format!("the header `{name}` is what `authentication` is for");
            self.report.error(&at.at(name), message, "keep one of the two");
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
        match value.get("uri") {
            Some(uri) => self.uri(uri, &scope.below("uri")),
            None => self.uri(value, scope),
        }
    }

    /// A URI: a template or an expression.
    pub(super) fn uri(&mut self, uri: &Value, scope: &Scope) -> Template {
        let Some(text) = constant(uri) else { return self.template(uri, scope) };
        let fix = "write such as `https://example.com/pets/{petId}`, where `petId` is a property of the task's input";
        match UriTemplate::parse(text) {
            Ok(template) => {
                self.check_uri(text, scope);
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
            let fix = match scheme.eq_ignore_ascii_case("file") {
                true => {
                    "deploy it by `millrace deploy`, which writes files into the definition; or begin it with `https://` or `http://`"
                }
                false => "begin it with `https://` or `http://`",
            };
            self.report.error(&scope.pointer, message, fix);
        }
        if rest.split(['/', '?', '#', '\\']).next().is_some_and(|it| it.contains('@')) {
            let instead = "use `authentication`: what is in a URI could be read by everybody";
            self.report.unsupported(&scope.pointer, "a URI with credentials in it", instead);
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
