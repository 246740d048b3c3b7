//! Publishes events to listens that are open, and measures until their instances have completed.
//!
//! Open loop, as W1: an event's latency counts from when it was due.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use millrace_placement::Topics;
use millrace_schemas::EventId;
use millrace_schemas::cloud_event::CloudEvent;
use millrace_schemas::event::{ChangelogEntry, Event};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::{EVENT_TYPE, Settings};
use crate::follow::{Follower, ends};
use crate::progress::Progress;
use crate::publish::Publisher;
use crate::report;

/// Events that are due are sent this often.
const TICK: Duration = Duration::from_millis(1);

/// Ends are waited for as long as some come within this.
const STALL: Duration = Duration::from_secs(30);

/// Highest latency that is told apart, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// A prime that is larger than any number of instances here: stepping by it, modulo their number, comes to each of them once.
const STRIDE: u64 = 2_654_435_761;

#[derive(Debug, Serialize)]
struct Report {
    /// Events a second that were asked for; none if they were sent at once.
    rate: Option<f64>,
    events: u64,
    /// Instances that have completed by their event.
    completed: u64,
    /// Ends that were none of that, and second ends.
    astray: u64,
    /// From the first event to the last end.
    elapsed_s: f64,
    events_per_s: f64,
    /// From when an event was due to the end of its instance, as read from the changelog.
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// What has been seen in the changelog.
struct Seen {
    completed: u64,
    astray: u64,
    latencies_us: Histogram<u64>,
    last: Duration,
    moved: Instant,
}

impl Seen {
    fn see(&mut self, entry: &ChangelogEntry, run: &str, start: Instant) {
        let now = start.elapsed();
        for event in &entry.events {
            let has_completed = matches!(event, Event::InstanceCompleted { .. });
            if !has_completed
                && !matches!(event, Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. })
            {
                continue;
            }
            self.moved = Instant::now();
            match due_of(run, &entry.cause.id).filter(|_| has_completed) {
                Some(due) => {
                    self.completed += 1;
                    self.last = now;
                    let latency =
                        u64::try_from(now.saturating_sub(due).as_micros()).unwrap_or(LATENCY_US_MAX);
                    self.latencies_us.saturating_record(latency.max(1));
                }
                None => self.astray += 1,
            }
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) async fn run(settings: &Settings, events: u64) -> anyhow::Result<bool> {
    let Settings { bootstrap, from, count, skip, rate, .. } = settings;
    let topics = Topics::new(&settings.prefix);
    let run = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let options = [("linger.ms", "2")];
    let publisher = Publisher::new(bootstrap, &topics.events(), &options)?;
    let begin = ends(bootstrap, &topics.changelog())?;
    let start = Instant::now();
    let seen = Arc::new(Mutex::new(Seen {
        completed: 0,
        astray: 0,
        latencies_us: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).context("these bounds are valid")?,
        last: Duration::ZERO,
        moved: start,
    }));
    let follower = {
        let (seen, run) = (seen.clone(), run.clone());
        Follower::start(bootstrap, topics.changelog(), &begin, move |_, entry, _| {
            lock(&seen).see(&entry, &run, start);
        })?
    };
    let mut progress = Progress::new(None)?;
    let mut sent = 0;
    loop {
        let now = start.elapsed();
        let wanted = rate.map_or(events, |rate| events.min((now.as_secs_f64() * rate) as u64 + 1));
        while sent < wanted {
            let due = rate.map_or(now, |rate| Duration::from_secs_f64(sent as f64 / rate));
            let order = from + nth(skip + sent, *count);
            publisher.send(&event(&run, order, due)).await?;
            sent += 1;
        }
        publisher.check()?;
        if follower.has_failed() {
            follower.stop()?;
            bail!("the changelog is not followed any more: it holds a record that cannot be read");
        }
        let (completed, quiet) = {
            let seen = lock(&seen);
            (seen.completed + seen.astray, seen.moved.elapsed())
        };
        if sent == events && (completed >= events || quiet >= STALL) {
            break;
        }
        progress
            .update(&(), || format!("{:5.0} s   sent {sent}   completed {completed}", now.as_secs_f64()))?;
        sleep(TICK).await;
    }
    progress.end();
    follower.stop()?;
    let seen = lock(&seen);
    let elapsed_s = seen.last.as_secs_f64();
    let latency_ms = |quantile: f64| seen.latencies_us.value_at_quantile(quantile) as f64 / 1_000.0;
    let report = Report {
        rate: *rate,
        events,
        completed: seen.completed,
        astray: seen.astray,
        elapsed_s,
        events_per_s: seen.completed as f64 / elapsed_s.max(f64::MIN_POSITIVE),
        p50_ms: latency_ms(0.5),
        p90_ms: latency_ms(0.9),
        p99_ms: latency_ms(0.99),
        max_ms: seen.latencies_us.max() as f64 / 1_000.0,
    };
    eprintln!(
        "{} of {events} completed in {elapsed_s:.1} s, {:.0}/s; latency p50 {:.1} ms, p99 {:.1} ms; {} astray",
        report.completed, report.events_per_s, report.p50_ms, report.p99_ms, report.astray
    );
    report::write(&report, settings.json.as_deref())?;
    Ok(report.completed == events && report.astray == 0)
}

/// The instance that the `number`-th event is for, from 0.
fn nth(number: u64, count: u64) -> u64 {
    let place = u128::from(number) * u128::from(STRIDE) % u128::from(count);
    u64::try_from(place).expect("less than the count")
}

/// An event that nobody is named in. Its id says when it was due, so that nothing need be kept of it.
fn event(run: &str, order: u64, due: Duration) -> CloudEvent {
    let id = EventId {
        source: "/load-tests/listens".to_owned(),
        id: format!("{order}-{run}-{}", due.as_micros()),
    };
    CloudEvent::new(id, EVENT_TYPE).with_data(json!({ "order": order, "amount": 100 }))
}

/// When the event was due whose delivery is called `cause`: its id is at the end of that.
fn due_of(run: &str, cause: &str) -> Option<Duration> {
    let (before, due) = cause.rsplit_once('-')?;
    before.ends_with(run).then(|| due.parse().ok().map(Duration::from_micros))?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_event_is_for_another_instance() {
        for count in [1, 10, 999, 10_000] {
            let orders: BTreeSet<u64> = (0..count).map(|it| nth(it, count)).collect();
            assert_eq!(orders, (0..count).collect());
        }
    }

    #[test]
    fn a_delivery_says_when_its_event_was_due() {
        let due = Duration::from_micros(1_234_567);
        let event = event("run", 42, due);
        let cause = format!("millrace:channel/x/1.0/{} {}", event.event_id.source, event.event_id.id);
        assert_eq!(due_of("run", &cause), Some(due));
        assert_eq!(due_of("other", &cause), None);
    }
}
