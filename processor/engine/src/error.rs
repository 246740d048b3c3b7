//! The two ways in which a step or a fold is refused.

use millrace_schemas::InstanceId;

/// A recorded refusal. The command had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such instance (or its stub has expired).
    #[error("instance {instance} does not exist; start it first, or check the id")]
    NotFound {
        /// The id that was asked for.
        instance: InstanceId,
    },
    /// There is no such schedule.
    #[error("there is no schedule {schedule}; deploy a definition that has one, or check the name")]
    NoSchedule {
        /// The id that was asked for.
        schedule: InstanceId,
    },
    /// A start of an id that is taken.
    #[error("instance {instance} exists already ({status}); a start is idempotent, nothing was done")]
    AlreadyExists {
        /// The id that is taken.
        instance: InstanceId,
        /// How it stands, in one word.
        status: &'static str,
    },
    /// An event from outside that was accepted before.
    #[error("{detail}")]
    Duplicate {
        /// Which, and where it is.
        detail: String,
    },
    /// An event from outside that must be taken at once, and was not.
    #[error("{detail}")]
    NotTaken {
        /// Why.
        detail: String,
    },
    /// The state does not allow it: an ended instance, an answer that is late or came twice, a timer that is gone.
    #[error("{detail}")]
    InvalidState {
        /// What stands in the way.
        detail: String,
    },
    /// The command itself is wrong.
    #[error("{detail}")]
    InvalidArgument {
        /// What is wrong, and what would be right.
        detail: String,
    },
}

impl Rejection {
    /// A stable name, for the sender and for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::NoSchedule { .. } => "not_found",
            Self::AlreadyExists { .. } => "already_exists",
            Self::Duplicate { .. } => "duplicate",
            Self::NotTaken { .. } => "not_taken",
            Self::InvalidState { .. } => "invalid_state",
            Self::InvalidArgument { .. } => "invalid_argument",
        }
    }
}

/// An event cannot follow this state: the log and the code disagree. The instance is quarantined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event} cannot follow the state of instance {instance}: {detail}")]
pub struct Corrupt {
    /// Which instance.
    pub instance: InstanceId,
    /// The event's name.
    pub event: String,
    /// What does not fit.
    pub detail: String,
}
