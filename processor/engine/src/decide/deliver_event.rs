//! `DeliverEvent`

use millrace_schemas::{EventId, ExecutionId, Payload};
use serde_json::Value;

use super::deliver_signal;
use crate::journal::{Journal, Stop};

/// The `listen` that has subscribed to it takes it, or else any other that wants it; otherwise it waits for a `listen`: an event that has
/// found its instance is that instance's.
pub(super) fn decide(
    journal: &mut Journal<'_>,
    cause: &EventId,
    (listener, filter): (ExecutionId, u32),
    event: &Payload,
) -> Result<(), Stop> {
    journal.delivered = Some((listener, filter));
    if journal.hear_by(listener, filter, event)? || journal.hear(event)? {
        return journal.run();
    }
    let is_subscribed = journal.subscribe_again(listener, filter, cause)?;
    match deliver_signal::keep(journal, &named(event).unwrap_or_else(|| cause.clone()), event) {
        // There is no room for it; the `listen` goes on listening.
        Err(Stop::Rejected(_)) if is_subscribed => Ok(()),
        kept => kept,
    }
}

/// How the event is called by whoever published it.
fn named(event: &Payload) -> Option<EventId> {
    let text = |name: &str| event.value().get(name).and_then(Value::as_str).map(str::to_owned);
    Some(EventId { source: text("source")?, id: text("id")? })
}
