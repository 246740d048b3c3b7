//! What all calls by HTTP share: connections, secrets, tokens, resources.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::authentication::{Login, Policy, Tokens, digest};
use super::client::Client;
use super::http::{Request, Response, error_status, redirect};
use super::resources::Resources;
use super::rewrite::Rewrite;
use super::secrets::{Redaction, Secrets};
use super::targets::Targets;
use crate::worker::WorkerError;
use crate::{Task, TaskFailure};

/// Longest time of a call whose task has a later deadline: a place in the worker is not held for ever.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

const BEARER: &str = "Bearer ";

/// How calls are made.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Where they may go.
    pub targets: Targets,
    /// Largest content of a response, in bytes. Past it the call fails.
    pub response_bytes_max: usize,
    /// Largest resource that a definition refers to, in bytes: a script, what describes a service. Past it the call fails.
    pub resource_bytes_max: usize,
    /// Longest time until there is a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest time of a call whose task has no timeout.
    pub timeout: Duration,
    /// What the credentials of calls are read from.
    pub secrets: Secrets,
    /// For tests: requests that go elsewhere than they say. What they go to is judged, not what they say.
    pub rewrites: Vec<Rewrite>,
}

impl Default for HttpSettings {
    /// To public addresses, up to 1 MiB (resources: 4 MiB), 5 s to connect, 60 s in all, no secrets.
    fn default() -> Self {
        Self {
            targets: Targets::PUBLIC,
            response_bytes_max: 1024 * 1024,
            resource_bytes_max: 4 * 1024 * 1024,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            secrets: Secrets::none(),
            rewrites: Vec::new(),
        }
    }
}

/// Makes calls by HTTP, for all functions that do so. Cheap to clone. Each call holds one connection, so the worker's concurrency
/// bounds the connections, too.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    tokens: Tokens,
    resources: Resources,
}

/// An answer, and the request that brought it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) response: Response,
}

impl Caller {
    /// # Errors
    /// When the client cannot be made.
    pub fn new(settings: HttpSettings) -> Result<Self, WorkerError> {
        let client = Client::new(settings)?;
        Ok(Self(Arc::new(Shared { client, tokens: Tokens::default(), resources: Resources::default() })))
    }

    pub(super) fn settings(&self) -> &HttpSettings {
        self.0.client.settings()
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.0.resources
    }

    /// The time that a call may take.
    pub(super) fn limit(&self, task: &Task) -> Duration {
        task.time_left().map_or_else(|| self.settings().timeout, |it| it.min(TIMEOUT_MAX))
    }

    /// Makes a call, in the time that the task has. What goes wrong is told without the secrets that the call has come to know.
    pub(super) async fn run(
        &self,
        task: &Task,
        call: impl AsyncFnOnce(&mut Redaction) -> Result<Value, TaskFailure>,
    ) -> Result<Value, TaskFailure> {
        let limit = self.limit(task);
        let mut redaction = Redaction::default();
        let called = tokio::time::timeout(limit, call(&mut redaction)).await.unwrap_or_else(|_| {
            let title = format!("there was no whole answer within {limit:?}");
            Err(TaskFailure::communication(title, 504, true))
        });
        called.map_err(|it| redaction.failure(it))
    }

    /// The task's arguments, secrets filled in.
    ///
    /// # Errors
    /// When a secret is missing, or they do not fit.
    pub(super) async fn arguments<T: DeserializeOwned>(
        &self,
        task: &Task,
        redaction: &mut Redaction,
    ) -> Result<T, TaskFailure> {
        self.settings().secrets.arguments(task, redaction).await
    }

    /// The policy that an argument holds, if it does.
    ///
    /// # Errors
    /// When it is none, or when its secret is missing.
    pub(super) async fn policy(
        &self,
        authentication: Option<&Value>,
        redaction: &mut Redaction,
    ) -> Result<Option<Policy>, TaskFailure> {
        match authentication {
            None | Some(Value::Null) => Ok(None),
            Some(policy) => Policy::read(policy, &self.settings().secrets, redaction).await.map(Some),
        }
    }

    /// Sends a request and reads the answer, to the end of the redirects if it may follow them. Credentials go to the origin of
    /// the request alone.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read.
    pub(super) async fn exchange(
        &self,
        mut request: Request,
        mut policy: Option<&Policy>,
        follow: bool,
        bytes_max: usize,
        redaction: &mut Redaction,
    ) -> Result<Exchange, TaskFailure> {
        let home = request.url.origin();
        for hop in 0.. {
            let response = self.send(&request, policy, redaction).await?;
            if follow
                && let Some(next) = redirect::next(&request, response.status(), response.headers(), hop)?
            {
                // Whoever led the call away could lead it back to any place.
                policy = policy.filter(|_| next.url.origin() == home);
                request = next;
                continue;
            }
            let response = self.0.client.read(&request, response, bytes_max).await?;
            return Ok(Exchange { request, response });
        }
        unreachable!("the number of redirects is bounded")
    }

    /// Sends a request, and once more if a token was renewed, or to answer a challenge. It follows no redirect.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) async fn send(
        &self,
        request: &Request,
        policy: Option<&Policy>,
        redaction: &mut Redaction,
    ) -> Result<reqwest::Response, TaskFailure> {
        let client = &self.0.client;
        let Some(policy) = policy else { return client.send(request, None).await };
        if let Policy::Digest(login) = policy {
            return self.send_digest(request, login, redaction).await;
        }
        let shown = self.authorization(policy, None, redaction).await?;
        let response = client.send(request, shown.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        // A token may have been taken back before its time.
        let renewed = self.authorization(policy, shown.as_ref(), redaction).await?;
        if renewed == shown {
            return Ok(response);
        }
        client.send(request, renewed.as_ref()).await
    }

    /// What went wrong, by an answer whose status is no good one.
    pub(super) async fn refused(&self, request: &Request, response: reqwest::Response) -> TaskFailure {
        match self.0.client.read(request, response, self.settings().response_bytes_max).await {
            Ok(response) => error_status(request, &response),
            Err(failure) => failure,
        }
    }

    /// What stands in `Authorization`, by a policy: another one than `refused`, if there is another. None for Digest, which answers
    /// a challenge.
    ///
    /// # Errors
    /// When there is no token to be had, or the credentials cannot stand in a header.
    pub(super) async fn authorization(
        &self,
        policy: &Policy,
        refused: Option<&HeaderValue>,
        redaction: &mut Redaction,
    ) -> Result<Option<HeaderValue>, TaskFailure> {
        let Shared { client, tokens, .. } = &*self.0;
        match policy {
            Policy::Basic(login) => login.basic(redaction).map(Some),
            Policy::Bearer { token } => bearer(token).map(Some),
            Policy::Digest(_) => Ok(None),
            Policy::OAuth2(policy) => {
                let refused = refused.and_then(|it| it.to_str().ok()?.strip_prefix(BEARER));
                bearer(&tokens.get(client, policy, refused, redaction).await?).map(Some)
            }
        }
    }

    async fn send_digest(
        &self,
        request: &Request,
        login: &Login,
        redaction: &mut Redaction,
    ) -> Result<reqwest::Response, TaskFailure> {
        let client = &self.0.client;
        let mut response = client.send(request, None).await?;
        for round in 0..2 {
            if response.status() != StatusCode::UNAUTHORIZED {
                break;
            }
            let Some(challenge) = digest::challenge(response.headers(), request)? else { break };
            // The second challenge counts if it only says that the nonce of the first is too old.
            if round > 0 && !challenge.is_stale() {
                break;
            }
            let answer = digest::answer(&challenge, login, request);
            redaction.add(&answer);
            response = client.send(request, Some(&secret_header(&answer)?)).await?;
        }
        Ok(response)
    }
}

fn bearer(token: &str) -> Result<HeaderValue, TaskFailure> {
    secret_header(&format!("{BEARER}{token}"))
}

/// # Errors
/// When no header can carry it.
pub(super) fn secret_header(text: &str) -> Result<HeaderValue, TaskFailure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        TaskFailure::validation(
            "the credentials cannot stand in a header: they are no printable ASCII".to_owned(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
