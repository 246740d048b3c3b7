//! How a call ended, and what that means for the task.

use percent_encoding::percent_decode;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::TaskFailure;

/// Of what the service says, so much becomes the failure's detail.
const DETAIL_CHARS_MAX: usize = 1_000;

/// The names of the codes, the status of HTTP that each is like (by Google's mapping), and whether another try may help.
const CODES: [(&str, u16, bool); 17] = [
    ("OK", 200, false),
    ("CANCELLED", 499, false),
    ("UNKNOWN", 500, false),
    ("INVALID_ARGUMENT", 400, false),
    ("DEADLINE_EXCEEDED", 504, true),
    ("NOT_FOUND", 404, false),
    ("ALREADY_EXISTS", 409, false),
    ("PERMISSION_DENIED", 403, false),
    ("RESOURCE_EXHAUSTED", 429, true),
    ("FAILED_PRECONDITION", 400, false),
    ("ABORTED", 409, true),
    ("OUT_OF_RANGE", 400, false),
    ("UNIMPLEMENTED", 501, false),
    ("INTERNAL", 500, false),
    ("UNAVAILABLE", 503, true),
    ("DATA_LOSS", 500, false),
    ("UNAUTHENTICATED", 401, false),
];

const OK: usize = 0;
const UNKNOWN: usize = 2;
const INVALID_ARGUMENT: usize = 3;
const PERMISSION_DENIED: usize = 7;
const UNIMPLEMENTED: usize = 12;
const INTERNAL: usize = 13;
const UNAVAILABLE: usize = 14;
const UNAUTHENTICATED: usize = 16;

/// The status of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    code: usize,
    message: String,
}

impl Status {
    /// The status that a response begins with. None if it comes after the messages.
    pub(super) fn of_response(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if let Some(status) = Self::of_headers(headers) {
            return Some(status);
        }
        // By the specification of gRPC: what proxies answer that speak none.
        let code = match status.as_u16() {
            200 => return None,
            400 => INTERNAL,
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            429 | 502 | 503 | 504 => UNAVAILABLE,
            _ => UNKNOWN,
        };
        Some(Self { code, message: format!("the answer has the status {status} of HTTP, and none of gRPC") })
    }

    /// The status in headers, or in what follows the messages.
    pub(super) fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get("grpc-status")?.to_str().ok().and_then(|it| it.parse().ok());
        let message = headers
            .get("grpc-message")
            .map(|it| percent_decode(it.as_bytes()).decode_utf8_lossy().into_owned());
        Some(Self {
            code: code.filter(|it| *it < CODES.len()).unwrap_or(UNKNOWN),
            message: message.unwrap_or_default(),
        })
    }

    /// A response that ends without one.
    pub(super) fn missing() -> Self {
        Self { code: UNKNOWN, message: "the answer ends without a status".to_owned() }
    }

    /// Whether the service does not take the credentials.
    pub(super) fn is_unauthenticated(&self) -> bool {
        self.code == UNAUTHENTICATED
    }

    /// # Errors
    /// When the call, which has this name in messages, did not go well.
    pub(super) fn judge(&self, name: &str) -> Result<(), TaskFailure> {
        let (code, status, is_passing) = CODES[self.code];
        let title = format!("{name} answered {code}");
        let failure = match self.code {
            OK => return Ok(()),
            INVALID_ARGUMENT => TaskFailure::validation(title),
            UNAUTHENTICATED => TaskFailure::authentication(title),
            PERMISSION_DENIED => TaskFailure::authorization(title),
            _ => TaskFailure::communication(title, status, is_passing),
        };
        let detail: String = self.message.chars().take(DETAIL_CHARS_MAX).collect();
        Err(if detail.is_empty() { failure } else { failure.with_detail(detail) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use expect_test::expect;

    use super::*;

    #[test]
    fn each_code_is_an_error_of_the_language() {
        let said: Vec<String> = (0..CODES.len())
            .map(|code| match (Status { code, message: String::new() }).judge("it") {
                Ok(()) => "no failure".to_owned(),
                Err(it) => it.to_string().replace("https://serverlessworkflow.io/spec/1.0.0/errors/", ""),
            })
            .collect();
        expect![[r#"
            no failure
            permanent communication (499): it answered CANCELLED
            permanent communication (500): it answered UNKNOWN
            permanent validation (400): it answered INVALID_ARGUMENT
            retriable communication (504): it answered DEADLINE_EXCEEDED
            permanent communication (404): it answered NOT_FOUND
            permanent communication (409): it answered ALREADY_EXISTS
            permanent authorization (403): it answered PERMISSION_DENIED
            retriable communication (429): it answered RESOURCE_EXHAUSTED
            permanent communication (400): it answered FAILED_PRECONDITION
            retriable communication (409): it answered ABORTED
            permanent communication (400): it answered OUT_OF_RANGE
            permanent communication (501): it answered UNIMPLEMENTED
            permanent communication (500): it answered INTERNAL
            retriable communication (503): it answered UNAVAILABLE
            permanent communication (500): it answered DATA_LOSS
            permanent authentication (401): it answered UNAUTHENTICATED"#]]
        .assert_eq(&said.join("\n"));
    }

    #[test]
    fn a_status_is_read_from_headers_or_guessed_from_that_of_http() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let ok = StatusCode::OK;
        assert_eq!(Status::of_response(ok, &headers(&[])), None);
        let given = headers(&[("grpc-status", "5"), ("grpc-message", "no %22p%C3%ABt%22 100%")]);
        let status = Status::of_response(ok, &given).unwrap();
        assert_eq!((CODES[status.code].0, status.message.as_str()), ("NOT_FOUND", "no \"pët\" 100%"));
        for (given, expected) in [("99", "UNKNOWN"), ("x", "UNKNOWN"), ("0", "OK")] {
            assert_eq!(
                CODES[Status::of_headers(&headers(&[("grpc-status", given)])).unwrap().code].0,
                expected
            );
        }
        for (given, expected) in [(404, "UNIMPLEMENTED"), (503, "UNAVAILABLE"), (302, "UNKNOWN")] {
            let status = Status::of_response(StatusCode::from_u16(given).unwrap(), &headers(&[])).unwrap();
            assert_eq!(CODES[status.code].0, expected);
        }
    }
}
