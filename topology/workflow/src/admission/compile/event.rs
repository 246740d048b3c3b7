//! `emit` and `listen`.

use serde_json::Value;

use super::metadata::Allowed;
use super::{Compiler, Scope};
use crate::expression::unwrap;
use crate::program::{Emit, EventFilter, Kind, Listen, Matcher, Read};

/// Types that mean something to Millrace itself.
const RESERVED: &str = "io.millrace.";

impl Compiler<'_, '_> {
    pub(super) fn emit(&mut self, task: &Value, scope: &Scope) -> Kind {
        let topic = self.metadata(task, scope, Allowed::Emit).topic;
        let here = scope.below("emit").below("event").below("with");
        let with = task.get("emit").and_then(|it| it.get("event")).and_then(|it| it.get("with"));
        if with.is_none() {
            self.report.error(
                &scope.below("emit").at("event"),
                "the event has no attributes",
                "add `with: { type: …, data: … }`",
            );
        }
        self.check_type(with, &here);
        let event = self.template(with.unwrap_or(&Value::Null), &here);
        Kind::Emit(Emit { event, topic })
    }

    pub(super) fn listen(&mut self, task: &Value, scope: &Scope) -> Kind {
        let here = scope.below("listen");
        let listen = task.get("listen").unwrap_or(&Value::Null);
        if task.get("foreach").is_some() {
            self.report.unsupported(&scope.at("foreach"), "`foreach` of `listen`", "listen to one event");
        }
        let to = listen.get("to").unwrap_or(&Value::Null);
        let to_scope = here.below("to");
        for strategy in ["all", "any"] {
            if to.get(strategy).is_some() {
                let instead = "listen `to: { one: { with: { type: … } } }`";
                self.report.unsupported(
                    &to_scope.at(strategy),
                    &format!("`listen` to `{strategy}` of several events"),
                    instead,
                );
            }
        }
        let one = to.get("one").unwrap_or(&Value::Null);
        let one_scope = to_scope.below("one");
        if one.get("correlate").is_some() {
            let instead = "let the sender address the instance by its id (`subject`, or the record's key)";
            self.report.unsupported(&one_scope.at("correlate"), "`correlate`", instead);
        }
        let filter = self.filter(one.get("with"), &one_scope.below("with"));
        let read = match listen.get("read").and_then(Value::as_str) {
            Some("envelope") => Read::Envelope,
            Some("raw") => Read::Raw,
            _ => Read::Data,
        };
        Kind::Listen(Listen { filter, read })
    }

    fn filter(&mut self, with: Option<&Value>, scope: &Scope) -> EventFilter {
        self.check_type(with, scope);
        let mut attributes = Vec::new();
        for (name, wanted) in with.and_then(Value::as_object).into_iter().flatten() {
            let here = scope.below(name);
            let matcher = match wanted {
                Value::String(text) if unwrap(text).is_some() => {
                    self.compile_expression(text, &here).map(Matcher::Expression)
                }
                _ => {
                    if self.template(wanted, &here).constant().is_none() {
                        let instead = "compare the whole value by one expression";
                        self.report.unsupported(
                            &here.pointer,
                            "an expression inside of a value to compare with",
                            instead,
                        );
                    }
                    Some(Matcher::Equals(wanted.clone()))
                }
            };
            attributes.extend(matcher.map(|it| (name.clone(), it)));
        }
        EventFilter { attributes }
    }

    fn check_type(&mut self, with: Option<&Value>, scope: &Scope) {
        if let Some(name) = with.and_then(|it| it.get("type")).and_then(Value::as_str)
            && name.starts_with(RESERVED)
        {
            let message = format!("event types that begin with `{RESERVED}` are Millrace's own");
            self.report.error(
                &scope.at("type"),
                message,
                "choose a type in your own name, such as com.example.order.placed",
            );
        }
    }
}
