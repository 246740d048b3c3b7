//! The Kafka side: settings of the clients, rebalances, and answers that are sent until the broker has them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millrace_schemas::cloud_event::EventRecord;
use prometheus::IntGauge;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, Statistics, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::answer::{Answer, Letterhead};
use crate::lag;
use crate::metrics::QueueMetrics;
use crate::offsets::{Offsets, Position};
use crate::status::{Stage, WorkerStatus};
use crate::task::Pulse;
use crate::worker::WorkerError;
use crate::{Task, TaskFailure};

/// Options that the worker sets and nobody may change.
pub(crate) const RESERVED: [&str; 9] = [
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "isolation.level",
    "enable.partition.eof",
    "enable.idempotence",
    "acks",
    "partitioner",
];

/// Memory for tasks that were fetched ahead of need, in KiB.
const PREFETCH_KIB: &str = "16384";

/// A full send queue is tried again after this.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);
/// First and longest pause before an answer is sent again.
const RESEND_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Tasks are read when they are committed, or at once if the worker is `speculative`.
pub(crate) fn consumer_config(common: &ClientConfig, group: &str, speculative: bool) -> ClientConfig {
    let mut config = common.clone();
    // Defaults that `common` may have chosen otherwise.
    for (name, value) in [
        ("auto.offset.reset", "earliest"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("queued.max.messages.kbytes", PREFETCH_KIB),
        ("statistics.interval.ms", lag::TOLD_EVERY_MS),
    ] {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    config
        .set("group.id", group)
        .set("isolation.level", if speculative { "read_uncommitted" } else { "read_committed" })
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "false");
    config
}

pub(crate) fn producer_config(common: &ClientConfig) -> ClientConfig {
    let mut config = common.clone();
    for (name, value) in [("linger.ms", "2"), ("compression.type", "lz4")] {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    // Java's partitioner: answers go straight to the partition that owns the instance, with no forwarding.
    config.set("partitioner", "murmur2_random").set("acks", "all").set("enable.idempotence", "true");
    config
}

/// A lock that survives a panic elsewhere: nothing in [`Offsets`] panics half-way.
pub(crate) fn lock(offsets: &Mutex<Offsets>) -> MutexGuard<'_, Offsets> {
    offsets.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn to_list(topic: &str, positions: &[Position]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, offset) in positions {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .expect("an offset that was read is valid");
    }
    list
}

/// Follows the consumer's rebalances and commits.
#[derive(Debug)]
pub(crate) struct WorkerContext {
    pub(crate) topic: String,
    pub(crate) offsets: Arc<Mutex<Offsets>>,
    pub(crate) metrics: Arc<QueueMetrics>,
    pub(crate) assigned: Assigned,
    pub(crate) status: WorkerStatus,
}

/// How many partitions one consumer has, in a gauge that it may share with others of the queue. What it has at its end goes with it: a
/// client that is closed may lose partitions without a word.
#[derive(Debug)]
pub(crate) struct Assigned {
    gauge: IntGauge,
    count: AtomicI64,
}

impl Assigned {
    pub(crate) fn none(gauge: IntGauge) -> Self {
        Self { gauge, count: AtomicI64::new(0) }
    }

    fn add(&self, count: i64) {
        self.gauge.add(count);
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    fn clear(&self) {
        self.gauge.sub(self.count.swap(0, Ordering::Relaxed));
    }
}

impl Drop for Assigned {
    fn drop(&mut self) {
        self.clear();
    }
}

impl ClientContext for WorkerContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_client(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The loop is given the same error, and logs it.
        tracing::debug!(%error, reason, "the Kafka consumer reports an error");
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let offsets = lock(&self.offsets);
        let tasks = topic.partitions.values().map(|it| lag::of(it, &offsets)).sum();
        self.metrics.behind(tasks, offsets.oldest().map_or(Duration::ZERO, lag::since));
    }
}

impl ConsumerContext for WorkerContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let partitions: Vec<i32> = list.elements().iter().map(|it| it.partition()).collect();
        let done = lock(&self.offsets).revoke(partitions.iter().copied());
        tracing::info!(topic = self.topic, ?partitions, "partitions revoked");
        // Lost partitions have another owner already; a commit would be refused.
        if done.is_empty() || consumer.assignment_lost() {
            return;
        }
        if let Err(error) = consumer.commit(&to_list(&self.topic, &done), CommitMode::Sync) {
            tracing::warn!(%error, ?partitions, "commit at revocation failed: some finished tasks will run again");
        }
    }

    /// Counts for itself: a question to a client that is being closed may stay without an answer, for ever (seen by reading librdkafka: what is
    /// queued when its group ends is dropped; its issue 4884 is of the same kind).
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let count = |list: &TopicPartitionList| i64::try_from(list.count()).unwrap_or(i64::MAX);
        match rebalance {
            Rebalance::Assign(list) => {
                self.assigned.add(count(list));
                let partitions: Vec<i32> = list.elements().iter().map(|it| it.partition()).collect();
                tracing::info!(topic = self.topic, ?partitions, "partitions assigned");
                self.status.set(Stage::Serving);
            }
            Rebalance::Revoke(list) => self.assigned.add(-count(list)),
            Rebalance::Error(_) => self.assigned.clear(),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "commit failed; it is made again");
            lock(&self.offsets).recommit();
        }
    }
}

/// The producer's logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProducerLogs;

impl ClientContext for ProducerLogs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_client(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the Kafka producer reports an error");
    }
}

fn log_client(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
    match level {
        Emerg | Alert | Critical | Error => tracing::error!(target: "librdkafka", facility, "{message}"),
        Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        Notice | Info => tracing::info!(target: "librdkafka", facility, "{message}"),
        Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Sends answers to the inbox.
pub(crate) struct Answers {
    producer: FutureProducer<ProducerLogs>,
    topic: String,
    letterhead: Letterhead,
    metrics: Arc<QueueMetrics>,
    /// Where the worker hears that it cannot go on.
    fatal: mpsc::Sender<WorkerError>,
}

impl Answers {
    pub(crate) fn new(
        config: &ClientConfig,
        topic: String,
        letterhead: Letterhead,
        metrics: Arc<QueueMetrics>,
        fatal: mpsc::Sender<WorkerError>,
    ) -> Result<Self, WorkerError> {
        let producer = config
            .create_with_context(ProducerLogs)
            .map_err(|source| WorkerError::Kafka { doing: "create the producer of the answers", source })?;
        Ok(Self { producer, topic, letterhead, metrics, fatal })
    }

    /// Sends an answer, again and again, until the broker has acknowledged it. Never returns when the producer is beyond use: the
    /// worker is stopped then, and the task runs again elsewhere.
    pub(crate) async fn deliver(&self, task: &Task, answer: Answer) {
        let mut record = self.letterhead.write(task, answer).to_binary();
        let mut pause = RESEND_PAUSES.0;
        loop {
            let Err(error) = self.send(&record).await else { return };
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    sleep(QUEUE_FULL_PAUSE).await;
                    continue;
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
                    let bytes = record.value.as_ref().map_or(0, bytes::Bytes::len);
                    let failure = TaskFailure::permanent("the output is too large")
                        .with_detail(format!("{bytes} bytes are more than Kafka takes ({error}); store the data, and answer with where it is"));
                    record = self.letterhead.write(task, Answer::Failed(failure)).to_binary();
                }
                _ if self.producer.client().fatal_error().is_some() => {
                    // The channel has room for the first report; the others say the same.
                    let _ =
                        self.fatal.try_send(WorkerError::Kafka { doing: "send an answer", source: error });
                    std::future::pending::<()>().await;
                }
                _ => {
                    tracing::warn!(%error, topic = self.topic, instance = %task.instance(), "an answer was not accepted; it is sent again")
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RESEND_PAUSES.1);
        }
    }

    async fn send(&self, record: &EventRecord) -> KafkaResult<()> {
        let delivery =
            self.producer.send_result(to_future_record(&self.topic, record)).map_err(|(error, _)| error)?;
        match delivery.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(error),
            Err(_) => Err(KafkaError::Canceled),
        }
    }
}

impl Pulse for Answers {
    fn beat(&self, task: &Task) {
        self.metrics.heartbeats.inc();
        let record = self.letterhead.write(task, Answer::Heartbeat).to_binary();
        // A lost heartbeat is made up for by the next one.
        if let Err((error, _)) = self.producer.send_result(to_future_record(&self.topic, &record)) {
            tracing::warn!(%error, instance = %task.instance(), "a heartbeat could not be sent");
        }
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("topic", &self.topic).finish_non_exhaustive()
    }
}

fn to_future_record<'a>(topic: &'a str, record: &'a EventRecord) -> FutureRecord<'a, [u8], [u8]> {
    let headers = record
        .headers
        .iter()
        .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_ref()) })
        });
    let mut out = FutureRecord::to(topic).headers(headers);
    out.key = record.key.as_deref();
    out.payload = record.value.as_deref();
    out
}
