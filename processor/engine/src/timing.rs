//! Times as text, durations, and the pauses between retries.

use std::time::Duration;

use millrace_schemas::Timestamp;
use millrace_workflow::program::Backoff;
use serde_json::Value;

/// A time as RFC 3339, in UTC, with milliseconds where there are any.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    // Beyond the years that a calendar date can have, the number itself says it best.
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| format!("{} ms since 1970", at.0), |it| it.to_string())
}

/// A computed duration: ISO 8601 text such as `PT1H30M`, or an object with some of `days`, `hours`, `minutes`, `seconds` and
/// `milliseconds`. A day has 24 hours.
pub(crate) fn duration(value: &Value) -> Result<Duration, String> {
    let wrong = || format!("{value} is no duration: it must be ISO 8601 text such as \"PT1H30M\", or an object such as {{\"hours\": 1, \"minutes\": 30}}");
    match value {
        Value::String(text) => iso8601(text).ok_or_else(wrong),
        Value::Object(parts) if !parts.is_empty() => {
            let parts = parts.iter().map(|(unit, count)| {
                let milliseconds = Duration::from_millis(milliseconds_per(unit)?);
                Some(milliseconds.saturating_mul(u32::try_from(count.as_u64()?).ok()?))
            });
            parts.sum::<Option<Duration>>().ok_or_else(wrong)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(wrong()),
    }
}

fn iso8601(text: &str) -> Option<Duration> {
    // The parser also takes other notations, which the language does not have.
    let span: jiff::Span = text.strip_prefix('P').and_then(|_| text.parse().ok())?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

fn milliseconds_per(unit: &str) -> Option<u64> {
    match unit {
        "days" => Some(86_400_000),
        "hours" => Some(3_600_000),
        "minutes" => Some(60_000),
        "seconds" => Some(1_000),
        "milliseconds" => Some(1),
        _ => None,
    }
}

/// The pause before a retry, of which there were `retries` before.
pub(crate) fn back_off(backoff: Backoff, delay: Duration, retries: u32) -> Duration {
    match backoff {
        Backoff::Constant => delay,
        Backoff::Linear => delay.saturating_mul(retries.saturating_add(1)),
        Backoff::Exponential => delay.saturating_mul(2_u32.saturating_pow(retries)),
    }
}

/// A duration from `from` to `to`, both included, to the millisecond.
pub(crate) fn jitter(from: Duration, to: Duration, random: u64) -> Duration {
    let span = u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX - 1);
    from.saturating_add(Duration::from_millis(random % (span + 1)))
}

/// The `n`-th random number that follows from `seed` (SplitMix64): one command may draw several.
pub(crate) fn draw(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_as_the_policy_says() {
        let pauses = |backoff| -> Vec<u64> {
            (0..4).map(|n| back_off(backoff, Duration::from_secs(3), n).as_secs()).collect()
        };
        assert_eq!(pauses(Backoff::Constant), [3, 3, 3, 3]);
        assert_eq!(pauses(Backoff::Linear), [3, 6, 9, 12]);
        assert_eq!(pauses(Backoff::Exponential), [3, 6, 12, 24]);
        assert!(back_off(Backoff::Exponential, Duration::from_secs(3), 1_000) > Duration::from_secs(1 << 30));
    }

    #[test]
    fn jitter_stays_in_its_range() {
        let (from, to) = (Duration::from_millis(10), Duration::from_millis(12));
        let drawn: Vec<_> = (0..100).map(|n| jitter(from, to, draw(7, n)).as_millis()).collect();
        for wanted in [10, 11, 12] {
            assert!(drawn.contains(&wanted));
        }
        assert!(drawn.iter().all(|it| (10..=12).contains(it)));
        assert_eq!(jitter(to, from, 5), to, "an empty range gives its beginning");
    }

    #[test]
    fn durations_are_read_in_both_notations() {
        use serde_json::json;
        let millis = |value| duration(&value).map(|it| it.as_millis());
        assert_eq!(millis(json!("PT1H30M")), Ok(5_400_000));
        assert_eq!(millis(json!("P1DT0.5S")), Ok(86_400_500));
        assert_eq!(millis(json!("PT0S")), Ok(0));
        assert_eq!(millis(json!({"minutes": 1, "milliseconds": 7})), Ok(60_007));
        for wrong in [json!("1h"), json!("-PT1S"), json!("P1M"), json!({}), json!({"minutes": -1}), json!({"moons": 1}), json!(5), json!(null)] {
            assert!(millis(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_written_as_people_read_them() {
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp(i64::MAX)), "9223372036854775807 ms since 1970");
    }
}
