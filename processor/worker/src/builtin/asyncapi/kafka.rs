//! Messages in topics of Kafka.
//!
//! The client connects to whatever its brokers name, and cannot be told what it may reach. So its first brokers are addresses that
//! were judged, and all that they name is judged before anything is sent or read. A broker that lies later could make the client
//! connect elsewhere, where it would say no more than that it speaks Kafka.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::time::timeout_at;
use uuid::Uuid;

use super::AsyncApiSettings;
use super::arguments::Message;
use super::document::Place;
use super::subscription::Subscription;
use crate::builtin::process::text;
use crate::{Task, TaskFailure};

/// Longest wait for one answer of a broker.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The port of Kafka, where the document names none.
const PORT: u16 = 9092;
/// Longest name of a topic, in bytes.
const TOPIC_BYTES_MAX: usize = 249;
/// The header that becomes a record's key, as CloudEvents have it.
const KEY_HEADER: &str = "partitionkey";

/// Publishes a message as a record; says where it is.
pub(super) async fn publish(
    settings: &AsyncApiSettings,
    place: &Place,
    message: &Message,
    task: &Task,
    limit: Duration,
) -> Result<Value, TaskFailure> {
    let topic = topic(place)?;
    if topic.starts_with(&settings.own_topics) {
        let title = format!("the topic {topic} is Millrace's own");
        return Err(TaskFailure::authorization(title)
            .with_detail("`emit` events, or publish to a topic that does not begin so"));
    }
    let payload = serde_json::to_vec(&message.payload)?;
    if payload.len() > settings.bytes_max {
        let title = format!("the message has more than {} bytes", settings.bytes_max);
        return Err(TaskFailure::validation(title));
    }
    let mut config = config(settings, place).await?;
    judged_partitions(settings, &config, topic).await?;
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", limit.as_millis().to_string())
        .set("message.max.bytes", (settings.bytes_max + 64 * 1024).to_string());
    let producer = Closing::new(config.create_with_context::<_, FutureProducer<Quiet>>(Quiet)?);
    let mut key = None;
    let mut headers = OwnedHeaders::new();
    let ours = [
        ("content-type", Some("application/json")),
        ("idempotency-key", Some(task.idempotency_key())),
        ("traceparent", task.traceparent()),
    ];
    for (name, value) in ours {
        if let Some(value) = value
            && !message.headers.contains_key(name)
        {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
    }
    for (name, value) in message.headers.iter().filter(|it| !it.1.is_null()) {
        if name == KEY_HEADER {
            key = Some(text(value));
        } else {
            headers = headers.insert(Header { key: name, value: Some(&text(value)) });
        }
    }
    let mut record = FutureRecord::<str, [u8]>::to(topic).headers(headers).payload(&payload);
    record.key = key.as_deref();
    let sent = producer.get().send(record, Timeout::After(limit)).await;
    let delivery = sent.map_err(|(error, _)| failed("the message was not published", error))?;
    Ok(json!({ "topic": topic, "partition": delivery.partition, "offset": delivery.offset }))
}

/// Consumes messages, from where the topic ended when the task began. The place is kept under the task's name, so that another
/// delivery or attempt begins there, too, and misses nothing.
pub(super) async fn consume(
    settings: &AsyncApiSettings,
    place: &Place,
    mut subscription: Subscription,
    task: &Task,
) -> Result<Value, TaskFailure> {
    let topic = topic(place)?;
    let mut config = config(settings, place).await?;
    let partitions = judged_partitions(settings, &config, topic).await?;
    let group = Uuid::new_v5(&Uuid::NAMESPACE_OID, task.idempotency_key().as_bytes());
    config
        .set("group.id", format!("millrace-{}", group.simple()))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", "4096");
    let consumer = Closing::new(config.create_with_context::<_, StreamConsumer<Quiet>>(Quiet)?);
    let begin = begin(&consumer, topic.to_owned(), partitions).await?;
    let deadline = subscription.duration.map(|it| tokio::time::Instant::now() + it);
    consumer.get().assign(&begin)?;
    let mut is_enough = subscription.is_enough()?;
    while !is_enough {
        let next = consumer.get().recv();
        let message = match deadline {
            Some(deadline) => match timeout_at(deadline, next).await {
                Ok(message) => message,
                Err(_) => break,
            },
            None => next.await,
        };
        let message = match message {
            Ok(message) => message,
            Err(error) if is_passing(&error) => continue,
            Err(error) => return Err(failed("the messages cannot be read", error)),
        };
        let bytes = message.payload_len() + message.key_len();
        is_enough = subscription.take(read(&message), bytes)?;
    }
    Ok(subscription.output())
}

/// Where each partition is read from.
async fn begin(
    consumer: &Closing<StreamConsumer<Quiet>>,
    topic: String,
    partitions: Vec<i32>,
) -> Result<TopicPartitionList, TaskFailure> {
    consumer
        .blocking(move |it| {
            let mut asked = TopicPartitionList::new();
            for partition in &partitions {
                asked.add_partition(&topic, *partition);
            }
            let known = it.committed_offsets(asked, ANSWER_MAX)?;
            let mut begin = TopicPartitionList::new();
            let mut is_new = false;
            for partition in partitions {
                let offset = match known.find_partition(&topic, partition).map(|it| it.offset()) {
                    Some(Offset::Offset(offset)) => offset,
                    _ => {
                        is_new = true;
                        it.fetch_watermarks(&topic, partition, ANSWER_MAX)?.1
                    }
                };
                begin.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
            }
            if is_new {
                it.commit(&begin, CommitMode::Sync)?;
            }
            Ok(begin)
        })
        .await
}

/// The partitions of a topic, whose brokers have all been judged. A client of no group asks for them: one of a group would look for
/// its coordinator at once, wherever that is.
async fn judged_partitions(
    settings: &AsyncApiSettings,
    config: &ClientConfig,
    topic: &str,
) -> Result<Vec<i32>, TaskFailure> {
    let reader = Closing::new(config.create_with_context::<_, StreamConsumer<Quiet>>(Quiet)?);
    let name = topic.to_owned();
    let (brokers, partitions) = reader
        .blocking(move |it| {
            let metadata = it.fetch_metadata(Some(&name), ANSWER_MAX)?;
            let brokers: Vec<(String, u16)> = metadata
                .brokers()
                .iter()
                .map(|it| (it.host().to_owned(), u16::try_from(it.port()).unwrap_or_default()))
                .collect();
            let partitions: Vec<i32> =
                metadata.topics().iter().flat_map(|it| it.partitions()).map(|it| it.id()).collect();
            Ok((brokers, partitions))
        })
        .await?;
    for (host, port) in brokers {
        settings.targets.resolve(&host, port).await?;
    }
    if partitions.is_empty() {
        return Err(TaskFailure::configuration(format!("there is no topic {topic:?}")));
    }
    Ok(partitions)
}

/// What all clients have: the brokers of the document, by addresses that may be called.
async fn config(settings: &AsyncApiSettings, place: &Place) -> Result<ClientConfig, TaskFailure> {
    let mut addresses = Vec::new();
    for server in place.server.split(',') {
        let server = server.trim();
        let authority = server.split_once("://").map_or(server, |it| it.1).trim_end_matches('/');
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (authority, Some(PORT)),
        };
        let port = port.filter(|_| !host.is_empty()).ok_or_else(|| {
            TaskFailure::configuration(format!("{server:?} is no address of a Kafka broker"))
        })?;
        for address in settings.targets.resolve(host.trim_matches(['[', ']']), port).await? {
            addresses.push(address.to_string());
        }
    }
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", addresses.join(","))
        .set("client.id", "millrace")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("allow.auto.create.topics", "false");
    Ok(config)
}

/// The topic, which is the channel's address unless its bindings say otherwise.
fn topic(place: &Place) -> Result<&str, TaskFailure> {
    let topic = place.address.as_str();
    let is_good = (1..=TOPIC_BYTES_MAX).contains(&topic.len())
        && topic != "."
        && topic != ".."
        && topic.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it));
    if is_good {
        return Ok(topic);
    }
    Err(TaskFailure::configuration(format!("{topic:?} is no name of a topic"))
        .with_detail("name the topic in the channel's `bindings: { kafka: { topic } }`"))
}

/// A message, as expressions see it and as it is in the output.
fn read(message: &BorrowedMessage<'_>) -> Value {
    let mut headers = Map::new();
    if let Some(given) = message.headers() {
        for header in given.iter() {
            headers.insert(
                header.key.to_owned(),
                String::from_utf8_lossy(header.value.unwrap_or_default()).into(),
            );
        }
    }
    if let Some(key) = message.key() {
        headers.insert(KEY_HEADER.to_owned(), String::from_utf8_lossy(key).into());
    }
    let mut out = json!({ "payload": payload(message.payload()) });
    for name in ["correlationId", "correlationid", "correlation-id"] {
        if let Some(id) = headers.get(name) {
            out["correlationId"] = id.clone();
        }
    }
    out["headers"] = Value::Object(headers);
    out
}

/// JSON if it is some, else text, else the bytes in base64.
fn payload(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    serde_json::from_slice(bytes).unwrap_or_else(|_| match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => STANDARD.encode(bytes).into(),
    })
}

/// The client itself connects again.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    matches!(
        error.rdkafka_error_code(),
        Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve)
    )
}

fn failed(doing: &str, error: KafkaError) -> TaskFailure {
    use RDKafkaErrorCode as Code;
    let title = doing.to_owned();
    let failure = match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => TaskFailure::validation(title),
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed,
        ) => TaskFailure::authorization(title),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => TaskFailure::configuration(title),
        Some(Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut) => {
            TaskFailure::communication(title, 504, true)
        }
        _ => TaskFailure::communication(title, 503, true),
    };
    failure.with_detail(error.to_string())
}

/// A client. Closing it may block its thread for a while, so another one does that.
struct Closing<T: Send + Sync + 'static>(Option<Arc<T>>);

impl<T: Send + Sync + 'static> Closing<T> {
    fn new(client: T) -> Self {
        Self(Some(Arc::new(client)))
    }

    fn get(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }

    /// Asks the broker something, which blocks a thread.
    async fn blocking<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&T) -> Result<R, KafkaError> + Send + 'static,
    ) -> Result<R, TaskFailure> {
        let client = Arc::clone(self.0.as_ref().expect("it is there until it is dropped"));
        let asked = tokio::task::spawn_blocking(move || ask(&client)).await?;
        asked.map_err(|error| failed("the brokers do not answer", error))
    }
}

impl<T: Send + Sync + 'static> Drop for Closing<T> {
    fn drop(&mut self) {
        if let Ok(runtime) = Handle::try_current() {
            let client = self.0.take();
            runtime.spawn_blocking(move || drop(client));
        }
    }
}

/// What clients say is about brokers of others: it is for the task's failure, and not for the log.
#[derive(Clone, Copy, Debug)]
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "a Kafka client of a call reports an error");
    }
}

impl ConsumerContext for Quiet {}
