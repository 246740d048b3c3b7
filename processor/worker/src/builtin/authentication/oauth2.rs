//! OAuth 2.0 and OpenID Connect: what is asked of an authority, and what its answer means. No I/O.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::TaskFailure;
use crate::builtin::caller::secret_header;
use crate::builtin::http::{FORM, Request, Response, check, shortened};
use crate::builtin::secrets::Redaction;
use crate::builtin::shelf::{self, Key};

/// Where the token endpoint is when nothing else is said.
const TOKEN_PATH: &str = "/oauth2/token";
const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long a token is kept that does not say how long it lives.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);
/// A token is renewed so long before its end, or a tenth of its life if that is less.
const MARGIN_MAX: Duration = Duration::from_secs(30);
/// Longest life of an assertion that is made here.
const ASSERTION_SECONDS: u64 = 60;

/// The properties of the policies `oauth2` and `oidc`.
#[derive(Deserialize)]
pub(super) struct Properties {
    authority: String,
    grant: Grant,
    #[serde(default)]
    client: Client,
    #[serde(default)]
    request: TokenRequest,
    #[serde(default)]
    endpoints: Endpoints,
    #[serde(default)]
    issuers: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    audiences: Vec<String>,
    username: Option<String>,
    password: Option<String>,
    subject: Option<SecurityToken>,
    actor: Option<SecurityToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Grant {
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    #[serde(rename = "password")]
    Password,
    #[serde(rename = "refresh_token")]
    RefreshToken,
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

impl Grant {
    fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }
}

#[derive(Default, Deserialize)]
struct Client {
    id: Option<String>,
    secret: Option<String>,
    assertion: Option<String>,
    #[serde(default)]
    authentication: ClientAuthentication,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClientAuthentication {
    #[default]
    ClientSecretPost,
    ClientSecretBasic,
    ClientSecretJwt,
    PrivateKeyJwt,
    None,
}

#[derive(Default, Deserialize)]
struct TokenRequest {
    #[serde(default)]
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Encoding {
    #[default]
    #[serde(rename = "application/x-www-form-urlencoded")]
    Form,
    #[serde(rename = "application/json")]
    Json,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    token: Option<String>,
}

#[derive(Deserialize)]
struct SecurityToken {
    token: String,
    #[serde(rename = "type")]
    kind: String,
}

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

/// A token that a call may show.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// How long it may be shown.
    pub(super) usable: Duration,
    /// What to ask for the next one with, if that has changed.
    pub(super) refresh: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("usable", &self.usable).finish_non_exhaustive()
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

    /// What asks for a token. `refresh` is the refresh token of the last answer; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When the credentials cannot be sent.
    pub(super) fn request(
        &self,
        endpoint: Url,
        refresh: Option<&str>,
        now: u64,
    ) -> Result<Request, TaskFailure> {
        let properties = &self.properties;
        let mut fields: Vec<(&str, String)> = vec![("grant_type", properties.grant.name().to_owned())];
        match properties.grant {
            Grant::ClientCredentials => {}
            Grant::Password => {
                fields.extend(properties.username.clone().map(|it| ("username", it)));
                fields.extend(properties.password.clone().map(|it| ("password", it)));
            }
            Grant::RefreshToken => {
                let given = properties.subject.as_ref().map(|it| it.token.as_str());
                fields.extend(refresh.or(given).map(|it| ("refresh_token", it.to_owned())));
            }
            Grant::TokenExchange => {
                if let Some(it) = &properties.subject {
                    fields.push(("subject_token", it.token.clone()));
                    fields.push(("subject_token_type", it.kind.clone()));
                }
                if let Some(it) = &properties.actor {
                    fields.push(("actor_token", it.token.clone()));
                    fields.push(("actor_token_type", it.kind.clone()));
                }
            }
        }
        if !properties.scopes.is_empty() {
            fields.push(("scope", properties.scopes.join(" ")));
        }
        fields.extend(properties.audiences.iter().map(|it| ("audience", it.clone())));
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        self.identify(&endpoint, now, &mut fields, &mut headers)?;
        let (content_type, body) = match properties.request.encoding {
            Encoding::Form => (FORM, form(&fields)),
            Encoding::Json => ("application/json", object(fields).to_string()),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(Request { method: Method::POST, url: endpoint, headers, body: Some(body.into()) })
    }

    /// Says which client asks.
    fn identify(
        &self,
        endpoint: &Url,
        now: u64,
        fields: &mut Vec<(&str, String)>,
        headers: &mut HeaderMap,
    ) -> Result<(), TaskFailure> {
        let Client { id, secret, assertion, authentication } = &self.properties.client;
        match authentication {
            ClientAuthentication::ClientSecretBasic => {
                let basic = self.client_basic().unwrap_or_default();
                headers.insert(AUTHORIZATION, secret_header(&format!("Basic {basic}"))?);
                return Ok(());
            }
            ClientAuthentication::ClientSecretPost => {
                fields.extend(secret.clone().map(|it| ("client_secret", it)));
            }
            ClientAuthentication::ClientSecretJwt | ClientAuthentication::PrivateKeyJwt => {
                let made = || Some(made_assertion(id.as_deref()?, secret.as_deref()?, endpoint, now));
                fields.push(("client_assertion_type", JWT_BEARER.to_owned()));
                fields.extend(assertion.clone().or_else(made).map(|it| ("client_assertion", it)));
            }
            ClientAuthentication::None => {}
        }
        fields.extend(id.clone().map(|it| ("client_id", it)));
        Ok(())
    }

    /// The credentials of the client as RFC 6749, 2.3.1, wants them.
    fn client_basic(&self) -> Option<String> {
        let Client { id, secret, authentication, .. } = &self.properties.client;
        (*authentication == ClientAuthentication::ClientSecretBasic).then_some(())?;
        let [id, secret] = [id.as_deref()?, secret.as_deref()?].map(form_encoded);
        Some(STANDARD.encode(format!("{id}:{secret}")))
    }

    /// What the authority's answer means.
    ///
    /// # Errors
    /// When it refuses, or gives what cannot be used.
    pub(super) fn token(
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

fn key(properties: &Properties, is_oidc: bool) -> Key {
    let Properties { authority, grant, client, request, endpoints, issuers, scopes, audiences, .. } =
        properties;
    let Properties { username, password, subject, actor, .. } = properties;
    let list = |it: &[String]| Value::from(it).to_string();
    let token = |it: &Option<SecurityToken>| json!(it.as_ref().map(|it| [&it.token, &it.kind])).to_string();
    let text = |it: &Option<String>| json!(it).to_string();
    let parts = [
        if is_oidc { "oidc" } else { "oauth2" },
        authority,
        grant.name(),
        &text(&client.id),
        &text(&client.secret),
        &text(&client.assertion),
        &format!("{:?}", client.authentication),
        &format!("{:?}", request.encoding),
        &text(&endpoints.token),
        &list(issuers),
        &list(scopes),
        &list(audiences),
        &text(username),
        &text(password),
        &token(subject),
        &token(actor),
    ];
    shelf::key(&parts.map(str::as_bytes))
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

/// RFC 7523, 2.2, signed with the client's secret.
fn made_assertion(id: &str, secret: &str, endpoint: &Url, now: u64) -> String {
    let part = |it: Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let claims = json!({
        "iss": id,
        "sub": id,
        "aud": endpoint.as_str(),
        "jti": Uuid::new_v4().to_string(),
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    });
    let signed = format!("{}.{}", part(json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
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
fn refusal(request: &Request, response: &Response) -> TaskFailure {
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

fn form(fields: &[(&str, String)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{name}={}", form_encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn form_encoded(text: &str) -> String {
    // A URL's query is written by the same rules.
    let mut url = Url::parse("http://form/").expect("this is a URL");
    url.query_pairs_mut().append_pair("", text);
    url.query().unwrap_or_default().trim_start_matches('=').to_owned()
}

/// As JSON; what is there several times as a list.
fn object(fields: Vec<(&str, String)>) -> Value {
    let mut object = Map::new();
    for (name, value) in fields {
        let value = Value::String(value);
        match object.get_mut(name) {
            None => {
                object.insert(name.to_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object)
}
