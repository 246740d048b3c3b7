//! How fast timers are proposed: so many a second, and no more at once than come in a tenth of one, so that a herd of them leaves
//! room for everything else (state protocol 4.2).
//!
//! How much room everything else needs depends on the machine, the brokers and the store; so it is felt. While timers wait for nothing
//! but their turn, what a batch with other work takes is what it *usually* takes. While they wait for their pace, batches that take
//! a quarter more make it slower, and others make it faster by and by: additive increase, multiplicative decrease, as TCP shares a
//! line (Chiu and Jain 1989), with a delay for a loss (as in LEDBAT, RFC 6817).

use std::time::Duration;

use millrace_schemas::Timestamp;

/// The pace begins with this part of the greatest one, and is never slower than that part.
const START: u32 = 8;
const FLOOR: u32 = 20;

/// It changes no more often than it can be felt.
const STEP_MS: i64 = 100;

/// After so long without a timer it begins anew.
const REST_MS: i64 = 10_000;

/// What a batch with other work takes, before any was seen.
const USUALLY_US: i64 = 20_000;

/// Clocks count milliseconds: less than one means nothing.
const GRAIN_US: i64 = 1_000;

/// A token bucket, as the time at which it would be full (GCRA), with a rate that yields to other work.
#[derive(Debug)]
pub(crate) struct Pace {
    max_per_second: u32,
    per_second: u32,
    /// Has not been too fast yet.
    is_starting: bool,
    full_at_us: i64,
    faster_at: Timestamp,
    slower_at: Timestamp,
    took_at: Timestamp,
    /// When timers last waited for nothing but their pace.
    held_up_at: Timestamp,
    usually_us: i64,
    lately_us: i64,
    /// When other work last took too long.
    felt_at: Timestamp,
}

impl Pace {
    /// `max_per_second` is at least one.
    pub(crate) fn new(max_per_second: u32) -> Self {
        let max_per_second = max_per_second.clamp(1, 1_000_000);
        Self {
            max_per_second,
            per_second: max_per_second.div_ceil(START),
            is_starting: true,
            full_at_us: i64::MIN,
            faster_at: Timestamp(i64::MIN),
            slower_at: Timestamp(i64::MIN),
            took_at: Timestamp(i64::MIN),
            held_up_at: Timestamp(i64::MIN),
            usually_us: USUALLY_US,
            lately_us: USUALLY_US,
            felt_at: Timestamp(i64::MIN),
        }
    }

    /// Between two.
    fn interval_us(&self) -> i64 {
        1_000_000 / i64::from(self.per_second)
    }

    /// What a full bucket is worth.
    fn burst_us(&self) -> i64 {
        self.interval_us().max(100_000)
    }

    /// How many may go now.
    pub(crate) fn allowed(&mut self, now: Timestamp) -> usize {
        if since_ms(self.took_at, now) > REST_MS {
            self.per_second = self.max_per_second.div_ceil(START);
            self.is_starting = true;
        }
        let now_us = micros(now);
        // A clock that was set back would else hold everything up for as long.
        self.full_at_us = self.full_at_us.clamp(now_us, now_us.saturating_add(self.burst_us()));
        usize::try_from((now_us + self.burst_us() - self.full_at_us) / self.interval_us()).unwrap_or(0)
    }

    /// So many of those that are allowed have gone. More are due, if they are held up by nothing else.
    pub(crate) fn took(&mut self, count: usize, is_holding_up: bool, now: Timestamp) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.full_at_us = self.full_at_us.saturating_add(count.saturating_mul(self.interval_us()));
        self.took_at = now;
        if is_holding_up {
            self.held_up_at = now;
            if since_ms(self.faster_at.max(self.felt_at), now) >= STEP_MS {
                let step = if self.is_starting { self.per_second / 4 } else { self.per_second / 32 } + 1;
                self.per_second = self.per_second.saturating_add(step).min(self.max_per_second);
                self.faster_at = now;
            }
        }
    }

    /// A batch with other work has taken so long.
    pub(crate) fn other_work_took(&mut self, took: Duration, now: Timestamp) {
        let took_us = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        if since_ms(self.held_up_at, now) > 1_000 {
            self.usually_us += (took_us - self.usually_us) / 16;
            self.lately_us = self.usually_us;
            return;
        }
        self.lately_us += (took_us - self.lately_us) / 4;
        let is_slow = self.lately_us > self.usually_us + self.usually_us / 4 + GRAIN_US;
        if is_slow {
            self.felt_at = now;
            self.is_starting = false;
            if since_ms(self.slower_at, now) >= STEP_MS {
                let slower = self.per_second - self.per_second / 4;
                self.per_second = slower.max(self.max_per_second.div_ceil(FLOOR));
                self.slower_at = now;
            }
        }
    }

    /// When the next one may go.
    pub(crate) fn next_at(&self) -> Timestamp {
        // In whole milliseconds, not too early: else the caller would come for nothing.
        let at_us = self.full_at_us.saturating_sub(self.burst_us() - self.interval_us());
        Timestamp(at_us.div_euclid(1_000) + i64::from(at_us.rem_euclid(1_000) > 0))
    }
}

fn micros(at: Timestamp) -> i64 {
    at.0.saturating_mul(1_000)
}

/// A clock that was set back counts as one that has gone far: nothing waits for it.
fn since_ms(earlier: Timestamp, later: Timestamp) -> i64 {
    let ms = later.0.saturating_sub(earlier.0);
    if ms < 0 { i64::MAX } else { ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: i64 = 1_800_000_000_000;

    /// A herd for so long, with batches of other work that take as long as `took` says of the pace; how many have passed.
    fn herd(pace: &mut Pace, from_ms: i64, ms: i64, took: impl Fn(u32) -> Option<u64>) -> usize {
        let mut passed = 0;
        for ms in from_ms..from_ms + ms {
            let now = Timestamp(BEGIN + ms);
            let allowed = pace.allowed(now);
            assert_eq!(allowed > 0, pace.next_at() <= now, "after {ms} ms");
            if allowed > 0 {
                pace.took(allowed, true, now);
                passed += allowed;
            }
            if let Some(took_ms) = took(pace.per_second).filter(|_| ms % 25 == 0) {
                pace.other_work_took(Duration::from_millis(took_ms), now);
            }
        }
        passed
    }

    #[test]
    fn without_other_work_it_comes_to_its_greatest_and_stays() {
        for per_second in [1, 7, 1_000, 25_000, 1_000_000] {
            let mut pace = Pace::new(per_second);
            assert_eq!(pace.allowed(Timestamp(BEGIN)), (per_second as usize / 80).max(1), "{per_second}/s");
            herd(&mut pace, 0, 8_000, |_| None);
            let passed = herd(&mut pace, 8_000, 10_000, |_| None);
            let expected = per_second as usize * 10;
            assert!((expected..=expected + expected / 50 + 10).contains(&passed), "{per_second}/s: {passed}");
        }
    }

    /// Other work takes 8 ms, and as much again when timers come at 400 a second.
    #[test]
    fn it_yields_to_other_work_and_comes_back() {
        let mut pace = Pace::new(1_000);
        for number in 0..100 {
            pace.other_work_took(Duration::from_millis(8), Timestamp(BEGIN - 10_000 + number * 25));
        }
        herd(&mut pace, 0, 5_000, |rate| Some(8 + u64::from(rate) / 50));
        let passed = herd(&mut pace, 5_000, 10_000, |rate| Some(8 + u64::from(rate) / 50));
        assert!((1_000..=3_000).contains(&passed), "{passed}");
        let passed = herd(&mut pace, 15_000, 1_000, |_| Some(500));
        assert!(passed < 300, "{passed}");
        assert_eq!(pace.per_second, 50, "it never stops");
        herd(&mut pace, 16_000, 20_000, |_| None);
        assert_eq!(pace.per_second, 1_000);
    }

    /// Where timers are not held up, the time that batches take is what it is.
    #[test]
    fn slow_batches_alone_do_not_slow_it_down() {
        let mut pace = Pace::new(1_000);
        for ms in (0..60_000).step_by(10) {
            let now = Timestamp(BEGIN + ms);
            let allowed = pace.allowed(now);
            pace.took(allowed.min(1), allowed < 1, now);
            pace.other_work_took(Duration::from_millis(300), now);
        }
        assert!(pace.per_second >= 125, "{}", pace.per_second);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_up_nothing_for_long() {
        let mut pace = Pace::new(8_000);
        let allowed = pace.allowed(Timestamp(9_000_000));
        pace.took(allowed, true, Timestamp(9_000_000));
        assert_eq!(pace.allowed(Timestamp(9_000_000)), 0);
        assert_eq!(pace.allowed(Timestamp(5_000)), 0);
        assert_eq!(pace.allowed(Timestamp(5_100)), 100);
    }
}
