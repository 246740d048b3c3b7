//! What a partition tells for metrics: of tasks, of time, of what was in memory.

use std::time::Duration;

use millrace_partition::{Observation, OpenTasks, SourceKind};
use millrace_schemas::cloud_event::{complete_event, fail_event, start_event};
use millrace_schemas::event::TaskError;
use millrace_schemas::{EventId, InstanceId, Timestamp, WorkflowName};
use serde_json::json;

use crate::world::World;

const CALL: &str = "
document:
  dsl: 1.0.3
  namespace: test
  name: call
  version: 1.0.0
  metadata: {millrace: {queue: orders}}
do:
  - set: {set: {a: 1}}
  - work: {call: work, timeout: {after: PT1M}}
";

fn event_id(text: &str) -> EventId {
    EventId { source: "test".to_owned(), id: text.to_owned() }
}

fn start(world: &mut World, instance: &str) {
    let workflow = WorkflowName { namespace: "test".into(), name: "call".into() };
    let id = InstanceId::new(instance).unwrap();
    world.produce(&start_event(event_id(instance), &id, &workflow, None, json!({})));
}

fn open(world: &World) -> Vec<OpenTasks> {
    world.partition.as_ref().unwrap().open_tasks(world.now)
}

fn orders(count: u64, oldest: Timestamp) -> OpenTasks {
    OpenTasks { queue: "orders".into(), count, oldest }
}

#[test]
fn tasks_are_open_from_their_dispatch_to_their_end() {
    let mut world = World::new(&[CALL]);
    world.restart();
    let began = world.now;
    for instance in ["a", "b", "c"] {
        start(&mut world, instance);
    }
    world.settle();
    assert_eq!(open(&world), [orders(3, began)]);
    world.pass(20);
    let tasks = world.tasks();
    world.produce(&complete_event(event_id("a/1"), &tasks[0].instance, tasks[0].token, json!(1)));
    let error = TaskError {
        error_type: "https://example.com/no".to_owned(),
        status: 500,
        title: None,
        detail: None,
        instance: None,
    };
    world.produce(&fail_event(event_id("b/1"), &tasks[1].instance, tasks[1].token, &error, false));
    world.settle();
    assert_eq!(open(&world), [orders(1, began)]);
    world.pass(60);
    assert_eq!(open(&world), [orders(0, world.now)]);

    let ended = world.observed.iter().filter_map(|it| match it {
        Observation::TaskEnded { queue, outcome, took } => {
            Some((queue.to_string(), *outcome, took.as_secs()))
        }
        _ => None,
    });
    let told = |outcome, seconds| ("orders".to_owned(), outcome, seconds);
    let expected = [told("completed", 20), told("failed", 20), told("timed_out", 80)];
    assert_eq!(ended.collect::<Vec<_>>(), expected);
    let sent = world
        .observed
        .iter()
        .filter(|it| matches!(it, Observation::TaskDispatched { queue } if **queue == *"orders"));
    assert_eq!(sent.count(), 3);
}

/// What a task was sent before the partition came here is not known without a look at all instances.
#[test]
fn a_new_owner_counts_the_tasks_that_it_has_seen_begin() {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "old");
    world.settle();
    world.pass(1);
    world.restart();
    world.pass(1);
    let began = world.now;
    start(&mut world, "new");
    world.settle();
    assert_eq!(open(&world), [orders(1, Timestamp(began.0 - began.0 % 10_000))]);
    for task in world.tasks() {
        let id = event_id(&format!("{}/1", task.instance));
        world.produce(&complete_event(id, &task.instance, task.token, json!(1)));
    }
    world.settle();
    assert_eq!(open(&world), [orders(0, world.now)]);
}

#[test]
fn a_batch_tells_how_long_its_records_took_and_what_was_in_memory() {
    let mut world = World::new(&[CALL]);
    world.restart();
    world.holds_commits = true;
    start(&mut world, "a");
    world.settle();
    world.now = world.now.plus(Duration::from_millis(250));
    world.commit_held();
    let told = |world: &World| {
        let batches = world.observed.iter().filter_map(|it| match it {
            Observation::BatchCommitted { latencies, lookups, misses } => {
                Some((latencies.clone(), *lookups, *misses))
            }
            _ => None,
        });
        batches.collect::<Vec<_>>()
    };
    let latency = (SourceKind::Events, Duration::from_millis(250));
    assert_eq!(told(&world), [(vec![latency], 1, 1)]);
    // It is in memory now.
    world.holds_commits = false;
    let task = world.tasks().remove(0);
    world.produce(&complete_event(event_id("a/1"), &task.instance, task.token, json!(1)));
    world.settle();
    assert_eq!(told(&world)[1], (vec![(SourceKind::Events, Duration::ZERO)], 1, 0));
}

#[test]
fn steps_are_the_tasks_that_were_entered() {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "a");
    world.settle();
    let decided = world.observed.iter().find_map(|it| match it {
        Observation::CommandDecided { command, steps, .. } => Some((*command, *steps)),
        _ => None,
    });
    assert_eq!(decided, Some(("start", 2)));
}

#[test]
fn what_waits_is_told_with_the_next_record_first() {
    let mut world = World::new(&[CALL]);
    world.restart();
    world.holds_commits = true;
    for instance in ["a", "b", "c", "d", "e", "f"] {
        start(&mut world, instance);
        world.now = world.now.plus(Duration::from_secs(1));
    }
    world.settle();
    let offsets = |world: &World| {
        let waiting = world.partition.as_ref().unwrap().waiting().map(|it| it.offset.0);
        waiting.collect::<Vec<_>>()
    };
    // Four are in the batch that is being committed.
    assert_eq!(offsets(&world), [0, 1, 2, 3, 4, 5]);
    world.commit_held();
    assert_eq!(offsets(&world), [4, 5]);
}

#[test]
fn what_the_store_lacks_has_an_age() {
    let mut world = World::new(&[CALL]);
    world.restart();
    let gauges = |world: &World| world.partition.as_ref().unwrap().gauges();
    assert_eq!(gauges(&world).unwritten_since, None);
    let began = world.now;
    start(&mut world, "a");
    world.settle();
    assert_eq!(gauges(&world).unwritten_since, Some(began));
    world.pass(10);
    assert_eq!(gauges(&world).unwritten_since, None);
    assert_eq!(gauges(&world).checkpoint_at, Some(world.now));
}
