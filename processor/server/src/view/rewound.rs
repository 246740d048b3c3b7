//! What a restart from a task brings with it, as the API tells it.

use millrace_engine::Rewound;
use millrace_schemas::Payload;
use millrace_schemas::event::Reopening;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// See [`Rewound`].
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct RewoundView {
    /// What flowed to the task when it was entered last, if it ever was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) entered: Option<EnteredView>,
    pub(crate) restarts: u32,
    /// Of an instance that has ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) ended: Option<EndedView>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct EnteredView {
    #[schema(value_type = Value)]
    pub(crate) input: Payload,
    #[schema(value_type = Value)]
    pub(crate) context: Payload,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct EndedView {
    #[schema(value_type = Object)]
    pub(crate) reopening: Reopening,
    #[schema(value_type = Value)]
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
