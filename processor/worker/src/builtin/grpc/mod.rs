//! `call: grpc`: a method of a service that a `.proto` file describes. What to send and what an answer means is decided without I/O,
//! in `schema`, `frames` and `status`; here it is sent.
//!
//! gRPC is a few rules on top of HTTP/2, so it is spoken by the HTTP client that the worker has: with the same TLS, and the same
//! judgement of where calls may go.

mod frames;
mod schema;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use reqwest::{Body, Client, Url};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::{chain, connections};
use super::http::idempotency_header;
use super::resources::{Resources, refusal};
use super::targets::Targets;
use crate::worker::WorkerError;
use crate::{Handler, Task, TaskFailure};

use frames::Frames;
use schema::{Method, Schemas};
use status::Status;

/// Longest time of a call whose task has a later deadline: a place in the worker is not held for ever.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);
/// The port of a service that is reached by TLS, and of one that names none.
const TLS_PORT: u16 = 443;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How calls are made.
#[derive(Clone, Debug)]
pub struct GrpcSettings {
    /// Where they may go.
    pub targets: Targets,
    /// Largest answer, in bytes: of all messages of a stream together. Past it the call fails.
    pub response_bytes_max: usize,
    /// Longest time until there is a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest time of a call whose task has no timeout.
    pub timeout: Duration,
}

impl Default for GrpcSettings {
    /// To public addresses, up to 1 MiB, 5 s to connect, 60 s in all.
    fn default() -> Self {
        Self {
            targets: Targets::PUBLIC,
            response_bytes_max: 1024 * 1024,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
        }
    }
}

/// `with` of `call: grpc`. Each part may be what an expression gave, so it is judged here, whatever admission has said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// An external resource.
    proto: Value,
    service: Service,
    method: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: String,
    host: String,
    port: Option<u16>,
    #[serde(default)]
    authentication: Value,
}

/// The function `grpc`.
#[derive(Debug)]
pub struct Grpc {
    client: Client,
    settings: GrpcSettings,
    resources: Resources,
    schemas: Schemas,
}

impl Grpc {
    /// The name of the function.
    pub const FUNCTION: &str = "grpc";

    /// Calls of services that `resources` describe.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(settings: GrpcSettings, resources: &Resources) -> Result<Self, WorkerError> {
        let connect_timeout = settings.connect_timeout;
        let client =
            connections(settings.targets, |it| it.http2_prior_knowledge().connect_timeout(connect_timeout))?;
        Ok(Self { client, settings, resources: resources.clone(), schemas: Schemas::default() })
    }

    async fn call(&self, task: &Task, limit: Duration) -> Result<Value, TaskFailure> {
        let arguments: Arguments = task.arguments()?;
        if !arguments.service.authentication.is_null() {
            return Err(TaskFailure::configuration(
                "`authentication` of a gRPC service is not supported yet".to_owned(),
            ));
        }
        let proto = self.resources.get(&arguments.proto).await?;
        let schema = self.schemas.of(proto).await?;
        let method = Method::find(&schema, &arguments.service.name, &arguments.method)?;
        let call = Call { url: url(&arguments.service, &method)?, method };
        let message = call.method.encode(arguments.arguments)?;
        self.settings.targets.check_url(&call.url).map_err(|it| call.refused(it))?;
        let request = self
            .client
            .post(call.url.clone())
            .headers(headers(task, limit))
            .body(frames::framed(&message, self.settings.response_bytes_max)?);
        let response = request.send().await.map_err(|error| call.failed(error))?;
        if let Some(status) = Status::of_response(response.status(), response.headers()) {
            status.judge(&call.name())?;
        }
        let messages = self.read(&call, response.into()).await?;
        call.method.decode(&messages).map_err(|problem| call.unreadable(problem))
    }

    /// Reads all messages, and the status after them.
    async fn read(&self, call: &Call, mut body: Body) -> Result<Vec<Bytes>, TaskFailure> {
        let mut frames = Frames::new(self.settings.response_bytes_max);
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            match frame.map_err(|error| call.failed(error))?.into_data() {
                Ok(data) => frames.push(&data).map_err(|problem| call.unreadable(problem))?,
                Err(other) => trailers = other.into_trailers().ok(),
            }
        }
        let status = trailers.as_ref().and_then(Status::of_headers).unwrap_or_else(Status::missing);
        status.judge(&call.name())?;
        frames.finish().map_err(|problem| call.unreadable(problem))
    }
}

impl Handler for Grpc {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        let limit = task.time_left().map_or(self.settings.timeout, |it| it.min(TIMEOUT_MAX));
        tokio::time::timeout(limit, self.call(&task, limit)).await.unwrap_or_else(|_| {
            let title = format!("there was no whole answer within {limit:?}");
            Err(TaskFailure::communication(title, 504, true))
        })
    }
}

/// A call that is made.
struct Call {
    url: Url,
    method: Method,
}

impl Call {
    /// In a message.
    fn name(&self) -> String {
        let authority = self.url.origin().ascii_serialization();
        format!("{} at {authority}", self.method.name())
    }

    /// It brought no answer.
    fn failed(&self, error: reqwest::Error) -> TaskFailure {
        if let Some(it) = refusal(&error) {
            return self.refused(it);
        }
        let error = error.without_url();
        let name = self.name();
        let failure = if error.is_timeout() {
            TaskFailure::communication(format!("{name}: no connection in time"), 504, true)
        } else if error.is_connect() {
            TaskFailure::communication(format!("{name}: no connection"), 503, true)
        } else {
            TaskFailure::communication(format!("{name}: the connection broke"), 503, true)
        };
        failure.with_detail(chain(&error))
    }

    fn refused(&self, refused: super::targets::Refused) -> TaskFailure {
        let host = self.url.host_str().unwrap_or_default();
        TaskFailure::authorization(format!(
            "{}: {host} has {refused}, and calls may not go there",
            self.name()
        ))
        .with_detail(refused.fix())
    }

    /// It was answered; to call it again would do it again.
    fn unreadable(&self, problem: String) -> TaskFailure {
        TaskFailure::communication(format!("{}: {problem}", self.name()), 502, false)
    }
}

fn url(service: &Service, method: &Method) -> Result<Url, TaskFailure> {
    let port = service.port.unwrap_or(TLS_PORT);
    let scheme = if port == TLS_PORT { "https" } else { "http" };
    let is_host = |it: &str| it.bytes().all(|it| it.is_ascii_alphanumeric() || b"-.".contains(&it));
    let invalid = || TaskFailure::validation(format!("{:?} is no host", service.host));
    if !is_host(&service.host) {
        return Err(invalid());
    }
    Url::parse(&format!("{scheme}://{}:{port}/{}", service.host, method.name())).map_err(|_| invalid())
}

fn headers(task: &Task, limit: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(IDEMPOTENCY_KEY, idempotency_header(task.idempotency_key()));
    // In milliseconds; an hour has seven of the eight digits that are allowed.
    headers.insert(
        GRPC_TIMEOUT,
        format!("{}m", limit.as_millis().max(1)).parse().expect("a number is a header's value"),
    );
    if let Some(traceparent) = task.traceparent().and_then(|it| it.parse().ok()) {
        headers.insert(TRACEPARENT, traceparent);
    }
    headers
}
