//! `schedule`

use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use serde_json::Value;

use super::{Compiler, Scope};
use crate::admission::duration;
use crate::program::{StartsOn, Strategy};

/// Longest cron expression, in bytes.
const CRON_BYTES_MAX: usize = 256;

impl Compiler<'_, '_> {
    pub(super) fn check_schedule(&mut self, root: &Scope) -> Option<StartsOn> {
        let schedule = self.definition.get("schedule").and_then(Value::as_object)?;
        let scope = root.below("schedule");
        if schedule.is_empty() {
            let fix = "add `every`, `cron`, `after` or `on`; or remove it";
            self.report.error(&scope.pointer, "the schedule does not say when", fix);
        }
        // The shortest time between two starts; `after` may be none at all.
        for (key, shortest) in [("every", Duration::from_millis(1)), ("after", Duration::ZERO)] {
            if let Some(value) = schedule.get(key) {
                self.check_interval(value, shortest, &scope.below(key));
            }
        }
        if let Some(cron) = schedule.get("cron").and_then(Value::as_str) {
            self.check_cron(cron, &scope.below("cron"));
        }
        let starts_on = schedule.get("on").map(|on| self.starts_on(on, &scope.below("on")));
        if schedule.keys().any(|it| it != "on") {
            let message = "this release does not start instances by time";
            self.report.warning(&scope.pointer, message, "start them by io.millrace.instance.start events");
        }
        starts_on
    }

    fn starts_on(&mut self, on: &Value, scope: &Scope) -> StartsOn {
        let (filters, strategy) = self.consumption(on, scope);
        if on.get("until").is_some_and(|it| !it.is_boolean()) {
            let instead = "start by one event, and `listen` for the others";
            self.report.unsupported(&scope.at("until"), "`until` in a schedule", instead);
        }
        StartsOn { needs_all: matches!(strategy, Strategy::All) && filters.len() > 1, filters }
    }

    fn check_interval(&mut self, value: &Value, shortest: Duration, scope: &Scope) {
        let fix = "write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`";
        match duration::parse(value) {
            Ok(interval) if interval >= shortest => {}
            Ok(_) => self.report.error(&scope.pointer, "nothing can start without a pause between", fix),
            Err(message) => self.report.error(&scope.pointer, message, fix),
        }
    }

    /// As crontab has it: five fields, the first of them minutes.
    fn check_cron(&mut self, text: &str, scope: &Scope) {
        if text.len() > CRON_BYTES_MAX {
            let message = format!("the cron expression has {} bytes", text.len());
            self.report.error(&scope.pointer, message, "keep it under 256 bytes: use ranges and steps");
            return;
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        if let Err(error) = parser.parse(text) {
            let message = format!("`{text}` is no cron expression: {error}");
            let fix = "write minute, hour, day, month, weekday, such as `0 6 * * MON-FRI`";
            self.report.error(&scope.pointer, message, fix);
        }
    }
}
