//! Definitions, inputs and expressions that ask for too much: each is refused, faults, or stands still, says what and where it was and
//! what to do, and takes little memory. The partition goes on.

use expect_test::expect;
use millrace_schemas::Timestamp;
use millrace_schemas::codec::Codec;
use millrace_schemas::definition::Definition;
use serde_json::{Value, json};

use crate::support::{Fleet, Place};

/// What the process may have at its worst. At rest, a debug build has some 65 MiB.
const MEMORY_MAX_KIB: u64 = 300 * 1024;

const LEVELS: usize = 10_000;
const LARGE_BYTES: usize = 10 * 1000 * 1000;

fn definition(name: &str, tasks: &str) -> String {
    format!(
        "document: {{ dsl: '1.0.3', namespace: hostile, name: {name}, version: '1.0.0' }}\ndo:\n{tasks}\n"
    )
}

/// A workflow that sets what an expression gives.
fn sets(name: &str, expression: &str) -> String {
    definition(name, &format!("  - make: {{ set: {{ made: '${{ {expression} }}' }} }}"))
}

/// A workflow that does something a hundred thousand times.
fn loops(name: &str, task: &str) -> String {
    let tasks = format!(
        "  - loop:\n      for: {{ each: it, in: '[range(100000)]' }}\n      do:\n        - round: {task}"
    );
    definition(name, &tasks)
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

/// Runs an instance that is expected to fault, and gives what the command says of it.
async fn fault(fleet: &Fleet, name: &str) -> String {
    let ran = fleet.spawn(&["start", &format!("hostile/{name}"), "--id", name, "--wait", "--timeout", "60s"]);
    format!("{name}: {}", ran.wait().await.ends_with(3))
}

/// Runs an instance that is expected to stand still, and gives what it stands still for.
async fn incident(fleet: &Fleet, name: &str) -> String {
    fleet.run(&["start", &format!("hostile/{name}"), "--id", name]).succeeds();
    fleet.until_status(name, "incident").await;
    let incident = &fleet.instance(name).await["incident"];
    format!("{name}: {}: {}\n", incident["kind"].as_str().unwrap(), incident["detail"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_too_much_is_told_so_and_its_partition_goes_on() {
    let definitions = [
        sets("endless", "last(repeat(1))"),
        sets("range", "[range(1000000000)]"),
        sets("text", "\"0123456789\" * 1000000"),
        sets("deep", "reduce range(10000) as $i (0; [.])"),
        loops("busy", "{ set: { n: 1 } }"),
        loops("counts", "{ set: { n: '${ $it }' } }"),
        loops("patient", "{ wait: { milliseconds: 1 } }"),
        // Ten megabytes, were they not stopped.
        loops("grows", "{ set: { text: '${ (.text // \"\") + (\"0123456789\" * 2000) }' } }"),
        loops(
            "collects",
            "{ wait: { milliseconds: 1 }, export: { as: '($context // []) + [\"0123456789\" * 20000]' } }",
        ),
        sets("good", "."),
    ];
    // One partition: whatever stopped it would stop the good instance at the end as well.
    let mut fleet = Fleet::new(Place::Dev, 1, &definitions.each_ref().map(String::as_str)).await;

    let mut faults = String::new();
    for name in ["endless", "range", "text", "deep", "busy"] {
        faults += &fault(&fleet, name).await;
    }
    expect![[r#"
        endless: faulted: 400 Expression Error: expression `last(repeat(1))`: it takes more than 2000000 steps: give it less data, or split it into several tasks; does it have a loop without an end? (at /do/0/make)
        range: faulted: 400 Expression Error: expression `[range(1000000000)]`: it takes more than 64 MiB at once: give it less data, or split it into several tasks (at /do/0/make)
        text: faulted: 400 Expression Error: expression `"0123456789" * 1000000`: it makes a text of more than 4 MiB: give it less data, or repeat less of it (at /do/0/make)
        deep: faulted: 400 Expression Error: expression `reduce range(10000) as $i (0; [.])`: it nests values more than 256 deep: flatten them (at /do/0/make)
        busy: faulted: 500 Runtime Error: 10000 tasks were entered without waiting for anything, the most that is allowed (steps_per_command_max); look for a loop that never ends, put a `wait` into it, or raise the bound (at /do/0/loop)
    "#]].assert_eq(&faults);
    let mut incidents = String::new();
    for name in ["counts", "grows", "collects"] {
        incidents += &incident(&fleet, name).await;
        fleet.run(&["cancel", name]).succeeds();
        fleet.until_status(name, "cancelled").await;
    }
    expect![[r#"
        counts: payload-too-large: task /do/0/loop/do/0/round: a record of at least 921632 bytes, and 921600 are allowed (record_bytes_max); it tells of 4999 tasks that were entered without waiting for anything, and a `wait` among them begins another record; start another instance with less data, and cancel this one; or raise the bound and resume it
        grows: payload-too-large: task /do/0/loop/do/0/round: a record of at least 1009309 bytes, and 921600 are allowed (record_bytes_max); start another instance with less data, and cancel this one; or raise the bound and resume it
        collects: payload-too-large: task /do/0/loop/do/0/round: a record of at least 1000034 bytes, and 921600 are allowed (record_bytes_max); the command waits; raise the bound and resume the instance, or cancel it
    "#]].assert_eq(&incidents);

    // What waits in each round may go on for long, and can be stopped.
    fleet.run(&["start", "hostile/patient", "--id", "patient"]).succeeds();
    let steps = async || fleet.instance("patient").await["steps"].as_u64();
    fleet.until("it goes round", async || steps().await.is_some_and(|it| it > 20)).await;
    fleet.run(&["cancel", "patient"]).succeeds();
    fleet.until_status("patient", "cancelled").await;

    refused_inputs(&fleet).await;
    refused_definitions(&fleet).await;

    let start = ["start", "hostile/good", "--id", "good", "--input", "[1]", "--wait", "--timeout", "60s"];
    let output = fleet.spawn(&start).wait().await.succeeds();
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap(), json!({ "made": [1] }));
    let peak_kib = fleet.memory_peak_kib();
    assert!(peak_kib < MEMORY_MAX_KIB, "{peak_kib} KiB");
    assert_eq!(fleet.stop_processor(), Some(0));
}

async fn refused_inputs(fleet: &Fleet) {
    let start = async |input: &str, code: i32| {
        let input = fleet.file("input.json", input);
        let ran = fleet.spawn(&[
            "start",
            "hostile/good",
            "--id",
            "refused",
            "--input",
            &format!("@{input}"),
            "--wait",
            "--timeout",
            "60s",
        ]);
        let ran = ran.wait().await;
        let said = ran.ends_with(code) + &ran.stderr();
        let said = said.replace(&input, "input.json").replace(fleet.bootstrap(), "BROKER");
        // The event tells its time, with as many digits as that has.
        let said =
            (0..10).fold(said, |said, it| said.replace(&format!("1000025{it} bytes"), "1000025_ bytes"));
        // How the client says why is its own affair.
        said.lines()
            .filter(|it| !it.starts_with("  because:"))
            .map(|it| format!("{it}\n"))
            .collect::<String>()
    };
    let mut said = String::new();
    // The broker's own limit, and that of an instance.
    said += &start(&format!("{:?}", "x".repeat(LARGE_BYTES)), 1).await;
    said += &start(&format!("{:?}", "x".repeat(1000 * 1000)), 5).await;
    said += &start(&nested(LEVELS), 2).await;
    expect![[r#"
        error: could not produce a record of 1000025_ bytes to millrace.events (Kafka at BROKER)
          to do: send less, such as a reference to the data; or raise max.message.bytes of the topic
        rejected (invalid_argument): the start carries 1000002 bytes of data, and what it makes does not fit a record of 921600 bytes (record_bytes_max); send a reference to the data
        started refused
        error: --input: input.json is nested too deep
          to do: flatten it: workflows take data that is nested up to 100 deep
    "#]].assert_eq(&said);

    // Past `start`, by a client that checks nothing.
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/test","type":"io.millrace.instance.start","subject":"raw","workflow":"hostile/good","data":{}}}"#,
        nested(LEVELS)
    );
    let headers = [("content-type".to_owned(), "application/cloudevents+json".into())];
    fleet.kafka.produce("events", b"raw", &headers, event.as_bytes()).await;
    let binary =
        [("specversion", "1.0"), ("id", "2"), ("source", "/test"), ("type", "io.millrace.instance.start")];
    let binary = binary.iter().chain(&[("subject", "raw"), ("workflow", "hostile/good")]);
    let mut headers: Vec<_> = binary.map(|(name, value)| (format!("ce_{name}"), (*value).into())).collect();
    headers.push(("content-type".to_owned(), "application/json".into()));
    fleet.kafka.produce("events", b"raw", &headers, nested(LEVELS).as_bytes()).await;
    let letters = || fleet.json(&["dead-letters", "list"])["dead_letters"].as_array().unwrap().clone();
    fleet
        .until("both are dead letters", async || {
            letters().iter().filter(|it| it["key"] == "raw").count() == 2
        })
        .await;
    let letters = letters();
    let told = letters.iter().map(|it| format!("{} {}: {}\n", it["key"], it["reason"], it["detail"]));
    expect![[r#"
        "refused" "invalid-argument": "the start carries 1000002 bytes of data, and what it makes does not fit a record of 921600 bytes (record_bytes_max); send a reference to the data"
        "raw" "not-a-cloudevent": "not a CloudEvent: the value is nested more than 100 deep; flatten it"
        "raw" "unreadable-data": "unreadable data: the data is nested more than 100 deep; flatten it"
    "#]].assert_eq(&told.collect::<String>());
}

async fn refused_definitions(fleet: &Fleet) {
    let deploy = |text: &str| {
        let file = fleet.file("definition.yaml", text);
        let ran = fleet.run(&["deploy", &file]);
        (ran.ends_with(2) + &ran.stderr()).replace(&file, "definition.yaml")
    };
    let deep = sets("good", &nested(LEVELS)).replace("1.0.0", "1.0.1");
    let mut said = String::new();
    said += &deploy(&definition("deep", &format!("  - make: {{ set: {{ made: {} }} }}", nested(LEVELS))));
    let tasks = format!("{}[it: {{ set: {{ n: 1 }} }}]{}", "[a: {do: ".repeat(LEVELS), "}]".repeat(LEVELS));
    said += &deploy(&definition("deep", "").replace("do:\n", &format!("do: {tasks}")));
    said += &deploy(&deep);
    said += &deploy(&definition(
        "large",
        &format!("  - make: {{ set: {{ made: {} }} }}", "x".repeat(LARGE_BYTES)),
    ));
    expect![[r#"
        definition.yaml:3:279: error: lists and mappings are nested more than 100 deep; fix: flatten the definition
        refused: 1 error
        definition.yaml:2:302: error: lists and mappings are nested more than 100 deep; fix: flatten the definition
        refused: 1 error
        definition.yaml:3:20: error: expression `[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[…`: it is longer than 16384 bytes; fix: write jq, such as `.order.total > 100`
        refused: 1 error
        definition.yaml:1:1: error: the definition has 10000112 bytes; fix: keep it under 1 MiB: split it, or move data into the input
        refused: 1 error
    "#]].assert_eq(&said);

    // Put into the topic past `deploy`.
    let definition = Definition {
        namespace: "hostile".into(),
        name: "deep".into(),
        version: "1.0.0".into(),
        media_type: "application/yaml".to_owned(),
        text: definition("deep", &format!("  - make: {{ set: {{ made: {} }} }}", nested(LEVELS))),
        digest: "sha256:00".to_owned(),
        deployed_at: Timestamp(0),
    };
    let bytes = Codec::single_object().encode_definition(&definition);
    fleet.kafka.produce("definitions", b"hostile/deep/1.0.0", &[], &bytes).await;
    fleet.until_metric("millrace_definitions_rejected_total", 1.0).await;
}
