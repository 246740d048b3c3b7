//! From an event to the command that it asks for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::kafka::{InboxRecord, is_json, trace};
use super::{
    ANSWER, BUSINESS_KEY, CORRELATE, CloudEvent, EventData, FILTER, LISTENER, PARENT, PARENT_TOKEN,
    TASK_TOKEN, WORKFLOW, control, types,
};
use crate::channel::ChannelCommand;
use crate::codec::Codec;
use crate::command::{Addressed, AddressedCommand, Answer, Command};
use crate::event::{ParentTask, TaskError};
use crate::ids::InvalidId;
use crate::payload::is_deeper_than;
use crate::schedule::ScheduleCommand;
use crate::{EventId, ExecutionId, InstanceId, Payload, TaskToken, WorkflowName};

/// A record of the inbox that asks for nothing that can be done. It becomes a dead letter, except for
/// [`InboxError::UnknownSchema`], which may pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// Neither structured nor binary mode.
    #[error("not a CloudEvent: {detail}")]
    NotACloudEvent {
        /// What it is instead.
        detail: String,
    },
    /// An attribute that must be there.
    #[error("attribute {attribute} is missing: {rule}")]
    MissingAttribute {
        /// Its name.
        attribute: &'static str,
        /// Why it must be there.
        rule: &'static str,
    },
    /// An attribute that has no such value.
    #[error("attribute {attribute} is {value}: {rule}")]
    InvalidAttribute {
        /// Its name.
        attribute: String,
        /// What it is, shortened.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The data is not what its type or its media type says.
    #[error("unreadable data: {detail}")]
    UnreadableData {
        /// What is wrong.
        detail: String,
    },
    /// A type in Millrace's own namespace that does not exist.
    #[error(
        "type {event_type:?} does not exist: check its spelling; types that begin with io.millrace. are Millrace's own"
    )]
    UnknownType {
        /// Shortened.
        event_type: String,
    },
    /// A type in Millrace's own namespace, in a topic that is not the inbox.
    #[error("type {event_type:?} is Millrace's own, and means something only in the inbox")]
    OwnType {
        /// Shortened.
        event_type: String,
    },
    /// The subject, or the key, is no instance id.
    #[error("{0}")]
    InvalidInstanceId(InvalidId),
    /// The token is none.
    #[error("{0}")]
    InvalidToken(InvalidId),
    /// The data's schema is not known yet: fetch it into the codec and try again.
    #[error("schema id {id} of the data is not known yet: fetch it from the schema registry")]
    UnknownSchema {
        /// The registry's id.
        id: u32,
    },
    /// The data's schema cannot be had.
    #[error("schema id {id} of the data cannot be used: {detail}")]
    UnusableSchema {
        /// The registry's id.
        id: u32,
        /// Why.
        detail: String,
    },
}

impl InboxError {
    /// A stable name, for headers of dead letters and for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotACloudEvent { .. } => "not-a-cloudevent",
            Self::MissingAttribute { .. } => "missing-attribute",
            Self::InvalidAttribute { .. } => "invalid-attribute",
            Self::UnreadableData { .. } => "unreadable-data",
            Self::UnknownType { .. } => "unknown-type",
            Self::OwnType { .. } => "own-type",
            Self::InvalidInstanceId(_) => "invalid-instance-id",
            Self::InvalidToken(_) => "invalid-token",
            Self::UnknownSchema { .. } | Self::UnusableSchema { .. } => "unknown-schema",
        }
    }

    /// The registry id of the schema without which the record cannot be read, if that is what is wrong. After the codec has
    /// learnt it, or learnt that there is none, reading the record again gives another answer.
    #[must_use]
    pub fn schema_to_fetch(&self) -> Option<u32> {
        match self {
            Self::UnknownSchema { id } => Some(*id),
            _ => None,
        }
    }
}

/// What a record of the inbox asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum InboxRequest {
    /// Something of one instance.
    Instance(AddressedCommand),
    /// Something of one channel.
    Channel(Addressed<ChannelCommand>),
    /// Something of one schedule.
    Schedule(Addressed<ScheduleCommand>),
    /// An event for whoever listens.
    Publish(PublishedEvent),
}

/// An event that is addressed to nobody.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedEvent {
    /// Names it.
    pub cause: EventId,
    /// W3C trace context of the record, if it had one.
    pub traceparent: Option<String>,
    /// What goes with that.
    pub tracestate: Option<String>,
    /// The whole CloudEvent as a JSON object in the structured form.
    pub event: Payload,
    /// It is for the instances of a workflow that are known by this key, whatever others listen for.
    pub business_key: Option<(WorkflowName, String)>,
}

/// What a record of the inbox asks for.
///
/// `codec` knows the schemas of data that is Avro.
///
/// # Errors
/// When the record is no event, or asks for nothing that can be done.
pub fn read_inbox<B: AsRef<[u8]>>(
    record: &InboxRecord<'_, B>,
    codec: &Codec,
) -> Result<InboxRequest, InboxError> {
    let mut event = CloudEvent::read(record, codec)?;
    check_depth(&event)?;
    // It is for Millrace, and no part of what a workflow hears.
    let answer = answer(event.extensions.remove(ANSWER))?;
    let is_own = event.event_type.starts_with(types::PREFIX);
    let is_unaddressed = event.subject.is_none() && record.key.is_none();
    let is_correlated = event.extensions.get(CORRELATE).is_some_and(|it| *it == true || *it == "true");
    let has_business_key = event.extensions.contains_key(BUSINESS_KEY);
    if !is_own && (is_unaddressed || is_correlated || has_business_key) {
        return published(record, event).map(InboxRequest::Publish);
    }
    let instance = instance(event.subject.as_deref(), record.key)?;
    let (traceparent, tracestate) = trace(record, &event);
    let cause = event.event_id.clone();
    if event.event_type == types::CHANNEL {
        if !instance.is_channel() {
            let rule = "it must be the id of a channel; only processors write such events";
            let value = shown(&instance.as_str().into());
            return Err(InboxError::InvalidAttribute { attribute: "subject".to_owned(), value, rule });
        }
        let command = serde_json::from_value(data(event)?.unwrap_or_default()).map_err(|error| {
            InboxError::UnreadableData { detail: format!("no command for a channel: {error}") }
        })?;
        return Ok(InboxRequest::Channel(Addressed {
            instance,
            cause,
            traceparent,
            tracestate,
            answer,
            command,
        }));
    }
    if instance.is_schedule() {
        let command = schedule_command(record, event)?;
        return Ok(InboxRequest::Schedule(Addressed {
            instance,
            cause,
            traceparent,
            tracestate,
            answer,
            command,
        }));
    }
    if instance.is_reserved() {
        let rule = "ids that begin with millrace: are Millrace's own; choose another";
        let value = shown(&instance.as_str().into());
        return Err(InboxError::InvalidAttribute { attribute: "subject".to_owned(), value, rule });
    }
    let command = command(record, event)?;
    Ok(InboxRequest::Instance(AddressedCommand { instance, cause, traceparent, tracestate, answer, command }))
}

/// What the sender wants to be told. Headers of Kafka have texts only.
fn answer(attribute: Option<Value>) -> Result<Answer, InboxError> {
    match attribute {
        None | Some(Value::Bool(false)) => Ok(Answer::Refusal),
        Some(Value::Bool(true)) => Ok(Answer::Outcome),
        Some(Value::String(text)) if text == "false" => Ok(Answer::Refusal),
        Some(Value::String(text)) if text == "true" => Ok(Answer::Outcome),
        Some(Value::String(text)) if text == "now" => Ok(Answer::AtOnce),
        Some(other) => {
            let rule =
                "`true` asks for the outcome, `now` for that of an event that must not wait for a `listen`";
            Err(InboxError::InvalidAttribute { attribute: ANSWER.to_owned(), value: shown(&other), rule })
        }
    }
}

/// How much deeper an event is nested in the command that carries it.
const WRAPPING_DEPTH: usize = 4;

pub(super) fn check_depth(event: &CloudEvent) -> Result<(), InboxError> {
    // What channels are sent, and send, has an event in it that was checked when it came.
    let is_wrapped = matches!(event.event_type.as_str(), types::CHANNEL | types::DELIVER | types::START);
    let max = Payload::INBOX_DEPTH_MAX + if is_wrapped { WRAPPING_DEPTH } else { 0 };
    if let Some(EventData::Json(data)) = &event.data
        && is_deeper_than(data, max)
    {
        return Err(InboxError::UnreadableData {
            detail: format!("it is nested more than {} deep; flatten it", Payload::INBOX_DEPTH_MAX),
        });
    }
    Ok(())
}

fn published<B: AsRef<[u8]>>(
    record: &InboxRecord<'_, B>,
    event: CloudEvent,
) -> Result<PublishedEvent, InboxError> {
    let (traceparent, tracestate) = trace(record, &event);
    let business_key = match event.extensions.get(BUSINESS_KEY) {
        None => None,
        Some(Value::String(key)) => Some((workflow(&event)?.0, key.clone())),
        Some(Value::Number(key)) => Some((workflow(&event)?.0, key.to_string())),
        Some(other) => {
            let rule = "it must be text, the business key of the instances that the event is for";
            let attribute = BUSINESS_KEY.to_owned();
            return Err(InboxError::InvalidAttribute { attribute, value: shown(other), rule });
        }
    };
    let event = if event.time.is_none() { event.with_time(record.timestamp) } else { event };
    let cause = event.event_id.clone();
    Ok(PublishedEvent { cause, traceparent, tracestate, event: event.into_json().into(), business_key })
}

fn command<B: AsRef<[u8]>>(record: &InboxRecord<'_, B>, event: CloudEvent) -> Result<Command, InboxError> {
    Ok(match event.event_type.as_str() {
        types::START => {
            let (workflow, version) = workflow(&event)?;
            let parent = parent(&event)?;
            // The language's input is an object unless somebody says otherwise.
            let input = data(event)?.unwrap_or_else(|| Value::Object(Map::new())).into();
            Command::Start { workflow, version, input, parent }
        }
        types::TASK_COMPLETED => {
            let token = token(&event)?;
            Command::CompleteTask { token, output: data(event)?.map_or_else(Payload::null, Payload::from) }
        }
        types::TASK_FAILED => {
            let token = token(&event)?;
            let (error, retriable) = failure(data(event)?)?;
            Command::FailTask { token, error, retriable }
        }
        types::TASK_HEARTBEAT => Command::RecordHeartbeat { token: token(&event)? },
        types::CANCEL => {
            let data = data(event)?;
            let compensate = control::flag(data.as_ref(), "compensate")?;
            Command::Cancel { reason: reason(data)?, compensate }
        }
        types::SUSPEND => Command::Suspend { reason: reason(data(event)?)? },
        types::RESUME => Command::Resume { reason: reason(data(event)?)? },
        types::DELIVER => {
            let (listener, filter) = (number(&event, LISTENER)?, number(&event, FILTER)?);
            let event = data(event)?.map_or_else(Payload::null, Payload::from);
            Command::DeliverEvent { listener: ExecutionId(listener), filter, event }
        }
        types::SCHEDULE_PAUSE | types::SCHEDULE_RESUME | types::SCHEDULE_TRIGGER => {
            let rule = "it must be the id of a schedule: millrace:schedule/namespace/name";
            let value = event.subject.unwrap_or_default().chars().take(64).collect();
            return Err(InboxError::InvalidAttribute { attribute: "subject".to_owned(), value, rule });
        }
        types::RETRY | types::EDIT | types::SKIP | types::RESTART => {
            let (event_type, source) = (event.event_type.clone(), event.event_id.source.clone());
            control::read(&event_type, data(event)?, source)?
        }
        other if other.starts_with(types::PREFIX) => {
            return Err(InboxError::UnknownType { event_type: other.chars().take(128).collect() });
        }
        _ => {
            let event = if event.time.is_none() { event.with_time(record.timestamp) } else { event };
            Command::DeliverSignal { event: event.into_json().into() }
        }
    })
}

/// What a schedule is asked for. The instances that it has started answer it as they would a task.
fn schedule_command<B: AsRef<[u8]>>(
    record: &InboxRecord<'_, B>,
    event: CloudEvent,
) -> Result<ScheduleCommand, InboxError> {
    match event.event_type.as_str() {
        types::SCHEDULE_PAUSE => Ok(ScheduleCommand::Pause { reason: reason(data(event)?)? }),
        types::SCHEDULE_RESUME => Ok(ScheduleCommand::Resume { reason: reason(data(event)?)? }),
        types::SCHEDULE_TRIGGER => Ok(ScheduleCommand::Trigger),
        _ => {
            let event_type = event.event_type.chars().take(128).collect();
            ScheduleCommand::of_instance(&command(record, event)?).ok_or_else(|| InboxError::InvalidAttribute {
                attribute: "type".to_owned(),
                value: event_type,
                rule: "a schedule can be paused, resumed and triggered, and is told when what it has started ends",
            })
        }
    }
}

/// In binary mode all attributes are texts.
fn number(event: &CloudEvent, attribute: &'static str) -> Result<u32, InboxError> {
    let rule = "a channel says for which listener its event is; only processors write such events";
    let found = event.extensions.get(attribute).ok_or(InboxError::MissingAttribute { attribute, rule })?;
    let number = match found {
        Value::Number(number) => number.as_u64().and_then(|it| u32::try_from(it).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| InboxError::InvalidAttribute {
        attribute: attribute.to_owned(),
        value: shown(found),
        rule,
    })
}

fn no_address() -> InboxError {
    let rule = "it is the instance id; a record without a subject must have it as its key";
    InboxError::MissingAttribute { attribute: "subject", rule }
}

fn instance(subject: Option<&str>, key: Option<&[u8]>) -> Result<InstanceId, InboxError> {
    let id = match (subject, key) {
        (Some(subject), _) => subject,
        (None, Some(key)) => std::str::from_utf8(key).map_err(|_| {
            let text = String::from_utf8_lossy(key).chars().take(64).collect();
            InboxError::InvalidInstanceId(InvalidId { what: "instance id", text, rule: "UTF-8" })
        })?,
        (None, None) => return Err(no_address()),
    };
    InstanceId::new(id).map_err(InboxError::InvalidInstanceId)
}

fn workflow(event: &CloudEvent) -> Result<(WorkflowName, Option<std::sync::Arc<str>>), InboxError> {
    const RULE: &str = "it names the workflow to start, as namespace/name or namespace/name/version";
    let text =
        event.extension(WORKFLOW).ok_or(InboxError::MissingAttribute { attribute: WORKFLOW, rule: RULE })?;
    let parts: Vec<_> = text.split('/').collect();
    let (namespace, name, version) = match parts[..] {
        [namespace, name] => (namespace, name, None),
        [namespace, name, version] => (namespace, name, Some(version)),
        _ => ("", "", None),
    };
    if namespace.is_empty() || name.is_empty() || version == Some("") {
        return Err(InboxError::InvalidAttribute {
            attribute: WORKFLOW.to_owned(),
            value: shown(&text.into()),
            rule: RULE,
        });
    }
    Ok((WorkflowName { namespace: namespace.into(), name: name.into() }, version.map(Into::into)))
}

/// The task that waits, if the start comes from another instance.
fn parent(event: &CloudEvent) -> Result<Option<ParentTask>, InboxError> {
    let Some(instance) = event.extension(PARENT) else { return Ok(None) };
    let rule = "a start with a parent names the task that waits, as a string: execution.dispatch";
    let token = event
        .extension(PARENT_TOKEN)
        .ok_or(InboxError::MissingAttribute { attribute: PARENT_TOKEN, rule })?;
    Ok(Some(ParentTask {
        instance: InstanceId::new(instance).map_err(InboxError::InvalidInstanceId)?,
        token: token.parse().map_err(InboxError::InvalidToken)?,
    }))
}

fn token(event: &CloudEvent) -> Result<TaskToken, InboxError> {
    let rule = "a worker copies it from the task into its answer, as a string: execution.dispatch";
    match event.extensions.get(TASK_TOKEN) {
        Some(Value::String(text)) => text.parse().map_err(InboxError::InvalidToken),
        Some(other) => {
            Err(InboxError::InvalidAttribute { attribute: TASK_TOKEN.to_owned(), value: shown(other), rule })
        }
        None => Err(InboxError::MissingAttribute { attribute: TASK_TOKEN, rule }),
    }
}

/// The data as JSON. Bytes in base64 are opened when they are JSON, and else stay a string.
fn data(event: CloudEvent) -> Result<Option<Value>, InboxError> {
    match event.data {
        None => Ok(None),
        Some(EventData::Json(value)) => Ok(Some(value)),
        Some(EventData::Base64(text)) if event.data_content_type.as_deref().is_some_and(is_json) => {
            let unreadable = |detail: String| InboxError::UnreadableData { detail };
            let bytes = BASE64_STANDARD
                .decode(text)
                .map_err(|error| unreadable(format!("data_base64 is not base64: {error}")))?;
            serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(no_json("the data", &error)))
        }
        Some(EventData::Base64(text)) => Ok(Some(Value::String(text))),
    }
}

/// Why `what` cannot be read as JSON.
pub(super) fn no_json(what: &str, error: &serde_json::Error) -> String {
    // The parser's own limit, a little above ours.
    if error.to_string().starts_with("recursion limit exceeded") {
        return format!("{what} is nested more than {} deep; flatten it", Payload::INBOX_DEPTH_MAX);
    }
    format!("{what} is not JSON: {error}")
}

/// `{"reason": …}`, a string, or nothing.
fn reason(data: Option<Value>) -> Result<String, InboxError> {
    match data {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(reason)) => Ok(reason),
        Some(Value::Object(mut object)) => match object.remove("reason") {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(reason)) => Ok(reason),
            Some(_) => Err(InboxError::UnreadableData { detail: "reason is no string".to_owned() }),
        },
        Some(_) => Err(InboxError::UnreadableData {
            detail: "expected {\"reason\": \"…\"}, or no data".to_owned(),
        }),
    }
}

/// Problem details (RFC 7807) and whether trying again may help, which it does unless the worker says no.
fn failure(data: Option<Value>) -> Result<(TaskError, bool), InboxError> {
    let mut object = match data {
        None | Some(Value::Null) => Map::new(),
        Some(Value::String(detail)) => Map::from_iter([("detail".to_owned(), Value::String(detail))]),
        Some(Value::Object(object)) => object,
        Some(_) => {
            return Err(InboxError::UnreadableData {
                detail: "expected an object with problem details, or no data".to_owned(),
            });
        }
    };
    let mut text = |name: &str| match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(InboxError::UnreadableData { detail: format!("{name} is no string") }),
    };
    let (error_type, title, detail) = (text("type")?, text("title")?, text("detail")?);
    let status = match object.get("status") {
        None | Some(Value::Null) => 500,
        Some(status) => status
            .as_u64()
            .and_then(|status| u16::try_from(status).ok())
            .ok_or_else(|| InboxError::UnreadableData { detail: "status is no HTTP status".to_owned() })?,
    };
    let retriable = match object.get("retriable") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(retriable)) => *retriable,
        Some(_) => return Err(InboxError::UnreadableData { detail: "retriable is no boolean".to_owned() }),
    };
    let error_type = error_type.unwrap_or_else(|| TaskError::RUNTIME.to_owned());
    Ok((TaskError { error_type, status, instance: None, title, detail }, retriable))
}

/// The attributes of an event, as they are found.
#[derive(Default)]
pub(super) struct Attributes {
    known: BTreeMap<&'static str, String>,
    extensions: BTreeMap<String, Value>,
}

/// Attributes of the specification, which must be strings.
const KNOWN: [&str; 8] =
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];

impl Attributes {
    pub(super) fn add(&mut self, name: String, value: Value) -> Result<(), InboxError> {
        let known = KNOWN.into_iter().find(|known| *known == name);
        match (known, value) {
            (_, Value::Null) => {}
            (Some(known), Value::String(text)) => drop(self.known.insert(known, text)),
            (None, value @ (Value::String(_) | Value::Bool(_) | Value::Number(_))) => {
                drop(self.extensions.insert(name, value))
            }
            (known, value) => {
                let rule = if known.is_some() {
                    "it must be a string"
                } else {
                    "it must be a string, a number or a boolean"
                };
                return Err(InboxError::InvalidAttribute {
                    attribute: name.chars().take(64).collect(),
                    value: shown(&value),
                    rule,
                });
            }
        }
        Ok(())
    }

    pub(super) fn data_content_type(&self) -> Option<&str> {
        self.known.get("datacontenttype").map(String::as_str)
    }

    pub(super) fn set_data_content_type(&mut self, media_type: Option<String>) {
        match media_type {
            Some(media_type) => drop(self.known.insert("datacontenttype", media_type)),
            None => drop(self.known.remove("datacontenttype")),
        }
    }

    pub(super) fn into_event(mut self, data: Option<EventData>) -> Result<CloudEvent, InboxError> {
        let rule = "every CloudEvent has specversion, id, source and type, none of them empty";
        let mut required = |attribute: &'static str| {
            self.known
                .remove(attribute)
                .filter(|text| !text.is_empty())
                .ok_or(InboxError::MissingAttribute { attribute, rule })
        };
        let version = required("specversion")?;
        if version != "1.0" {
            let value = shown(&version.into());
            return Err(InboxError::InvalidAttribute {
                attribute: "specversion".to_owned(),
                value,
                rule: "only 1.0 is supported",
            });
        }
        let event_id = EventId { id: required("id")?, source: required("source")? };
        let event_type = required("type")?;
        Ok(CloudEvent {
            event_id,
            event_type,
            subject: self.known.remove("subject"),
            time: self.known.remove("time"),
            data_content_type: self.known.remove("datacontenttype"),
            data_schema: self.known.remove("dataschema"),
            extensions: self.extensions,
            data,
        })
    }
}

/// A value for people, shortened.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(64).collect()
}
