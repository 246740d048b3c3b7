//! The HTTP API of a processor: metrics, health, and what its partitions hold. Read-only.

mod error;
mod health;
mod instances;
mod partitions;
mod queries;
mod schedules;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use millrace_runtime::ProcessorHandle;
use millrace_runtime::store::SnapshotStore;
use millrace_schemas::codec::Codec;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use error::{ApiError, ErrorBody, code};
pub(crate) use partitions::PartitionsView;

use crate::clients::Kafka;
use crate::exit::Failure;

/// What the handlers work with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api<S> {
    /// Where it is reached.
    pub(crate) url: String,
    pub(crate) processor: ProcessorHandle,
    pub(crate) kafka: Arc<Kafka>,
    pub(crate) store: S,
    pub(crate) codec: Codec,
    pub(crate) metrics: prometheus::Registry,
    /// Whose turn it is to evaluate a query: they must not take the processors from what is processed.
    pub(crate) evaluating: Arc<Semaphore>,
}

/// Queries that are evaluated at a time.
pub(crate) const QUERIES_AT_ONCE: usize = 2;

/// Takes the address. With port 0 the system chooses one: see `TcpListener::local_addr`.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let fix = "is another one running there? Use that, or give another address with --http; port 0 is any free one";
        Failure::new(format!("cannot listen on {address}"), fix).because(error).into()
    })
}

/// Answers until `shutdown`, then finishes the requests that have begun.
pub(crate) async fn serve<S: SnapshotStore>(
    listener: TcpListener,
    api: Api<S>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(api)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

fn router<S: SnapshotStore>(api: Api<S>) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready::<S>))
        .route("/metrics", get(health::metrics::<S>))
        .route("/v1/instances", get(instances::list::<S>))
        .route("/v1/instances/{id}", get(instances::one::<S>))
        .route("/v1/instances/{id}/history", get(instances::history::<S>))
        .route("/v1/instances/{id}/query", get(queries::expression::<S>))
        .route("/v1/instances/{id}/queries/{name}", get(queries::named::<S>))
        .route("/v1/schedules", get(schedules::all::<S>))
        .route("/v1/schedules/{namespace}/{name}", get(schedules::one::<S>))
        .route("/v1/instances/{id}/rewound", get(instances::rewound::<S>))
        .route("/v1/partitions", get(partitions::all::<S>))
        .fallback(error::no_such_path)
        .with_state(api)
}
