//! From a record of somebody else's topic to an event for whoever listens. Such a record is never a command, nor addressed to an
//! instance: who may write there need not be allowed to start, answer or cancel anything.

use serde_json::Value;

use super::inbox::{InboxError, check_depth, no_json};
use super::kafka::{InboxRecord, avro, is_binary, trace};
use super::{CloudEvent, PARTITION_KEY, PublishedEvent, types};
use crate::EventId;
use crate::codec::Codec;
use crate::internal::RecordPosition;

/// What the value of a record is that is no CloudEvent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainValue {
    /// JSON in UTF-8.
    Json,
    /// Avro in the Confluent wire format.
    Avro,
}

/// The CloudEvent in a record. None if there is no event in it: without a value, and not in binary mode, it is a tombstone.
///
/// # Errors
/// When it cannot be read, or is of a type that only the inbox takes; [`InboxError::schema_to_fetch`] may help then.
pub fn read_published<B: AsRef<[u8]>>(
    record: &InboxRecord<'_, B>,
    codec: &Codec,
) -> Result<Option<PublishedEvent>, InboxError> {
    if record.value.is_none() && !is_binary(record) {
        return Ok(None);
    }
    let event = CloudEvent::read(record, codec)?;
    if event.event_type.starts_with(types::PREFIX) {
        return Err(InboxError::OwnType { event_type: event.event_type.chars().take(128).collect() });
    }
    check_depth(&event)?;
    let event = if event.time.is_none() { event.with_time(record.timestamp) } else { event };
    Ok(Some(published(record, event)))
}

/// The event that a record stands for which is none itself. Its `id` and `source` say where the record is, its `time` is that of the
/// record, its data the value; a key that is text is the extension `partitionkey`.
///
/// # Errors
/// When the value cannot be read; [`InboxError::schema_to_fetch`] may help then.
pub fn read_plain<B: AsRef<[u8]>>(
    record: &InboxRecord<'_, B>,
    position: &RecordPosition,
    value: PlainValue,
    event_type: &str,
    codec: &Codec,
) -> Result<PublishedEvent, InboxError> {
    let data = match (record.value, value) {
        (None, PlainValue::Json | PlainValue::Avro) => None,
        (Some(bytes), PlainValue::Json) => {
            let data = serde_json::from_slice::<Value>(bytes);
            Some(data.map_err(|error| InboxError::UnreadableData { detail: no_json("the value", &error) })?)
        }
        (Some(bytes), PlainValue::Avro) => Some(avro(bytes, codec)?),
    };
    let RecordPosition { topic, partition, offset } = position;
    let id = EventId { source: format!("kafka:{topic}"), id: format!("{topic}/{partition}/{}", offset.0) };
    let mut event = CloudEvent::new(id, event_type).with_time(record.timestamp);
    if let Some(data) = data {
        event = event.with_data(data);
    }
    let key = record.key.and_then(|it| std::str::from_utf8(it).ok());
    if let Some(key) = key.filter(|it| !it.is_empty() && !it.chars().any(char::is_control)) {
        event = event.with_extension(PARTITION_KEY, key);
    }
    check_depth(&event)?;
    Ok(published(record, event))
}

fn published<B: AsRef<[u8]>>(record: &InboxRecord<'_, B>, event: CloudEvent) -> PublishedEvent {
    let (traceparent, tracestate) = trace(record, &event);
    let cause = event.event_id.clone();
    PublishedEvent { cause, traceparent, tracestate, event: event.into_json().into(), business_key: None }
}
