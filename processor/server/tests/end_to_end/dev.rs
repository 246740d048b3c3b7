//! `millrace dev`: what it keeps, what it refuses, and what it does besides.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::stories::APPROVAL;
use crate::support::{Fleet, Place, Ran, launch, millrace};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../topology/examples");

const TIMER: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: timer
  version: '1.0.0'
do:
  - pause:
      wait:
        seconds: 4
  - done:
      set:
        paused: true
";

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_the_same_folder_goes_on() {
    let mut fleet = Fleet::new(Place::Dev, 4, &[TIMER]).await;
    fleet.run(&["deploy", &format!("{EXAMPLES}/approval.yaml")]).succeeds();
    fleet.run(&["start", "examples/approval", "--id", "a-1", "--input", "{}"]).succeeds();
    fleet.run(&["start", "demo/timer", "--id", "t-1"]).succeeds();
    fleet.run(&["start", "demo/nothing", "--id", "u-1"]).succeeds();
    fleet.until_status("a-1", "running").await;
    fleet.until_status("t-1", "running").await;
    let letters = async || fleet.json(&["dead-letters", "list"])["dead_letters"].as_array().unwrap().len();
    fleet.until("the dead letter is there", async || letters().await == 1).await;
    // Its due time may come while nobody is there.
    assert_eq!(fleet.stop_processor(), Some(0));
    assert!(fleet.log().contains("the next start goes on with"), "{}", fleet.log());

    fleet.start_processor(&[]).await;
    let waiting = fleet.instance("a-1").await;
    let mut open = waiting["open_tasks"].as_array().unwrap().iter();
    assert!(open.any(|it| it["state"] == "listening"), "{waiting:#}");
    fleet.until_status("t-1", "completed").await;
    assert_eq!(fleet.instance("t-1").await["output"], json!({ "paused": true }));
    assert_eq!(fleet.json(&["dead-letters", "list"])["dead_letters"][0]["key"], "u-1");
    let decided = [
        "signal",
        "a-1",
        "--type",
        "com.example.approval.decided",
        "--data",
        r#"{"approved": true, "by": "Ada"}"#,
    ];
    fleet.run(&decided).succeeds();
    fleet.until_status("a-1", "completed").await;
    assert_eq!(fleet.instance("a-1").await["output"], json!({ "status": "granted", "by": "Ada" }));
    // What came before the restart and what came after it are one history.
    let history = fleet.json(&["history", "t-1"]);
    let events: Vec<_> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|it| it["events"].as_array().unwrap())
        .collect();
    assert_eq!(events.first().unwrap()["type"], "instance_started", "{history:#}");
    assert_eq!(events.last().unwrap()["type"], "instance_completed", "{history:#}");
    assert_eq!(fleet.json(&["doctor"])["state"], "ok");
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// Starts another `millrace dev`, which is expected to end at once.
fn another(arguments: &[&str]) -> Ran {
    let usual = ["dev", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    Ran::of(millrace(&[&usual, arguments].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_on_one_folder_are_refused_and_so_is_a_taken_port() {
    let mut fleet = Fleet::new(Place::Dev, 1, &[]).await;
    let refused = |ran: &Ran, reasons: &[&str]| {
        assert!(ran.ends_with(1).is_empty());
        for reason in reasons {
            assert!(ran.stderr().contains(reason), "{reason} in {}", ran.stderr());
        }
    };
    let second = another(&["--data", &fleet.data()]);
    refused(&second, &["belongs to a broker that is running", "to do: use the one that runs"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let other = tempfile::tempdir().unwrap();
    let arguments = ["dev", "--data", other.path().to_str().unwrap()];
    let kafka = ["--kafka", &address, "--http", "127.0.0.1:0"];
    let kafka = Ran::of(millrace(&[&arguments[..], &kafka].concat()));
    refused(&kafka, &[&address, "is another broker running there?", "give another address with --kafka"]);
    let http = ["--kafka", "127.0.0.1:0", "--http", &address];
    let http = Ran::of(millrace(&[&arguments[..], &http].concat()));
    refused(&http, &[&address, "give another address with --http"]);

    assert_eq!(fleet.get("/readyz").await, (200, "ready\n".to_owned()), "the first one serves");
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// Ready is not what has yet to hear which partitions it has.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_that_it_serves_goes_on_to_say_so() {
    let mut fleet = Fleet::new(Place::Dev, 8, &[]).await;
    for _ in 0..100 {
        assert_eq!(fleet.get("/readyz").await, (200, "ready\n".to_owned()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// A definition that waits for an event and then says this.
fn says(word: &str) -> String {
    format!(
        "{}  - say:\n      set:\n        said: {word}\n",
        APPROVAL.replace("name: approval", "name: watched")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_is_deployed_anew_and_a_refused_text_leaves_the_old_one() {
    let mut fleet = Fleet::new(Place::Dev, 1, &[]).await;
    let file = fleet.file("watched.yaml", &says("one"));
    assert_eq!(fleet.stop_processor(), Some(0));
    fleet.start_processor(&["--watch", &file]).await;
    fleet.until_said("demo/watched/1.0.0 deployed").await;
    // Which version an instance runs is decided when it starts.
    let start = async |id: &str| {
        fleet.run(&["start", "demo/watched", "--id", id]).succeeds();
        fleet.until_status(id, "running").await;
    };
    start("i-1").await;

    fleet.file("watched.yaml", &says("two"));
    fleet.until_said("demo/watched/1.0.0+dev.1 deployed").await;
    start("i-2").await;
    fleet.file("watched.yaml", &says("${ . | }"));
    fleet.until_said("watched.yaml: refused, so what is deployed stays as it is").await;
    start("i-3").await;
    // Mended, it has the number that the refused one would have had.
    fleet.file("watched.yaml", &says("three"));
    fleet.until_said("demo/watched/1.0.0+dev.2 deployed").await;
    start("i-4").await;

    for (id, said) in [("i-1", "one"), ("i-2", "two"), ("i-3", "two"), ("i-4", "three")] {
        fleet.run(&["signal", id, "--type", "demo.approved"]).succeeds();
        fleet.until_status(id, "completed").await;
        assert_eq!(fleet.instance(id).await["output"], json!({ "said": said }), "{id}");
    }
    assert_eq!(fleet.stop_processor(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_orders_of_the_demo_end() {
    let mut fleet = Fleet::new(Place::Dev, 2, &[]).await;
    assert_eq!(fleet.stop_processor(), Some(0));
    fleet.start_processor(&["--demo", "--orders", "4"]).await;
    fleet.until_said("All orders have ended").await;
    // The fourth has a card without cover.
    assert!(fleet.log().contains("chargePayment failed: card declined"), "{}", fleet.log());
    let of_status = async |status: &str| {
        let list = fleet.json(&["list", "shop/order", "--status", status]);
        list["instances"].as_array().unwrap().len()
    };
    fleet.until("all four are listed", async || of_status("completed").await == 4).await;
    assert_eq!(fleet.json(&["dead-letters", "list"])["dead_letters"], json!([]));
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// A shop that describes itself, and answers who has the key.
async fn shop() -> String {
    use axum::Json;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{get, post};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let document = json!({
        "openapi": "3.1.0",
        "paths": { "/orders/{id}": { "post": {
            "operationId": "placeOrder",
            "parameters": [{ "name": "id", "in": "path", "required": true }],
            "requestBody": { "content": { "application/json": {} } },
        } } },
    });
    let place = async |headers: HeaderMap, Json(order): Json<Value>| {
        let is_known = headers.get("authorization").is_some_and(|it| it == "Bearer hunter2");
        if is_known { (StatusCode::OK, Json(order)) } else { (StatusCode::UNAUTHORIZED, Json(Value::Null)) }
    };
    let router = axum::Router::new()
        .route("/openapi.json", get(async || Json(document)))
        .route("/orders/{id}", post(place));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_called_with_a_secret_that_no_record_has() {
    let shop = shop().await;
    let definition = format!(
        "document: {{dsl: '1.0.3', namespace: demo, name: shop, version: '1.0.0'}}
use:
  secrets: [shop-key]
  authentications: {{shop: {{bearer: {{use: shop-key}}}}}}
do:
  - place:
      call: openapi
      with:
        document: {{endpoint: 'http://{shop}/openapi.json'}}
        operationId: placeOrder
        parameters: {{id: '${{ .id }}', items: '${{ .items }}'}}
        authentication: {{use: shop}}
        output: response
"
    );
    let mut fleet = Fleet::new(Place::Dev, 1, &[&definition]).await;
    assert_eq!(fleet.stop_processor(), Some(0));
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("shop-key"), "hunter2\n").unwrap();
    fleet.start_processor(&["--secrets", secrets.path().to_str().unwrap()]).await;
    let start = ["start", "demo/shop", "--id", "s-1", "--input", r#"{"id": "a/b", "items": [1, 2]}"#];
    fleet.run(&start).succeeds();
    fleet.until_status("s-1", "completed").await;
    let output = fleet.instance("s-1").await["output"].clone();
    assert_eq!(output["content"], json!({ "items": [1, 2] }), "{output:#}");
    assert_eq!(output["request"]["uri"], format!("http://{shop}/orders/a%2Fb"));
    let history = fleet.json(&["history", "s-1"]).to_string();
    assert!(history.contains("shop-key") && !history.contains("hunter2"), "{history}");
    assert!(!fleet.log().contains("hunter2"));

    // Without the secret, the call says which one it misses.
    std::fs::remove_file(secrets.path().join("shop-key")).unwrap();
    assert_eq!(fleet.stop_processor(), Some(0));
    fleet.start_processor(&["--secrets", secrets.path().to_str().unwrap()]).await;
    fleet.run(&["start", "demo/shop", "--id", "s-2", "--input", r#"{"id": 1, "items": []}"#]).succeeds();
    fleet.until_status("s-2", "faulted").await;
    let instance = fleet.instance("s-2").await.to_string();
    assert!(instance.contains("errors/configuration") && instance.contains("`shop-key`"), "{instance}");
    assert_eq!(fleet.stop_processor(), Some(0));
}

#[test]
fn secrets_that_are_in_no_folder_are_refused_before_anything_starts() {
    let ran = another(&["--ephemeral", "--secrets", "/nowhere/at/all"]);
    assert!(ran.stderr().contains("there is no such folder"), "{}", ran.stderr());
}

#[test]
fn what_is_ephemeral_is_gone_at_the_end() {
    let usual = ["--output", "json", "dev", "--ephemeral", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    let (dev, document) = launch(millrace(&usual), &log);
    assert_eq!(document["partitions"], 4);
    let folder = std::path::PathBuf::from(document["data"].as_str().unwrap());
    assert!(folder.is_dir());
    let code = dev.stop();
    let said = std::fs::read_to_string(log).unwrap();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped; nothing is kept"), "{said}");
    assert!(!folder.exists());
}
