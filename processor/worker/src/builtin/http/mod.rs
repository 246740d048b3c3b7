//! `call: http`. What to send and what an answer means is decided without I/O, in `request`, `redirect` and `response`; here it is sent.

mod redirect;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::Client;
use reqwest::redirect::Policy;
use serde_json::Value;

use super::targets::{GuardedResolver, Refused, Targets};
use crate::worker::WorkerError;
use crate::{Handler, Task, TaskFailure};

pub(super) use request::idempotency_header;
use request::{Arguments, Request};
use response::{Response, judge};

/// Longest time of a call whose task has a later deadline: a place in the worker is not held for ever.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);
/// Idle connections to one host that are kept for the next call.
const IDLE_PER_HOST_MAX: usize = 16;
/// How long they are kept. Servers commonly close them after a minute; a request on a closed one fails.
const IDLE: Duration = Duration::from_secs(30);

/// How calls are made.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Where they may go.
    pub targets: Targets,
    /// Largest content of a response, in bytes. Past it the call fails.
    pub response_bytes_max: usize,
    /// Longest time until there is a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest time of a call whose task has no timeout.
    pub timeout: Duration,
}

impl Default for HttpSettings {
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

/// The function `http`. Each call holds one connection, so the worker's concurrency bounds the connections, too.
#[derive(Debug)]
pub struct Http {
    client: Client,
    settings: HttpSettings,
}

impl Http {
    /// The name of the function.
    pub const FUNCTION: &str = "http";

    /// # Errors
    /// When the client cannot be made.
    pub fn new(settings: HttpSettings) -> Result<Self, WorkerError> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(GuardedResolver(settings.targets))
                // Requests are recorded and judged as HTTP/1.1.
                .http1_only()
                // A proxy would connect to what was never judged; redirects are followed here, where each is judged.
                .no_proxy()
                .redirect(Policy::none())
                // Whether a request may be sent again is the workflow's to say.
                .retry(reqwest::retry::never())
                .referer(false)
                .connect_timeout(settings.connect_timeout)
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
                .pool_idle_timeout(IDLE)
        };
        let client = builder().build().or_else(|error| {
            // A machine without certificates can still make calls without TLS; those with it say that they trust nobody.
            tracing::warn!(
                error = &error as &dyn Error,
                "the system has no certificates of authorities: calls by https will fail"
            );
            builder().tls_certs_only([]).build()
        });
        let client = client.map_err(|error| WorkerError::Setting {
            problem: format!("the HTTP client cannot be made: {}", chain(&error)),
        })?;
        Ok(Self { client, settings })
    }

    async fn call(&self, task: &Task) -> Result<Value, TaskFailure> {
        let arguments: Arguments = task.arguments()?;
        let mut request = Request::new(&arguments, task.idempotency_key(), task.traceparent())?;
        for hop in 0.. {
            self.settings.targets.check_url(&request.url).map_err(|it| refused(&request, it))?;
            let response = self.send(&request).await?;
            if arguments.redirect
                && let Some(next) = redirect::next(&request, response.status(), response.headers(), hop)?
            {
                request = next;
                continue;
            }
            let response = self.read(&request, response).await?;
            return judge(&request, &response, &arguments);
        }
        unreachable!("the number of redirects is bounded")
    }

    async fn send(&self, request: &Request) -> Result<reqwest::Response, TaskFailure> {
        let Request { method, url, headers, body } = request;
        let built = self.client.request(method.clone(), url.clone()).headers(headers.clone());
        let built = match body {
            Some(body) => built.body(body.clone()),
            None => built,
        };
        built.send().await.map_err(|error| failed(request, error))
    }

    /// Reads the content, as far as it may go.
    async fn read(
        &self,
        request: &Request,
        mut response: reqwest::Response,
    ) -> Result<Response, TaskFailure> {
        let max = self.settings.response_bytes_max;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(request, error))? {
            // Of what says that something went wrong, the beginning is enough.
            if body.len() + chunk.len() > max {
                if status.is_client_error() || status.is_server_error() {
                    break;
                }
                return Err(response::too_large(request, max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: body.freeze() })
    }
}

impl Handler for Http {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        let limit = task.time_left().map_or(self.settings.timeout, |it| it.min(TIMEOUT_MAX));
        tokio::time::timeout(limit, self.call(&task)).await.unwrap_or_else(|_| {
            let title = format!("there was no whole answer within {limit:?}");
            Err(TaskFailure::communication(title, 504, true))
        })
    }
}

/// A request that brought no answer.
fn failed(request: &Request, error: reqwest::Error) -> TaskFailure {
    let error = error.without_url();
    let mut causes = std::iter::successors(error.source(), |&it| it.source());
    if let Some(it) = causes.find_map(|it| it.downcast_ref::<Refused>()) {
        return refused(request, *it);
    }
    let name = request.name();
    let failure = if error.is_builder() {
        TaskFailure::validation(format!("{name} cannot be sent"))
    } else if error.is_timeout() {
        TaskFailure::communication(format!("{name}: no connection in time"), 504, true)
    } else if error.is_connect() {
        TaskFailure::communication(format!("{name}: no connection"), 503, true)
    } else {
        TaskFailure::communication(format!("{name}: the connection broke"), 503, true)
    };
    failure.with_detail(chain(&error))
}

fn refused(request: &Request, refused: Refused) -> TaskFailure {
    let host = request.url.host_str().unwrap_or_default();
    tracing::debug!(host, kind = ?refused.kind, "a call to a target that is not allowed");
    TaskFailure::authorization(format!(
        "{}: {host} has {refused}, and calls may not go there",
        request.name()
    ))
    .with_detail(refused.fix())
}

/// An error and its causes.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
