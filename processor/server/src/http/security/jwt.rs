//! Tokens of an OpenID provider (JWT): checked by its keys, which are read again as it changes them.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::files::Files;
use super::settings::Settings;
use crate::exit::Failure;
use crate::http::caller::Role;

/// Those that are signed by a key that only the issuer has. A secret that both have is no such key.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// How long keys are used before they are asked for again.
const REFRESH: Duration = Duration::from_secs(300);
/// How soon they may be asked for again because of a token by an unknown key.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// For one request to the issuer.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Clocks differ.
const LEEWAY_SECONDS: u64 = 30;
/// Largest document of an issuer.
const BYTES_MAX: usize = 1024 * 1024;

/// Why a token is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It says nothing of its sender that is true now.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// It is true, and lets do nothing here.
    #[error("the token names no role of this API")]
    NoRole,
}

/// Checks tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Jwt {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    issuer: String,
    audience: String,
    roles_claim: Vec<String>,
    roles: Vec<(String, Role)>,
    keys: RwLock<JwkSet>,
    /// Of keys that come from an address.
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    client: reqwest::Client,
    /// None: as the issuer says.
    url: Option<String>,
    asked_at: Mutex<Option<Instant>>,
}

/// `/.well-known/openid-configuration`
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Jwt {
    /// None if no issuer is named.
    pub(super) async fn new(
        settings: &Settings,
        closing: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(issuer), Some(audience)) = (&settings.http_jwt_issuer, &settings.http_jwt_audience) else {
            return Ok(None);
        };
        let roles = match settings.http_jwt_role.as_slice() {
            [] => Role::ALL.map(|it| (it.name().to_owned(), it)).to_vec(),
            given => given.to_vec(),
        };
        let is_url = |it: &String| it.starts_with("https://") || it.starts_with("http://");
        let file = settings.http_jwt_keys.as_ref().filter(|it| !is_url(it)).map(PathBuf::from);
        let source = match &file {
            Some(_) => None,
            None => {
                let url = settings.http_jwt_keys.clone();
                let client = reqwest::Client::builder().timeout(REQUEST_MAX).build()?;
                Some(Source { client, url, asked_at: Mutex::new(None) })
            }
        };
        let jwt = Self {
            inner: Arc::new(Inner {
                issuer: issuer.clone(),
                audience: audience.clone(),
                roles_claim: settings.http_jwt_roles_claim.split('.').map(str::to_owned).collect(),
                roles,
                keys: RwLock::new(JwkSet { keys: Vec::new() }),
                source,
            }),
        };
        match file {
            Some(file) => jwt.follow_file(file, closing).await?,
            None => jwt.follow_url(closing.clone()).await,
        }
        Ok(Some(jwt))
    }

    async fn follow_file(&self, file: PathBuf, closing: &CancellationToken) -> Result<(), Failure> {
        let files = Files::read(vec![file]).await?;
        let jwt = self.clone();
        let take =
            move |contents: &[Vec<u8>]| jwt.inner.take(contents.first().map_or(&[][..], Vec::as_slice));
        take(files.contents())?;
        files.follow(closing.clone(), take);
        Ok(())
    }

    /// An issuer that does not answer now may answer later: until then nobody is let in by its tokens.
    async fn follow_url(&self, closing: CancellationToken) {
        self.inner.ask().await;
        let jwt = self.clone();
        tokio::spawn(async move {
            while closing.run_until_cancelled(tokio::time::sleep(REFRESH)).await.is_some() {
                jwt.inner.ask().await;
            }
        });
    }

    /// Whose token it is, and what it lets do.
    pub(super) async fn check(&self, token: &str) -> Result<(Arc<str>, Role), Refusal> {
        let invalid = |error: jsonwebtoken::errors::Error| Refusal::Invalid(error.to_string());
        let header = decode_header(token).map_err(invalid)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Refusal::Invalid(format!("signed by {:?}, which is not taken", header.alg)));
        }
        let key = match self.inner.key(header.kid.as_deref(), header.alg) {
            Some(key) => key,
            None => {
                // The issuer may have a new one.
                self.inner.ask_for_new().await;
                let key = self.inner.key(header.kid.as_deref(), header.alg);
                key.ok_or_else(|| {
                    Refusal::Invalid("signed by a key that its issuer does not have".to_owned())
                })?
            }
        };
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.inner.issuer]);
        validation.set_audience(&[&self.inner.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        let claims = decode::<Map<String, Value>>(token, &key, &validation).map_err(invalid)?.claims;
        let subject = claims.get("sub").and_then(Value::as_str).filter(|it| !it.is_empty());
        let subject = subject.ok_or_else(|| Refusal::Invalid("it has no subject".to_owned()))?;
        let role = self.inner.role(&claims).ok_or(Refusal::NoRole)?;
        Ok((subject.into(), role))
    }
}

impl Inner {
    fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let keys = self.keys.read().expect("no writer panics");
        let mut fitting = keys.keys.iter().filter(|it| {
            let is_for_signatures =
                it.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
            let is_its_algorithm =
                it.common.key_algorithm.is_none_or(|it| it.to_string() == format!("{algorithm:?}"));
            let is_its_id = id.is_none_or(|id| it.common.key_id.as_deref() == Some(id));
            is_for_signatures && is_its_algorithm && is_its_id
        });
        let key = fitting.next()?;
        // Without an id, which of several is meant is not to be guessed.
        if id.is_none() && fitting.next().is_some() {
            return None;
        }
        DecodingKey::from_jwk(key).ok()
    }

    /// The highest that a token names.
    fn role(&self, claims: &Map<String, Value>) -> Option<Role> {
        let (first, rest) = self.roles_claim.split_first()?;
        let mut claim = claims.get(first)?;
        for name in rest {
            claim = claim.get(name)?;
        }
        let names: Vec<&str> = match claim {
            Value::String(text) => text.split_whitespace().collect(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        self.roles.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|it| it.1).max()
    }

    fn take(&self, bytes: &[u8]) -> Result<(), Failure> {
        let keys: JwkSet = serde_json::from_slice(bytes).map_err(|error| {
            Failure::refused("the issuer's keys are no JWKS", "check --http-jwt-keys").because(error)
        })?;
        if keys.keys.is_empty() {
            return Err(Failure::refused("the issuer has no keys", "check --http-jwt-keys"));
        }
        *self.keys.write().expect("no writer panics") = keys;
        Ok(())
    }

    /// Asks the issuer for its keys, if it was not asked just now.
    async fn ask_for_new(&self) {
        let Some(source) = &self.source else { return };
        let is_too_soon = source.asked_at.lock().await.is_some_and(|it| it.elapsed() < ASK_AGAIN);
        if !is_too_soon {
            self.ask().await;
        }
    }

    async fn ask(&self) {
        let Some(source) = &self.source else { return };
        // One at a time, and whoever waited for another need not ask again.
        let mut asked_at = source.asked_at.lock().await;
        if asked_at.is_some_and(|it| it.elapsed() < ASK_AGAIN) {
            return;
        }
        *asked_at = Some(Instant::now());
        match source.keys(&self.issuer).await.and_then(|bytes| Ok(self.take(&bytes)?)) {
            Ok(()) => info!(issuer = self.issuer, "has told its keys"),
            Err(error) => warn!(
                issuer = self.issuer,
                error = format!("{error:#}"),
                "does not tell its keys; those that it told last stay"
            ),
        }
    }
}

impl Source {
    async fn keys(&self, issuer: &str) -> anyhow::Result<Vec<u8>> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => {
                let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let discovery: Discovery = serde_json::from_slice(&self.fetch(&url).await?)?;
                anyhow::ensure!(discovery.issuer == issuer, "{url} is of the issuer {}", discovery.issuer);
                discovery.jwks_uri
            }
        };
        self.fetch(&url).await
    }

    async fn fetch(&self, url: &str) -> anyhow::Result<Vec<u8>> {
        let mut response = self.client.get(url).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            anyhow::ensure!(bytes.len() <= BYTES_MAX, "{url} answers more than {BYTES_MAX} bytes");
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::super::settings::tests::settings;
    use super::*;

    /// An Ed25519 key, made for this test alone.
    const PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIDVYe8K7V2mY1VdZ3W1y0mIqvLqk0m3Jp0h0cQmV0vZ5";
    const ISSUER: &str = "https://login.example";

    fn private_key() -> EncodingKey {
        let der = base64::engine::general_purpose::STANDARD.decode(PRIVATE).expect("is base64");
        EncodingKey::from_ed_der(&der)
    }

    fn keys() -> Value {
        let key =
            jsonwebtoken::jwk::Jwk::from_encoding_key(&private_key(), Algorithm::EdDSA).expect("is a key");
        let mut key = serde_json::to_value(key).expect("is JSON");
        key["kid"] = "k-1".into();
        json!({ "keys": [key] })
    }

    fn signed(kid: &str, claims: &Value) -> String {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, claims, &private_key()).expect("is signed")
    }

    fn claims(more: Value) -> Value {
        let mut claims = json!({ "iss": ISSUER, "aud": "millrace", "sub": "ann", "exp": 4_000_000_000_u64, "roles": ["write", "other"] });
        for (name, value) in more.as_object().expect("is an object") {
            claims[name] = value.clone();
        }
        claims
    }

    async fn checker(more: &[&str]) -> Jwt {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.json");
        std::fs::write(&file, keys().to_string()).expect("is written");
        let file = file.to_str().expect("is UTF-8");
        let usual = ["--http-jwt-issuer", ISSUER, "--http-jwt-audience", "millrace", "--http-jwt-keys", file];
        let settings = settings(&[&usual, more].concat());
        Jwt::new(&settings, &CancellationToken::new()).await.expect("is well").expect("is named")
    }

    #[tokio::test]
    async fn a_token_of_the_issuer_says_who_and_what() {
        let jwt = checker(&[]).await;
        let taken = jwt.check(&signed("k-1", &claims(json!({})))).await.expect("is taken");
        assert_eq!(taken, ("ann".into(), Role::Write));
        let admin = claims(json!({ "roles": "read admin" }));
        assert_eq!(jwt.check(&signed("k-1", &admin)).await.expect("is taken").1, Role::Admin);
        let nested =
            checker(&["--http-jwt-roles-claim", "access.roles", "--http-jwt-role", "ops=admin"]).await;
        let ops = claims(json!({ "access": { "roles": ["ops"] } }));
        assert_eq!(nested.check(&signed("k-1", &ops)).await.expect("is taken").1, Role::Admin);
    }

    #[tokio::test]
    async fn keys_are_found_where_the_issuer_says() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let issuer = format!("http://{}", listener.local_addr().expect("it has one"));
        let discovery = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "other": 1 });
        let provider = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(move || std::future::ready(axum::Json(discovery.clone()))),
            )
            .route("/keys", get(|| std::future::ready(axum::Json(keys()))));
        tokio::spawn(axum::serve(listener, provider).into_future());
        let named = ["--http-jwt-issuer", &issuer, "--http-jwt-audience", "millrace"];
        let jwt = Jwt::new(&settings(&named), &CancellationToken::new()).await;
        let jwt = jwt.expect("is well").expect("is named");
        let theirs = claims(json!({ "iss": issuer }));
        assert_eq!(jwt.check(&signed("k-1", &theirs)).await.expect("is taken").1, Role::Write);
        let others = claims(json!({ "iss": ISSUER }));
        assert!(jwt.check(&signed("k-1", &others)).await.is_err(), "of another issuer, by the same key");
    }

    #[tokio::test]
    async fn an_issuer_that_does_not_answer_lets_nobody_in() {
        // Nobody listens at this port: it was free a moment ago.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let issuer = format!("http://{}", listener.local_addr().expect("it has one"));
        drop(listener);
        let named = ["--http-jwt-issuer", &issuer, "--http-jwt-audience", "millrace"];
        let jwt = Jwt::new(&settings(&named), &CancellationToken::new()).await;
        let jwt = jwt.expect("the processor starts all the same").expect("is named");
        assert!(jwt.check(&signed("k-1", &claims(json!({ "iss": issuer })))).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_said_to_us_now_by_the_issuer_is_refused() {
        let jwt = checker(&[]).await;
        let wrong = [
            claims(json!({ "iss": "https://other.example" })),
            claims(json!({ "aud": "other" })),
            claims(json!({ "exp": 1_000_000_000 })),
            claims(json!({ "nbf": 4_000_000_000_u64 })),
            claims(json!({ "sub": "" })),
            claims(json!({ "exp": null })),
        ];
        for claims in wrong {
            let refused = jwt.check(&signed("k-1", &claims)).await;
            assert!(matches!(refused, Err(Refusal::Invalid(_))), "{claims}: {refused:?}");
        }
        let nothing = claims(json!({ "roles": ["other"] }));
        assert!(matches!(jwt.check(&signed("k-1", &nothing)).await, Err(Refusal::NoRole)));
        assert!(jwt.check(&signed("k-2", &claims(json!({})))).await.is_err(), "an unknown key");
        // Its claims changed, and its algorithm.
        let token = signed("k-1", &claims(json!({})));
        let parts: Vec<_> = token.split('.').collect();
        let forged = URL_SAFE_NO_PAD.encode(claims(json!({ "roles": ["admin"] })).to_string());
        assert!(jwt.check(&format!("{}.{forged}.{}", parts[0], parts[2])).await.is_err());
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        assert!(jwt.check(&format!("{none}.{}.", parts[1])).await.is_err());
        let secret = EncodingKey::from_secret(keys().to_string().as_bytes());
        let confused =
            encode(&Header::new(Algorithm::HS256), &claims(json!({})), &secret).expect("is signed");
        assert!(jwt.check(&confused).await.is_err());
        assert!(jwt.check("a.b.c").await.is_err());
    }
}
