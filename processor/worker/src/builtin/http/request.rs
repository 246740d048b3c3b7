//! From arguments to a request.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::TaskFailure;

/// `with` of `call: http`. Each part may be what an expression gave, so it is judged here, whatever admission has said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    pub(super) method: String,
    /// A URI, or `{ uri }`.
    pub(super) endpoint: Value,
    /// A whole policy. It is no part of `endpoint`, where data could put one.
    pub(super) authentication: Option<Value>,
    pub(super) query: Option<Map<String, Value>>,
    pub(super) headers: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) body: Value,
    #[serde(default)]
    pub(super) output: Output,
    #[serde(default)]
    pub(super) redirect: bool,
}

impl Arguments {
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { output: self.output, redirect: self.redirect }
    }
}

/// What is wanted of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::builtin) struct Wanted {
    pub(in crate::builtin) output: Output,
    /// Whether redirects are followed, and what then still redirects is an output.
    pub(in crate::builtin) redirect: bool,
}

/// What the task's output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::builtin) enum Output {
    /// The content: JSON, or text.
    #[default]
    Content,
    /// The whole response, with the content in it.
    Response,
    /// The content's bytes, in base64.
    Raw,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(in crate::builtin) struct Request {
    pub(in crate::builtin) method: Method,
    pub(in crate::builtin) url: Url,
    pub(in crate::builtin) headers: HeaderMap,
    pub(in crate::builtin) body: Option<Bytes>,
}

/// Headers that say how a message is carried: the client sets them. A caller who could set them could smuggle a second request.
const CARRIER_HEADERS: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// By the IETF's draft; what many services already take.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Services refuse longer ones.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

impl Request {
    /// # Errors
    /// A permanent failure of the type `validation` that says what cannot be sent.
    pub(super) fn new(
        arguments: &Arguments,
        idempotency_key: &str,
        trace: (Option<&str>, Option<&str>),
    ) -> Result<Self, TaskFailure> {
        let method = method(&arguments.method)?;
        let url = url(&arguments.endpoint, arguments.query.as_ref())?;
        let mut headers = headers(arguments.headers.as_ref())?;
        let body = body(&arguments.body, &mut headers)?;
        idempotent(&mut headers, idempotency_key, trace);
        Ok(Self { method, url, headers, body })
    }

    /// The request in a message: without the query, which may hold what is nobody's business.
    pub(in crate::builtin) fn name(&self) -> String {
        format!("{} {}{}", self.method, self.url.origin().ascii_serialization(), self.url.path())
    }
}

/// Adds what tells a service that it has had this request before, and whose it is; what is there already stays.
pub(in crate::builtin) fn idempotent(
    headers: &mut HeaderMap,
    key: &str,
    (traceparent, tracestate): (Option<&str>, Option<&str>),
) {
    // Whoever sets one of them says whose it is.
    let is_ours = !headers.contains_key(TRACEPARENT);
    let tracestate = tracestate.filter(|_| is_ours);
    let ours = [
        (IDEMPOTENCY_KEY, Some(idempotency_header(key))),
        (TRACEPARENT, traceparent.and_then(|it| it.parse().ok())),
        (TRACESTATE, tracestate.and_then(|it| it.parse().ok())),
    ];
    for (name, value) in ours {
        if let Some(value) = value
            && !headers.contains_key(&name)
        {
            headers.insert(name, value);
        }
    }
}

fn invalid(problem: impl Into<String>) -> TaskFailure {
    TaskFailure::validation(problem.into())
}

fn method(text: &str) -> Result<Method, TaskFailure> {
    match Method::from_bytes(text.to_ascii_uppercase().as_bytes()) {
        Ok(method) if ![Method::CONNECT, Method::TRACE].contains(&method) => Ok(method),
        _ => Err(invalid(format!("{text:?} is no method to call"))),
    }
}

/// The URI of an endpoint: itself, or its `uri`.
///
/// # Errors
/// When it has none, or more than that.
pub(in crate::builtin) fn endpoint_uri(endpoint: &Value) -> Result<&str, TaskFailure> {
    let text = match endpoint {
        Value::Object(entries) if entries.keys().any(|it| it != "uri") => {
            return Err(invalid("an endpoint has a `uri`, and nothing else that an expression gives"));
        }
        Value::Object(entries) => entries.get("uri").and_then(Value::as_str),
        other => other.as_str(),
    };
    text.ok_or_else(|| invalid("the endpoint must be text, or a mapping with a `uri`"))
}

fn url(endpoint: &Value, query: Option<&Map<String, Value>>) -> Result<Url, TaskFailure> {
    let text = endpoint_uri(endpoint)?;
    let mut url = Url::parse(text).map_err(|error| invalid(format!("the endpoint is no URI: {error}")))?;
    check(&url)?;
    if let Some(query) = query.filter(|it| !it.is_empty()) {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in query {
            for value in value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice) {
                if let Some(value) = scalar(value, "query parameter", name)? {
                    pairs.append_pair(name, &value);
                }
            }
        }
    }
    // A query in which everything was left out is no query.
    if url.query() == Some("") {
        url.set_query(None);
    }
    Ok(url)
}

/// The URL of an endpoint: a URI, or `{ uri }`.
///
/// # Errors
/// When it is nothing that a call may go to.
pub(in crate::builtin) fn endpoint_url(endpoint: &Value) -> Result<Url, TaskFailure> {
    url(endpoint, None)
}

/// # Errors
/// When it is nothing that a call may go to.
pub(in crate::builtin) fn check(url: &Url) -> Result<(), TaskFailure> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(format!("`{}` is no scheme of HTTP", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("a URI with credentials in it is not supported: everybody could read them"));
    }
    Ok(())
}

fn headers(given: Option<&Map<String, Value>>) -> Result<HeaderMap, TaskFailure> {
    let mut headers = HeaderMap::new();
    for (name, value) in given.into_iter().flatten() {
        let Some(value) = scalar(value, "header", name)? else { continue };
        let (header, value) = header_value(name, &value)?;
        headers.append(header, value);
    }
    Ok(headers)
}

/// # Errors
/// When it cannot be a header, or is one that the caller may not set.
pub(in crate::builtin) fn header_value(
    name: &str,
    value: &str,
) -> Result<(HeaderName, HeaderValue), TaskFailure> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| invalid(format!("{name:?} cannot be the name of a header")))?;
    if CARRIER_HEADERS.contains(&header.as_str()) {
        return Err(invalid(format!("the header {header} is set by the client itself")));
    }
    // Line breaks are refused here; with them, data could add headers, or a request.
    let value = HeaderValue::from_str(value)
        .map_err(|_| invalid(format!("the value of the header {header} must be printable ASCII")))?;
    Ok((header, value))
}

/// A value as text; none for `null`, which is left out.
fn scalar(value: &Value, what: &str, name: &str) -> Result<Option<String>, TaskFailure> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(_) | Value::Number(_) => Ok(Some(value.to_string())),
        Value::Array(_) | Value::Object(_) => {
            Err(invalid(format!("the {what} {name:?} must be text, a number, true, false or null")))
        }
    }
}

/// Text is sent as it is; anything else as JSON, or as a form if the headers say so.
fn body(body: &Value, headers: &mut HeaderMap) -> Result<Option<Bytes>, TaskFailure> {
    let given = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).map(media_type);
    let (bytes, content_type) = match body {
        Value::Null => return Ok(None),
        Value::String(text) => (text.clone().into_bytes(), "text/plain; charset=utf-8"),
        Value::Object(fields) if given.as_deref() == Some(FORM) => (form(fields)?.into_bytes(), FORM),
        other => match &given {
            Some(given) if !is_json(given) => {
                return Err(invalid(format!(
                    "a body of the type {given} must be text: make it by an expression"
                )));
            }
            _ => (other.to_string().into_bytes(), "application/json"),
        },
    };
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
    Ok(Some(bytes.into()))
}

pub(in crate::builtin) const FORM: &str = "application/x-www-form-urlencoded";

fn form(fields: &Map<String, Value>) -> Result<String, TaskFailure> {
    // A URL's query is written by the same rules.
    let mut url = Url::parse("http://form/").expect("this is a URL");
    for (name, value) in fields {
        for value in value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice) {
            if let Some(value) = scalar(value, "form field", name)? {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
    }
    Ok(url.query().unwrap_or_default().to_owned())
}

/// `application/json` of `Application/JSON; charset=utf-8`.
pub(in crate::builtin) fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(in crate::builtin) fn is_json(media_type: &str) -> bool {
    matches!(media_type, "application/json" | "text/json") || media_type.ends_with("+json")
}

/// The key itself if a header can carry it, else a name for it: the same key gives the same name.
pub(in crate::builtin) fn idempotency_header(key: &str) -> HeaderValue {
    let fits = key.len() <= IDEMPOTENCY_KEY_BYTES_MAX && key.bytes().all(|it| it.is_ascii_graphic());
    let text =
        if fits { key.to_owned() } else { Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()).to_string() };
    HeaderValue::from_str(&text).expect("printable ASCII is a header's value")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// A request as text; why there is none otherwise.
    fn request(arguments: Value) -> String {
        let arguments = match Arguments::deserialize(&arguments) {
            Ok(arguments) => arguments,
            Err(error) => return error.to_string(),
        };
        match Request::new(&arguments, "order-1#/do/0/charge", (Some(TRACE), None)) {
            Err(failure) => failure.to_string(),
            Ok(Request { method, url, headers, body }) => {
                let mut lines = vec![format!("{method} {url}")];
                let is_ours = |name: &HeaderName| name == TRACEPARENT || name == IDEMPOTENCY_KEY;
                lines.extend(
                    headers
                        .iter()
                        .filter(|(name, value)| !is_ours(name) || value.as_bytes().len() < 10)
                        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())),
                );
                lines.extend(body.map(|it| String::from_utf8(it.to_vec()).unwrap()));
                lines.join("\n")
            }
        }
    }

    fn check(requests: impl IntoIterator<Item = Value>, expected: Expect) {
        let requests: Vec<String> = requests.into_iter().map(request).collect();
        expected.assert_eq(&requests.join("\n\n"));
    }

    #[test]
    fn arguments_become_a_request() {
        check(
            [
                json!({ "method": "get", "endpoint": "https://a.b/pets?old=1", "query": { "q": "a b&c", "n": 5, "no": null, "tag": ["x", "y"] } }),
                json!({ "method": "GET", "endpoint": { "uri": "http://a.b" }, "query": { "no": null }, "headers": { "X-Count": 3, "Accept": "text/csv", "No": null } }),
                json!({ "method": "post", "endpoint": "https://a.b/", "body": { "x": [1] } }),
                json!({ "method": "post", "endpoint": "https://a.b/", "body": "text" }),
                json!({ "method": "post", "endpoint": "https://a.b/", "body": "<a/>", "headers": { "content-type": "application/xml" } }),
                json!({ "method": "patch", "endpoint": "https://a.b/", "body": [1], "headers": { "content-type": "application/merge-patch+json" } }),
                json!({ "method": "post", "endpoint": "https://a.b/", "body": { "a": "1&2", "b": [3, 4] }, "headers": { "content-type": "application/x-www-form-urlencoded" } }),
                json!({ "method": "purge", "endpoint": "https://a.b/", "headers": { "idempotency-key": "mine" } }),
            ],
            expect![[r#"
                GET https://a.b/pets?old=1&q=a+b%26c&n=5&tag=x&tag=y

                GET http://a.b/
                x-count: 3
                accept: text/csv

                POST https://a.b/
                content-type: application/json
                {"x":[1]}

                POST https://a.b/
                content-type: text/plain; charset=utf-8
                text

                POST https://a.b/
                content-type: application/xml
                <a/>

                PATCH https://a.b/
                content-type: application/merge-patch+json
                [1]

                POST https://a.b/
                content-type: application/x-www-form-urlencoded
                a=1%262&b=3&b=4

                PURGE https://a.b/
                idempotency-key: mine"#]],
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let with = |name: &str, value: Value| {
            let mut arguments = json!({ "method": "post", "endpoint": "https://a.b/" });
            arguments[name] = value;
            arguments
        };
        check(
            [
                with("method", json!("connect")),
                with("method", json!("get /\r\n")),
                with("endpoint", json!("/pets")),
                with("endpoint", json!(5)),
                with("endpoint", json!("file:///etc/passwd")),
                with("endpoint", json!("https://me:secret@a.b/")),
                with("endpoint", json!({ "uri": "https://a.b/", "authentication": {} })),
                with("query", json!({ "x": {} })),
                with("headers", json!({ "x": "1\r\nhost: evil" })),
                with("headers", json!({ "a b": "1" })),
                with("headers", json!({ "x": [1] })),
                with("headers", json!({ "Transfer-Encoding": "chunked" })),
                json!({ "method": "post", "endpoint": "https://a.b/", "body": {}, "headers": { "content-type": "text/plain" } }),
                with("redirect", json!("yes")),
                with("output", json!("bytes")),
                with("timeout", json!(1)),
            ],
            expect![[r#"
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): "connect" is no method to call

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): "get /\r\n" is no method to call

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): the endpoint is no URI: relative URL without a base

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): the endpoint must be text, or a mapping with a `uri`

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): `file` is no scheme of HTTP

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): a URI with credentials in it is not supported: everybody could read them

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): an endpoint has a `uri`, and nothing else that an expression gives

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): the query parameter "x" must be text, a number, true, false or null

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): the value of the header x must be printable ASCII

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): "a b" cannot be the name of a header

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): the header "x" must be text, a number, true, false or null

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): the header transfer-encoding is set by the client itself

                permanent https://serverlessworkflow.io/spec/1.0.0/errors/validation (400): a body of the type text/plain must be text: make it by an expression

                invalid type: string "yes", expected a boolean

                unknown variant `bytes`, expected one of `content`, `response`, `raw`

                unknown field `timeout`, expected one of `method`, `endpoint`, `authentication`, `query`, `headers`, `body`, `output`, `redirect`"#]],
        );
    }

    #[test]
    fn the_key_and_the_trace_go_along() {
        let arguments: Arguments =
            Deserialize::deserialize(json!({ "method": "post", "endpoint": "https://a.b/" })).unwrap();
        let key = |key: &str| {
            let request = Request::new(&arguments, key, (Some(TRACE), None)).unwrap();
            assert_eq!(request.headers[TRACEPARENT], TRACE);
            request.headers[IDEMPOTENCY_KEY].to_str().unwrap().to_owned()
        };
        assert_eq!(key("order-1#/do/0/charge"), "order-1#/do/0/charge");
        assert_eq!(key("bestellung-für-1"), key("bestellung-für-1"));
        assert_ne!(key("bestellung-für-1"), key("bestellung-für-2"));
        assert_eq!(key(&"x".repeat(300)).len(), 36);
    }

    #[test]
    fn a_name_leaves_out_the_query() {
        let arguments = json!({ "method": "get", "endpoint": "https://a.b:8443/x?key=secret" });
        let request = Request::new(&Arguments::deserialize(&arguments).unwrap(), "k", (None, None)).unwrap();
        assert_eq!(request.name(), "GET https://a.b:8443/x");
    }
}
