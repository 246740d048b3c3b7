//! Schedules: what starts instances of a workflow by the clock.
//!
//! A schedule is a key of the log as an instance is. Its id is made of the workflow's name; it has commands, events in the changelog, a
//! state that is their fold, and snapshots.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::{Addressed, Command};
use crate::{EventId, InstanceId, Offset, TaskToken, TimerId, Timestamp, WorkflowName, WorkflowVersion};

/// The id of the schedule of a workflow, whether it has one or not: `millrace:schedule/<namespace>/<name>`.
#[must_use]
pub fn schedule_id(workflow: &WorkflowName) -> InstanceId {
    // Two DNS labels of at most 63 bytes: no name makes the id too long. A name that is none is cut, and is nobody's.
    let text = format!("{}{workflow}", InstanceId::SCHEDULE_PREFIX);
    let end = text.floor_char_boundary(InstanceId::BYTES_MAX);
    InstanceId::new(&text[..end]).expect("it is not empty, and was cut")
}

/// The workflow whose schedule has this id. None for the id of anything else.
#[must_use]
pub fn scheduled_workflow(id: &InstanceId) -> Option<WorkflowName> {
    let (namespace, name) = id.as_str().strip_prefix(InstanceId::SCHEDULE_PREFIX)?.split_once('/')?;
    let is_name = |text: &str| !text.is_empty() && !text.contains('/');
    (is_name(namespace) && is_name(name))
        .then(|| WorkflowName { namespace: namespace.into(), name: name.into() })
}

/// A command for a schedule.
pub type AddressedScheduleCommand = Addressed<ScheduleCommand>;

/// A request to one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleCommand {
    /// Follow this version of the workflow: begin, go on by other rules, or, if it has no schedule, end.
    Define {
        /// Which.
        version: WorkflowVersion,
    },
    /// Start nothing until it is resumed.
    Pause {
        /// For people.
        reason: String,
    },
    /// Go on with what comes from now on.
    Resume {
        /// For people.
        reason: String,
    },
    /// Start one now.
    Trigger,
    /// A timer is due.
    FireTimer {
        /// Which timer.
        timer: TimerId,
        /// When it was due.
        due: Timestamp,
    },
    /// An instance that the schedule has started, and waits for, has ended.
    EndRun {
        /// Which run, as the instance was told when it was started.
        token: TaskToken,
        /// Why it did not end well.
        error: Option<String>,
    },
}

impl ScheduleCommand {
    /// The command's name, as metrics, logs and rejections show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Define { .. } => "define_schedule",
            Self::Pause { .. } => "pause_schedule",
            Self::Resume { .. } => "resume_schedule",
            Self::Trigger => "trigger_schedule",
            Self::FireTimer { .. } => "fire_timer",
            Self::EndRun { .. } => "end_run",
        }
    }

    /// What a command for an instance means to a schedule: a timer that is due, and the answer of an instance that it has started. None
    /// for the others.
    #[must_use]
    pub fn of_instance(command: &Command) -> Option<Self> {
        match command {
            Command::FireTimer { timer, due } => Some(Self::FireTimer { timer: *timer, due: *due }),
            Command::CompleteTask { token, .. } => Some(Self::EndRun { token: *token, error: None }),
            Command::FailTask { token, error, .. } => {
                let detail = error.detail.as_ref().or(error.title.as_ref());
                let error = detail.cloned().unwrap_or_else(|| error.error_type.clone());
                Some(Self::EndRun { token: *token, error: Some(error) })
            }
            Command::Start { .. }
            | Command::RecordHeartbeat { .. }
            | Command::DeliverSignal { .. }
            | Command::Cancel { .. }
            | Command::Suspend { .. }
            | Command::Resume { .. }
            | Command::DeliverEvent { .. }
            | Command::Retry { .. }
            | Command::Edit { .. }
            | Command::Skip { .. }
            | Command::Restart { .. } => None,
        }
    }
}

/// One changelog record of a schedule: what one command did to it. The record's key is the schedule's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleEntry {
    /// When it was decided: the owner's clock.
    pub at: Timestamp,
    /// The event that caused it.
    pub cause: EventId,
    /// W3C trace context of the cause.
    pub traceparent: Option<String>,
    /// What happened, in order. Never empty.
    pub events: Vec<ScheduleEvent>,
}

/// One fact about one schedule. Past tense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleEvent {
    /// It follows a version from now on. If it was paused, it stays so.
    ScheduleDefined {
        /// Which.
        version: WorkflowVersion,
        /// When something starts; for people.
        rhythm: Arc<str>,
        /// What becomes of a start while the run before is still at it; for people.
        overlap: Arc<str>,
    },
    /// The newest version has no schedule. What was buffered is dropped.
    ScheduleRetired {
        /// Which.
        version: WorkflowVersion,
    },
    /// Nothing starts by the clock any more. What was buffered is dropped.
    SchedulePaused {
        /// For people.
        reason: String,
    },
    /// It goes on.
    ScheduleResumed {
        /// For people.
        reason: String,
    },
    /// The next start has its timer. The timer before is gone.
    NextStartSet {
        /// Its id: one more than the last one's.
        timer: TimerId,
        /// When.
        due: Timestamp,
    },
    /// There is no next start for now.
    NextStartCleared,
    /// An instance was sent its start.
    RunStarted {
        /// A counter.
        run: u32,
        /// The instance.
        instance: InstanceId,
        /// When it was meant to start.
        nominal: Timestamp,
        /// Somebody asked for it.
        is_triggered: bool,
        /// Whether it says when it ends.
        is_awaited: bool,
    },
    /// A start waits for the end of the run.
    StartBuffered {
        /// The instance that it will be.
        instance: InstanceId,
        /// When it was meant to start.
        nominal: Timestamp,
        /// Somebody asked for it.
        is_triggered: bool,
    },
    /// Starts were left out.
    StartsSkipped {
        /// How many.
        count: u64,
        /// When the last of them was meant to be.
        last: Timestamp,
        /// Why.
        reason: SkipReason,
    },
    /// The run that was waited for has ended.
    RunEnded {
        /// Which.
        run: u32,
        /// Why it did not end well; for people.
        error: Option<String>,
    },
}

impl ScheduleEvent {
    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ScheduleDefined { .. } => "ScheduleDefined",
            Self::ScheduleRetired { .. } => "ScheduleRetired",
            Self::SchedulePaused { .. } => "SchedulePaused",
            Self::ScheduleResumed { .. } => "ScheduleResumed",
            Self::NextStartSet { .. } => "NextStartSet",
            Self::NextStartCleared => "NextStartCleared",
            Self::RunStarted { .. } => "RunStarted",
            Self::StartBuffered { .. } => "StartBuffered",
            Self::StartsSkipped { .. } => "StartsSkipped",
            Self::RunEnded { .. } => "RunEnded",
        }
    }
}

/// Why starts were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkipReason {
    /// It was noticed too late: they are older than the catch-up window.
    TooLate,
    /// The run before was still at it.
    Overlap,
}

/// The state of a schedule: the fold of its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// The version that it follows.
    pub version: WorkflowVersion,
    /// How it stands.
    pub status: ScheduleStatus,
    /// As in [`ScheduleEvent::ScheduleDefined`].
    pub rhythm: Arc<str>,
    /// As in [`ScheduleEvent::ScheduleDefined`].
    pub overlap: Arc<str>,
    /// When it began to follow the version.
    pub defined_at: Timestamp,
    /// When the last event was applied.
    pub updated_at: Timestamp,
    /// Its timer.
    pub next: Option<NextStart>,
    /// The run that is waited for.
    pub running: Option<ScheduledRun>,
    /// The start that waits for its end.
    pub buffered: Option<BufferedStart>,
    /// The last run that was started.
    pub last: Option<ScheduledRun>,
    /// When a run that was waited for ended last.
    pub ended_at: Option<Timestamp>,
    /// Why the last run that was waited for did not end well, if so; for people.
    pub last_error: Option<String>,
    /// The latest nominal time that was decided: none before is decided again.
    pub decided_until: Option<Timestamp>,
    /// Runs that were started.
    pub started: u64,
    /// Starts that were left out.
    pub skipped: u64,
    /// Runs that were waited for and did not end well.
    pub failed: u64,
    /// The id of the next timer.
    pub next_timer: u32,
    /// The number of the next run.
    pub next_run: u32,
}

/// How a schedule stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleStatus {
    /// It starts instances.
    Active,
    /// It starts none until it is resumed.
    Paused {
        /// For people.
        reason: String,
    },
    /// The workflow has no schedule any more.
    Retired,
}

impl ScheduleStatus {
    /// The status in one word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused { .. } => "paused",
            Self::Retired => "retired",
        }
    }
}

/// The timer of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStart {
    /// Its id.
    pub timer: TimerId,
    /// When it is due.
    pub due: Timestamp,
}

/// An instance that a schedule has started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledRun {
    /// Its number.
    pub run: u32,
    /// The instance.
    pub instance: InstanceId,
    /// When it was meant to start.
    pub nominal: Timestamp,
    /// When it was started.
    pub started_at: Timestamp,
    /// Somebody asked for it.
    pub is_triggered: bool,
}

/// A start that waits for the end of the run before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferedStart {
    /// The instance that it will be.
    pub instance: InstanceId,
    /// When it was meant to start.
    pub nominal: Timestamp,
    /// Somebody asked for it.
    pub is_triggered: bool,
}

/// A row of the snapshot table: as [`crate::snapshot::Snapshot`], of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSnapshot {
    /// Era of the key-group when it was taken.
    pub era: u32,
    /// Changelog offset of the last event that is in it.
    pub offset: Offset,
    /// The state.
    pub state: ScheduleState,
}

impl ScheduleSnapshot {
    /// Format of the row's envelope. A reader refuses what it does not know.
    pub const FORMAT: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_whose_schedule_it_is() {
        let report = WorkflowName { namespace: "shop".into(), name: "report".into() };
        let id = schedule_id(&report);
        assert_eq!(id.as_str(), "millrace:schedule/shop/report");
        assert_eq!(scheduled_workflow(&id), Some(report));
        for other in
            ["shop/report", "millrace:schedule/", "millrace:schedule/shop", "millrace:schedule/a/b/c"]
        {
            assert_eq!(scheduled_workflow(&InstanceId::new(other).expect("an id")), None, "{other}");
        }
        let long = WorkflowName { namespace: "é".repeat(200).as_str().into(), name: "x".into() };
        assert!(schedule_id(&long).as_str().len() <= InstanceId::BYTES_MAX, "no name makes it panic");
    }
}
