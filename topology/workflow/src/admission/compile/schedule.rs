//! `schedule`, and what `document.metadata.millrace.schedule` adds to it.

use std::time::Duration;

use millrace_schemas::Timestamp;
use serde_json::{Map, Value};

use super::{Compiler, Scope};
use crate::admission::{duration, spelling};
use crate::program::{StartsOn, Strategy};
use crate::schedule::{Cron, InvalidCron, Overlap, Rhythm, Schedule};

/// Longest cron expression, in bytes.
const CRON_BYTES_MAX: usize = 256;
/// Most bytes of the input that a schedule gives, as JSON: it is in each start, and many may leave together.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Shortest window: each start is a little late.
const CATCH_UP_MIN: Duration = Duration::from_secs(10);

/// What goes by the clock. A schedule has one of them.
const CLOCKS: [&str; 3] = ["every", "cron", "after"];

const KEYS: [&str; 6] = ["timeZone", "overlap", "catchUpWindow", "startAt", "endAt", "input"];

/// `document.metadata.millrace.schedule`
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Where it stands. Empty if it is not there.
    pointer: String,
    time_zone: Option<(String, String)>,
    overlap: Option<(Overlap, String)>,
    catch_up: Option<Duration>,
    start_at: Option<Timestamp>,
    end_at: Option<Timestamp>,
    input: Map<String, Value>,
}

impl Compiler<'_, '_> {
    /// `schedule.on`
    pub(super) fn starts_on(&mut self, root: &Scope) -> Option<StartsOn> {
        let on = self.definition.get("schedule")?.get("on")?;
        let scope = root.below("schedule").below("on");
        let (filters, strategy) = self.consumption(on, &scope);
        if on.get("until").is_some_and(|it| !it.is_boolean()) {
            let instead = "start by one event, and `listen` for the others";
            self.report.unsupported(&scope.at("until"), "`until` in a schedule", instead);
        }
        Some(StartsOn { needs_all: matches!(strategy, Strategy::All) && filters.len() > 1, filters })
    }

    /// None if nothing starts by the clock.
    pub(super) fn schedule(&mut self, settings: Settings, root: &Scope) -> Option<Schedule> {
        let found = self.definition.get("schedule").and_then(Value::as_object);
        let clocks: Vec<&str> =
            CLOCKS.into_iter().filter(|key| found.is_some_and(|it| it.contains_key(*key))).collect();
        if clocks.is_empty() && !settings.pointer.is_empty() {
            let message = "there is nothing to set: the workflow has no `schedule` by the clock";
            self.report.error(&settings.pointer, message, "add `every`, `cron` or `after`; or remove it");
        }
        let schedule = found?;
        let scope = root.below("schedule");
        if schedule.is_empty() {
            let fix = "add `every`, `cron`, `after` or `on`; or remove it";
            self.report.error(&scope.pointer, "the schedule does not say when", fix);
        }
        if let [first, second, ..] = clocks[..] {
            let message = format!("a schedule has `{first}` or `{second}`, not both");
            self.report.error(
                &scope.at(second),
                message,
                "write a workflow for each, which runs a third one",
            );
        }
        let zone = settings.time_zone.as_ref();
        let rhythm = match *clocks.first()? {
            "every" => self
                .interval(&schedule["every"], Duration::from_millis(1), &scope.below("every"))
                .map(Rhythm::Every),
            "cron" => self.cron(schedule["cron"].as_str()?, zone, &scope.below("cron")).map(Rhythm::Cron),
            _ => self.interval(&schedule["after"], Duration::ZERO, &scope.below("after")).map(Rhythm::After),
        };
        for other in clocks.iter().skip(1) {
            match (*other, schedule[*other].as_str()) {
                ("cron", Some(text)) => drop(self.cron(text, zone, &scope.below("cron"))),
                ("cron", None) => {}
                _ => drop(self.interval(&schedule[*other], Duration::ZERO, &scope.below(other))),
            }
        }
        let rhythm = rhythm?;
        if let (Rhythm::Every(_) | Rhythm::After(_), Some((_, pointer))) = (&rhythm, zone) {
            let message = "a time zone makes no difference without `cron`";
            self.report.error(pointer, message, "remove it");
        }
        if let (Rhythm::After(_), Some((_, pointer))) = (&rhythm, &settings.overlap) {
            let message = "runs of `after` do not overlap";
            self.report.error(pointer, message, "remove it");
        }
        let schedule = Schedule {
            rhythm,
            overlap: settings.overlap.map(|it| it.0).unwrap_or_default(),
            catch_up: settings.catch_up.unwrap_or(Schedule::CATCH_UP),
            start_at: settings.start_at,
            end_at: settings.end_at,
            input: settings.input,
        };
        let is_clock = !matches!(schedule.rhythm, Rhythm::After(_));
        if is_clock && schedule.next_after(Timestamp(0)).is_none() {
            let fix = match schedule.rhythm {
                Rhythm::Cron(_) => "look for a day that its month does not have",
                Rhythm::Every(_) | Rhythm::After(_) => "write an `endAt` that is later",
            };
            self.report.error(&scope.pointer, "such a time never comes", fix);
        }
        Some(schedule)
    }

    fn interval(&mut self, value: &Value, shortest: Duration, scope: &Scope) -> Option<Duration> {
        let fix = "write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`";
        match duration::parse(value) {
            Ok(interval) if interval >= shortest => return Some(interval),
            Ok(_) => self.report.error(&scope.pointer, "nothing can start without a pause between", fix),
            Err(message) => self.report.error(&scope.pointer, message, fix),
        }
        None
    }

    /// As crontab has it: five fields, the first of them minutes.
    fn cron(&mut self, text: &str, zone: Option<&(String, String)>, scope: &Scope) -> Option<Box<Cron>> {
        if text.len() > CRON_BYTES_MAX {
            let message = format!("the cron expression has {} bytes", text.len());
            self.report.error(&scope.pointer, message, "keep it under 256 bytes: use ranges and steps");
            return None;
        }
        let (zone, zone_pointer) = zone.map_or(("UTC", ""), |(zone, pointer)| (zone, pointer));
        match Cron::parse(text, zone) {
            Ok(cron) => return Some(Box::new(cron)),
            Err(error @ InvalidCron::Expression { .. }) => {
                let fix = "write minute, hour, day, month, weekday, such as `0 6 * * MON-FRI`";
                self.report.error(&scope.pointer, error.to_string(), fix);
            }
            Err(error @ InvalidCron::Zone(_)) => {
                let fix = "write a name of the IANA database, such as `Europe/Berlin`";
                self.report.error(zone_pointer, error.to_string(), fix);
            }
        }
        None
    }

    /// `document.metadata.millrace.schedule`; `scope` is that of the value itself.
    pub(super) fn schedule_settings(&mut self, value: &Value, scope: &Scope) -> Settings {
        let mut settings = Settings { pointer: scope.pointer.clone(), ..Settings::default() };
        let Some(entries) = value.as_object() else {
            let fix = "write such as `{ timeZone: Europe/Berlin, overlap: skip }`";
            self.report.error(&scope.pointer, "`metadata.millrace.schedule` must be a mapping", fix);
            return settings;
        };
        for (key, value) in entries {
            let pointer = scope.at(key);
            match key.as_str() {
                "timeZone" => match value.as_str() {
                    Some(zone) => settings.time_zone = Some((zone.to_owned(), pointer)),
                    None => {
                        let fix = "write a name of the IANA database, such as `Europe/Berlin`";
                        self.report.error(&pointer, format!("{value} is no time zone"), fix);
                    }
                },
                "overlap" => match value.as_str() {
                    Some("skip") => settings.overlap = Some((Overlap::Skip, pointer)),
                    Some("bufferOne") => settings.overlap = Some((Overlap::BufferOne, pointer)),
                    Some("allow") => settings.overlap = Some((Overlap::Allow, pointer)),
                    _ => {
                        let message = format!(
                            "{value} does not say what becomes of a start while the run before is still at it"
                        );
                        self.report.error(&pointer, message, "write `skip`, `bufferOne` or `allow`");
                    }
                },
                "catchUpWindow" => {
                    let fix = "write ten seconds to ten years, such as `PT1H`";
                    match duration::parse(value) {
                        Ok(window) if window >= CATCH_UP_MIN => settings.catch_up = Some(window),
                        Ok(_) => {
                            let message = "each start is a little late, and would be skipped";
                            self.report.error(&pointer, message, fix);
                        }
                        Err(message) => self.report.error(&pointer, message, fix),
                    }
                }
                "startAt" => settings.start_at = self.instant(value, &pointer),
                "endAt" => settings.end_at = self.instant(value, &pointer),
                "input" => match value.as_object() {
                    Some(input) if value.to_string().len() <= INPUT_BYTES_MAX => {
                        settings.input = input.clone()
                    }
                    Some(_) => {
                        let message = format!("the input is larger than {INPUT_BYTES_MAX} bytes");
                        self.report.error(&pointer, message, "let the workflow fetch what it needs");
                    }
                    None => self.report.error(
                        &pointer,
                        "the input must be a mapping",
                        "write such as `{ region: eu }`",
                    ),
                },
                _ => {
                    let message = format!("`metadata.millrace.schedule.{key}` means nothing here");
                    self.report.error(&pointer, message, spelling::hint(key, &KEYS));
                }
            }
        }
        settings
    }

    fn instant(&mut self, value: &Value, pointer: &str) -> Option<Timestamp> {
        let found = value.as_str().and_then(|it| it.parse::<jiff::Timestamp>().ok());
        if found.is_none() {
            let fix = "write it with its offset, such as `2026-03-29T01:00:00Z`";
            self.report.error(pointer, format!("{value} is no time"), fix);
        }
        found.map(|it| Timestamp(it.as_millisecond()))
    }
}
