//! The plain Kafka client of a user who has no SDK.

use std::time::Duration;

use millrace_schemas::EventId;
use millrace_schemas::cloud_event::{CloudEvent, EventRecord, InboxRecord, complete_event, fail_event};
use millrace_schemas::codec::Codec;
use millrace_schemas::event::TaskError;
use millrace_schemas::task::TaskCommand;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;
use uuid::Uuid;

/// A producer, and consumers on demand.
#[derive(Clone)]
pub(crate) struct Kafka {
    bootstrap: String,
    prefix: String,
    producer: FutureProducer,
    codec: Codec,
}

impl Kafka {
    pub(crate) fn new(bootstrap: &str, prefix: &str, codec: Codec) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        Self { bootstrap: bootstrap.to_owned(), prefix: prefix.to_owned(), producer, codec }
    }

    /// To a topic of the fleet; `topic` without its prefix.
    pub(crate) async fn produce(
        &self,
        topic: &str,
        key: &[u8],
        headers: &[(String, bytes::Bytes)],
        value: &[u8],
    ) {
        self.produce_to(&format!("{}.{topic}", self.prefix), key, headers, value).await;
    }

    /// To any topic.
    pub(crate) async fn produce_to(
        &self,
        topic: &str,
        key: &[u8],
        headers: &[(String, bytes::Bytes)],
        value: &[u8],
    ) {
        let record = FutureRecord::to(topic).key(key).headers(owned(headers)).payload(value);
        self.producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error).unwrap();
    }

    /// To a topic of the fleet, wherever the key belongs.
    pub(crate) async fn produce_at(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        headers: &[(String, bytes::Bytes)],
        value: &[u8],
    ) {
        let topic = format!("{}.{topic}", self.prefix);
        let record =
            FutureRecord::to(&topic).partition(partition).key(key).headers(owned(headers)).payload(value);
        self.producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error).unwrap();
    }

    pub(crate) async fn produce_event(&self, event: &CloudEvent) {
        let EventRecord { key, headers, value } = event.to_structured();
        self.produce("events", &key.unwrap(), &headers, &value.unwrap()).await;
    }

    /// Makes a topic of somebody else.
    pub(crate) async fn create(&self, topic: &str, partitions: i32) {
        let mut config = ClientConfig::new();
        let admin: AdminClient<DefaultClientContext> =
            config.set("bootstrap.servers", &self.bootstrap).create().unwrap();
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    }

    /// Deletes a topic of the fleet, and waits until it is gone.
    pub(crate) async fn delete(&self, topic: &str) {
        let topic = format!("{}.{topic}", self.prefix);
        let mut config = ClientConfig::new();
        let admin: AdminClient<DefaultClientContext> =
            config.set("bootstrap.servers", &self.bootstrap).create().unwrap();
        admin.delete_topics(&[&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
        let is_there = || {
            let all = admin.inner().fetch_metadata(None, Duration::from_secs(10)).unwrap();
            all.topics().iter().any(|it| it.name() == topic)
        };
        while is_there() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reads committed records of a topic from its beginning.
    fn consumer(&self, topic: &str) -> StreamConsumer {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", format!("test-{}", Uuid::new_v4()))
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        consumer.subscribe(&[&format!("{}.{topic}", self.prefix)]).unwrap();
        consumer
    }

    /// The first event of a topic that is wanted.
    pub(crate) async fn find_event(&self, topic: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let consumer = self.consumer(topic);
        let search = async {
            loop {
                let message = consumer.recv().await.unwrap();
                let headers = headers(&message);
                let record = InboxRecord {
                    key: message.key(),
                    headers: &headers,
                    value: message.payload(),
                    timestamp: millrace_schemas::Timestamp(0),
                };
                if let Ok(event) = CloudEvent::read(&record, &self.codec)
                    && is_wanted(&event.to_json())
                {
                    return event.into_json();
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), search).await;
        found.unwrap_or_else(|_| panic!("waited in vain for an event in {topic}"))
    }

    /// Answers every task of the default queue, by its function.
    pub(crate) fn work(&self, answers: impl Fn(&TaskCommand) -> Answer + Send + 'static) -> Worker {
        let (consumer, kafka) = (self.consumer("commands.default"), self.clone());
        let task = tokio::spawn(async move {
            loop {
                // The broker may be restarting: the client goes on by itself.
                let Ok(message) = consumer.recv().await else { continue };
                let task = kafka.codec.decode_task(message.payload().unwrap()).unwrap();
                assert_eq!(
                    message.key(),
                    Some(task.instance.as_str().as_bytes()),
                    "a task's key is its instance"
                );
                let id = || EventId { source: "/test/worker".to_owned(), id: Uuid::new_v4().to_string() };
                match answers(&task) {
                    Answer::Completed(output) => {
                        kafka.produce_event(&complete_event(id(), &task.instance, task.token, output)).await;
                    }
                    Answer::CompletedTwice(output) => {
                        for _ in 0..2 {
                            kafka
                                .produce_event(&complete_event(
                                    id(),
                                    &task.instance,
                                    task.token,
                                    output.clone(),
                                ))
                                .await;
                        }
                    }
                    Answer::FailedForGood(detail) => {
                        let error = TaskError {
                            error_type: "https://example.org/errors/sold-out".to_owned(),
                            status: 409,
                            instance: None,
                            title: Some("Sold out".to_owned()),
                            detail: Some(detail),
                        };
                        kafka
                            .produce_event(&fail_event(id(), &task.instance, task.token, &error, false))
                            .await;
                    }
                }
            }
        });
        Worker { task }
    }
}

/// What the worker says.
pub(crate) enum Answer {
    Completed(Value),
    CompletedTwice(Value),
    FailedForGood(String),
}

/// A worker that ends with its guard.
pub(crate) struct Worker {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn owned(headers: &[(String, bytes::Bytes)]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new(), |all, (name, value)| {
        all.insert(Header { key: name, value: Some(value.as_ref()) })
    })
}

fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, bytes::Bytes)> {
    let headers = message.headers().into_iter().flat_map(|it| it.iter());
    headers
        .map(|it| (it.key.to_owned(), bytes::Bytes::copy_from_slice(it.value.unwrap_or_default())))
        .collect()
}
