//! The OpenAPI document, which is made of the handlers; and parts of it that they share.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, IntoResponses, Modify};

use super::ErrorBody;
use super::asking::CommandView;

/// Which instance.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it says how a parameter looks")]
pub(super) struct InstanceParam {
    /// Of the instance.
    #[param(min_length = 1, max_length = 256)]
    id: String,
}

/// Which workflow.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it says how a parameter looks")]
pub(super) struct WorkflowParams {
    /// Of the workflow.
    #[param(min_length = 1)]
    namespace: String,
    /// Of the workflow.
    #[param(min_length = 1)]
    name: String,
}

/// What names the request.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it says how a parameter looks")]
pub(super) struct KeyHeader {
    /// Names the request: one that is sent again under the same name does nothing again.
    #[param(
        rename = "Idempotency-Key",
        nullable = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$"
    )]
    idempotency_key: Option<String>,
}

/// Answers to what asks an instance, or a schedule, for something.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it says how responses look")]
pub(super) enum Commanded {
    /// It was accepted.
    #[response(status = 200)]
    Accepted(CommandView),
    /// The event is durable; nothing more was waited for, or told in time.
    #[response(status = 202)]
    Durable(CommandView),
    /// It was refused, or could not be done.
    #[response(status = "default")]
    Failed(ErrorBody),
}

/// An answer that is an error.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it says how responses look")]
pub(super) enum Failed {
    /// It was refused, or could not be done.
    #[response(status = "default")]
    Failed(ErrorBody),
}

/// How a caller shows who it is.
pub(super) struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token that the operator gave out, or one of the OpenID provider; none, where the API asks for none"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The document as text.
pub(super) fn text(document: &OpenApi) -> String {
    let mut text = document.to_pretty_json().expect("the document can be written");
    text.push('\n');
    text
}

/// Serves it.
pub(super) async fn serve(text: std::sync::Arc<str>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string())
}
