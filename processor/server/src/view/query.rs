//! The answer of an instance.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What `query` and the API answer.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct QueryView {
    /// The instance.
    pub(crate) id: String,
    /// What the expression gave.
    pub(crate) result: Value,
    /// Who evaluated it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) owner_url: Option<String>,
}
