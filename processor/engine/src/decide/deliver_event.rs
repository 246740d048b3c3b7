//! `DeliverEvent`

use millrace_schemas::{EventId, ExecutionId, Payload};

use super::deliver_signal;
use crate::Rejection;
use crate::channel::{event_digest, event_name};
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
    let name = event_name(event).unwrap_or_else(|| cause.clone());
    // It may come by two channels: a filter that changes its channel finds it waiting in the other one.
    let was_heard = journal.has_heard(listener, event);
    if !was_heard && let Some(taker) = journal.taker_by(listener, filter, event) {
        deliver_signal::remember(journal, &name)?;
        journal.give(&taker, event)?;
        return journal.run();
    }
    let is_subscribed = journal.subscribe_again(listener, filter, cause)?;
    let is_known = was_heard || deliver_signal::is_remembered(journal, event_digest(&name));
    let kept = if is_known {
        let detail = format!("event {name} was accepted already; nothing was done again");
        Err(Stop::Rejected(Rejection::Duplicate { detail }))
    } else if let Some(taker) = journal.taker(event) {
        deliver_signal::remember(journal, &name)?;
        journal.give(&taker, event)?;
        return journal.run();
    } else {
        deliver_signal::keep(journal, &name, event)
    };
    match kept {
        // There is nothing to do with it; the `listen` goes on listening.
        Err(Stop::Rejected(_)) if is_subscribed => Ok(()),
        kept => kept,
    }
}
