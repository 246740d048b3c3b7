//! Errors of the API: a status, and a JSON body with a stable code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::exit::{Exit, Failure, Problem};

/// Stable codes. Besides these, a command that was refused has the reason that the processors give, such as `already_exists`.
pub(crate) mod code {
    pub(crate) const NOT_FOUND: &str = "not_found";
    pub(crate) const NOT_OWNER: &str = "not_owner";
    pub(crate) const NO_ANSWER: &str = "no_answer";
    pub(crate) const INVALID: &str = "invalid_argument";
    pub(crate) const EXPRESSION: &str = "expression_failed";
    pub(crate) const NO_SUCH_QUERY: &str = "no_such_query";
    pub(crate) const NOT_DEPLOYED: &str = "not_deployed";
    pub(crate) const NO_SUCH_PATH: &str = "no_such_path";
    pub(crate) const NO_SUCH_METHOD: &str = "method_not_allowed";
    pub(crate) const STORE: &str = "store_unavailable";
    pub(crate) const KAFKA: &str = "kafka_unavailable";
    pub(crate) const DAMAGED: &str = "damaged_row";
    pub(crate) const UNAUTHENTICATED: &str = "unauthenticated";
    pub(crate) const FORBIDDEN: &str = "forbidden";
    pub(crate) const TOO_LARGE: &str = "too_large";
    pub(crate) const MEDIA_TYPE: &str = "unsupported_media_type";
    pub(crate) const TOO_MANY: &str = "too_many_requests";
    pub(crate) const BUSY: &str = "busy";
    pub(crate) const TIMEOUT: &str = "timeout";
    pub(crate) const CONFLICT: &str = "conflict";
    pub(crate) const REFUSED: &str = "definition_refused";
    pub(crate) const NEVER_ENTERED: &str = "never_entered";
    pub(crate) const NO_HISTORY: &str = "no_history";
}

/// What is answered instead of what was asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorBody {
    pub(crate) error: ApiError,
}

/// An error as its receiver sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ApiError {
    /// A stable name, such as `not_found`.
    #[schema(example = "not_found")]
    pub(crate) code: String,
    /// What is wrong and what to do.
    pub(crate) message: String,
    /// With `not_owner` and `no_answer`: which partition holds the instance.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) partition: Option<u32>,
    /// With `definition_refused`: what is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) findings: Vec<crate::requests::admission::FindingView>,
}

/// The code of an error, for whoever sees only the response.
#[derive(Clone, Debug)]
pub(crate) struct ErrorCode(pub(crate) String);

impl ApiError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), partition: None, findings: Vec::new() }
    }

    pub(crate) fn at(code: &str, partition: u32, message: impl Into<String>) -> Self {
        Self { partition: Some(partition), ..Self::new(code, message) }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(code::INVALID, message)
    }

    /// What could not be had of the store, with its reasons.
    pub(crate) fn of_store(error: impl Into<anyhow::Error>) -> Self {
        Self::new(code::STORE, format!("{:#}", error.into()))
    }

    /// What could not be had of Kafka, or was not there.
    pub(crate) fn of_fleet(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let is_not_found = error.downcast_ref::<Failure>().is_some_and(|it| it.exit == Exit::NotFound);
        let Problem { message, causes, fix, .. } = Problem::of(&error);
        let mut text = message;
        for cause in causes {
            text.push_str(&format!(": {cause}"));
        }
        if let Some(fix) = fix {
            text.push_str(&format!("; {fix}"));
        }
        Self::new(if is_not_found { code::NOT_FOUND } else { code::KAFKA }, text)
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self.code.as_str() {
            code::INVALID => StatusCode::BAD_REQUEST,
            code::UNAUTHENTICATED => StatusCode::UNAUTHORIZED,
            code::FORBIDDEN => StatusCode::FORBIDDEN,
            code::NOT_FOUND | code::NO_SUCH_PATH | code::NO_SUCH_QUERY | code::NO_HISTORY => {
                StatusCode::NOT_FOUND
            }
            code::NO_SUCH_METHOD => StatusCode::METHOD_NOT_ALLOWED,
            code::NOT_DEPLOYED
            | code::CONFLICT
            | "already_exists"
            | "duplicate"
            | "not_taken"
            | "invalid_state"
            | "quarantined" => StatusCode::CONFLICT,
            code::TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
            code::MEDIA_TYPE => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code::NOT_OWNER => StatusCode::MISDIRECTED_REQUEST,
            code::TOO_MANY => StatusCode::TOO_MANY_REQUESTS,
            code::NO_ANSWER | code::STORE | code::KAFKA | code::BUSY | code::TIMEOUT => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            code::DAMAGED => StatusCode::INTERNAL_SERVER_ERROR,
            // Of a command that was refused, or that was put among the dead letters; and of expressions and definitions.
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), ErrorCode(self.code.clone()));
        let mut response = (status, Json(ErrorBody { error: self })).into_response();
        let again_after = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some("1"),
            _ => None,
        };
        let headers = response.headers_mut();
        if let Some(seconds) = again_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(code);
        response
    }
}

pub(crate) async fn no_such_path(uri: Uri) -> ApiError {
    let message = format!("{} does not exist; /openapi.json says what does", uri.path());
    ApiError::new(code::NO_SUCH_PATH, message)
}

pub(crate) async fn no_such_method(method: axum::http::Method, uri: Uri) -> ApiError {
    let message = format!("{} takes no {method}; /openapi.json says what it takes", uri.path());
    ApiError::new(code::NO_SUCH_METHOD, message)
}
