//! `Cancel`

use millrace_schemas::event::Event;

use crate::journal::{Journal, Stop};

pub(super) fn decide(journal: &mut Journal<'_>, reason: &str) -> Result<(), Stop> {
    journal.record(Event::InstanceCancelled { reason: reason.to_owned() })
}
