//! `Cancel`

use millrace_schemas::EventId;
use millrace_schemas::event::{Event, Outcome};

use crate::journal::{Journal, Stop};
use crate::run::child_id;
use crate::{INSTANCE_SOURCE, Rejection};

pub(super) fn decide(
    journal: &mut Journal<'_>,
    cause: &EventId,
    reason: &str,
    compensate: bool,
) -> Result<(), Stop> {
    if cause.source == INSTANCE_SOURCE {
        let parent = journal.state().parent.as_ref();
        let is_child = parent.is_some_and(|it| child_id(&it.instance, it.token).as_ref() == Ok(journal.id));
        if !is_child {
            let detail = format!("instance {} is nobody's child, and ends by itself", journal.id);
            return Err(Rejection::InvalidState { detail }.into());
        }
        journal.is_parent_told = true;
    }
    journal.undoes_children = compensate;
    let reason = reason.to_owned();
    if !compensate {
        return journal.record(Event::InstanceCancelled { reason });
    }
    if journal.is_compensating() {
        let detail = format!(
            "instance {} undoes already what it has done; if it stands still, retry or skip what failed, or cancel it without compensation",
            journal.id
        );
        return Err(Rejection::InvalidState { detail }.into());
    }
    let is_parent_told = journal.is_parent_told;
    journal.end_badly(Outcome::Cancelled { reason, is_parent_told })?;
    journal.run()
}
