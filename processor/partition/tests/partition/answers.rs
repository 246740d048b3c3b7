//! What the sender of a command is told.

use expect_test::expect;
use millrace_schemas::cloud_event::{
    CloudEvent, cancel_event, resume_event, signal_event, start_event, suspend_event, with_answer,
};
use millrace_schemas::command::Answer;
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use serde_json::{Value, json};

use crate::world::World;

const APPROVAL: &str = "
document: {dsl: 1.0.3, namespace: test, name: approval, version: 1.0.0}
do:
  - decision: {listen: {to: {one: {with: {type: decided, data: '${ .by != null }'}}}}}
  - pause: {wait: {minutes: 5}}
";

fn event_id(text: &str) -> EventId {
    EventId { source: "test".to_owned(), id: text.to_owned() }
}

fn start(name: &str) -> CloudEvent {
    let workflow = WorkflowName { namespace: "test".into(), name: name.into() };
    start_event(event_id("start"), &instance(), &workflow, None, json!({}))
}

fn instance() -> InstanceId {
    InstanceId::new("a").unwrap()
}

fn decided(id: &str, by: Value) -> CloudEvent {
    signal_event(event_id(id), &instance(), "decided", Some(json!({ "by": by })))
}

/// What was told on `.lifecycle` since the last look, a line each.
fn told(world: &mut World) -> String {
    world.settle();
    let topic = world.config.topics.lifecycle();
    let lines = world.of_topic(&topic).into_iter().map(|it| {
        let header =
            |name: &str| it.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let event_type = String::from_utf8(header("ce_type").unwrap().to_vec()).unwrap();
        assert_eq!(it.key.as_deref(), Some(&b"a"[..]));
        let data: Value = serde_json::from_slice(it.value.as_deref().unwrap()).unwrap();
        let text = |name: &str| data[name].as_str().map(|it| format!(" {it}")).unwrap_or_default();
        let name = event_type.rsplit('.').next().unwrap();
        let told: Vec<_> = ["command", "reason", "outcome", "task", "status"].map(text).into();
        format!("{} {name}{}\n", data["cause"]["id"].as_str().unwrap(), told.concat())
    });
    lines.collect()
}

#[test]
fn a_sender_that_asks_is_told_what_was_done() {
    let mut world = World::new(&[APPROVAL]);
    world.restart();
    let ask = |event: CloudEvent| with_answer(event, Answer::Outcome);
    world.produce(&ask(start("approval")));
    world.produce(&ask(decided("early", json!(null))));
    world.produce(&ask(suspend_event(event_id("s"), &instance(), "")));
    world.produce(&ask(decided("late", json!("ann"))));
    world.produce(&ask(resume_event(event_id("r"), &instance(), "")));
    world.produce(&ask(decided("late", json!("ann"))));
    world.produce(&ask(cancel_event(event_id("c"), &instance(), "", false)));
    world.produce(&ask(cancel_event(event_id("c again"), &instance(), "", false)));
    expect![[r#"
        start accepted start done running
        early accepted deliver_signal waits running
        s accepted suspend done suspended
        late accepted deliver_signal deferred suspended
        r accepted resume done running
        late rejected deliver_signal duplicate
        c accepted cancel done cancelled
        c again rejected cancel invalid_state
    "#]]
    .assert_eq(&told(&mut world));
}

#[test]
fn what_must_not_wait_is_taken_or_refused() {
    let mut world = World::new(&[APPROVAL]);
    world.restart();
    let now = |event: CloudEvent| with_answer(event, Answer::AtOnce);
    world.produce(&start("approval"));
    world.produce(&now(decided("nobody", json!(null))));
    world.produce(&now(decided("somebody", json!("ann"))));
    world.produce(&now(decided("somebody", json!("ann"))));
    world.produce(&now(decided("too late", json!("bob"))));
    expect![[r#"
        nobody rejected deliver_signal not_taken
        somebody accepted deliver_signal taken /do/0/decision running
        somebody rejected deliver_signal duplicate
        too late rejected deliver_signal not_taken
    "#]]
    .assert_eq(&told(&mut world));
}

#[test]
fn who_does_not_ask_is_told_of_refusals_only() {
    let mut world = World::new(&[APPROVAL]);
    world.restart();
    world.produce(&start("unknown"));
    world.produce(&start("approval"));
    world.produce(&decided("one", json!("ann")));
    world.produce(&decided("one", json!("ann")));
    expect![[r#"
        one rejected deliver_signal duplicate
    "#]]
    .assert_eq(&told(&mut world));
}

#[test]
fn what_becomes_a_dead_letter_is_a_refusal_for_those_who_ask() {
    let mut world = World::new(&[APPROVAL]);
    world.restart();
    world.produce(&with_answer(start("unknown"), Answer::Outcome));
    expect![[r#"
        start rejected start unknown_workflow
    "#]]
    .assert_eq(&told(&mut world));
    let dead = world.config.topics.dead_letters();
    assert_eq!(world.of_topic(&dead).len(), 1);
}

/// The new owner knows what the old one has accepted, from the snapshot as from the changelog.
#[test]
fn a_copy_of_an_event_is_known_to_the_next_owner() {
    for flush_seconds in [0, 10] {
        let mut world = World::new(&[APPROVAL]);
        world.restart();
        world.produce(&start("approval"));
        world.produce(&decided("one", json!("ann")));
        world.settle();
        world.pass(flush_seconds);
        assert_eq!(world.durable.snapshots.is_empty(), flush_seconds == 0);
        world.restart();
        world.produce(&decided("one", json!("ann")));
        assert_eq!(told(&mut world), "one rejected deliver_signal duplicate\n");
    }
}
