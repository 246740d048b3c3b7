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
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use reqwest::{Body, Client, Url};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::authentication::Policy;
use super::caller::Caller;
use super::client::{chain, connections, refusal};
use super::http::idempotency_header;
use super::resources::{self, Resource};
use super::secrets::Redaction;
use super::targets::Refused;
use crate::worker::WorkerError;
use crate::{Handler, Task, TaskFailure};

use frames::Frames;
use schema::{Method, Schema};
use status::Status;

/// The port of a service that is reached by TLS, and of one that names none.
const TLS_PORT: u16 = 443;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// `with` of `call: grpc`. Each part may be what an expression gave, so it is judged here, whatever admission has said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    proto: Resource,
    service: Service,
    /// A whole policy. It is no part of `service`, where data could put one.
    authentication: Option<Value>,
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
}

/// The function `grpc`.
#[derive(Debug)]
pub struct Grpc {
    caller: Caller,
    client: Client,
}

impl Grpc {
    /// The name of the function.
    pub const FUNCTION: &str = "grpc";

    /// With what all calls share.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(caller: &Caller) -> Result<Self, WorkerError> {
        let settings = caller.settings();
        let connect_timeout = settings.connect_timeout;
        let client =
            connections(settings.targets, |it| it.http2_prior_knowledge().connect_timeout(connect_timeout))?;
        Ok(Self { caller: caller.clone(), client })
    }

    async fn call(&self, task: &Task, redaction: &mut Redaction) -> Result<Value, TaskFailure> {
        let arguments: Arguments = self.caller.arguments(task, redaction).await?;
        let policy = self.caller.policy(arguments.authentication.as_ref(), redaction).await?;
        if matches!(policy, Some(Policy::Digest(_))) {
            let problem = "`digest` answers a challenge of HTTP, which gRPC does not have";
            return Err(TaskFailure::configuration(problem.to_owned())
                .with_detail("use `basic`, `bearer`, `oauth2` or `oidc`"));
        }
        let schema = resources::get::<Schema>(&self.caller, &arguments.proto, redaction).await?;
        let method = Method::find(&schema, &arguments.service.name, &arguments.method)?;
        let url = url(&arguments.service, &method)?;
        let message = method.encode(arguments.arguments)?;
        let message = frames::framed(&message, self.caller.settings().response_bytes_max)?;
        let call = Call { url, method, headers: headers(task, self.caller.limit(task)), message };
        let answer = match &policy {
            None => self.send(&call, None).await?,
            Some(policy) => self.send_as(&call, policy, redaction).await?,
        };
        answer.status.judge(&call.name())?;
        let messages = answer.frames.finish().map_err(|problem| call.unreadable(problem))?;
        call.method.decode(&messages).map_err(|problem| call.unreadable(problem))
    }

    /// Makes a call with credentials.
    async fn send_as(
        &self,
        call: &Call,
        policy: &Policy,
        redaction: &mut Redaction,
    ) -> Result<Answer, TaskFailure> {
        let shown = self.caller.authorization(policy, None, redaction).await?;
        let answer = self.send(call, shown.as_ref()).await?;
        if !answer.status.is_unauthenticated() {
            return Ok(answer);
        }
        // A token may have been taken back before its time.
        let renewed = self.caller.authorization(policy, shown.as_ref(), redaction).await?;
        if renewed == shown {
            return Ok(answer);
        }
        self.send(call, renewed.as_ref()).await
    }

    /// Makes a call; reads all messages, and the status before or after them.
    async fn send(&self, call: &Call, authorization: Option<&HeaderValue>) -> Result<Answer, TaskFailure> {
        let settings = self.caller.settings();
        settings.targets.check_url(&call.url).map_err(|it| call.refused(it))?;
        let mut headers = call.headers.clone();
        headers.extend(authorization.map(|it| (AUTHORIZATION, it.clone())));
        let request = self.client.post(call.url.clone()).headers(headers).body(call.message.clone());
        let response = request.send().await.map_err(|error| call.failed(error))?;
        let mut frames = Frames::new(settings.response_bytes_max);
        if let Some(status) = Status::of_response(response.status(), response.headers()) {
            return Ok(Answer { status, frames });
        }
        let mut body = Body::from(response);
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            match frame.map_err(|error| call.failed(error))?.into_data() {
                Ok(data) => frames.push(&data).map_err(|problem| call.unreadable(problem))?,
                Err(other) => trailers = other.into_trailers().ok(),
            }
        }
        let status = trailers.as_ref().and_then(Status::of_headers).unwrap_or_else(Status::missing);
        Ok(Answer { status, frames })
    }
}

impl Handler for Grpc {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        self.caller.run(&task, async |redaction| self.call(&task, redaction).await).await
    }
}

/// What a call brought.
struct Answer {
    status: Status,
    frames: Frames,
}

/// A call that is made.
struct Call {
    url: Url,
    method: Method,
    headers: HeaderMap,
    message: Bytes,
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

    fn refused(&self, refused: Refused) -> TaskFailure {
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
    let (traceparent, tracestate) = task.trace();
    for (name, value) in [(TRACEPARENT, traceparent), (TRACESTATE, tracestate)] {
        if let Some(value) = value.and_then(|it| it.parse().ok()) {
            headers.insert(name, value);
        }
    }
    headers
}
