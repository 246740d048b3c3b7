//! What a channel is called.

use millrace_schemas::{EventId, InstanceId, Payload};
use millrace_workflow::admission::canonical;
use serde_json::{Value, json};

/// Longest part of a type, or of a name, that is in an id, in bytes: for people, who look for it in the log.
const SHOWN_BYTES_MAX: usize = 100;

/// The channel of the events of a type (of any, when none) in which each expression, given by its text, has the value beside it. The texts
/// are sorted.
#[must_use]
pub fn channel_id(event_type: Option<&str>, keys: &[(&str, Value)]) -> InstanceId {
    let digest = canonical::digest(&json!([event_type, keys]));
    named(event_type.unwrap_or("*"), &digest)
}

/// The channel in which a workflow gathers events to start by, that agree in the values of what it correlates.
///
/// `on` is the workflow's `schedule.on`: a version that waits for other events gathers its own.
pub(super) fn gathering_id(workflow: &str, on: &Value, keys: &[(&str, Value)]) -> InstanceId {
    let digest = canonical::digest(&json!(["start", workflow, on, keys]));
    named(workflow, &digest)
}

/// The channel of those who are known by a key.
pub(super) fn business_key_id(workflow: &str, key: &str) -> InstanceId {
    let digest = canonical::digest(&json!(["key", workflow, key]));
    named(workflow, &digest)
}

fn named(shown: &str, digest: &str) -> InstanceId {
    let shown = &shown[..shown.floor_char_boundary(SHOWN_BYTES_MAX)];
    // Half of a SHA-256: no two meet by chance, nor by anybody's design worth the trouble.
    let id = format!("{}{shown}/{}", InstanceId::CHANNEL_PREFIX, &digest[..32]);
    InstanceId::new(id).expect("17 + 100 + 1 + 32 bytes are fewer than an id may have")
}

/// How an event is called by whoever published it; none of what is no CloudEvent.
pub(crate) fn event_name(event: &Payload) -> Option<EventId> {
    let text = |name: &str| event.value().get(name).and_then(Value::as_str).map(str::to_owned);
    Some(EventId { source: text("source")?, id: text("id")? })
}

/// Stands for the name of an event, in hex.
pub(super) fn event_hex(name: &EventId) -> String {
    canonical::digest(&json!([name.source, name.id]))
}

/// Stands for the name of an event: two names with one digest are not met by chance.
pub(crate) fn event_digest(name: &EventId) -> i64 {
    let digest = event_hex(name);
    u64::from_str_radix(&digest[..16], 16).expect("a digest is in hex").cast_signed()
}
