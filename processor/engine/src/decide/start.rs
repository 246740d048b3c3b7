//! `Start`

use millrace_schemas::event::{Event, Incident, ParentTask, TaskError, TimerPurpose};
use millrace_schemas::{ExecutionId, Payload};

use crate::journal::{Journal, Stop};
use crate::run::Next;
use crate::variables::View;
use crate::{Rejection, problem};

pub(super) fn decide(
    journal: &mut Journal<'_>,
    input: &Payload,
    parent: Option<&ParentTask>,
) -> Result<(), Stop> {
    if let Some(state) = journal.instance() {
        let status = state.status.name();
        return Err(Rejection::AlreadyExists { instance: journal.id.clone(), status }.into());
    }
    open(journal, input, parent)?;
    begin_body(journal)
}

/// The instance exists, but its body waits for a resume: a record with both would be too large.
pub(super) fn hold(
    journal: &mut Journal<'_>,
    input: &Payload,
    parent: Option<&ParentTask>,
    incident: Incident,
) -> Result<(), Stop> {
    open(journal, input, parent)?;
    journal.record(Event::IncidentRaised { incident })
}

/// Enters the first task of the workflow.
pub(super) fn begin_body(journal: &mut Journal<'_>) -> Result<(), Stop> {
    journal.todo.push(Next::Begin { scope: ExecutionId::ROOT });
    journal.run()
}

/// The workflow's `input` and `timeout`. What fails here faults the instance: the id is taken, and the error can be looked up.
fn open(journal: &mut Journal<'_>, raw_input: &Payload, parent: Option<&ParentTask>) -> Result<(), Stop> {
    let workflow = journal.program.workflow.clone();
    let parent = parent.cloned();
    let started = |input| Event::InstanceStarted { workflow, raw_input: raw_input.clone(), input, parent };
    match shape(journal, raw_input) {
        Ok(input) => journal.record(started(input))?,
        Err(error) => {
            journal.record(started(None))?;
            return journal.record(Event::InstanceFaulted { error });
        }
    }
    if let Err(error) = journal.join_by_business_key()? {
        return journal.record(Event::InstanceFaulted { error });
    }
    set_timeout(journal)
}

/// The workflow's `timeout`.
pub(super) fn set_timeout(journal: &mut Journal<'_>) -> Result<(), Stop> {
    let Some(timeout) = &journal.program.timeout else { return Ok(()) };
    let input = journal.state().input.clone();
    let view = View { input: Some(&input), ..View::of(ExecutionId::ROOT, None, journal.at()) };
    match journal.duration(timeout, input.value(), &view) {
        Ok(duration) => {
            journal.set_timer(ExecutionId::ROOT, journal.at().plus(duration), TimerPurpose::Timeout)
        }
        Err(error) => journal.fault_instance(error),
    }
}

/// The input after `input.from`, when that is given.
fn shape(journal: &Journal<'_>, raw_input: &Payload) -> Result<Option<Payload>, TaskError> {
    let model = &journal.program.input;
    if let Some(schema) = &model.schema {
        let valid = schema.validate(raw_input.value());
        valid.map_err(|detail| problem::validation("/", format!("input of the workflow: {detail}")))?;
    }
    let Some(from) = &model.from else { return Ok(None) };
    let view = View { raw_input: Some(raw_input), ..View::of(ExecutionId::ROOT, None, journal.at()) };
    Ok(Some(journal.fill(from, raw_input.value(), &view)?).filter(|it| it != raw_input))
}
