//! `cron`: the five fields of crontab, in a time zone.
//!
//! [croner](https://docs.rs/croner) walks the wall clock; here is what it has to know of time zones, by the database that is a part of
//! this program: no machine's own database can make two processors disagree.
//!
//! Where a zone changes its clock, it is as in Vixie's cron and in the Open Cron Pattern Specification:
//! - a time at a fixed hour and minute that does not exist is made up for right after the gap, and one that exists twice is taken once,
//!   the first time;
//! - times of an hour or a minute that is a wildcard, a list, a range or a step are those that the clock shows: none in a gap, and twice
//!   what it shows twice.

use std::cmp::Ordering;
use std::fmt;
use std::sync::LazyLock;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use millrace_schemas::Timestamp;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A cron expression in its time zone.
#[derive(Debug)]
pub struct Cron {
    text: String,
    zone: TimeZone,
    pattern: croner::Cron,
}

/// What is wrong with a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCron {
    /// The expression itself.
    #[error("`{text}` is no cron expression: {detail}")]
    Expression {
        /// As it was given.
        text: String,
        /// Why.
        detail: String,
    },
    /// No such time zone.
    #[error("there is no time zone `{0}`")]
    Zone(String),
}

impl Cron {
    /// `zone` is a name of the IANA database, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// When the expression is none, or there is no such zone.
    pub fn parse(text: &str, zone: &str) -> Result<Self, InvalidCron> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser
            .parse(text)
            .map_err(|error| InvalidCron::Expression { text: text.to_owned(), detail: error.to_string() })?;
        let zone = ZONES.get(zone).map_err(|_| InvalidCron::Zone(zone.to_owned()))?;
        Ok(Self { text: text.to_owned(), zone, pattern })
    }

    /// The first time after `at`. None if there is none, as on a 30th of February.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        // To the second, downwards: the search goes on from the next one.
        let second = jiff::Timestamp::from_second(at.0.div_euclid(1_000)).ok()?;
        let from = Zoned(second.to_zoned_datetime(self.zone.clone()));
        let found = self.pattern.find_next_occurrence(&from, false).ok()?;
        Some(Timestamp(found.0.timestamp().as_millisecond()))
    }

    /// The name of its zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.zone())
    }
}

/// A time in a zone, as croner asks for it.
#[derive(Clone, Debug)]
struct Zoned(jiff::ZonedDateTime);

impl CronDateTime for Zoned {
    fn to_civil(&self) -> CivilDateTime {
        let it = self.0.datetime();
        let part = |it: i8| u32::try_from(it).unwrap_or(0);
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(i32::from(it.year()), part(it.month()), part(it.day())),
            CivilTime::from_parts_unchecked(part(it.hour()), part(it.minute()), part(it.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::try_from(days).unwrap_or(0))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let at = datetime(civil).ok_or(CronError::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(at);
        let (earlier, later) = match found.offset() {
            AmbiguousOffset::Gap { .. } => return Ok(Resolution::Gap),
            AmbiguousOffset::Unambiguous { .. } => (found.unambiguous(), None),
            AmbiguousOffset::Fold { .. } => (found.clone().earlier(), Some(found.later())),
        };
        // A time that is out of the range of a timestamp.
        let earlier = earlier.map_err(|_| CronError::InvalidTime)?;
        match later {
            None => Ok(Resolution::Single(Self(earlier))),
            Some(later) => {
                let later = later.map_err(|_| CronError::InvalidTime)?;
                Ok(Resolution::Ambiguous(Self(earlier), Self(later)))
            }
        }
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(jiff::SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

fn datetime(civil: CivilDateTime) -> Option<DateTime> {
    let part = |it: u32| i8::try_from(it).ok();
    DateTime::new(
        i16::try_from(civil.year()).ok()?,
        part(civil.month())?,
        part(civil.day())?,
        part(civil.hour())?,
        part(civil.minute())?,
        part(civil.second())?,
        0,
    )
    .ok()
}
