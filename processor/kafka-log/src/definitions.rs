//! Follows the definitions topic: one partition, compacted, written by plain producers.

use std::time::Duration;

use millrace_runtime::log::{Definition, LogError, backoff};
use millrace_schemas::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::config::KafkaConfig;
use crate::context::Logging;
use crate::error::{from_kafka, retriable};
use crate::record;

/// The topic has one.
pub(crate) const PARTITION: i32 = 0;

/// From the beginning, for ever: until nobody listens. On a thread of its own.
pub(crate) fn tail(config: &KafkaConfig) -> Result<mpsc::Receiver<Definition>, LogError> {
    let topic = config.topics.definitions();
    let doing = "follow the definitions";
    let consumer: BaseConsumer<Logging> =
        config.definitions_reader().create_with_context(Logging).map_err(|error| from_kafka(doing, error))?;
    let (sender, receiver) = mpsc::channel(256);
    std::thread::Builder::new()
        .name("definitions".to_owned())
        .spawn(move || {
            if let Some(tail) = Tail::begin(consumer, &topic, sender) {
                tail.run();
            }
        })
        .map_err(|error| retriable(doing, error))?;
    Ok(receiver)
}

struct Tail {
    consumer: BaseConsumer<Logging>,
    sender: mpsc::Sender<Definition>,
    /// The end before the reading began. rdkafka does not say at which offset an end was met; the first one met lies here or
    /// further. Without it, a last record that compaction took away would be waited for for ever.
    end: i64,
}

impl Tail {
    /// Waits for the broker if it must; none if nobody listens any more.
    fn begin(consumer: BaseConsumer<Logging>, topic: &str, sender: mpsc::Sender<Definition>) -> Option<Self> {
        let mut attempt = 0;
        loop {
            match start(&consumer, topic) {
                Ok(end) => return Some(Self { consumer, sender, end }),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "cannot read the definitions yet")
                }
            }
            if sender.is_closed() {
                return None;
            }
            std::thread::sleep(backoff(attempt));
            attempt += 1;
        }
    }

    fn run(self) {
        let mut next = 0;
        loop {
            let definition = match self.consumer.poll(Duration::from_millis(250)) {
                Some(Ok(message)) => {
                    next = message.offset() + 1;
                    Definition::Record {
                        offset: Offset(message.offset()),
                        key: record::key(&message),
                        value: record::value(&message),
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => Definition::Position(Offset(next.max(self.end))),
                Some(Err(error)) => {
                    debug!(error = &error as &dyn std::error::Error, "the reader of the definitions goes on");
                    continue;
                }
                None if self.sender.is_closed() => return,
                None => continue,
            };
            if self.sender.blocking_send(definition).is_err() {
                return;
            }
        }
    }
}

fn start(consumer: &BaseConsumer<Logging>, topic: &str) -> Result<i64, KafkaError> {
    let (_, end) = consumer.fetch_watermarks(topic, PARTITION, Duration::from_secs(5))?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, PARTITION, rdkafka::Offset::Beginning)?;
    consumer.assign(&list)?;
    Ok(end)
}
