//! The lifecycle events of an instance, as the fleet has published them.

use millrace_schemas::cloud_event::{CloudEvent, InboxRecord};
use millrace_schemas::codec::Codec;
use millrace_schemas::{InstanceId, Offset};
use serde_json::Value;

use crate::clients::Kafka;
use crate::reading::home_of;

/// What the types of the language's own events begin with. On the same topic are answers to commands that were refused.
const TYPES: &str = "io.serverlessworkflow.";

/// Where the events of an instance that is about to start will be.
#[derive(Debug)]
pub(super) struct Published {
    topic: String,
    partition: i32,
    /// Nothing of the instance is before it.
    from: Offset,
}

impl Published {
    pub(super) async fn begin(kafka: &Kafka, id: &InstanceId) -> anyhow::Result<Self> {
        let topic = kafka.topics().lifecycle();
        let partition = i32::try_from(home_of(id, kafka.partitions(&topic).await?).0)?;
        let from = kafka.end(&topic, partition).await?;
        Ok(Self { topic, partition, from })
    }

    /// Those so far, in order. They are committed together with the changelog.
    pub(super) async fn read(
        &self,
        kafka: &Kafka,
        codec: &Codec,
        id: &InstanceId,
    ) -> anyhow::Result<Vec<Value>> {
        let mut events = Vec::new();
        for record in kafka.read(&self.topic, self.partition, Some(self.from)).await? {
            if record.key.as_deref() != Some(id.as_str().as_bytes()) {
                continue;
            }
            let inbox = InboxRecord {
                key: record.key.as_deref(),
                headers: &record.headers,
                value: record.value.as_deref(),
                timestamp: record.timestamp,
            };
            // What anybody else may put there is not ours to judge.
            let Ok(event) = CloudEvent::read(&inbox, codec) else { continue };
            if event.event_type.starts_with(TYPES) {
                events.push(event.into_json());
            }
        }
        Ok(events)
    }
}
