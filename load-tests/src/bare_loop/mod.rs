//! What Kafka itself allows: a plain loop that reads, transforms nothing, and writes, in transactions or without them.
//!
//! For each workflow of W1 it moves as many records, with the bytes of real ones, as the processor does: reads four records of
//! the inbox (a start and three answers), writes four changelog records and three commands, and commits the read offsets in the
//! same transaction. Its input lies ready; it waits for nobody.

mod sample;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use millrace_placement::Topics;
use millrace_schemas::cloud_event::EventRecord;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Serialize;
use tokio::time::sleep;

use crate::follow::{Start, assign, ends};
use crate::publish::{Deliveries, Publisher, to_headers};
use crate::report;
use sample::newest;

/// Records of the inbox for each workflow: a start, and three answers.
const INPUTS: u64 = 4;

/// How many records of each topic are looked at.
const SAMPLE: usize = 2_000;

const PATIENCE: Duration = Duration::from_secs(30);

/// A transaction takes what is there; it waits this long for more.
const LINGER: Duration = Duration::from_millis(2);

/// Moves as many records as W1 does.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// The topic prefix of the fleet where the mix W1 was run.
    #[arg(long, default_value = Topics::DEFAULT_PREFIX)]
    pub prefix: String,
    /// The queue of its functions.
    #[arg(long, default_value = "w1")]
    pub queue: String,
    /// Workflows' worth of records that it moves.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub workflows: u64,
    /// Loops side by side, each with a share of the partitions.
    #[arg(long, default_value_t = 2)]
    pub lanes: usize,
    /// Records that one transaction takes at most.
    #[arg(long, default_value_t = 2_000)]
    pub batch: usize,
    /// The same without transactions: idempotent writes, then the offsets.
    #[arg(long)]
    pub no_transactions: bool,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// What the loop has done.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Workflows' worth of records, a second.
    pub workflows_per_s: f64,
    /// How many of them.
    pub workflows: u64,
    /// How long that took, in seconds.
    pub elapsed_s: f64,
    /// Transactions committed, or batches without them.
    pub transactions: u64,
    /// Whether they were transactions.
    pub is_transactional: bool,
    /// Records read and written for each workflow.
    pub records_per_workflow: u64,
    /// Their keys and values, in bytes.
    pub bytes_per_workflow: f64,
    /// Loops side by side.
    pub lanes: usize,
}

/// Records to move: real ones, used in turn.
struct Samples {
    inputs: Vec<EventRecord>,
    changelog: Vec<EventRecord>,
    commands: Vec<EventRecord>,
}

/// Names of the loop's own topics.
#[derive(Clone)]
struct OwnTopics {
    input: String,
    changelog: String,
    commands: String,
}

/// Runs the loop on topics of its own, with as many partitions and replicas as the fleet's inbox, deletes them, and reports.
///
/// # Errors
/// When Kafka refuses something, or no run of W1 has left records to move.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    let Settings { bootstrap, queue, .. } = &settings;
    ensure!(settings.lanes > 0 && settings.batch > 0, "--lanes and --batch must be 1 or more");
    let topics = Topics::new(&settings.prefix);
    let samples = Samples {
        inputs: newest(bootstrap, &topics.events(), SAMPLE)?,
        changelog: newest(bootstrap, &topics.changelog(), SAMPLE)?,
        commands: newest(bootstrap, &topics.commands(queue), SAMPLE)?,
    };
    let run = uuid::Uuid::new_v4().simple().to_string();
    let name = |part: &str| format!("{}-bare-{part}-{}", topics.events(), &run[..8]);
    let own = OwnTopics { input: name("input"), changelog: name("changelog"), commands: name("commands") };
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .context("the admin client cannot be made")?;
    create(&admin, &topics.events(), &own).await?;
    let outcome = measure(&settings, &own, samples).await;
    // Whatever came of it, the topics are not needed any more.
    let deleted =
        admin.delete_topics(&[&own.input, &own.changelog, &own.commands], &AdminOptions::new()).await;
    if let Err(error) = deleted {
        eprintln!("the topics of the bare loop ({}, …) could not be deleted: {error}", own.input);
    }
    let outcome = outcome?;
    let what = if outcome.is_transactional { "transactions" } else { "batches without transactions" };
    eprintln!("bare loop: {:.0} workflows/s, {} {what}", outcome.workflows_per_s, outcome.transactions);
    report::write(&outcome, settings.json.as_deref())?;
    Ok(true)
}

async fn create(
    admin: &AdminClient<DefaultClientContext>,
    like: &str,
    own: &OwnTopics,
) -> anyhow::Result<()> {
    let metadata = admin.inner().fetch_metadata(Some(like), PATIENCE).context("Kafka does not answer")?;
    let partitions =
        metadata.topics().first().map(rdkafka::metadata::MetadataTopic::partitions).unwrap_or_default();
    let replicas = partitions.first().map_or(1, |it| it.replicas().len());
    let count = i32::try_from(partitions.len())?;
    let replicas = i32::try_from(replicas)?;
    let wanted = [&own.input, &own.changelog, &own.commands]
        .map(|name| NewTopic::new(name, count, TopicReplication::Fixed(replicas)));
    for result in
        admin.create_topics(&wanted, &AdminOptions::new()).await.context("topics cannot be created")?
    {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} cannot be created: {code}"))?;
    }
    Ok(())
}

async fn measure(settings: &Settings, own: &OwnTopics, samples: Samples) -> anyhow::Result<Outcome> {
    let input = fill(&settings.bootstrap, own, &samples, settings.workflows).await?;
    let size =
        |records: &[EventRecord]| records.iter().map(bytes_of).sum::<usize>() as f64 / records.len() as f64;
    let (inputs, commands) = (INPUTS as f64, (INPUTS - 1) as f64);
    let bytes_per_workflow =
        inputs * (size(&samples.inputs) + size(&samples.changelog)) + commands * size(&samples.commands);
    let samples = std::sync::Arc::new(samples);
    let mut shares = vec![Start::new(); settings.lanes.min(input.len())];
    let lanes = shares.len();
    for (index, (partition, end)) in input.into_iter().enumerate() {
        shares[index % lanes].insert(partition, end);
    }
    // Transactional ids are taken into use before the clock starts: it happens once, not for each record.
    let ready = shares
        .into_iter()
        .enumerate()
        .map(|(index, share)| Lane::new(settings, own, samples.clone(), index, share))
        .collect::<anyhow::Result<Vec<Lane>>>()?;
    let start = Instant::now();
    let running: Vec<_> =
        ready.into_iter().map(|lane| tokio::task::spawn_blocking(move || lane.run())).collect();
    let mut transactions = 0;
    for lane in running {
        transactions += lane.await.context("a lane of the bare loop panicked")??;
    }
    let elapsed = start.elapsed();
    Ok(Outcome {
        workflows_per_s: settings.workflows as f64 / elapsed.as_secs_f64(),
        workflows: settings.workflows,
        elapsed_s: elapsed.as_secs_f64(),
        transactions,
        is_transactional: !settings.no_transactions,
        records_per_workflow: INPUTS + INPUTS + (INPUTS - 1),
        bytes_per_workflow,
        lanes,
    })
}

/// Writes the input, evenly over the partitions; says where each of them ends then.
async fn fill(bootstrap: &str, own: &OwnTopics, samples: &Samples, workflows: u64) -> anyhow::Result<Start> {
    let partitions = ends(bootstrap, &own.input)?.len();
    let options =
        [("linger.ms", "20"), ("compression.type", "lz4"), ("acks", "all"), ("enable.idempotence", "true")];
    let publisher = Publisher::new(bootstrap, &own.input, &options)?;
    for (number, record) in (0..workflows * INPUTS).zip(samples.inputs.iter().cycle()) {
        // All records of a workflow go to one partition, as with a key.
        let partition = i32::try_from(number / INPUTS % partitions as u64)?;
        publisher.send_record(record, Some(partition)).await?;
    }
    while publisher.in_flight() > 0 {
        publisher.check()?;
        sleep(LINGER).await;
    }
    publisher.check()?;
    ends(bootstrap, &own.input)
}

fn bytes_of(record: &EventRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.as_ref().map_or(0, bytes::Bytes::len)
        + record.value.as_ref().map_or(0, bytes::Bytes::len)
        + headers
}

/// One loop, with some of the partitions.
struct Lane {
    consumer: BaseConsumer,
    producer: BaseProducer<Deliveries>,
    own: OwnTopics,
    samples: std::sync::Arc<Samples>,
    ends: Start,
    batch: usize,
    is_transactional: bool,
}

impl Lane {
    fn new(
        settings: &Settings,
        own: &OwnTopics,
        samples: std::sync::Arc<Samples>,
        index: usize,
        ends: Start,
    ) -> anyhow::Result<Self> {
        let Settings { bootstrap, batch, .. } = settings;
        let is_transactional = !settings.no_transactions;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", format!("{}-{index}", own.input))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()
            .context("the bare loop's consumer cannot be made")?;
        let mut config = ClientConfig::new();
        if is_transactional {
            config.set("transactional.id", format!("{}-{index}", own.input));
        }
        let producer: BaseProducer<Deliveries> = config
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("batch.num.messages", "100000")
            .set("compression.type", "lz4")
            // What a transaction waits for when the last one's markers are still being written; 100 ms is far too long.
            .set("retry.backoff.ms", "1")
            .create_with_context(Deliveries::default())
            .context("the bare loop's producer cannot be made")?;
        if is_transactional {
            producer.init_transactions(PATIENCE).context("the bare loop's transactions cannot be set up")?;
        }
        Ok(Self { consumer, producer, own: own.clone(), samples, ends, batch: *batch, is_transactional })
    }

    /// Moves everything; says in how many transactions.
    fn run(self) -> anyhow::Result<u64> {
        let beginning: Start = self.ends.keys().map(|partition| (*partition, 0)).collect();
        assign(&self.consumer, &self.own.input, &beginning)?;
        let group = self.consumer.group_metadata().context("the bare loop's consumer has no group")?;
        let mut missing: i64 = self.ends.values().sum();
        let mut transactions = 0;
        let mut moved = 0;
        while missing > 0 {
            let mut positions: BTreeMap<i32, i64> = BTreeMap::new();
            let mut count = 0;
            while count < self.batch && missing > 0 {
                let wait = if count == 0 { PATIENCE } else { LINGER };
                let message = match self.consumer.poll(wait) {
                    Some(message) => message.context("the bare loop cannot read")?,
                    None if count > 0 => break,
                    None => anyhow::bail!(
                        "the bare loop's input has ended too early: {missing} records are missing"
                    ),
                };
                if count == 0 && self.is_transactional {
                    self.producer.begin_transaction().context("the bare loop cannot begin a transaction")?;
                }
                self.produce(&self.own.changelog, &self.samples.changelog, moved, message.partition())?;
                if moved % INPUTS != INPUTS - 1 {
                    self.produce(&self.own.commands, &self.samples.commands, moved, message.partition())?;
                }
                positions.insert(message.partition(), message.offset() + 1);
                moved += 1;
                count += 1;
                missing -= 1;
            }
            let mut list = TopicPartitionList::new();
            for (partition, offset) in positions {
                list.add_partition_offset(&self.own.input, partition, Offset::Offset(offset))
                    .context("a read offset is valid")?;
            }
            if self.is_transactional {
                self.producer
                    .send_offsets_to_transaction(&list, &group, PATIENCE)
                    .context("the bare loop cannot commit offsets")?;
            }
            // The client's own flush would sleep for up to 100 ms after the last acknowledgement.
            while self.producer.in_flight_count() > 0 {
                self.producer.poll(Duration::from_millis(1));
            }
            if let Some(error) = self.producer.context().lost() {
                return Err(error).context("the bare loop has lost a record");
            }
            if self.is_transactional {
                self.producer.commit_transaction(PATIENCE).context("the bare loop cannot commit")?;
            } else {
                self.consumer
                    .commit(&list, CommitMode::Sync)
                    .context("the bare loop cannot commit offsets")?;
            }
            transactions += 1;
        }
        Ok(transactions)
    }

    fn produce(
        &self,
        topic: &str,
        samples: &[EventRecord],
        number: u64,
        partition: i32,
    ) -> anyhow::Result<()> {
        let record = &samples[usize::try_from(number % samples.len() as u64).context("an index is small")?];
        loop {
            let mut out: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition);
            if !record.headers.is_empty() {
                out = out.headers(to_headers(record));
            }
            out.key = record.key.as_deref();
            out.payload = record.value.as_deref();
            match self.producer.send(out) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error).context("the bare loop cannot write"),
            }
        }
    }
}
