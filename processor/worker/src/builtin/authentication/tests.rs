//! Calls with credentials, to real servers on this machine.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::builtin::{Caller, Http, HttpSettings, Secrets, Targets};
use crate::task::tests::command;
use crate::{Handler as _, Task, TaskFailure};

/// What the servers have seen, in order, and what they will say.
#[derive(Clone, Default)]
struct World {
    seen: Arc<Mutex<Vec<String>>>,
    said: Arc<Mutex<HashMap<&'static str, Value>>>,
}

impl World {
    fn see(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn say(&self, name: &'static str, value: Value) {
        self.said.lock().unwrap().insert(name, value);
    }

    fn said(&self, name: &str) -> Value {
        self.said.lock().unwrap().get(name).cloned().unwrap_or_default()
    }
}

fn credentials(headers: &HeaderMap) -> String {
    headers.get(header::AUTHORIZATION).map_or("nobody", |it| it.to_str().unwrap()).to_owned()
}

/// Gives what `said.tokens` has next: a mapping is an answer, a number a status.
async fn token(State(world): State<World>, headers: HeaderMap, body: Bytes) -> Response {
    world.see(format!("token for {}: {}", credentials(&headers), String::from_utf8_lossy(&body)));
    let mut tokens = world.said("tokens");
    let next = tokens.as_array_mut().map(|it| if it.len() > 1 { it.remove(0) } else { it[0].clone() });
    let next = next.unwrap_or_default();
    world.say("tokens", tokens);
    match next.as_u64() {
        Some(status) => {
            let error = json!({ "error": "invalid_client", "error_description": format!("no {}", String::from_utf8_lossy(&body)) });
            (StatusCode::from_u16(u16::try_from(status).unwrap()).unwrap(), axum::Json(error)).into_response()
        }
        None => axum::Json(next).into_response(),
    }
}

/// Lets in who has what `said.wanted` is.
async fn guarded(State(world): State<World>, headers: HeaderMap) -> Response {
    let credentials = credentials(&headers);
    world.see(format!("call of {credentials}"));
    match world.said("wanted") == credentials {
        true => axum::Json("welcome").into_response(),
        false => (StatusCode::UNAUTHORIZED, format!("not {credentials}")).into_response(),
    }
}

async fn digest(State(world): State<World>, headers: HeaderMap) -> Response {
    let credentials = credentials(&headers);
    let nonce = world.said("nonce").as_str().unwrap_or("one").to_owned();
    let answered = |nonce: &str| {
        credentials.contains(&format!("nonce=\"{nonce}\"")) && credentials.contains("username=\"me\"")
    };
    world.see(if credentials == "nobody" { "nobody" } else { "somebody" });
    if answered(&nonce) {
        return axum::Json("welcome").into_response();
    }
    let stale = if answered("one") { ", stale=true" } else { "" };
    let asked = if credentials == "nobody" { "one" } else { &nonce };
    let challenge = format!(
        "Basic realm=\"x\", Digest realm=\"x\", qop=\"auth\", algorithm=SHA-256, nonce=\"{asked}\"{stale}"
    );
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
}

/// A server, and the world that it is in.
async fn server() -> (SocketAddr, World) {
    let world = World::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let discovery = async |State(world): State<World>| {
        world.see("discovery");
        axum::Json(world.said("discovery"))
    };
    let router = Router::new()
        .route("/call", any(guarded))
        .route("/digest", any(digest))
        .route("/forbidden", get(async || StatusCode::FORBIDDEN))
        .route("/away", get(async |Query(to): Query<HashMap<String, String>>| Redirect::temporary(&to["to"])))
        .route("/realm/oauth2/token", post(token))
        .route("/realm/custom", post(token))
        .route("/realm/.well-known/openid-configuration", get(discovery))
        .with_state(world.clone());
    tokio::spawn(axum::serve(listener, router).into_future());
    (address, world)
}

fn http(secrets: Secrets) -> Http {
    let targets = Targets::PUBLIC.and_loopback();
    Http::new(&Caller::new(HttpSettings { targets, secrets, ..HttpSettings::default() }).unwrap())
}

async fn call_with(http: &Http, endpoint: String, policy: Value) -> Result<Value, TaskFailure> {
    let arguments = json!({ "method": "get", "endpoint": endpoint, "authentication": policy, "redirect": true, "output": "response" });
    http.handle(Task::detached(command("http", arguments))).await
}

async fn call(endpoint: String, policy: Value) -> Result<Value, TaskFailure> {
    call_with(&http(Secrets::none()), endpoint, policy).await
}

fn kind(result: Result<Value, TaskFailure>) -> (String, u16, bool) {
    let failure = result.unwrap_err();
    let name = failure.error.error_type.rsplit('/').next().unwrap().to_owned();
    (name, failure.error.status, failure.retriable)
}

fn refused(name: &str, status: u16) -> (String, u16, bool) {
    (name.to_owned(), status, false)
}

#[tokio::test]
async fn basic_and_bearer_credentials_are_shown_and_not_told() {
    let (address, world) = server().await;
    let endpoint = format!("http://{address}/call");
    for (policy, wanted) in [
        (json!({ "basic": { "username": "me", "password": "hunter2" } }), "Basic bWU6aHVudGVyMg=="),
        (json!({ "bearer": { "token": "hunter2" } }), "Bearer hunter2"),
    ] {
        world.say("wanted", json!(wanted));
        let output = call(endpoint.clone(), policy.clone()).await.unwrap();
        assert_eq!(output["content"], "welcome");
        assert!(output["request"]["headers"].get("authorization").is_none(), "{output}");
        // The server quotes what it was shown.
        world.say("wanted", json!("somebody else"));
        let failure = call(endpoint.clone(), policy).await.unwrap_err();
        assert!(
            !failure.to_string().contains("hunter2") && !failure.to_string().contains("bWU6"),
            "{failure}"
        );
        assert!(failure.to_string().contains("not B"), "{failure}");
        assert_eq!(kind(Err(failure)), refused("authentication", 401));
    }
    let policy = json!({ "bearer": { "token": "hunter2" } });
    assert_eq!(
        kind(call(format!("http://{address}/forbidden"), policy).await),
        refused("authorization", 403)
    );
}

#[tokio::test]
async fn a_policy_may_be_a_secret_that_is_replaced() {
    let (address, world) = server().await;
    let endpoint = format!("http://{address}/call");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("login"), r#"{ "username": "me", "password": "hunter2" }"#).unwrap();
    world.say("wanted", json!("Basic bWU6aHVudGVyMg=="));
    let http = http(Secrets::in_folder(folder.path()));
    let policy = |name: &str| json!({ "basic": { "use": name } });
    let output = call_with(&http, endpoint.clone(), policy("login")).await.unwrap();
    assert_eq!(output["content"], "welcome");
    let failure = call_with(&http, endpoint, policy("logon")).await.unwrap_err();
    assert!(failure.to_string().contains("`logon`"), "{failure}");
    assert_eq!(kind(Err(failure)), refused("configuration", 400));
}

#[tokio::test]
async fn a_redirect_to_another_origin_drops_the_credentials_for_good() {
    let (home, world) = server().await;
    let (other, elsewhere) = server().await;
    world.say("wanted", json!("Bearer hunter2"));
    elsewhere.say("wanted", json!("nobody"));
    let policy = || json!({ "bearer": { "token": "hunter2" } });
    let away = |at: SocketAddr, to: &str| format!("http://{at}/away?to={}", crate::builtin::uri::encoded(to));
    let within = call(away(home, "/call"), policy()).await.unwrap();
    assert_eq!(within["content"], "welcome");
    call(away(home, &format!("http://{other}/call")), policy()).await.unwrap();
    assert_eq!(elsewhere.seen(), ["call of nobody"]);
    // Whoever is led back comes as nobody, too.
    world.seen();
    let back = away(other, &format!("http://{home}/call"));
    assert_eq!(kind(call(away(home, &back), policy()).await), refused("authentication", 401));
    assert_eq!(world.seen(), ["call of nobody"]);
}

#[tokio::test]
async fn digest_answers_a_challenge_and_another_one_if_the_first_was_too_old() {
    let (address, world) = server().await;
    let endpoint = format!("http://{address}/digest");
    let policy = |name: &str| json!({ "digest": { "username": name, "password": "hunter2" } });
    assert_eq!(call(endpoint.clone(), policy("me")).await.unwrap()["content"], "welcome");
    assert_eq!(world.seen(), ["nobody", "somebody"]);
    world.say("nonce", json!("two"));
    assert_eq!(call(endpoint.clone(), policy("me")).await.unwrap()["content"], "welcome");
    assert_eq!(world.seen(), ["nobody", "somebody", "somebody"]);
    assert_eq!(kind(call(endpoint, policy("you")).await), refused("authentication", 401));
    assert_eq!(world.seen(), ["nobody", "somebody"]);
}

fn client(address: SocketAddr, more: Value) -> Value {
    let mut policy = json!({
        "authority": format!("http://{address}/realm"),
        "grant": "client_credentials",
        "client": { "id": "shop", "secret": "hunter2" },
    });
    policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "oauth2": policy })
}

fn granted(token: &str) -> Value {
    json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 })
}

#[tokio::test]
async fn a_token_is_asked_for_once_by_many_and_renewed_once_when_it_is_refused() {
    let (address, world) = server().await;
    let endpoint = format!("http://{address}/call");
    world.say("tokens", json!([granted("first"), granted("second"), granted("third")]));
    world.say("wanted", json!("Bearer first"));
    let http = http(Secrets::none());
    let calls = (0..20).map(|_| call_with(&http, endpoint.clone(), client(address, json!({}))));
    for result in futures_util::future::join_all(calls).await {
        assert_eq!(result.unwrap()["content"], "welcome");
    }
    let asked = |seen: &[String]| seen.iter().filter(|it| it.starts_with("token")).count();
    let seen = world.seen();
    assert_eq!(asked(&seen), 1);
    assert_eq!(
        seen[0],
        "token for nobody: grant_type=client_credentials&client_secret=hunter2&client_id=shop"
    );
    // It was taken back.
    world.say("wanted", json!("Bearer second"));
    let calls = (0..20).map(|_| call_with(&http, endpoint.clone(), client(address, json!({}))));
    for result in futures_util::future::join_all(calls).await {
        assert_eq!(result.unwrap()["content"], "welcome");
    }
    assert_eq!(asked(&world.seen()), 1);
    // No token is good enough.
    world.say("wanted", json!("nothing"));
    let result = call_with(&http, endpoint.clone(), client(address, json!({}))).await;
    assert_eq!(kind(result), refused("authentication", 401));
    assert_eq!(asked(&world.seen()), 1);
    // Another policy has its own.
    world.say("wanted", json!("Bearer third"));
    let other = client(address, json!({ "scopes": ["a", "b"], "audiences": ["x", "y"] }));
    assert_eq!(call_with(&http, endpoint, other).await.unwrap()["content"], "welcome");
    assert_eq!(
        world.seen()[0],
        "token for nobody: grant_type=client_credentials&scope=a+b&audience=x&audience=y&client_secret=hunter2&client_id=shop"
    );
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_before() {
    let (address, world) = server().await;
    let endpoint = format!("http://{address}/call");
    world.say("tokens", json!([{ "access_token": "first", "expires_in": 0 }, { "access_token": "second", "expires_in": "3600" }]));
    let http = http(Secrets::none());
    for token in ["first", "second", "second"] {
        world.say("wanted", json!(format!("Bearer {token}")));
        call_with(&http, endpoint.clone(), client(address, json!({}))).await.unwrap();
    }
}

#[tokio::test]
async fn each_grant_and_each_client_asks_in_its_way() {
    let (address, world) = server().await;
    world.say("wanted", json!("Bearer good"));
    let subject = json!({ "token": "s.t", "type": "urn:x" });
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    let jwt = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    for (more, wanted) in [
        (
            json!({ "grant": "password", "username": "me", "password": "pass word" }),
            "nobody: grant_type=password&username=me&password=pass+word&client_secret=hunter2&client_id=shop".to_owned(),
        ),
        (
            json!({ "grant": "refresh_token", "subject": subject }),
            "nobody: grant_type=refresh_token&refresh_token=s.t&client_secret=hunter2&client_id=shop".to_owned(),
        ),
        (
            json!({ "grant": exchange, "subject": subject, "actor": { "token": "a", "type": "urn:y" } }),
            "nobody: grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=s.t&subject_token_type=urn%3Ax\
             &actor_token=a&actor_token_type=urn%3Ay&client_secret=hunter2&client_id=shop".to_owned(),
        ),
        (
            json!({ "client": { "id": "sh:op", "secret": "hunter 2", "authentication": "client_secret_basic" } }),
            // `sh%3Aop:hunter+2`
            "Basic c2glM0FvcDpodW50ZXIrMg==: grant_type=client_credentials".to_owned(),
        ),
        (
            json!({ "client": { "id": "shop", "assertion": "j.w.t", "authentication": "private_key_jwt" } }),
            format!("nobody: grant_type=client_credentials&{jwt}&client_assertion=j.w.t&client_id=shop"),
        ),
        (
            json!({ "client": { "id": "shop", "authentication": "none" } }),
            "nobody: grant_type=client_credentials&client_id=shop".to_owned(),
        ),
        (
            json!({ "request": { "encoding": "application/json" }, "audiences": ["x", "y"], "endpoints": { "token": "/custom" } }),
            r#"nobody: {"grant_type":"client_credentials","audience":["x","y"],"client_secret":"hunter2","client_id":"shop"}"#.to_owned(),
        ),
    ] {
        world.say("tokens", json!([granted("good")]));
        call(format!("http://{address}/call"), client(address, more)).await.unwrap();
        assert_eq!(world.seen()[0], format!("token for {wanted}"));
    }
}

#[tokio::test]
async fn a_client_signs_with_its_secret() {
    let (address, world) = server().await;
    world.say("wanted", json!("Bearer good"));
    world.say("tokens", json!([granted("good")]));
    let more =
        json!({ "client": { "id": "shop", "secret": "hunter2", "authentication": "client_secret_jwt" } });
    call(format!("http://{address}/call"), client(address, more)).await.unwrap();
    let seen = world.seen();
    let assertion = seen[0].split("client_assertion=").nth(1).unwrap().split('&').next().unwrap();
    let claims = assertion.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("shop"), &json!("shop")));
    assert_eq!(claims["aud"], format!("http://{address}/realm/oauth2/token"));
    assert!(!seen[0].contains("hunter2"));
}

#[tokio::test]
async fn a_new_refresh_token_takes_the_place_of_the_old_one() {
    let (address, world) = server().await;
    let answer = |token: &str, refresh: &str| json!({ "access_token": token, "expires_in": 0, "refresh_token": refresh });
    world.say("tokens", json!([answer("first", "r2"), answer("second", "r3")]));
    let policy = client(
        address,
        json!({ "grant": "refresh_token", "subject": { "token": "r1", "type": "refresh_token" } }),
    );
    let http = http(Secrets::none());
    let mut asked = Vec::new();
    for token in ["first", "second"] {
        world.say("wanted", json!(format!("Bearer {token}")));
        call_with(&http, format!("http://{address}/call"), policy.clone()).await.unwrap();
        asked.push(world.seen()[0].split("refresh_token=").nth(1).unwrap()[..2].to_owned());
    }
    assert_eq!(asked, ["r1", "r2"]);
}

#[tokio::test]
async fn an_authority_that_refuses_is_a_matter_of_credentials_and_one_that_is_busy_is_not() {
    let (address, world) = server().await;
    let endpoint = format!("http://{address}/call");
    for (answer, wanted) in [
        (json!(400), refused("authentication", 401)),
        (json!(401), refused("authentication", 401)),
        (json!(403), refused("authentication", 401)),
        (json!(503), ("communication".to_owned(), 503, true)),
        (json!({ "token": "none" }), refused("authentication", 401)),
        (json!({ "access_token": "x", "token_type": "DPoP" }), refused("authentication", 401)),
    ] {
        world.say("tokens", json!([answer]));
        let failure = call(endpoint.clone(), client(address, json!({}))).await.unwrap_err();
        // The authority quotes what it was sent.
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
        assert_eq!(kind(Err(failure)), wanted);
        assert!(!world.seen().iter().any(|it| it.starts_with("call")));
    }
}

#[tokio::test]
async fn who_waited_for_an_authority_in_vain_does_not_ask_it_again() {
    let (address, world) = server().await;
    world.say("tokens", json!([503]));
    let http = http(Secrets::none());
    let calls =
        (0..20).map(|_| call_with(&http, format!("http://{address}/call"), client(address, json!({}))));
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_err));
    assert_eq!(world.seen().len(), 1);
}

fn jwt(issuer: &str) -> String {
    format!("e30.{}.x", URL_SAFE_NO_PAD.encode(json!({ "iss": issuer }).to_string()))
}

#[tokio::test]
async fn openid_connect_finds_the_endpoint_and_checks_who_it_is_of() {
    let (address, world) = server().await;
    let authority = format!("http://{address}/realm");
    let policy = |more: Value| {
        let mut policy = client(address, more);
        json!({ "oidc": policy["oauth2"].take() })
    };
    let discovery =
        |issuer: &str| json!({ "issuer": issuer, "token_endpoint": format!("{authority}/custom") });
    let token = jwt(&authority);
    world.say("tokens", json!([granted(&token)]));
    world.say("wanted", json!(format!("Bearer {token}")));
    let endpoint = format!("http://{address}/call");
    for (said, more, is_good) in [
        (discovery(&authority), json!({}), true),
        (discovery(&format!("{authority}/")), json!({ "issuers": [authority] }), true),
        (discovery("https://evil.example"), json!({}), false),
        (discovery("https://evil.example"), json!({ "issuers": [authority] }), false),
        // The token is of another one.
        (discovery("https://other.example"), json!({ "issuers": ["https://other.example"] }), false),
        (json!({ "issuer": authority, "token_endpoint": "file:///etc/passwd" }), json!({}), false),
        (json!({}), json!({}), false),
    ] {
        world.say("discovery", said.clone());
        let result = call(endpoint.clone(), policy(more)).await;
        assert_eq!(result.is_ok(), is_good, "{said}: {result:?}");
        if !is_good {
            assert_eq!(kind(result), refused("authentication", 401), "{said}");
        }
    }
}

#[tokio::test]
async fn an_authority_is_reached_only_where_calls_may_go() {
    let (address, _) = server().await;
    let policy = |authority: &str| json!({ "oauth2": { "authority": authority, "grant": "client_credentials", "client": { "id": "shop" } } });
    let inside = call(format!("http://{address}/call"), policy("http://169.254.169.254/latest")).await;
    assert_eq!(kind(inside), refused("authorization", 403));
    let lacking = json!({ "oauth2": { "authority": "http://a.b", "grant": "password" } });
    assert_eq!(kind(call(format!("http://{address}/call"), lacking).await), refused("configuration", 400));
}
