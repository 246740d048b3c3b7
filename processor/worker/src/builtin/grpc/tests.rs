//! Calls of a real server on this machine.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Request, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::schema::Schema;
use super::{Grpc, frames};
use crate::builtin::resources::Content as _;
use crate::builtin::{Caller, HttpSettings, Targets};
use crate::task::tests::command;
use crate::{Handler as _, Task, TaskFailure};

const PROTO: &str = r#"
syntax = "proto3";
package test.v1;
import "google/protobuf/timestamp.proto";
service Greeter {
  rpc SayHello (Hello) returns (Reply);
  rpc SayMany (Hello) returns (stream Reply);
  rpc SayEver (Hello) returns (stream Reply);
  rpc Guarded (Hello) returns (Reply);
  rpc Fail (Hello) returns (Reply);
  rpc Cut (Hello) returns (Reply);
  rpc Never (Hello) returns (Reply);
  rpc Absent (Hello) returns (Reply);
  rpc Gather (stream Hello) returns (Reply);
}
enum Tone { NEUTRAL = 0; WARM = 1; }
message Hello { string name = 1; int64 times = 2; Tone tone = 3; }
message Reply {
  string text = 1;
  int64 times = 2;
  Tone tone = 3;
  bytes raw = 4;
  google.protobuf.Timestamp at = 5;
  map<string, string> headers = 6;
}
"#;

fn schema() -> DescriptorPool {
    Schema::read(Bytes::from_static(PROTO.as_bytes()), "https://a.b/".parse().unwrap()).unwrap().0
}

/// A service that lives as long as the test.
async fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    address
}

async fn serve(socket: TcpStream) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (parts, mut body) = request.into_parts();
    let mut received = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        received.extend_from_slice(&data);
    }
    let schema = schema();
    let message = |name: &str| schema.get_message_by_name(name).unwrap();
    let hello = DynamicMessage::decode(message("test.v1.Hello"), &received[5..]).unwrap();
    let hello = serde_json::to_value(&hello).unwrap();
    let reply = |value: Value| {
        let reply = DynamicMessage::deserialize(message("test.v1.Reply"), value).unwrap();
        frames::framed(&reply.encode_to_vec(), 10_000).unwrap()
    };
    let response = || Response::builder().header("content-type", "application/grpc");
    let trailers =
        |status: &str| HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
    match parts.uri.path().rsplit('/').next().unwrap() {
        "SayHello" => {
            let names = ["te", "grpc-timeout", "idempotency-key", "content-type"];
            let headers: serde_json::Map<String, Value> = names
                .into_iter()
                .map(|it| (it.to_owned(), parts.headers[it].to_str().unwrap().into()))
                .collect();
            let reply = reply(json!({
                "text": format!("{} {}", parts.uri.path(), hello["name"].as_str().unwrap()),
                "times": hello["times"],
                "tone": hello["tone"],
                "raw": "AAE=",
                "at": "2026-01-02T03:04:05Z",
                "headers": headers,
            }));
            let mut stream = respond.send_response(response().body(()).unwrap(), false).unwrap();
            stream.send_data(reply, false).unwrap();
            stream.send_trailers(trailers("0")).unwrap();
        }
        "SayMany" | "SayEver" => {
            let many = if parts.uri.path().ends_with("SayMany") { 3 } else { 200 };
            let mut stream = respond.send_response(response().body(()).unwrap(), false).unwrap();
            for times in 0..many {
                stream.send_data(reply(json!({ "text": "x".repeat(20), "times": times })), false).unwrap();
            }
            stream.send_trailers(trailers("0")).unwrap();
        }
        "Guarded" => {
            let given = parts.headers.get("authorization").map_or("nobody", |it| it.to_str().unwrap());
            let mut stream = respond.send_response(response().body(()).unwrap(), false).unwrap();
            if given == "Bearer fresh" || given == "Basic bWU6aHVudGVyMg==" {
                stream.send_data(reply(json!({ "text": given })), false).unwrap();
                stream.send_trailers(trailers("0")).unwrap();
            } else {
                let mut trailers = trailers("16");
                trailers.insert("grpc-message", format!("not {given}").parse().unwrap());
                stream.send_trailers(trailers).unwrap();
            }
        }
        "Fail" => {
            let response = response()
                .header("grpc-status", hello["times"].as_str().unwrap())
                .header("grpc-message", "as %22asked%22");
            respond.send_response(response.body(()).unwrap(), true).unwrap();
        }
        "Cut" => {
            let mut stream = respond.send_response(response().body(()).unwrap(), false).unwrap();
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        "Absent" => {
            respond.send_response(Response::builder().status(404).body(()).unwrap(), true).unwrap();
        }
        _ => std::future::pending().await,
    }
}

/// Where the file is.
async fn proto(text: &'static str) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/service.proto", get(async move || text));
    tokio::spawn(async move { axum::serve(listener, router).await });
    json!({ "endpoint": format!("http://{address}/service.proto") })
}

fn settings() -> HttpSettings {
    HttpSettings {
        targets: Targets::PUBLIC.and_loopback(),
        response_bytes_max: 2_000,
        timeout: Duration::from_secs(20),
        ..HttpSettings::default()
    }
}

async fn call_with(settings: HttpSettings, arguments: Value) -> Result<Value, TaskFailure> {
    let caller = Caller::new(settings).unwrap();
    Grpc::new(&caller).unwrap().handle(Task::detached(command("grpc", arguments))).await
}

async fn with(address: SocketAddr, method: &str, arguments: Value) -> Value {
    json!({
        "proto": proto(PROTO).await,
        "service": { "name": "test.v1.Greeter", "host": "localhost", "port": address.port() },
        "method": method,
        "arguments": arguments,
    })
}

async fn call(method: &str, arguments: Value) -> Result<Value, TaskFailure> {
    call_with(settings(), with(service().await, method, arguments).await).await
}

/// The failure's type, status and whether it may pass.
fn kind(result: Result<Value, TaskFailure>) -> (String, u16, bool) {
    let failure = result.unwrap_err();
    let name = failure.error.error_type.rsplit('/').next().unwrap().to_owned();
    (name, failure.error.status, failure.retriable)
}

fn failure(name: &str, status: u16, retriable: bool) -> (String, u16, bool) {
    (name.to_owned(), status, retriable)
}

#[tokio::test]
async fn a_message_goes_and_another_comes_back_as_json() {
    let output = call("SayHello", json!({ "name": "Zoë", "times": 7, "tone": "WARM" })).await.unwrap();
    let expected = json!({
        "text": "/test.v1.Greeter/SayHello Zoë",
        "times": "7",
        "tone": "WARM",
        "raw": "AAE=",
        "at": "2026-01-02T03:04:05Z",
        "headers": {
            "te": "trailers",
            "grpc-timeout": "20000m",
            "idempotency-key": "order-1/do/0/charge",
            "content-type": "application/grpc",
        },
    });
    // The order in a map is nobody's business.
    assert_eq!(output, expected);
}

#[tokio::test]
async fn a_service_may_be_called_by_its_short_name() {
    let mut arguments = with(service().await, "SayHello", json!({ "name": "x" })).await;
    arguments["service"]["name"] = "Greeter".into();
    assert!(call_with(settings(), arguments).await.is_ok());
}

#[tokio::test]
async fn a_stream_of_messages_is_a_list_and_has_a_bound() {
    let output = call("SayMany", json!({})).await.unwrap();
    let texts: Vec<&Value> = output.as_array().unwrap().iter().map(|it| &it["text"]).collect();
    assert_eq!(texts, vec!["x".repeat(20).as_str(); 3]);
    let output = call("SayEver", json!({})).await;
    assert_eq!(kind(output), failure("communication", 502, false));
}

#[tokio::test]
async fn what_goes_wrong_has_a_type_and_may_pass_or_not() {
    let failed = call("Fail", json!({ "times": 5 })).await;
    assert_eq!(failed.clone().unwrap_err().error.detail.unwrap(), "as \"asked\"");
    assert_eq!(kind(failed), failure("communication", 404, false));
    assert_eq!(kind(call("Fail", json!({ "times": 14 })).await), failure("communication", 503, true));
    assert_eq!(kind(call("Fail", json!({ "times": 16 })).await), failure("authentication", 401, false));
    assert_eq!(kind(call("Absent", json!({})).await), failure("communication", 501, false));
    assert_eq!(kind(call("Cut", json!({})).await), failure("communication", 503, true));
    let nobody = "127.0.0.1:1".parse().unwrap();
    let output = call_with(settings(), with(nobody, "SayHello", json!({})).await).await;
    assert_eq!(kind(output), failure("communication", 503, true));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up() {
    let brief = HttpSettings { timeout: Duration::from_millis(300), ..settings() };
    let output = call_with(brief, with(service().await, "Never", json!({})).await).await;
    assert_eq!(kind(output), failure("communication", 504, true));
}

#[tokio::test]
async fn what_does_not_fit_the_file_is_not_sent() {
    let nobody = "127.0.0.1:1".parse().unwrap();
    let said = async |mut arguments: Value, change: fn(&mut Value)| {
        change(&mut arguments);
        call_with(settings(), arguments).await.unwrap_err()
    };
    let usual = with(nobody, "SayHello", json!({ "name": "x" })).await;
    let unknown = said(usual.clone(), |it| it["arguments"]["nam"] = 1.into()).await;
    assert!(unknown.error.error_type.ends_with("/validation"), "{unknown}");
    let wrong = said(usual.clone(), |it| it["arguments"]["times"] = "many".into()).await;
    assert!(wrong.error.error_type.ends_with("/validation"), "{wrong}");
    let method = said(usual.clone(), |it| it["method"] = "sayHello".into()).await;
    assert!(method.error.detail.unwrap().starts_with("it has SayHello, SayMany"));
    let service = said(usual.clone(), |it| it["service"]["name"] = "Greter".into()).await;
    assert_eq!(service.error.detail.unwrap(), "it has test.v1.Greeter");
    let gather = said(usual.clone(), |it| it["method"] = "Gather".into()).await;
    assert!(gather.error.title.unwrap().contains("takes a stream"));
    let host = said(usual, |it| it["service"]["host"] = "a/b".into()).await;
    assert!(host.error.error_type.ends_with("/validation"), "{host}");
}

#[tokio::test]
async fn a_service_on_an_address_that_is_not_allowed_is_not_called() {
    let address = service().await;
    for host in ["localhost", "127.0.0.1", "169.254.169.254"] {
        let mut arguments = with(address, "SayHello", json!({})).await;
        arguments["service"]["host"] = host.into();
        arguments["proto"] =
            json!({ "endpoint": format!("data:text/plain;base64,{}", STANDARD.encode(PROTO)) });
        let public = HttpSettings { targets: Targets::PUBLIC, ..settings() };
        assert_eq!(kind(call_with(public, arguments).await), failure("authorization", 403, false));
    }
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    let problem = |text: &str| {
        let url = "https://a.b/".parse().unwrap();
        let failure = Schema::read(Bytes::copy_from_slice(text.as_bytes()), url).unwrap_err();
        assert!(failure.error.error_type.ends_with("/configuration"));
        failure.error.detail.unwrap()
    };
    let imports = problem("syntax = \"proto3\"; import \"other.proto\"; message A {}");
    assert!(imports.contains("import 'other.proto' not found"), "{imports}");
    assert!(imports.contains("put what it needs into one file"), "{imports}");
    assert!(problem("message {").contains("service.proto"));
    assert!(problem("syntax = \"proto3\"; message A { B b = 1; }").contains("'B'"));
    // As deep as a file of the largest size can nest.
    problem(&"message a{".repeat(400_000));
    problem(&format!("syntax = \"proto3\"; option (a) = {}", "{a:".repeat(400_000)));
    problem(&format!("syntax = \"proto3\"; option (a) = {{ a: {} }};", "[".repeat(400_000)));
}

async fn guarded(policy: Value) -> Result<Value, TaskFailure> {
    let mut arguments = with(service().await, "Guarded", json!({})).await;
    arguments["authentication"] = policy;
    call_with(settings(), arguments).await
}

#[tokio::test]
async fn a_service_is_shown_credentials() {
    let basic = guarded(json!({ "basic": { "username": "me", "password": "hunter2" } })).await;
    assert_eq!(basic.unwrap(), json!({ "text": "Basic bWU6aHVudGVyMg==" }));
    let bearer = guarded(json!({ "bearer": { "token": "fresh" } })).await;
    assert_eq!(bearer.unwrap(), json!({ "text": "Bearer fresh" }));
    assert_eq!(kind(guarded(Value::Null).await), failure("authentication", 401, false));
    let failed = guarded(json!({ "bearer": { "token": "secret" } })).await;
    assert_eq!(failed.clone().unwrap_err().error.detail.unwrap(), "not Bearer ***");
    assert_eq!(kind(failed), failure("authentication", 401, false));
    let digest = guarded(json!({ "digest": { "username": "me", "password": "hunter2" } })).await;
    assert_eq!(kind(digest), failure("configuration", 400, false));
}

#[tokio::test]
async fn data_cannot_put_a_policy_into_a_service() {
    let mut arguments = with(service().await, "Guarded", json!({})).await;
    arguments["service"]["authentication"] = json!({ "bearer": { "token": "fresh" } });
    assert_eq!(kind(call_with(settings(), arguments).await), failure("validation", 400, false));
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let token = async move || {
        let token = ["stale", "fresh"].get(count.fetch_add(1, Ordering::Relaxed)).unwrap_or(&"worn");
        axum::Json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3_600 }))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/oauth2/token", post(token));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let policy = json!({ "oauth2": { "authority": format!("http://{address}"), "grant": "client_credentials", "client": { "id": "me", "secret": "hunter2" } } });
    let mut arguments = with(service().await, "Guarded", json!({})).await;
    arguments["authentication"] = policy;
    let grpc = Grpc::new(&Caller::new(settings()).unwrap()).unwrap();
    for _ in 0..2 {
        let output = grpc.handle(Task::detached(command("grpc", arguments.clone()))).await.unwrap();
        assert_eq!(output, json!({ "text": "Bearer fresh" }));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // One that is not taken either is not renewed for ever.
    let grpc = Grpc::new(&Caller::new(settings()).unwrap()).unwrap();
    let failed = grpc.handle(Task::detached(command("grpc", arguments))).await;
    assert_eq!(kind(failed), failure("authentication", 401, false));
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}
