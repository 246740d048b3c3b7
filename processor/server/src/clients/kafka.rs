//! Kafka, as the command line and the API use it: a record sent, a topic read to its end, a topic followed, topics created.

use std::sync::OnceLock;

use bytes::Bytes;
use millrace_kafka_log::{
    Admin, GroupProtocol, Isolation, KafkaConfig, KafkaLog, Publisher, Start, Tail as LogTail, TailSource,
    TopicDifference,
};
use millrace_placement::{TopicSpec, Topics};
use millrace_runtime::log::LogError;
use millrace_schemas::Offset;
use millrace_schemas::cloud_event::{CloudEvent, EventRecord};
use serde::{Deserialize, Serialize};

use crate::config::Global;
use crate::exit::Failure;
use crate::traces::Traces;

/// A record that was read.
pub(crate) use millrace_kafka_log::TailRecord as Record;

/// An event that was sent, and where it stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sent {
    pub(crate) event: SentEvent,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// `source` and `id` of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SentEvent {
    pub(crate) source: String,
    pub(crate) id: String,
}

/// How one topic is, against how it should be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TopicView {
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    /// `missing`, `created`, `as_planned` or `differs`.
    pub(crate) state: &'static str,
    /// What differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) differences: Vec<String>,
}

/// Where Kafka is. Connections are made when they are needed, and kept.
#[derive(Debug)]
pub(crate) struct Kafka {
    config: KafkaConfig,
    admin: OnceLock<Admin>,
    publisher: OnceLock<Publisher>,
    traces: Traces,
}

impl Kafka {
    pub(crate) fn new(global: &Global) -> Self {
        let mut config = KafkaConfig::new(&global.bootstrap, global.topics());
        config.settings = global.kafka_settings();
        let traces = global.traces.clone();
        Self { config, admin: OnceLock::new(), publisher: OnceLock::new(), traces }
    }

    /// What it records.
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The topics of the fleet.
    pub(crate) fn topics(&self) -> &Topics {
        &self.config.topics
    }

    /// The processor's log.
    pub(crate) async fn log(&self, ordinal: u32, group_protocol: GroupProtocol) -> anyhow::Result<KafkaLog> {
        let config = KafkaConfig { ordinal, group_protocol, ..self.config.clone() };
        KafkaLog::connect(config).await.map_err(|error| self.failed(error))
    }

    /// Sends an event to the inbox, with the time of now.
    pub(crate) async fn send_event(&self, event: CloudEvent) -> anyhow::Result<Sent> {
        let (event, sending) = self.traces.send(event.with_time(super::now()));
        let EventRecord { key, headers, value } = event.to_structured();
        let topic = self.config.topics.events();
        let sent = self.send(&topic, key.as_deref(), &headers, value.as_deref()).await;
        let place = sent.as_ref().ok().map(|(partition, offset)| (*partition, offset.0));
        self.traces.sent(sending, &topic, place);
        let (partition, offset) = sent?;
        let event = SentEvent { source: event.event_id.source, id: event.event_id.id };
        Ok(Sent { event, partition, offset: offset.0 })
    }

    /// Sends a record, and waits until it is durable.
    pub(crate) async fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        headers: &[(String, Bytes)],
        value: Option<&[u8]>,
    ) -> anyhow::Result<(i32, Offset)> {
        self.send_to(topic, None, key, headers, value).await
    }

    /// As [`Self::send`], to this partition instead of the one that the key hashes to.
    pub(crate) async fn send_to(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        headers: &[(String, Bytes)],
        value: Option<&[u8]>,
    ) -> anyhow::Result<(i32, Offset)> {
        // Asked first: a producer would wait for a missing topic, or for a broker that is not there, for as long as it may.
        self.partitions(topic).await?;
        let sent = async { self.publisher()?.send_to(topic, partition, key, headers, value).await };
        sent.await.map_err(|error| self.failed(error))
    }

    /// How many partitions the topic has.
    pub(crate) async fn partitions(&self, topic: &str) -> anyhow::Result<u32> {
        self.partitions_if_any(topic).await?.ok_or_else(|| {
            let fix = "check --prefix; for a new fleet: millrace topics apply";
            Failure::new(format!("there is no topic {topic} at {}", self.config.bootstrap), fix).into()
        })
    }

    /// How many partitions the topic has; none if it does not exist.
    pub(crate) async fn partitions_if_any(&self, topic: &str) -> anyhow::Result<Option<u32>> {
        self.admin()?.partitions(topic).await.map_err(|error| self.failed(error))
    }

    /// The offset that the next record of the partition will have.
    pub(crate) async fn end(&self, topic: &str, partition: i32) -> anyhow::Result<Offset> {
        Ok(self.bounds(topic, partition).await?.1)
    }

    /// The first offset that the partition still holds, and the one that the next record will have.
    pub(crate) async fn bounds(&self, topic: &str, partition: i32) -> anyhow::Result<(Offset, Offset)> {
        self.admin()?.bounds(topic, partition).await.map_err(|error| self.failed(error))
    }

    /// The committed records of a partition, from `from` (or its beginning) to its present end.
    pub(crate) async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: Option<Offset>,
    ) -> anyhow::Result<Vec<Record>> {
        let start = from.map_or(Start::Beginning, Start::At);
        let mut tail = self.tail(&[TailSource { topic: topic.to_owned(), partition, start }]).await?;
        let mut records = Vec::new();
        while let Some(record) = tail.next_existing().await? {
            records.push(record);
        }
        Ok(records)
    }

    /// Follows the committed records of these partitions from their present ends.
    pub(crate) async fn tail_from_end(&self, sources: &[(String, i32)]) -> anyhow::Result<Tail> {
        let source = |(topic, partition): &(String, i32)| TailSource {
            topic: topic.clone(),
            partition: *partition,
            start: Start::End,
        };
        self.tail(&sources.iter().map(source).collect::<Vec<_>>()).await
    }

    /// Follows the committed records of these partitions from these offsets.
    pub(crate) async fn tail_from(&self, sources: &[(String, i32, Offset)]) -> anyhow::Result<Tail> {
        let source = |(topic, partition, offset): &(String, i32, Offset)| TailSource {
            topic: topic.clone(),
            partition: *partition,
            start: Start::At(*offset),
        };
        self.tail(&sources.iter().map(source).collect::<Vec<_>>()).await
    }

    /// A reader of committed records that is told later what to read.
    pub(crate) fn idle_tail(&self) -> anyhow::Result<Tail> {
        let tail = LogTail::idle(&self.config, Isolation::Committed);
        Ok(Tail { tail: tail.map_err(|error| self.failed(error))?, bootstrap: self.config.bootstrap.clone() })
    }

    async fn tail(&self, sources: &[TailSource]) -> anyhow::Result<Tail> {
        let tail = LogTail::open(&self.config, sources, Isolation::Committed).await;
        Ok(Tail { tail: tail.map_err(|error| self.failed(error))?, bootstrap: self.config.bootstrap.clone() })
    }

    /// Creates those that are missing.
    pub(crate) async fn create_topics(&self, specs: &[TopicSpec]) -> anyhow::Result<()> {
        self.admin()?.apply(specs).await.map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// How each of these topics is, in their order.
    pub(crate) async fn compare_topics(&self, specs: &[TopicSpec]) -> anyhow::Result<Vec<TopicView>> {
        let differences = self.admin()?.plan(specs).await.map_err(|error| self.failed(error))?;
        Ok(specs.iter().map(|spec| TopicView::new(spec, &differences)).collect())
    }

    /// The brokers, in a sentence.
    pub(crate) async fn describe_cluster(&self) -> anyhow::Result<String> {
        let cluster = self.admin()?.cluster().await.map_err(|error| self.failed(error))?;
        let brokers: Vec<_> =
            cluster.brokers.iter().map(|it| format!("{} ({}:{})", it.id, it.host, it.port)).collect();
        let name = cluster.id.unwrap_or_else(|| "without a name".to_owned());
        Ok(format!("cluster {name}, brokers {}", brokers.join(", ")))
    }

    /// How many members a consumer group has.
    pub(crate) async fn group_members(&self, group: &str) -> anyhow::Result<usize> {
        self.admin()?.group_members(group).await.map_err(|error| self.failed(error))
    }

    fn admin(&self) -> anyhow::Result<&Admin> {
        if let Some(admin) = self.admin.get() {
            return Ok(admin);
        }
        let admin = Admin::new(&self.config).map_err(|error| self.failed(error))?;
        Ok(self.admin.get_or_init(|| admin))
    }

    fn publisher(&self) -> Result<&Publisher, LogError> {
        if let Some(publisher) = self.publisher.get() {
            return Ok(publisher);
        }
        let publisher = Publisher::new(&self.config)?;
        Ok(self.publisher.get_or_init(|| publisher))
    }

    fn failed(&self, error: LogError) -> anyhow::Error {
        failed(&self.config.bootstrap, error)
    }
}

/// Says where, and what to do.
fn failed(bootstrap: &str, error: LogError) -> anyhow::Error {
    let usual = "check --bootstrap, and that the brokers run; TLS and SASL are set with --kafka-config or --kafka-set";
    let passes = matches!(error, LogError::Retriable { .. });
    let (doing, fix, source) = match error {
        LogError::Retriable { doing, source } => (doing, usual.to_owned(), Some(source)),
        LogError::Fenced { doing } => (doing, usual.to_owned(), None),
        LogError::HeldUp { doing, by } => (doing, by, None),
        LogError::Fatal { doing, fix, source } => (doing, fix, source),
    };
    Failure { source, passes, ..Failure::new(format!("could not {doing} (Kafka at {bootstrap})"), fix) }
        .into()
}

/// Follows partitions.
#[derive(Debug)]
pub(crate) struct Tail {
    tail: LogTail,
    bootstrap: String,
}

impl Tail {
    /// The next record; waits for it. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Record> {
        self.tail.next().await.map_err(|error| failed(&self.bootstrap, error))
    }

    /// The next of the records that were there when the reading began; none when all have been read.
    pub(crate) async fn next_existing(&mut self) -> anyhow::Result<Option<Record>> {
        self.tail.next_existing().await.map_err(|error| failed(&self.bootstrap, error))
    }

    /// Reads these partitions as well.
    pub(crate) async fn add(&mut self, sources: &[(String, i32, Offset)]) -> anyhow::Result<()> {
        self.tail.add(sources).await.map_err(|error| failed(&self.bootstrap, error))
    }

    /// Reads these partitions no more.
    pub(crate) fn remove(&mut self, sources: &[(String, i32)]) -> anyhow::Result<()> {
        self.tail.remove(sources).map_err(|error| failed(&self.bootstrap, error))
    }
}

impl TopicView {
    fn new(spec: &TopicSpec, all: &[TopicDifference]) -> Self {
        let (mut state, mut differences) = ("as_planned", Vec::new());
        for difference in all {
            match difference {
                TopicDifference::Missing(missing) if missing.name == spec.name => state = "missing",
                TopicDifference::Partitions { topic, wanted, found } if *topic == spec.name => {
                    differences.push(format!("{found} partitions instead of {wanted}"));
                }
                TopicDifference::Setting { topic, name, wanted, found } if *topic == spec.name => {
                    let found = found.as_deref().unwrap_or("unknown");
                    differences.push(format!("{name} is {found} instead of {wanted}"));
                }
                TopicDifference::Missing(_)
                | TopicDifference::Partitions { .. }
                | TopicDifference::Setting { .. } => {}
            }
        }
        if !differences.is_empty() {
            state = "differs";
        }
        Self { topic: spec.name.clone(), partitions: spec.partitions, state, differences }
    }
}
