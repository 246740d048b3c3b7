//! One partition over a log and a store in memory: batches, restore, write-behind, timers, bad input.

use std::sync::Arc;

use bytes::Bytes;
use millrace_partition::{InboundRecord, Input, Observation, QueryId, Remains, Reopening, Source};
use millrace_placement::{KeyGroups, PartitionIndex};
use millrace_schemas::cloud_event::{cancel_event, complete_event, signal_event, start_event};
use millrace_schemas::codec::ChangelogRecord;
use millrace_schemas::dead_letter::DeadLetter;
use millrace_schemas::handover::{ReleaseRequested, Released};
use millrace_schemas::internal::InternalRecord;
use millrace_schemas::partition::Positions;
use millrace_schemas::{EventId, InstanceId, Offset, PlanId, WorkflowName};
use proptest::prelude::*;
use serde_json::json;

use crate::world::{Durable, World, id_at_home};

const CALL: &str = "
document: {dsl: 1.0.3, namespace: test, name: call, version: 1.0.0}
do:
  - first: {call: work, with: {n: 1}}
  - second: {call: work, with: {n: 2}}
";

const WAIT: &str = "
document: {dsl: 1.0.3, namespace: test, name: wait, version: 1.0.0}
do:
  - pause: {wait: {minutes: 5}}
";

/// Two tasks, one after the other, against half a minute.
const RACE: &str = "
document: {dsl: 1.0.3, namespace: test, name: race, version: 1.0.0}
do:
  - race:
      fork:
        compete: true
        branches:
          - calls: {do: [{first: {call: work}}, {second: {call: work}}]}
          - slept: {wait: {seconds: 30}}
";

const LONG_WAIT: &str = "
document: {dsl: 1.0.3, namespace: test, name: long-wait, version: 1.0.0}
do:
  - pause: {wait: {days: 2}}
";

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

fn event_id(text: &str) -> EventId {
    EventId { source: "test".to_owned(), id: text.to_owned() }
}

fn start(world: &mut World, instance: &str, workflow: &str) {
    let workflow = WorkflowName { namespace: "test".into(), name: workflow.into() };
    world.produce(&start_event(event_id(instance), &id(instance), &workflow, None, json!({"a": 1})));
}

/// Answers every task that was dispatched so far; answering again is what workers do.
fn answer_all(world: &mut World) {
    for task in world.tasks() {
        let cause = event_id(&format!("{}/{}", task.instance, task.token));
        world.produce(&complete_event(cause, &task.instance, task.token, json!({"done": true})));
    }
}

/// As workers do that see what is not committed.
fn answer_ahead(world: &mut World) {
    for task in world.tasks_ahead() {
        let cause = event_id(&format!("{}/{}/ahead", task.instance, task.token));
        world.produce(&complete_event(cause, &task.instance, task.token, json!({"done": true})));
    }
}

fn dead_letters(world: &World) -> Vec<String> {
    let topic = world.config.topics.dead_letters();
    world.of_topic(&topic).iter().map(|it| DeadLetter::parse(&it.headers).unwrap().reason).collect()
}

/// While a batch commits, what the next one needs comes into memory, and stays there until its turn.
#[test]
fn the_next_batch_is_prepared_while_this_one_commits() {
    let mut world = World::new(&[CALL]);
    Arc::get_mut(&mut world.config).unwrap().cache_bytes_max = 0;
    world.restart();
    world.holds_commits = true;
    for number in 0..10 {
        start(&mut world, &format!("i-{number}"), "call");
    }
    world.settle();
    let gauges = |world: &World| world.partition.as_ref().unwrap().gauges();
    assert_eq!((gauges(&world).inbox_records, gauges(&world).instances_cached), (6, 8));
    // What comes back is read again, and so is what came after it.
    world.abort_held();
    assert_eq!((gauges(&world).inbox_records, gauges(&world).instances_cached), (6, 8));
    world.commit_held();
    assert_eq!((gauges(&world).inbox_records, gauges(&world).instances_cached), (2, 10));
    world.holds_commits = false;
    world.commit_held();
    assert_eq!(world.tasks().len(), 10);
}

/// A worker that does not wait for the commit is answered in the transaction that has sent it its task.
#[test]
fn a_transaction_goes_on_until_it_is_sealed() {
    let mut world = World::new(&[CALL]);
    Arc::get_mut(&mut world.config).unwrap().batch_records_max = 20;
    world.restart();
    world.holds_seals = true;
    world.holds_commits = true;
    start(&mut world, "a", "call");
    world.settle();
    answer_ahead(&mut world);
    world.settle();
    answer_ahead(&mut world);
    world.settle();
    assert!(world.durable.out.is_empty(), "nothing is committed");
    let (records, id) = world.appended.as_ref().map(|it| (it.changelog.len(), it.id)).unwrap();
    assert_eq!(records, 3, "a start and two answers, and no positions yet");

    world.seal();
    // What comes now is for the next one, also while this one is tried again.
    start(&mut world, "b", "call");
    world.settle();
    assert_eq!(world.held.as_ref().map(|it| (it.changelog.len(), it.id)), Some((4, id)));
    world.abort_held();
    let again = world.appended.as_ref().unwrap();
    assert_eq!(again.changelog.len(), 2, "both starts: the answers are to tasks that never were");
    assert_ne!(again.id, id);
    world.seal();
    world.holds_seals = false;
    world.holds_commits = false;
    world.commit_held();
    assert_eq!((world.status("a"), world.status("b")), ("running", "running"));
    answer_all(&mut world);
    world.settle();
    answer_all(&mut world);
    world.settle();
    assert_eq!((world.status("a"), world.status("b")), ("completed", "completed"));
}

/// An answer that was taken ahead has cancelled a timer; then the transaction is aborted, and the answer is to a task that never was. So the
/// timer is pending still, however due it was meanwhile.
#[test]
fn a_timer_that_an_aborted_transaction_has_cancelled_is_not_lost() {
    let mut world = World::new(&[RACE]);
    Arc::get_mut(&mut world.config).unwrap().batch_records_max = 20;
    world.restart();
    start(&mut world, "r", "race");
    world.settle();
    world.holds_seals = true;
    world.holds_commits = true;
    answer_all(&mut world);
    world.settle();
    answer_ahead(&mut world);
    world.pass(31);
    world.seal();
    assert!(world.held.is_some());
    world.abort_held();
    world.holds_seals = false;
    world.seal();
    world.holds_commits = false;
    world.commit_held();
    for _ in 0..3 {
        world.pass(1);
    }
    assert_eq!(world.status("r"), "completed");
}

/// A batch that was put back has asked for the definitions, and its next try asks again: the first answer may be too old for that.
#[test]
fn the_definitions_are_known_by_the_last_answer() {
    let mut world = World::new(&[CALL]);
    world.restart();
    (world.holds_seals, world.holds_commits, world.holds_catch_ups) = (true, true, true);
    start(&mut world, "a", "call");
    world.settle();
    start(&mut world, "b", "wait");
    world.settle();
    assert_eq!(world.held_catch_ups, 1);
    world.seal();
    world.abort_held();
    assert_eq!(world.held_catch_ups, 2);
    let too_old = world.caught_up();
    world.input(too_old);
    world.deploy(WAIT);
    (world.holds_seals, world.holds_commits) = (false, false);
    let answer = world.caught_up();
    world.input(answer);
    assert_eq!((world.status("a"), world.status("b")), ("running", "running"));
    assert_eq!(dead_letters(&world), Vec::<String>::new());
}

/// Whoever was told of a start by the log may ask before the partition has heard that it is committed.
#[test]
fn a_question_about_what_is_being_committed_waits_for_the_outcome() {
    let mut world = World::new(&[CALL]);
    world.restart();
    let ask = |world: &mut World, id: &str| {
        world.input(Input::Query { query: QueryId(1), instance: InstanceId::new(id).unwrap() });
        std::mem::take(&mut world.answers).into_iter().map(|it| it.is_some()).collect::<Vec<_>>()
    };
    (world.holds_seals, world.holds_commits) = (true, true);
    start(&mut world, "a", "call");
    world.settle();
    assert_eq!(ask(&mut world, "a"), [false], "nothing of it is on its way");
    world.seal();
    assert_eq!(ask(&mut world, "a"), Vec::<bool>::new());
    assert_eq!(ask(&mut world, "b"), [false], "another one is not touched");
    world.abort_held();
    assert_eq!(std::mem::take(&mut world.answers), [None]);
    world.seal();
    assert_eq!(ask(&mut world, "a"), Vec::<bool>::new());
    world.commit_held();
    assert_eq!(world.answers.len(), 1);
    assert!(world.answers[0].is_some());
}

/// What is open when the partition is handed over is committed first.
#[test]
fn what_is_open_is_committed_before_the_partition_is_drained() {
    let mut world = World::new(&[CALL]);
    world.restart();
    world.holds_seals = true;
    start(&mut world, "a", "call");
    world.settle();
    world.input(Input::Drain);
    assert!(!world.is_drained);
    world.seal();
    assert!(world.is_drained);
    assert_eq!(world.status("a"), "running");
}

#[test]
fn an_instance_runs_from_its_start_to_its_end() {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "a", "call");
    world.settle();
    assert_eq!(world.status("a"), "running");
    answer_all(&mut world);
    world.settle();
    answer_all(&mut world);
    world.settle();
    assert_eq!(world.status("a"), "completed");
    assert_eq!(world.tasks().len(), 2);
}

#[test]
fn a_running_instance_stays_on_its_version_and_a_new_one_takes_the_newest() {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "old", "call");
    world.settle();
    world.deploy(&CALL.replace("1.0.0", "1.1.0").replace("n: 2", "n: 20"));
    start(&mut world, "new", "call");
    world.settle();
    world.restart();
    answer_all(&mut world);
    world.settle();
    let second = |instance: &str| {
        let tasks = world.tasks();
        let task = tasks.iter().rfind(|it| it.instance == id(instance)).unwrap();
        (task.workflow.version.to_string(), task.arguments.value().clone())
    };
    assert_eq!(second("old"), ("1.0.0".to_owned(), json!({"n": 2})));
    assert_eq!(second("new"), ("1.1.0".to_owned(), json!({"n": 20})));
}

#[test]
fn an_owner_that_dies_before_any_snapshot_loses_nothing() {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "a", "call");
    world.settle();
    assert!(world.durable.snapshots.is_empty());
    world.restart();
    answer_all(&mut world);
    world.settle();
    answer_all(&mut world);
    world.settle();
    assert_eq!(world.status("a"), "completed");
}

#[test]
fn a_restore_reads_the_tail_only() {
    let mut world = World::new(&[CALL]);
    world.restart();
    for n in 0..10 {
        start(&mut world, &format!("a{n}"), "call");
    }
    world.settle();
    for _ in 0..10 {
        world.pass(6);
    }
    let checkpoint = world.codec.decode_checkpoint(&world.durable.checkpoint.clone().unwrap().1).unwrap();
    assert_eq!(checkpoint.changelog_offset.0, world.durable.changelog.len() as i64, "everything is flushed");
    world.restart();
    answer_all(&mut world);
    world.settle();
    answer_all(&mut world);
    world.settle();
    assert!(world.folded().values().all(|it| it.status.name() == "completed"));
}

#[test]
fn an_aborted_transaction_leaves_no_trace_and_its_records_are_handled_again() {
    let mut world = World::new(&[CALL]);
    world.restart();
    world.holds_commits = true;
    start(&mut world, "a", "call");
    world.settle();
    world.abort_held();
    assert_eq!(world.status("a"), "absent");
    world.holds_commits = false;
    world.commit_held();
    world.settle();
    assert_eq!(world.status("a"), "running");
    assert_eq!(world.tasks().len(), 1);
}

#[test]
fn nothing_uncommitted_is_flushed() {
    let mut world = World::new(&[CALL]);
    world.restart();
    world.holds_commits = true;
    start(&mut world, "a", "call");
    world.settle();
    world.pass(10);
    assert!(world.durable.snapshots.is_empty());
}

#[test]
fn a_record_of_another_partition_is_forwarded_once_and_not_decided() {
    let mut world = World::of(PartitionIndex(0), 4, &[CALL]);
    world.restart();
    let stranger = id_at_home(2, 4);
    start(&mut world, stranger.as_str(), "call");
    world.settle();
    let internal = world.config.topics.internal();
    let forwarded = world.of_topic(&internal);
    assert_eq!(forwarded.len(), 1);
    assert_eq!(forwarded[0].partition, Some(2));
    assert!(world.folded().is_empty());
}

#[test]
fn bad_records_become_dead_letters_and_good_ones_go_on() {
    let mut world = World::new(&[CALL]);
    world.restart();
    world.produce_raw(Some(Bytes::from_static(b"a")), vec![], Some(Bytes::from_static(b"\xff\xff not json")));
    start(&mut world, "b", "nowhere");
    world.produce_raw(None, vec![], None);
    start(&mut world, "c", "call");
    world.settle();
    assert_eq!(dead_letters(&world), ["not-a-cloudevent", "unknown-workflow", "not-a-cloudevent"]);
    assert_eq!(world.status("c"), "running");
}

#[test]
fn refused_commands_are_answered_on_lifecycle() {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "a", "call");
    start(&mut world, "a", "call");
    world.produce(&cancel_event(event_id("c1"), &id("a"), "enough", false));
    world.produce(&signal_event(event_id("s1"), &id("a"), "shop.late", None));
    world.produce(&signal_event(event_id("s2"), &id("nobody"), "shop.late", None));
    world.settle();
    answer_all(&mut world);
    world.settle();
    let lifecycle = world.config.topics.lifecycle();
    assert_eq!(world.of_topic(&lifecycle).len(), 4);
    let reasons: Vec<_> = world
        .observed
        .iter()
        .filter_map(|it| match it {
            Observation::CommandRejected { command, reason } => Some((*command, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("start", "already_exists"),
            ("deliver_signal", "invalid_state"),
            ("deliver_signal", "not_found"),
            ("complete_task", "invalid_state")
        ]
    );
}

#[test]
fn a_timer_fires_through_the_log_and_not_early() {
    let mut world = World::new(&[WAIT]);
    world.restart();
    start(&mut world, "a", "wait");
    world.settle();
    world.pass(299);
    assert_eq!(world.status("a"), "running");
    world.pass(1);
    assert_eq!(world.status("a"), "completed");
    assert_eq!(world.durable.internal.len(), 1);
}

#[test]
fn a_timer_survives_its_owner_before_and_after_it_is_indexed() {
    for flushed in [false, true] {
        let mut world = World::new(&[WAIT]);
        world.restart();
        start(&mut world, "a", "wait");
        world.settle();
        if flushed {
            for _ in 0..3 {
                world.pass(6);
            }
            assert_eq!(world.durable.timers.len(), 1);
        }
        world.restart();
        world.pass(300);
        assert_eq!(world.status("a"), "completed", "flushed: {flushed}");
    }
}

#[test]
fn a_timer_beyond_the_horizon_comes_back_from_the_index() {
    let mut world = World::new(&[LONG_WAIT]);
    world.restart();
    start(&mut world, "a", "long-wait");
    world.settle();
    for _ in 0..2 * 24 * 12 - 1 {
        world.pass(300);
    }
    world.pass(299);
    assert_eq!(world.status("a"), "running");
    world.pass(1);
    assert_eq!(world.status("a"), "completed");
}

#[test]
fn a_drained_partition_leaves_an_empty_tail() {
    let mut world = World::new(&[CALL]);
    world.restart();
    for n in 0..10 {
        start(&mut world, &format!("a{n}"), "call");
    }
    world.settle();
    world.input(Input::Drain);
    assert!(world.is_drained);
    let checkpoint = world.codec.decode_checkpoint(&world.durable.checkpoint.clone().unwrap().1).unwrap();
    assert_eq!(checkpoint.changelog_offset.0, world.durable.changelog.len() as i64);
}

#[test]
fn a_changelog_that_was_cut_stops_the_partition_loudly() {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "a", "call");
    world.settle();
    world.input(Input::Drain);
    world.durable.changelog.clear();
    world.restart();
    assert!(world.failure.as_deref().is_some_and(|it| it.contains("truncated")), "{:?}", world.failure);
}

/// What `millrace era open` does.
fn reopen(world: &mut World) -> Reopening {
    let row = world.durable.checkpoint.clone();
    let checkpoint = row.as_ref().map(|(_, value)| world.codec.decode_checkpoint(value).unwrap());
    let from = checkpoint.as_ref().map_or(Offset(0), |it| it.changelog_offset);
    let claims = world.durable.changelog.iter().filter(|it| it.offset >= from);
    let claims = claims.filter_map(|it| match world.codec.decode_changelog(&it.value).unwrap() {
        ChangelogRecord::Claim(claim) => Some(claim),
        _ => None,
    });
    let remains = Remains {
        checkpoint_stamp: row.as_ref().map(|(stamp, _)| *stamp),
        checkpoint: checkpoint.clone(),
        claim: claims.last(),
        changelog_start: world.durable.changelog_start,
        changelog_end: Offset(world.durable.changelog.len() as i64),
        ..Remains::default()
    };
    let positions = checkpoint.map_or_else(Vec::new, |it| it.positions.sources);
    let (stamp, checkpoint) = remains.checkpoint(Positions { sources: positions }, world.now).unwrap();
    assert!(row.is_none_or(|(old, _)| old < stamp), "an older row would stay");
    world.durable.checkpoint = Some((stamp, world.codec.encode_checkpoint(&checkpoint).into()));
    world.failure = None;
    remains.reopening()
}

/// One instance that has had the answer to its first task and waits for its second, all of it flushed.
fn half_way() -> World {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "a", "call");
    world.settle();
    answer_all(&mut world);
    world.settle();
    world.input(Input::Drain);
    assert!(world.is_drained);
    world
}

/// The instance goes on where its snapshot stands, and another one starts; a second restore agrees.
fn goes_on(mut world: World) -> World {
    for _ in 0..2 {
        world.restart();
        assert_eq!(world.failure, None);
        answer_all(&mut world);
        world.settle();
    }
    start(&mut world, "b", "call");
    for _ in 0..2 {
        world.settle();
        answer_all(&mut world);
    }
    world.settle();
    world.input(Input::Drain);
    for instance in ["a", "b"] {
        let row = &world.durable.snapshots[&id(instance)];
        assert_eq!(
            world.codec.decode_snapshot(&row.value).unwrap().state.status.name(),
            "completed",
            "{instance}"
        );
    }
    assert_eq!(world.tasks().len(), 4, "no task is dispatched again");
    let quarantined = |it: &&Observation| matches!(it, Observation::InstanceQuarantined { .. });
    assert_eq!(world.observed.iter().find(quarantined), None);
    world
}

#[test]
fn a_new_era_takes_the_snapshots_as_they_are_when_the_log_was_made_anew() {
    let mut world = half_way();
    world.durable.changelog.clear();
    world.restart();
    assert!(world.failure.as_deref().is_some_and(|it| it.contains("millrace era open --partition 0")));
    assert_eq!(reopen(&mut world), Reopening::NewEra { era: 2, base: Offset(0) });
    let world = goes_on(world);
    assert_eq!(world.durable.snapshots[&id("a")].stamp.era(), 2);
}

#[test]
fn a_new_era_begins_at_the_end_of_a_log_that_was_cut_since_the_snapshots_hold_what_is_left() {
    let mut world = half_way();
    let end = world.durable.changelog.len() - 2;
    world.durable.changelog.truncate(end);
    world.restart();
    assert!(world.failure.as_deref().is_some_and(|it| it.contains("truncated")));
    assert_eq!(reopen(&mut world), Reopening::NewEra { era: 2, base: Offset(end as i64) });
    goes_on(world);
}

/// The rows are ahead of the records that are left; with stamps of another era these would be applied twice.
#[test]
fn a_log_without_its_beginning_keeps_its_era_and_with_it_the_guard_of_its_records() {
    let mut world = World::new(&[CALL]);
    world.restart();
    start(&mut world, "a", "call");
    world.settle();
    let old = world.durable.checkpoint.clone();
    answer_all(&mut world);
    world.settle();
    world.input(Input::Drain);
    let lost = world.codec.decode_checkpoint(&old.as_ref().unwrap().1).unwrap().changelog_offset;
    for checkpoint in [old, None] {
        let durable = Durable { checkpoint, ..world.durable.clone() };
        let mut world = half_way();
        world.durable = durable;
        world.durable.changelog_start = Offset(lost.0 + 1);
        world.restart();
        assert!(
            world.failure.as_deref().is_some_and(|it| it.contains("it begins at")),
            "{:?}",
            world.failure
        );
        let start = world.durable.changelog_start;
        assert_eq!(reopen(&mut world), Reopening::SameLog { era: 1, base: Offset(0), offset: start });
        let world = goes_on(world);
        assert_eq!(world.durable.snapshots[&id("a")].stamp.era(), 1);
    }
}

#[test]
fn a_log_that_is_made_anew_under_its_owner_stops_it_before_it_writes_a_snapshot() {
    let mut world = half_way();
    world.restart();
    world.durable.changelog.clear();
    let rows = world.durable.snapshots.clone();
    answer_all(&mut world);
    world.settle();
    world.pass(10);
    assert!(world.failure.as_deref().is_some_and(|it| it.contains("made anew")), "{:?}", world.failure);
    assert_eq!(world.durable.snapshots, rows);
}

#[test]
fn a_checkpoint_that_is_older_than_the_era_of_the_log_stops_the_partition_loudly() {
    let mut world = half_way();
    let old = world.durable.checkpoint.clone();
    let end = world.durable.changelog.len() - 2;
    world.durable.changelog.truncate(end);
    reopen(&mut world);
    let mut world = goes_on(world);
    world.durable.checkpoint = old;
    world.restart();
    assert!(world.failure.as_deref().is_some_and(|it| it.contains("begins era 2")), "{:?}", world.failure);
    let base = Offset(end as i64);
    assert_eq!(reopen(&mut world), Reopening::SameLog { era: 2, base, offset: base });
    world.restart();
    assert_eq!(world.failure, None);
}

#[test]
fn records_of_a_release_that_repartitions_are_not_passed_over() {
    let key_groups = KeyGroups::of(PartitionIndex(1), 2).unwrap();
    let to = PartitionIndex(1);
    let plan = PlanId(1);
    let mut world = World::new(&[CALL]);
    world.restart();
    let requested = InternalRecord::ReleaseRequested(ReleaseRequested { plan, key_groups, to });
    world.durable.internal.push(InboundRecord {
        source: Source::Internal(0),
        offset: Offset(0),
        timestamp: world.now,
        key: None,
        headers: Vec::new(),
        value: Some(world.codec.encode_internal(&requested).into()),
    });
    world.settle();
    assert!(world.failure.take().is_some_and(|it| it.contains("upgrade")));
    assert_eq!(dead_letters(&world), [""; 0], "it would be lost");
    world.durable.internal.clear();

    let released = ChangelogRecord::Released(Released { plan, key_groups, to, sources: Vec::new() });
    world.durable.changelog.push(millrace_partition::ChangelogRecord {
        offset: Offset(world.durable.changelog.len() as i64),
        key: None,
        value: world.codec.encode_changelog(&released).into(),
    });
    world.restart();
    assert!(world.failure.as_deref().is_some_and(|it| it.contains("upgrade")), "{:?}", world.failure);
}

#[derive(Clone, Debug)]
enum Step {
    Start(u8),
    Answer,
    Cancel(u8),
    Pass(u16),
    HoldCommits(bool),
    Commit,
    CommitSilentlyAndDie,
    Abort,
    HoldSeals(bool),
    Seal,
    AnswerAhead,
    HoldFlushes(bool),
    Flush,
    WriteHalfOfTheFlushAndDie,
    Die,
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12_u8).prop_map(Step::Start),
        6 => Just(Step::Answer),
        1 => (0..12_u8).prop_map(Step::Cancel),
        4 => (1..400_u16).prop_map(Step::Pass),
        3 => any::<bool>().prop_map(Step::HoldCommits),
        3 => Just(Step::Commit),
        1 => Just(Step::CommitSilentlyAndDie),
        2 => Just(Step::Abort),
        3 => any::<bool>().prop_map(Step::HoldSeals),
        3 => Just(Step::Seal),
        6 => Just(Step::AnswerAhead),
        3 => any::<bool>().prop_map(Step::HoldFlushes),
        3 => Just(Step::Flush),
        1 => Just(Step::WriteHalfOfTheFlushAndDie),
        1 => Just(Step::Die),
        1 => Just(Step::Drain),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever the owner suffers: every instance that was started ends, once; every task is dispatched once for each dispatch that
    /// the log holds; what a restore sees is what the log says.
    #[test]
    fn nothing_is_lost_or_doubled_whatever_the_owner_suffers(steps in steps()) {
        let mut world = World::new(&[CALL, WAIT]);
        world.restart();
        let mut started = std::collections::BTreeSet::new();
        for step in steps {
            match step {
                Step::Start(n) => {
                    started.insert(n);
                    start(&mut world, &format!("i{n}"), if n % 3 == 0 { "wait" } else { "call" });
                    world.settle();
                }
                Step::Answer => {
                    answer_all(&mut world);
                    world.settle();
                }
                Step::Cancel(n) => {
                    world.produce(&cancel_event(event_id("cancel"), &id(&format!("i{n}")), "test", false));
                    world.settle();
                }
                Step::Pass(seconds) => world.pass(u64::from(seconds)),
                Step::HoldCommits(holds) => {
                    world.holds_commits = holds;
                    if !holds && world.held.is_some() {
                        world.commit_held();
                    }
                }
                Step::HoldSeals(holds) => {
                    world.holds_seals = holds;
                    if !holds { world.seal(); }
                }
                Step::Seal => world.seal(),
                Step::AnswerAhead => {
                    answer_ahead(&mut world);
                    world.settle();
                }
                Step::Commit => if world.held.is_some() { world.commit_held() },
                Step::CommitSilentlyAndDie => if world.held.is_some() {
                    world.commit_held_silently();
                    world.restart();
                },
                Step::Abort => if world.held.is_some() { world.abort_held() },
                Step::HoldFlushes(holds) => world.holds_flushes = holds,
                Step::Flush => if let Some(request) = world.held_flush.take() {
                    let flushed = world.store(&request);
                    world.input(flushed);
                },
                Step::WriteHalfOfTheFlushAndDie => if let Some(mut request) = world.held_flush.take() {
                    request.snapshots.truncate(request.snapshots.len() / 2);
                    request.timers.clear();
                    world.store(&request);
                    world.restart();
                },
                Step::Die => world.restart(),
                Step::Drain => {
                    world.input(Input::Drain);
                    world.seal();
                    if world.held.is_some() { world.commit_held(); }
                    world.restart();
                }
            }
        }
        // Faults off: everything must settle.
        world.holds_commits = false;
        world.holds_flushes = false;
        world.holds_seals = false;
        world.seal();
        if world.held.is_some() { world.commit_held(); }
        if let Some(request) = world.held_flush.take() {
            let flushed = world.store(&request);
            world.input(flushed);
        }
        for _ in 0..8 {
            world.pass(301);
            answer_all(&mut world);
            world.settle();
        }
        prop_assert_eq!(&world.failure, &None);
        let folded = world.folded();
        for n in &started {
            let status = world.status(&format!("i{n}"));
            prop_assert!(status == "completed" || status == "cancelled", "i{} is {}", n, status);
        }
        // A restart reads back exactly what the log says.
        for _ in 0..20 { world.pass(6); }
        for (id, row) in &world.durable.snapshots {
            let state = world.codec.decode_snapshot(&row.value).unwrap().state;
            prop_assert_eq!(Some(&state), folded.get(id));
        }
        // Each dispatch has its own token: a task that was decided twice would show twice.
        let mut tokens: Vec<_> = world.tasks().into_iter().map(|it| (it.instance, it.token)).collect();
        let all = tokens.len();
        tokens.sort();
        tokens.dedup();
        prop_assert_eq!(tokens.len(), all);
        // History holds every entry.
        let entries = world.durable.changelog.iter().filter(|it| it.key.is_some()).count();
        prop_assert_eq!(world.durable.history.len(), entries);
    }
}
