//! Errors of the API: a status, and a JSON body with a stable code.

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// Stable codes.
pub(crate) mod code {
    pub(crate) const NOT_FOUND: &str = "not_found";
    pub(crate) const NOT_OWNER: &str = "not_owner";
    pub(crate) const NO_ANSWER: &str = "no_answer";
    pub(crate) const INVALID: &str = "invalid_argument";
    pub(crate) const EXPRESSION: &str = "expression_failed";
    pub(crate) const NO_SUCH_QUERY: &str = "no_such_query";
    pub(crate) const NOT_DEPLOYED: &str = "not_deployed";
    pub(crate) const NO_SUCH_PATH: &str = "no_such_path";
    pub(crate) const STORE: &str = "store_unavailable";
    pub(crate) const DAMAGED: &str = "damaged_row";
}

/// `{"error": {"code": …, "message": …}}`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: ApiError,
}

/// An error as its receiver sees it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApiError {
    /// One of [`code`].
    pub(crate) code: String,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// With [`code::NOT_OWNER`] and [`code::NO_ANSWER`]: which partition holds the instance.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) partition: Option<u32>,
}

impl ApiError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), partition: None }
    }

    pub(crate) fn at(code: &str, partition: u32, message: impl Into<String>) -> Self {
        Self { partition: Some(partition), ..Self::new(code, message) }
    }

    fn status(&self) -> StatusCode {
        match self.code.as_str() {
            code::NOT_FOUND | code::NO_SUCH_PATH | code::NO_SUCH_QUERY => StatusCode::NOT_FOUND,
            code::EXPRESSION => StatusCode::UNPROCESSABLE_ENTITY,
            code::NOT_DEPLOYED => StatusCode::CONFLICT,
            code::NOT_OWNER => StatusCode::MISDIRECTED_REQUEST,
            code::INVALID => StatusCode::BAD_REQUEST,
            code::NO_ANSWER | code::STORE => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(ErrorBody { error: self })).into_response()
    }
}

pub(crate) async fn no_such_path(uri: Uri) -> ApiError {
    let paths = "/livez, /readyz, /metrics, /v1/instances, /v1/instances/{id}, /v1/instances/{id}/history, /v1/instances/{id}/rewound, /v1/instances/{id}/query, /v1/instances/{id}/queries/{name}, /v1/schedules, /v1/schedules/{namespace}/{name}, /v1/partitions";
    ApiError::new(code::NO_SUCH_PATH, format!("{} does not exist; there are {paths}", uri.path()))
}
