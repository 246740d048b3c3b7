//! What holds wherever a fleet runs: with a processor on Apache Kafka and a CQL server, and with `millrace dev`.

use millrace_schemas::cloud_event::{complete_event, signal_event};
use millrace_schemas::codec::Codec;
use millrace_schemas::definition::Definition;
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{EventId, ExecutionId, InstanceId, TaskToken, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{
    dead_letters_are_looked_at_and_produced_again, definitions_are_deployed_and_drawn,
    many_are_stepped_in_with_at_once, what_happens_is_told_as_it_happens,
    what_the_command_line_can_the_api_can,
};
use crate::asking::{a_command_may_wait_for_its_outcome, instances_are_asked_and_found};
use crate::support::{Answer, Fleet, Place};

/// Makes each of these stories a test for either place.
macro_rules! in_both_places {
    ($($story:ident),+ $(,)?) => {
        mod on_servers {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Apache Kafka and a CQL server"]
            async fn $story() {
                super::$story(super::Place::Servers).await;
            })+
        }
        mod on_dev {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                super::$story(super::Place::Dev).await;
            })+
        }
    };
}

in_both_places!(
    an_event_becomes_an_instance_that_runs_to_its_end,
    exit_codes_tell_how_an_instance_ended,
    a_deployed_version_never_changes,
    bad_input_never_stops_a_partition,
    events_find_who_listens,
    a_command_may_wait_for_its_outcome,
    instances_are_asked_and_found,
    records_of_a_users_topic_are_heard_once,
    what_the_command_line_can_the_api_can,
    many_are_stepped_in_with_at_once,
    definitions_are_deployed_and_drawn,
    dead_letters_are_looked_at_and_produced_again,
    what_happens_is_told_as_it_happens,
);

pub(crate) const HELLO: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: hello
  version: '1.0.0'
do:
  - greet:
      call: greet
      with:
        name: ${ .name }
";

pub(crate) const APPROVAL: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: approval
  version: '1.0.0'
do:
  - decide:
      listen:
        to:
          one:
            with:
              type: demo.approved
";

/// Known by its number, too.
const ORDER: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: order
  version: '1.0.0'
  metadata: { millrace: { businessKey: .number } }
do:
  - paid:
      listen:
        to:
          one:
            with: { type: demo.paid, data: '${ .cents >= $input.cents }' }
            correlate:
              order: { from: .data.number, expect: '${ .number }' }
  - shipped: { listen: { to: { one: { with: { type: demo.shipped } } } } }
";

/// Started by events: by one of one type, or by two that belong together.
const CLAIM: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: claim
  version: '1.0.0'
schedule:
  on:
    all:
      - { with: { type: demo.claim.filed }, correlate: { claim: { from: .data.claim } } }
      - { with: { type: demo.claim.checked }, correlate: { claim: { from: .data.claim } } }
do:
  - keep: { set: { ids: '${ [$workflow.input[].data.claim] }' } }
";

fn event_id(id: &str) -> EventId {
    EventId { source: "/test".to_owned(), id: id.to_owned() }
}

fn instance(id: &str) -> InstanceId {
    InstanceId::new(id).unwrap()
}

pub(crate) fn greeting(task: &TaskCommand) -> Answer {
    let name = task.arguments.value()["name"].as_str().unwrap().to_owned();
    Answer::Completed(json!({ "greeting": format!("Hello, {name}!") }))
}

async fn an_event_becomes_an_instance_that_runs_to_its_end(place: Place) {
    let mut fleet = Fleet::new(place, 4, &[HELLO, APPROVAL]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(greeting);

    let start =
        ["start", "demo/hello", "--id", "h-1", "--input", r#"{"name": "Ada"}"#, "--wait", "--timeout", "60s"];
    let output = fleet.spawn(&start).wait().await.succeeds();
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap(), json!({ "greeting": "Hello, Ada!" }));

    // An event for a `listen`.
    fleet.run(&["start", "demo/approval/1.0.0", "--id", "a-1"]).succeeds();
    fleet.until_status("a-1", "running").await;
    assert_eq!(fleet.instance("a-1").await["open_tasks"][0]["state"], "listening");
    fleet.run(&["signal", "a-1", "--type", "demo.approved", "--data", r#"{"by": "Grace"}"#]).succeeds();
    fleet.until_status("a-1", "completed").await;
    assert_eq!(fleet.instance("a-1").await["output"], json!([{ "by": "Grace" }]));

    let seen = fleet.json(&["get", "h-1"]);
    assert_eq!((&seen["status"], &seen["output"]["greeting"]), (&json!("completed"), &json!("Hello, Ada!")));
    fleet
        .until("h-1 is listed", async || {
            let list = fleet.json(&["list", "demo/hello", "--status", "completed"]);
            list["instances"].as_array().unwrap().iter().any(|it| it["id"] == "h-1")
        })
        .await;
    let history = fleet.json(&["history", "h-1"]);
    let types: Vec<_> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|it| it["events"].as_array().unwrap())
        .collect();
    assert_eq!(types.first().unwrap()["type"], "instance_started", "{history:#}");
    assert_eq!(types.last().unwrap()["type"], "instance_completed", "{history:#}");
    let (status, partitions) = fleet.get("/v1/partitions").await;
    assert_eq!(status, 200);
    let partitions: Value = serde_json::from_str(&partitions).unwrap();
    assert_eq!(partitions["partitions"].as_array().unwrap().len(), 4, "{partitions}");
    assert_eq!(fleet.get("/livez").await.0, 200);
    let doctor = fleet.json(&["doctor"]);
    assert_eq!(doctor["state"], "ok", "{doctor:#}");

    fleet.run(&["get", "nobody"]).ends_with(7);

    assert_eq!(fleet.stop_processor(), Some(0));
    match place {
        // Without its owner, the store answers, and says how old that may be.
        Place::Servers => {
            let seen = fleet.json(&["get", "h-1"]);
            assert_eq!(
                (&seen["status"], &seen["read_from"]),
                (&json!("completed"), &json!("store")),
                "{seen:#}"
            );
            assert!(seen["complete_until"].is_string(), "{seen:#}");
            fleet.run(&["get", "nobody"]).ends_with(7);
        }
        // The store has gone with it.
        Place::Dev => assert!(fleet.run(&["get", "h-1"]).ends_with(1).is_empty()),
    }

    // A new member goes on where the old one stopped.
    fleet.start_processor(&[]).await;
    let start = [
        "start",
        "demo/hello",
        "--id",
        "h-2",
        "--input",
        r#"{"name": "Alan"}"#,
        "--wait",
        "--timeout",
        "60s",
    ];
    fleet.spawn(&start).wait().await.succeeds();
    assert_eq!(fleet.json(&["get", "h-1"])["status"], "completed");
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}

async fn events_find_who_listens(place: Place) {
    let mut fleet = Fleet::new(place, 4, &[ORDER, CLAIM]).await;
    fleet.start_processor(&[]).await;

    // Before anybody listens, and twice.
    let paid = |number: &str, cents: u32| format!(r#"{{"number": "{number}", "cents": {cents}}}"#);
    for _ in 0..2 {
        let data = paid("n-1", 500);
        fleet.run(&["publish", "demo.paid", "--data", &data, "--event-id", "p-1"]).succeeds();
    }
    fleet
        .until_metric(r#"millrace_commands_rejected_total{command="publish",reason="duplicate"}"#, 1.0)
        .await;
    for number in ["n-1", "n-2"] {
        let id = format!("order-{number}");
        fleet.run(&["start", "demo/order", "--id", &id, "--input", &paid(number, 500)]).succeeds();
    }
    let waits_at = async |id: &str, task: &str| {
        let what = format!("{id} waits at {task}");
        let is_there = async || fleet.instance(id).await["open_tasks"][0]["task"] == task;
        fleet.until(&what, is_there).await;
    };
    waits_at("order-n-1", "/do/1/shipped").await;
    waits_at("order-n-2", "/do/0/paid").await;

    // While somebody listens: what is too little is not taken.
    fleet.run(&["publish", "demo.paid", "--data", &paid("n-2", 5)]).succeeds();
    fleet.run(&["publish", "demo.paid", "--data", &paid("n-2", 700)]).succeeds();
    waits_at("order-n-2", "/do/1/shipped").await;

    // To the one that is known by a number; and to everybody.
    let by_key =
        ["publish", "demo.shipped", "--workflow", "demo/order", "--business-key", "n-2", "--data", "1"];
    fleet.run(&by_key).succeeds();
    fleet.until_status("order-n-2", "completed").await;
    assert_eq!(fleet.instance("order-n-2").await["output"], json!([1]));
    assert_eq!(fleet.instance("order-n-1").await["status"], "running");
    fleet.run(&["publish", "demo.shipped", "--data", "2"]).succeeds();
    fleet.until_status("order-n-1", "completed").await;

    // Events that start an instance.
    for (event, claim) in [("checked", 7), ("filed", 8), ("filed", 7)] {
        let data = format!(r#"{{"claim": {claim}}}"#);
        fleet.run(&["publish", &format!("demo.claim.{event}"), "--data", &data]).succeeds();
    }
    fleet
        .until("a claim is listed", async || {
            let list = fleet.json(&["list", "demo/claim", "--status", "completed"]);
            list["instances"].as_array().unwrap().len() == 1
        })
        .await;
    let id = fleet.json(&["list", "demo/claim"])["instances"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(fleet.instance(&id).await["output"], json!({ "ids": [7, 7] }));

    // What nobody listens for can be looked at, and sent again.
    fleet.run(&["publish", "demo.piad", "--data", "{}"]).succeeds();
    fleet
        .until("there is a dead letter", async || {
            let letters = fleet.json(&["dead-letters", "list"]);
            letters["dead_letters"].as_array().unwrap().iter().any(|it| it["reason"] == "nobody-listens")
        })
        .await;
    let refused = fleet.run(&["publish", "io.millrace.x"]).ends_with(2);
    assert!(refused.is_empty(), "{refused}");
    assert_eq!(fleet.stop_processor(), Some(0));
}

async fn exit_codes_tell_how_an_instance_ended(place: Place) {
    let mut fleet = Fleet::new(place, 2, &[HELLO, APPROVAL]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(|_| Answer::FailedForGood("the last one went an hour ago".to_owned()));

    let faulted =
        ["start", "demo/hello", "--id", "f-1", "--input", r#"{"name": "Ada"}"#, "--wait", "--timeout", "60s"];
    let text = fleet.spawn(&faulted).wait().await.ends_with(3);
    assert!(text.contains("the last one went an hour ago"), "{text}");

    let cancelled = fleet.spawn(&["start", "demo/approval", "--id", "c-1", "--wait", "--timeout", "60s"]);
    fleet.until_status("c-1", "running").await;
    fleet.run(&["suspend", "c-1", "--reason", "stock-taking"]).succeeds();
    fleet.until_status("c-1", "suspended").await;
    fleet.run(&["resume", "c-1"]).succeeds();
    fleet.until_status("c-1", "running").await;
    fleet.run(&["cancel", "c-1", "--reason", "changed my mind"]).succeeds();
    assert!(cancelled.wait().await.ends_with(4).contains("changed my mind"));

    let again =
        fleet.spawn(&["start", "demo/approval", "--id", "c-1", "--wait", "--timeout", "60s"]).wait().await;
    assert!(again.ends_with(5).contains("already_exists"));
    let unknown = fleet.spawn(&["start", "demo/nothing", "--wait", "--timeout", "60s"]).wait().await;
    assert!(unknown.ends_with(5).contains("unknown_workflow"));
    let slow =
        fleet.spawn(&["start", "demo/approval", "--id", "t-1", "--wait", "--timeout", "2s"]).wait().await;
    slow.ends_with(6);
    assert!(slow.stderr().contains("millrace get t-1"), "{}", slow.stderr());
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}

async fn a_deployed_version_never_changes(place: Place) {
    let fleet = Fleet::new(place, 1, &[HELLO]).await;
    let same = fleet.file("same.yaml", &format!("# a comment changes nothing\n{HELLO}"));
    assert_eq!(fleet.json(&["deploy", &same])["deployed"][0]["outcome"], "unchanged");
    let other = fleet.file("other.yaml", &HELLO.replace("call: greet", "call: wave"));
    let refused = fleet.run(&["deploy", &other]);
    refused.ends_with(2);
    assert!(refused.stderr().contains("raise document.version"), "{}", refused.stderr());
}

/// Each kind of bad input has its outcome and its metric, and the partition goes on.
async fn bad_input_never_stops_a_partition(place: Place) {
    // One partition: whatever stopped it would stop the good instance at the end as well.
    let mut fleet = Fleet::new(place, 1, &[HELLO, APPROVAL]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(|task| match task.arguments.value()["name"].as_str() {
        Some("Twice") => Answer::CompletedTwice(json!({})),
        _ => greeting(task),
    });

    // A record that cannot be read.
    fleet.kafka.produce("events", b"rubbish", &[], b"\xff\xfe not JSON").await;
    fleet.until_metric(r#"millrace_dead_letters_total{reason="not-a-cloudevent"}"#, 1.0).await;

    // A workflow that nobody has deployed.
    fleet.run(&["start", "demo/nothing", "--id", "u-1"]).succeeds();
    fleet.until_metric(r#"millrace_dead_letters_total{reason="unknown-workflow"}"#, 1.0).await;
    let letters = fleet.json(&["dead-letters", "list"]);
    let reasons: Vec<_> =
        letters["dead_letters"].as_array().unwrap().iter().map(|it| (&it["reason"], &it["key"])).collect();
    assert_eq!(
        reasons,
        [(&json!("not-a-cloudevent"), &json!("rubbish")), (&json!("unknown-workflow"), &json!("u-1"))]
    );

    // A definition that is none, put into the topic past `deploy`.
    let definition = Definition {
        namespace: "demo".into(),
        name: "broken".into(),
        version: "1.0.0".into(),
        media_type: "application/yaml".to_owned(),
        text: "do: nothing".to_owned(),
        digest: "sha256:00".to_owned(),
        deployed_at: Timestamp(0),
    };
    let bytes = Codec::single_object().encode_definition(&definition);
    fleet.kafka.produce("definitions", b"demo/broken/1.0.0", &[], &bytes).await;
    fleet.until_metric("millrace_definitions_rejected_total", 1.0).await;

    // A second start of an id.
    fleet.run(&["start", "demo/hello", "--id", "h-1", "--input", r#"{"name": "Ada"}"#]).succeeds();
    fleet.until_status("h-1", "completed").await;
    fleet.run(&["start", "demo/hello", "--id", "h-1", "--input", r#"{"name": "Ada"}"#]).succeeds();
    rejected(&fleet, "h-1", "start", "already_exists").await;

    // An event for an instance that has ended.
    fleet.kafka.produce_event(&signal_event(event_id("late"), &instance("h-1"), "demo.approved", None)).await;
    let event = rejected(&fleet, "h-1", "deliver_signal", "invalid_state").await;
    assert_eq!(event["data"]["cause"], json!({ "source": "/test", "id": "late" }));

    // An event for an instance that never was.
    fleet.run(&["cancel", "nobody"]).succeeds();
    rejected(&fleet, "nobody", "cancel", "not_found").await;

    // A worker that answers twice, and one that answers much too late.
    fleet.run(&["start", "demo/hello", "--id", "w-1", "--input", r#"{"name": "Twice"}"#]).succeeds();
    fleet.until_status("w-1", "completed").await;
    rejected(&fleet, "w-1", "complete_task", "invalid_state").await;
    let token = TaskToken { execution: ExecutionId(1), dispatch: 1 };
    fleet.kafka.produce_event(&complete_event(event_id("later"), &instance("w-1"), token, json!(1))).await;
    fleet
        .until_metric(
            r#"millrace_commands_rejected_total{command="complete_task",reason="invalid_state"}"#,
            2.0,
        )
        .await;

    // After all of that, a good instance on the same partition.
    let start = [
        "start",
        "demo/hello",
        "--id",
        "good",
        "--input",
        r#"{"name": "Ada"}"#,
        "--wait",
        "--timeout",
        "60s",
    ];
    fleet.spawn(&start).wait().await.succeeds();
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// Waits for the rejection and its metric.
async fn rejected(fleet: &Fleet, id: &str, command: &str, reason: &str) -> Value {
    let event = fleet.kafka.find_event("lifecycle", |it| {
        it["type"] == "io.millrace.command.rejected"
            && it["subject"] == id
            && it["data"]["command"] == command
            && it["data"]["reason"] == reason
    });
    let event = event.await;
    assert!(event["data"]["detail"].as_str().is_some_and(|it| !it.is_empty()), "{event}");
    let series = format!(r#"millrace_commands_rejected_total{{command="{command}",reason="{reason}"}}"#);
    assert!(fleet.metric(&series).await >= 1.0, "{series}");
    event
}

/// Counts what the records of a topic say of its shop.
fn tally(topic: &str) -> String {
    format!(
        "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: tally
  version: '1.0.0'
  metadata:
    millrace:
      events:
        - {{ topic: {topic}, decoding: json, type: order.placed }}
do:
  - count:
      listen:
        to:
          any:
            - with:
                type: order.placed
              correlate:
                shop:
                  from: .data.shop
                  expect: ${{ .shop }}
          until: '.[-1].last'
      output:
        as: 'map(.n)'
"
    )
}

async fn records_of_a_users_topic_are_heard_once(place: Place) {
    let topic = format!("orders-{}", Uuid::new_v4().simple());
    // The topic is not there yet.
    let mut fleet = Fleet::new(place, 4, &[&tally(&topic)]).await;
    fleet.start_processor(&[]).await;
    fleet.run(&["start", "demo/tally", "--id", "t-1", "--input", r#"{"shop": "s"}"#]).succeeds();
    fleet.until_status("t-1", "running").await;
    fleet.kafka.create(&topic, 3).await;

    let orders = async |fleet: &Fleet, numbers: std::ops::RangeInclusive<u32>| {
        for n in numbers {
            let order = json!({ "shop": "s", "n": n, "last": n == 30 }).to_string();
            fleet.kafka.produce_to(&topic, b"s", &[], order.as_bytes()).await;
        }
    };
    orders(&fleet, 1..=10).await;
    // Not for anybody, and not readable.
    fleet.kafka.produce_to(&topic, b"s", &[], b"{}").await;
    fleet.kafka.produce_to(&topic, b"s", &[], b"nonsense").await;
    fleet.until_metric("millrace_records_passed_over_total", 1.0).await;
    fleet.until_metric("millrace_dead_letters_total{reason=\"unreadable-data\"}", 1.0).await;

    // Some of these are read, some are decided, some are neither.
    orders(&fleet, 11..=20).await;
    fleet.kill_processor();
    fleet.start_processor(&[]).await;
    orders(&fleet, 21..=30).await;
    fleet.until_status("t-1", "completed").await;
    assert_eq!(fleet.instance("t-1").await["output"], json!((1..=30).collect::<Vec<u32>>()));
    assert_eq!(fleet.json(&["dead-letters", "list"])["dead_letters"].as_array().unwrap().len(), 1);

    // What a processor writes itself is no source, but for what workflows emit.
    let own = tally("millrace.changelog").replace("name: tally", "name: own");
    let own = own.replace("millrace.changelog", &format!("{}.changelog", fleet.prefix()));
    let file = fleet.file("own.yaml", &own);
    let refused = fleet.run(&["deploy", &file]);
    refused.ends_with(2);
    assert!(refused.stderr().contains("is a topic of the fleet's own"), "{}", refused.stderr());
    assert_eq!(fleet.stop_processor(), Some(0));
}
