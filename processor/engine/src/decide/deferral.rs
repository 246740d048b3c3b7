//! Commands that come while an instance stands still.

use millrace_schemas::EventId;
use millrace_schemas::command::Command;
use millrace_schemas::event::Event;
use millrace_schemas::instance::{DeferredCommand, Status};

use super::deliver_signal;
use crate::journal::{Journal, Stop};
use crate::{INSTANCE_SOURCE, Outcome, Rejection, problem};

/// Whether the instance waits for a resume.
pub(super) fn stands_still(journal: &Journal<'_>) -> bool {
    match journal.state().status {
        Status::Suspended { .. } | Status::Incident { .. } => true,
        Status::Running | Status::Completed { .. } | Status::Faulted { .. } | Status::Cancelled { .. } => {
            false
        }
    }
}

/// Keeps a command until the resume.
pub(super) fn defer(journal: &mut Journal<'_>, cause: &EventId, command: &Command) -> Result<(), Stop> {
    let (waiting, max) = (&journal.state().deferred, journal.bounds.deferred_max);
    let refused = |detail| Err(Rejection::InvalidState { detail }.into());
    if waiting.iter().any(|it| it.cause == *cause || is_same_timer(&it.command, command)) {
        return refused(format!("{} {cause} waits already for the instance to be resumed", command.name()));
    }
    // A timer that was refused would not come back, and there are only as many as open tasks: they are always kept.
    // Nor does a child answer twice.
    // Nor is an event delivered twice: of a subscription for one event, no other comes.
    let is_answer = |cause: &EventId, command: &Command| {
        if let Command::DeliverEvent { listener, filter, .. } = command {
            journal.is_for_one_event(*listener, *filter)
        } else {
            cause.source == INSTANCE_SOURCE
        }
    };
    let is_kept = |cause: &EventId, command: &Command| is_timer(command) || is_answer(cause, command);
    let counted = |it: &&DeferredCommand| !is_kept(&it.cause, &it.command);
    if !is_kept(cause, command) && waiting.iter().filter(counted).count() >= max {
        return refused(format!(
            "{max} commands wait already for the instance to be resumed, the most that may (deferred_max); resume it, then send again"
        ));
    }
    let command = match command {
        Command::FailTask { token, error, retriable } => {
            Command::FailTask { token: *token, error: problem::bounded(error.clone()), retriable: *retriable }
        }
        Command::Start { .. }
        | Command::CompleteTask { .. }
        | Command::RecordHeartbeat { .. }
        | Command::FireTimer { .. }
        | Command::DeliverSignal { .. }
        | Command::Cancel { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::DeliverEvent { .. }
        | Command::Retry { .. }
        | Command::Edit { .. }
        | Command::Skip { .. }
        | Command::Restart { .. } => command.clone(),
    };
    if let Command::DeliverSignal { .. } = command {
        deliver_signal::remember(journal, cause)?;
    }
    journal.outcome = Outcome::Deferred;
    journal.record(Event::CommandDeferred { cause: cause.clone(), command })
}

fn is_timer(command: &Command) -> bool {
    matches!(command, Command::FireTimer { .. })
}

fn is_same_timer(one: &Command, other: &Command) -> bool {
    is_timer(one) && one == other
}
