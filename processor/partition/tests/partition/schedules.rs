//! Schedules in a partition: deploying is enough, a restart writes nothing, and each time starts one instance whatever is lost.

use std::collections::BTreeSet;

use expect_test::expect;
use millrace_engine::Schedule;
use millrace_partition::{Input, Output, QueryId};
use millrace_placement::PartitionIndex;
use millrace_schemas::cloud_event::{
    pause_schedule_event, resume_schedule_event, start_event, trigger_schedule_event, with_answer,
};
use millrace_schemas::codec::ChangelogRecord;
use millrace_schemas::command::Answer;
use millrace_schemas::schedule::{ScheduleEvent, ScheduleState, schedule_id};
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use proptest::prelude::*;

use crate::world::World;

/// The world begins at 2027-01-15T08:00:00Z.
fn definition(version: &str, schedule: &str, settings: &str, wait: &str) -> String {
    format!(
        "document: {{dsl: 1.0.3, namespace: test, name: report, version: {version}, metadata: {{millrace: {{{settings}}}}}}}\n{schedule}\ndo:\n  - work: {{wait: {wait}}}\n"
    )
}

fn every_minute() -> String {
    definition("1.0.0", "schedule: {every: PT1M}", "", "PT1S")
}

fn world(definitions: &[&str]) -> World {
    let mut world = World::new(definitions);
    world.restart();
    world.settle();
    world
}

fn name() -> WorkflowName {
    WorkflowName { namespace: "test".into(), name: "report".into() }
}

fn event_id(id: &str) -> EventId {
    EventId { source: "test".to_owned(), id: id.to_owned() }
}

/// The schedule, folded from the changelog alone, and what has happened to it.
fn folded(world: &World) -> (Option<ScheduleState>, Vec<ScheduleEvent>) {
    let id = schedule_id(&name());
    let (mut schedule, mut events) = (Schedule::absent(id), Vec::new());
    for record in &world.durable.changelog {
        if let ChangelogRecord::Schedule(entry) = world.codec.decode_changelog(&record.value).unwrap() {
            schedule.apply_entry(&entry).unwrap();
            events.extend(entry.events);
        }
    }
    (schedule.state().cloned(), events)
}

fn state(world: &World) -> ScheduleState {
    folded(world).0.expect("there is a schedule")
}

fn instances(world: &World) -> String {
    let lines: Vec<String> =
        world.folded().iter().map(|(id, it)| format!("{id} {}\n", it.status.name())).collect();
    lines.concat()
}

fn refusals(world: &World) -> Vec<String> {
    world
        .of_topic(&world.config.topics.lifecycle())
        .iter()
        .map(|it| String::from_utf8(it.value.as_ref().unwrap().to_vec()).unwrap())
        .collect()
}

#[test]
fn deploying_is_enough() {
    let mut world = world(&[&every_minute()]);
    assert_eq!(instances(&world), "");
    for _ in 0..13 {
        world.pass(10);
    }
    expect![[r#"
        test.report-2027-01-15T08:01:00Z completed
        test.report-2027-01-15T08:02:00Z completed
    "#]]
    .assert_eq(&instances(&world));
}

#[test]
fn a_definition_that_comes_later_is_noticed_with_the_next_input() {
    let mut world = world(&[]);
    world.deploy(&every_minute());
    world.input(Input::Tick);
    world.settle();
    assert_eq!(&*state(&world).rhythm, "every 1m");
}

#[test]
fn a_restart_writes_nothing_when_nothing_has_changed() {
    let mut world = world(&[&every_minute()]);
    world.pass(30);
    let before = folded(&world);
    for flush in [false, true] {
        if flush {
            world.pass(6);
        }
        world.restart();
        world.settle();
        assert_eq!(folded(&world), before);
    }
    assert_eq!(before.1.len(), 2, "{:?}", before.1);
    assert!(refusals(&world).is_empty());
}

#[test]
fn what_was_missed_while_nobody_was_there_is_caught_up_with() {
    let mut world = world(&[&every_minute()]);
    world.pass(70);
    world.partition = None;
    world.now.0 += 180_000;
    world.restart();
    world.settle();
    world.pass(2);
    expect![[r#"
        test.report-2027-01-15T08:01:00Z completed
        test.report-2027-01-15T08:02:00Z completed
        test.report-2027-01-15T08:03:00Z completed
        test.report-2027-01-15T08:04:00Z completed
    "#]]
    .assert_eq(&instances(&world));
}

#[test]
fn a_new_version_takes_over_and_one_without_a_schedule_ends_it() {
    let mut world = world(&[&every_minute()]);
    world.pass(65);
    world.deploy(&definition("1.1.0", "schedule: {every: PT2M}", "", "PT1S"));
    world.pass(60);
    assert_eq!((&*state(&world).version.version, state(&world).started), ("1.1.0", 2));
    world.deploy(&definition("1.2.0", "", "", "PT1S"));
    world.input(Input::Tick);
    world.settle();
    world.pass(600);
    assert_eq!((state(&world).status.name(), state(&world).started), ("retired", 2));
    // An old version does not come back, and the new one is not proposed again.
    world.restart();
    world.settle();
    assert_eq!(state(&world).started, 2);
    assert_eq!(refusals(&world), Vec::<String>::new());
}

/// Of two processors during an upgrade, one may not know the newest definition yet: it must not bring the old one back.
#[test]
fn who_does_not_know_the_newest_version_leaves_the_schedule_alone_until_the_definitions_are_read() {
    let newer = definition("1.1.0", "schedule: {every: PT2M}", "", "PT1S");
    let mut world = world(&[&every_minute(), &newer]);
    assert_eq!(&*state(&world).version.version, "1.1.0");
    // The definition was deleted: once the definitions are known to be read, the one before it is the newest.
    let mut old = World::new(&[&every_minute()]);
    std::mem::swap(&mut old.durable, &mut world.durable);
    old.now = world.now;
    old.restart();
    old.settle();
    assert_eq!(&*state(&old).version.version, "1.0.0");
}

#[test]
fn runs_tell_the_schedule_of_their_end() {
    let text = definition("1.0.0", "schedule: {every: PT1M}", "schedule: {overlap: skip}", "PT90S");
    let mut world = world(&[&text]);
    for _ in 0..40 {
        world.pass(10);
    }
    expect![[r#"
        test.report-2027-01-15T08:01:00Z completed
        test.report-2027-01-15T08:03:00Z completed
        test.report-2027-01-15T08:05:00Z completed
    "#]]
    .assert_eq(&instances(&world));
    let state = state(&world);
    assert_eq!((state.started, state.skipped, state.failed), (3, 3, 0));
}

#[test]
fn a_start_that_is_refused_is_the_end_of_the_run() {
    let mut world = world(&[&definition("1.0.0", "schedule: {after: PT1M}", "", "PT1S")]);
    world.pass(1);
    assert_eq!(state(&world).started, 1);
    // Somebody has taken the id of the next one.
    let taken = InstanceId::new("test.report-2027-01-15T08:01:01Z").unwrap();
    world.produce(&start_event(event_id("taken"), &taken, &name(), None, serde_json::json!({})));
    world.settle();
    world.pass(60);
    let failed = state(&world);
    assert_eq!((failed.started, failed.failed), (2, 1));
    assert!(failed.last_error.unwrap().contains("exists already"));
    world.pass(62);
    world.pass(2);
    assert_eq!((state(&world).started, state(&world).last_error), (3, None));
}

#[test]
fn a_schedule_is_paused_triggered_and_resumed_by_events() {
    let mut world = world(&[&every_minute()]);
    world.produce(&pause_schedule_event(event_id("1"), &name(), "holidays"));
    world.settle();
    world.pass(300);
    assert_eq!((state(&world).status.name(), state(&world).started), ("paused", 0));
    world.produce(&trigger_schedule_event(event_id("2"), &name()));
    world.produce(&pause_schedule_event(event_id("3"), &name(), "again"));
    world.pass(5);
    world.produce(&resume_schedule_event(event_id("4"), &name(), ""));
    world.settle();
    world.pass(60);
    let state = state(&world);
    assert_eq!((state.status.name(), state.started, state.skipped), ("active", 2, 0));
    assert_eq!(refusals(&world).len(), 1);
    assert!(refusals(&world)[0].contains("the schedule is paused already"));
}

#[test]
fn who_asks_a_schedule_is_told_what_became_of_it_if_that_is_wanted() {
    let mut world = world(&[&every_minute()]);
    let pause = pause_schedule_event(event_id("1"), &name(), "");
    world.produce(&with_answer(pause, Answer::Outcome));
    world.settle();
    let told = refusals(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(r#""outcome":"done""#) && told[0].contains(r#""status":"paused""#), "{told:?}");
}

#[test]
fn a_schedule_that_nobody_has_deployed_is_not_found() {
    let mut world = world(&[]);
    world.produce(&trigger_schedule_event(event_id("1"), &name()));
    world.settle();
    assert!(refusals(&world)[0].contains("there is no schedule millrace:schedule/test/report"));
}

#[test]
fn only_the_home_of_a_schedule_has_it() {
    let text = every_minute();
    let owners: Vec<u32> = (0..4)
        .filter(|index| {
            let mut world = World::of(PartitionIndex(*index), 4, &[&text]);
            world.restart();
            world.settle();
            folded(&world).0.is_some()
        })
        .collect();
    assert_eq!(owners.len(), 1, "{owners:?}");
}

#[test]
fn a_query_shows_what_is_committed() {
    let mut world = world(&[&every_minute()]);
    let expected = state(&world);
    let moment = millrace_engine::Moment { at: world.now, random: 7 };
    let query = |world: &mut World, id: &str| {
        let instance = InstanceId::new(id).unwrap();
        let input = Input::Query { query: QueryId(1), instance };
        world.partition.as_mut().unwrap().handle(input, moment, &world.catalog)
    };
    let outputs = query(&mut world, "millrace:schedule/test/report");
    assert!(
        matches!(&outputs[..], [Output::AnswerSchedule { state: Some(state), .. }] if **state == expected),
        "{outputs:?}"
    );
    // Nobody knows another one yet: its row is asked for.
    let outputs = query(&mut world, "millrace:schedule/test/other");
    assert!(matches!(&outputs[..], [Output::LoadSnapshots(_)]), "{outputs:?}");
}

/// What may happen to a partition in a random history.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Restart,
    Absent(u64),
    /// The next transaction is lost with its owner: committed or not.
    LoseCommit(bool),
    Abort,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u64..40).prop_map(Step::Pass),
        1 => Just(Step::Restart),
        1 => (1_u64..200).prop_map(Step::Absent),
        2 => any::<bool>().prop_map(Step::LoseCommit),
        1 => Just(Step::Abort),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is lost, each minute since the definition starts one instance, and none starts early.
    #[test]
    fn each_time_starts_one_instance(steps in prop::collection::vec(step(), 0..25)) {
        let mut world = world(&[&every_minute()]);
        let began = world.now;
        for step in steps {
            match step {
                Step::Pass(seconds) => world.pass(seconds),
                Step::Restart => {
                    world.restart();
                    world.settle();
                }
                Step::Absent(seconds) => {
                    world.partition = None;
                    world.now = world.now.plus(std::time::Duration::from_secs(seconds));
                    world.restart();
                    world.settle();
                }
                Step::LoseCommit(is_committed) => {
                    world.holds_commits = true;
                    world.pass(20);
                    if world.held.is_some() && is_committed {
                        world.commit_held_silently();
                    }
                    world.holds_commits = false;
                    world.restart();
                    world.settle();
                }
                Step::Abort => {
                    world.holds_commits = true;
                    world.pass(20);
                    world.holds_commits = false;
                    if world.held.is_some() {
                        world.abort_held();
                    }
                    world.settle();
                }
            }
        }
        world.pass(2);
        world.pass(2);
        let (state, events) = folded(&world);
        let minutes = |at: i64| at.div_euclid(60_000);
        let expected: BTreeSet<i64> = (minutes(began.0) + 1..=minutes(world.now.0)).collect();
        let started: Vec<i64> = events
            .iter()
            .filter_map(|it| match it {
                ScheduleEvent::RunStarted { nominal, .. } => Some(minutes(nominal.0)),
                _ => None,
            })
            .collect();
        prop_assert_eq!(&started, &expected.iter().copied().collect::<Vec<_>>());
        let state = state.unwrap();
        prop_assert_eq!(state.started, started.len() as u64);
        for (id, instance) in world.folded() {
            let nominal = id.as_str().strip_prefix("test.report-").unwrap();
            let nominal = nominal.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            prop_assert!(instance.started_at.0 >= nominal);
            prop_assert!(expected.contains(&minutes(nominal)));
        }
        prop_assert_eq!(world.folded().len(), started.len());
    }
}
