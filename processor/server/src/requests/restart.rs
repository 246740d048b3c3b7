//! A restart from a task: the command says what the engine needs for it and does not keep, so that is read from the history first.

use millrace_schemas::command::Command;
use millrace_schemas::{InstanceId, Payload};

use crate::view::{EndedView, EnteredView, RewoundView};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Restart {
    /// The task from which on all runs again.
    pub(crate) from: String,
    /// Another input than what flowed to it last time.
    pub(crate) input: Option<Payload>,
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// Why there is no such restart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task {task} of {id} was never entered")]
pub(crate) struct NeverEntered {
    task: String,
    id: InstanceId,
}

impl Restart {
    /// `rewound` is what the history says; none if there is no history, which is well for an instance that has not ended, if the input is
    /// given.
    ///
    /// # Errors
    /// When nobody says what flows to the task.
    pub(crate) fn command(
        self,
        id: &InstanceId,
        rewound: Option<RewoundView>,
    ) -> Result<Command, NeverEntered> {
        let Self { from, input, by, reason } = self;
        let (entered, restarts, ended) = match rewound {
            Some(RewoundView { entered, restarts, ended }) => (entered, Some(restarts), ended),
            None => (None, None, None),
        };
        let (found, seen) = match entered {
            Some(EnteredView { input, context }) => (Some(input), Some(context)),
            None => (None, None),
        };
        let (reopening, last) = match ended {
            Some(EndedView { reopening, context }) => (Some(reopening), Some(context)),
            None => (None, None),
        };
        let Some(input) = input.or(found) else {
            return Err(NeverEntered { task: from, id: id.clone() });
        };
        let context = seen.or(last);
        Ok(Command::Restart { task: from.into(), input, context, number: restarts, reopening, by, reason })
    }
}
