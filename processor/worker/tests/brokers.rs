//! The worker against a broker: one of `millrace-dev-broker`, or the Apache Kafka that `KAFKA_BOOTSTRAP` names.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_dev_broker::testing::bootstrap;
use millrace_schemas::cloud_event::{CloudEvent, EventData, InboxRecord};
use millrace_schemas::codec::Codec;
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{Attempt, ExecutionId, InstanceId, Payload, TaskToken, Timestamp};
use millrace_worker::traces::{Sampler, Sink, Span, Tracer};
use millrace_worker::{Task, TaskFailure, Worker, WorkerBuilder, WorkerError};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Topics of one test, and a producer for its tasks.
struct Fleet {
    prefix: String,
    producer: FutureProducer,
}

impl Fleet {
    async fn new(name: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap());
        let prefix = format!("worker-test-{name}-{}", uuid::Uuid::new_v4().simple());
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let names = [format!("{prefix}.events"), format!("{prefix}.commands.orders")];
        let topics = names.each_ref().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
        for result in admin.create_topics(&topics, &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
        Self { prefix, producer: config.create().unwrap() }
    }

    fn commands(&self) -> String {
        format!("{}.commands.orders", self.prefix)
    }

    /// Sends these bytes as a command, to partition `number` modulo their count.
    async fn send_bytes(&self, number: u32, bytes: &[u8]) {
        let partition = i32::try_from(number).unwrap() % PARTITIONS;
        let commands = self.commands();
        let record: FutureRecord<'_, str, [u8]> =
            FutureRecord::to(&commands).partition(partition).payload(bytes);
        self.producer.send(record, PATIENCE).await.unwrap();
    }

    async fn send(&self, tasks: impl IntoIterator<Item = TaskCommand>) {
        for (number, task) in (0..).zip(tasks) {
            self.send_bytes(number, &Codec::single_object().encode_task(&task)).await;
        }
    }

    fn worker(&self) -> WorkerBuilder {
        Worker::builder(&bootstrap())
            .prefix(&self.prefix)
            .queue("orders")
            .shutdown_limit(Duration::from_secs(10))
    }

    /// Reads the inbox until `enough`, or fails.
    async fn answers(&self, enough: impl Fn(&[CloudEvent]) -> bool + Send + 'static) -> Vec<CloudEvent> {
        let topic = format!("{}.events", self.prefix);
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", bootstrap())
                .set("group.id", "unused")
                .set("isolation.level", "read_committed")
                .create()
                .unwrap();
            let mut list = TopicPartitionList::new();
            for partition in 0..PARTITIONS {
                list.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
            }
            consumer.assign(&list).unwrap();
            let mut answers = Vec::new();
            let start = std::time::Instant::now();
            while !enough(&answers) {
                assert!(start.elapsed() < PATIENCE, "only {} answers came: {answers:?}", answers.len());
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
                let headers: Vec<(String, Vec<u8>)> = message.headers().map_or_else(Vec::new, |headers| {
                    headers
                        .iter()
                        .map(|it| (it.key.to_owned(), it.value.unwrap_or_default().to_vec()))
                        .collect()
                });
                let record = InboxRecord {
                    key: message.key(),
                    headers: &headers,
                    value: message.payload(),
                    timestamp: Timestamp(0),
                };
                answers.push(CloudEvent::read(&record, &Codec::single_object()).unwrap());
            }
            answers
        })
        .await
        .unwrap()
    }

    /// What the group has committed, and where the partitions end.
    fn positions(&self) -> (Vec<i64>, Vec<i64>) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap())
            .set("group.id", format!("{}.worker.orders", self.prefix))
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.commands(), 0, PARTITIONS - 1);
        let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
        let committed = committed.elements().iter().map(|it| it.offset().to_raw().unwrap()).collect();
        let ends = (0..PARTITIONS)
            .map(|it| consumer.fetch_watermarks(&self.commands(), it, PATIENCE).unwrap().1)
            .collect();
        (committed, ends)
    }
}

fn task(number: u32, function: &str) -> TaskCommand {
    TaskCommand {
        instance: InstanceId::new(format!("order-{number}")).unwrap(),
        token: TaskToken { execution: ExecutionId(1), dispatch: 1 },
        workflow: "shop/order/1.0.0".parse().unwrap(),
        task: "/do/0/charge".into(),
        iteration: "".into(),
        attempt: Attempt::FIRST,
        idempotency_key: format!("order-{number}/do/0/charge"),
        function: function.into(),
        arguments: Payload::from(json!({ "number": number })),
        deadline: None,
        heartbeat_ms: None,
        secrets: Vec::new(),
    }
}

/// A worker that runs until it is told to stop.
struct Started {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

fn start(builder: WorkerBuilder) -> Started {
    let (stop, stopped) = oneshot::channel();
    let worker = builder.build().unwrap();
    Started {
        stop,
        worker: tokio::spawn(worker.run(async {
            let _ = stopped.await;
        })),
    }
}

impl Started {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.worker).await.expect("the worker stops in time").unwrap().unwrap();
    }
}

async fn echo(task: Task) -> Result<Value, TaskFailure> {
    Ok(task.raw_arguments().clone())
}

async fn decline(_: Task) -> Result<Value, TaskFailure> {
    Err(TaskFailure::permanent("declined"))
}

async fn never(_: Task) -> Result<Value, TaskFailure> {
    std::future::pending().await
}

fn count_by_type(answers: &[CloudEvent]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    answers.iter().for_each(|it| *counts.entry(it.event_type.as_str()).or_insert(0) += 1);
    counts
}

fn subjects(answers: &[CloudEvent]) -> BTreeSet<String> {
    answers.iter().map(|it| it.subject.clone().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_answered_once_and_everything_is_committed() {
    let fleet = Fleet::new("answers").await;
    fleet.send((0..300).map(|number| task(number, if number % 10 == 0 { "decline" } else { "echo" }))).await;
    fleet.send_bytes(0, b"this is no task").await;
    fleet.send([task(300, "unheard-of")]).await;
    let builder = fleet.worker().function("echo", echo).function("decline", decline).concurrency(16);
    let worker = start(builder);
    let answers = fleet.answers(|answers| answers.len() >= 301).await;
    worker.stop().await;
    let expected = [("io.millrace.task.completed", 270), ("io.millrace.task.failed", 31)];
    assert_eq!(count_by_type(&answers), BTreeMap::from(expected));
    assert_eq!(subjects(&answers).len(), 301);
    let (committed, ends) = fleet.positions();
    assert_eq!(committed, ends);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_did_not_end_before_the_shutdown_runs_again_and_nothing_after_it_is_committed() {
    let fleet = Fleet::new("redelivery").await;
    // Partition 0 gets tasks 0, 4, 8, 12, ...; task 4 hangs.
    fleet.send((0..40).map(|number| task(number, if number == 4 { "sometimes" } else { "echo" }))).await;
    let first = start(
        fleet
            .worker()
            .function("echo", echo)
            .function("sometimes", never)
            .shutdown_limit(Duration::from_millis(100)),
    );
    fleet.answers(|answers| answers.len() >= 39).await;
    first.stop().await;
    let (committed, ends) = fleet.positions();
    assert_eq!(committed[0], 1, "only what stands before the unfinished task");
    assert_eq!(committed[1..], ends[1..]);

    let second = start(fleet.worker().function("echo", echo).function("sometimes", echo));
    fleet.answers(|answers| subjects(answers).len() >= 40).await;
    second.stop().await;
    assert_eq!(fleet.positions().0, ends);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_takes_over_partitions_and_no_task_is_lost() {
    let fleet = Fleet::new("rebalance").await;
    let runs = Arc::new(AtomicU64::new(0));
    let work = {
        let runs = runs.clone();
        move |task: Task| {
            let runs = runs.clone();
            async move {
                runs.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(20)).await;
                echo(task).await
            }
        }
    };
    let first = start(fleet.worker().function("work", work.clone()).concurrency(4));
    fleet.send((0..200).map(|number| task(number, "work"))).await;
    let second = start(fleet.worker().function("work", work.clone()).concurrency(4));
    sleep(Duration::from_secs(3)).await;
    fleet.send((200..600).map(|number| task(number, "work"))).await;
    first.stop().await;
    let answers = fleet.answers(|answers| subjects(answers).len() >= 600).await;
    second.stop().await;
    assert_eq!(subjects(&answers).len(), 600);
    let (committed, ends) = fleet.positions();
    assert_eq!(committed, ends);
    let repeated = runs.load(Ordering::Relaxed) - 600;
    assert!(repeated <= 16, "{repeated} tasks ran twice, more than were running at the two rebalances");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_handlers_are_slow_stays_in_its_group() {
    let fleet = Fleet::new("saturation").await;
    let runs = Arc::new(Mutex::new(Vec::new()));
    let slow = {
        let runs = runs.clone();
        move |task: Task| {
            runs.lock().unwrap().push(task.instance().to_string());
            async move {
                sleep(Duration::from_secs(12)).await;
                echo(task).await
            }
        }
    };
    // Who does not poll for eight seconds is thrown out; each task takes longer.
    let builder = fleet
        .worker()
        .function("slow", slow)
        .concurrency(1)
        .kafka_option("max.poll.interval.ms", "8000")
        .kafka_option("session.timeout.ms", "6000");
    fleet.send([task(0, "slow"), task(1, "slow")]).await;
    let worker = start(builder);
    let answers = fleet.answers(|answers| answers.len() >= 2).await;
    worker.stop().await;
    assert_eq!(subjects(&answers).len(), 2);
    assert_eq!(runs.lock().unwrap().len(), 2, "no task ran twice");
    let (committed, ends) = fleet.positions();
    // Nothing was ever read from the others, so nothing was committed of them.
    assert_eq!(committed[..2], ends[..2]);
}

/// The Python that `ops/setup.sh` has made, with the clients; else the one on the path.
fn python() -> std::path::PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|it| it.join(".cache")));
    let made = cache.map(|it| it.join("millrace/venv/bin/python")).filter(|it| it.exists());
    made.unwrap_or_else(|| "python3".into())
}

/// Needs Python with confluent-kafka and fastavro.
#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_reads_our_tasks_and_writes_answers_that_we_read() {
    let fleet = Fleet::new("python").await;
    let mut charge = task(0, "charge-payment");
    charge.arguments = Payload::from(json!({ "amount": 1250, "note": "für Ägypten" }));
    fleet.send([charge, task(1, "charge-payment"), task(2, "unheard-of")]).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/worker.py");
    let mut python = tokio::process::Command::new(python())
        .args([script, &bootstrap(), &fleet.prefix, "orders"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut answers = fleet.answers(|answers| answers.len() >= 3).await;
    answers.sort_by(|a, b| a.subject.cmp(&b.subject));
    assert_eq!(
        count_by_type(&answers),
        BTreeMap::from([("io.millrace.task.completed", 1), ("io.millrace.task.failed", 2)])
    );
    assert_eq!(answers[0].to_json()["data"], json!({ "charged": 1250 }));
    assert_eq!(answers[0].extension("tasktoken"), Some("1.1"));
    assert_eq!(
        answers[2].to_json()["data"],
        json!({ "title": "KeyError('unheard-of')", "retriable": false })
    );
    python.kill().await.unwrap();
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Span>>);
impl Sink for Kept {
    fn take(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

/// What it is called by, and what it calls.
async fn traced(task: Task) -> Result<Value, TaskFailure> {
    Ok(json!({ "parent": task.traceparent(), "state": task.tracestate() }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_a_span_between_its_record_and_its_answer() {
    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let fleet = Fleet::new("traces").await;
    let commands = fleet.commands();
    for (number, traceparent) in (0..).zip([SAMPLED, UNSAMPLED]) {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "traceparent", value: Some(traceparent) })
            .insert(Header { key: "tracestate", value: Some("congo=1") });
        let bytes = Codec::single_object().encode_task(&task(number, "traced"));
        let record: FutureRecord<'_, str, [u8]> =
            FutureRecord::to(&commands).partition(1).headers(headers).payload(&bytes);
        fleet.producer.send(record, PATIENCE).await.unwrap();
    }
    let kept = Arc::new(Kept::default());
    let sink: Arc<dyn Sink> = Arc::<Kept>::clone(&kept);
    let tracer = Tracer::new(Sampler::default(), sink);
    let worker = start(fleet.worker().function("traced", traced).tracer(&tracer));
    let mut answers = fleet.answers(|answers| answers.len() >= 2).await;
    worker.stop().await;
    answers.sort_by(|a, b| a.subject.cmp(&b.subject));
    let spans = kept.0.lock().unwrap();
    assert_eq!(spans.len(), 1, "one of them is not recorded: {spans:#?}");
    let span = &spans[0];
    assert_eq!(span.parent.map(|it| it.to_string()).as_deref(), Some("00f067aa0ba902b7"));
    for (answer, context) in answers.iter().zip([span.context.to_string(), UNSAMPLED.to_owned()]) {
        let said = |name: &str| answer.extension(name);
        assert_eq!((said("traceparent"), said("tracestate")), (Some(context.as_str()), Some("congo=1")));
        let Some(EventData::Json(data)) = &answer.data else { panic!("{answer:?}") };
        assert_eq!(*data, json!({ "parent": context, "state": "congo=1" }));
    }
    let attribute = |name: &str| span.attributes.iter().find(|it| it.0 == name).map(|it| it.1.clone());
    assert_eq!(attribute("messaging.kafka.offset"), Some(0.into()));
    assert_eq!(attribute("messaging.destination.partition.id"), Some("1".to_owned().into()));
    assert_eq!(attribute("millrace.function"), Some("traced".to_owned().into()));
    assert_eq!(span.name, format!("process {commands}"));
}
