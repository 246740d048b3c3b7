//! A span that has ended.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use millrace_schemas::trace::{SpanId, TraceContext};

/// Something that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace, and its own id.
    pub context: TraceContext,
    /// What goes with that.
    pub tracestate: Option<String>,
    /// The span that has caused it; none for the first of a trace.
    pub parent: Option<SpanId>,
    /// Another trace that it has to do with, without being caused by it.
    pub link: Option<TraceContext>,
    /// Which side of what it is.
    pub kind: Kind,
    /// What was done: one of few, so that spans can be counted by it.
    pub name: Cow<'static, str>,
    /// From
    pub started_at: SystemTime,
    /// until.
    pub ended_at: SystemTime,
    /// What it was done with.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, for people; none if it did not.
    pub error: Option<Cow<'static, str>>,
}

/// Which side of a message or a request a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has produced a record.
    Producer,
    /// It has processed one.
    Consumer,
    /// It has answered a request.
    Server,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A constant.
    Name(&'static str),
    /// A text.
    Text(Arc<str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(name: &'static str) -> Self {
        Self::Name(name)
    }
}

impl From<&Arc<str>> for Value {
    fn from(text: &Arc<str>) -> Self {
        Self::Text(Arc::clone(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}
