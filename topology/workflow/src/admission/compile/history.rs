//! `document.metadata.millrace.history`: whether the history of instances is kept, and how long.

use std::time::Duration;

use serde_json::Value;

use super::{Compiler, Scope};
use crate::admission::{duration, spelling};
use crate::expression;
use crate::program::History;

/// Shortest retention: rows that are gone before somebody can look at them are only work. The longest is that of all durations.
const RETENTION_MIN: Duration = Duration::from_secs(3_600);

/// What a history may say.
const KEYS: [&str; 1] = ["retention"];

const FIX: &str = "write `{ retention: P30D }`, `{ retention: forever }` or `off`, or leave it out: then the fleet's default holds";
const RETENTION_FIX: &str = "write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`";

impl Compiler<'_, '_> {
    /// `scope` is that of the value itself.
    pub(super) fn history(&mut self, value: &Value, scope: &Scope) -> Option<History> {
        match value {
            Value::Bool(false) => Some(History::Off),
            // YAML 1.2 has no `off`: it is text.
            Value::String(text) if text == "off" => Some(History::Off),
            Value::Object(entries) if entries.is_empty() => {
                self.report.error(&scope.pointer, "`history` does not say how long to keep it", FIX);
                None
            }
            Value::Object(entries) => {
                for key in entries.keys().filter(|it| !KEYS.contains(&it.as_str())) {
                    let message = format!("`metadata.millrace.history.{key}` means nothing here");
                    self.report.error(&scope.at(key), message, spelling::hint(key, &KEYS));
                }
                self.retention(entries.get("retention")?, &scope.at("retention"))
            }
            _ => {
                let message = format!("{value} does not say whether to keep the history, and how long");
                self.report.error(&scope.pointer, message, FIX);
                None
            }
        }
    }

    fn retention(&mut self, value: &Value, pointer: &str) -> Option<History> {
        let text = value.as_str();
        if text == Some("forever") {
            return Some(History::Keep { retention: None });
        }
        if text.is_some_and(|it| expression::unwrap(it).is_some()) {
            let message = "a retention cannot be an expression: it is the same for all instances";
            self.report.error(pointer, message, RETENTION_FIX);
            return None;
        }
        let message = match duration::parse(value) {
            Ok(retention) if retention >= RETENTION_MIN => {
                return Some(History::Keep { retention: Some(retention) });
            }
            Ok(_) => format!("{value} is too short a retention"),
            Err(message) => message,
        };
        self.report.error(pointer, message, RETENTION_FIX);
        None
    }
}
