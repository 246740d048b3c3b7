//! Any Kafka broker, as plain clients see it: how fast it takes, gives and moves records, and whether what it gives is exact.
//!
//! One producer writes records; a reader takes them; a loop moves them to a second topic in transactions, some of which are aborted on
//! purpose and made again; two readers look at what came of it. It knows nothing of Millrace, and uses librdkafka as it comes.

mod fill;
mod read;
mod records;
mod transform;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde::Serialize;

use crate::report;
use read::{Isolation, Reading};
use records::Shape;
use transform::Moved;

/// Of each topic.
const PARTITIONS: i32 = 4;

/// Fewer records than fill ten transactions would come through without an abort.
const RECORDS_MIN: u64 = 10_000;

const PATIENCE: Duration = Duration::from_secs(30);

/// Probes a broker.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// How many records.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(RECORDS_MIN..))]
    pub records: u64,
    /// Size of the value of each, in bytes.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(records::HEAD_BYTES as u64..1_000_000))]
    pub bytes: u64,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// One thing that must hold.
#[derive(Clone, Debug, Serialize)]
struct Check {
    name: &'static str,
    holds: bool,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Report {
    holds: bool,
    records: u64,
    bytes: u64,
    partitions: i32,
    /// Records that one idempotent producer had acknowledged by all replicas, a second.
    produced_per_s: f64,
    /// Records that one reader was given, a second.
    consumed_per_s: f64,
    /// Records that one loop moved in transactions, a second; those that were aborted on the way count as time only.
    transformed_per_s: f64,
    transactions_committed: u64,
    transactions_aborted: u64,
    /// Records that were written in transactions that were aborted.
    records_aborted: u64,
    checks: Vec<Check>,
}

/// The probe's own topics and group.
struct Names {
    input: String,
    output: String,
    group: String,
}

impl Names {
    fn new() -> Self {
        let run = uuid::Uuid::new_v4().simple().to_string();
        let name = |part: &str| format!("probe-{}-{part}", &run[..8]);
        Self { input: name("input"), output: name("output"), group: name("group") }
    }
}

/// Runs the probe. True when all checks hold.
///
/// # Errors
/// When the broker refuses something that a plain client asks.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    let names = Names::new();
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &settings.bootstrap)
        .create()
        .context("the admin client cannot be made")?;
    create(&admin, &names).await?;
    let report = probe(&settings, &names).await;
    // Whatever came of it, what was made for the probe is not needed any more.
    delete(&admin, &names).await;
    let report = report?;
    for check in &report.checks {
        eprintln!("{}  {}: {}", if check.holds { "ok  " } else { "FAIL" }, check.name, check.detail);
    }
    eprintln!(
        "{} broker: {:.0} records/s produced, {:.0} consumed, {:.0} moved in transactions",
        if report.holds { "PASS" } else { "FAIL" },
        report.produced_per_s,
        report.consumed_per_s,
        report.transformed_per_s
    );
    report::write(&report, settings.json.as_deref())?;
    Ok(report.holds)
}

async fn create(admin: &AdminClient<DefaultClientContext>, names: &Names) -> anyhow::Result<()> {
    /// As many as the broker is configured to have (KIP-464).
    const REPLICAS: i32 = -1;
    let wanted = [&names.input, &names.output]
        .map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(REPLICAS)));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for result in admin.create_topics(&wanted, &options).await.context("topics cannot be created")? {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} cannot be created: {code}"))?;
    }
    Ok(())
}

async fn delete(admin: &AdminClient<DefaultClientContext>, names: &Names) {
    let options = AdminOptions::new();
    if let Err(error) = admin.delete_topics(&[&names.input, &names.output], &options).await {
        eprintln!("the topics {} and {} could not be deleted: {error}", names.input, names.output);
    }
    if let Err(error) = admin.delete_groups(&[&names.group], &options).await {
        eprintln!("the group {} could not be deleted: {error}", names.group);
    }
}

async fn probe(settings: &Settings, names: &Names) -> anyhow::Result<Report> {
    let shape = Shape::new(settings.records, usize::try_from(settings.bytes)?, PARTITIONS);
    let bootstrap = settings.bootstrap.as_str();
    eprintln!(
        "{} records of {} bytes over {PARTITIONS} partitions of {bootstrap}",
        shape.records, shape.bytes
    );

    let produced = fill::fill(bootstrap, &names.input, &shape).await?;
    let per_s = |took: Duration| settings.records as f64 / took.as_secs_f64();
    eprintln!("produced in {:.2} s", produced.as_secs_f64());
    let input = read(bootstrap, &names.input, Isolation::Uncommitted, shape.records, &shape).await?;
    eprintln!("consumed in {:.2} s", input.took.as_secs_f64());

    let moved = {
        let (bootstrap, shape) = (bootstrap.to_owned(), shape.clone());
        let (input, output, group) = (names.input.clone(), names.output.clone(), names.group.clone());
        blocking(move || transform::transform(&bootstrap, &input, &output, &group, &shape)).await?
    };
    eprintln!("moved in {:.2} s", moved.took.as_secs_f64());
    let committed = read(bootstrap, &names.output, Isolation::Committed, shape.records, &shape).await?;
    let all = shape.records + moved.records_aborted;
    let uncommitted = read(bootstrap, &names.output, Isolation::Uncommitted, all, &shape).await?;

    let checks = judge(&shape, &input, &moved, &committed, &uncommitted);
    Ok(Report {
        holds: checks.iter().all(|it| it.holds),
        records: shape.records,
        bytes: settings.bytes,
        partitions: PARTITIONS,
        produced_per_s: per_s(produced),
        consumed_per_s: per_s(input.took),
        transformed_per_s: per_s(moved.took),
        transactions_committed: moved.committed,
        transactions_aborted: moved.aborted,
        records_aborted: moved.records_aborted,
        checks,
    })
}

/// Reads a topic from its beginning to its end, where `at_least` records are to be found.
async fn read(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    at_least: u64,
    shape: &Shape,
) -> anyhow::Result<Reading> {
    let (bootstrap, topic, shape) = (bootstrap.to_owned(), topic.to_owned(), shape.clone());
    blocking(move || read::read(&bootstrap, &topic, isolation, at_least, &shape)).await
}

/// The clients are made for threads that wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a part of the probe panicked")?
}

fn judge(
    shape: &Shape,
    input: &Reading,
    moved: &Moved,
    committed: &Reading,
    uncommitted: &Reading,
) -> Vec<Check> {
    let is_whole = |reading: &Reading| reading.tally.is_exact() && reading.tally.aborted == 0;
    vec![
        Check {
            name: "what was produced is read once and in order",
            holds: is_whole(input),
            detail: input.tally.text(),
        },
        Check {
            name: "an aborted transaction commits no offsets",
            holds: moved.offsets_wrong.is_none(),
            detail: moved.offsets_wrong.clone().unwrap_or_else(|| {
                format!("looked at after each of {} aborts, and at the end", moved.aborted)
            }),
        },
        Check {
            name: "read_committed sees each record once, in order, and none of an aborted transaction",
            holds: is_whole(committed),
            detail: committed.tally.text(),
        },
        Check {
            name: "read_uncommitted sees the aborted ones, too",
            holds: uncommitted.tally.is_exact()
                && moved.records_aborted > 0
                && uncommitted.tally.aborted == moved.records_aborted,
            detail: format!(
                "{}; {} of {} were written in transactions that were aborted",
                uncommitted.tally.text(),
                moved.records_aborted,
                shape.records + moved.records_aborted
            ),
        },
    ]
}
