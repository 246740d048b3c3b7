//! What a restart from a task brings with it, as the API tells it.

use millrace_engine::Rewound;
use millrace_schemas::Payload;
use millrace_schemas::event::Reopening;
use serde::{Deserialize, Serialize};

/// See [`Rewound`].
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct RewoundView {
    /// What flowed to the task when it was entered last, if it ever was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) entered: Option<EnteredView>,
    pub(crate) restarts: u32,
    /// Of an instance that has ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) ended: Option<EndedView>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct EnteredView {
    pub(crate) input: Payload,
    pub(crate) context: Payload,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct EndedView {
    pub(crate) reopening: Reopening,
    pub(crate) context: Payload,
}

impl From<Rewound> for RewoundView {
    fn from(rewound: Rewound) -> Self {
        let Rewound { entered, restarts, ended } = rewound;
        Self {
            entered: entered.map(|(input, context)| EnteredView { input, context }),
            restarts,
            ended: ended.map(|(reopening, context)| EndedView { reopening, context }),
        }
    }
}
