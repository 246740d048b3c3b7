//! Messages through a real broker, one of `millrace-dev-broker`, or the Apache Kafka that `KAFKA_BOOTSTRAP` names, and a real server.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, put};
use millrace_dev_broker::testing::bootstrap;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{AsyncApi, AsyncApiSettings};
use crate::builtin::{Resources, Targets};
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

fn settings(targets: Targets) -> AsyncApiSettings {
    AsyncApiSettings {
        targets,
        bytes_max: 10_000,
        timeout: Duration::from_secs(60),
        own_topics: "millrace.".to_owned(),
    }
}

const LOCAL: Targets = Targets::PUBLIC.and_loopback().and_private();

async fn call_to(targets: Targets, key: &str, arguments: Value) -> Result<Value, TaskFailure> {
    let resources = Resources::new(LOCAL, 10_000).unwrap();
    let mut command = command("asyncapi", arguments);
    command.idempotency_key = key.to_owned();
    AsyncApi::new(settings(targets), &resources).unwrap().handle(Task::detached(command)).await
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
