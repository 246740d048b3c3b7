//! OAuth 2.0 and OpenID Connect: what is asked of an authority, and what its answer means. No I/O.
//!
//! Reading order: `properties`, what a policy says; here, whether that is enough, and where the token endpoint is; `request`, what
//! asks for a token; `answer`, what comes of it.

mod answer;
mod properties;
mod request;

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::TaskFailure;
use crate::builtin::http::{Request, Response, check};
use crate::builtin::secrets::Redaction;
use crate::builtin::shelf::Key;

pub(super) use answer::Token;
pub(super) use properties::Properties;

use answer::refusal;
use properties::{ClientAuthentication, Grant, key};

/// Where the token endpoint is when nothing else is said.
const TOKEN_PATH: &str = "/oauth2/token";
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// A policy that has what its grant needs.
pub(in crate::builtin) struct OAuth2 {
    properties: Properties,
    authority: Url,
    is_oidc: bool,
    key: Key,
}

impl std::fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuth2").field("grant", &self.properties.grant).finish_non_exhaustive()
    }
}

impl OAuth2 {
    /// # Errors
    /// A permanent failure of the type `configuration` that says what the grant needs.
    pub(super) fn new(properties: Properties, is_oidc: bool) -> Result<Self, TaskFailure> {
        let lacks = |what: &str| {
            let grant = properties.grant.name();
            Err(TaskFailure::configuration(format!("the grant `{grant}` needs {what}")))
        };
        let authority = Url::parse(&properties.authority)
            .ok()
            .filter(|it| check(it).is_ok())
            .ok_or_else(|| TaskFailure::configuration("the `authority` is no URI of HTTP".to_owned()))?;
        let client = &properties.client;
        let has_secret = client.id.is_some() && client.secret.is_some();
        match client.authentication {
            ClientAuthentication::ClientSecretBasic if !has_secret => {
                return lacks(
                    "`client.id` and `client.secret`, to authenticate the client by `client_secret_basic`",
                );
            }
            ClientAuthentication::ClientSecretJwt if !has_secret && client.assertion.is_none() => {
                return lacks(
                    "`client.id` and `client.secret`, or `client.assertion`, to authenticate the client by `client_secret_jwt`",
                );
            }
            ClientAuthentication::PrivateKeyJwt if client.assertion.is_none() => {
                return lacks("`client.assertion`, to authenticate the client by `private_key_jwt`");
            }
            _ => {}
        }
        match properties.grant {
            Grant::ClientCredentials if client.id.is_none() && client.assertion.is_none() => {
                return lacks("`client.id`");
            }
            Grant::Password if properties.username.is_none() || properties.password.is_none() => {
                return lacks("`username` and `password`");
            }
            Grant::RefreshToken if properties.subject.is_none() => {
                return lacks("the refresh token, as `subject.token`");
            }
            Grant::TokenExchange if properties.subject.is_none() => return lacks("`subject`"),
            _ => {}
        }
        let key = key(&properties, is_oidc);
        Ok(Self { properties, authority, is_oidc, key })
    }

    /// What tells this policy from all others: two that are the same share their tokens.
    pub(in crate::builtin) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn hide(&self, redaction: &mut Redaction) {
        let Properties { client, password, subject, actor, .. } = &self.properties;
        let tokens = [subject, actor].into_iter().flatten().map(|it| &it.token);
        for text in [&client.secret, &client.assertion, password].into_iter().flatten().chain(tokens) {
            redaction.add(text);
        }
        if let Some(basic) = self.client_basic() {
            redaction.add(&basic);
        }
    }

    /// Where the authority says where its token endpoint is; none if the policy says so itself.
    pub(super) fn discovery(&self) -> Option<Request> {
        self.is_oidc.then(|| Request {
            method: Method::GET,
            url: below(&self.authority, DISCOVERY_PATH),
            headers: [(ACCEPT, HeaderValue::from_static("application/json"))].into_iter().collect(),
            body: None,
        })
    }

    /// The token endpoint, by the authority's own word if there is one.
    ///
    /// # Errors
    /// When the authority is not who it should be, or leads where no credentials may go.
    pub(super) fn endpoint(&self, discovered: Option<(&Request, &Response)>) -> Result<Url, TaskFailure> {
        let Some((request, response)) = discovered else {
            let path = self.properties.endpoints.token.as_deref().unwrap_or(TOKEN_PATH);
            if !path.contains("://") {
                return Ok(below(&self.authority, path));
            }
            return self.checked(path).ok_or_else(|| {
                TaskFailure::configuration(
                    "`endpoints.token` is nothing that credentials may be sent to".to_owned(),
                )
            });
        };
        let refused =
            |problem: &str| Err(TaskFailure::authentication(format!("{}: {problem}", request.name())));
        if !response.status.is_success() {
            return Err(refusal(request, response));
        }
        let document: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let issuer = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
        if !self.is_issuer(issuer, true) {
            return refused("the document is of another issuer than the policy's");
        }
        let endpoint = document.get("token_endpoint").and_then(Value::as_str).unwrap_or_default();
        match self.checked(endpoint) {
            Some(url) => Ok(url),
            None => refused("its `token_endpoint` is nothing that credentials may be sent to"),
        }
    }

    /// A URL of HTTP; not in the clear if the authority is not.
    fn checked(&self, url: &str) -> Option<Url> {
        let url = Url::parse(url).ok().filter(|it| check(it).is_ok())?;
        (self.authority.scheme() == "http" || url.scheme() == "https").then_some(url)
    }

    /// One of `issuers`. Without those, the authority itself, if that is asked for.
    fn is_issuer(&self, issuer: &str, is_authority_needed: bool) -> bool {
        let plain = |it: &str| it.trim_end_matches('/').to_owned();
        match self.properties.issuers.as_slice() {
            [] => !is_authority_needed || plain(issuer) == plain(&self.properties.authority),
            issuers => issuers.iter().any(|it| plain(it) == plain(issuer)),
        }
    }
}

/// A path below the authority: `https://a.b/realms/x` and `/token` is `https://a.b/realms/x/token`.
fn below(authority: &Url, path: &str) -> Url {
    let mut url = authority.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}/{}", authority.path().trim_end_matches('/'), path.trim_start_matches('/')));
    url.set_query(query);
    url.set_fragment(None);
    url
}
