//! Who asks, as the API sees it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::document::Failed;

/// Whoever has asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallerView {
    /// As the token says; nothing where the API asks for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// `read`, `write` or `admin`.
    role: String,
    /// Whether the API asks for a token at all.
    takes_tokens: bool,
}

/// Who am I?
#[utoipa::path(
    get, path = "/v1/caller", tag = "fleet", operation_id = "getCaller",
    responses((status = 200, description = "The caller", body = CallerView), Failed)
)]
pub(crate) async fn caller(State(api): State<Api>, caller: Caller) -> Json<CallerView> {
    Json(CallerView {
        name: caller.name.as_deref().map(str::to_owned),
        role: caller.role.name().to_owned(),
        takes_tokens: !api.is_open,
    })
}
