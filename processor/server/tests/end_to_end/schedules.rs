//! Schedules: deploying is enough, a restart makes up for what was missed and starts nothing twice, and people have the last word.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Fleet, Place};

/// Each second, at whole seconds.
const TICK: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: tick
  version: '1.0.0'
  metadata:
    millrace:
      schedule: { input: { region: eu } }
schedule:
  every: PT1S
do:
  - echo:
      set:
        at: ${ .scheduledFor }
        region: ${ .region }
";

/// One after the other.
const CHAIN: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: chain
  version: '1.0.0'
schedule:
  after: { milliseconds: 200 }
do:
  - pause:
      wait: { milliseconds: 300 }
";

fn show(fleet: &Fleet, workflow: &str) -> Value {
    fleet.json(&["schedule", "show", workflow])
}

async fn until_started(fleet: &Fleet, workflow: &str, more_than: u64) {
    let what = format!("{workflow} has started more than {more_than}");
    fleet.until(&what, async || show(fleet, workflow)["started"].as_u64().unwrap() > more_than).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_start_instances_by_themselves() {
    let mut fleet = Fleet::new(Place::Dev, 4, &[TICK, CHAIN]).await;
    let is_listed = async || {
        let listed = fleet.json(&["schedule", "list"]);
        let schedules = listed["schedules"].as_array().unwrap();
        schedules.len() == 2 && schedules.iter().all(|it| it["status"] == "active")
    };
    fleet.until("both schedules are active", is_listed).await;
    until_started(&fleet, "demo/tick", 2).await;
    until_started(&fleet, "demo/chain", 2).await;
    let tick = show(&fleet, "demo/tick");
    assert_eq!(
        (&tick["rhythm"], &tick["overlap"], &tick["skipped"]),
        (&"every 1s".into(), &"allow".into(), &0.into())
    );
    let last = tick["last"]["instance"].as_str().unwrap();
    fleet.until_status(last, "completed").await;
    let output = &fleet.instance(last).await["output"];
    assert_eq!(output["region"], "eu");
    assert_eq!(last, format!("demo.tick-{}", output["at"].as_str().unwrap()));
    let text = fleet.run(&["schedule", "list"]).succeeds();
    assert!(text.lines().next().unwrap().starts_with("WORKFLOW"), "{text}");
    assert!(text.contains("after 200ms"), "{text}");

    // Nobody is there for a while.
    let before = show(&fleet, "demo/tick")["started"].as_u64().unwrap();
    assert_eq!(fleet.stop_processor(), Some(0));
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    fleet.start_processor(&[]).await;
    until_started(&fleet, "demo/tick", before + 4).await;

    fleet.run(&["schedule", "pause", "demo/tick", "--reason", "holidays"]).succeeds();
    fleet.run(&["schedule", "pause", "demo/chain"]).succeeds();
    for workflow in ["demo/tick", "demo/chain"] {
        fleet.until("it is paused", async || show(&fleet, workflow)["status"] == "paused").await;
    }
    let paused = show(&fleet, "demo/tick");
    assert_eq!((&paused["reason"], paused.get("next_at")), (&"holidays".into(), None));
    let last = paused["last"]["instance"].as_str().unwrap().to_owned();
    fleet.until_status(&last, "completed").await;
    // Each second since the first one has started one instance.
    let is_flushed = async || instances(&fleet).len() as u64 == paused["started"].as_u64().unwrap();
    fleet.until("all instances are listed", is_flushed).await;
    let seconds: Vec<i64> = instances(&fleet).iter().map(|id| second(id)).collect();
    let (first, last) = (seconds[0], seconds[seconds.len() - 1]);
    assert_eq!(seconds, (first..=last).collect::<Vec<_>>());

    // Who waits is told what became of it.
    let wait = ["--wait", "--timeout", "60s"];
    let again = fleet.spawn(&[&["schedule", "pause", "demo/tick"], &wait[..]].concat()).wait().await;
    assert!(again.ends_with(5).contains("is paused already"), "{}", again.ends_with(5));
    let trigger = [&["schedule", "trigger", "demo/tick", "--output", "json"], &wait[..]].concat();
    let told: serde_json::Value =
        serde_json::from_str(&fleet.spawn(&trigger).wait().await.succeeds()).unwrap();
    assert_eq!(told["answer"], "accepted", "{told}");
    let is_triggered = async || show(&fleet, "demo/tick")["last"]["is_triggered"] == true;
    fleet.until("it is triggered", is_triggered).await;
    fleet.run(&["schedule", "resume", "demo/tick"]).succeeds();
    until_started(&fleet, "demo/tick", paused["started"].as_u64().unwrap() + 1).await;
    const NOT_FOUND: i32 = 7;
    let nothing = fleet.run(&["schedule", "show", "demo/nothing"]);
    nothing.ends_with(NOT_FOUND);
    assert!(nothing.stderr().contains("there is no schedule of demo/nothing"), "{}", nothing.stderr());
    assert!(fleet.run(&["schedule", "show", "nothing"]).ends_with(2).is_empty());
    assert_eq!(fleet.json(&["dead-letters", "list"])["dead_letters"].as_array().unwrap().len(), 0);
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// The instances of the clock, in the order of their times.
fn instances(fleet: &Fleet) -> BTreeSet<String> {
    let listed = fleet.json(&["list", "demo/tick", "--limit", "1000"]);
    let ids = listed["instances"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned());
    ids.filter(|it| !it.contains("-now-")).collect()
}

fn second(id: &str) -> i64 {
    let time = id.strip_prefix("demo.tick-").unwrap();
    time.parse::<jiff::Timestamp>().unwrap().as_second()
}
