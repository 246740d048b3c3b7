//! What a worker serves over HTTP, for the platform: is it alive, can it serve, how does it do. Nothing else.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use millrace_worker::WorkerStatus;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http;

#[derive(Clone, Debug)]
struct Endpoint {
    status: WorkerStatus,
    metrics: Registry,
}

/// An address that is taken, and not answered at yet.
#[derive(Debug)]
pub(crate) struct Bound(TcpListener);

impl Bound {
    /// Takes the address. With port 0 the system chooses one.
    pub(crate) async fn to(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self(http::bind(address).await?))
    }

    /// The address, as a URL.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.0.local_addr()?))
    }

    /// Answers until `shutdown`.
    pub(crate) async fn serve(
        self,
        status: WorkerStatus,
        metrics: Registry,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        let router = Router::new()
            .route("/livez", get(live))
            .route("/readyz", get(ready))
            .route("/metrics", get(shown))
            .with_state(Endpoint { status, metrics });
        axum::serve(self.0, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}

/// The process answers. It says nothing about Kafka: restarting a worker does not mend that.
async fn live() -> &'static str {
    "alive\n"
}

async fn ready(State(endpoint): State<Endpoint>) -> (StatusCode, String) {
    let what = endpoint.status.describe();
    match endpoint.status.is_ready() {
        true => (StatusCode::OK, format!("ready: {what}\n")),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {what}\n")),
    }
}

/// Prometheus, text format.
async fn shown(State(endpoint): State<Endpoint>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&endpoint.metrics.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
