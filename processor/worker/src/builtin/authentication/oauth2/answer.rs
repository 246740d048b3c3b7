//! What an authority's answer means.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::OAuth2;
use crate::TaskFailure;
use crate::builtin::http::{Request, Response, shortened};

/// How long a token is kept that does not say how long it lives.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);
/// A token is renewed so long before its end, or a tenth of its life if that is less.
const MARGIN_MAX: Duration = Duration::from_secs(30);

/// A token that a call may show.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::builtin::authentication) struct Token {
    pub(in crate::builtin::authentication) text: String,
    /// How long it may be shown.
    pub(in crate::builtin::authentication) usable: Duration,
    /// What to ask for the next one with, if that has changed.
    pub(in crate::builtin::authentication) refresh: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("usable", &self.usable).finish_non_exhaustive()
    }
}

impl OAuth2 {
    /// What the authority's answer means.
    ///
    /// # Errors
    /// When it refuses, or gives what cannot be used.
    pub(in crate::builtin::authentication) fn token(
        &self,
        request: &Request,
        response: &Response,
        now: u64,
    ) -> Result<Token, TaskFailure> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            token_type: Option<String>,
            expires_in: Option<Value>,
            refresh_token: Option<String>,
        }
        if !response.status.is_success() {
            return Err(refusal(request, response));
        }
        let unusable = |problem: &str| TaskFailure::authentication(format!("{}: {problem}", request.name()));
        let granted: Granted = serde_json::from_slice(&response.body)
            .map_err(|_| unusable("the answer has no access token that can be read"))?;
        if granted.token_type.is_some_and(|it| !it.eq_ignore_ascii_case("bearer")) {
            return Err(unusable("the access token is no bearer token"));
        }
        let claims = claims(&granted.access_token);
        if let Some(issuer) = claims.as_ref().and_then(|it| it.get("iss")?.as_str())
            && !self.is_issuer(issuer, false)
        {
            return Err(unusable("the access token is of another issuer than the policy's"));
        }
        let said = granted.expires_in.and_then(|it| it.as_f64().or_else(|| it.as_str()?.parse().ok()));
        let claimed = || Some(claims.as_ref()?.get("exp")?.as_f64()? - now as f64);
        let lifetime = said.or_else(claimed).map_or(LIFETIME_UNSAID, |it| {
            Duration::try_from_secs_f64(it.clamp(0.0, 1e9)).unwrap_or(LIFETIME_UNSAID)
        });
        Ok(Token {
            text: granted.access_token,
            usable: lifetime.saturating_sub((lifetime / 10).min(MARGIN_MAX)),
            refresh: granted.refresh_token,
        })
    }
}

/// What a JWT says, unproved. None if it is none: a token may be anything.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()
}

/// The authority gives no token. What may pass is no matter of credentials.
pub(super) fn refusal(request: &Request, response: &Response) -> TaskFailure {
    let status = response.status;
    let title = format!("{} answered {status}", request.name());
    let said: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let [error, description] = ["error", "error_description"].map(|it| said.get(it).and_then(Value::as_str));
    let detail: Vec<&str> = error.into_iter().chain(description).collect();
    let failure = if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        TaskFailure::communication(title, status.as_u16(), true)
    } else {
        TaskFailure::authentication(title)
    };
    if detail.is_empty() { failure } else { failure.with_detail(shortened(&detail.join(": "))) }
}
