//! The Kafka protocol binding of CloudEvents: structured mode (the whole event is the value) and binary mode (attributes are
//! headers, the data is the value).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::inbox::{Attributes, InboxError, no_json};
use super::{CloudEvent, EventData, TRACEPARENT, TRACESTATE};
use crate::Timestamp;
use crate::codec::{Codec, DecodeError};
use crate::internal::ForwardedRecord;
use crate::trace;

/// A record of the inbox, borrowed from whoever read it. `B` is any form of bytes.
#[derive(Clone, Copy, Debug)]
pub struct InboxRecord<'a, B = Bytes> {
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [(String, B)],
    /// The value, if it has one.
    pub value: Option<&'a [u8]>,
    /// The record's time: the time of a signal that does not say its own.
    pub timestamp: Timestamp,
}

impl<'a> From<&'a ForwardedRecord> for InboxRecord<'a> {
    fn from(record: &'a ForwardedRecord) -> Self {
        Self {
            key: record.key.as_deref(),
            headers: &record.headers,
            value: record.value.as_deref(),
            timestamp: record.timestamp,
        }
    }
}

/// An event as a Kafka record, to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The subject, if the event has one: events about one instance stay in order.
    pub key: Option<Bytes>,
    /// Kafka headers.
    pub headers: Vec<(String, Bytes)>,
    /// The value.
    pub value: Option<Bytes>,
}

const CONTENT_TYPE: &str = "content-type";
const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";
const ATTRIBUTE_PREFIX: &str = "ce_";

impl EventRecord {
    /// An event that is JSON in the structured form already, in structured mode.
    #[must_use]
    pub fn structured(event: &Value) -> Self {
        let mut headers = vec![(CONTENT_TYPE.to_owned(), Bytes::from_static(STRUCTURED.as_bytes()))];
        let text = |name: &str| {
            event.get(name).and_then(Value::as_str).map(|text| Bytes::copy_from_slice(text.as_bytes()))
        };
        for name in [TRACEPARENT, TRACESTATE] {
            headers.extend(text(name).map(|value| (name.to_owned(), value)));
        }
        Self { key: text("subject"), headers, value: Some(event.to_string().into()) }
    }
}

impl CloudEvent {
    /// In structured mode: one JSON object. The form that people can read.
    #[must_use]
    pub fn to_structured(&self) -> EventRecord {
        EventRecord::structured(&self.to_json())
    }

    /// In binary mode: attributes are headers, the data is the value, as it is.
    #[must_use]
    pub fn to_binary(&self) -> EventRecord {
        let mut headers = Vec::new();
        let mut put = |name: &str, value: &str| {
            headers.push((name.to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        };
        put("ce_specversion", "1.0");
        put("ce_id", &self.event_id.id);
        put("ce_source", &self.event_id.source);
        put("ce_type", &self.event_type);
        let optional =
            [("ce_subject", &self.subject), ("ce_time", &self.time), ("ce_dataschema", &self.data_schema)];
        for (name, value) in optional {
            value.iter().for_each(|value| put(name, value));
        }
        self.data_content_type.iter().for_each(|media_type| put(CONTENT_TYPE, media_type));
        for (name, value) in &self.extensions {
            put(
                &format!("{ATTRIBUTE_PREFIX}{name}"),
                &value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            );
        }
        for name in [TRACEPARENT, TRACESTATE] {
            self.extension(name).iter().for_each(|value| put(name, value));
        }
        let is_text = self
            .data_content_type
            .as_deref()
            .is_some_and(|media_type| essence(media_type).starts_with("text/"));
        let value = match &self.data {
            Some(EventData::Json(Value::String(text))) if is_text => Some(text.clone().into_bytes()),
            // Not by `Display`, which goes through a formatter: this is done for every command between entities.
            Some(EventData::Json(data)) => {
                Some(serde_json::to_vec(data).expect("its maps have strings as their keys"))
            }
            // Text that is no base64 has been nobody's bytes: it goes out as it is.
            Some(EventData::Base64(text)) => {
                Some(BASE64_STANDARD.decode(text).unwrap_or_else(|_| text.clone().into_bytes()))
            }
            None => None,
        };
        let key = self.subject.as_ref().map(|subject| Bytes::copy_from_slice(subject.as_bytes()));
        EventRecord { key, headers, value: value.map(Bytes::from) }
    }

    /// Reads an event in either mode. A JSON object with a `specversion` is taken for an event in structured mode even when no
    /// header says so, because that is what people type.
    ///
    /// `codec` knows the schemas of data that is Avro.
    ///
    /// # Errors
    /// When it is no event, lacks an attribute, or its data cannot be read; [`InboxError::schema_to_fetch`] may help then.
    pub fn read<B: AsRef<[u8]>>(record: &InboxRecord<'_, B>, codec: &Codec) -> Result<Self, InboxError> {
        let content_type = header(record.headers, CONTENT_TYPE)?;
        match content_type.map(essence) {
            Some(media_type) if media_type.eq_ignore_ascii_case("application/cloudevents+json") => {
                structured(record.value)
            }
            Some(media_type) if media_type.to_ascii_lowercase().starts_with("application/cloudevents") => {
                let detail = format!(
                    "{media_type} is not supported; send application/cloudevents+json, or use binary mode"
                );
                Err(InboxError::NotACloudEvent { detail })
            }
            _ if is_binary(record) => binary(record, content_type, codec),
            media_type if media_type.is_none_or(is_json) => structured(record.value),
            _ => Err(InboxError::NotACloudEvent {
                detail: "neither ce_ headers nor a structured event".to_owned(),
            }),
        }
    }
}

/// Whether it has attributes as headers.
pub(super) fn is_binary<B>(record: &InboxRecord<'_, B>) -> bool {
    record.headers.iter().any(|(name, _)| name.starts_with(ATTRIBUTE_PREFIX))
}

/// Somebody's Avro as JSON.
pub(super) fn avro(value: &[u8], codec: &Codec) -> Result<Value, InboxError> {
    codec.avro_to_json(value).map_err(|error| match error {
        DecodeError::UnknownSchemaId(id) => InboxError::UnknownSchema { id },
        DecodeError::UnusableSchemaId { id, detail } => InboxError::UnusableSchema { id, detail },
        other => InboxError::UnreadableData { detail: other.to_string() },
    })
}

fn structured(value: Option<&[u8]>) -> Result<CloudEvent, InboxError> {
    let not_an_event = |detail: String| InboxError::NotACloudEvent { detail };
    let value = value.ok_or_else(|| not_an_event("the record has no value and no ce_ headers".to_owned()))?;
    let json: Value =
        serde_json::from_slice(value).map_err(|error| not_an_event(no_json("the value", &error)))?;
    if json.get("specversion").is_none() {
        return Err(not_an_event(
            "the value is JSON without \"specversion\", and there are no ce_ headers".to_owned(),
        ));
    }
    CloudEvent::from_json(json)
}

fn binary<B: AsRef<[u8]>>(
    record: &InboxRecord<'_, B>,
    content_type: Option<&str>,
    codec: &Codec,
) -> Result<CloudEvent, InboxError> {
    let mut attributes = Attributes::default();
    for (name, value) in record.headers {
        if let Some(attribute) = name.strip_prefix(ATTRIBUTE_PREFIX) {
            attributes.add(attribute.to_owned(), utf8(name, value.as_ref())?.into())?;
        }
    }
    // The binding puts it into `content-type`; some clients put it among the other attributes.
    let media_type = match content_type {
        Some(media_type) => Some(media_type.to_owned()),
        None => attributes.data_content_type().map(str::to_owned),
    };
    let (data, media_type) = match record.value {
        None => (None, media_type),
        Some(value) => read_data(value, media_type, codec)?,
    };
    attributes.set_data_content_type(media_type);
    attributes.into_event(data)
}

fn read_data(
    value: &[u8],
    media_type: Option<String>,
    codec: &Codec,
) -> Result<(Option<EventData>, Option<String>), InboxError> {
    let kind = media_type.as_deref().map(essence).unwrap_or("application/json").to_ascii_lowercase();
    if value.is_empty() {
        return Ok((None, media_type));
    }
    if is_json(&kind) {
        let json = serde_json::from_slice(value).map_err(|error| {
            let hint = if media_type.is_none() {
                "; there is no content-type header, so it was read as JSON"
            } else {
                ""
            };
            InboxError::UnreadableData { detail: format!("{}{hint}", no_json("the data", &error)) }
        })?;
        return Ok((Some(EventData::Json(json)), media_type));
    }
    if matches!(kind.as_str(), "application/avro" | "avro/binary" | "application/vnd.apache.avro") {
        let json = avro(value, codec)?;
        return Ok((Some(EventData::Json(json)), Some("application/json".to_owned())));
    }
    if kind.starts_with("text/") {
        let text = utf8("the data", value)?;
        return Ok((Some(EventData::Json(text.into())), media_type));
    }
    Ok((Some(EventData::Base64(BASE64_STANDARD.encode(value))), media_type))
}

/// The W3C trace context of a record, `traceparent` and `tracestate`: the headers that instrumented clients add, or else the event's own.
pub(super) fn trace<B: AsRef<[u8]>>(
    record: &InboxRecord<'_, B>,
    event: &CloudEvent,
) -> (Option<String>, Option<String>) {
    // A trace that cannot be read is no reason to refuse an event.
    let header = |name: &str| header(record.headers, name).ok().flatten();
    let read = trace::read(header).or_else(|| trace::read(|name| event.extension(name)));
    read.map_or((None, None), |(context, state)| (Some(context.to_string()), state.map(str::to_owned)))
}

fn header<'a, B: AsRef<[u8]>>(headers: &'a [(String, B)], name: &str) -> Result<Option<&'a str>, InboxError> {
    let found = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
    found.map(|(header, value)| utf8(header, value.as_ref())).transpose()
}

fn utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, InboxError> {
    std::str::from_utf8(bytes)
        .map_err(|_| InboxError::UnreadableData { detail: format!("{what} is not UTF-8") })
}

/// A media type without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or(media_type).trim()
}

pub(super) fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}
