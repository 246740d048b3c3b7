//! What an operator does with an instance that went wrong: retries it, gives a task another input, has it undone, runs it again.

use serde_json::{Value, json};

use crate::support::{Answer, Fleet, Place};

const TRIP: &str = include_str!("../../../../topology/examples/trip.yaml");

/// The names of the events in the history of an instance, with what else is wanted of them.
fn events(history: &Value, event_type: &str) -> Vec<Value> {
    let entries = history["entries"].as_array().unwrap().iter();
    let events = entries.flat_map(|it| it["events"].as_array().unwrap());
    events.filter(|it| it["type"] == event_type).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_is_retried_undone_and_run_again() {
    // The tests' worker has the queue of those that name none.
    let trip = TRIP.replace("queue: trips", "queue: default");
    let mut fleet = Fleet::new(Place::Dev, 2, &[&trip]).await;
    // There is no car in Oslo; and the hotel in Rome is full for more than three nights.
    let worker = fleet.kafka.work(|task| {
        let arguments = task.arguments.value();
        match &*task.function {
            "book-car" if arguments["to"] == "Oslo" => Answer::FailedForGood("no car in Oslo".to_owned()),
            "book-hotel" if arguments["nights"] == 4 => Answer::FailedForGood("full".to_owned()),
            "cancel-booking" => Answer::Completed(json!({ "cancelled": arguments["booking"] })),
            function => Answer::Completed(json!({ "booking": format!("{function}/{}", task.iteration) })),
        }
    });

    // The hotel refuses; the operator looks, and gives the task another input.
    let rome = r#"{"to": "Rome", "nights": 4}"#;
    fleet.run(&["start", "examples/trip", "--id", "rome", "--input", rome]).succeeds();
    fleet.until_status("rome", "incident").await;
    let seen = fleet.json(&["get", "rome"]);
    assert_eq!(seen["incident"]["kind"], "task-faulted", "{seen:#}");
    assert_eq!(seen["halted_tasks"][0]["task"], "/do/1/hotel");
    assert_eq!(seen["compensations"], 1);
    let text = fleet.run(&["get", "rome"]).succeeds();
    assert!(text.contains("millrace retry rome --task /do/1/hotel"), "{text}");
    // Its nights are the workflow's, so another input does not help; it is left out.
    fleet.run(&["retry", "rome", "--by", "ann", "--reason", "perhaps now"]).succeeds();
    fleet
        .until("it has failed again", async || {
            events(&fleet.json(&["history", "rome"]), "task_halted").len() == 2
        })
        .await;
    let skip = [
        "skip",
        "rome",
        "--task-output",
        r#"{"booking": "by phone"}"#,
        "--by",
        "ann",
        "--reason",
        "I rang them",
    ];
    fleet.run(&skip).succeeds();
    fleet.until_status("rome", "completed").await;
    let history = fleet.json(&["history", "rome"]);
    let skipped = events(&history, "task_skipped");
    assert_eq!(
        (&skipped[0]["by"], &skipped[0]["reason"]),
        (&json!("ann"), &json!("I rang them")),
        "{history:#}"
    );

    // No car: what was booked is undone, the last booking first.
    let oslo = r#"{"to": "Oslo"}"#;
    fleet.run(&["start", "examples/trip", "--id", "oslo", "--input", oslo]).succeeds();
    fleet.until_status("oslo", "incident").await;
    fleet.run(&["cancel", "oslo", "--compensate", "--reason", "no car, no trip"]).succeeds();
    fleet.until_status("oslo", "cancelled").await;
    assert_eq!(fleet.instance("oslo").await["reason"], "no car, no trip");
    let history = fleet.json(&["history", "oslo"]);
    let undone: Vec<_> = events(&history, "task_compensated").iter().map(|it| it["task"].clone()).collect();
    assert_eq!(undone, [json!("/do/1/hotel"), json!("/do/0/flight")], "{history:#}");

    // It has ended, and is run again from its first task; the same with the car fails again. Its restart is another round.
    let restart = ["restart", "oslo", "--from", "/do/0/flight", "--by", "bob", "--reason", "a car was found"];
    let text = fleet.run(&restart).succeeds();
    assert!(text.contains(r#"though it has ended, with {"to":"Oslo"}"#), "{text}");
    fleet.until_status("oslo", "incident").await;
    let seen = fleet.json(&["get", "oslo"]);
    assert_eq!((&seen["restarts"], &seen["compensations"]), (&json!(1), &json!(2)), "{seen:#}");
    let history = fleet.json(&["history", "oslo"]);
    let restarted = &events(&history, "instance_restarted")[0];
    assert_eq!(
        (&restarted["by"], &restarted["task"]),
        (&json!("bob"), &json!("/do/0/flight")),
        "{history:#}"
    );
    let booked = events(&history, "task_completed");
    assert!(booked.iter().any(|it| it["output"]["booking"] == "book-flight/!1"), "{history:#}");

    // A task is given another input while its instance stands still, and begins again with the resume.
    let edit = ["edit", "oslo", "--task", "/do/2/car", "--input", r#"{"by": "train"}"#, "--reason", "no car"];
    fleet.run(&edit).succeeds();
    fleet
        .until("it is edited", async || {
            fleet.json(&["get", "oslo"])["halted_tasks"][0]["input"]["by"] == "train"
        })
        .await;
    fleet.run(&["replay", "oslo", "--from", "/do/1/hotel"]).succeeds();
    fleet.until("the hotel is booked again", async || fleet.json(&["get", "oslo"])["restarts"] == 2).await;
    fleet.until_status("oslo", "incident").await;
    fleet.run(&["cancel", "oslo"]).succeeds();
    fleet.until_status("oslo", "cancelled").await;

    // Who was never there.
    let never = fleet.run(&["restart", "oslo", "--from", "/do/9/boat"]);
    assert!(never.ends_with(2).is_empty());
    assert!(never.stderr().contains("was never entered"), "{}", never.stderr());
    fleet.run(&["restart", "nobody", "--from", "/do/0/flight"]).ends_with(7);
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}
