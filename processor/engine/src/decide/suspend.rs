//! `Suspend`

use millrace_schemas::event::Event;

use super::deferral;
use crate::Rejection;
use crate::journal::{Journal, Stop};

pub(super) fn decide(journal: &mut Journal<'_>, reason: &str) -> Result<(), Stop> {
    if deferral::stands_still(journal) {
        let status = journal.state().status.name();
        let detail = format!("instance {} stands still already ({status})", journal.id);
        return Err(Rejection::InvalidState { detail }.into());
    }
    journal.record(Event::InstanceSuspended { reason: reason.to_owned() })
}
