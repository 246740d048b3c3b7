//! `DeliverSignal`

use millrace_schemas::event::Event;
use millrace_schemas::{EventId, Payload};

use crate::channel::event_digest;
use crate::journal::{Journal, Stop};
use crate::{Outcome, Rejection};

pub(super) fn check(event: &Payload) -> Result<(), Rejection> {
    if event.value().is_object() {
        return Ok(());
    }
    let detail = "an event must be a CloudEvent, a JSON object with its attributes".to_owned();
    Err(Rejection::InvalidArgument { detail })
}

/// Whether the event is one that has not been accepted before. What waits is known for as long as it waits.
pub(super) fn check_news(journal: &Journal<'_>, cause: &EventId) -> Result<(), Rejection> {
    if journal.state().signals.iter().any(|it| it.cause == *cause) {
        let detail = format!("event {cause} waits already for a `listen`");
        return Err(Rejection::Duplicate { detail });
    }
    if is_remembered(journal, event_digest(cause)) {
        let detail = format!("event {cause} was accepted already; nothing was done again");
        return Err(Rejection::Duplicate { detail });
    }
    Ok(())
}

/// A `listen` that waits for it takes it; otherwise it waits for a `listen`.
pub(super) fn decide(journal: &mut Journal<'_>, cause: &EventId, event: &Payload) -> Result<(), Stop> {
    if let Some(taker) = journal.taker(event) {
        remember(journal, cause)?;
        journal.outcome = Outcome::Taken { task: journal.execution(taker.id).task.clone() };
        journal.give(&taker, event)?;
        return journal.run();
    }
    if journal.must_be_taken {
        return Err(
            not_taken(cause, "no open `listen` takes it: none is open, or the filters refuse it").into()
        );
    }
    keep(journal, cause, event)
}

/// The event waits for a `listen`.
pub(super) fn keep(journal: &mut Journal<'_>, cause: &EventId, event: &Payload) -> Result<(), Stop> {
    check_room(journal, cause)?;
    remember(journal, cause)?;
    journal.outcome = Outcome::Waits;
    journal.record(Event::SignalBuffered { cause: cause.clone(), event: event.clone() })
}

/// The refusal of an event that must not wait.
pub(super) fn not_taken(cause: &EventId, why: &str) -> Rejection {
    Rejection::NotTaken { detail: format!("event {cause} was not taken: {why}") }
}

fn check_room(journal: &Journal<'_>, cause: &EventId) -> Result<(), Rejection> {
    let (signals, max) = (&journal.state().signals, journal.bounds.signals_max);
    if signals.iter().any(|it| it.cause == *cause) {
        let detail = format!("event {cause} waits already for a `listen`");
        return Err(Rejection::Duplicate { detail });
    }
    if signals.len() >= max {
        let detail = format!(
            "{max} events wait already for a `listen`, the most that may (signals_max); send fewer events that no task listens to"
        );
        return Err(Rejection::InvalidState { detail });
    }
    Ok(())
}

/// Another copy of the event will be told from news. Those that are forgotten for it are in the fact, so a replay needs no bounds.
pub(super) fn remember(journal: &mut Journal<'_>, cause: &EventId) -> Result<(), Stop> {
    let (digest, max) = (event_digest(cause), journal.bounds.signals_remembered_max);
    if max == 0 || is_remembered(journal, digest) {
        // The latter when it was deferred.
        return Ok(());
    }
    let (at, window) = (journal.at(), journal.bounds.duplicate_window);
    let remembered = &journal.state().remembered;
    let old = remembered.iter().take_while(|it| it.at.plus(window) <= at).count();
    let excess = (remembered.len() + 1).saturating_sub(max);
    let forgotten = u32::try_from(old.max(excess)).expect("a state is bounded");
    journal.record(Event::SignalReceived { digest, forgotten })
}

pub(super) fn is_remembered(journal: &Journal<'_>, digest: i64) -> bool {
    let (at, window) = (journal.at(), journal.bounds.duplicate_window);
    journal.state().remembered.iter().any(|it| it.digest == digest && it.at.plus(window) > at)
}
