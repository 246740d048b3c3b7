//! From a produced Kafka event to the end of a workflow, on real Kafka and a real CQL store, through the binary alone.
//! Needs KAFKA_BOOTSTRAP and CQL_CONTACT_POINT.

#![cfg(feature = "real-servers")]
#![allow(clippy::unwrap_used)]

mod support;

use millrace_placement::{PartitionIndex, home, key_group};
use millrace_schemas::cloud_event::{complete_event, signal_event};
use millrace_schemas::codec::Codec;
use millrace_schemas::definition::Definition;
use millrace_schemas::{EventId, ExecutionId, InstanceId, TaskToken, Timestamp};
use serde_json::{Value, json};
use support::{Answer, Fleet};

const HELLO: &str = "\
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

const APPROVAL: &str = "\
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

fn event_id(id: &str) -> EventId {
    EventId { source: "/test".to_owned(), id: id.to_owned() }
}

fn instance(id: &str) -> InstanceId {
    InstanceId::new(id).unwrap()
}

fn greeting(task: &millrace_schemas::task::TaskCommand) -> Answer {
    let name = task.arguments.value()["name"].as_str().unwrap().to_owned();
    Answer::Completed(json!({ "greeting": format!("Hello, {name}!") }))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_becomes_an_instance_that_runs_to_its_end() {
    let mut fleet = Fleet::new(4, &[HELLO, APPROVAL]).await;
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

    // Without its owner, the store answers, and says how old that may be.
    assert_eq!(fleet.stop_processor(), Some(0));
    let seen = fleet.json(&["get", "h-1"]);
    assert_eq!((&seen["status"], &seen["read_from"]), (&json!("completed"), &json!("store")), "{seen:#}");
    assert!(seen["complete_until"].is_string(), "{seen:#}");
    fleet.run(&["get", "nobody"]).ends_with(7);

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

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_how_an_instance_ended() {
    let mut fleet = Fleet::new(2, &[HELLO, APPROVAL]).await;
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
    assert!(unknown.ends_with(5).contains("unknown-workflow"));
    let slow =
        fleet.spawn(&["start", "demo/approval", "--id", "t-1", "--wait", "--timeout", "2s"]).wait().await;
    slow.ends_with(6);
    assert!(slow.stderr().contains("millrace get t-1"), "{}", slow.stderr());
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployed_version_never_changes() {
    let fleet = Fleet::new(1, &[HELLO]).await;
    let same = fleet.file("same.yaml", &format!("# a comment changes nothing\n{HELLO}"));
    assert_eq!(fleet.json(&["deploy", &same])["deployed"][0]["outcome"], "unchanged");
    let other = fleet.file("other.yaml", &HELLO.replace("call: greet", "call: wave"));
    let refused = fleet.run(&["deploy", &other]);
    refused.ends_with(2);
    assert!(refused.stderr().contains("raise document.version"), "{}", refused.stderr());
}

/// Every record that Millrace writes carries the registry's schema id then.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_with_a_schema_registry_works_the_same() {
    let mut fleet = Fleet::with_registry(2, &[HELLO]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(greeting);
    let start =
        ["start", "demo/hello", "--id", "h-1", "--input", r#"{"name": "Ada"}"#, "--wait", "--timeout", "60s"];
    fleet.spawn(&start).wait().await.succeeds();
    assert_eq!(fleet.json(&["get", "h-1"])["output"]["greeting"], "Hello, Ada!");
    let history = fleet.json(&["history", "h-1"]);
    assert_eq!(history["entries"][0]["events"][0]["type"], "instance_started", "{history:#}");
    let doctor = fleet.json(&["doctor"]);
    assert_eq!(doctor["state"], "ok", "{doctor:#}");
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// Each kind of bad input has its outcome and its metric, and the partition goes on.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_never_stops_a_partition() {
    // One partition: whatever stopped it would stop the good instance at the end as well.
    let mut fleet = Fleet::new(1, &[HELLO, APPROVAL]).await;
    fleet.start_processor(&["--record-bytes-max", "20000"]).await;
    let worker = fleet.kafka.work(|task| match task.arguments.value()["name"].as_str() {
        Some("Large") if task.token.dispatch == 1 => Answer::Completed("x".repeat(50_000).into()),
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

    // An answer that is too large: the instance stands still until an operator lets it go on.
    fleet.run(&["start", "demo/hello", "--id", "l-1", "--input", r#"{"name": "Large"}"#]).succeeds();
    fleet.until_status("l-1", "incident").await;
    assert_eq!(fleet.instance("l-1").await["incident"]["kind"], "payload-too-large");
    fleet.until_metric(r#"millrace_incidents_total{kind="payload-too-large"}"#, 1.0).await;
    fleet.run(&["resume", "l-1"]).succeeds();
    fleet.until_status("l-1", "completed").await;

    // Data that fits, of which a workflow makes more than fits: here the input and the arguments of the first call.
    let input = fleet.file("large.json", &json!({ "name": "x".repeat(15_000) }).to_string());
    fleet.run(&["start", "demo/hello", "--id", "l-2", "--input", &format!("@{input}")]).succeeds();
    fleet.until_status("l-2", "incident").await;
    fleet.until_metric(r#"millrace_incidents_total{kind="payload-too-large"}"#, 2.0).await;
    fleet.run(&["cancel", "l-2"]).succeeds();
    fleet.until_status("l-2", "cancelled").await;

    // Data that does not fit by itself, so that no instance could even keep it for later: it stays what the sender sent.
    let data = fleet.file("larger.json", &json!("x".repeat(50_000)).to_string());
    fleet.run(&["start", "demo/approval", "--id", "l-3"]).succeeds();
    fleet.run(&["signal", "l-3", "--type", "demo.approved", "--data", &format!("@{data}")]).succeeds();
    fleet.run(&["start", "demo/hello", "--id", "l-4", "--input", &format!("@{data}")]).succeeds();
    fleet.until_metric(r#"millrace_dead_letters_total{reason="invalid-argument"}"#, 2.0).await;
    assert_eq!(fleet.instance("l-3").await["status"], "running");
    assert_eq!(fleet.instance("l-4").await["error"]["code"], "not_found");

    // A second start of an id.
    fleet.run(&["start", "demo/hello", "--id", "l-1", "--input", r#"{"name": "Ada"}"#]).succeeds();
    rejected(&fleet, "l-1", "start", "already_exists").await;

    // An event for an instance that has ended.
    fleet.kafka.produce_event(&signal_event(event_id("late"), &instance("l-1"), "demo.approved", None)).await;
    let event = rejected(&fleet, "l-1", "deliver_signal", "invalid_state").await;
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

/// The topic is deleted under a stopped fleet: a partition stands still until an operator accepts the loss, its neighbour serves.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_changelog_stops_its_partition_until_an_era_is_opened() {
    let at_home = |index| {
        let ids = (0..).map(|n| format!("a-{n}"));
        ids.into_iter().find(|id| home(key_group(id.as_bytes()), 2) == PartitionIndex(index)).unwrap()
    };
    let (here, there) = (at_home(0), at_home(1));
    let mut fleet = Fleet::new(2, &[APPROVAL]).await;
    fleet.start_processor(&[]).await;
    for id in [&here, &there] {
        fleet.run(&["start", "demo/approval", "--id", id]).succeeds();
        fleet.until_status(id, "running").await;
    }
    let whole = fleet.json(&["era", "open", "--all", "--yes"]);
    assert_eq!(whole["outcome"], "not_needed", "{whole:#}");
    fleet.run(&["era", "open", "--partition", "0", "--log-replaced", "--yes"]).ends_with(1);
    assert_eq!(fleet.stop_processor(), Some(0));

    fleet.kafka.delete("changelog").await;
    fleet.run(&["topics", "apply", "--partitions", "2", "--replication", "1"]).succeeds();
    let shown = fleet.json(&["era", "show"]);
    for partition in 0..2 {
        let view = &shown["partitions"][partition];
        assert_eq!(
            (&view["found"], &view["era"], &view["log_end"]),
            (&json!("end_lost"), &json!(1), &json!(0))
        );
    }
    let planned = fleet.run(&["era", "open", "--partition", "0"]);
    assert!(planned.ends_with(8).contains("era 2 begins at 0"));
    assert_eq!(fleet.json(&["era", "show"]), shown, "nothing was changed");
    let opened = fleet.json(&["era", "open", "--partition", "0", "--yes"]);
    assert_eq!(opened["partitions"][0]["action"], "new_era", "{opened:#}");

    // The neighbour serves, and goes on where its snapshots stand.
    fleet.launch_processor(&[]);
    fleet.until_metric(r#"millrace_partition_failed{partition="1"}"#, 1.0).await;
    fleet.run(&["signal", &here, "--type", "demo.approved", "--data", r#"{"by": "Grace"}"#]).succeeds();
    fleet.run(&["signal", &there, "--type", "demo.approved", "--data", r#"{"by": "Ada"}"#]).succeeds();
    fleet.until_status(&here, "completed").await;
    assert_eq!(fleet.get("/readyz").await.0, 503);
    let (_, partitions) = fleet.get("/v1/partitions").await;
    let partitions: Value = serde_json::from_str(&partitions).unwrap();
    assert_eq!(partitions["partitions"][1]["status"], "failed", "{partitions:#}");

    // Without a restart, and with the event that waited meanwhile.
    fleet.run(&["era", "open", "--all", "--yes"]).succeeds();
    fleet.until_status(&there, "completed").await;
    assert_eq!(fleet.instance(&there).await["output"], json!([{ "by": "Ada" }]));
    fleet.until("it is ready", async || fleet.get("/readyz").await.0 == 200).await;
    fleet.until_metric(r#"millrace_partition_failed{partition="1"}"#, 0.0).await;
    assert_eq!(fleet.stop_processor(), Some(0));

    // And after a restart, from checkpoint and log of the new era.
    fleet.start_processor(&[]).await;
    fleet.until_status(&here, "completed").await;
    fleet.until_status(&there, "completed").await;
    let shown = fleet.json(&["era", "show", "--partition", "1"]);
    assert_eq!(
        (&shown["partitions"][0]["era"], &shown["partitions"][0]["found"]),
        (&json!(2), &json!("whole"))
    );
    assert_eq!(fleet.json(&["history", &there])["entries"].as_array().unwrap().len(), 2);
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
