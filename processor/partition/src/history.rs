//! How long what happened to an instance is kept, for people: by its workflow, or else by the fleet's configuration.

use std::time::Duration;

use millrace_schemas::WorkflowVersion;
use millrace_workflow::program::{History, Program};

use crate::config::Config;
use crate::partition::Programs;

/// For one instance. A time of none is for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Of its history; none if nothing is written.
    pub(crate) history: Option<Option<Duration>>,
    /// In the list, once it has ended.
    pub(crate) listing: Option<Duration>,
}

impl Retention {
    /// A version that is not known has no wishes.
    pub(crate) fn of(workflow: &WorkflowVersion, programs: &impl Programs, config: &Config) -> Self {
        Self::by(programs.version(workflow).as_deref(), config)
    }

    pub(crate) fn by(program: Option<&Program>, config: &Config) -> Self {
        let default = config.history_retention;
        match program.map_or(History::Default, |it| it.history) {
            History::Default => Self { history: Some(default), listing: default },
            History::Off => Self { history: None, listing: default },
            History::Keep { retention } => Self { history: Some(retention), listing: retention },
        }
    }
}
