//! W1: three calls in a row, each answered at once by a worker outside of the processor, with 200 bytes of input.
//!
//! Open loop: starts go out when they are due, whether or not earlier ones have ended, and a latency counts from when its start
//! was *due*. So a fleet that stands still for a second is charged for every start of that second
//! (<https://www.scylladb.com/2021/04/22/on-coordinated-omission/>). It ends when its end is read, committed, from the changelog.

pub mod bare_loop;
mod sample;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use millrace_placement::Topics;
use millrace_schemas::cloud_event::start_event;
use millrace_schemas::event::{ChangelogEntry, Event};
use millrace_schemas::{EventId, InstanceId};
use millrace_worker::{Task, TaskFailure, Worker};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::follow::{Follower, ends};
use crate::orders::workflow_name;
use crate::progress::Progress;
use crate::publish::Publisher;
use crate::report;

/// Size of the input, as JSON text in bytes.
const INPUT_BYTES: usize = 200;

/// Starts that are due are sent this often.
const TICK: Duration = Duration::from_millis(1);

/// After the last start, ends are waited for as long as some come within this.
const STALL: Duration = Duration::from_secs(30);

/// Highest latency that is told apart, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// Measures a fleet that has the workflow of `load-tests/workflows/w1.yaml`.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("load").required(true).args(["rate", "max"])))]
pub struct Settings {
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// The fleet's topic prefix.
    #[arg(long, default_value = Topics::DEFAULT_PREFIX)]
    pub prefix: String,
    /// Starts a second.
    #[arg(long)]
    pub rate: Option<f64>,
    /// As fast as it goes: a new start whenever fewer than --in-flight workflows are open.
    #[arg(long)]
    pub max: bool,
    /// Open workflows, with --max.
    #[arg(long, default_value_t = 5_000)]
    pub in_flight: u64,
    /// How long is measured, in seconds.
    #[arg(long)]
    pub duration: u64,
    /// How long runs before that, in seconds.
    #[arg(long, default_value_t = 5)]
    pub warmup: u64,
    /// The inputs are a function of it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The workflow, as namespace/name.
    #[arg(long, default_value = "load/w1")]
    pub workflow: String,
    /// The queue of its functions.
    #[arg(long, default_value = "w1")]
    pub queue: String,
    /// Tasks that the worker does side by side.
    #[arg(long, default_value_t = 2_000)]
    pub concurrency: usize,
    /// The generator's partitioner; Java's, if not given, so that nothing need be forwarded.
    #[arg(long, default_value = "murmur2_random")]
    pub partitioner: String,
    /// Leaves out the bare loop, and the ratio to it.
    #[arg(long)]
    pub without_bare_loop: bool,
    /// How the bare loop is run.
    #[command(flatten)]
    pub bare: bare_loop::Shape,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    /// Starts a second that were asked for; none with `--max`.
    rate: Option<f64>,
    duration_s: u64,
    warmup_s: u64,
    /// Workflows that ended within the measured time, a second.
    workflows_per_s: f64,
    /// Workflows whose latency was measured: they were due within the measured time.
    measured: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    /// Over the whole run.
    started: u64,
    ended: u64,
    /// Ends that were no completion.
    faulted: u64,
    bare_loop: Option<bare_loop::Outcome>,
    /// `workflows_per_s` over that of the bare loop. With `--rate` it says what was asked for, not what the fleet can do.
    ratio_to_bare_loop: Option<f64>,
}

/// What has been seen in the changelog.
struct Seen {
    ended: u64,
    faulted: u64,
    ended_in_window: u64,
    latencies_us: Histogram<u64>,
    moved: Instant,
}

/// The measured part of the run, from its start on.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    from: Duration,
    until: Duration,
}

impl Window {
    fn contains(&self, at: Duration) -> bool {
        self.from <= at && at < self.until
    }
}

impl Seen {
    fn see(&mut self, due: Duration, entry: &ChangelogEntry, window: Window) {
        for event in &entry.events {
            match event {
                Event::InstanceCompleted { .. } => {}
                Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. } => self.faulted += 1,
                _ => continue,
            }
            let now = window.start.elapsed();
            self.moved = Instant::now();
            self.ended += 1;
            self.ended_in_window += u64::from(window.contains(now));
            if window.contains(due) {
                let latency = u64::try_from(now.saturating_sub(due).as_micros()).unwrap_or(LATENCY_US_MAX);
                self.latencies_us.saturating_record(latency.max(1));
            }
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the test. True when every workflow that was started has completed.
///
/// # Errors
/// When it cannot be run: Kafka is not there, topics are missing, a record cannot be read.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    ensure!(settings.duration > 0, "--duration must be 1 or more");
    ensure!(settings.rate.is_none_or(|rate| rate > 0.0), "--rate must be more than 0");
    let workflow = workflow_name(&settings.workflow)?;
    let topics = Topics::new(&settings.prefix);
    let run = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();

    let worker = Worker::builder(&settings.bootstrap)
        .prefix(&settings.prefix)
        .queue(&settings.queue)
        .concurrency(settings.concurrency)
        .function("step-1", step)
        .function("step-2", step)
        .function("step-3", step)
        .build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut worker = tokio::spawn(worker.run(async {
        // A dropped sender is a stop as well.
        let _ = stopped.await;
    }));
    let changelog_start = ends(&settings.bootstrap, &topics.changelog())?;

    let (warmup, duration) = (Duration::from_secs(settings.warmup), Duration::from_secs(settings.duration));
    let start = Instant::now();
    let window = Window { start, from: warmup, until: warmup + duration };
    let seen = Arc::new(Mutex::new(Seen {
        ended: 0,
        faulted: 0,
        ended_in_window: 0,
        latencies_us: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).context("these bounds are valid")?,
        moved: start,
    }));
    let follower = {
        let (seen, run) = (seen.clone(), run.clone());
        Follower::start(
            &settings.bootstrap,
            topics.changelog(),
            &changelog_start,
            move |instance, entry, _| {
                if let Some(due) = due_of(&run, instance) {
                    lock(&seen).see(due, &entry, window);
                }
            },
        )?
    };
    let options = [("linger.ms", "2"), ("partitioner", settings.partitioner.as_str())];
    let publisher = Publisher::new(&settings.bootstrap, &topics.events(), &options)?;
    let mut inputs = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut progress = Progress::new(None)?;
    let mut started = 0;
    while start.elapsed() < window.until {
        let now = start.elapsed();
        let ended = lock(&seen).ended;
        let wanted = match settings.rate {
            Some(rate) => (now.as_secs_f64() * rate) as u64 + 1,
            None => ended + settings.in_flight,
        };
        while started < wanted {
            let due = match settings.rate {
                Some(rate) => Duration::from_secs_f64(started as f64 / rate),
                None => start.elapsed(),
            };
            let instance =
                InstanceId::new(id_of(&run, started, due)).context("the generator's ids are short")?;
            let id = EventId { source: "/load-tests/w1".to_owned(), id: format!("{run}-{started}") };
            publisher.send(&start_event(id, &instance, &workflow, None, input(&mut inputs))).await?;
            started += 1;
        }
        publisher.check()?;
        watch(&mut worker, &follower)?;
        progress.update(&(), || {
            let part = if now < window.from { "warm-up" } else { "measuring" };
            format!(
                "{:5.0} s  {part}   started {started}   ended {ended}   open {}",
                now.as_secs_f64(),
                started - ended
            )
        })?;
        sleep(TICK).await;
    }
    while lock(&seen).ended < started && lock(&seen).moved.elapsed() < STALL {
        sleep(Duration::from_millis(50)).await;
        publisher.check()?;
        watch(&mut worker, &follower)?;
        let ended = lock(&seen).ended;
        progress.update(&(), || {
            format!("{:5.0} s  draining   {ended} of {started}", start.elapsed().as_secs_f64())
        })?;
    }
    progress.end();
    let _ = stop.send(());
    worker.await.context("the worker panicked")?.context("the worker did not stop in order")?;
    follower.stop()?;

    // What was measured is reported even if the bare loop cannot be run.
    let (bare_loop, bare_error) = if settings.without_bare_loop {
        (None, None)
    } else {
        match bare_loop::run(&settings.bootstrap, &topics, &settings.queue, settings.bare).await {
            Ok(outcome) => (Some(outcome), None),
            Err(error) => (None, Some(error)),
        }
    };
    let seen = lock(&seen);
    let workflows_per_s = seen.ended_in_window as f64 / duration.as_secs_f64();
    let latency_ms = |quantile: f64| seen.latencies_us.value_at_quantile(quantile) as f64 / 1_000.0;
    let report = Report {
        rate: settings.rate,
        duration_s: settings.duration,
        warmup_s: settings.warmup,
        workflows_per_s,
        measured: seen.latencies_us.len(),
        p50_ms: latency_ms(0.5),
        p90_ms: latency_ms(0.9),
        p99_ms: latency_ms(0.99),
        p999_ms: latency_ms(0.999),
        max_ms: seen.latencies_us.max() as f64 / 1_000.0,
        started,
        ended: seen.ended,
        faulted: seen.faulted,
        ratio_to_bare_loop: bare_loop.as_ref().map(|bare| workflows_per_s / bare.workflows_per_s),
        bare_loop,
    };
    eprintln!(
        "{workflows_per_s:.0} workflows/s; latency p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; {} of {started} ended, {} not well",
        report.p50_ms, report.p99_ms, report.max_ms, report.ended, report.faulted
    );
    if let (Some(bare), Some(ratio)) = (&report.bare_loop, report.ratio_to_bare_loop) {
        eprintln!("bare loop: {:.0} workflows/s; ratio {ratio:.3}", bare.workflows_per_s);
    }
    report::write(&report, settings.json.as_deref())?;
    if let Some(error) = bare_error {
        return Err(error.context("the bare loop could not be run; the report has no ratio"));
    }
    Ok(report.ended == started && report.faulted == 0)
}

/// # Errors
/// When the worker or the follower has ended by itself.
fn watch(
    worker: &mut tokio::task::JoinHandle<Result<(), millrace_worker::WorkerError>>,
    follower: &Follower,
) -> anyhow::Result<()> {
    if worker.is_finished() {
        bail!("the worker ended by itself; RUST_LOG=millrace_worker=info says why");
    }
    if follower.has_failed() {
        bail!("the changelog is not followed any more: it holds a record that cannot be read");
    }
    Ok(())
}

async fn step(task: Task) -> Result<Value, TaskFailure> {
    Ok(json!({ "done": task.function() }))
}

/// An instance id that says when its start was due, so that nothing need be kept of an open workflow.
fn id_of(run: &str, number: u64, due: Duration) -> String {
    format!("w1-{run}-{number}-{}", due.as_micros())
}

fn due_of(run: &str, id: &str) -> Option<Duration> {
    let (_, due) = id.strip_prefix("w1-")?.strip_prefix(run)?.strip_prefix('-')?.split_once('-')?;
    due.parse().ok().map(Duration::from_micros)
}

/// An input of [`INPUT_BYTES`], in letters that do not compress to nothing.
fn input(rng: &mut ChaCha8Rng) -> Value {
    const FRAME: usize = r#"{"text":""}"#.len();
    let text: String = (0..INPUT_BYTES - FRAME).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
    json!({ "text": text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_admitted() {
        let text = include_str!("../../workflows/w1.yaml");
        let admitted =
            millrace_workflow::admission::admit("w1.yaml", text).expect("w1.yaml is a good definition");
        // What it waits for is the load test, which may take as long as it likes.
        let is_waiting =
            |it: &millrace_workflow::admission::Finding| it.message.ends_with("there is no `timeout`");
        assert!(admitted.warnings.iter().all(is_waiting), "{:?}", admitted.warnings);
    }

    #[test]
    fn the_input_has_the_size_that_w1_is_defined_by() {
        assert_eq!(input(&mut ChaCha8Rng::seed_from_u64(1)).to_string().len(), INPUT_BYTES);
    }

    #[test]
    fn an_id_says_when_its_start_was_due() {
        let due = Duration::from_micros(1_234_567);
        assert_eq!(due_of("run", &id_of("run", 42, due)), Some(due));
        assert_eq!(due_of("other", &id_of("run", 42, due)), None);
    }
}
