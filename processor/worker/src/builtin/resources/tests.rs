//! Resources from a real server on this machine, and from definitions.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::builtin::{HttpSettings, Secrets, Targets};

/// What the server has seen.
type Seen = Arc<Mutex<Vec<String>>>;

async fn guarded(State(seen): State<Seen>, headers: HeaderMap) -> Response {
    let text = |name: header::HeaderName| headers.get(name).map_or("-", |it| it.to_str().unwrap()).to_owned();
    let (known, credentials) = (text(header::IF_NONE_MATCH), text(header::AUTHORIZATION));
    seen.lock().unwrap().push(format!("{credentials}, known {known}"));
    let answer = [(header::ETAG, "\"1\""), (header::CACHE_CONTROL, "no-cache")];
    match (credentials.as_str(), known.as_str()) {
        ("Bearer reader", "\"1\"") => (StatusCode::NOT_MODIFIED, answer).into_response(),
        ("Bearer reader", _) => (answer, "for readers").into_response(),
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn server() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/text", get(async || "a text"))
        .route("/moved", get(async || Redirect::temporary("/text")))
        .route("/data", get(async || Redirect::temporary("data:,x")))
        .route("/large", get(async || "x".repeat(2_000)))
        .route("/guarded", get(guarded))
        .with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

fn caller(targets: Targets) -> Caller {
    let settings = HttpSettings {
        targets,
        resource_bytes_max: 1_000,
        secrets: Secrets::none(),
        ..HttpSettings::default()
    };
    Caller::new(settings).unwrap()
}

async fn got(caller: &Caller, resource: Value) -> Result<String, TaskFailure> {
    let resource = Resource::deserialize(resource).unwrap();
    let bytes: Arc<Bytes> = get_it(caller, &resource).await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

async fn get_it(caller: &Caller, resource: &Resource) -> Result<Arc<Bytes>, TaskFailure> {
    super::get(caller, resource, &mut Redaction::default()).await
}

fn kind(result: Result<String, TaskFailure>) -> (String, u16, bool) {
    let failure = result.unwrap_err();
    let name = failure.error.error_type.rsplit('/').next().unwrap().to_owned();
    (name, failure.error.status, failure.retriable)
}

#[tokio::test]
async fn a_resource_is_got_from_where_calls_may_go() {
    let (address, _) = server().await;
    let local = caller(Targets::PUBLIC.and_loopback());
    let at = |path: &str| json!({ "name": "it", "endpoint": { "uri": format!("http://{address}{path}") } });
    for path in ["/text", "/moved"] {
        assert_eq!(got(&local, at(path)).await.unwrap(), "a text");
    }
    for (path, name, status) in [
        ("/missing", "communication", 404),
        ("/large", "communication", 502),
        ("/guarded", "authentication", 401),
        // A server chooses no content that nobody judged.
        ("/data", "communication", 307),
    ] {
        assert_eq!(kind(got(&local, at(path)).await), (name.to_owned(), status, false), "{path}");
    }
    let public = caller(Targets::PUBLIC);
    assert_eq!(kind(got(&public, at("/text")).await), ("authorization".to_owned(), 403, false));
    let file = json!({ "endpoint": "file:///etc/passwd" });
    assert_eq!(kind(got(&local, file).await), ("validation".to_owned(), 400, false));
}

#[tokio::test]
async fn what_credentials_let_one_see_is_not_shown_without_them() {
    let (address, seen) = server().await;
    let local = caller(Targets::PUBLIC.and_loopback());
    let by = |token: &str| {
        let policy = json!({ "bearer": { "token": token } });
        json!({ "endpoint": format!("http://{address}/guarded"), "authentication": policy })
    };
    for _ in 0..2 {
        assert_eq!(got(&local, by("reader")).await.unwrap(), "for readers");
    }
    assert_eq!(kind(got(&local, by("other")).await), ("authentication".to_owned(), 401, false));
    let expected = ["Bearer reader, known -", "Bearer reader, known \"1\"", "Bearer other, known -"];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_resource_may_stand_in_the_definition() {
    let public = caller(Targets::PUBLIC);
    let data = |uri: &str| json!({ "endpoint": { "uri": uri } });
    for uri in ["data:,a%20text", "DATA:text/plain;base64,YSB0ZXh0"] {
        for _ in 0..2 {
            assert_eq!(got(&public, data(uri)).await.unwrap(), "a text");
        }
    }
    for uri in ["data:;base64,?", "data:x", &format!("data:,{}", "x".repeat(1_001))] {
        assert_eq!(kind(got(&public, data(uri)).await), ("validation".to_owned(), 400, false));
    }
}

#[tokio::test]
async fn one_resource_may_be_read_as_several_things() {
    struct Length(usize);
    impl Content for Length {
        fn read(bytes: Bytes, _: Url) -> Result<Self, TaskFailure> {
            Ok(Self(bytes.len()))
        }
    }
    let public = caller(Targets::PUBLIC);
    let resource = Resource::deserialize(json!({ "endpoint": "data:,four" })).unwrap();
    assert_eq!(get_it(&public, &resource).await.unwrap(), Bytes::from_static(b"four").into());
    let length: Arc<Length> = super::get(&public, &resource, &mut Redaction::default()).await.unwrap();
    assert_eq!(length.0, 4);
}
