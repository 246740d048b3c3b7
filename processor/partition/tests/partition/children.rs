//! Instances that start others: what goes through the inbox, and what a parent is told when a start cannot be done.

use millrace_schemas::cloud_event::{cancel_event, start_event};
use millrace_schemas::instance::Status;
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use serde_json::json;

use crate::world::World;

const PARENT: &str = "
document: {dsl: 1.0.3, namespace: test, name: parent, version: 1.0.0}
do:
  - one: {run: {workflow: {namespace: test, name: child, version: latest, input: {n: '${ .n }'}}}}
";

const CHILD: &str = "
document: {dsl: 1.0.3, namespace: test, name: child, version: 1.0.0}
input: {schema: {document: {properties: {n: {type: integer}}}}}
do:
  - answer: {set: {got: '${ .n }'}}
  - wait: {wait: PT1H, if: .got > 10}
";

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

fn start(world: &mut World, instance: &str, workflow: &str, n: serde_json::Value) {
    let workflow = WorkflowName { namespace: "test".into(), name: workflow.into() };
    let event_id = EventId { source: "test".to_owned(), id: instance.to_owned() };
    world.produce(&start_event(event_id, &id(instance), &workflow, None, json!({ "n": n })));
    world.settle();
}

fn world(definitions: &[&str]) -> World {
    let mut world = World::new(definitions);
    world.restart();
    world
}

fn fault(world: &World, instance: &str) -> String {
    match &world.folded()[&id(instance)].status {
        Status::Faulted { error } => {
            format!("{} {:?}", error.status, error.detail.as_deref().unwrap_or_default())
        }
        other => other.name().to_owned(),
    }
}

#[test]
fn a_child_is_started_and_answers_through_the_inbox() {
    let mut world = world(&[PARENT, CHILD]);
    start(&mut world, "p", "parent", json!(7));
    assert_eq!((world.status("p"), world.status("p.1.1")), ("completed", "completed"));
    let Status::Completed { output } = &world.folded()[&id("p")].status else { panic!("completed") };
    assert_eq!(output.value(), &json!({"got": 7}));
    // The stub remembers whose child it was.
    assert_eq!(world.folded()[&id("p.1.1")].parent.as_ref().unwrap().instance, id("p"));
}

#[test]
fn a_parent_that_is_cancelled_takes_its_child_with_it_and_a_child_tells_its_parent() {
    let mut world = world(&[PARENT, CHILD]);
    let cancel = |world: &mut World, instance: &str| {
        let event_id = EventId { source: "test".to_owned(), id: format!("cancel {instance}") };
        world.produce(&cancel_event(event_id, &id(instance), "enough", false));
        world.settle();
    };
    start(&mut world, "p", "parent", json!(11));
    start(&mut world, "q", "parent", json!(12));
    cancel(&mut world, "p");
    assert_eq!((world.status("p"), world.status("p.1.1")), ("cancelled", "cancelled"));
    cancel(&mut world, "q.1.1");
    assert_eq!(fault(&world, "q"), "500 \"the child workflow was cancelled: enough\"");
}

#[test]
fn what_cannot_be_started_fails_the_task_that_waits() {
    let mut world = world(&[PARENT, CHILD]);
    start(&mut world, "faulty", "parent", json!("no number"));
    assert!(fault(&world, "faulty").contains("is not of type"), "{}", fault(&world, "faulty"));
    // Somebody has the id already.
    start(&mut world, "taken.1.1", "child", json!(1));
    start(&mut world, "taken", "parent", json!(1));
    assert!(fault(&world, "taken").contains("could not be started"), "{}", fault(&world, "taken"));

    let mut world = self::world(&[PARENT]);
    start(&mut world, "lonely", "parent", json!(1));
    assert!(fault(&world, "lonely").contains("test/child is not deployed"), "{}", fault(&world, "lonely"));
}

#[test]
fn a_child_comes_to_its_end_through_crashes() {
    for crash in 0..6 {
        let mut world = world(&[PARENT, CHILD]);
        world.holds_commits = true;
        start(&mut world, "p", "parent", json!(7));
        for step in 0..6 {
            if world.held.is_none() {
                continue;
            }
            if step == crash {
                if crash % 2 == 0 {
                    world.commit_held_silently()
                }
                world.restart();
            } else {
                world.commit_held();
            }
            world.settle();
        }
        world.holds_commits = false;
        if world.held.is_some() {
            world.commit_held();
        }
        world.settle();
        world.restart();
        world.settle();
        assert_eq!((world.status("p"), world.status("p.1.1")), ("completed", "completed"), "{crash}");
    }
}
