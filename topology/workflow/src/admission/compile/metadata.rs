//! `metadata.millrace`: what the language has no word for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Compiler, Scope, schedule};
use crate::admission::{duration, spelling};
use crate::expression::{Expression, Template};
use crate::program::{BUILT_IN_QUEUE, EventSource, History, Lifecycle, OnFault};

/// Longest name of a topic, in bytes (Kafka's own limit).
pub(super) const TOPIC_BYTES_MAX: usize = 249;
/// Longest name of a queue, in bytes: with the prefix it must be a topic.
const QUEUE_BYTES_MAX: usize = 128;

/// What undoes a task: compiled with it.
pub(super) const COMPENSATE: &str = "compensate";

/// Where the metadata stands decides what it may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    Document,
    Call,
    /// A call that the language defines.
    BuiltInCall,
    Emit,
    Listen,
    /// Nothing but what all tasks may say.
    Other,
}

impl Allowed {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Document => &[
                "queue",
                "history",
                "lifecycle",
                "addressed",
                "businessKey",
                "searchAttributes",
                "queries",
                "schedule",
                "events",
                "onFault",
            ],
            Self::Call => &["queue", "heartbeat", COMPENSATE],
            Self::BuiltInCall => &["heartbeat", COMPENSATE],
            Self::Emit => &["topic", COMPENSATE],
            Self::Listen => &["addressed", COMPENSATE],
            Self::Other => &[COMPENSATE],
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) queue: Option<Arc<str>>,
    pub(super) heartbeat: Option<Duration>,
    pub(super) topic: Option<String>,
    pub(super) history: Option<History>,
    pub(super) lifecycle: Option<Lifecycle>,
    pub(super) addressed: Option<bool>,
    pub(super) business_key: Option<Expression>,
    pub(super) attributes: BTreeMap<Arc<str>, Template>,
    pub(super) queries: BTreeMap<Arc<str>, Template>,
    pub(super) schedule: schedule::Settings,
    pub(super) sources: Vec<EventSource>,
    pub(super) on_fault: Option<OnFault>,
}

impl Compiler<'_, '_> {
    /// `document.metadata.millrace`
    pub(super) fn document_metadata(&mut self) -> Metadata {
        let Some(document) = self.definition.get("document") else { return Metadata::default() };
        let scope = Scope { pointer: "/document".to_owned(), base: None, locals: Vec::new(), depth: 0 };
        self.metadata(document, &scope, Allowed::Document)
    }

    pub(super) fn metadata(&mut self, holder: &Value, scope: &Scope, allowed: Allowed) -> Metadata {
        let mut metadata = Metadata::default();
        let Some(entries) = holder.get("metadata").and_then(|it| it.get("millrace")) else { return metadata };
        let scope = scope.below("metadata").below("millrace");
        let Some(entries) = entries.as_object() else {
            self.report.error(
                &scope.pointer,
                "`metadata.millrace` must be a mapping",
                "write such as `millrace: { queue: orders }`",
            );
            return metadata;
        };
        for (key, value) in entries {
            let pointer = scope.at(key);
            if !allowed.keys().contains(&key.as_str()) {
                let message = format!("`metadata.millrace.{key}` means nothing here");
                self.report.error(&pointer, message, spelling::hint(key, allowed.keys()));
                continue;
            }
            match key.as_str() {
                "queue" if value == BUILT_IN_QUEUE => self.report.error(
                    &pointer,
                    format!("the queue `{BUILT_IN_QUEUE}` is that of Millrace's own worker"),
                    "give your workers a queue of another name",
                ),
                "queue" => metadata.queue = self.topic_name(value, &pointer, QUEUE_BYTES_MAX).map(Into::into),
                "topic" => metadata.topic = self.topic_name(value, &pointer, TOPIC_BYTES_MAX),
                "history" => metadata.history = self.history(value, &scope.below(key)),
                "schedule" => metadata.schedule = self.schedule_settings(value, &scope.below(key)),
                "lifecycle" => match value {
                    Value::Bool(false) => metadata.lifecycle = Some(Lifecycle::Off),
                    Value::String(it) if it == "off" => metadata.lifecycle = Some(Lifecycle::Off),
                    Value::String(it) if it == "workflow" => metadata.lifecycle = Some(Lifecycle::Workflow),
                    Value::String(it) if it == "task" => metadata.lifecycle = Some(Lifecycle::Task),
                    _ => self.report.error(
                        &pointer,
                        format!("{value} does not say which lifecycle events are published"),
                        "write `off`, `workflow`, or `task`, which has those of the workflow too",
                    ),
                },
                "events" => metadata.sources = self.event_sources(value, &scope.below(key)),
                "businessKey" => {
                    metadata.business_key = match value.as_str() {
                        Some(text) => self.compile_expression(text, &scope.below(key)),
                        None => {
                            let message = format!("{value} is no expression");
                            let fix = "write such as `${ .orderId }`: it is computed of the input";
                            self.report.error(&pointer, message, fix);
                            None
                        }
                    }
                }
                "addressed" => match value {
                    Value::Bool(it) => metadata.addressed = Some(*it),
                    _ => self.report.error(
                        &pointer,
                        format!("{value} does not say whether only addressed events are heard"),
                        "write `true`: only events with the instance's id as their subject are heard",
                    ),
                },
                "searchAttributes" => metadata.attributes = self.attributes(value, &scope.below(key)),
                "queries" => metadata.queries = self.queries(value, &scope.below(key)),
                "onFault" => match value.as_str() {
                    Some("fault") => metadata.on_fault = Some(OnFault::Fault),
                    Some("incident") => metadata.on_fault = Some(OnFault::Incident),
                    _ => self.report.error(
                        &pointer,
                        format!("{value} does not say what becomes of an instance with an error that nothing catches"),
                        "write `fault`, which ends it, or `incident`, which lets it stand still for somebody to look at",
                    ),
                },
                COMPENSATE => self.check_compensation(value, &pointer),
                _ => match duration::parse(value) {
                    Ok(every) if !every.is_zero() => metadata.heartbeat = Some(every),
                    Ok(_) => self.report.error(
                        &pointer,
                        "a heartbeat of zero is always late",
                        "write such as `PT30S`",
                    ),
                    Err(message) => self.report.error(&pointer, message, "write such as `PT30S`"),
                },
            }
        }
        metadata
    }

    pub(super) fn topic_name(&mut self, value: &Value, pointer: &str, bytes_max: usize) -> Option<String> {
        let is_legal = |name: &str| {
            (1..=bytes_max).contains(&name.len())
                && name != "."
                && name != ".."
                && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
        };
        let name = value.as_str().filter(|it| is_legal(it));
        if name.is_none() {
            let message = format!("{value} cannot be a part of a topic's name");
            let fix = format!("use 1 to {bytes_max} letters, digits, `.`, `_` and `-`");
            self.report.error(pointer, message, fix);
        }
        name.map(str::to_owned)
    }
}
