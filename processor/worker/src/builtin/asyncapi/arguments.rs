//! `with` of `call: asyncapi`. Each part may be what an expression gave, so it is judged here, whatever admission has said.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::builtin::resources::Resource;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    pub(super) document: Resource,
    pub(super) channel: Option<String>,
    pub(super) operation: Option<String>,
    pub(super) server: Option<Server>,
    pub(super) protocol: Option<String>,
    pub(super) message: Option<Message>,
    pub(super) authentication: Option<Value>,
    pub(super) subscription: Option<Subscribe>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) name: String,
    #[serde(default)]
    pub(super) variables: Map<String, Value>,
}

/// To be published.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    #[serde(default)]
    pub(super) payload: Value,
    #[serde(default)]
    pub(super) headers: Map<String, Value>,
}

/// Expressions in it are not evaluated yet: they are about messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscribe {
    pub(super) filter: Option<String>,
    pub(super) consume: Consume,
    /// The values of all variables that the expressions name, without `$`.
    #[serde(default)]
    pub(super) variables: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consume {
    pub(super) amount: Option<usize>,
    #[serde(rename = "while")]
    pub(super) continues: Option<String>,
    pub(super) until: Option<String>,
    #[serde(rename = "for")]
    pub(super) milliseconds: Option<u64>,
}

impl Consume {
    /// How long messages are consumed; what has come by then is the output.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.milliseconds.map(Duration::from_millis)
    }
}
