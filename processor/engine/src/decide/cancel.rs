//! `Cancel`

use millrace_schemas::EventId;
use millrace_schemas::event::Event;

use crate::INSTANCE_SOURCE;
use crate::journal::{Journal, Stop};

pub(super) fn decide(journal: &mut Journal<'_>, cause: &EventId, reason: &str) -> Result<(), Stop> {
    journal.is_parent_told = cause.source == INSTANCE_SOURCE;
    journal.record(Event::InstanceCancelled { reason: reason.to_owned() })
}
