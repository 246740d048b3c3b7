//! What an operator asks of an instance or of a schedule, as the event that asks for it.

use millrace_schemas::cloud_event::{
    CloudEvent, cancel_event, control_event, pause_schedule_event, resume_event, resume_schedule_event,
    suspend_event, trigger_schedule_event,
};
use millrace_schemas::command::Command;
use millrace_schemas::{EventId, InstanceId, WorkflowName};

/// The event that asks `to` for `command`, one of those by which an operator steps in.
///
/// # Panics
/// For other commands.
pub(crate) fn event(id: EventId, to: &InstanceId, command: &Command) -> CloudEvent {
    match command {
        Command::Cancel { reason, compensate } => cancel_event(id, to, reason, *compensate),
        Command::Suspend { reason } => suspend_event(id, to, reason),
        Command::Resume { reason } => resume_event(id, to, reason),
        other => control_event(id, to, other).expect("an operator's command has an event"),
    }
}

/// What may be asked of a schedule.
#[derive(Clone, Debug)]
pub(crate) enum ScheduleCommand {
    /// Start nothing by the clock.
    Pause { reason: String },
    /// Go on.
    Resume { reason: String },
    /// Start an instance now.
    Trigger,
}

impl ScheduleCommand {
    pub(crate) fn event(&self, id: EventId, workflow: &WorkflowName) -> CloudEvent {
        match self {
            Self::Pause { reason } => pause_schedule_event(id, workflow, reason),
            Self::Resume { reason } => resume_schedule_event(id, workflow, reason),
            Self::Trigger => trigger_schedule_event(id, workflow),
        }
    }
}
