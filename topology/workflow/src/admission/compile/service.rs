//! `call: grpc` and `call: asyncapi`: tasks for the built-in worker.
//!
//! The task's arguments are those of the language, evaluated. Only the expressions that judge messages go as they are, with the
//! variables that they name: the messages are not there yet.

use serde_json::{Value, json};

use super::call::With;
use super::{Compiler, Scope};
use crate::expression::{self, Expression, GLOBALS, Template};

const GRPC_ARGUMENTS: [&str; 4] = ["proto", "service", "method", "arguments"];

const ASYNC_API_ARGUMENTS: [&str; 8] =
    ["document", "channel", "operation", "server", "protocol", "message", "subscription", "authentication"];

/// Expressions that the worker evaluates, for each message.
const CONSUME_EXPRESSIONS: [&str; 2] = ["while", "until"];

impl Compiler<'_, '_> {
    pub(super) fn grpc_arguments(&mut self, with: &With<'_>) -> Vec<(String, Template)> {
        self.service_arguments(&GRPC_ARGUMENTS, with)
    }

    pub(super) fn async_api_arguments(&mut self, with: &With<'_>) -> Vec<(String, Template)> {
        self.service_arguments(&ASYNC_API_ARGUMENTS, with)
    }

    fn service_arguments(&mut self, names: &[&str], with: &With<'_>) -> Vec<(String, Template)> {
        let mut arguments = Vec::new();
        for name in names {
            let Some((value, at)) = with.get(name) else { continue };
            let value = match *name {
                "proto" | "document" => self.resource(value, &at),
                "subscription" => self.subscription(value, &at),
                "service" => {
                    if let Some(policy) = value.get("authentication") {
                        let policy = self.grpc_authentication(policy, &at.below("authentication"));
                        arguments.push(("authentication".to_owned(), policy));
                    }
                    self.service(value, &at)
                }
                "authentication" => {
                    self.check_protocol(value, with, &at);
                    self.authentication(value, &at)
                }
                _ => self.template(value, &at),
            };
            arguments.push(((*name).to_owned(), value));
        }
        arguments
    }

    /// The service, without its policy, which stands beside it.
    fn service(&mut self, value: &Value, scope: &Scope) -> Template {
        let Some(properties) = value.as_object() else { return self.template(value, scope) };
        let properties = properties.iter().filter(|it| it.0 != "authentication");
        let properties =
            properties.map(|(name, value)| (name.clone(), self.template(value, &scope.below(name))));
        Template::of_object(properties.collect())
    }

    fn grpc_authentication(&mut self, policy: &Value, scope: &Scope) -> Template {
        if self.policy_kind(policy) == Some("digest") {
            let message = "`digest` answers a challenge of HTTP, which gRPC does not have";
            let fix = "use `basic`, `bearer`, `oauth2` or `oidc`";
            self.report.error(&scope.pointer, message, fix);
        }
        self.authentication(policy, scope)
    }

    /// Which server a call goes to is in the document, but for what the definition says of it.
    fn check_protocol(&mut self, policy: &Value, with: &With<'_>, scope: &Scope) {
        let is_kafka = with.get("protocol").is_some_and(|it| it.0 == "kafka");
        if let Some(kind) = self.policy_kind(policy).filter(|it| is_kafka && *it != "basic") {
            let message = format!("a Kafka broker is not shown `{kind}`: the call will fail");
            self.report.warning(&scope.pointer, message, "use `basic`, which is SASL/PLAIN");
        }
    }

    /// `{ filter, consume: { amount, while, until, for }, variables }`, its duration in milliseconds.
    fn subscription(&mut self, value: &Value, scope: &Scope) -> Template {
        if value.get("foreach").is_some() {
            let instead = "let a `for` over the task's output follow, or `listen` to events in a loop";
            self.report.unsupported(&scope.at("foreach"), "`foreach` of a subscription", instead);
        }
        let none = Value::Null;
        let (consume, here) = (value.get("consume").unwrap_or(&none), scope.below("consume"));
        let mut expressions: Vec<Expression> = Vec::new();
        let mut out = json!({ "consume": {} });
        if let Some(filter) = self.expression(value, "filter", scope) {
            out["filter"] = filter.text().into();
            expressions.push(filter);
        }
        for name in CONSUME_EXPRESSIONS {
            if let Some(expression) = self.expression(consume, name, &here) {
                out["consume"][name] = expression.text().into();
                expressions.push(expression);
            }
        }
        if let Some(milliseconds) = self.fixed_ms(consume, "for", &here) {
            out["consume"]["for"] = milliseconds;
        }
        let mut consumed: Vec<(String, Template)> = out["consume"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), Template::of_constant(value.clone())))
            .collect();
        if let Some(amount) = consume.get("amount") {
            consumed.push(("amount".to_owned(), self.template(amount, &here.below("amount"))));
        }
        let mut properties = vec![("consume".to_owned(), Template::of_object(consumed))];
        if let Some(filter) = out.get("filter") {
            properties.push(("filter".to_owned(), Template::of_constant(filter.clone())));
        }
        let variables = self.variables(&expressions, scope);
        if !variables.is_empty() {
            properties.push(("variables".to_owned(), Template::of_object(variables)));
        }
        Template::of_object(properties)
    }

    /// The values of all variables that the expressions name, by name.
    fn variables(&self, expressions: &[Expression], scope: &Scope) -> Vec<(String, Template)> {
        let names = GLOBALS.iter().copied().chain(scope.locals.iter().map(|it| &**it));
        names
            .filter(|name| expressions.iter().any(|it| expression::names(it.text(), name)))
            .filter_map(|name| {
                let value = Expression::compile(&format!("${name}"), &scope.locals).ok()?;
                Some((name.to_owned(), Template::of_expression(value)))
            })
            .collect()
    }
}
