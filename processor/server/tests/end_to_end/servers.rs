//! What takes servers: a schema registry, settings of the processor, and topics that can be lost without it.

use std::sync::atomic::{AtomicBool, Ordering};

use millrace_placement::{PartitionIndex, home, key_group};
use serde_json::{Value, json};

use crate::stories::{APPROVAL, HELLO, greeting};
use crate::support::collector::Service;
use crate::support::{Answer, Fleet, Place};

/// Every record that Millrace writes carries the registry's schema id then.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka, a CQL server and a schema registry"]
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

/// Data that is too large has its outcome, too. It takes a limit that is below what Kafka takes from the sender.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka and a CQL server: a limit of the processor cannot be set in millrace dev"]
async fn data_that_is_too_large_never_stops_a_partition() {
    // One partition: whatever stopped it would stop the good instance at the end as well.
    let mut fleet = Fleet::new(Place::Servers, 1, &[HELLO, APPROVAL]).await;
    fleet.start_processor(&["--record-bytes-max", "20000"]).await;
    let is_first = AtomicBool::new(true);
    let worker = fleet.kafka.work(move |task| match task.arguments.value()["name"].as_str() {
        Some("Large") if is_first.swap(false, Ordering::Relaxed) => {
            Answer::Completed("x".repeat(50_000).into())
        }
        _ => greeting(task),
    });

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
#[ignore = "needs Apache Kafka and a CQL server: a topic is deleted while the processor is down"]
async fn a_lost_changelog_stops_its_partition_until_an_era_is_opened() {
    let at_home = |index| {
        let ids = (0..).map(|n| format!("a-{n}"));
        ids.into_iter().find(|id| home(key_group(id.as_bytes()), 2) == PartitionIndex(index)).unwrap()
    };
    let (here, there) = (at_home(0), at_home(1));
    let mut fleet = Fleet::new(Place::Servers, 2, &[APPROVAL]).await;
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

/// A worker that does not wait for commits is answered in the transaction that has sent it its task: three tasks in a row are one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka and a CQL server: a setting of the processor"]
async fn tasks_of_a_speculative_worker_follow_each_other_within_one_transaction() {
    let service = Service::start().await;
    let call = |name: &str| {
        format!("  - {name}: {{call: http, with: {{method: get, endpoint: '{}'}}}}\n", service.url())
    };
    let definition = format!(
        "document: {{dsl: '1.0.3', namespace: demo, name: three, version: '1.0.0'}}\ndo:\n{}{}{}",
        call("a"),
        call("b"),
        call("c")
    );
    let mut fleet = Fleet::new(Place::Servers, 1, &[&definition]).await;
    fleet.start_processor(&["--commit-linger", "5s"]).await;
    let worker = fleet.start_worker(&["--speculative", "--allow-private-networks"]);
    let committed = r#"millrace_transactions_total{outcome="committed"}"#;
    let before = fleet.metric(committed).await;
    fleet.run(&["start", "demo/three", "--id", "t-1", "--wait", "--timeout", "60s"]).succeeds();
    assert_eq!(service.requests().len(), 3);
    // The queue's topic may have been made by the first, which the worker then finds late.
    let transactions = fleet.metric(committed).await - before;
    assert!((1.0..=2.0).contains(&transactions), "{transactions} transactions for a start and three answers");
    worker.stop();
    assert_eq!(fleet.stop_processor(), Some(0));
}
