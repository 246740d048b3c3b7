//! `emit` and `listen`.

use serde_json::Value;

use super::metadata::Allowed;
use super::{Compiler, Scope};
use crate::expression::unwrap;
use crate::program::{
    Correlation, Emit, EventFilter, Foreach, Kind, Listen, Matcher, Read, Strategy, TaskIndex,
};

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

    pub(super) fn listen(&mut self, task: &Value, scope: &Scope, index: TaskIndex) -> Kind {
        let addressed = self.metadata(task, scope, Allowed::Listen).addressed;
        let here = scope.below("listen");
        let listen = task.get("listen").unwrap_or(&Value::Null);
        let foreach = task.get("foreach").map(|it| self.foreach(it, &scope.below("foreach"), index));
        let to = listen.get("to").unwrap_or(&Value::Null);
        let (filters, strategy) = self.consumption(to, &here.below("to"));
        let read = match listen.get("read").and_then(Value::as_str) {
            Some("envelope") => Read::Envelope,
            Some("raw") => Read::Raw,
            _ => Read::Data,
        };
        let is_addressed = addressed.unwrap_or(self.is_addressed);
        Kind::Listen(Listen { filters, strategy, read, foreach, is_addressed })
    }

    fn foreach(&mut self, foreach: &Value, scope: &Scope, index: TaskIndex) -> Foreach {
        let item = self.variable(foreach, "item", "item", scope);
        let at = self.variable(foreach, "at", "index", scope);
        if item == at {
            let message = format!("the event and its index are both called `{item}`");
            self.report.error(&scope.pointer, message, "rename one of the two");
        }
        let inner = scope.with_locals([&item, &at]);
        let list = foreach.get("do").unwrap_or(&Value::Null);
        Foreach {
            body: self.block(list, &inner.below("do"), Some(index)),
            output: self.output(foreach, &inner),
            export: self.export(foreach, &inner),
            item,
            at,
        }
    }

    /// The events that are wanted, and which of them are enough.
    pub(super) fn consumption(&mut self, to: &Value, scope: &Scope) -> (Vec<EventFilter>, Strategy) {
        let (mut filters, is_all) = self.filters(to, scope);
        let strategy = match to.get("until") {
            None | Some(Value::Bool(false)) if is_all => Strategy::All,
            None | Some(Value::Bool(_)) => Strategy::First,
            Some(Value::String(condition)) => self
                .compile_expression(condition, &scope.below("until"))
                .map_or(Strategy::First, Strategy::UntilTrue),
            Some(until) => {
                let first = filters.len();
                let (ends, all) = self.filters(until, &scope.below("until"));
                filters.extend(ends);
                Strategy::UntilHeard { first, all }
            }
        };
        (filters, strategy)
    }

    /// The filters of a strategy, and whether an event is wanted for each. `any: []` takes every event.
    fn filters(&mut self, to: &Value, scope: &Scope) -> (Vec<EventFilter>, bool) {
        if let Some(one) = to.get("one") {
            return (vec![self.event_filter(one, &scope.below("one"))], true);
        }
        let (key, is_all) = if to.get("all").is_some() { ("all", true) } else { ("any", false) };
        let here = scope.below(key);
        let list = to.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut filters: Vec<EventFilter> = list
            .iter()
            .enumerate()
            .map(|(index, it)| self.event_filter(it, &here.below(&index.to_string())))
            .collect();
        if filters.is_empty() {
            if is_all {
                let fix = "name an event; or listen to `any: []`, which takes every event";
                self.report.error(&here.pointer, "there is no event to listen to", fix);
            }
            filters.push(EventFilter::default());
        }
        (filters, is_all)
    }

    fn event_filter(&mut self, filter: &Value, scope: &Scope) -> EventFilter {
        let mut compiled = self.filter(filter.get("with"), &scope.below("with"));
        let here = scope.below("correlate");
        for (name, entry) in filter.get("correlate").and_then(Value::as_object).into_iter().flatten() {
            let at = here.below(name);
            let expect = entry.get("expect").map(|it| self.template(it, &at.below("expect")));
            if let Some(from) = self.expression(entry, "from", &at) {
                compiled.correlations.push(Correlation { name: name.as_str().into(), from, expect });
            }
        }
        compiled
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
        EventFilter { attributes, correlations: Vec::new() }
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
