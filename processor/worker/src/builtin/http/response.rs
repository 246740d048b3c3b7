//! What an answer means: an output, or a failure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, PROXY_AUTHORIZATION};
use serde_json::{Map, Value, json};

use super::request::{Output, Request, Wanted, is_json, media_type};
use crate::TaskFailure;
use crate::builtin::secrets::Redaction;

/// An answer that was read.
#[derive(Clone, Debug)]
pub(in crate::builtin) struct Response {
    pub(in crate::builtin) status: StatusCode,
    pub(in crate::builtin) headers: HeaderMap,
    pub(in crate::builtin) body: Bytes,
}

/// Deepest nesting of a content: the processor takes answers that are nested 100 deep, and `output: response` wraps it.
const DEPTH_MAX: usize = 98;

/// Of the content of an error, so much becomes its detail.
const DETAIL_CHARS_MAX: usize = 1_000;

/// # Errors
/// When the status is one of an error, or when the content cannot be given as it was asked for.
pub(in crate::builtin) fn judge(
    request: &Request,
    response: &Response,
    wanted: Wanted,
    redaction: &Redaction,
) -> Result<Value, TaskFailure> {
    let is_good = response.status.is_success() || (wanted.redirect && response.status.is_redirection());
    if !is_good {
        let failure = error_status(request, response);
        return Err(match response.status.is_redirection() {
            true => failure.with_detail("it redirects; with `redirect: true` the call would follow"),
            false => failure,
        });
    }
    match wanted.output {
        Output::Raw => Ok(STANDARD.encode(&response.body).into()),
        Output::Content => content(request, response),
        Output::Response => Ok(json!({
            "request": told(request, redaction),
            "statusCode": response.status.as_u16(),
            "headers": header_map(&response.headers),
            "content": content(request, response)?,
        })),
    }
}

/// The request as the output shows it: without secrets.
fn told(request: &Request, redaction: &Redaction) -> Value {
    let mut told = json!({
        "method": request.method.as_str(),
        "uri": request.url.as_str(),
        "headers": header_map(&request.headers),
    });
    redaction.value(&mut told);
    told
}

/// More content than is read.
pub(in crate::builtin) fn too_large(request: &Request, bytes_max: usize) -> TaskFailure {
    unreadable(request, format!("the content has more than {bytes_max} bytes"))
}

/// The failure that a status which is no good one means.
pub(in crate::builtin) fn error_status(request: &Request, response: &Response) -> TaskFailure {
    let status = response.status;
    let is_passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    let title = format!("{} answered {status}", request.name());
    let failure = match status {
        StatusCode::UNAUTHORIZED => TaskFailure::authentication(title),
        StatusCode::FORBIDDEN => TaskFailure::authorization(title),
        _ => TaskFailure::communication(title, status.as_u16(), is_passing),
    };
    match text(response) {
        Some(text) if !text.is_empty() => failure.with_detail(shortened(&text)),
        _ => failure,
    }
}

/// The request was answered well; to send it again would do it again.
fn unreadable(request: &Request, problem: String) -> TaskFailure {
    TaskFailure::communication(format!("{}: {problem}", request.name()), 502, false)
}

fn content(request: &Request, response: &Response) -> Result<Value, TaskFailure> {
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    if !is_json(&media_type(content_type(response))) {
        let help = || unreadable(request, "the content is no text; ask for it with `output: raw`".to_owned());
        return text(response).map(Value::from).ok_or_else(help);
    }
    let value: Value = serde_json::from_slice(&response.body).map_err(|error| {
        unreadable(request, format!("the content is said to be JSON, and is not: {error}"))
    })?;
    if is_deeper_than(&value, DEPTH_MAX) {
        return Err(unreadable(request, format!("the content is nested more than {DEPTH_MAX} deep")));
    }
    Ok(value)
}

fn content_type(response: &Response) -> &str {
    response.headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default()
}

/// The content as text, if it is text.
fn text(response: &Response) -> Option<String> {
    let content_type = content_type(response).to_ascii_lowercase();
    if content_type.contains("charset=iso-8859-1") || content_type.contains("charset=\"iso-8859-1\"") {
        return Some(response.body.iter().copied().map(char::from).collect());
    }
    String::from_utf8(response.body.to_vec()).ok()
}

/// Headers by name, in small letters. Those that hold credentials are left out of what is recorded.
fn header_map(headers: &HeaderMap) -> Map<String, Value> {
    let mut map = Map::new();
    for name in headers.keys().filter(|it| ![AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(it)) {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|it| String::from_utf8_lossy(it.as_bytes())).collect();
        map.insert(name.to_string(), values.join(", ").into());
    }
    map
}

/// Whether lists and mappings are nested deeper than that.
pub(in crate::builtin) fn is_deeper_than(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth == 0 || items.iter().any(|it| is_deeper_than(it, depth - 1)),
        Value::Object(fields) => depth == 0 || fields.values().any(|it| is_deeper_than(it, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

pub(in crate::builtin) fn shortened(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use expect_test::{Expect, expect};
    use reqwest::header::HeaderValue;
    use serde::Deserialize as _;

    use super::*;
    use crate::builtin::http::request::Arguments;

    /// What becomes of an answer, for these arguments besides the usual.
    fn judged(more: &Value, status: u16, content_type: &str, body: &[u8]) -> String {
        let mut arguments = json!({ "method": "get", "endpoint": "https://a.b/x?key=secret", "headers": { "authorization": "Bearer secret" } });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let arguments = Arguments::deserialize(&arguments).unwrap();
        let request = Request::new(&arguments, "key", (None, None)).unwrap();
        let mut headers = HeaderMap::new();
        for value in [content_type, "x"] {
            headers.append(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
        }
        let body = Bytes::copy_from_slice(body);
        let response = Response { status: StatusCode::from_u16(status).unwrap(), headers, body };
        match judge(&request, &response, arguments.wanted(), &Redaction::default()) {
            Ok(output) => output.to_string(),
            Err(failure) => failure.to_string(),
        }
    }

    fn check(answers: &[(Value, u16, &str, &[u8])], expected: Expect) {
        let lines: Vec<String> =
            answers.iter().map(|(more, status, kind, body)| judged(more, *status, kind, body)).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn the_output_is_what_was_asked_for() {
        let plain = json!({});
        check(
            &[
                (plain.clone(), 200, "application/json; charset=utf-8", br#"{"a": [1, 2.5]}"#),
                (plain.clone(), 200, "application/problem+json", b"[]"),
                (plain.clone(), 201, "text/plain", "größer".as_bytes()),
                (plain.clone(), 200, "text/plain; charset=ISO-8859-1", b"gr\xf6\xdfer"),
                (plain, 204, "application/json", b""),
                (json!({ "output": "raw" }), 200, "image/png", b"\x89PNG"),
                (json!({ "output": "response" }), 200, "application/json", b"1"),
                (json!({ "redirect": true }), 304, "text/plain", b""),
            ],
            expect![[r#"
                {"a":[1,2.5]}
                []
                "größer"
                "größer"
                null
                "iVBORw=="
                {"request":{"method":"GET","uri":"https://a.b/x?key=secret","headers":{"idempotency-key":"key"}},"statusCode":200,"headers":{"content-type":"application/json, x"},"content":1}
                null"#]],
        );
    }

    #[test]
    fn the_request_is_shown_without_secrets() {
        let mut redaction = Redaction::default();
        redaction.add("hunter2 & co");
        let arguments = json!({
            "method": "get",
            "endpoint": "https://a.b/x",
            "query": { "key": "hunter2 & co" },
            "headers": { "x-key": "Key hunter2 & co" },
            "output": "response",
        });
        let arguments = Arguments::deserialize(&arguments).unwrap();
        let request = Request::new(&arguments, "key", (None, None)).unwrap();
        let response =
            Response { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::from("null") };
        let output = judge(&request, &response, arguments.wanted(), &redaction).unwrap();
        assert_eq!(output["request"]["uri"], "https://a.b/x?key=***");
        assert_eq!(output["request"]["headers"]["x-key"], "Key ***");
    }

    #[test]
    fn an_error_status_is_a_failure_that_may_pass_or_not() {
        let plain = json!({});
        let answers = [302, 400, 401, 403, 404, 408, 425, 429, 500, 503]
            .map(|status| (plain.clone(), status, "text/plain", b"no such pet" as &[u8]));
        check(
            &answers,
            expect![[r#"
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (302): GET https://a.b/x answered 302 Found: it redirects; with `redirect: true` the call would follow
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (400): GET https://a.b/x answered 400 Bad Request: no such pet
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/authentication (401): GET https://a.b/x answered 401 Unauthorized: no such pet
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/authorization (403): GET https://a.b/x answered 403 Forbidden: no such pet
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (404): GET https://a.b/x answered 404 Not Found: no such pet
                retriable https://serverlessworkflow.io/spec/1.0.0/errors/communication (408): GET https://a.b/x answered 408 Request Timeout: no such pet
                retriable https://serverlessworkflow.io/spec/1.0.0/errors/communication (425): GET https://a.b/x answered 425 Too Early: no such pet
                retriable https://serverlessworkflow.io/spec/1.0.0/errors/communication (429): GET https://a.b/x answered 429 Too Many Requests: no such pet
                retriable https://serverlessworkflow.io/spec/1.0.0/errors/communication (500): GET https://a.b/x answered 500 Internal Server Error: no such pet
                retriable https://serverlessworkflow.io/spec/1.0.0/errors/communication (503): GET https://a.b/x answered 503 Service Unavailable: no such pet"#]],
        );
    }

    #[test]
    fn what_cannot_be_given_is_not_asked_for_again() {
        let deep = format!("{}{}", "[".repeat(99), "]".repeat(99));
        let plain = json!({});
        check(
            &[
                (plain.clone(), 200, "application/json", b"<html>"),
                (plain.clone(), 200, "application/json", deep.as_bytes()),
                (plain, 200, "image/png", b"\x89PNG"),
            ],
            expect![[r#"
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (502): GET https://a.b/x: the content is said to be JSON, and is not: expected value at line 1 column 1
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (502): GET https://a.b/x: the content is nested more than 98 deep
                permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (502): GET https://a.b/x: the content is no text; ask for it with `output: raw`"#]],
        );
        let long = judged(&json!({}), 500, "text/plain", &[b'x'; 5_000]);
        assert!(long.len() < 1_200, "{long}");
    }
}
