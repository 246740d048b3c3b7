//! `millrace ctk`: a scenario of the conformance kit, in a `millrace dev` of its own or on a fleet that runs. What the scenarios say is
//! checked by `cargo xtask ctk`.

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Fleet, Place, Ran, millrace};

/// Two records: until the wait, and from there.
const PAUSE: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: pause
  version: '1.0.0'
do:
  - before:
      set:
        n: ${ .n + 1 }
  - pause:
      wait:
        seconds: 1
  - outer:
      do:
        - after:
            set:
              n: ${ .n * 10 }
            then: end
";

fn files(definition: &str, input: &str) -> (tempfile::TempDir, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let files = [("workflow.yaml", definition), ("input.json", input)].map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    (folder, files)
}

/// Runs a scenario without a cluster.
fn on_its_own(arguments: &[&str]) -> Value {
    let ran = Ran::of(millrace(&[&["ctk"], arguments].concat()));
    serde_json::from_str(&ran.succeeds()).unwrap()
}

#[test]
fn a_scenario_is_finished_by_the_process_after_the_one_that_was_killed() {
    let (_folder, [workflow, input]) = files(PAUSE, r#"{"n": 1}"#);
    let answer = on_its_own(&["--workflow", &workflow, "--input", &input, "--kill-after", "1"]);
    let task = |name: &str, reference: &str, output: Option<Value>| {
        let mut task = json!({"name": name, "reference": reference, "status": "completed"});
        if let Some(output) = output {
            task["output"] = output;
        }
        task
    };
    assert_eq!(answer["status"], "completed", "{answer:#}");
    assert_eq!(answer["output"], json!({"n": 20}));
    assert_eq!(
        answer["tasks"],
        json!([
            task("before", "/do/0/before", Some(json!({"n": 2}))),
            task("pause", "/do/1/pause", Some(json!({"n": 2}))),
            // The workflow ended within it, so it has no output of its own.
            task("outer", "/do/2/outer", None),
            task("after", "/do/2/outer/do/0/after", Some(json!({"n": 20}))),
        ])
    );
    let evidence = &answer["evidence"];
    assert_eq!(evidence["offsets"].as_array().unwrap().len(), 2, "{evidence:#}");
    assert_eq!(evidence["takeovers"], 1, "{evidence:#}");
    let processes = evidence["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 2, "{evidence:#}");
    assert_eq!((&processes[0]["killed_after"], &processes[1]["killed_after"]), (&json!(1), &Value::Null));
    for process in processes {
        assert!(!std::path::Path::new(&format!("/proc/{}", process["process"])).exists(), "it is gone");
    }
}

#[test]
fn a_scenario_with_fewer_records_ends_undisturbed() {
    let (_folder, [workflow, _]) = files(PAUSE, "");
    let answer = on_its_own(&["--workflow", &workflow, "--kill-after", "9"]);
    assert_eq!(answer["status"], "completed", "{answer:#}");
    assert_eq!(answer["evidence"]["takeovers"], 0);
    assert_eq!(answer["evidence"]["processes"].as_array().unwrap().len(), 1, "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_where_the_map_says() {
    const CALL: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: call
  version: '1.0.0'
do:
  - ask:
      call: http
      with:
        method: get
        endpoint: https://far.example/pet/{id}
";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let map = format!("https://far.example=http://{}/near", listener.local_addr().unwrap());
    let router = Router::new().route("/near/pet/7", get(async || "a cat"));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    let (_folder, [workflow, input]) = files(CALL, r#"{"id": 7}"#);
    let arguments = ["--workflow", &workflow, "--input", &input, "--http-map", &map].map(str::to_owned);
    let answer = tokio::task::spawn_blocking(move || on_its_own(&arguments.each_ref().map(String::as_str)));
    let answer = answer.await.unwrap();
    assert_eq!(answer["output"], "a cat", "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_share_a_version_run_beside_each_other() {
    let mut fleet = Fleet::new(Place::Dev, 2, &[]).await;
    let scenario = |text: &str| {
        let file = fleet.file("scenario.yaml", text);
        let answer = fleet.json(&["ctk", "--workflow", &file]);
        let workflow = answer["evidence"]["workflow"].as_str().unwrap().to_owned();
        (workflow, answer["output"].clone())
    };
    let quick = PAUSE.replace("seconds: 1", "milliseconds: 1");
    let other = quick.replace("* 10", "* 100");
    let first = ("demo/pause/1.0.0".to_owned(), json!({"n": 10}));
    assert_eq!(scenario(&quick), first);
    let (workflow, output) = scenario(&other);
    assert!(workflow.starts_with("demo/pause/1.0.0+ctk."), "{workflow}");
    assert_eq!(output, json!({"n": 100}));
    assert_eq!(scenario(&quick), first, "what is deployed stays as it is");
    assert_eq!(scenario(&other), (workflow, output), "and is found again");
    assert_eq!(fleet.stop_processor(), Some(0));
}
