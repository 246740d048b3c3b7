//! `document.metadata.millrace.events`: the topics of others that events come from.

use std::collections::BTreeSet;

use serde_json::Value;

use super::metadata::TOPIC_BYTES_MAX;
use super::{Compiler, Scope};
use crate::admission::spelling;
use crate::program::{Beginning, Decoding, EventSource};

/// Types of this beginning are Millrace's own.
const OWN_TYPES: &str = "io.millrace.";
/// What one source may say.
const KEYS: [&str; 4] = ["topic", "decoding", "type", "from"];
const DECODINGS: [&str; 3] = ["cloudevents", "json", "avro"];
const BEGINNINGS: [&str; 2] = ["earliest", "latest"];
/// Most topics of one definition.
const SOURCES_MAX: usize = 100;

const FIX: &str = "write such as `events: [{ topic: orders, decoding: json, type: order.placed }]`";

impl Compiler<'_, '_> {
    /// `scope` is that of the list.
    pub(super) fn event_sources(&mut self, value: &Value, scope: &Scope) -> Vec<EventSource> {
        let Some(entries) = value.as_array().filter(|it| (1..=SOURCES_MAX).contains(&it.len())) else {
            let message = format!("`events` must be a list of 1 to {SOURCES_MAX} topics");
            self.report.error(&scope.pointer, message, FIX);
            return Vec::new();
        };
        let mut topics = BTreeSet::new();
        let mut sources = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let scope = scope.below(&number.to_string());
            let Some(source) = self.event_source(entry, &scope) else { continue };
            if topics.insert(source.topic.clone()) {
                sources.push(source);
            } else {
                let message = format!("the topic `{}` is there already", source.topic);
                self.report.error(
                    &scope.at("topic"),
                    message,
                    "read a topic in one way: remove one of the two",
                );
            }
        }
        sources
    }

    fn event_source(&mut self, entry: &Value, scope: &Scope) -> Option<EventSource> {
        let Some(entries) = entry.as_object() else {
            self.report.error(&scope.pointer, format!("{entry} is no mapping"), FIX);
            return None;
        };
        for key in entries.keys().filter(|it| !KEYS.contains(&it.as_str())) {
            let message = format!("`{key}` means nothing here");
            self.report.error(&scope.at(key), message, spelling::hint(key, &KEYS));
        }
        let topic = match entries.get("topic") {
            Some(topic) => self.topic_name(topic, &scope.at("topic"), TOPIC_BYTES_MAX),
            None => {
                self.report.error(&scope.pointer, "the topic is missing", FIX);
                None
            }
        };
        let event_type = self.plain_type(entries.get("type"), scope);
        let decoding = match (self.choice(entries.get("decoding"), &DECODINGS, scope, "decoding"), event_type)
        {
            (None, _) | (_, Err(())) => None,
            (Some("json"), Ok(Some(event_type))) => Some(Decoding::Json { event_type }),
            (Some("avro"), Ok(Some(event_type))) => Some(Decoding::Avro { event_type }),
            (Some("json" | "avro"), Ok(None)) => {
                let message = "the records are no CloudEvents, so something must say of which type they are";
                self.report.error(&scope.pointer, message, "add such as `type: order.placed`");
                None
            }
            (Some(_), Ok(None)) => Some(Decoding::CloudEvents),
            (Some(_), Ok(Some(_))) => {
                let message = "a CloudEvent says itself of which type it is";
                self.report.error(
                    &scope.at("type"),
                    message,
                    "remove it, or choose the decoding `json` or `avro`",
                );
                None
            }
        };
        let begins = match entries.contains_key("from") {
            true => self.choice(entries.get("from"), &BEGINNINGS, scope, "from"),
            false => Some("latest"),
        };
        let begins = if begins? == "earliest" { Beginning::Earliest } else { Beginning::Latest };
        Some(EventSource { topic: topic?.into(), decoding: decoding?, begins })
    }

    /// `type`; an error is reported here.
    fn plain_type(
        &mut self,
        value: Option<&Value>,
        scope: &Scope,
    ) -> Result<Option<std::sync::Arc<str>>, ()> {
        let Some(value) = value else { return Ok(None) };
        match value.as_str() {
            Some(text) if text.starts_with(OWN_TYPES) => {
                let message = format!("types that begin with `{OWN_TYPES}` are Millrace's own");
                self.report.error(
                    &scope.at("type"),
                    message,
                    "choose another, such as `com.example.order.placed`",
                );
                Err(())
            }
            Some(text) if !text.is_empty() && !text.contains("${") => Ok(Some(text.into())),
            Some(_) | None => {
                let message = format!("{value} is no type of events");
                self.report.error(&scope.at("type"), message, "write text, such as `type: order.placed`");
                Err(())
            }
        }
    }

    fn choice(
        &mut self,
        value: Option<&Value>,
        choices: &[&'static str],
        scope: &Scope,
        key: &str,
    ) -> Option<&'static str> {
        let found = value.and_then(Value::as_str).and_then(|it| choices.iter().find(|one| **one == it));
        if found.is_none() {
            let (pointer, message) = match value {
                Some(value) => (scope.at(key), format!("{value} is no `{key}`")),
                None => (scope.pointer.clone(), format!("`{key}` is missing")),
            };
            let choices: Vec<String> = choices.iter().map(|it| format!("`{it}`")).collect();
            let fix = format!("write one of {}", choices.join(", "));
            self.report.error(&pointer, message, fix);
        }
        found.copied()
    }
}
