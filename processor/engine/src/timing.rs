//! Times as text, durations, and the pauses between retries.

use std::time::Duration;

use millrace_schemas::Timestamp;
use millrace_workflow::program::Backoff;

/// A time as RFC 3339, in UTC, with milliseconds where there are any.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    // Beyond the years that a calendar date can have, the number itself says it best.
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| format!("{} ms since 1970", at.0), |it| it.to_string())
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
    fn times_are_written_as_people_read_them() {
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp(i64::MAX)), "9223372036854775807 ms since 1970");
    }
}
