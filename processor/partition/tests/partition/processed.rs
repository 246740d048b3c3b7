//! What a transaction tells of the records that it takes in: what had caused each, and which of its records it has caused.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use expect_test::expect;
use millrace_partition::{Became, Described};
use millrace_placement::PartitionIndex;
use millrace_schemas::cloud_event::{CloudEvent, complete_event, signal_event, start_event};
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use serde_json::json;

use crate::world::{World, id_at_home};

const ORDER: &str = "
document: {dsl: 1.0.3, namespace: test, name: order, version: 1.0.0}
use: {functions: {charge: {call: http, with: {method: post, endpoint: 'http://shop'}}}}
do:
  - charge: {call: charge}
  - told: {emit: {event: {with: {type: told, source: 'http://shop'}}}}
  - pause: {wait: {seconds: 10}}
  - late: {call: charge}
";

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn traced(mut world: World, described: Described) -> World {
    Arc::make_mut(&mut world.config).described = described;
    world.restart();
    world
}

fn id(text: &str) -> EventId {
    EventId { source: "test".to_owned(), id: text.to_owned() }
}

fn instance(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

fn start(of: &str, traceparent: Option<&str>) -> CloudEvent {
    let workflow = WorkflowName { namespace: "test".into(), name: "order".into() };
    start_event(id(&format!("start {of}")), &instance(of), &workflow, None, json!({}))
        .with_trace(traceparent, traceparent.map(|_| "congo=1"))
}

/// The transaction that comes next, a line for each record that it tells of; then it is committed.
fn told(world: &mut World) -> String {
    world.holds_commits = true;
    world.settle();
    let mut text = String::new();
    while let Some(transaction) = &world.held {
        let mut covered = 0;
        for it in &transaction.processed {
            assert!(it.caused.start >= covered, "no record has two causes");
            covered = it.caused.end;
            let caused = transaction.records[it.caused.clone()]
                .iter()
                .map(|it| it.topic.trim_start_matches("millrace."));
            let caused: Vec<_> = caused.collect();
            let context = it.context.map(|it| format!(" of {}", it.span)).unwrap_or_default();
            let state = it.tracestate.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
            let start = it.start.map(|it| format!(" after {}", it.span)).unwrap_or_default();
            let key = it.key.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
            let task = it.task.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
            let became = match it.became {
                Became::Done => String::new(),
                other => format!(" {other:?}"),
            };
            writeln!(text, "{}{key}{task}{context}{state}{start}{became} -> {caused:?}", it.request).unwrap();
        }
        world.commit_held();
        world.settle();
    }
    world.holds_commits = false;
    text
}

#[test]
fn each_record_is_told_with_its_cause_and_what_it_has_caused() {
    let mut world = traced(World::new(&[ORDER]), Described::Sampled);
    world.produce(&start("a", Some(TRACE)));
    world.produce(&start("b", None));
    world.produce(&signal_event(id("s"), &instance("c"), "told", None));
    world.produce_raw(None, Vec::new(), Some(Bytes::from_static(b"nonsense")));
    expect![[r#"
        start a of 00f067aa0ba902b7 congo=1 -> ["commands.builtin"]
        start b -> ["commands.builtin"]
        deliver_signal c Refused("not_found") -> ["lifecycle"]
        dead_letter DeadLetter("not-a-cloudevent") -> ["dead-letters"]
    "#]]
    .assert_eq(&told(&mut world));

    let commands = world.config.topics.commands("builtin");
    let token =
        world.codec.decode_task(world.of_topic(&commands)[0].value.as_deref().unwrap()).unwrap().token;
    let done = complete_event(id("done"), &instance("a"), token, json!({})).with_trace(Some(TRACE), None);
    world.produce(&done);
    expect![[r#"
        complete_task a /do/0/charge/call/charge of 00f067aa0ba902b7 -> ["emitted"]
    "#]]
    .assert_eq(&told(&mut world));

    // Nothing of the batch has caused the timer; the instance knows what had caused its start.
    world.now = world.now.plus(std::time::Duration::from_secs(11));
    expect![[r#"
        fire_timer a /do/2/pause after 00f067aa0ba902b7 -> ["commands.builtin"]
    "#]]
    .assert_eq(&told(&mut world));
}

#[test]
fn what_nobody_records_is_not_told_of_and_its_context_goes_on_as_it_came() {
    let mut world = traced(World::new(&[ORDER]), Described::Sampled);
    world.produce(&start("a", Some(UNSAMPLED)));
    assert_eq!(told(&mut world), "");
    let topic = world.config.topics.commands("builtin");
    let headers = &world.of_topic(&topic)[0].headers;
    let header = |name: &str| headers.iter().find(|it| it.0 == name).map(|it| it.1.clone());
    assert_eq!(header("traceparent").as_deref(), Some(UNSAMPLED.as_bytes()));
    assert_eq!(header("tracestate").as_deref(), Some(&b"congo=1"[..]));

    let mut world = traced(World::new(&[ORDER]), Described::Nothing);
    world.produce(&start("a", Some(TRACE)));
    assert_eq!(told(&mut world), "");
    let mut world = traced(World::new(&[ORDER]), Described::Everything);
    world.produce(&start("a", Some(UNSAMPLED)));
    assert!(told(&mut world).starts_with("start a of 00f067aa0ba902b7"));
}

#[test]
fn a_record_that_is_sent_on_is_caused_by_whoever_sends_it() {
    let (here, there) = (PartitionIndex(0), PartitionIndex(1));
    let name = id_at_home(there.0, 2).as_str().to_owned();
    let mut first = traced(World::of(here, 2, &[ORDER]), Described::Sampled);
    first.produce(&start(&name, Some(TRACE)));
    assert_eq!(told(&mut first), "forward of 00f067aa0ba902b7 congo=1 -> [\"internal\"]\n");

    // As the shell does it: what was caused carries the context of the span that has.
    let internal = first.config.topics.internal();
    let mut forwarded = first.of_topic(&internal)[0].clone();
    let of_forwarder = TRACE.replace("00f067aa0ba902b7", "1111111111111111");
    forwarded.headers.push(("traceparent".to_owned(), of_forwarder.into()));
    let mut second = traced(World::of(there, 2, &[ORDER]), Described::Sampled);
    second.produce_internal(forwarded);
    assert_eq!(told(&mut second), format!("start {name} of 1111111111111111 -> [\"commands.builtin\"]\n"));
}

#[test]
fn an_aborted_transaction_is_told_anew_with_what_it_causes_then() {
    let mut world = traced(World::new(&[ORDER]), Described::Sampled);
    world.holds_commits = true;
    world.produce(&start("a", Some(TRACE)));
    world.settle();
    let first = world.held.as_ref().unwrap().processed.clone();
    assert_eq!(first.len(), 1);
    world.abort_held();
    world.settle();
    assert_eq!(world.held.as_ref().unwrap().processed, first);
    world.commit_held();
}
