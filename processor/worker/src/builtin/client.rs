//! The client of all calls by HTTP: one request, to where calls may go.

use std::error::Error;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::Client as Connections;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;

use super::HttpSettings;
use super::http::{Request, Response, too_large};
use super::rewrite::rewritten;
use super::targets::{GuardedResolver, Refused, Targets};
use crate::TaskFailure;
use crate::worker::WorkerError;

/// Idle connections to one host that are kept for the next call.
const IDLE_PER_HOST_MAX: usize = 16;
/// How long they are kept. Servers commonly close them after a minute; a request on a closed one fails.
const IDLE: Duration = Duration::from_secs(30);

/// Sends requests. It follows no redirect, and tries nothing twice.
#[derive(Debug)]
pub(super) struct Client {
    connections: Connections,
    settings: HttpSettings,
}

impl Client {
    /// # Errors
    /// When the client cannot be made.
    pub(super) fn new(settings: HttpSettings) -> Result<Self, WorkerError> {
        let connections = connections(settings.targets, |it| {
            // Requests are recorded and judged as HTTP/1.1.
            it.http1_only()
                .connect_timeout(settings.connect_timeout)
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
                .pool_idle_timeout(IDLE)
        })?;
        Ok(Self { connections, settings })
    }

    pub(super) fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// Sends a request, with `authorization` in the place of what its headers say.
    ///
    /// # Errors
    /// When it may not go there, or when there is no answer.
    pub(super) async fn send(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, TaskFailure> {
        let Request { method, url, headers, body } = request;
        let url = rewritten(&self.settings.rewrites, url.clone());
        self.settings.targets.check_url(&url).map_err(|it| refused(request, it))?;
        let mut headers = headers.clone();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let built = self.connections.request(method.clone(), url).headers(headers);
        let built = match body {
            Some(body) => built.body(body.clone()),
            None => built,
        };
        built.send().await.map_err(|error| failed(request, error))
    }

    /// Reads the content, as far as it may go.
    ///
    /// # Errors
    /// When there is more, or when it does not come.
    pub(super) async fn read(
        &self,
        request: &Request,
        mut response: reqwest::Response,
        bytes_max: usize,
    ) -> Result<Response, TaskFailure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(request, error))? {
            // Of what says that something went wrong, the beginning is enough.
            if body.len() + chunk.len() > bytes_max {
                if status.is_client_error() || status.is_server_error() {
                    break;
                }
                return Err(too_large(request, bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: body.freeze() })
    }
}

/// Connections that reach only what calls may reach.
///
/// # Errors
/// When they cannot be made.
pub(super) fn connections(
    targets: Targets,
    with: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<Connections, WorkerError> {
    let builder = || {
        with(Connections::builder())
            .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(GuardedResolver(targets))
            // A proxy would connect to what was never judged; redirects are followed by the calls, where each is judged.
            .no_proxy()
            .redirect(Policy::none())
            // Whether a request may be sent again is the workflow's to say.
            .retry(reqwest::retry::never())
            .referer(false)
    };
    let made = builder().build().or_else(|error| {
        // A machine without certificates can still make calls without TLS; those with it say that they trust nobody.
        tracing::warn!(
            error = &error as &dyn Error,
            "the system has no certificates of authorities: calls by https will fail"
        );
        builder().tls_certs_only([]).build()
    });
    made.map_err(|error| WorkerError::Setting {
        problem: format!("the HTTP client cannot be made: {}", chain(&error)),
    })
}

/// A request that brought no answer.
fn failed(request: &Request, error: reqwest::Error) -> TaskFailure {
    let error = error.without_url();
    if let Some(it) = refusal(&error) {
        return refused(request, it);
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
    // Without the host: it may have a secret in it.
    tracing::debug!(kind = ?refused.kind, "a call to a target that is not allowed");
    TaskFailure::authorization(format!(
        "{}: {host} has {refused}, and calls may not go there",
        request.name()
    ))
    .with_detail(refused.fix())
}

/// Why the error is one, if it is that its target is none that calls may reach.
pub(super) fn refusal(error: &(dyn Error + 'static)) -> Option<Refused> {
    let mut causes = std::iter::successors(Some(error), |&it| it.source());
    causes.find_map(|it| it.downcast_ref::<Refused>()).copied()
}

/// An error and its causes.
pub(super) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
