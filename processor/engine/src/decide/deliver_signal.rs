//! `DeliverSignal`

use millrace_schemas::event::Event;
use millrace_schemas::{EventId, Payload};

use crate::Rejection;
use crate::journal::{Journal, Stop};

pub(super) fn check(event: &Payload) -> Result<(), Rejection> {
    if event.value().is_object() {
        return Ok(());
    }
    let detail = "an event must be a CloudEvent, a JSON object with its attributes".to_owned();
    Err(Rejection::InvalidArgument { detail })
}

/// A `listen` that waits for it takes it; otherwise it waits for a `listen`.
pub(super) fn decide(journal: &mut Journal<'_>, cause: &EventId, event: &Payload) -> Result<(), Stop> {
    if journal.hear(event)? {
        return journal.run();
    }
    keep(journal, cause, event)
}

/// The event waits for a `listen`.
pub(super) fn keep(journal: &mut Journal<'_>, cause: &EventId, event: &Payload) -> Result<(), Stop> {
    let (signals, max) = (&journal.state().signals, journal.bounds.signals_max);
    if signals.iter().any(|it| it.cause == *cause) {
        let detail = format!("event {cause} waits already for a `listen`");
        return Err(Rejection::InvalidState { detail }.into());
    }
    if signals.len() >= max {
        let detail = format!(
            "{max} events wait already for a `listen`, the most that may (signals_max); send fewer events that no task listens to"
        );
        return Err(Rejection::InvalidState { detail }.into());
    }
    journal.record(Event::SignalBuffered { cause: cause.clone(), event: event.clone() })
}
