//! Messages through a real broker, one of `millrace-dev-broker`, or the Apache Kafka that `KAFKA_BOOTSTRAP` names, and a real server.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post, put};
use millrace_dev_broker::testing::bootstrap;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::AsyncApi;
use crate::builtin::{Caller, HttpSettings, Targets};
use crate::task::tests::command;
use crate::{Handler as _, Task, TaskFailure};

async fn topic() -> String {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap());
    let name = format!("asyncapi-{}", uuid::Uuid::new_v4().simple());
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let topic = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
    for result in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
    name
}

/// Serves a document; gives it as an external resource.
async fn document(text: String) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/asyncapi.yaml", get(async move || text));
    tokio::spawn(async move { axum::serve(listener, router).await });
    json!({ "endpoint": format!("http://{address}/asyncapi.yaml") })
}

/// One that has these topics as the addresses of its channels, which are named so as well.
async fn with_topics(topics: &[&str]) -> Value {
    let mut text = format!(
        "asyncapi: 3.0.0\nservers:\n  main: {{host: '{{broker}}', protocol: kafka, variables: {{broker: {{default: '{}'}}}}}}\nchannels:\n",
        bootstrap()
    );
    for topic in topics {
        text += &format!("  {topic}: {{address: {topic}}}\n");
    }
    document(text).await
}

const LOCAL: Targets = Targets::PUBLIC.and_loopback().and_private();

async fn call_to(targets: Targets, key: &str, arguments: Value) -> Result<Value, TaskFailure> {
    let settings = HttpSettings { targets, response_bytes_max: 10_000, ..HttpSettings::default() };
    let mut command = command("asyncapi", arguments);
    command.idempotency_key = key.to_owned();
    let caller = Caller::new(settings).unwrap();
    AsyncApi::new(&caller, "millrace.").handle(Task::detached(command)).await
}

async fn call(key: &str, arguments: Value) -> Result<Value, TaskFailure> {
    call_to(LOCAL, key, arguments).await
}

fn kind(result: Result<Value, TaskFailure>) -> (String, u16, bool) {
    let failure = result.unwrap_err();
    let name = failure.error.error_type.rsplit('/').next().unwrap().to_owned();
    (name, failure.error.status, failure.retriable)
}

#[tokio::test]
async fn what_is_published_is_consumed_from_where_the_task_first_began() {
    let topic = topic().await;
    let document = with_topics(&[&topic]).await;
    let key = format!("{topic}/consume");
    let publish = async |number: u32| {
        let message = json!({
            "payload": { "number": number },
            "headers": { "correlationId": format!("c{number}"), "partitionkey": "k", "gone": null },
        });
        call("publish", json!({ "document": document, "channel": topic, "message": message })).await.unwrap()
    };
    let consume = |consume: Value| {
        let subscription = json!({
            "filter": ".payload.number != $context.unwanted",
            "consume": consume,
            "variables": { "context": { "unwanted": 3 } },
        });
        json!({ "document": document, "channel": topic, "subscription": subscription })
    };
    publish(1).await;
    // This one begins, and is lost.
    assert_eq!(call(&key, consume(json!({ "for": 1 }))).await.unwrap(), json!([]));
    for number in 2..=4 {
        let output = publish(number).await;
        assert_eq!(output["topic"], json!(topic));
        // One key, one partition.
        assert_eq!(output["offset"], json!(number - 1));
    }
    let output = call(&key, consume(json!({ "amount": 2 }))).await.unwrap();
    let payloads: Vec<&Value> = output.as_array().unwrap().iter().map(|it| &it["payload"]).collect();
    assert_eq!(payloads, [&json!({ "number": 2 }), &json!({ "number": 4 })]);
    assert_eq!(output[0]["correlationId"], "c2");
    assert_eq!(
        output[0]["headers"],
        json!({
            "content-type": "application/json",
            "idempotency-key": "publish",
            "correlationId": "c2",
            "partitionkey": "k",
        })
    );
    let output = call(&key, consume(json!({ "until": "length == 1" }))).await.unwrap();
    assert_eq!(output.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_published_says_why() {
    let topic = topic().await;
    let document = with_topics(&[&topic, "absent-topic", "millrace.events", "a"]).await;
    let publish = |channel: &str| json!({ "document": document, "channel": channel, "message": { "payload": { "a": "b" } } });
    assert_eq!(kind(call("k", publish("absent-topic")).await), ("configuration".to_owned(), 400, false));
    assert_eq!(kind(call("k", publish("millrace.events")).await), ("authorization".to_owned(), 403, false));
    assert_eq!(
        kind(call_to(Targets::PUBLIC, "k", publish(&topic)).await),
        ("authorization".to_owned(), 403, false)
    );
    let mut large = publish(&topic);
    large["message"]["payload"]["a"] = "x".repeat(20_000).into();
    assert_eq!(kind(call("k", large).await), ("validation".to_owned(), 400, false));
    let mut both = publish(&topic);
    both["subscription"] = json!({ "consume": { "amount": 1 } });
    assert_eq!(kind(call("k", both).await), ("validation".to_owned(), 400, false));
    let mut long = publish(&topic);
    long["subscription"] = json!({ "consume": { "amount": 1, "for": 7_200_000 } });
    assert_eq!(kind(call("k", long).await), ("validation".to_owned(), 400, false));
}

#[tokio::test]
async fn a_message_is_published_by_http() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let seen = received.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receive = async move |headers: HeaderMap, body: String| {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        seen.lock().unwrap().push((
            header("content-type"),
            header("x-shop"),
            header("idempotency-key"),
            body,
        ));
    };
    let router = Router::new().route("/base/orders", put(receive));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let text = format!(
        "asyncapi: 2.6.0\nservers: {{web: {{url: 'http://{address}/base', protocol: http}}}}\nchannels:\n  orders: {{publish: {{operationId: put, bindings: {{http: {{method: PUT}}}}}}}}\n  lost: {{publish: {{operationId: lose}}}}\n"
    );
    let document = document(text).await;
    let publish = |operation: &str| json!({ "document": document, "operation": operation, "message": { "payload": { "a": 1 }, "headers": { "X-Shop": 7 } } });
    assert_eq!(call("key", publish("put")).await.unwrap(), json!({ "statusCode": 200 }));
    let expected = ["application/json", "7", "key", "{\"a\":1}"].map(str::to_owned);
    assert_eq!(*received.lock().unwrap(), [expected.into()]);
    assert_eq!(kind(call("key", publish("lose")).await), ("communication".to_owned(), 404, false));
    assert_eq!(
        kind(call_to(Targets::PUBLIC, "key", publish("put")).await),
        ("authorization".to_owned(), 403, false)
    );
    let consume =
        json!({ "document": document, "operation": "put", "subscription": { "consume": { "amount": 1 } } });
    assert_eq!(kind(call("key", consume).await), ("configuration".to_owned(), 400, false));
}

#[tokio::test]
async fn a_server_of_http_is_shown_credentials() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receive = async |headers: HeaderMap| match headers.get("authorization") {
        Some(it) if it == "Basic bWU6aHVudGVyMg==" => StatusCode::OK,
        _ => StatusCode::UNAUTHORIZED,
    };
    let router = Router::new().route("/orders", post(receive));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let text = format!(
        "asyncapi: 3.0.0\nservers: {{web: {{host: '{address}', protocol: http, security: [{{type: http}}]}}}}\nchannels: {{orders: {{address: orders}}}}\n"
    );
    let document = document(text).await;
    let publish = async |policy: Value, headers: Value| {
        let message = json!({ "payload": 1, "headers": headers });
        call("k", json!({ "document": document, "channel": "orders", "message": message, "authentication": policy })).await
    };
    let basic = |password: &str| json!({ "basic": { "username": "me", "password": password } });
    assert_eq!(publish(basic("hunter2"), json!({})).await.unwrap(), json!({ "statusCode": 200 }));
    assert_eq!(kind(publish(basic("wrong"), json!({})).await), ("authentication".to_owned(), 401, false));
    assert_eq!(kind(publish(Value::Null, json!({})).await), ("configuration".to_owned(), 400, false));
    let twice = publish(basic("hunter2"), json!({ "Authorization": "Basic x" })).await;
    assert_eq!(kind(twice), ("validation".to_owned(), 400, false));
}

/// What a request of a Kafka client says of itself, and what follows.
struct Asked {
    key: i16,
    version: i16,
    correlation: [u8; 4],
    body: Vec<u8>,
}

async fn asked(socket: &mut TcpStream) -> std::io::Result<Asked> {
    let length = usize::try_from(socket.read_i32().await?).unwrap();
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).await?;
    let number = |at: usize| i16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let client_bytes = usize::try_from(number(8)).unwrap_or_default();
    Ok(Asked {
        key: number(0),
        version: number(2),
        correlation: bytes[4..8].try_into().unwrap(),
        body: bytes[10 + client_bytes..].to_vec(),
    })
}

/// A broker that says which logins it is shown, and lets nobody in.
async fn guarded_broker() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = shown.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                while let Ok(asked) = asked(&mut socket).await {
                    let body = match asked.key {
                        API_VERSIONS => versions(asked.version),
                        SASL_HANDSHAKE => [&[0, 0, 0, 0, 0, 1, 0, 5][..], b"PLAIN"].concat(),
                        SASL_AUTHENTICATE => {
                            let login = String::from_utf8_lossy(&asked.body[4..]).replace('\0', "|");
                            seen.lock().unwrap().push(login);
                            // Its code, no message, no bytes, and how long the session would be.
                            let lifetime = if asked.version > 0 { &[0; 8][..] } else { &[] };
                            [&[0, 58, 0xff, 0xff, 0, 0, 0, 0][..], lifetime].concat()
                        }
                        _ => break,
                    };
                    let length = i32::try_from(body.len() + 4).unwrap();
                    let answer = [&length.to_be_bytes()[..], &asked.correlation, &body].concat();
                    if socket.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, shown)
}

const METADATA: i16 = 3;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;

/// What such a broker speaks; of the newer versions of the request, the answer is written more shortly.
fn versions(version: i16) -> Vec<u8> {
    let spoken = [(METADATA, 0, 4), (SASL_HANDSHAKE, 0, 1), (API_VERSIONS, 0, 3), (SASL_AUTHENTICATE, 0, 1)];
    let is_short = version >= 3;
    let mut out = if is_short { vec![0, 0, 5] } else { vec![0, 0, 0, 0, 0, 4] };
    for (key, from, to) in spoken {
        out.extend([key, from, to].iter().flat_map(|it: &i16| it.to_be_bytes()));
        out.extend(is_short.then_some(0));
    }
    if version > 0 {
        out.extend([0; 4]);
    }
    out.extend(is_short.then_some(0));
    out
}

#[tokio::test]
async fn a_broker_is_shown_a_name_and_a_password_and_nothing_else() {
    let (address, shown) = guarded_broker().await;
    let text = format!(
        "asyncapi: 3.0.0\nservers: {{main: {{host: '{address}', protocol: kafka, security: [{{type: plain}}]}}}}\nchannels: {{orders: {{address: orders}}}}\n"
    );
    let document = document(text).await;
    let publish = async |policy: Value| {
        call("k", json!({ "document": document, "channel": "orders", "message": { "payload": 1 }, "authentication": policy })).await
    };
    let refused = publish(json!({ "basic": { "username": "me", "password": "hunter2" } })).await;
    assert!(!format!("{refused:?}").contains("hunter2"));
    assert_eq!(kind(refused), ("authentication".to_owned(), 401, false));
    assert_eq!(shown.lock().unwrap()[0], "|me|hunter2");
    let token = publish(json!({ "bearer": { "token": "hunter2" } })).await;
    assert_eq!(kind(token), ("configuration".to_owned(), 400, false));
}
