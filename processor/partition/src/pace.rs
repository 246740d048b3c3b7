//! How fast timers are proposed: so many a second, and no more at once than come in a tenth of one, so that a herd of them leaves
//! room for everything else (state protocol 4.2).

use millrace_schemas::Timestamp;

/// A token bucket, as the time at which it would be full (GCRA).
#[derive(Debug)]
pub(crate) struct Pace {
    /// Between two.
    interval_us: i64,
    /// What a full bucket is worth.
    burst_us: i64,
    full_at_us: i64,
}

impl Pace {
    /// `per_second` is at least one.
    pub(crate) fn new(per_second: u32) -> Self {
        let interval_us = 1_000_000 / i64::from(per_second.clamp(1, 1_000_000));
        Self { interval_us, burst_us: (100_000).max(interval_us), full_at_us: i64::MIN }
    }

    /// How many may go now.
    pub(crate) fn allowed(&mut self, now: Timestamp) -> usize {
        let now_us = micros(now);
        // A clock that was set back would else hold everything up for as long.
        self.full_at_us = self.full_at_us.clamp(now_us, now_us.saturating_add(self.burst_us));
        usize::try_from((now_us + self.burst_us - self.full_at_us) / self.interval_us).unwrap_or(0)
    }

    /// So many of those that are allowed have gone.
    pub(crate) fn took(&mut self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.full_at_us = self.full_at_us.saturating_add(count.saturating_mul(self.interval_us));
    }

    /// When the next one may go.
    pub(crate) fn next_at(&self) -> Timestamp {
        // In whole milliseconds, not too early: else the caller would come for nothing.
        let at_us = self.full_at_us.saturating_sub(self.burst_us - self.interval_us);
        Timestamp(at_us.div_euclid(1_000) + i64::from(at_us.rem_euclid(1_000) > 0))
    }
}

fn micros(at: Timestamp) -> i64 {
    at.0.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lets_so_many_pass_and_a_burst_is_a_tenth_of_them() {
        for per_second in [1, 7, 1_000, 25_000, 1_000_000] {
            let (mut pace, mut passed) = (Pace::new(per_second), 0);
            let begin = 1_800_000_000_000;
            assert_eq!(pace.allowed(Timestamp(begin)), (per_second as usize / 10).max(1));
            for ms in 0..10_000 {
                let now = Timestamp(begin + ms);
                let allowed = pace.allowed(now);
                assert_eq!(allowed > 0, pace.next_at() <= now, "{per_second}/s after {ms} ms");
                pace.took(allowed);
                passed += allowed;
            }
            let expected = per_second as usize * 10;
            assert!((expected..=expected + expected / 50 + 10).contains(&passed), "{per_second}/s: {passed}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_holds_up_nothing_for_long() {
        let mut pace = Pace::new(1_000);
        let allowed = pace.allowed(Timestamp(9_000_000));
        pace.took(allowed);
        assert_eq!(pace.allowed(Timestamp(9_000_000)), 0);
        assert_eq!(pace.allowed(Timestamp(5_000)), 0);
        assert_eq!(pace.allowed(Timestamp(5_100)), 100);
    }
}
