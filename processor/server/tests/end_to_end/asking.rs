//! Commands that wait for their outcome, questions to instances, and instances that are found by what they are about.

use millrace_schemas::cloud_event::signal_event;
use millrace_schemas::{EventId, InstanceId};
use serde_json::{Value, json};

use crate::support::{Answer, Fleet, Place};

pub(crate) const REVIEW: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: review
  version: '1.0.0'
  metadata:
    millrace:
      searchAttributes:
        customer: ${ .customer }
        state: ${ $context.state // \"new\" }
      queries:
        left: $input.documents - ($context.seen // [])
        summary:
          customer: ${ .attributes.customer }
          waits: '${ [.open_tasks[].task] }'
do:
  - read:
      call: read
      export: { as: '{ state: \"read\", seen: . }' }
  - decision:
      listen:
        to:
          one:
            with:
              type: demo.decided
              data: ${ .by != null }
      export: { as: '{ state: \"decided\", seen: $context.seen }' }
  - more:
      listen: { to: { one: { with: { type: demo.more } } } }
";

fn start<'a>(id: &'a str, input: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["start", "demo/review", "--id", id, "--input", input], more].concat()
}

fn decided(id: &str, more: &[&str]) -> Vec<String> {
    let base = ["signal", id, "--type", "demo.decided", "--wait", "--timeout", "60s"];
    base.iter().chain(more).map(ToString::to_string).collect()
}

fn strings(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Whoever sends a command is told what became of it.
pub(crate) async fn a_command_may_wait_for_its_outcome(place: Place) {
    let mut fleet = Fleet::new(place, 4, &[REVIEW]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(|_| Answer::Completed(json!(["a"])));
    let input = r#"{"customer": "acme", "documents": ["a", "b"]}"#;
    let accepted = start("r-1", input, &["--accepted", "--timeout", "60s"]);
    let text = fleet.spawn(&accepted).wait().await.succeeds();
    assert!(text.starts_with("accepted; r-1 is running"), "{text}");
    fleet.until("r-1 listens", async || listens(&fleet, "r-1").await).await;
    let again = fleet.spawn(&accepted).wait().await.ends_with(5);
    assert!(again.contains("already_exists"), "{again}");

    // The definition judges what it takes.
    let nobody = decided("r-1", &["--now", "--data", r#"{"by": null}"#]);
    let refused = fleet.spawn(&strings(&nobody)).wait().await.ends_with(5);
    assert!(refused.contains("not_taken"), "{refused}");
    let somebody = decided("r-1", &["--event-id", "d-1", "--now", "--data", r#"{"by": "Ann"}"#]);
    let taken = fleet.spawn(&strings(&somebody)).wait().await.succeeds();
    assert!(taken.starts_with("accepted: taken by /do/1/decision; r-1 is running"), "{taken}");
    let copy = fleet.spawn(&strings(&somebody)).wait().await.ends_with(5);
    assert!(copy.contains("duplicate"), "{copy}");

    let wait = ["--wait", "--timeout", "60s", "--output", "json"];
    let document = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let suspend = [&["suspend", "r-1"], &wait[..]].concat();
    let document_of_suspend = document(fleet.spawn(&suspend).wait().await.succeeds());
    assert_eq!(
        (&document_of_suspend["answer"], &document_of_suspend["instance_status"]),
        (&json!("accepted"), &json!("suspended"))
    );
    let more = [&["signal", "r-1", "--type", "demo.more"], &wait[..]].concat();
    assert_eq!(document(fleet.spawn(&more).wait().await.succeeds())["outcome"], "deferred");
    let resume = [&["resume", "r-1"], &wait[..]].concat();
    assert_eq!(document(fleet.spawn(&resume).wait().await.succeeds())["instance_status"], "completed");
    let cancel = [&["cancel", "r-1"], &wait[..]].concat();
    let late = document(fleet.spawn(&cancel).wait().await.ends_with(5));
    assert_eq!((&late["answer"], &late["reason"]), (&json!("rejected"), &json!("invalid_state")));
    let unknown = ["start", "demo/nothing", "--accepted", "--timeout", "60s"];
    let refused = fleet.spawn(&unknown).wait().await.ends_with(5);
    assert!(refused.contains("unknown_workflow"), "{refused}");

    // A copy that another client sends.
    let id = EventId { source: "/test".to_owned(), id: "twice".to_owned() };
    fleet.spawn(&start("r-2", input, &["--accepted", "--timeout", "60s"])).wait().await.succeeds();
    let event = signal_event(id, &InstanceId::new("r-2").unwrap(), "demo.more", None);
    fleet.kafka.produce_event(&event).await;
    fleet.kafka.produce_event(&event).await;
    fleet
        .until_metric(r#"millrace_commands_rejected_total{command="deliver_signal",reason="duplicate"}"#, 2.0)
        .await;
    assert_eq!(fleet.instance("r-2").await["buffered_signals"], 1);

    // Nobody is there to answer.
    assert_eq!(fleet.stop_processor(), Some(0));
    if place == Place::Servers {
        let alone = fleet.spawn(&["cancel", "r-2", "--wait", "--timeout", "2s"]).wait().await;
        alone.ends_with(6);
        assert!(alone.stderr().contains("millrace doctor"), "{}", alone.stderr());
    }
    drop(worker);
}

async fn listens(fleet: &Fleet, id: &str) -> bool {
    let is_listening = |it: &Value| it["state"] == "listening";
    fleet.instance(id).await["open_tasks"].as_array().is_some_and(|it| it.iter().any(is_listening))
}

/// An instance answers what it is asked, and is found by what it is about.
pub(crate) async fn instances_are_asked_and_found(place: Place) {
    let mut fleet = Fleet::new(place, 4, &[REVIEW]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(|_| Answer::Completed(json!(["a"])));
    for (id, customer) in [("r-1", "acme"), ("r-2", "acme"), ("r-3", "4711")] {
        let input = json!({ "customer": customer, "documents": ["a", "b"] }).to_string();
        fleet.run(&start(id, &input, &[])).succeeds();
        fleet.until(&format!("{id} listens"), async || listens(&fleet, id).await).await;
    }
    let result = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    assert_eq!(result(fleet.run(&["query", "r-1", "--name", "left"]).succeeds()), json!(["b"]));
    let summary = json!({ "customer": "acme", "waits": ["/do/1/decision"] });
    assert_eq!(result(fleet.run(&["query", "r-1", "--name", "summary"]).succeeds()), summary);
    assert_eq!(result(fleet.run(&["query", "r-1", "$context.seen | length"]).succeeds()), json!(1));
    assert_eq!(fleet.json(&["query", "r-1", ".status"])["result"], "running");
    let missing = fleet.run(&["query", "r-1", "--name", "lef"]);
    missing.ends_with(1);
    assert!(missing.stderr().contains("it has left, summary"), "{}", missing.stderr());
    fleet.run(&["query", "nobody", ".status"]).ends_with(7);
    let wrong = fleet.run(&["query", "r-1", ".status |"]);
    wrong.ends_with(1);
    assert!(wrong.stderr().contains("expression `.status |`"), "{}", wrong.stderr());
    let (status, body) = fleet.get("/v1/instances/r-1/query?expression=error(%22no%22)").await;
    assert_eq!((status, body.contains("expression_failed")), (422, true), "{body}");
    let endless = fleet.get("/v1/instances/r-1/query?expression=last(repeat(1))").await;
    assert_eq!(endless.0, 422, "{}", endless.1);
    assert_eq!(fleet.get("/v1/instances/r-1/query").await.0, 400);
    assert_eq!(fleet.get("/v1/instances/r-1/queries/nothing").await.0, 404);

    let found = |conditions: &[&str]| -> Vec<String> {
        let mut arguments = vec!["list", "demo/review"];
        conditions.iter().for_each(|it| arguments.extend(["--where", it]));
        let list = fleet.json(&arguments);
        list["instances"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let settled = async || found(&["state=read"]).len() == 3;
    fleet.until("all are listed as read", settled).await;
    assert_eq!(found(&["state=new"]), Vec::<String>::new());
    assert_eq!(found(&["customer=acme"]), ["r-2", "r-1"]);
    assert_eq!(found(&["customer=4711", "state=read"]), ["r-3"]);
    fleet.run(&["signal", "r-2", "--type", "demo.decided", "--data", r#"{"by": "Ann"}"#]).succeeds();
    fleet.until("r-2 is listed as decided", async || found(&["state=decided"]) == ["r-2"]).await;
    assert_eq!(found(&["customer=acme", "state=read"]), ["r-1"]);
    fleet.run(&["cancel", "r-1"]).succeeds();
    let cancelled =
        "/v1/instances?workflow=demo/review&status=cancelled&where=customer=acme&where=state=read";
    fleet
        .until("r-1 is listed as cancelled", async || {
            let (status, body) = fleet.get(cancelled).await;
            assert_eq!(status, 200, "{body}");
            serde_json::from_str::<Value>(&body).unwrap()["instances"][0]["attributes"]
                == json!({ "customer": "acme", "state": "read" })
        })
        .await;
    assert_eq!(fleet.json(&["get", "r-1"])["attributes"]["customer"], "acme");
    let wrong = fleet.get("/v1/instances?workflow=demo/review&where=customer").await;
    assert_eq!(wrong.0, 400, "{}", wrong.1);
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}
