//! What workers read: one record of `<prefix>.commands.<queue>` for each dispatch. They answer with a CloudEvent into
//! `<prefix>.events`: `io.millrace.task.completed`, `io.millrace.task.failed` or `io.millrace.task.heartbeat`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::SecretMarker;
use crate::{Attempt, InstanceId, Payload, TaskToken, Timestamp, WorkflowVersion};

/// A task for a worker. The record's key is the instance id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskCommand {
    /// The instance that waits for the answer: the answer's `subject`.
    pub instance: InstanceId,
    /// What to copy into the answer, as `tasktoken`.
    pub token: TaskToken,
    /// The version of the workflow.
    pub workflow: WorkflowVersion,
    /// JSON pointer of the task.
    pub task: Arc<str>,
    /// As in [`crate::event::Event::TaskStarted`].
    pub iteration: Arc<str>,
    /// Which attempt of a surrounding `try`.
    pub attempt: Attempt,
    /// The same for every delivery and every attempt of one step of one instance, and for no other: use it to make side
    /// effects idempotent. `instance`, `task` and `iteration` in one string.
    pub idempotency_key: String,
    /// The function to run.
    pub function: Arc<str>,
    /// Its arguments.
    pub arguments: Payload,
    /// An answer after this is late, if set.
    pub deadline: Option<Timestamp>,
    /// A heartbeat is wanted at least this often, in milliseconds, if set.
    pub heartbeat_ms: Option<u64>,
    /// Texts in the arguments that the worker replaces by secrets.
    pub secrets: Vec<SecretMarker>,
}
