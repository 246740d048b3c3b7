//! Who is let in: whoever shows a token, or everybody where none is asked for.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::jwt::{Jwt, Refusal};
use super::limits::{Client, Limits};
use super::settings::Settings;
use super::tokens::Tokens;
use crate::clients::Bearer;
use crate::http::caller::{Caller, Role};
use crate::http::{ApiError, code, console};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    tokens: Option<Arc<RwLock<Tokens>>>,
    jwt: Option<Jwt>,
}

/// What everybody may see: whether the process lives, how it does, and what it can be asked. Besides, the console: what it asks of the API
/// needs a token.
const PUBLIC: [&str; 4] = ["/livez", "/readyz", "/metrics", "/openapi.json"];

impl Gate {
    pub(super) async fn new(settings: &Settings, closing: &CancellationToken) -> anyhow::Result<Self> {
        let jwt = Jwt::new(settings, closing).await?;
        let Some(file) = &settings.http_tokens else { return Ok(Self { tokens: None, jwt }) };
        let files = Files::read(vec![file.clone()]).await?;
        let parse = |contents: &[Vec<u8>]| Tokens::parse(contents.first().map_or(&[][..], Vec::as_slice));
        let tokens = Arc::new(RwLock::new(parse(files.contents())?));
        let shared = Arc::clone(&tokens);
        files.follow(closing.clone(), move |contents| {
            *shared.write().expect("no writer panics") = parse(contents)?;
            Ok(())
        });
        Ok(Self { tokens: Some(tokens), jwt })
    }

    /// Whether nobody is asked who he is.
    pub(crate) fn is_open(&self) -> bool {
        self.tokens.is_none() && self.jwt.is_none()
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        if self.is_open() {
            return Ok(Caller::new(None, Role::Admin, None));
        }
        let Some(token) = bearer(headers)? else {
            let message = "show who you are: authorization: Bearer TOKEN";
            return Err(ApiError::new(code::UNAUTHENTICATED, message));
        };
        let known = self.tokens.as_ref().and_then(|it| it.read().expect("no writer panics").find(token));
        let (name, role) = match (known, &self.jwt) {
            (Some(known), _) => known,
            (None, Some(jwt)) => jwt.check(token).await.map_err(|refusal| {
                let code = match refusal {
                    Refusal::Invalid(_) => code::UNAUTHENTICATED,
                    Refusal::NoRole => code::FORBIDDEN,
                };
                ApiError::new(code, refusal.to_string())
            })?,
            (None, None) => {
                return Err(ApiError::new(code::UNAUTHENTICATED, "the token is none that is known here"));
            }
        };
        Ok(Caller::new(Some(name), role, Some(Bearer(token.into()))))
    }
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = || ApiError::new(code::UNAUTHENTICATED, "write it as authorization: Bearer TOKEN");
    if values.next().is_some() {
        return Err(wrong());
    }
    let (scheme, token) = value.to_str().ok().and_then(|it| it.split_once(' ')).ok_or_else(wrong)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(wrong());
    }
    Ok(Some(token))
}

/// Finds out who asks, and refuses whoever may not, or asks too much.
pub(super) async fn let_in(
    State((gate, limits)): State<(Gate, Arc<Limits>)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if PUBLIC.contains(&path) || console::is_of_it(path) {
        request.extensions_mut().insert(Caller::new(None, Role::Read, None));
        return next.run(request).await;
    }
    let caller = match gate.caller(request.headers()).await {
        Ok(caller) => caller,
        // Whoever guesses is slowed down.
        Err(error) => {
            return match limits.count(Client::of(None, peer)) {
                Ok(()) => error.into_response(),
                Err(too_many) => too_many.into_response(),
            };
        }
    };
    if let Err(error) = limits.count(Client::of(caller.name.as_ref(), peer)) {
        return error.into_response();
    }
    // Handlers that take more ask for more; none takes less.
    let is_reading = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_checking = request.uri().path() == "/v1/definitions";
    let floor = if is_reading || is_checking { Role::Read } else { Role::Write };
    let may = caller.must_be(floor);
    request.extensions_mut().insert(caller.clone());
    let mut response = match may {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    // For the audit log, which is around us.
    response.extensions_mut().insert(caller);
    response
}
