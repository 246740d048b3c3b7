//! The users' own topics as sources of events: what their records are, where they are read from, and that their positions share the fate
//! of what the records have caused.

use millrace_partition::{Input, Moved, Observation, Source, UserTopic};
use millrace_placement::PartitionIndex;
use millrace_schemas::cloud_event::{CloudEvent, start_event};
use millrace_schemas::codec::ChangelogRecord;
use millrace_schemas::dead_letter::DeadLetter;
use millrace_schemas::instance::{InstanceState, Status};
use millrace_schemas::{EventId, InstanceId, Offset, Timestamp, WorkflowName};
use millrace_workflow::program::Decoding;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::World;

/// Starts an instance for each record of `orders`, which shows what it was started with.
const ORDER: &str = "
document:
  {dsl: 1.0.3, namespace: test, name: order, version: 1.0.0, metadata: {millrace: {events: [{topic: orders, decoding: json, type: order.placed}]}}}
schedule: {on: {one: {with: {type: order.placed}}}}
do:
  - show: {set: {got: '${ . }'}}
";

/// Waits for a payment of its order.
const PAYMENT: &str = "
document: {dsl: 1.0.3, namespace: test, name: payment, version: 1.0.0}
do:
  - paid:
      listen: {to: {one: {with: {type: paid}, correlate: {order: {from: .data.order, expect: '${ .order }'}}}}}
";

fn json_of(event_type: &str) -> Decoding {
    Decoding::Json { event_type: event_type.into() }
}

fn topic(name: &str, partitions: u32, decoding: Decoding) -> UserTopic {
    UserTopic { topic: name.into(), partitions, decodings: vec![decoding], since: None }
}

fn name(world: &mut World, topics: &[UserTopic]) {
    world.input(Input::Topics(topics.to_vec()));
    world.settle();
}

fn orders() -> UserTopic {
    topic("orders", 1, json_of("order.placed"))
}

fn source(topic: &str, partition: i32) -> Source {
    Source::Topic(topic.into(), partition)
}

/// A world that reads `orders`.
fn reading() -> World {
    let mut world = World::new(&[ORDER]);
    world.produce_to("orders", 0, None, None);
    world.durable.topics.get_mut(&source("orders", 0)).unwrap().1.clear();
    restart(&mut world, &[orders()]);
    world
}

fn restart(world: &mut World, topics: &[UserTopic]) {
    world.restart();
    name(world, topics);
}

fn place(world: &mut World, numbers: std::ops::Range<u32>) {
    for number in numbers {
        world.produce_to("orders", 0, Some("customer"), Some(&json!({ "order": number }).to_string()));
    }
}

/// The orders for which an instance was started, in order.
fn placed(world: &World) -> Vec<u64> {
    let output = |it: InstanceState| match it.status {
        Status::Completed { output } => find(output.value(), "order"),
        _ => None,
    };
    let mut orders: Vec<u64> = world.folded().into_values().filter_map(output).collect();
    orders.sort_unstable();
    orders
}

fn find(value: &Value, name: &str) -> Option<u64> {
    match value {
        Value::Object(fields) => match fields.get(name) {
            Some(found) => found.as_u64(),
            None => fields.values().find_map(|it| find(it, name)),
        },
        Value::Array(items) => items.iter().find_map(|it| find(it, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What the changelog says of the topics, at its end.
fn positions(world: &World) -> Vec<(String, i32, i64)> {
    let decoded =
        world.durable.changelog.iter().rev().map(|it| world.codec.decode_changelog(&it.value).unwrap());
    let last = decoded.filter_map(|it| match it {
        ChangelogRecord::Positions(positions) => Some(positions.sources),
        _ => None,
    });
    let is_users = |topic: &str| !topic.starts_with("millrace.");
    let sources = last.take(1).flatten().filter(|it| is_users(&it.topic));
    sources.map(|it| (it.topic, it.partition, it.offset.0)).collect()
}

fn dead_letters(world: &World) -> Vec<String> {
    let topic = world.config.topics.dead_letters();
    let letters = world.of_topic(&topic);
    letters.iter().map(|it| DeadLetter::parse(&it.headers).unwrap().reason).collect()
}

fn moves(world: &World) -> Vec<(Moved, i64, i64)> {
    let moved = |it: &Observation| match it {
        Observation::SourceMoved { moved, from, to, .. } => Some((*moved, from.0, to.0)),
        _ => None,
    };
    world.observed.iter().filter_map(moved).collect()
}

fn passed_over(world: &World) -> usize {
    let count = |it: &Observation| match it {
        Observation::RecordsPassedOver { count } => Some(*count),
        _ => None,
    };
    world.observed.iter().filter_map(count).sum()
}

fn event_id(text: &str) -> EventId {
    EventId { source: "/test".to_owned(), id: text.to_owned() }
}

#[test]
fn a_record_of_a_topic_is_an_event_for_whoever_listens() {
    let mut world = World::new(&[ORDER, PAYMENT]);
    restart(&mut world, &[orders(), topic("payments", 1, json_of("paid"))]);
    let workflow = WorkflowName { namespace: "test".into(), name: "payment".into() };
    let id = InstanceId::new("p").unwrap();
    world.produce(&start_event(event_id("p"), &id, &workflow, None, json!({"order": 7})));
    world.settle();
    place(&mut world, 1..3);
    world.produce_to("payments", 0, None, Some(r#"{"order": 8}"#));
    world.settle();
    assert_eq!(placed(&world), [1, 2]);
    assert_eq!(world.status("p"), "running");
    world.produce_to("payments", 0, None, Some(r#"{"order": 7}"#));
    world.settle();
    assert_eq!(world.status("p"), "completed");
    assert_eq!(positions(&world), [("orders".to_owned(), 0, 2), ("payments".to_owned(), 0, 2)]);
    assert_eq!(dead_letters(&world), [""; 0]);
}

#[test]
fn a_first_position_is_committed_before_anything_is_read() {
    let mut world = World::new(&[ORDER]);
    place(&mut world, 1..3);
    world.restart();
    world.holds_commits = true;
    name(&mut world, &[orders()]);
    assert!(!world.reads.contains_key(&source("orders", 0)));
    // An abort sets it again.
    world.abort_held();
    assert!(!world.reads.contains_key(&source("orders", 0)));
    world.commit_held();
    assert_eq!(world.reads.get(&source("orders", 0)), Some(&0));
    assert_eq!(positions(&world), [("orders".to_owned(), 0, 0)]);
    world.holds_commits = false;
    world.settle();
    assert_eq!(placed(&world), [1, 2]);
}

#[test]
fn a_topic_is_read_from_where_its_definition_says() {
    let mut world = World::new(&[ORDER]);
    place(&mut world, 1..3);
    let deployed_at = Timestamp(world.now.0 + 1);
    let since = UserTopic { since: Some(deployed_at), ..orders() };
    world.pass(1);
    place(&mut world, 3..4);
    // The partition that was added later has only what is younger, and what nobody has read yet begins at its end.
    world.produce_to("orders", 1, None, Some(r#"{"order": 4}"#));
    restart(&mut world, &[UserTopic { partitions: 2, ..since.clone() }]);
    assert_eq!(placed(&world), [3, 4]);
    let never = UserTopic { since: Some(Timestamp(i64::MAX)), ..topic("quiet", 1, json_of("order.placed")) };
    world.produce_to("quiet", 0, None, Some(r#"{"order": 5}"#));
    name(&mut world, &[UserTopic { partitions: 2, ..since }, never]);
    assert_eq!(placed(&world), [3, 4]);
    assert_eq!(positions(&world)[2], ("quiet".to_owned(), 0, 1));
}

#[test]
fn each_index_reads_its_share_of_a_topic_and_of_what_is_added_to_it() {
    let mut world = World::of(PartitionIndex(1), 2, &[ORDER]);
    restart(&mut world, &[UserTopic { partitions: 0, ..orders() }]);
    let read = |world: &World| -> Vec<Source> {
        world.reads.keys().filter(|it| matches!(it, Source::Topic(..))).cloned().collect()
    };
    assert_eq!(read(&world), []);
    name(&mut world, &[UserTopic { partitions: 1, ..orders() }]);
    assert_eq!(read(&world), []);
    name(&mut world, &[UserTopic { partitions: 5, ..orders() }]);
    assert_eq!(read(&world), [source("orders", 1), source("orders", 3)]);
    name(&mut world, &[UserTopic { partitions: 6, ..orders() }]);
    assert_eq!(read(&world), [source("orders", 1), source("orders", 3), source("orders", 5)]);
}

#[test]
fn what_nobody_listens_for_is_passed_over_and_what_cannot_be_read_is_a_dead_letter() {
    let mut world = World::new(&[ORDER]);
    world.produce_to("orders", 0, None, Some("{"));
    world.produce_to("orders", 0, None, Some(r#"{"order": 1}"#));
    world.produce_to("shop", 0, None, Some("{}"));
    let stranger = CloudEvent::new(event_id("s"), "order.shipped").to_structured();
    let known =
        CloudEvent::new(event_id("k"), "order.placed").with_subject("a").with_data(json!({"order": 2}));
    let workflow = WorkflowName { namespace: "test".into(), name: "order".into() };
    let command = start_event(event_id("c"), &InstanceId::new("a").unwrap(), &workflow, None, json!({}));
    for record in [stranger, known.to_structured(), known.to_structured(), command.to_structured()] {
        let text = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        world.produce_to("shop", 0, Some("a"), Some(&text));
    }
    // A tombstone is no event.
    world.produce_to("shop", 0, Some("a"), None);
    restart(&mut world, &[orders(), topic("shop", 1, Decoding::CloudEvents)]);
    let mut letters = dead_letters(&world);
    letters.sort_unstable();
    assert_eq!(letters, ["not-a-cloudevent", "own-type", "unreadable-data"]);
    assert_eq!(passed_over(&world), 2);
    // What comes twice starts nothing twice, and a subject is no address.
    assert_eq!(placed(&world), [1, 2]);
    assert_eq!(world.status("a"), "absent");
}

#[test]
fn two_definitions_may_read_a_topic_in_two_ways() {
    let mut world = World::new(&[ORDER]);
    place(&mut world, 1..2);
    let both = UserTopic { decodings: vec![Decoding::CloudEvents, json_of("order.placed")], ..orders() };
    restart(&mut world, &[both]);
    assert_eq!(placed(&world), [1]);
    assert_eq!(dead_letters(&world), [""; 0]);
}

#[test]
fn an_event_that_fits_no_record_of_ours_is_a_dead_letter_that_says_where_it_is() {
    let mut world = reading();
    let text = "x".repeat(3_000_000);
    world.produce_to("orders", 0, Some("k"), Some(&json!({ "order": 1, "text": text }).to_string()));
    place(&mut world, 2..3);
    world.settle();
    assert_eq!(dead_letters(&world), ["too-large"]);
    let topic = world.config.topics.dead_letters();
    let letter = world.of_topic(&topic)[0];
    assert_eq!((&letter.key, &letter.value), (&None, &None));
    let source = DeadLetter::parse(&letter.headers).unwrap().source;
    assert_eq!((&*source.topic, source.partition, source.offset), ("orders", 0, Offset(0)));
    assert_eq!(placed(&world), [2]);
}

#[test]
fn the_next_owner_goes_on_where_the_last_one_has_committed() {
    let mut world = reading();
    place(&mut world, 1..4);
    world.settle();
    // What an owner has read and not committed, its successor reads again.
    world.holds_commits = true;
    place(&mut world, 4..6);
    world.settle();
    world.holds_commits = false;
    restart(&mut world, &[orders()]);
    assert_eq!(placed(&world), [1, 2, 3, 4, 5]);
    // What was committed, though its owner never heard of it, is not read again.
    world.holds_commits = true;
    place(&mut world, 6..7);
    world.settle();
    world.commit_held_silently();
    world.holds_commits = false;
    let starts = world.durable.events.len();
    restart(&mut world, &[orders()]);
    assert_eq!(placed(&world), [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.durable.events.len(), starts, "each was sent once");
    assert_eq!(moves(&world), []);
}

#[test]
fn records_that_retention_has_deleted_are_passed_by() {
    let mut world = reading();
    place(&mut world, 1..4);
    world.settle();
    place(&mut world, 4..8);
    world.restart();
    let (start, log) = world.durable.topics.get_mut(&source("orders", 0)).unwrap();
    *start = 5;
    log.drain(..5);
    name(&mut world, &[orders()]);
    assert_eq!(placed(&world), [1, 2, 3, 6, 7]);
    assert_eq!(moves(&world), [(Moved::Trimmed, 3, 5)]);
    assert_eq!(world.failure, None);
}

/// Replaces a topic by a new one of the same name.
fn make_anew(world: &mut World, orders: std::ops::Range<u32>) {
    world.durable.topics.remove(&source("orders", 0));
    place(world, orders);
}

#[test]
fn a_topic_that_was_made_anew_is_read_from_its_beginning() {
    let mut world = reading();
    place(&mut world, 1..4);
    world.settle();
    // While it is read…
    make_anew(&mut world, 11..13);
    world.settle();
    assert_eq!(moves(&world), [(Moved::MadeAnew, 3, 0)]);
    assert_eq!(positions(&world), [("orders".to_owned(), 0, 2)]);
    // …and while nobody reads it. Identity is by position: what stands where an old record stood has its id.
    make_anew(&mut world, 21..22);
    restart(&mut world, &[orders()]);
    assert_eq!(moves(&world)[1..], [(Moved::MadeAnew, 2, 0)]);
    place(&mut world, 22..23);
    world.settle();
    assert_eq!(positions(&world), [("orders".to_owned(), 0, 2)]);
    assert_eq!(world.failure, None);
}

/// A late answer says where a topic ended when it was asked, not now.
#[test]
fn a_topic_that_has_grown_since_is_not_taken_for_another() {
    let mut world = reading();
    place(&mut world, 1..4);
    world.settle();
    world.holds_located = true;
    // Something is delivered again, so the bounds are looked at.
    let again = world.durable.topics[&source("orders", 0)].1[1].clone();
    world.input(Input::Records(vec![again]));
    assert_eq!(world.located.len(), 1);
    place(&mut world, 4..8);
    world.settle();
    world.answer_located();
    world.settle();
    assert_eq!(moves(&world), []);
    assert_eq!(placed(&world), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(positions(&world), [("orders".to_owned(), 0, 7)]);
}

#[test]
fn a_topic_that_no_definition_names_is_read_no_more_and_its_position_stays_a_week() {
    let day = 86_400;
    let mut world = reading();
    place(&mut world, 1..3);
    world.settle();
    place(&mut world, 3..4);
    name(&mut world, &[]);
    assert!(!world.reads.contains_key(&source("orders", 0)));
    assert_eq!(placed(&world), [1, 2]);

    // Named again in time, it goes on where it stood.
    world.pass(6 * day);
    name(&mut world, &[orders()]);
    assert_eq!(placed(&world), [1, 2, 3]);
    name(&mut world, &[]);
    place(&mut world, 4..5);
    let poke = |world: &mut World| {
        world.produce_raw(None, Vec::new(), Some("nonsense".into()));
        world.settle();
    };
    world.pass(7 * day - 1);
    poke(&mut world);
    assert_eq!(positions(&world).len(), 1);
    world.pass(1);
    poke(&mut world);
    assert_eq!(positions(&world), []);
    let since = UserTopic { since: Some(world.now), ..orders() };
    name(&mut world, &[since]);
    assert_eq!(placed(&world), [1, 2, 3]);
    assert_eq!(positions(&world), [("orders".to_owned(), 0, 4)]);
}

#[test]
fn answers_about_a_topic_that_no_definition_names_any_more_change_nothing() {
    let mut world = World::new(&[ORDER]);
    place(&mut world, 1..3);
    world.restart();
    world.holds_located = true;
    name(&mut world, &[orders()]);
    name(&mut world, &[]);
    world.answer_located();
    world.settle();
    assert_eq!(positions(&world), []);
    assert!(!world.reads.contains_key(&source("orders", 0)));
    // A position that is being committed when its topic is named no more is not followed.
    world.holds_located = false;
    world.holds_commits = true;
    name(&mut world, &[orders()]);
    name(&mut world, &[]);
    world.commit_held();
    assert!(!world.reads.contains_key(&source("orders", 0)));
    assert_eq!(positions(&world), [("orders".to_owned(), 0, 0)]);
}

#[test]
fn while_a_partition_is_paused_it_follows_nothing_new() {
    let mut world = World::new(&[ORDER]);
    place(&mut world, 1..2);
    world.restart();
    world.holds_commits = true;
    // The first batch waits for its commit; the rest fills the inbox.
    for _ in 0..110 {
        world.produce_raw(None, Vec::new(), Some("nonsense".into()));
    }
    world.settle();
    assert!(world.is_paused);
    world.input(Input::Topics(vec![orders()]));
    let topic = source("orders", 0);
    let mut has_followed_late = false;
    while world.held.is_some() {
        let was_paused = world.is_paused;
        world.commit_held();
        has_followed_late |= !was_paused && world.reads.contains_key(&topic);
        assert!(!world.is_paused || !world.reads.contains_key(&topic));
    }
    assert!(has_followed_late);
    world.holds_commits = false;
    world.settle();
    assert_eq!(placed(&world), [1]);
}

#[derive(Clone, Debug)]
enum Step {
    Place(u32),
    Settle,
    /// The transactions from here on get no outcome.
    Hold,
    Commit,
    Abort,
    /// Committed, but nobody was told.
    CommitAndCrash,
    Crash,
    Unname,
    Name,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4_u32).prop_map(Step::Place),
        4 => Just(Step::Settle),
        2 => Just(Step::Hold),
        2 => Just(Step::Commit),
        2 => Just(Step::Abort),
        1 => Just(Step::CommitAndCrash),
        1 => Just(Step::Crash),
        1 => Just(Step::Unname),
        1 => Just(Step::Name),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens on the way, each record of a topic is sent to its listeners once.
    #[test]
    fn each_record_has_its_effect_once(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = reading();
        let mut next = 1;
        for step in steps {
            match step {
                Step::Place(count) => {
                    place(&mut world, next..next + count);
                    next += count;
                }
                Step::Settle => world.settle(),
                Step::Hold => world.holds_commits = true,
                Step::Commit if world.held.is_some() => world.commit_held(),
                Step::Abort if world.held.is_some() => world.abort_held(),
                Step::CommitAndCrash if world.held.is_some() => {
                    world.commit_held_silently();
                    restart(&mut world, &[orders()]);
                }
                Step::Commit | Step::Abort | Step::CommitAndCrash => {}
                Step::Crash => restart(&mut world, &[orders()]),
                Step::Unname => name(&mut world, &[]),
                Step::Name => name(&mut world, &[orders()]),
            }
        }
        world.holds_commits = false;
        restart(&mut world, &[orders()]);
        let expected: Vec<u64> = (1..u64::from(next)).collect();
        prop_assert_eq!(&placed(&world), &expected);
        prop_assert_eq!(world.durable.events.len(), expected.len(), "each was sent once");
        prop_assert_eq!(positions(&world), vec![("orders".to_owned(), 0, i64::from(next) - 1)]);
        prop_assert_eq!(moves(&world), vec![]);
    }
}
