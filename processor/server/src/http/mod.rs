//! The HTTP API of a processor: it translates, between requests and what `requests` and `reading` do. No rule about workflows is here.
//!
//! Reading order: `error`, `extract`, `caller`, what all handlers share; `asking`, sending an event and waiting for what becomes of it; then a
//! file for each thing there is; `document`, the OpenAPI document that is made of them; `console`, the page that asks it.

mod asking;
mod batch;
mod caller;
mod console;
mod cursor;
mod dead_letters;
mod definitions;
mod document;
mod error;
mod events;
mod extract;
mod filter;
mod graph;
mod health;
mod instances;
mod live;
mod partitions;
mod queries;
mod schedules;
mod security;
mod start;
mod verbs;
mod whoami;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum_server::Handle;
use millrace_runtime::ProcessorHandle;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use error::{ApiError, ErrorBody, code};
pub(crate) use partitions::PartitionsView;
pub(crate) use security::{AUDIT, Security, Settings};

use crate::clients::AnyStore;
use crate::exit::Failure;
use crate::reading::{self, Peers};
use crate::requests::Fleet;
use crate::traces;
use caller::Caller;
use document::Bearer;

/// What the handlers work with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// Where it is reached.
    pub(crate) url: Arc<str>,
    pub(crate) processor: ProcessorHandle,
    pub(crate) fleet: Fleet,
    pub(crate) store: AnyStore,
    /// The other processors; asked in the name of whoever asks here.
    pub(crate) peers: Peers,
    pub(crate) metrics: prometheus::Registry,
    pub(crate) turns: Arc<Turns>,
    /// Ends what would go on for ever.
    pub(crate) closing: CancellationToken,
    /// Whether nobody is asked who he is.
    pub(crate) is_open: bool,
}

/// How much is done side by side: what answers must not take the processors from what is processed.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Queries that are evaluated.
    evaluating: Semaphore,
    /// Requests that read topics.
    reading: Semaphore,
    /// Requests that wait for what becomes of an event.
    waiting: Semaphore,
    /// Requests that wait for the owner of a partition to show.
    seeking: Semaphore,
    /// Batches.
    batches: Semaphore,
    /// Streams of what happens.
    following: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            evaluating: Semaphore::new(2),
            reading: Semaphore::new(8),
            waiting: Semaphore::new(1_024),
            seeking: Semaphore::new(256),
            batches: Semaphore::new(4),
            following: Arc::new(Semaphore::new(256)),
        }
    }
}

/// The right to wait for the owner of a partition.
struct Seat<'a> {
    until: Instant,
    _held: Option<SemaphorePermit<'a>>,
}

impl Api {
    /// Who finds no seat asks once: those who wait must not take the places of those who can be answered.
    fn seat(&self) -> Seat<'_> {
        match self.turns.seeking.try_acquire() {
            Ok(held) => Seat { until: reading::owner_until(), _held: Some(held) },
            Err(_) => Seat { until: Instant::now(), _held: None },
        }
    }

    /// The other processors, asked in the name of the caller.
    fn peers(&self, caller: &Caller) -> Peers {
        self.peers.for_caller(caller.bearer.clone())
    }

    async fn reading_turn(&self) -> SemaphorePermit<'_> {
        self.turns.reading.acquire().await.expect("it is never closed")
    }
}

/// Takes the address. With port 0 the system chooses one: see `TcpListener::local_addr`.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let fix = "is another one running there? Use that, or give another address with --http; port 0 is any free one";
        Failure::new(format!("cannot listen on {address}"), fix).because(error).into()
    })
}

/// How long requests that have begun may take at the end.
const GRACE: Duration = Duration::from_secs(10);
/// How long a client may take to say what it asks.
const HEADERS_MAX: Duration = Duration::from_secs(15);

/// Answers until `shutdown`, then finishes the requests that have begun.
pub(crate) async fn serve(
    listener: TcpListener,
    api: Api,
    security: Security,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let listener = listener.into_std()?;
    let handle = Handle::new();
    let (closing, ending) = (api.closing.clone(), handle.clone());
    tokio::spawn(async move {
        shutdown.cancelled().await;
        closing.cancel();
        ending.graceful_shutdown(Some(GRACE));
    });
    let certificates = security.certificates.clone();
    let service = router(api, security).into_make_service_with_connect_info::<SocketAddr>();
    match certificates {
        Some(certificates) => {
            let mut server = axum_server::from_tcp_rustls(listener, certificates.config)?.handle(handle);
            server.http_builder().http1().header_read_timeout(HEADERS_MAX);
            server.serve(service).await
        }
        None => {
            let mut server = axum_server::from_tcp(listener)?.handle(handle);
            server.http_builder().http1().header_read_timeout(HEADERS_MAX);
            server.serve(service).await
        }
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Millrace",
        description = "The API of a processor. Whichever processor is asked answers for the whole fleet. What changes something is sent through Kafka.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ErrorBody, asking::CommandView, live::FollowedView)),
    modifiers(&Bearer),
    security(("bearer" = [])),
    tags(
        (name = "instances", description = "Runs of workflows"),
        (name = "events", description = "Events from outside"),
        (name = "definitions", description = "Workflows and their versions"),
        (name = "schedules", description = "What starts instances by the clock"),
        (name = "dead letters", description = "Records that could not be read or admitted"),
        (name = "fleet", description = "Partitions and their owners"),
        (name = "health", description = "For the platform"),
    )
)]
struct Described;

/// All routes, and the document that says what they take and give.
fn routes() -> (Router<Api>, OpenApi) {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(instances::list, start::start))
        .routes(routes!(instances::one))
        .routes(routes!(instances::history))
        .routes(routes!(instances::rewound))
        .routes(routes!(queries::expression))
        .routes(routes!(queries::named))
        .routes(routes!(graph::of_instance))
        .routes(routes!(live::instance))
        .routes(routes!(events::signal))
        .routes(routes!(verbs::cancel))
        .routes(routes!(verbs::suspend))
        .routes(routes!(verbs::resume))
        .routes(routes!(verbs::retry))
        .routes(routes!(verbs::edit))
        .routes(routes!(verbs::skip))
        .routes(routes!(verbs::restart))
        .routes(routes!(live::all, events::publish))
        .routes(routes!(batch::run))
        .routes(routes!(definitions::all, definitions::deploy))
        .routes(routes!(definitions::workflow))
        .routes(routes!(definitions::version))
        .routes(routes!(graph::of_definition))
        .routes(routes!(schedules::all))
        .routes(routes!(schedules::one))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::trigger))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::one))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(partitions::all))
        .routes(routes!(partitions::fleet))
        .routes(routes!(whoami::caller))
        .split_for_parts()
}

fn router(api: Api, security: Security) -> Router {
    let (router, document) = routes();
    let text: Arc<str> = document::text(&document).into();
    let traces = api.fleet.kafka.traces().clone();
    let router = router
        .route("/openapi.json", get(move || document::serve(Arc::clone(&text))))
        .merge(console::routes())
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn_with_state(traces, traces::requests::traced))
        .with_state(api);
    security.around(router)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_up_to_date() {
        let (_, document) = routes();
        expect_test::expect_file!["../../openapi.json"].assert_eq(&document::text(&document));
    }

    /// What OpenAPI asks for, and is easily forgotten.
    #[test]
    fn the_document_is_whole() {
        let (_, document) = routes();
        let document = serde_json::to_value(&document).expect("is JSON");
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 100, "{} references", references.len());
        for reference in references {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        let mut names = std::collections::BTreeSet::new();
        for (path, methods) in document["paths"].as_object().expect("has paths") {
            for (method, operation) in methods.as_object().expect("has methods") {
                let name = operation["operationId"].as_str().expect("has a name");
                assert!(names.insert(name.to_owned()), "{name} is there twice");
                assert!(
                    operation["summary"].is_string() && operation["tags"][0].is_string(),
                    "{method} {path}"
                );
                for (status, response) in operation["responses"].as_object().expect("has responses") {
                    assert!(response["description"].is_string(), "{method} {path}: {status}");
                }
                let errors = operation["responses"].get("default").is_some();
                assert!(errors || !path.starts_with("/v1/"), "{method} {path} does not say how it fails");
            }
        }
    }

    fn collect(value: &serde_json::Value, references: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                references.extend(fields.get("$ref").and_then(|it| it.as_str()).map(str::to_owned));
                fields.values().for_each(|it| collect(it, references));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|it| collect(it, references)),
            _ => {}
        }
    }
}
