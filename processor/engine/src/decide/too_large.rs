//! What happens instead when a decision does not fit a record: an incident, so that a human looks at it.

use millrace_schemas::ExecutionId;
use millrace_schemas::command::{AddressedCommand, Command};
use millrace_schemas::event::{Event, Incident};
use millrace_schemas::instance::{ExecutionState, InstanceState, Status};
use millrace_workflow::program::CHILD_QUEUE;

use super::{deferral, fail_task, resume, start};
use crate::instance::Step;
use crate::journal::{Journal, Stop, TooLarge};
use crate::size::command_bytes;
use crate::{Bounds, Decision, Instance, Outcome, Rejection, problem};

/// Decides what to do about a command whose decision was too large, and has been taken back.
pub(crate) fn too_large(
    instance: &mut Instance,
    step: &Step<'_>,
    addressed: &AddressedCommand,
    found: &TooLarge,
) -> Result<Decision, Stop> {
    let AddressedCommand { cause, command, .. } = addressed;
    match command {
        Command::Start { input, parent, .. } => {
            let next = "start another instance with less data, and cancel this one; or raise the bound and resume it";
            let incident = incident(step.bounds, found, None, next);
            instance.attempt(step, |journal| start::hold(journal, input, parent.as_ref(), incident))
        }
        Command::CompleteTask { token, .. } => {
            instance.attempt(step, |journal| drop_answer(journal, addressed, token.execution, found))
        }
        Command::Resume { .. } | Command::Retry { .. } | Command::Skip { .. } | Command::Restart { .. } => {
            resume_again(instance, step, command, found)
        }
        Command::FailTask { .. }
        | Command::FireTimer { .. }
        | Command::DeliverSignal { .. }
        | Command::DeliverEvent { .. } => {
            let next = "the command waits; raise the bound and resume the instance, or cancel it";
            let incident = incident(step.bounds, found, None, next);
            instance.attempt(step, |journal| {
                deferral::defer(journal, cause, command)?;
                journal.record(Event::IncidentRaised { incident })
            })
        }
        Command::RecordHeartbeat { .. }
        | Command::Cancel { .. }
        | Command::Suspend { .. }
        | Command::Edit { .. } => Err(unacceptable(command, step.bounds).into()),
    }
}

/// The worker's answer, or what follows from it, is dropped. The resume sends the task out again.
fn drop_answer(
    journal: &mut Journal<'_>,
    addressed: &AddressedCommand,
    execution: ExecutionId,
    found: &TooLarge,
) -> Result<(), Stop> {
    let AddressedCommand { cause, command, .. } = addressed;
    if standing_incident(journal.state()).is_some_and(|it| it.execution.is_some())
        && let Command::CompleteTask { token, .. } = command
    {
        // One incident names one call. This one cannot be sent out again by its resume, so it fails for good.
        let error =
            problem::runtime(&found.task, detail(journal.bounds, found, "make the worker answer with less"));
        let failed = Command::FailTask { token: *token, error, retriable: false };
        return deferral::defer(journal, cause, &failed);
    }
    if let (Some(child), Command::CompleteTask { token, .. }) = (child_of(journal, execution), command) {
        // A child that is sent out again would do everything again.
        let next = format!("make the workflow {child} give less, such as a reference to the data");
        let error = problem::runtime(&found.task, detail(journal.bounds, found, &next));
        journal.task = journal.execution(execution).task.clone();
        return fail_task::decide(journal, *token, &error, false);
    }
    let next = "make the worker answer with less, such as a reference to the data, then resume the instance: the task is sent out again";
    let incident = incident(journal.bounds, found, Some(execution), next);
    journal.outcome = Outcome::Dropped;
    journal.record(Event::IncidentRaised { incident })
}

/// The workflow that a task runs, if it runs one.
fn child_of(journal: &Journal<'_>, execution: ExecutionId) -> Option<String> {
    let state = &journal.state().executions.get(&execution)?.state;
    let ExecutionState::Calling { queue, function, .. } = state else { return None };
    (**queue == *CHILD_QUEUE).then(|| function.to_string())
}

/// Deferred commands that are decided together may not fit one record, though each of them does: as many as fit are decided.
fn resume_again(
    instance: &mut Instance,
    step: &Step<'_>,
    command: &Command,
    found: &TooLarge,
) -> Result<Decision, Stop> {
    let state = instance.state().expect("a resume was decided on it");
    let Some(fitting) = found.taken.checked_sub(1) else {
        if !matches!(command, Command::Resume { .. }) {
            return Err(unacceptable(command, step.bounds).into());
        }
        let execution = standing_incident(state).and_then(|it| it.execution);
        let next = "raise the bound and resume the instance, or cancel it";
        let incident = incident(step.bounds, found, execution, next);
        return instance.attempt(step, |journal| journal.record(Event::IncidentRaised { incident }));
    };
    let left = state.deferred.len() - fitting;
    let (dropped, next) = match state.deferred.get(fitting).map(|it| &it.command) {
        // A single answer that is too large by itself would stop each resume: it is dropped like one that just came.
        Some(Command::CompleteTask { token, .. }) if fitting == 0 => {
            let next = "the answer was dropped; make the worker answer with less, then resume the instance: the task is sent out again";
            (Some(token.execution), next.to_owned())
        }
        _ if fitting == 0 => (
            None,
            "the deferred command waits; raise the bound and resume the instance, or cancel it".to_owned(),
        ),
        _ => (None, format!("resume the instance again for the {left} deferred commands that are left")),
    };
    let incident = incident(step.bounds, found, dropped, &next);
    instance.attempt(step, |journal| resume::in_part(journal, command, fitting, incident))
}

fn standing_incident(state: &InstanceState) -> Option<&Incident> {
    if let Status::Incident { incident } = &state.status { Some(incident) } else { None }
}

fn incident(bounds: &Bounds, found: &TooLarge, execution: Option<ExecutionId>, next: &str) -> Incident {
    Incident { kind: "payload-too-large".to_owned(), detail: detail(bounds, found, next), execution }
}

fn detail(bounds: &Bounds, found: &TooLarge, next: &str) -> String {
    /// More of them are a loop, and no data of one task.
    const ENTERED_MANY: usize = 100;
    let TooLarge { task, bytes, entered, .. } = found;
    let max = bounds.record_bytes_max;
    let why = match *entered > ENTERED_MANY {
        true => format!(
            "; it tells of {entered} tasks that were entered without waiting for anything, and a `wait` among them begins another record"
        ),
        false => String::new(),
    };
    format!(
        "task {task}: a record of at least {bytes} bytes, and {max} are allowed (record_bytes_max){why}; {next}"
    )
}

/// The refusal of a command that does not fit a record by itself.
pub(crate) fn unacceptable(command: &Command, bounds: &Bounds) -> Rejection {
    let (name, bytes, max) = (command.name(), command_bytes(command), bounds.record_bytes_max);
    let detail = format!(
        "the {name} carries {bytes} bytes of data, and what it makes does not fit a record of {max} bytes (record_bytes_max); send a reference to the data"
    );
    Rejection::InvalidArgument { detail }
}
