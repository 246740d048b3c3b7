//! When a workflow starts by itself: `schedule`, as far as it goes by the clock.

mod cron;

use std::fmt;
use std::time::Duration;

use millrace_schemas::Timestamp;
use serde_json::{Map, Value};

pub use cron::{Cron, InvalidCron};

/// `schedule` by the clock, with `document.metadata.millrace.schedule`.
///
/// Each start has a *nominal time*: when it is meant to be, however late it is. A nominal time depends on the definition only, so that it
/// can name what is started.
#[derive(Debug)]
pub struct Schedule {
    /// `every`, `cron` or `after`.
    pub rhythm: Rhythm,
    /// What becomes of a start while the run before is still at it.
    pub overlap: Overlap,
    /// `catchUpWindow`: how late a start may be. What is later is skipped.
    pub catch_up: Duration,
    /// `startAt`: nothing starts before. `every` counts from it.
    pub start_at: Option<Timestamp>,
    /// `endAt`: nothing starts after.
    pub end_at: Option<Timestamp>,
    /// `input` of what is started.
    pub input: Map<String, Value>,
}

/// When the next one follows.
#[derive(Debug)]
pub enum Rhythm {
    /// `every`: at the multiples of the interval since the Unix epoch, or since `startAt`. So it does not drift, and does not depend on
    /// when it was deployed.
    Every(Duration),
    /// `cron`
    Cron(Box<Cron>),
    /// `after`: this long after the end of the run before.
    After(Duration),
}

/// What becomes of a start while the run before is still at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out.
    Skip,
    /// One start waits for the end of the run; further ones are left out.
    BufferOne,
    /// Nothing is waited for. The language has it so.
    #[default]
    Allow,
}

/// Nominal times that lie too far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: Timestamp,
    /// The nominal time after it.
    pub next: Option<Timestamp>,
}

impl Schedule {
    /// `catchUpWindow`, when the definition does not say.
    pub const CATCH_UP: Duration = Duration::from_secs(86_400);

    /// The first nominal time after `at`. None if there is none any more, and for `after`, whose times follow from its runs.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        // A time that is the start itself counts.
        let at = self.start_at.map_or(at, |start| at.max(Timestamp(start.0.saturating_sub(1))));
        let next = match &self.rhythm {
            Rhythm::Every(interval) => self.multiple_after(at, *interval),
            Rhythm::Cron(cron) => cron.next_after(at),
            Rhythm::After(_) => None,
        };
        next.filter(|it| self.end_at.is_none_or(|end| *it <= end))
    }

    fn multiple_after(&self, at: Timestamp, interval: Duration) -> Option<Timestamp> {
        let interval = i64::try_from(interval.as_millis()).ok().filter(|it| *it > 0)?;
        let from = self.start_at.unwrap_or_default().0;
        let passed = at.0.checked_sub(from)?.div_euclid(interval);
        Some(Timestamp(passed.checked_add(1)?.checked_mul(interval)?.checked_add(from)?))
    }

    /// Counts the nominal times from `first`, which is one, up to `end`, which does not belong to them: all of `every`, and at most
    /// [`Self::COUNTED_MAX`] of `cron`, which has to look for each.
    #[must_use]
    pub fn pass_over(&self, first: Timestamp, end: Timestamp) -> Option<PassedOver> {
        if first >= end {
            return None;
        }
        if let Rhythm::Every(interval) = &self.rhythm {
            let interval = i64::try_from(interval.as_millis()).ok().filter(|it| *it > 0)?;
            let end = self.end_at.map_or(end, |it| end.min(Timestamp(it.0.saturating_add(1))));
            let further = (end.0 - 1 - first.0).div_euclid(interval);
            let last = Timestamp(first.0 + further * interval);
            let count = u64::try_from(further).unwrap_or(0) + 1;
            return Some(PassedOver { count, last, next: self.next_after(last) });
        }
        let mut passed = PassedOver { count: 1, last: first, next: self.next_after(first) };
        while let Some(next) = passed.next.filter(|it| *it < end && passed.count < Self::COUNTED_MAX) {
            passed = PassedOver { count: passed.count + 1, last: next, next: self.next_after(next) };
        }
        Some(passed)
    }

    /// Most times of a `cron` that are looked for at once.
    pub const COUNTED_MAX: u64 = 1_000;
}

impl fmt::Display for Rhythm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(interval) => write!(f, "every {}", shown(*interval)),
            Self::Cron(cron) => write!(f, "cron {cron}"),
            Self::After(pause) => write!(f, "after {}", shown(*pause)),
        }
    }
}

/// As people write it: `1h 30m`.
pub(crate) fn shown(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |it| format!("{it:#}"))
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skip => "skip",
            Self::BufferOne => "bufferOne",
            Self::Allow => "allow",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(interval_ms: u64) -> Schedule {
        Schedule {
            rhythm: Rhythm::Every(Duration::from_millis(interval_ms)),
            overlap: Overlap::Allow,
            catch_up: Schedule::CATCH_UP,
            start_at: None,
            end_at: None,
            input: Map::new(),
        }
    }

    #[test]
    fn every_is_at_multiples_and_does_not_drift() {
        let schedule = every(900);
        for (at, next) in [(0, 900), (899, 900), (900, 1_800), (-1, 0), (-900, 0), (1_799, 1_800)] {
            assert_eq!(schedule.next_after(Timestamp(at)), Some(Timestamp(next)), "{at}");
        }
        assert_eq!(schedule.next_after(Timestamp(i64::MAX)), None, "there is no time after it");
    }

    #[test]
    fn a_start_is_the_first_time_and_an_end_the_last() {
        let schedule =
            Schedule { start_at: Some(Timestamp(1_050)), end_at: Some(Timestamp(2_850)), ..every(900) };
        for (at, next) in [
            (0, Some(1_050)),
            (1_049, Some(1_050)),
            (1_050, Some(1_950)),
            (2_000, Some(2_850)),
            (2_850, None),
        ] {
            assert_eq!(schedule.next_after(Timestamp(at)), next.map(Timestamp), "{at}");
        }
        let passed = schedule.pass_over(Timestamp(1_050), Timestamp(100_000));
        assert_eq!(passed, Some(PassedOver { count: 3, last: Timestamp(2_850), next: None }));
    }

    #[test]
    fn what_is_passed_over_is_counted_without_a_walk() {
        let passed = every(1).pass_over(Timestamp(5), Timestamp(10_000_000_000));
        let (last, next) = (Timestamp(9_999_999_999), Some(Timestamp(10_000_000_000)));
        assert_eq!(passed, Some(PassedOver { count: 9_999_999_995, last, next }));
        assert_eq!(every(1).pass_over(Timestamp(5), Timestamp(5)), None);
    }
}
