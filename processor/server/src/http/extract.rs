//! What comes with a request, read as the API reads it: whatever is wrong is an [`ApiError`].

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{ApiError, code};
use crate::config::parse_duration;

/// How long a body may take to come.
const BODY_MAX: Duration = Duration::from_secs(30);

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (bytes, headers) = read(request, state).await?;
        if bytes.is_empty() {
            return Err(ApiError::invalid("the request has no body; send a JSON object"));
        }
        parse(&headers, &bytes).map(Self)
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (bytes, headers) = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let body: Option<T> = parse(&headers, &bytes)?;
        Ok(Self(body.unwrap_or_default()))
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<(Bytes, HeaderMap), ApiError> {
    let headers = request.headers().clone();
    Ok((Text::bytes(request, state).await?, headers))
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, ApiError> {
    let media_type = media_type(headers);
    // A page of another origin may send some media types without asking first, and JSON is none of them.
    if media_type != "application/json" && !media_type.ends_with("+json") {
        let message = format!("the body is {media_type:?}; send JSON, with content-type: application/json");
        return Err(ApiError::new(code::MEDIA_TYPE, message));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(format!("the body cannot be read: {error}")))
}

/// The media type of a body, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A body of text.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) String);

impl Text {
    async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
        let reading = tokio::time::timeout(BODY_MAX, Bytes::from_request(request, state)).await;
        let late = |_| ApiError::invalid(format!("the body did not come within {} s", BODY_MAX.as_secs()));
        reading.map_err(late)?.map_err(|rejection| {
            let response = rejection.into_response();
            match response.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    ApiError::new(code::TOO_LARGE, "the body is larger than this processor takes")
                }
                _ => ApiError::invalid("the body did not come whole"),
            }
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Self::bytes(request, state).await?;
        let text = String::from_utf8(bytes.into()).map_err(|_| ApiError::invalid("the body is not UTF-8"))?;
        Ok(Self(text))
    }
}

/// Parameters behind the question mark.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let read = serde_html_form::from_str(parts.uri.query().unwrap_or_default());
        read.map(Self).map_err(|error| ApiError::invalid(format!("the parameters cannot be read: {error}")))
    }
}

/// The parts of the path.
#[derive(Debug)]
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = <Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        read.map(|it| Self(it.0)).map_err(|it| ApiError::invalid(format!("the path cannot be read: {it}")))
    }
}

/// `Idempotency-Key`: names a request, so that one that is sent again does nothing again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(pub(crate) String);

impl IdempotencyKey {
    pub(crate) const NAME: &'static str = "idempotency-key";
    const CHARS_MAX: usize = 255;
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, ApiError> {
        let Some(value) = parts.headers.get(Self::NAME) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default().trim();
        let is_visible = text.bytes().all(|it| it.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::CHARS_MAX || !is_visible {
            let message = format!("Idempotency-Key has 1 to {} visible characters of ASCII", Self::CHARS_MAX);
            return Err(ApiError::invalid(message));
        }
        Ok(Some(Self(text.to_owned())))
    }
}

/// Tells a `null` from what is not there. With `#[serde(default)]`.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A parameter that is a duration, as the command line reads it.
pub(crate) fn duration(name: &str, text: Option<&str>) -> Result<Option<Duration>, ApiError> {
    let parsed = text.map(parse_duration).transpose();
    parsed.map_err(|error| ApiError::invalid(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_what_the_document_says() {
        for (text, is_taken) in
            [("order-17", true), (" order-17 ", true), ("a b", false), ("", false), ("ä", false)]
        {
            let request = axum::http::Request::builder()
                .header(IdempotencyKey::NAME, text)
                .body(())
                .expect("is a request");
            let (mut parts, ()) = request.into_parts();
            let key =
                <IdempotencyKey as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
            assert_eq!(matches!(key, Ok(Some(_))), is_taken, "{text:?}");
        }
    }
}
