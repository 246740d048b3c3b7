//! Plain clients for the command line: a producer without transactions, and a reader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_runtime::log::LogError;
use millrace_schemas::{Offset, Timestamp};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, TopicPartitionList};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::admin::Admin;
use crate::config::KafkaConfig;
use crate::context::Logging;
use crate::error::{blocking, from_kafka, retriable};
use crate::record;

/// How long a record may wait for room in the producer's queue.
const QUEUE_MAX: Duration = Duration::from_secs(10);

/// How long the leaders of a topic are looked for.
const METADATA_MAX: Duration = Duration::from_secs(10);

/// How long a reader of what exists waits for the next of it, while lost connections are mended.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A producer without transactions: idempotent, acknowledged by all replicas in sync, partitioned as Java's does it.
/// Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    producer: FutureProducer<Logging>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl Publisher {
    /// A producer; it connects when it is first used.
    ///
    /// # Errors
    /// When the settings make no sense.
    pub fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let producer = config
            .publisher()
            .create_with_context(Logging)
            .map_err(|error| from_kafka("create a producer", error))?;
        Ok(Self { producer })
    }

    /// Produces a record, and waits until it is durable: its partition and offset. A record without a value is a tombstone.
    ///
    /// # Errors
    /// When it is not acknowledged, after five minutes at most (`message.timeout.ms`).
    pub async fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        headers: &[(String, Bytes)],
        value: Option<&[u8]>,
    ) -> Result<(i32, Offset), LogError> {
        self.send_to(topic, None, key, headers, value).await
    }

    /// As [`Self::send`], to this partition instead of the one that the key hashes to.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_to(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        headers: &[(String, Bytes)],
        value: Option<&[u8]>,
    ) -> Result<(i32, Offset), LogError> {
        let record = FutureRecord {
            topic,
            partition,
            payload: value,
            key,
            timestamp: None,
            headers: record::owned_headers(headers),
        };
        match self.producer.send(record, QUEUE_MAX).await {
            Ok(delivery) => Ok((delivery.partition, Offset(delivery.offset))),
            Err((error, _)) => {
                let bytes = value.map_or(0, <[u8]>::len);
                Err(from_kafka(format!("produce a record of {bytes} bytes to {topic}"), error))
            }
        }
    }
}

/// What a reader sees of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Records of committed transactions, and those without one.
    Committed,
    /// All records.
    Uncommitted,
}

impl Isolation {
    fn name(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record.
    Beginning,
    /// With the first record after the call of [`Tail::open`].
    End,
    /// Here; with the oldest record if this one is gone.
    At(Offset),
}

/// A partition to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailSource {
    /// Of which topic.
    pub topic: String,
    /// Which partition.
    pub partition: i32,
    /// From where.
    pub start: Start,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailRecord {
    /// Of which topic.
    pub topic: String,
    /// Which partition.
    pub partition: i32,
    /// Where it stands.
    pub offset: Offset,
    /// The record's own time.
    pub timestamp: Timestamp,
    /// As it came.
    pub key: Option<Bytes>,
    /// As they came.
    pub headers: Vec<(String, Bytes)>,
    /// As it came; none is a tombstone.
    pub value: Option<Bytes>,
}

/// Reads partitions, in no group, committing nothing.
pub struct Tail {
    /// None only while it is being dropped.
    consumer: Option<Arc<StreamConsumer<Logging>>>,
    /// Topics of partitions that were added, whose leaders are known.
    met: BTreeSet<String>,
    /// The partitions whose end, as it was at the opening, has not been met yet.
    unread: BTreeMap<(String, i32), Offset>,
    /// Ends are reported without their topic, so they mean something only here.
    has_one_topic: bool,
    doing: String,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("unread", &self.unread).finish_non_exhaustive()
    }
}

impl Tail {
    /// Begins to read. Nothing that is produced after this returns is missed.
    ///
    /// # Errors
    /// When a partition does not exist, or no broker answers.
    pub async fn open(
        config: &KafkaConfig,
        sources: &[TailSource],
        isolation: Isolation,
    ) -> Result<Self, LogError> {
        let doing =
            format!("read {}", sources.iter().map(|it| it.topic.as_str()).collect::<Vec<_>>().join(", "));
        let admin = Admin::new(config)?;
        let mut list = TopicPartitionList::new();
        let mut unread = BTreeMap::new();
        for source in sources {
            let (first, end) = admin.bounds(&source.topic, source.partition).await?;
            let start = match source.start {
                Start::Beginning => first,
                Start::End => end,
                Start::At(offset) => offset.max(first),
            };
            if start < end {
                unread.insert((source.topic.clone(), source.partition), end);
            }
            list.add_partition_offset(&source.topic, source.partition, rdkafka::Offset::Offset(start.0))
                .map_err(|error| from_kafka(doing.clone(), error))?;
        }
        let consumer: StreamConsumer<Logging> = config
            .tail(isolation.name())
            .create_with_context(Logging)
            .map_err(|error| from_kafka(doing.clone(), error))?;
        consumer.assign(&list).map_err(|error| from_kafka(doing.clone(), error))?;
        let has_one_topic = sources.windows(2).all(|it| it[0].topic == it[1].topic);
        Ok(Self { consumer: Some(Arc::new(consumer)), met: BTreeSet::new(), unread, has_one_topic, doing })
    }

    /// A reader of nothing yet: see [`Self::add`].
    ///
    /// # Errors
    /// When the settings make no sense.
    pub fn idle(config: &KafkaConfig, isolation: Isolation) -> Result<Self, LogError> {
        let doing = "read topics".to_owned();
        let consumer: StreamConsumer<Logging> = config
            .tail(isolation.name())
            .create_with_context(Logging)
            .map_err(|error| from_kafka(doing.clone(), error))?;
        let (unread, met) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { consumer: Some(Arc::new(consumer)), met, unread, has_one_topic: false, doing })
    }

    /// Reads these partitions as well, from these offsets on. None of them may be read already.
    ///
    /// # Errors
    /// When a topic does not exist, or no broker answers.
    pub async fn add(&mut self, sources: &[(String, i32, Offset)]) -> Result<(), LogError> {
        let consumer = Arc::clone(self.consumer.as_ref().expect("only drop takes it"));
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in sources {
            list.add_partition_offset(topic, *partition, rdkafka::Offset::Offset(offset.0))
                .map_err(|error| from_kafka(self.doing.clone(), error))?;
        }
        let new: BTreeSet<String> =
            sources.iter().map(|it| &it.0).filter(|it| !self.met.contains(*it)).cloned().collect();
        let topics = new.clone();
        // librdkafka looks only once a second for the leaders of partitions whose topic it has not met.
        let assigned: KafkaResult<()> = blocking(move || {
            for topic in &topics {
                consumer.fetch_metadata(Some(topic), METADATA_MAX)?;
            }
            consumer.incremental_assign(&list)
        })
        .await;
        assigned.map_err(|error| from_kafka(self.doing.clone(), error))?;
        self.met.extend(new);
        Ok(())
    }

    /// Reads these partitions no more. What was fetched of them may still come.
    ///
    /// # Errors
    /// When one of them was not read.
    pub fn remove(&mut self, sources: &[(String, i32)]) -> Result<(), LogError> {
        let consumer = self.consumer.as_ref().expect("only drop takes it");
        let mut list = TopicPartitionList::new();
        for (topic, partition) in sources {
            list.add_partition(topic, *partition);
        }
        consumer.incremental_unassign(&list).map_err(|error| from_kafka(self.doing.clone(), error))
    }

    /// The next record of any of the partitions; waits for it. In order within each partition. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// When reading is not allowed, or the topic is gone. Lost connections are mended.
    pub async fn next(&mut self) -> Result<TailRecord, LogError> {
        loop {
            if let Some(record) = self.receive().await? {
                return Ok(record);
            }
        }
    }

    /// The next record among those that the partitions held when the reading began; none when all of them have been read.
    /// Records of transactions that were open at the time may be left out.
    ///
    /// # Panics
    /// When there is more than one topic.
    ///
    /// # Errors
    /// As [`Self::next`], and when nothing has come for [`SILENCE_MAX`].
    pub async fn next_existing(&mut self) -> Result<Option<TailRecord>, LogError> {
        assert!(self.has_one_topic, "the end of what exists is known for one topic only");
        let mut heard = Instant::now();
        while !self.unread.is_empty() {
            let unread = self.unread.len();
            match timeout_at(heard + SILENCE_MAX, self.receive()).await {
                Ok(received) => match received? {
                    Some(record) => return Ok(Some(record)),
                    None if self.unread.len() < unread => heard = Instant::now(),
                    None => {}
                },
                Err(_) => {
                    let silence = format!("no broker has sent anything for {} s", SILENCE_MAX.as_secs());
                    return Err(retriable(self.doing.clone(), silence));
                }
            }
        }
        Ok(None)
    }

    /// None for the end of a partition, and for errors that pass.
    async fn receive(&mut self) -> Result<Option<TailRecord>, LogError> {
        let consumer = self.consumer.as_ref().expect("only drop takes it");
        match consumer.recv().await {
            Ok(message) => {
                let record = owned(&message);
                let place = (record.topic.clone(), record.partition);
                if self.unread.get(&place).is_some_and(|end| record.offset.0 + 1 >= end.0) {
                    self.unread.remove(&place);
                }
                Ok(Some(record))
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                // The records before the end may be invisible, such as the marker of a transaction.
                self.unread.retain(|place, _| place.1 != partition);
                Ok(None)
            }
            Err(error) => match from_kafka(self.doing.clone(), error) {
                passing @ LogError::Retriable { .. } => {
                    debug!(error = &passing as &dyn std::error::Error, "the reader goes on");
                    Ok(None)
                }
                lasting => Err(lasting),
            },
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // A consumer takes up to a tenth of a second to close, and blocks.
        if let Some(consumer) = self.consumer.take() {
            std::thread::spawn(move || drop(consumer));
        }
    }
}

fn owned(message: &BorrowedMessage<'_>) -> TailRecord {
    TailRecord {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: Offset(message.offset()),
        timestamp: record::timestamp(message),
        key: record::key(message),
        headers: record::headers(message),
        value: record::value(message),
    }
}
