//! What happened to one instance.

use std::fmt::Write as _;

use millrace_schemas::event::{ChangelogEntry, Event};
use millrace_schemas::{InstanceId, Stamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::time;
use crate::output::shorten;

/// What names an event.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says how a JSON value looks")]
struct EventName {
    source: String,
    id: String,
}

/// What happened: a name, and fields of its own.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it says how a JSON value looks")]
struct EventFacts {
    /// Such as `task_completed`.
    r#type: String,
}

/// The changelog entries of an instance, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct HistoryView {
    pub(crate) id: String,
    pub(crate) entries: Vec<EntryView>,
    /// Whether later entries were left out, by the limit.
    pub(crate) has_more: bool,
}

/// What one command did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EntryView {
    /// Orders the entries of one instance.
    pub(crate) stamp: i64,
    pub(crate) at: String,
    /// `source` and `id` of the event that caused it.
    #[schema(value_type = EventName)]
    pub(crate) cause: Value,
    /// Each with its `type` in snake case and its own fields.
    #[schema(value_type = Vec<EventFacts>)]
    pub(crate) events: Vec<Value>,
}

impl HistoryView {
    pub(crate) fn new(id: &InstanceId, entries: &[(Stamp, ChangelogEntry)], has_more: bool) -> Self {
        let entries = entries.iter().map(|(stamp, entry)| EntryView::new(*stamp, entry));
        Self { id: id.to_string(), entries: entries.collect(), has_more }
    }

    /// For people: a line an event, under the cause.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let cause = |name: &str| entry.cause[name].as_str().unwrap_or_default();
            let _ = writeln!(text, "{}  by {} {}", entry.at, cause("source"), cause("id"));
            for event in &entry.events {
                let _ = writeln!(text, "    {}", line(event));
            }
        }
        if self.has_more {
            text.push_str("more entries follow: raise --limit, up to 1000; GET /v1/instances/{id}/history?after=STAMP has the next ones\n");
        }
        text
    }
}

impl EntryView {
    pub(crate) fn new(stamp: Stamp, entry: &ChangelogEntry) -> Self {
        Self {
            stamp: stamp.0,
            at: time(entry.at),
            cause: json!({"source": entry.cause.source, "id": entry.cause.id}),
            events: entry.events.iter().map(event).collect(),
        }
    }

    /// The same without the data that flows through the workflow.
    pub(crate) fn without_payloads(mut self) -> Self {
        const PAYLOADS: [&str; 10] = [
            "raw_input",
            "input",
            "output",
            "context",
            "event",
            "data",
            "activity",
            "attributes",
            "command",
            "reopening",
        ];
        for event in self.events.iter_mut().filter_map(Value::as_object_mut) {
            event.retain(|name, _| !PAYLOADS.contains(&name.as_str()));
        }
        self
    }
}

/// An event with its name among its fields: `{"type": "timer_set", "timer": 1, …}`.
fn event(event: &Event) -> Value {
    let value = serde_json::to_value(event).expect("an event is plain data");
    tagged(value, "type")
}

/// From serde's `{"Name": {fields}}` to `{"<tag>": "name", fields}`: easier to filter, and the same shape for all.
fn tagged(value: Value, tag: &str) -> Value {
    let mut out = Map::new();
    match value {
        Value::String(name) => {
            out.insert(tag.to_owned(), snake_case(&name).into());
        }
        Value::Object(object) if object.len() == 1 => {
            let (name, fields) = object.into_iter().next().expect("there is one");
            out.insert(tag.to_owned(), snake_case(&name).into());
            if let Value::Object(fields) = fields {
                for (name, value) in fields {
                    let value = match name.as_str() {
                        "activity" | "command" | "outcome" => tagged(value, "type"),
                        "purpose" => Value::String(snake_case(value.as_str().unwrap_or_default())),
                        "workflow" => workflow(value),
                        _ => value,
                    };
                    if !value.is_null() {
                        out.insert(name, value);
                    }
                }
            }
        }
        other => return other,
    }
    Value::Object(out)
}

/// `namespace/name/version`, or `namespace/name`, as everywhere else.
fn workflow(value: Value) -> Value {
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let parts = if value["version"].is_string() {
        [text(&value["workflow"], "namespace"), text(&value["workflow"], "name"), text(&value, "version")]
            .to_vec()
    } else {
        [text(&value, "namespace"), text(&value, "name")].to_vec()
    };
    parts.into_iter().collect::<Option<Vec<_>>>().map_or(value, |it| it.join("/").into())
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// `timer_set timer=1 execution=2 due=… purpose=wait`
fn line(event: &Value) -> String {
    const VALUE_CHARS_MAX: usize = 120;
    let Value::Object(fields) = event else { return event.to_string() };
    let mut text = fields["type"].as_str().unwrap_or_default().to_owned();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "type") {
        let value = match (name.as_str(), value) {
            ("due" | "deadline", Value::Number(at)) => {
                at.as_i64().map_or_else(|| at.to_string(), |at| time(millrace_schemas::Timestamp(at)))
            }
            ("activity" | "outcome", Value::Object(it)) => it["type"].as_str().unwrap_or_default().to_owned(),
            (_, Value::String(it)) if it.is_empty() => continue,
            (_, Value::String(it)) if !it.contains(char::is_whitespace) => it.clone(),
            (_, other) => other.to_string(),
        };
        let _ = write!(text, " {name}={}", shorten(&value, VALUE_CHARS_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use millrace_schemas::event::{Activity, Outcome, TimerPurpose};
    use millrace_schemas::{Attempt, EventId, ExecutionId, Payload, TimerId, Timestamp};

    use super::*;

    #[test]
    fn each_event_is_one_line_with_its_fields() {
        let events = vec![
            Event::InstanceStarted {
                workflow: "shop/order/1.0.0".parse().expect("is legal"),
                raw_input: json!({"amount": 3}).into(),
                input: None,
                parent: None,
            },
            Event::TaskStarted {
                execution: ExecutionId(1),
                parent: ExecutionId(0),
                task: "/do/0/pause".into(),
                iteration: "".into(),
                attempt: Attempt::FIRST,
                input: None,
                activity: Activity::Waiting,
            },
            Event::TimerSet {
                timer: TimerId(1),
                execution: ExecutionId(1),
                due: Timestamp(60_000),
                purpose: TimerPurpose::RetryBackoff,
            },
            Event::DeferredCommandTaken,
            Event::CompensationStarted {
                outcome: Outcome::Cancelled { reason: "enough".to_owned(), is_parent_told: false },
            },
            Event::TaskRetried {
                scope: ExecutionId(0),
                task: "/do/1/charge".into(),
                by: "ann".to_owned(),
                reason: "a new card".to_owned(),
            },
            Event::InstanceCompleted { output: Payload::null() },
        ];
        let cause = EventId { source: "/shop".to_owned(), id: "e-1".to_owned() };
        let entry = ChangelogEntry { at: Timestamp(0), cause, traceparent: None, events };
        let id = InstanceId::new("order-17").expect("is legal");
        let view = HistoryView::new(&id, &[(Stamp(7), entry)], false);
        expect_test::expect![[r#"
            1970-01-01T00:00:00.000Z  by /shop e-1
                instance_started workflow=shop/order/1.0.0 raw_input={"amount":3}
                task_started execution=1 parent=0 task=/do/0/pause attempt=1 activity=waiting
                timer_set timer=1 execution=1 due=1970-01-01T00:01:00.000Z purpose=retry_backoff
                deferred_command_taken
                compensation_started outcome=cancelled
                task_retried scope=0 task=/do/1/charge by=ann reason="a new card"
                instance_completed
        "#]]
        .assert_eq(&view.text());
        assert_eq!(view.entries[0].events[2]["type"], "timer_set");
    }
}
