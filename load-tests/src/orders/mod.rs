//! The shop: orders through a workflow that reserves, charges, waits for a courier and compensates, while steps fail and, if
//! the harness wants, processors die. At the end the books must balance.

pub mod board;
pub mod generate;
pub mod ledger;
mod shop;
pub mod verdict;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use millrace_placement::Topics;
use millrace_schemas::cloud_event::start_event;
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use millrace_worker::{Worker, WorkerCounts};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::follow::{Follower, ends};
use crate::progress::Progress;
use crate::publish::Publisher;
use crate::report;
use board::Board;
use generate::{Odds, Order};
use shop::Shop;
use verdict::{Check, Sums, judge};

/// How often progress is written.
const TICK: Duration = Duration::from_millis(200);

/// Orders are sent in bursts of this length, when a rate is given.
const BURST: Duration = Duration::from_millis(10);

/// Runs the shop on a fleet that has the workflow `shop/order`.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// The fleet's topic prefix.
    #[arg(long, default_value = Topics::DEFAULT_PREFIX)]
    pub prefix: String,
    /// How many orders.
    #[arg(long)]
    pub count: usize,
    /// Sends no more orders once this file exists; --count is the most then, and the rest of the run is about those that were sent.
    #[arg(long, requires = "rate", value_name = "FILE")]
    pub until_file: Option<PathBuf>,
    /// Orders a second; as fast as Kafka takes them, if not given.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How often a step fails although another try may help, in percent.
    #[arg(long, default_value_t = 5.0)]
    pub fail_percent: f64,
    /// How often the stock is empty, and how often a card is declined, in percent of the orders.
    #[arg(long, default_value_t = 1.0)]
    pub refused_percent: f64,
    /// How often the courier never reports, in percent of the orders.
    #[arg(long, default_value_t = 3.0)]
    pub lost_percent: f64,
    /// How long the workflow waits for a courier that never reports, as ISO 8601.
    #[arg(long, default_value = "PT20S")]
    pub lost_deadline: String,
    /// A setting of the shop's Kafka clients (librdkafka), such as reconnect.backoff.max.ms=500; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub kafka_set: Vec<(String, String)>,
    /// The orders are a function of it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Part of the ids of this run's orders; a new one each time, if not given. Ids must be new to the fleet.
    #[arg(long)]
    pub run: Option<String>,
    /// The workflow, as namespace/name.
    #[arg(long, default_value = "shop/order")]
    pub workflow: String,
    /// The queue of its functions.
    #[arg(long, default_value = "orders")]
    pub queue: String,
    /// Tasks that the workers do side by side.
    #[arg(long, default_value_t = 256)]
    pub concurrency: usize,
    /// Gives up when no order moves for so long, in seconds.
    #[arg(long, default_value_t = 90)]
    pub stall_timeout: u64,
    /// Watches for so long, in seconds, whether anything happens after the end.
    #[arg(long, default_value_t = 3)]
    pub settle: u64,
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
    orders: usize,
    sent: u64,
    started: usize,
    ended: usize,
    percent_ended: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    holds: bool,
    seed: u64,
    run: String,
    orders: usize,
    elapsed_s: f64,
    orders_per_s: f64,
    stalled: bool,
    #[serde(flatten)]
    sums: Sums,
    tasks: Tasks,
    checks: Vec<Check>,
}

/// What the workers did.
#[derive(Debug, Serialize)]
struct Tasks {
    received: u64,
    completed: u64,
    failed_retriable: u64,
    failed_permanent: u64,
    late: u64,
    undecodable: u64,
}

impl From<WorkerCounts> for Tasks {
    fn from(counts: WorkerCounts) -> Self {
        let WorkerCounts {
            received, completed, failed_retriable, failed_permanent, late, undecodable, ..
        } = counts;
        Self { received, completed, failed_retriable, failed_permanent, late, undecodable }
    }
}

/// Runs the test. True when all checks hold.
///
/// # Errors
/// When it cannot be run: Kafka is not there, topics are missing, a record cannot be read.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    ensure!(settings.count > 0, "--count must be 1 or more");
    let workflow = workflow_name(&settings.workflow)?;
    let run =
        settings.run.clone().unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()[..8].to_owned());
    let topics = Topics::new(&settings.prefix);
    let odds = Odds { refused_percent: settings.refused_percent, lost_percent: settings.lost_percent };
    let orders: Arc<[Order]> = (0..settings.count)
        .map(|number| generate::order(settings.seed, &run, number, odds, &settings.lost_deadline))
        .collect();
    let mut progress = Progress::new(settings.progress_file.as_deref())?;

    let board = Arc::new(Mutex::new(Board::new(orders.len())));
    let follower = {
        let (board, run) = (board.clone(), run.clone());
        let start = ends(&settings.bootstrap, &topics.changelog())?;
        Follower::start(&settings.bootstrap, topics.changelog(), &start, move |instance, entry, _| {
            if let Some(number) = generate::number(&run, instance) {
                board.lock().unwrap_or_else(PoisonError::into_inner).see(number, entry);
            }
        })?
    };

    // Default settings unless told otherwise, on purpose: see `Publisher::new`.
    let options: Vec<(&str, &str)> =
        settings.kafka_set.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let publisher = Publisher::new(&settings.bootstrap, &topics.events(), &options)?;
    let (courier, requested) = mpsc::unbounded_channel();
    let deliveries = Publisher::new(&settings.bootstrap, &topics.events(), &options)?;
    tokio::spawn(shop::deliver(orders.clone(), requested, deliveries.clone()));
    let shop = Arc::new(Shop {
        run: run.clone(),
        orders: orders.clone(),
        seed: settings.seed,
        fail_percent: settings.fail_percent,
        ledger: Mutex::default(),
        courier,
    });
    let builder = Worker::builder(&settings.bootstrap)
        .prefix(&settings.prefix)
        .queue(&settings.queue)
        .concurrency(settings.concurrency);
    let builder = options.iter().fold(builder, |builder, (key, value)| builder.kafka_option(key, value));
    let worker = shop.serve(builder).build()?;
    let metrics = worker.metrics();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut worker = tokio::spawn(worker.run(async {
        // A dropped sender is a stop as well.
        let _ = stopped.await;
    }));

    eprintln!("run {run}: {} orders, seed {}", settings.count, settings.seed);
    let start = Instant::now();
    let sender =
        send(orders.clone(), workflow, publisher.clone(), settings.rate, settings.until_file.clone());
    let mut sending = tokio::spawn(sender);
    let mut is_sent = false;
    let mut count = settings.count;
    let mut all_ended: Option<Instant> = None;
    let settle = Duration::from_secs(settings.settle);
    let (elapsed, stalled) = loop {
        tokio::select! {
            result = &mut sending, if !is_sent => {
                count = result.context("the sender panicked")??;
                is_sent = true;
            }
            result = &mut worker => {
                result.context("the worker panicked")?.context("the shop's worker ended")?;
                bail!("the shop's worker ended by itself");
            }
            () = sleep(TICK) => {}
        }
        publisher.check()?;
        deliveries.check()?;
        if follower.has_failed() {
            follower.stop()?;
            bail!("the changelog is not followed any more");
        }
        let (started, ended, moved) = {
            let board = board.lock().unwrap_or_else(PoisonError::into_inner);
            (board.started, board.ended, board.moved)
        };
        let state = State {
            elapsed_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            orders: count,
            sent: publisher.acknowledged(),
            started,
            ended,
            percent_ended: ended as f64 * 100.0 / count.max(1) as f64,
        };
        progress.update(&state, || {
            format!(
                "{:5.0} s   sent {}   started {started}   ended {ended} of {count} ({:.1} %)",
                start.elapsed().as_secs_f64(),
                state.sent,
                state.percent_ended
            )
        })?;
        if is_sent && ended == count {
            let end = *all_ended.get_or_insert(moved);
            if end.elapsed() >= settle {
                break (end - start, false);
            }
        } else if is_sent && moved.elapsed() >= Duration::from_secs(settings.stall_timeout) {
            break (start.elapsed(), true);
        }
    };
    progress.end();
    let _ = stop.send(());
    worker.await.context("the worker panicked")?.context("the shop's worker did not stop in order")?;
    follower.stop()?;

    let (sums, checks) =
        judge(&orders[..count], &board.lock().unwrap_or_else(PoisonError::into_inner), &shop.ledger());
    let holds = checks.iter().all(|it| it.holds);
    for check in &checks {
        eprintln!("{}  {}: {}", if check.holds { "ok  " } else { "FAIL" }, check.name, check.detail);
        check.examples.iter().for_each(|it| eprintln!("        {it}"));
    }
    let seconds = elapsed.as_secs_f64();
    let ended = sums.delivered + sums.cancelled + sums.failed;
    let tasks = Tasks::from(metrics.counts());
    eprintln!("{ended} orders in {seconds:.1} s; tasks: {tasks:?}{}", if stalled { "; STALLED" } else { "" });
    let report = Report {
        holds,
        seed: settings.seed,
        run,
        orders: count,
        elapsed_s: seconds,
        orders_per_s: ended as f64 / seconds,
        stalled,
        sums,
        tasks,
        checks,
    };
    report::write(&report, settings.json.as_deref())?;
    Ok(holds)
}

/// Sends the start events, all or until the file exists. Answers how many.
async fn send(
    orders: Arc<[Order]>,
    workflow: WorkflowName,
    publisher: Publisher,
    rate: Option<f64>,
    until_file: Option<PathBuf>,
) -> anyhow::Result<usize> {
    let start = Instant::now();
    for (number, order) in orders.iter().enumerate() {
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(number as f64 / rate);
            while start.elapsed() < due {
                if until_file.as_deref().is_some_and(Path::exists) {
                    return Ok(number);
                }
                sleep(BURST).await;
            }
        }
        let instance = InstanceId::new(&order.id).context("--run makes the ids too long")?;
        let id = EventId { source: "/shop/checkout".to_owned(), id: order.id.clone() };
        publisher.send(&start_event(id, &instance, &workflow, None, order.input.clone())).await?;
    }
    Ok(orders.len())
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

/// Reads `namespace/name`.
pub(crate) fn workflow_name(text: &str) -> anyhow::Result<WorkflowName> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(WorkflowName { namespace: namespace.into(), name: name.into() })
        }
        _ => bail!("{text:?} is no workflow: write namespace/name"),
    }
}
