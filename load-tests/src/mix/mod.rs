//! A mix of work, at a rate or as fast as it goes: throughput and latency, in all and second by second.
//!
//! Open loop: work goes out when it is due, which was fixed before the run, whether or not earlier work is done, and a latency counts
//! from when it was *due*. So a fleet that stands still for a second is charged for everything of that second
//! (<https://www.scylladb.com/2021/04/22/on-coordinated-omission/>). Work is done when the changelog, read committed, says so. The worker
//! is in this process and answers at once.
//!
//! As fast as it goes is a closed loop: what is under way is a number that was chosen, and so are the latencies, which are that number by the
//! throughput. Believe those of a rate.

mod arrivals;
mod file;
mod ids;
mod picture;
mod seen;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use millrace_placement::Topics;
use millrace_schemas::cloud_event::{CloudEvent, signal_event, start_event};
use millrace_schemas::event::{ChangelogEntry, Event};
use millrace_schemas::{EventId, InstanceId};
use millrace_worker::{Task, TaskFailure, Worker, WorkerError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::follow::{Follower, ends};
use crate::progress::Progress;
use crate::publish::Publisher;
use crate::report;
use arrivals::Arrivals;
pub use arrivals::Spread;
use file::{INPUT_FRAME_BYTES, Kind};
pub use file::{Mix, Work};
use ids::Ids;
pub use seen::{Quantiles, Second};
use seen::{Seen, Window};

/// Longest time between two looks at what is due and done.
const TICK: Duration = Duration::from_millis(1);

/// After the last work was sent, its end is waited for as long as some comes within this.
const STALL: Duration = Duration::from_secs(30);

const SOURCE: &str = "/load-tests/mix";

/// Puts a mix of work on a fleet that has its workflows.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("load").required(true).args(["rate", "max"])))]
pub struct Settings {
    /// What the work is: a file as those in `load-tests/mixes`.
    pub mix: PathBuf,
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// The fleet's topic prefix.
    #[arg(long, default_value = Topics::DEFAULT_PREFIX)]
    pub prefix: String,
    /// Work a second.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How the arrivals are spread, with --rate.
    #[arg(long, value_enum, default_value = "even")]
    pub arrivals: Spread,
    /// As fast as it goes: more work whenever less than --in-flight is under way.
    #[arg(long)]
    pub max: bool,
    /// Work under way, with --max.
    #[arg(long, default_value_t = 5_000)]
    pub in_flight: u64,
    /// How long is measured, in seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=DURATION_MAX))]
    pub duration: u64,
    /// How long runs before that, in seconds.
    #[arg(long, default_value_t = 5)]
    pub warmup: u64,
    /// Arrivals, choices and inputs are a function of it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Tasks that the worker does side by side.
    #[arg(long, default_value_t = 2_000)]
    pub concurrency: usize,
    /// The worker begins tasks before they are committed.
    #[arg(long)]
    pub speculative: bool,
    /// The generator's partitioner; Java's, if not given, so that nothing need be forwarded.
    #[arg(long, default_value = "murmur2_random")]
    pub partitioner: String,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Where a picture of throughput and latency over time goes, as SVG.
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
}

/// Ids have room for when their work was due within twelve days.
const DURATION_MAX: u64 = 1_000_000;

#[derive(Debug, Serialize)]
struct Report {
    mix: String,
    /// Work a second that was asked for; none with `--max`.
    rate: Option<f64>,
    arrivals: Option<Spread>,
    duration_s: u64,
    warmup_s: u64,
    /// Work that was done within the measured time, a second.
    done_per_s: f64,
    /// None if nothing was measured. With `--max` it says what `--in-flight` was.
    #[serde(flatten)]
    latency: Option<Quantiles>,
    /// Over the whole run.
    sent: u64,
    done: u64,
    /// Instances that did not complete.
    failed: u64,
    kinds: Vec<KindReport>,
    seconds: Vec<Second>,
}

#[derive(Debug, Serialize)]
struct KindReport {
    name: String,
    #[serde(flatten)]
    latency: Option<Quantiles>,
}

/// At a rate, what is due does not wait for company.
fn linger(settings: &Settings) -> &'static str {
    if settings.max { "2" } else { "0" }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the mix. True when all work that was sent is done, and done well.
///
/// # Errors
/// When it cannot be run: the file makes no sense, Kafka is not there, topics are missing, a record cannot be read.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    ensure!(settings.rate.is_none_or(|rate| rate > 0.0), "--rate must be more than 0");
    let mix = Mix::read(&settings.mix)?;
    let topics = Topics::new(&settings.prefix);
    let ids = Ids::of_this_run();
    let mut worker = Workers::start(&settings, &mix)?;
    let changelog_start = ends(&settings.bootstrap, &topics.changelog())?;

    let (warmup, duration) = (Duration::from_secs(settings.warmup), Duration::from_secs(settings.duration));
    let window = Window { from: warmup, until: warmup + duration };
    let start = Instant::now();
    let seen = Arc::new(Mutex::new(Seen::new(start, window, mix.work.len())?));
    let follower = {
        let seen = seen.clone();
        Follower::start(&settings.bootstrap, topics.changelog(), &changelog_start, move |key, entry, _| {
            see(&mut lock(&seen), ids, key, &entry);
        })?
    };
    let options = [("linger.ms", linger(&settings)), ("partitioner", settings.partitioner.as_str())];
    let publisher = Publisher::new(&settings.bootstrap, &topics.events(), &options)?;
    let mut source = Source::new(&mix, ids, settings.seed)?;
    let mut arrivals =
        settings.rate.map(|rate| Arrivals::new(rate, settings.arrivals, settings.seed).peekable());
    let mut progress = Progress::new(None)?;
    loop {
        let now = start.elapsed().min(window.until);
        match &mut arrivals {
            Some(arrivals) => {
                // Also when it was held up beyond the end: all that was due before it is sent.
                while let Some(due) = arrivals.next_if(|it| *it <= now && *it < window.until) {
                    publisher.send(&source.next(due)?).await?;
                }
            }
            None => {
                let done = lock(&seen).done;
                while source.sent < done + settings.in_flight {
                    publisher.send(&source.next(start.elapsed())?).await?;
                }
            }
        }
        publisher.check()?;
        worker.check()?;
        check(&follower)?;
        {
            let mut seen = lock(&seen);
            seen.close_seconds(now);
            let part = if now < window.from { "warm-up" } else { "measuring" };
            progress.update(&(), || line(now, part, source.sent, &seen))?;
        }
        if now == window.until {
            break;
        }
        let next = arrivals.as_mut().and_then(|it| it.peek().copied());
        sleep(next.map_or(TICK, |it| it.saturating_sub(start.elapsed()).min(TICK))).await;
    }
    let all_sent = Instant::now();
    while lock(&seen).done < source.sent && lock(&seen).moved.max(all_sent).elapsed() < STALL {
        sleep(Duration::from_millis(50)).await;
        publisher.check()?;
        worker.check()?;
        let mut seen = lock(&seen);
        seen.close_seconds(start.elapsed());
        progress.update(&(), || line(start.elapsed(), "draining", source.sent, &seen))?;
    }
    progress.end();
    // With the second that is under way.
    lock(&seen).close_seconds(start.elapsed() + Duration::from_secs(1));
    worker.stop().await?;
    follower.stop()?;

    let seen = lock(&seen);
    let name = settings.mix.file_stem().map_or_else(String::new, |it| it.to_string_lossy().into_owned());
    let kinds = mix
        .work
        .iter()
        .enumerate()
        .map(|(index, it)| KindReport { name: it.name.clone(), latency: seen.quantiles_of(index) });
    let report = Report {
        mix: name.clone(),
        rate: settings.rate,
        arrivals: settings.rate.map(|_| settings.arrivals),
        duration_s: settings.duration,
        warmup_s: settings.warmup,
        done_per_s: seen.per_s(),
        latency: seen.quantiles(),
        sent: source.sent,
        done: seen.done,
        failed: seen.failed,
        kinds: kinds.collect(),
        seconds: seen.seconds().to_vec(),
    };
    let latency = report.latency.map_or_else(String::new, |Quantiles { p50_ms, p99_ms, max_ms, .. }| {
        format!("latency p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, max {max_ms:.1} ms; ")
    });
    eprintln!(
        "{:.0} done a second; {latency}{} of {} done, {} not well",
        report.done_per_s, report.done, report.sent, report.failed
    );
    if report.done == 0 && report.sent > 0 {
        eprintln!(
            "nothing was done: is the workflow deployed, with a processor that serves, and are there the instances that are signalled? The head of \
             {} says what it needs; refusals are in the topic {}",
            settings.mix.display(),
            topics.lifecycle()
        );
    }
    report::write(&report, settings.json.as_deref())?;
    if let Some(file) = &settings.picture {
        let load = settings.rate.map_or_else(|| "as fast as it goes".to_owned(), |it| format!("at {it}/s"));
        picture::draw(file, &format!("{name}, {load}"), seen.seconds(), window)?;
    }
    Ok(report.done == report.sent && report.failed == 0)
}

fn line(now: Duration, part: &str, sent: u64, seen: &Seen) -> String {
    let lately = seen.last_second().map_or_else(String::new, |it| {
        let latency = it.latency.map(|it| format!("   p50 {:.0} ms   p99 {:.0} ms", it.p50_ms, it.p99_ms));
        format!("   {}/s{}", it.done, latency.unwrap_or_default())
    });
    format!(
        "{:5.0} s  {part}   sent {sent}   done {}   under way {}{lately}",
        now.as_secs_f64(),
        seen.done,
        sent.saturating_sub(seen.done)
    )
}

fn check(follower: &Follower) -> anyhow::Result<()> {
    ensure!(
        !follower.has_failed(),
        "the changelog is not followed any more: it holds a record that cannot be read"
    );
    Ok(())
}

/// What an entry of the changelog says about our work.
fn see(seen: &mut Seen, ids: Ids, key: &str, entry: &ChangelogEntry) {
    let now = seen.start.elapsed();
    if entry.cause.source == SOURCE
        && let Some((kind, due)) = ids.parse(&entry.cause.id)
    {
        // A signal was taken in.
        return seen.see(kind, due, now);
    }
    let Some((kind, due)) = ids.parse(key) else { return };
    for event in &entry.events {
        match event {
            Event::InstanceCompleted { .. } => {}
            Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. } => seen.failed += 1,
            _ => continue,
        }
        seen.see(kind, due, now);
    }
}

/// Makes the work.
struct Source<'a> {
    mix: &'a Mix,
    kinds: Vec<Kind>,
    ids: Ids,
    rng: ChaCha8Rng,
    sent: u64,
}

impl<'a> Source<'a> {
    fn new(mix: &'a Mix, ids: Ids, seed: u64) -> anyhow::Result<Self> {
        let kinds = mix.work.iter().map(Work::kind).collect::<anyhow::Result<_>>()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1); // another than that of the arrivals
        Ok(Self { mix, kinds, ids, rng, sent: 0 })
    }

    fn next(&mut self, due: Duration) -> anyhow::Result<CloudEvent> {
        let kind = self.mix.choose(&mut self.rng);
        let id = self.ids.make(u8::try_from(kind)?, self.sent, due);
        let event_id = |id: String| EventId { source: SOURCE.to_owned(), id };
        let event = match &self.kinds[kind] {
            Kind::Start { workflow, input_bytes } => {
                let instance = InstanceId::new(&id).context("the generator's ids are short")?;
                let input = input(&mut self.rng, *input_bytes);
                // The entry that it causes is not the end of the work.
                start_event(event_id(format!("start-{id}")), &instance, workflow, None, input)
            }
            Kind::Signal { event_type, instances } => {
                let number = self.rng.random_range(0..*instances);
                let instance = InstanceId::new(format!("live-{number}")).context("short")?;
                signal_event(event_id(id), &instance, event_type, None)
            }
        };
        self.sent += 1;
        Ok(event)
    }
}

/// An input of so many bytes, in letters that do not compress to nothing.
fn input(rng: &mut ChaCha8Rng, bytes: usize) -> Value {
    let text: String =
        (0..bytes - INPUT_FRAME_BYTES).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
    json!({ "text": text })
}

/// The worker, if the mix has functions.
struct Workers(Option<Running>);

struct Running {
    task: JoinHandle<Result<(), WorkerError>>,
    stop: oneshot::Sender<()>,
}

impl Workers {
    fn start(settings: &Settings, mix: &Mix) -> anyhow::Result<Self> {
        if mix.functions.is_empty() {
            return Ok(Self(None));
        }
        let builder = Worker::builder(&settings.bootstrap)
            .prefix(&settings.prefix)
            .queue(&mix.queue)
            .concurrency(settings.concurrency)
            .speculative(settings.speculative)
            .kafka_option("linger.ms", linger(settings));
        let worker = mix.functions.iter().fold(builder, |it, name| it.function(name, step)).build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(worker.run(async {
            // A dropped sender is a stop as well.
            let _ = stopped.await;
        }));
        Ok(Self(Some(Running { task, stop })))
    }

    /// # Errors
    /// When it has ended by itself.
    fn check(&mut self) -> anyhow::Result<()> {
        match &self.0 {
            Some(running) if running.task.is_finished() => {
                bail!("the worker ended by itself; RUST_LOG=millrace_worker=info says why")
            }
            _ => Ok(()),
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        let Some(Running { task, stop }) = self.0 else { return Ok(()) };
        let _ = stop.send(());
        task.await.context("the worker panicked")?.context("the worker did not stop in order")
    }
}

async fn step(task: Task) -> Result<Value, TaskFailure> {
    Ok(json!({ "done": task.function() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_admitted() {
        for (name, text) in [
            ("w1.yaml", include_str!("../../workflows/w1.yaml")),
            ("w2.yaml", include_str!("../../workflows/w2.yaml")),
            ("w3.yaml", include_str!("../../workflows/w3.yaml")),
        ] {
            let admitted = millrace_workflow::admission::admit(name, text).expect("is a good definition");
            // What it waits for is the load test, which may take as long as it likes.
            let is_waiting =
                |it: &millrace_workflow::admission::Finding| it.message.ends_with("there is no `timeout`");
            assert!(admitted.warnings.iter().all(is_waiting), "{:?}", admitted.warnings);
        }
    }

    #[test]
    fn an_input_has_the_size_that_was_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for bytes in [INPUT_FRAME_BYTES, 200, 10_240] {
            assert_eq!(input(&mut rng, bytes).to_string().len(), bytes);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_work() {
        let text =
            "[[work]]\nname = 'a'\nstart = 'load/w1'\n[[work]]\nname = 'b'\nsignal = 'x'\ninstances = 9";
        let mix: Mix = toml::from_str(text).unwrap();
        let all = |seed| {
            let mut source = Source::new(&mix, ids::tests::RUN, seed).unwrap();
            let next = |n: u64| source.next(Duration::from_millis(n)).unwrap().to_binary();
            (0..100).map(next).map(|it| (it.key, it.value)).collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }
}
