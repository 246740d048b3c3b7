//! The commands of the runbook, as they are there, on servers: each is run.

use std::process::Command;

use crate::support::{Answer, Fleet, Place, Ran};
use serde_json::json;

const RUNBOOK: &str = include_str!("../../../../ops/RUNBOOK.md");
const TRIP: &str = include_str!("../../../../topology/examples/trip.yaml");

/// It waits until it is told, and starts by the clock, too.
const APPROVAL: &str = "\
document: { dsl: '1.0.3', namespace: demo, name: approval, version: '1.0.0' }
schedule: { every: PT1H }
do:
  - decide: { listen: { to: { one: { with: { type: demo.approved } } } } }
";

/// Tools of the servers, which are not ours to test.
const OF_SERVERS: [&str; 1] = ["nodetool "];

/// What is set for the reader's own fleet; the tests have another.
const OF_THE_READER: [&str; 2] = ["export MILLRACE_BOOTSTRAP=", "export MILLRACE_PREFIX="];

/// For so long, in seconds, runs what does not end by itself.
const RUNS_FOR: u32 = 8;

/// The commands in the blocks, in order, without what is said of them beside.
fn commands(page: &str) -> Vec<String> {
    let page = page.replace("\\\n", " ");
    let mut commands = Vec::new();
    let mut is_block = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            let command = line.split("  #").next().unwrap_or_default().trim();
            commands.push(command.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    commands
}

/// Whoever reads the runbook, and puts something of theirs for each word in capitals.
struct Reader<'f> {
    fleet: &'f Fleet,
    instances: u32,
}

impl Reader<'_> {
    /// An instance that a command can be about.
    async fn instance_for(&mut self, command: &str) -> String {
        self.instances += 1;
        let id = format!("order-{}", self.instances);
        if command.contains("millrace start ") {
            return id;
        }
        let (workflow, status) = match command.contains("millrace resume ") {
            true => ("demo/approval", "running"),
            false => ("examples/trip", "incident"),
        };
        self.fleet.run(&["start", workflow, "--id", &id, "--input", r#"{"to": "Oslo"}"#]).succeeds();
        self.fleet.until_status(&id, status).await;
        if command.contains("millrace resume ") {
            self.fleet.run(&["suspend", &id, "--reason", "to be resumed", "--wait"]).succeeds();
        }
        id
    }

    fn place_of_a_dead_letter(&self) -> String {
        let letters = self.fleet.json(&["dead-letters", "list"]);
        let letter = &letters["dead_letters"][0];
        format!("{}/{}", letter["dead_letter_partition"], letter["dead_letter_offset"])
    }

    /// The command with what these tests have.
    async fn stand_in(&mut self, command: &str) -> String {
        let mut words = Vec::new();
        for word in command.split(' ') {
            let is_of_schedules = command.contains("schedule") || command.contains("millrace start ");
            words.push(match word {
                "ID" => self.instance_for(command).await,
                "WORKFLOW" if is_of_schedules => "demo/approval".to_owned(),
                "WORKFLOW" => "examples/trip".to_owned(),
                "TASK" => "/do/2/car".to_owned(),
                "JSON" => r#"'{"booking": "by phone"}'"#.to_owned(),
                "REASON" => "'as the runbook says'".to_owned(),
                "PARTITION" => "0".to_owned(),
                "PLACE" => self.place_of_a_dead_letter(),
                "FILE" => self.file(words.last().map_or("", String::as_str)),
                // What it is answered must be well, too.
                "-s" => "-sf".to_owned(),
                "/run/secrets/millrace" => self.fleet.secrets(),
                word => word.replace("0.0.0.0:8080", "127.0.0.1:0").replace("0.0.0.0:8081", "127.0.0.1:0"),
            });
        }
        words.join(" ")
    }

    /// What the option is given.
    fn file(&self, option: &str) -> String {
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        match option {
            "--http-tokens" => self.fleet.file("tokens", &format!("ann admin {hash}\n")),
            "--http-tls-cert" | "--http-tls-key" => {
                let [cert, key] = ["cert.pem", "key.pem"].map(|it| self.fleet.file(it, ""));
                let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"];
                let mut made = Command::new("openssl");
                made.args(request).args(["-days", "2", "-keyout", &key, "-out", &cert]);
                assert!(made.output().unwrap().status.success());
                if option == "--http-tls-cert" { cert } else { key }
            }
            _ => self.fleet.file("approval.yaml", APPROVAL),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka and a CQL server"]
async fn every_command_of_the_runbook_is_run() {
    let trip = TRIP.replace("queue: trips", "queue: default");
    let mut fleet = Fleet::new(Place::Servers, 2, &[&trip, APPROVAL]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(|task| match &*task.function {
        "book-car" => Answer::FailedForGood("no car in Oslo".to_owned()),
        function => Answer::Completed(json!({ "booking": function })),
    });
    let headers = vec![("content-type".to_owned(), "application/cloudevents+json".into())];
    fleet.kafka.produce("events", b"letter", &headers, b"no event").await;
    let has_letter =
        async || !fleet.json(&["dead-letters", "list"])["dead_letters"].as_array().unwrap().is_empty();
    fleet.until("there is a dead letter", has_letter).await;

    let mut reader = Reader { fleet: &fleet, instances: 0 };
    // What is exported stays for the rest of the block; here, for all that follows.
    let mut exports = String::new();
    let mut ran = 0;
    for command in commands(RUNBOOK) {
        if command.is_empty() || OF_SERVERS.iter().chain(&OF_THE_READER).any(|it| command.starts_with(it)) {
            continue;
        }
        if command.starts_with("export ") {
            exports = format!("{command}\n");
            continue;
        }
        let mut script = reader.stand_in(&command).await;
        let is_installed =
            ["topics", "processor", "worker"].iter().any(|it| command.starts_with(&format!("millrace {it}")));
        if command.starts_with("millrace topics ") {
            script += " --replication 1";
        }
        if command.starts_with("millrace processor ") || command.starts_with("millrace worker ") {
            // In the foreground it signals only once.
            script = format!("timeout --foreground --preserve-status -s TERM {RUNS_FOR} {script}");
        }
        let shell = fleet.shell(&format!("set -euo pipefail\n{exports}{script}"), is_installed);
        tokio::task::spawn_blocking(|| Ran::of(shell)).await.unwrap().succeeds();
        ran += 1;
    }
    assert!(ran >= 30, "{ran} commands only");
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}
