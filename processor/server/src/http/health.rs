//! For the platform: is the process alive, can it serve, how does it do.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace_runtime::store::SnapshotStore;
use prometheus::{Encoder as _, TextEncoder};

use super::Api;

/// The process answers. It says nothing about Kafka or the store: restarting a processor does not mend those.
pub(crate) async fn live() -> &'static str {
    "alive\n"
}

/// The processor has joined its group, and every partition that it owns is caught up and serving.
pub(crate) async fn ready<S: SnapshotStore>(State(api): State<Api<S>>) -> (StatusCode, String) {
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

/// Prometheus, text format.
pub(crate) async fn metrics<S: SnapshotStore>(State(api): State<Api<S>>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&api.metrics.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
