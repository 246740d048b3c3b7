//! What came of the work, as the changelog tells it: latencies in all and for each second.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Highest latency that is told apart, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// The measured part of the run, from its start on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Duration,
    pub(super) until: Duration,
}

impl Window {
    fn contains(&self, at: Duration) -> bool {
        self.from <= at && at < self.until
    }
}

/// Latencies of one kind of work, or of all.
#[derive(Debug)]
struct Latencies(Histogram<u64>);

impl Latencies {
    fn new() -> anyhow::Result<Self> {
        Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).context("these bounds are valid").map(Self)
    }

    fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_US_MAX);
        self.0.saturating_record(us.max(1));
    }

    fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1_000.0
    }

    fn figures(&self) -> Option<Quantiles> {
        (!self.0.is_empty()).then(|| Quantiles {
            count: self.0.len(),
            p50_ms: self.ms(0.5),
            p90_ms: self.ms(0.9),
            p99_ms: self.ms(0.99),
            p999_ms: self.ms(0.999),
            max_ms: self.0.max() as f64 / 1_000.0,
        })
    }
}

/// From when work was due to when it was done, as read, committed, from the changelog.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many were measured: those that were due within the measured time.
    pub count: u64,
    /// The median.
    pub p50_ms: f64,
    /// Nine of ten were faster.
    pub p90_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
    /// 999 of 1,000 were.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// One second of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Second {
    /// Since the start of the run, the warm-up included.
    pub at_s: u64,
    /// Work that was done in it.
    pub done: u64,
    /// Latencies of that; none if there was nothing.
    #[serde(flatten)]
    pub latency: Option<Quantiles>,
}

/// What has been seen so far.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) start: Instant,
    window: Window,
    all: Latencies,
    kinds: Vec<Latencies>,
    /// Of the second that is under way.
    second: Latencies,
    seconds: Vec<Second>,
    /// In all, the warm-up included.
    pub(super) done: u64,
    /// Instances that did not end well.
    pub(super) failed: u64,
    done_in_window: u64,
    /// When something was done last.
    pub(super) moved: Instant,
}

impl Seen {
    pub(super) fn new(start: Instant, window: Window, kinds: usize) -> anyhow::Result<Self> {
        Ok(Self {
            start,
            window,
            all: Latencies::new()?,
            kinds: (0..kinds).map(|_| Latencies::new()).collect::<anyhow::Result<_>>()?,
            second: Latencies::new()?,
            seconds: Vec::new(),
            done: 0,
            failed: 0,
            done_in_window: 0,
            moved: start,
        })
    }

    /// Work of a kind that was due then is done `now`.
    pub(super) fn see(&mut self, kind: usize, due: Duration, now: Duration) {
        self.moved = self.start + now;
        self.done += 1;
        self.done_in_window += u64::from(self.window.contains(now));
        let latency = now.saturating_sub(due);
        if self.window.contains(due) {
            self.all.record(latency);
            if let Some(kind) = self.kinds.get_mut(kind) {
                kind.record(latency);
            }
        }
        self.close_seconds(now);
        self.second.record(latency);
    }

    /// Those before `now`; also such in which nothing was done.
    pub(super) fn close_seconds(&mut self, now: Duration) {
        while (self.seconds.len() as u64) < now.as_secs() {
            let (at_s, latency) = (self.seconds.len() as u64, self.second.figures());
            self.seconds.push(Second { at_s, done: self.second.0.len(), latency });
            self.second.0.reset();
        }
    }

    /// The second that was closed last.
    pub(super) fn last_second(&self) -> Option<&Second> {
        self.seconds.last()
    }

    pub(super) fn per_s(&self) -> f64 {
        self.done_in_window as f64 / (self.window.until - self.window.from).as_secs_f64()
    }

    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        self.all.figures()
    }

    pub(super) fn quantiles_of(&self, kind: usize) -> Option<Quantiles> {
        self.kinds.get(kind).and_then(Latencies::figures)
    }

    pub(super) fn seconds(&self) -> &[Second] {
        &self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_charged_to_all_that_was_due_in_it() {
        let ms = Duration::from_millis;
        let window = Window { from: ms(1_000), until: ms(11_000) };
        let mut seen = Seen::new(Instant::now(), window, 1).unwrap();
        // One a millisecond, each done after one; but from 5 s to 7 s nothing is done.
        for due in 0..12_000 {
            let done = if (5_000..7_000).contains(&due) { ms(7_000) } else { ms(due + 1) };
            seen.see(0, ms(due), done);
        }
        seen.close_seconds(ms(12_000));
        let all = seen.quantiles().unwrap();
        assert_eq!((all.count, seen.done), (10_000, 12_000));
        assert!(all.p50_ms < 1.1 && (1_800.0..2_001.0).contains(&all.p99_ms), "{all:?}");
        let done: Vec<u64> = seen.seconds().iter().map(|it| it.done).collect();
        assert_eq!((done[5], done[6], done[7]), (1, 0, 2_999), "{done:?}");
        assert!((seen.per_s() - 1_000.0).abs() < 1.0);
    }
}
