//! A plain producer, as users have it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use millrace_schemas::cloud_event::{CloudEvent, EventRecord};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::time::sleep;

const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// Sends events to one topic. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Publisher {
    producer: Arc<ThreadedProducer<Deliveries>>,
    topic: Arc<str>,
}

/// What became of the records.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    acknowledged: AtomicU64,
    lost: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    /// Why a record was given up.
    pub(crate) fn lost(&self) -> Option<KafkaError> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        eprintln!("producer: {error}: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => drop(self.acknowledged.fetch_add(1, Ordering::Relaxed)),
            Err((error, _)) => {
                *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone())
            }
        }
    }
}

impl Publisher {
    /// A producer with librdkafka's defaults, but for `options`. The default partitioner is not Java's: records of the inbox
    /// land in other partitions than their key's home, and the processor must forward them.
    pub(crate) fn new(bootstrap: &str, topic: &str, options: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        for (name, value) in options {
            config.set(*name, *value);
        }
        let producer =
            config.create_with_context(Deliveries::default()).context("the producer cannot be made")?;
        Ok(Self { producer: Arc::new(producer), topic: topic.into() })
    }

    /// Hands an event to the client; waits only while its queue is full.
    pub(crate) async fn send(&self, event: &CloudEvent) -> anyhow::Result<()> {
        self.send_record(&event.to_binary(), None).await
    }

    /// Hands a record to the client, for `partition` or for where its key belongs.
    pub(crate) async fn send_record(
        &self,
        record: &EventRecord,
        partition: Option<i32>,
    ) -> anyhow::Result<()> {
        loop {
            let mut out: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic).headers(to_headers(record));
            out.key = record.key.as_deref();
            out.payload = record.value.as_deref();
            out.partition = partition;
            match self.producer.send(out) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    sleep(QUEUE_FULL_PAUSE).await
                }
                Err((error, _)) => return Err(error).context("a record cannot be sent"),
            }
        }
    }

    /// Records that the broker has.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.producer.context().acknowledged.load(Ordering::Relaxed)
    }

    /// Records that neither the broker nor an error has answered for.
    pub(crate) fn in_flight(&self) -> i32 {
        self.producer.in_flight_count()
    }

    /// # Errors
    /// When a record was given up: the test would wait for something that was never asked.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.producer.context().lost() {
            Some(error) => bail!("a record did not reach {}: {error}", self.topic),
            None => Ok(()),
        }
    }
}

pub(crate) fn to_headers(record: &EventRecord) -> OwnedHeaders {
    record
        .headers
        .iter()
        .fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_ref()) })
        })
}
