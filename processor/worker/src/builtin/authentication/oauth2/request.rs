//! What is asked of an authority.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::OAuth2;
use super::properties::{Client, ClientAuthentication, Encoding, Grant};
use crate::TaskFailure;
use crate::builtin::caller::secret_header;
use crate::builtin::http::{FORM, Request};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long an assertion holds that is made here.
const ASSERTION_SECONDS: u64 = 60;

impl OAuth2 {
    /// What asks for a token. `refresh` is the refresh token of the last answer; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When the credentials cannot be sent.
    pub(in crate::builtin::authentication) fn request(
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
    pub(super) fn client_basic(&self) -> Option<String> {
        let Client { id, secret, authentication, .. } = &self.properties.client;
        (*authentication == ClientAuthentication::ClientSecretBasic).then_some(())?;
        let [id, secret] = [id.as_deref()?, secret.as_deref()?].map(form_encoded);
        Some(STANDARD.encode(format!("{id}:{secret}")))
    }
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
