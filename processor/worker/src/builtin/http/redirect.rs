//! Where an answer sends the call next.

use reqwest::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};

use super::request::{Request, check};
use crate::TaskFailure;

/// Most redirects of one call.
const HOPS_MAX: u32 = 5;

/// Headers that another origin is given. All others may be meant for the first one alone: keys of services have many names.
const HARMLESS: [&str; 8] = [
    "accept",
    "accept-language",
    "content-type",
    "content-language",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "user-agent",
];

/// The next request, if this answer is a redirect. `hop` counts the redirects before.
///
/// # Errors
/// A permanent failure, when it leads nowhere that a call may go to, or when there were too many.
pub(in crate::builtin) fn next(
    request: &Request,
    status: StatusCode,
    headers: &HeaderMap,
    hop: u32,
) -> Result<Option<Request>, TaskFailure> {
    let is_redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = headers.get(LOCATION).filter(|_| is_redirect) else { return Ok(None) };
    let lost = |problem: &str| {
        let title = format!("{} was redirected {problem}", request.name());
        TaskFailure::communication(title, status.as_u16(), false)
    };
    if hop >= HOPS_MAX {
        return Err(lost(&format!("more than {HOPS_MAX} times")));
    }
    let url = std::str::from_utf8(location.as_bytes()).ok().and_then(|it| request.url.join(it).ok());
    let url = url.filter(|it| check(it).is_ok()).ok_or_else(|| lost("to what is no address of HTTP"))?;
    if request.url.scheme() == "https" && url.scheme() == "http" {
        return Err(lost("from https to http"));
    }
    let mut next = Request { url, ..request.clone() };
    // As browsers do it, and RFC 9110 allows it.
    let becomes_get = match status.as_u16() {
        301 | 302 => request.method == Method::POST,
        303 => request.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        (next.method, next.body) = (Method::GET, None);
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
            next.headers.remove(name);
        }
    }
    if next.url.origin() != request.url.origin() {
        next.headers = next
            .headers
            .iter()
            .filter(|(name, _)| HARMLESS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use expect_test::{Expect, expect};
    use reqwest::header::HeaderValue;

    use super::*;

    fn check(method: Method, redirects: &[(u16, &str)], expected: Expect) {
        let request = Request {
            method,
            url: "https://a.b/x/y".parse().unwrap(),
            headers: [("accept", "*/*"), ("content-type", "text/plain"), ("x-api-key", "secret")]
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect(),
            body: Some("body".into()),
        };
        let mut out = String::new();
        for (status, location) in redirects {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            let next = next(&request, StatusCode::from_u16(*status).unwrap(), &headers, 0);
            out += &match next {
                Ok(Some(it)) => {
                    let names: Vec<&str> = it.headers.keys().map(|it| it.as_str()).collect();
                    let body = if it.body.is_some() { " with a body" } else { "" };
                    format!("{status}: {} {}{body}, {}\n", it.method, it.url, names.join(" "))
                }
                Ok(None) => format!("{status}: none\n"),
                Err(failure) => format!("{status}: {failure}\n"),
            };
        }
        expected.assert_eq(&out);
    }

    #[test]
    fn a_redirect_keeps_what_it_may_keep() {
        check(
            Method::POST,
            &[
                (301, "/z"),
                (303, "z"),
                (307, "https://a.b/z"),
                (308, "https://other/z"),
                (302, "//other:1/z"),
                (300, "/z"),
                (304, "/z"),
                (200, "/z"),
            ],
            expect![[r#"
                301: GET https://a.b/z, accept x-api-key
                303: GET https://a.b/x/z, accept x-api-key
                307: POST https://a.b/z with a body, accept content-type x-api-key
                308: POST https://other/z with a body, accept content-type
                302: GET https://other:1/z, accept
                300: none
                304: none
                200: none
            "#]],
        );
        check(
            Method::PUT,
            &[(301, "/z"), (303, "/z")],
            expect![[r#"
                301: PUT https://a.b/z with a body, accept content-type x-api-key
                303: GET https://a.b/z, accept x-api-key
            "#]],
        );
    }

    #[test]
    fn a_redirect_to_where_no_call_may_go_is_a_failure() {
        check(
            Method::GET,
            &[
                (302, "http://a.b/z"),
                (302, "file:///etc/passwd"),
                (302, "https://me:secret@a.b/"),
                (302, "https://"),
            ],
            expect![[r#"
                302: permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (302): GET https://a.b/x/y was redirected from https to http
                302: permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (302): GET https://a.b/x/y was redirected to what is no address of HTTP
                302: permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (302): GET https://a.b/x/y was redirected to what is no address of HTTP
                302: permanent https://serverlessworkflow.io/spec/1.0.0/errors/communication (302): GET https://a.b/x/y was redirected to what is no address of HTTP
            "#]],
        );
    }
}
