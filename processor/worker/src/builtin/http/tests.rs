//! Calls to a real server on this machine.
#![allow(clippy::unwrap_used)]

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get};
use millrace_schemas::event::TaskError;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Http;
use crate::builtin::{Caller, HttpSettings, Targets};
use crate::task::{Pulse, Trace, tests::command};
use crate::{Handler as _, Task, TaskFailure};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Says what it was asked.
async fn echo(request: Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != header::HOST)
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    axum::Json(json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

/// A server that lives as long as the test.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cut = async || {
        // More is promised than comes.
        let body = Body::from_stream(futures_util::stream::iter([Ok("half"), Err("the server gives up")]));
        (HeaderMap::new(), body)
    };
    let router = Router::new()
        .route("/echo", any(echo))
        .route("/missing", get(async || (StatusCode::NOT_FOUND, "no such pet")))
        .route("/busy", get(async || (StatusCode::SERVICE_UNAVAILABLE, "x".repeat(1_000_000))))
        .route("/large", get(async || "x".repeat(2_000)))
        .route("/never", get(async || std::future::pending::<&str>().await))
        .route("/cut", get(cut))
        .route("/once", any(async || Redirect::temporary("/echo")))
        .route("/ever", get(async || Redirect::temporary("/ever")))
        .route("/inside", get(async || Redirect::temporary("http://169.254.169.254/latest/meta-data/")));
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

fn settings() -> HttpSettings {
    HttpSettings {
        targets: Targets::PUBLIC.and_loopback(),
        response_bytes_max: 1_000,
        timeout: Duration::from_secs(20),
        ..HttpSettings::default()
    }
}

struct Nowhere;
impl Pulse for Nowhere {
    fn beat(&self, _: &Task) {}
}

async fn call(settings: HttpSettings, arguments: Value) -> Result<Value, TaskFailure> {
    let trace = Trace { parent: Some(TRACE.into()), state: Some("congo=1".into()) };
    let task = Task::new(command("http", arguments), trace, std::sync::Arc::new(Nowhere));
    Http::new(&Caller::new(settings).unwrap()).handle(task).await
}

async fn get_path(address: SocketAddr, path: &str) -> Result<Value, TaskFailure> {
    call(
        settings(),
        json!({ "method": "get", "endpoint": format!("http://{address}{path}"), "redirect": true }),
    )
    .await
}

/// The failure's type, status and whether it may pass.
fn kind(result: Result<Value, TaskFailure>) -> (String, u16, bool) {
    let TaskFailure { error: TaskError { error_type, status, .. }, retriable } = result.unwrap_err();
    (error_type.rsplit('/').next().unwrap().to_owned(), status, retriable)
}

fn communication(status: u16, retriable: bool) -> (String, u16, bool) {
    ("communication".to_owned(), status, retriable)
}

#[tokio::test]
async fn a_request_arrives_as_it_was_meant() {
    let address = server().await;
    let arguments = json!({
        "method": "post",
        "endpoint": format!("http://localhost:{}/echo?a=1", address.port()),
        "query": { "b": "x y" },
        "headers": { "X-Shop": "7" },
        "body": { "amount": 5 },
    });
    let output = call(settings(), arguments).await.unwrap();
    let expected = json!({
        "method": "POST",
        "uri": "/echo?a=1&b=x+y",
        "headers": {
            "x-shop": "7",
            "content-type": "application/json",
            "content-length": "12",
            "idempotency-key": "order-1/do/0/charge",
            "traceparent": TRACE,
            "tracestate": "congo=1",
            "user-agent": concat!("millrace/", env!("CARGO_PKG_VERSION")),
            "accept": "*/*",
        },
        "body": "{\"amount\":5}",
    });
    assert_eq!(output, expected);
}

#[tokio::test]
async fn the_whole_response_can_be_had() {
    let address = server().await;
    let endpoint = format!("http://{address}/echo");
    let arguments = json!({ "method": "get", "endpoint": endpoint, "output": "response" });
    let output = call(settings(), arguments).await.unwrap();
    assert_eq!(output["statusCode"], 200);
    assert_eq!(output["request"]["uri"], endpoint);
    assert_eq!(output["headers"]["content-type"], "application/json");
    assert_eq!(output["content"]["method"], "GET");
}

#[tokio::test]
async fn what_goes_wrong_has_a_status_and_may_pass_or_not() {
    let address = server().await;
    let missing = get_path(address, "/missing").await;
    assert_eq!(missing.clone().unwrap_err().error.detail.unwrap(), "no such pet");
    assert_eq!(kind(missing), communication(404, false));
    assert_eq!(kind(get_path(address, "/busy").await), communication(503, true));
    assert_eq!(kind(get_path(address, "/large").await), communication(502, false));
    assert_eq!(kind(get_path(address, "/cut").await), communication(503, true));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let address = server().await;
    let brief = HttpSettings { timeout: Duration::from_millis(200), ..settings() };
    let arguments = json!({ "method": "get", "endpoint": format!("http://{address}/never") });
    assert_eq!(kind(call(brief, arguments).await), communication(504, true));
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(kind(get_path(address, "/").await), communication(503, true));
    // Nor is there one to a name that nobody has, or by TLS to who does not speak it.
    let plain = server().await;
    for endpoint in ["http://no-such-host.invalid/".to_owned(), format!("https://{plain}/echo")] {
        let result = call(settings(), json!({ "method": "get", "endpoint": endpoint })).await;
        assert_eq!(kind(result), communication(503, true), "{endpoint}");
    }
}

#[tokio::test]
async fn redirects_are_followed_if_they_may_be_and_within_bounds() {
    let address = server().await;
    let arguments = |redirect: bool| json!({ "method": "post", "endpoint": format!("http://{address}/once"), "body": "text", "redirect": redirect });
    let followed = call(settings(), arguments(true)).await.unwrap();
    assert_eq!((&followed["method"], &followed["body"]), (&json!("POST"), &json!("text")));
    assert_eq!(kind(call(settings(), arguments(false)).await), communication(307, false));
    assert_eq!(kind(get_path(address, "/ever").await), communication(307, false));
}

#[tokio::test]
async fn what_may_not_be_reached_is_not_reached() {
    let address = server().await;
    let public = HttpSettings { targets: Targets::PUBLIC, ..settings() };
    let refused = ("authorization".to_owned(), 403, false);
    for host in ["127.0.0.1", "localhost", "[::ffff:7f00:1]", "2130706433", "0"] {
        let endpoint = format!("http://{host}:{}/echo", address.port());
        let result = call(public.clone(), json!({ "method": "get", "endpoint": endpoint })).await;
        assert_eq!(kind(result), refused, "{host}");
    }
    // A server that may be reached cannot lead to one that may not.
    assert_eq!(kind(get_path(address, "/inside").await), refused);
}
