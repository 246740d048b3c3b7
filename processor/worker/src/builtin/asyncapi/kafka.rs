//! Messages in topics of Kafka.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Map, Value, json};
use tokio::time::timeout_at;
use uuid::Uuid;

use super::arguments::Message;
use super::brokers::{ANSWER_MAX, Closing, Quiet, Topic, failed};
use super::subscription::Subscription;
use crate::builtin::process::text;
use crate::{Task, TaskFailure};

/// The header that becomes a record's key, as CloudEvents have it.
const KEY_HEADER: &str = "partitionkey";

/// Publishes a message as a record; says where it is.
pub(super) async fn publish(
    topic: &Topic<'_>,
    message: &Message,
    task: &Task,
    limit: Duration,
    bytes_max: usize,
) -> Result<Value, TaskFailure> {
    let payload = serde_json::to_vec(&message.payload)?;
    if payload.len() > bytes_max {
        let title = format!("the message has more than {} bytes", bytes_max);
        return Err(TaskFailure::validation(title));
    }
    let mut config = topic.config().await?;
    topic.judged_partitions(&config).await?;
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", limit.as_millis().to_string())
        .set("message.max.bytes", (bytes_max + 64 * 1024).to_string());
    let producer = Closing::new(config.create_with_context::<_, FutureProducer<Quiet>>(Quiet)?);
    let mut key = None;
    let mut headers = OwnedHeaders::new();
    let ours = [
        ("content-type", Some("application/json")),
        ("idempotency-key", Some(task.idempotency_key())),
        ("traceparent", task.traceparent()),
        ("tracestate", task.tracestate().filter(|_| !message.headers.contains_key("traceparent"))),
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
    let mut record = FutureRecord::<str, [u8]>::to(topic.name).headers(headers).payload(&payload);
    record.key = key.as_deref();
    let sent = producer.get().send(record, Timeout::After(limit)).await;
    let delivery = sent.map_err(|(error, _)| failed("the message was not published", error))?;
    Ok(json!({ "topic": topic.name, "partition": delivery.partition, "offset": delivery.offset }))
}

/// Consumes messages, from where the topic ended when the task began. The place is kept under the task's name, so that another
/// delivery or attempt begins there, too, and misses nothing.
pub(super) async fn consume(
    topic: &Topic<'_>,
    mut subscription: Subscription,
    task: &Task,
) -> Result<Value, TaskFailure> {
    let mut config = topic.config().await?;
    let partitions = topic.judged_partitions(&config).await?;
    let group = Uuid::new_v5(&Uuid::NAMESPACE_OID, task.idempotency_key().as_bytes());
    config
        .set("group.id", format!("millrace-{}", group.simple()))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", "4096");
    let consumer = Closing::new(config.create_with_context::<_, StreamConsumer<Quiet>>(Quiet)?);
    let begin = begin(&consumer, topic.name.to_owned(), partitions).await?;
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
