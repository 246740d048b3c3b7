//! One instance, and who said so.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::InstanceView;

/// What `get` and the API answer.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct FoundView {
    #[serde(flatten)]
    pub(crate) instance: InstanceView,
    pub(crate) read_from: ReadFrom,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) owner_url: Option<String>,
    /// What happened after it may be missing; of what was read from the store.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) complete_until: Option<String>,
    /// Why the owner did not say so itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) note: Option<String>,
}

/// Who knew it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReadFrom {
    /// So it is now.
    Owner,
    /// So it was when it was last flushed.
    Store,
}
