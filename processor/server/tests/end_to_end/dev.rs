//! `millrace dev`: what it keeps, what it refuses, and what it does besides.

use std::net::TcpListener;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::stories::APPROVAL;
use crate::support::{Fleet, Place, Ran, millrace};

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

    assert_eq!(fleet.get("/readyz").await.0, 200, "the first one serves");
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

/// Ends when it is dropped, whatever the test has found.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_ephemeral_is_gone_at_the_end() {
    let usual = ["--output", "json", "dev", "--ephemeral", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut command = millrace(&usual);
    let mut dev = Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let stdout = dev.0.stdout.take().unwrap();
    let document =
        serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next().unwrap().unwrap();
    assert_eq!(document["partitions"], 4);
    let folder = std::path::PathBuf::from(document["data"].as_str().unwrap());
    assert!(folder.is_dir());
    let pid = dev.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let stderr = std::io::read_to_string(dev.0.stderr.take().unwrap()).unwrap();
    assert_eq!(dev.0.wait().unwrap().code(), Some(0), "{stderr}");
    assert!(stderr.contains("stopped; nothing is kept"), "{stderr}");
    assert!(!folder.exists());
}
