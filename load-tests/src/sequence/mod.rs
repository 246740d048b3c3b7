//! Numbers in, the same numbers out: for each key once, in order, whatever fails meanwhile.
//!
//! Every key is an instance of `load-tests/workflows/sequence.yaml` and gets signals numbered from 0, through its home partition or through
//! a wrong one, some of them twice. The workflow tells each number once. Every tenth one goes through a worker, which answers some twice;
//! some wait for a timer. What is checked, while it runs: the told numbers of a key are 0, 1, 2, … without a gap, a repetition or a
//! change of order; no record has caused more than one entry of the changelog; nothing follows an end; nothing faults; no dead letters.
//! Then, within a bound: everything that was sent is told, and every instance has ended. The first violation ends the run.
//!
//! What is not checked: that anything is told *soon*. Gaps are noted for the report.

pub mod board;
mod echo;
mod feed;
mod gaps;
pub mod plan;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use millrace_placement::Topics;
use millrace_worker::Worker;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::follow::{Follower, Place, ends};
use crate::orders::workflow_name;
use crate::progress::Progress;
use crate::publish::Publisher;
use crate::report;
use board::{Board, Violation};
use echo::Echo;
use feed::{Fed, Feed, Load};
use gaps::{Gap, Gaps};
use watch::Watch;

/// How often progress is written, and violations are looked for.
const TICK: Duration = Duration::from_millis(200);
/// Keys that are named when they do not come to their end.
const UNFINISHED_SHOWN: usize = 10;

/// Checks a fleet that has the workflow of `load-tests/workflows/sequence.yaml`.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// The fleet's topic prefix.
    #[arg(long, default_value = Topics::DEFAULT_PREFIX)]
    pub prefix: String,
    /// How long numbers are sent, in seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub duration: u64,
    /// Numbers a second.
    #[arg(long, default_value_t = 1_500.0)]
    pub rate: f64,
    /// Keys that are open at a time.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub keys: u32,
    /// Numbers of a key. An instance keeps 100 signals waiting, so not more than half of that may be sent ahead.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub numbers: u32,
    /// After the last number everything must have come out within so many seconds.
    #[arg(long, default_value_t = 120)]
    pub drain: u64,
    /// Watches for so long, in seconds, whether anything comes after the end.
    #[arg(long, default_value_t = 3)]
    pub settle: u64,
    /// What is drawn is a function of it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Part of the ids of this run's keys; a new one each time, if not given. Ids must be new to the fleet.
    #[arg(long)]
    pub run: Option<String>,
    /// The workflow, as namespace/name.
    #[arg(long, default_value = "load/sequence")]
    pub workflow: String,
    /// The queue of its function.
    #[arg(long, default_value = "sequence")]
    pub queue: String,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Where the progress goes, a JSON object a line, five times a second.
    #[arg(long)]
    pub progress_file: Option<PathBuf>,
}

/// A line of the progress file.
#[derive(Clone, Copy, Debug, Serialize)]
struct State {
    elapsed_ms: u64,
    sent: u64,
    told: u64,
    keys: u64,
    ended: u64,
    violations: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    holds: bool,
    seed: u64,
    run: String,
    duration_s: u64,
    /// From the last number that was sent until everything had come out.
    drain_s: f64,
    /// Numbers sent in the time for sending, a second.
    offered_per_s: f64,
    /// Numbers told, a second: over the whole run, the drain included.
    told_per_s: f64,
    sent: u64,
    told: u64,
    /// Records that were sent again, on purpose or because a delivery failed.
    copies: u64,
    keys: u64,
    ended: u64,
    #[serde(flatten)]
    fed: Fed,
    changelog_entries: u64,
    /// Answers of workers and fired timers among them.
    answers_and_timers: u64,
    answered_twice: u64,
    rejections: BTreeMap<String, u64>,
    /// Of more than a second, while numbers were sent.
    gaps: Vec<Gap>,
    violations: u64,
    shown: Vec<Violation>,
    /// Some of the keys that had not come to their end.
    unfinished: Vec<Unfinished>,
}

#[derive(Debug, Serialize)]
struct Unfinished {
    key: String,
    /// How far it has come.
    seen: String,
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the test. True when nothing was violated and everything came out.
///
/// # Errors
/// When it cannot be run: Kafka is not there, topics are missing, a record cannot be read.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    ensure!(settings.rate > 0.0, "--rate must be more than 0");
    let workflow = workflow_name(&settings.workflow)?;
    let topics = Topics::new(&settings.prefix);
    let run =
        settings.run.clone().unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()[..8].to_owned());
    let mut progress = Progress::new(settings.progress_file.as_deref())?;

    let (board, gaps) = (Arc::new(Mutex::new(Board::default())), Arc::new(Mutex::new(Gaps::default())));
    let watch = Watch::start(&settings.bootstrap, &topics, &run, board.clone(), gaps.clone())?;
    let follower = follow(&settings.bootstrap, topics.changelog(), run.clone(), board.clone())?;

    let answers = Publisher::new(&settings.bootstrap, &topics.events(), &[("enable.idempotence", "true")])?;
    let echo = Arc::new(Echo::new(answers.clone()));
    let answer = echo.clone();
    let worker = Worker::builder(&settings.bootstrap)
        .prefix(&settings.prefix)
        .queue(&settings.queue)
        .function("echo", move |task| answer.clone().answer(task))
        .build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut worker = tokio::spawn(worker.run(async {
        // A dropped sender is a stop as well.
        let _ = stopped.await;
    }));

    let load = Load {
        bootstrap: settings.bootstrap.clone(),
        topic: topics.events(),
        partitions: u32::try_from(ends(&settings.bootstrap, &topics.events())?.len())?,
        workflow,
        run: run.clone(),
        seed: settings.seed,
        rate: settings.rate,
        keys_open: settings.keys as usize,
        numbers: settings.numbers,
        duration: Duration::from_secs(settings.duration),
    };
    eprintln!("run {run}: {} numbers/s for {} s, seed {}", settings.rate, settings.duration, settings.seed);
    let start = Instant::now();
    let mut feeding = tokio::spawn(Feed::new(load, board.clone())?.run());
    let mut fed: Option<(Fed, Instant)> = None;
    let mut all_ended: Option<Instant> = None;
    let mut sent_in_time = 0;
    let is_whole = loop {
        tokio::select! {
            result = &mut feeding, if fed.is_none() => {
                fed = Some((result.context("the sender panicked")??, Instant::now()));
            }
            result = &mut worker => {
                result.context("the worker panicked")?.context("the worker ended")?;
                bail!("the worker ended by itself");
            }
            () = sleep(TICK) => {}
        }
        answers.check()?;
        if follower.has_failed() {
            follower.stop()?;
            bail!("the changelog is not followed any more");
        }
        let state = {
            let board = lock(&board);
            State {
                elapsed_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
                sent: board.sent,
                told: board.told,
                keys: board.keys(),
                ended: board.ended,
                violations: board.violations,
            }
        };
        progress.update(&state, || {
            format!(
                "{:5.0} s   sent {}   told {}   keys {}   ended {}   violations {}",
                start.elapsed().as_secs_f64(),
                state.sent,
                state.told,
                state.keys,
                state.ended,
                state.violations
            )
        })?;
        if start.elapsed() < Duration::from_secs(settings.duration) {
            sent_in_time = state.sent;
        }
        if state.violations > 0 {
            break false;
        }
        let Some((_, fed_at)) = fed else { continue };
        if state.ended == state.keys {
            let at = *all_ended.get_or_insert_with(Instant::now);
            if at.elapsed() >= Duration::from_secs(settings.settle) {
                break true;
            }
        } else if fed_at.elapsed() >= Duration::from_secs(settings.drain) {
            break false;
        }
    };
    progress.end();
    feeding.abort();
    let _ = stop.send(());
    worker.await.context("the worker panicked")?.context("the worker did not stop in order")?;
    follower.stop()?;
    watch.stop();

    let board = lock(&board);
    let (fed, fed_at) = fed.unwrap_or_else(|| (Fed::default(), Instant::now()));
    let drained = all_ended.unwrap_or_else(Instant::now);
    let unfinished: Vec<Unfinished> = board
        .unfinished(UNFINISHED_SHOWN)
        .into_iter()
        .map(|(key, seen)| Unfinished { key: plan::id_of(&run, key), seen })
        .collect();
    let report = Report {
        holds: is_whole && board.violations == 0,
        seed: settings.seed,
        run,
        duration_s: settings.duration,
        drain_s: (drained - fed_at).as_secs_f64(),
        offered_per_s: sent_in_time as f64 / settings.duration as f64,
        told_per_s: board.told as f64 / (drained - start).as_secs_f64(),
        sent: board.sent,
        told: board.told,
        copies: board.copies,
        keys: board.keys(),
        ended: board.ended,
        fed,
        changelog_entries: board.entries,
        answers_and_timers: board.others,
        answered_twice: echo.twice.load(Ordering::Relaxed),
        rejections: board.rejections.clone(),
        gaps: lock(&gaps).noted.clone(),
        violations: board.violations,
        shown: board.shown.clone(),
        unfinished,
    };
    show(&report);
    report::write(&report, settings.json.as_deref())?;
    Ok(report.holds)
}

/// Follows the changelog.
fn follow(bootstrap: &str, topic: String, run: String, board: Arc<Mutex<Board>>) -> anyhow::Result<Follower> {
    let start = ends(bootstrap, &topic)?;
    let name = topic.clone();
    Follower::start(bootstrap, topic, &start, move |instance, entry, Place { partition, offset }| {
        if let Some(key) = plan::key_of(&run, instance) {
            lock(&board).entry(key, instance, &entry, &|| format!("{name}-{partition} at {offset}"));
        }
    })
}

/// For people.
fn show(report: &Report) {
    for Violation { key, seen, at } in &report.shown {
        eprintln!("VIOLATION  {key}: {seen} ({at})");
    }
    for Unfinished { key, seen } in &report.unfinished {
        eprintln!("UNFINISHED {key}: {seen}");
    }
    eprintln!(
        "{} of {} numbers told, {} of {} keys ended; {:.0} told/s, {:.0} offered/s, drained in {:.1} s; {} copies, refused: {:?}",
        report.told,
        report.sent,
        report.ended,
        report.keys,
        report.told_per_s,
        report.offered_per_s,
        report.drain_s,
        report.copies,
        report.rejections
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_admitted() {
        let text = include_str!("../../workflows/sequence.yaml");
        let admitted =
            millrace_workflow::admission::admit("sequence.yaml", text).expect("is a good definition");
        // What it waits for is the load test, which may take as long as it likes.
        let is_waiting =
            |it: &millrace_workflow::admission::Finding| it.message.ends_with("there is no `timeout`");
        assert!(admitted.warnings.iter().all(is_waiting), "{:?}", admitted.warnings);
        assert!(text.contains(super::watch::TOLD_TOPIC));
    }
}
