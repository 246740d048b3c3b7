//! For the platform: is the process alive, can it serve, how does it do.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder as _, TextEncoder};

use super::Api;

/// Is the process alive?
///
/// It says nothing about Kafka or the store: restarting a processor does not mend those.
#[utoipa::path(
    get, path = "/livez", tag = "health", operation_id = "isAlive", security(()),
    responses((status = 200, description = "It answers", body = String, content_type = "text/plain"))
)]
pub(crate) async fn live() -> &'static str {
    "alive\n"
}

/// Can it serve?
///
/// It can when it has joined its group, and every partition that it owns is caught up and serving.
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "isReady", security(()),
    responses(
        (status = 200, description = "It can", body = String, content_type = "text/plain"),
        (status = 503, description = "Not now; the text says why", body = String, content_type = "text/plain"),
    )
)]
pub(crate) async fn ready(State(api): State<Api>) -> (StatusCode, String) {
    if api.processor.is_ready() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let partitions = api.processor.partitions();
    let restoring: Vec<_> =
        partitions.iter().filter(|it| !it.is_active).map(|it| it.partition.0.to_string()).collect();
    let why = if restoring.is_empty() {
        "the consumer group has not been joined yet".to_owned()
    } else {
        format!("partitions being restored: {}", restoring.join(", "))
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"))
}

/// Metrics, as Prometheus reads them
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "getMetrics", security(()),
    responses((status = 200, description = "Text format", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(api): State<Api>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&api.metrics.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
