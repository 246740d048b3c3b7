//! `RecordHeartbeat`

use millrace_schemas::TaskToken;
use millrace_schemas::event::Event;

use super::token;
use crate::Rejection;
use crate::journal::{Journal, Stop};

pub(super) fn check(journal: &Journal<'_>, token: TaskToken) -> Result<(), Rejection> {
    token::check(journal, token)?;
    if journal.heartbeat_of(token.execution).is_some() {
        return Ok(());
    }
    let detail =
        format!("task {token} asks for no heartbeats; set `metadata.millrace.heartbeat` on it, or send none");
    Err(Rejection::InvalidState { detail })
}

pub(super) fn decide(journal: &mut Journal<'_>, token: TaskToken) -> Result<(), Stop> {
    let heartbeat = journal.heartbeat_of(token.execution).expect("checked before");
    let due = journal.at().plus(heartbeat);
    journal.record(Event::HeartbeatRecorded { execution: token.execution, due })
}
