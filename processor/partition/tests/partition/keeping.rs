//! What a partition keeps and for how long: in memory, in the store, in the log; and what it does with what it cannot read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_partition::{ChangelogRecord, Config, Input, Observation, QueryId, TailLimit};
use millrace_schemas::cloud_event::{complete_event, start_event};
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::snapshot::SnapshotRecord;
use millrace_schemas::{EventId, InstanceId, Offset, Stamp, WorkflowName};
use serde_json::json;

use crate::world::World;

const CALL: &str = "
document: {dsl: 1.0.3, namespace: test, name: call, version: 1.0.0}
do:
  - first: {call: work, with: {n: 1}}
  - second: {call: work, with: {n: 2}}
";

const QUIET: &str = "
document: {dsl: 1.0.3, namespace: test, name: quiet, version: 1.0.0, metadata: {millrace: {history: off}}}
do:
  - first: {call: work}
";

const LONG: &str = "
document:
  {dsl: 1.0.3, namespace: test, name: long, version: 1.0.0, metadata: {millrace: {history: {retention: {days: 365}}}}}
do:
  - first: {call: work}
";

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

fn event_id(text: &str) -> EventId {
    EventId { source: "test".to_owned(), id: text.to_owned() }
}

fn world(definitions: &[&str], change: impl FnOnce(&mut Config)) -> World {
    let mut world = World::new(definitions);
    change(Arc::get_mut(&mut world.config).unwrap());
    world.restart();
    world
}

fn call() -> WorkflowName {
    WorkflowName { namespace: "test".into(), name: "call".into() }
}

fn start(world: &mut World, instance: &str, workflow: &str) {
    let workflow = WorkflowName { namespace: "test".into(), name: workflow.into() };
    world.produce(&start_event(event_id(instance), &id(instance), &workflow, None, json!({"a": 1})));
    world.settle();
}

fn answer_all(world: &mut World) {
    for task in world.tasks() {
        let cause = event_id(&format!("{}/{}", task.instance, task.token));
        world.produce(&complete_event(cause, &task.instance, task.token, json!({"done": true})));
    }
    world.settle();
}

fn gauges(world: &World) -> millrace_partition::Gauges {
    world.partition.as_ref().unwrap().gauges()
}

fn checkpoint(world: &World) -> Checkpoint {
    world.codec.decode_checkpoint(&world.durable.checkpoint.clone().unwrap().1).unwrap()
}

/// Until everything is flushed, and a little longer.
fn flush(world: &mut World) {
    (0..20).for_each(|_| world.pass(6));
}

/// What has ended is written as soon as there is a whole flush of it, and with it nothing that goes on: that would be written again.
#[test]
fn what_has_ended_waits_for_a_full_flush_and_not_for_the_interval() {
    const SET: &str = "
document: {dsl: 1.0.3, namespace: test, name: set, version: 1.0.0}
do: [{a: {set: {done: true}}}]
";
    let mut world = World::new(&[CALL, SET]);
    world.restart();
    for number in 0..5 {
        start(&mut world, &format!("call-{number}"), "call");
    }
    for number in 0..2 {
        start(&mut world, &format!("set-{number}"), "set");
    }
    world.settle();
    assert_eq!(world.durable.snapshots.len(), 0);
    start(&mut world, "set-2", "set");
    world.settle();
    let written =
        |world: &World| -> Vec<String> { world.durable.snapshots.keys().map(ToString::to_string).collect() };
    assert_eq!(written(&world), ["set-0", "set-1", "set-2"]);
    assert!(world.durable.history.keys().all(|it| it.0.as_str().starts_with("set")));
    assert!(!world.durable.history.is_empty());
    world.pass(6);
    assert_eq!(written(&world).len(), 8, "what goes on may wait for so long");
}

/// An id that says when it was made, later than all others, is not looked for in the store; and once used it is, whoever owns the partition.
#[test]
fn the_store_is_not_asked_for_an_id_that_cannot_have_been_used() {
    const IDS: [&str; 3] = [
        "01a318ff-0000-7000-8000-000000000001",
        "order-17-01a318ff-0001-7000-8000-000000000002",
        "01a318ff-0002-7000-8000-000000000003/first",
    ];
    let mut world = world(&[CALL], |_| {});
    for id in IDS {
        start(&mut world, id, "call");
    }
    assert_eq!(world.loaded, []);
    start(&mut world, "order-17", "call");
    assert_eq!(world.loaded, [id("order-17")]);

    // They leave memory, and are started again.
    answer_all(&mut world);
    answer_all(&mut world);
    flush(&mut world);
    assert_eq!(gauges(&world).instances_cached, 0);
    for owner in 0..2 {
        world.loaded.clear();
        if owner > 0 {
            world.restart();
            world.settle();
        }
        for it in IDS {
            world.produce(&start_event(
                event_id(&format!("{it}/{owner}")),
                &id(it),
                &call(),
                None,
                json!({}),
            ));
        }
        world.settle();
        assert!(IDS.iter().all(|it| world.loaded.contains(&id(it))), "{:?}", world.loaded);
        assert_eq!(IDS.map(|it| world.status(it)), ["completed"; 3]);
        assert_eq!(checkpoint(&world).newest_id, id(IDS[2]).made_at());
    }
    // Also of what the tail tells alone.
    const LATER: &str = "01a318ff-0009-7000-8000-000000000001";
    start(&mut world, LATER, "call");
    world.restart();
    world.settle();
    world.loaded.clear();
    start(&mut world, LATER, "call");
    assert!(world.loaded.contains(&id(LATER)));
    assert_eq!(world.tasks().iter().filter(|it| it.instance == id(LATER)).count(), 1);
    // What is older than the newest may have been used by an earlier owner.
    start(&mut world, "01a318ff-0001-7000-8000-000000000009", "call");
    start(&mut world, "01a318ff-000a-7000-8000-000000000009", "call");
    assert_eq!(world.loaded.last(), Some(&id("01a318ff-0001-7000-8000-000000000009")));
}

/// Somebody has asked for an instance before it was started, and the store is slow to say that there is none: by then it has been there and gone.
#[test]
fn what_is_being_read_is_waited_for_though_its_id_is_new() {
    const ID: &str = "01a318ff-0000-7000-8000-000000000001";
    let mut world = world(&[CALL], |_| {});
    world.holds_loads = true;
    world.input(Input::Query { query: QueryId(1), instance: id(ID) });
    start(&mut world, ID, "call");
    assert!(world.tasks().is_empty(), "the start waits for the answer");
    world.holds_loads = false;
    for answer in std::mem::take(&mut world.held_rows) {
        world.input(answer);
    }
    world.settle();
    assert_eq!(world.tasks().len(), 1);
    answer_all(&mut world);
    answer_all(&mut world);
    assert_eq!(world.status(ID), "completed");
}

#[test]
fn an_idle_instance_leaves_memory_and_comes_back_when_it_is_needed() {
    let mut world = world(&[CALL], |it| it.cache_bytes_max = 1_000_000);
    start(&mut world, "a", "call");
    world.pass(6);
    assert_eq!((gauges(&world).instances_cached, gauges(&world).instances_dirty), (1, 0));
    world.pass(61);
    assert_eq!((gauges(&world).instances_cached, gauges(&world).cache_bytes), (0, 0));
    answer_all(&mut world);
    answer_all(&mut world);
    assert_eq!(world.status("a"), "completed");
}

#[test]
fn the_cache_is_bounded_and_a_dirty_instance_stays() {
    let mut world = world(&[CALL], |it| it.cache_bytes_max = 0);
    start(&mut world, "a", "call");
    assert_eq!(gauges(&world).instances_cached, 1, "dirty");
    world.pass(6);
    assert_eq!(gauges(&world).instances_cached, 0, "clean, and there is no room");
}

#[test]
fn half_a_tail_is_flushed_without_waiting_for_the_interval() {
    for tail in [TailLimit { entries: 4, bytes: 1_000_000 }, TailLimit { entries: 1_000, bytes: 400 }] {
        let mut world = world(&[CALL], |it| {
            it.tail = tail;
            it.flush_interval = Duration::from_secs(3_600);
        });
        start(&mut world, "a", "call");
        start(&mut world, "b", "call");
        start(&mut world, "c", "call");
        assert!(gauges(&world).tail_entries < 3, "{tail:?}: {:?}", gauges(&world));
    }
}

#[test]
fn an_outage_of_the_store_stops_the_intake_at_the_limit_and_loses_nothing() {
    let mut world = world(&[CALL], |it| it.unflushed = TailLimit { entries: 6, bytes: 1_000_000 });
    world.holds_flushes = true;
    for n in 0..30 {
        start(&mut world, &format!("i{n}"), "call");
        world.pass(6);
    }
    let waiting = gauges(&world);
    assert!((6..10).contains(&waiting.tail_entries), "{waiting:?}");
    assert!(waiting.inbox_records > 0, "{waiting:?}");
    world.holds_flushes = false;
    let flushed = world.held_flush.take().map(|it| world.store(&it)).unwrap();
    world.input(flushed);
    flush(&mut world);
    assert_eq!(world.folded().len(), 30);
}

#[test]
fn the_log_is_trimmed_behind_a_checkpoint_that_was_read_back() {
    let mut world = world(&[CALL], |_| {});
    start(&mut world, "a", "call");
    world.pass(6);
    // The row is lost on its way, or so it looks to whoever reads it back.
    let row = world.durable.checkpoint.take();
    world.pass(40);
    assert_eq!(world.durable.changelog_start, Offset(0), "nothing vouches for it");
    world.durable.checkpoint = row;
    flush(&mut world);
    let start = world.durable.changelog_start;
    assert!(start > Offset(0) && start <= checkpoint(&world).changelog_offset);
    world.restart();
    answer_all(&mut world);
    answer_all(&mut world);
    assert_eq!(world.status("a"), "completed");
}

#[test]
fn history_is_kept_as_the_workflow_says() {
    let mut world = world(&[CALL, QUIET, LONG], |_| {});
    for (instance, workflow) in [("a", "call"), ("b", "quiet"), ("c", "long")] {
        start(&mut world, instance, workflow);
    }
    flush(&mut world);
    answer_all(&mut world);
    flush(&mut world);
    let told = |world: &World, instance: &str| {
        world.durable.history.keys().filter(|it| it.0 == id(instance)).count()
    };
    assert_eq!((told(&world, "a"), told(&world, "b"), told(&world, "c")), (2, 0, 2));
    assert_eq!(world.history_ttl("a"), Some(Duration::from_secs(30 * 86_400)), "the fleet's");
    assert_eq!(world.history_ttl("c"), Some(Duration::from_secs(365 * 86_400)), "its own");
    assert_eq!(gauges(&world).tail_entries, 0, "what is not told does not hold the checkpoint");
}

/// The rows of a restored tail, too.
#[test]
fn a_restore_tells_no_history_of_a_workflow_that_wants_none() {
    let mut world = world(&[QUIET], |_| {});
    start(&mut world, "b", "quiet");
    world.restart();
    flush(&mut world);
    assert_eq!((world.durable.history.len(), gauges(&world).tail_entries), (0, 0));
}

#[test]
fn the_next_owner_loads_the_busiest_instances_before_it_is_asked() {
    let mut world = world(&[CALL], |_| {});
    for n in 0..5 {
        start(&mut world, &format!("i{n}"), "call");
    }
    for task in world.tasks().into_iter().filter(|it| it.instance == id("i3")) {
        world.produce(&complete_event(event_id("answer"), &task.instance, task.token, json!(1)));
    }
    flush(&mut world);
    assert_eq!(checkpoint(&world).hot_keys, [id("i3")]);
    world.restart();
    assert_eq!(gauges(&world).instances_cached, 1);
}

#[test]
fn a_long_tail_is_restored_through_the_store() {
    let mut world = world(&[CALL], |it| {
        it.restore_bytes_max = 400;
        it.unflushed = TailLimit::UNFLUSHED;
    });
    world.holds_flushes = true;
    for n in 0..40 {
        start(&mut world, &format!("i{n}"), "call");
    }
    assert!(world.durable.snapshots.is_empty());
    world.holds_flushes = false;
    world.restart();
    assert!(world.durable.snapshots.len() > 30, "{} rows", world.durable.snapshots.len());
    answer_all(&mut world);
    answer_all(&mut world);
    assert!(world.folded().values().all(|it| it.status.name() == "completed"));
}

/// An entry that no release can read belongs to one instance: its neighbours go on, the checkpoint passes it, and the instance is all
/// there once the entry can be read.
#[test]
fn an_instance_that_cannot_be_rebuilt_is_parked_and_holds_up_nobody() {
    let mut world = world(&[CALL], |_| {});
    start(&mut world, "good", "call");
    start(&mut world, "bad", "call");
    let broken = world.durable.changelog.iter().position(|it| it.key.as_deref() == Some(b"bad")).unwrap();
    let original: ChangelogRecord = world.durable.changelog[broken].clone();
    world.durable.changelog[broken].value = Bytes::from_static(b"\xc3\x01nonsense that no schema fits");
    world.restart();
    flush(&mut world);
    assert!(
        world.observed.iter().any(
            |it| matches!(it, Observation::InstanceQuarantined { instance, .. } if *instance == id("bad"))
        )
    );
    assert_eq!(gauges(&world).tail_entries, 0, "it does not hold the checkpoint");
    let row = world.durable.snapshots[&id("bad")].clone();
    let SnapshotRecord::Parked(parked) = world.codec.decode_snapshot_record(&row.value).unwrap() else {
        panic!("it is parked")
    };
    assert_eq!((parked.snapshot, parked.entries.len()), (None, 1));
    assert_eq!(row.stamp, Stamp::new(1, Offset(0), original.offset));

    // The next owner knows it too; what is sent to it is a dead letter, and the neighbour ends.
    world.restart();
    answer_all(&mut world);
    answer_all(&mut world);
    let letters = world.config.topics.dead_letters();
    assert!(!world.of_topic(&letters).is_empty());
    let folded = world.codec.decode_snapshot_record(&row.value);
    assert!(matches!(folded, Ok(SnapshotRecord::Parked(_))));

    // It is looked at again after a while, though nobody asks for it.
    assert!(world.durable.timers.iter().any(|it| it.instance == id("bad")));

    // A release that can read the entry gets the instance back.
    let mended = millrace_schemas::snapshot::ParkedInstance {
        era: 1,
        offset: original.offset,
        reason: "as above".to_owned(),
        snapshot: None,
        entries: vec![original.value.clone()],
    };
    world.durable.snapshots.get_mut(&id("bad")).unwrap().value = world.codec.encode_parked(&mended).into();
    world.durable.changelog[broken] = original;
    world.restart();
    answer_all(&mut world);
    answer_all(&mut world);
    assert_eq!(world.status("bad"), "completed");
}

/// A row that can never be read is the trouble of one instance: the restore goes on, through the store too, and so do its neighbours.
#[test]
fn a_damaged_row_stops_one_instance_and_no_restore() {
    let mut world = world(&[CALL], |it| {
        it.restore_bytes_max = 400;
        it.unflushed = TailLimit::UNFLUSHED;
    });
    world.holds_flushes = true;
    for n in 0..40 {
        start(&mut world, &format!("i{n}"), "call");
    }
    world.holds_flushes = false;
    world.durable.damaged.insert(id("i7"));
    world.restart();
    assert!(gauges(&world).is_active);
    answer_all(&mut world);
    answer_all(&mut world);
    assert_eq!(
        (world.status("i6"), world.status("i7"), world.status("i8")),
        ("completed", "running", "completed")
    );
    // It stays dirty, and holds the checkpoint, but nobody is woken for it again and again.
    world.pass(60);
    let next = world.partition.as_ref().unwrap().next_deadline();
    assert!(next.is_some_and(|it| it > world.now), "{next:?} at {:?}", world.now);
}

/// Its timers were in no index while it was parked.
#[test]
fn a_parked_instance_comes_back_by_itself_with_its_timers() {
    const WAIT: &str = "
document: {dsl: 1.0.3, namespace: test, name: wait, version: 1.0.0}
do:
  - pause: {wait: {minutes: 5}}
";
    let mut world = world(&[WAIT], |_| {});
    start(&mut world, "a", "wait");
    let original = world.durable.changelog.iter().find(|it| it.key.is_some()).cloned().unwrap();
    let at = world.durable.changelog.iter().position(|it| it.key.is_some()).unwrap();
    world.durable.changelog[at].value = Bytes::from_static(b"\xc3\x01nonsense that no schema fits");
    world.restart();
    flush(&mut world);
    let parked = millrace_schemas::snapshot::ParkedInstance {
        era: 1,
        offset: original.offset,
        reason: "an older release".to_owned(),
        snapshot: None,
        entries: vec![original.value.clone()],
    };
    world.durable.snapshots.get_mut(&id("a")).unwrap().value = world.codec.encode_parked(&parked).into();
    world.durable.changelog[at] = original;
    world.restart();
    world.pass(600);
    assert_eq!(world.status("a"), "running", "nobody has looked at it yet");
    for _ in 0..8 {
        world.pass(500);
    }
    assert_eq!(world.status("a"), "completed");
    assert_eq!(gauges(&world).instances_quarantined, 0);
}

/// The group's offset may have been reset, and after an `era open` it is ahead of the log.
#[test]
fn the_log_says_where_its_sources_are_read_not_the_group() {
    let mut world = world(&[CALL], |_| {});
    start(&mut world, "a", "call");
    world.durable.internal_offset = Some(Offset(7));
    world.restart();
    let own = millrace_partition::Source::Internal(0);
    assert_eq!(world.partition.as_ref().unwrap().positions()[&own], Offset(0));
}
