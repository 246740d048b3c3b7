//! CloudEvents 1.0, and their Kafka protocol binding: how the world talks to Millrace, and how it answers.
//!
//! [`read_inbox`] turns a record of the inbox into what it asks for; [`CloudEvent`] is the event itself; [`EventRecord`] is one as a
//! Kafka record; functions such as [`start_event`] build the events that the inbox understands.

mod build;
mod control;
mod inbox;
mod kafka;
mod source;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use build::{
    acceptance_event, cancel_event, channel_event, command_event, complete_event, control_event, fail_event,
    heartbeat_event, pause_schedule_event, rejection_event, resume_event, resume_schedule_event,
    signal_event, start_event, suspend_event, trigger_schedule_event, with_answer, with_parent,
};
pub use inbox::{InboxError, InboxRequest, PublishedEvent, read_inbox};
pub use kafka::{EventRecord, InboxRecord};
pub use source::{PlainValue, read_plain, read_published};

pub use crate::trace::{TRACEPARENT, TRACESTATE};

use crate::EventId;

/// Types that mean something to Millrace. All others in the inbox are signals.
pub mod types {
    /// The namespace of all of them. An inbox event of this namespace with another type is a mistake.
    pub const PREFIX: &str = "io.millrace.";
    /// Starts an instance: extension `workflow`, data = input.
    pub const START: &str = "io.millrace.instance.start";
    /// Ends an instance: data = `{"reason": …, "compensate": false}`, a string (the reason), or none.
    pub const CANCEL: &str = "io.millrace.instance.cancel";
    /// Holds an instance: data = `{"reason": …}`, a string, or none.
    pub const SUSPEND: &str = "io.millrace.instance.suspend";
    /// Lets an instance go on: data as for [`SUSPEND`].
    pub const RESUME: &str = "io.millrace.instance.resume";
    /// Begins halted tasks again: data = `{"task": …, "input": …, "by": …, "reason": …}`, each of which may be missing.
    pub const RETRY: &str = "io.millrace.instance.retry";
    /// Gives a task another input while the instance stands still: data = `{"task": …, "input": …, "by": …, "reason": …}`.
    pub const EDIT: &str = "io.millrace.instance.edit";
    /// Leaves a halted task out: data = `{"task": …, "output": …, "by": …, "reason": …}`.
    pub const SKIP: &str = "io.millrace.instance.skip";
    /// Puts the flow back to a task: data = `{"task": …, "input": …, "context": …, "number": …, "reopening": …, "by": …, "reason": …}`.
    pub const RESTART: &str = "io.millrace.instance.restart";
    /// A worker's answer: extension `tasktoken`, data = output.
    pub const TASK_COMPLETED: &str = "io.millrace.task.completed";
    /// A worker's answer: extension `tasktoken`, data = problem details and `retriable`.
    pub const TASK_FAILED: &str = "io.millrace.task.failed";
    /// A worker's sign of life: extension `tasktoken`.
    pub const TASK_HEARTBEAT: &str = "io.millrace.task.heartbeat";
    /// From a channel: extensions `listener` and `filter`, data = the event that it has subscribed to.
    pub const DELIVER: &str = "io.millrace.instance.deliver";
    /// For a channel: data = the command.
    pub const CHANNEL: &str = "io.millrace.channel.command";
    /// Pauses a schedule: subject = its id, data as for [`CANCEL`].
    pub const SCHEDULE_PAUSE: &str = "io.millrace.schedule.pause";
    /// Lets a schedule go on: subject = its id, data as for [`CANCEL`].
    pub const SCHEDULE_RESUME: &str = "io.millrace.schedule.resume";
    /// Starts an instance of a schedule now: subject = its id.
    pub const SCHEDULE_TRIGGER: &str = "io.millrace.schedule.trigger";
    /// What Millrace says, in `<prefix>.lifecycle`, when it refuses a command.
    pub const COMMAND_REJECTED: &str = "io.millrace.command.rejected";
    /// What Millrace says there when it has done a command whose sender has asked for that.
    pub const COMMAND_ACCEPTED: &str = "io.millrace.command.accepted";
}

/// Extension attribute of a start: `namespace/name`, or `namespace/name/version`.
pub const WORKFLOW: &str = "workflow";
/// Extension attribute of a start by another instance: the id of that instance.
pub const PARENT: &str = "parent";
/// Extension attribute of a start by another instance: the token of the task that waits.
pub const PARENT_TOKEN: &str = "parenttoken";
/// Extension attribute of a worker's answer: the token of the task.
pub const TASK_TOKEN: &str = "tasktoken";
/// Extension attribute of an event for a `listen` that has subscribed to it: the execution.
pub const LISTENER: &str = "listener";
/// Extension attribute of an event for a `listen` that has subscribed to it: which of its filters.
pub const FILTER: &str = "filter";
/// Extension attribute of an event in the inbox that is for whoever listens, whatever its subject and its record's key: `true`.
pub const CORRELATE: &str = "correlate";
/// Extension attribute of an event in the inbox that is for the instances of a workflow, named by [`WORKFLOW`], that are known by this key.
pub const BUSINESS_KEY: &str = "businesskey";
/// Extension attribute of any event for the inbox: `true` asks for the outcome, `now` for that of an event that must not wait.
pub const ANSWER: &str = "millraceanswer";
/// Extension attribute (of the partitioning extension) of an event that a record of a topic of others has become: the record's key.
pub const PARTITION_KEY: &str = "partitionkey";

/// One event. `specversion` is always 1.0.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudEvent {
    /// `source` and `id`.
    pub event_id: EventId,
    /// `type`
    pub event_type: String,
    /// The instance, in events for the inbox.
    pub subject: Option<String>,
    /// RFC 3339.
    pub time: Option<String>,
    /// Media type of the data.
    pub data_content_type: Option<String>,
    /// URI of the data's schema.
    pub data_schema: Option<String>,
    /// Lower-case names; strings, numbers or booleans.
    pub extensions: BTreeMap<String, Value>,
    /// What the event says.
    pub data: Option<EventData>,
}

/// The data of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum EventData {
    /// `data`
    Json(Value),
    /// `data_base64`: bytes that are neither JSON nor text.
    Base64(String),
}

impl CloudEvent {
    /// An event with nothing but what it must have.
    #[must_use]
    pub fn new(event_id: EventId, event_type: impl Into<String>) -> Self {
        Self {
            event_id,
            event_type: event_type.into(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: BTreeMap::new(),
            data: None,
        }
    }

    /// With the instance it is about.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// With JSON data.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data_content_type = Some("application/json".to_owned());
        self.data = Some(EventData::Json(data));
        self
    }

    /// With an extension attribute.
    #[must_use]
    pub fn with_extension(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// With a time, in milliseconds since the Unix epoch. A time out of RFC 3339's range (years -9999 to 9999) is left out.
    #[must_use]
    pub fn with_time(mut self, time: crate::Timestamp) -> Self {
        self.time = jiff::Timestamp::from_millisecond(time.0).ok().map(|time| time.to_string());
        self
    }

    /// With the trace that it belongs to, if any: `traceparent` and `tracestate`.
    #[must_use]
    pub fn with_trace(mut self, traceparent: Option<&str>, tracestate: Option<&str>) -> Self {
        if let Some(traceparent) = traceparent {
            self.extensions.insert(TRACEPARENT.to_owned(), traceparent.into());
            // Never that of another trace.
            match tracestate {
                Some(tracestate) => self.extensions.insert(TRACESTATE.to_owned(), tracestate.into()),
                None => self.extensions.remove(TRACESTATE),
            };
        }
        self
    }

    /// An extension attribute that is a string.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.get(name)?.as_str()
    }

    /// The structured form: one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.clone().into_json()
    }

    /// As [`Self::to_json`], without a copy of the data.
    #[must_use]
    pub fn into_json(self) -> Value {
        let mut object = Map::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                object.insert(name.to_owned(), Value::String(value));
            }
        };
        put("specversion", Some("1.0".to_owned()));
        put("id", Some(self.event_id.id));
        put("source", Some(self.event_id.source));
        put("type", Some(self.event_type));
        put("subject", self.subject);
        put("time", self.time);
        put("datacontenttype", self.data_content_type);
        put("dataschema", self.data_schema);
        object.extend(self.extensions);
        match self.data {
            Some(EventData::Json(data)) => drop(object.insert("data".to_owned(), data)),
            Some(EventData::Base64(data)) => {
                drop(object.insert("data_base64".to_owned(), Value::String(data)))
            }
            None => {}
        }
        Value::Object(object)
    }

    /// Reads the structured form.
    ///
    /// # Errors
    /// When it is no object, a required attribute is missing, or an attribute has a wrong type.
    pub fn from_json(json: Value) -> Result<Self, InboxError> {
        let Value::Object(object) = json else {
            return Err(InboxError::NotACloudEvent { detail: "the JSON value is no object".to_owned() });
        };
        let mut parts = inbox::Attributes::default();
        let mut data = None;
        for (name, value) in object {
            match name.as_str() {
                "data" => data = Some(EventData::Json(value)),
                "data_base64" => match value {
                    Value::String(text) => data = Some(EventData::Base64(text)),
                    _ => {
                        return Err(InboxError::UnreadableData {
                            detail: "data_base64 is no string".to_owned(),
                        });
                    }
                },
                _ => parts.add(name, value)?,
            }
        }
        parts.into_event(data)
    }
}
