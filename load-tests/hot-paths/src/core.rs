//! Reading, deciding, folding, writing: one instance at a time.

use std::hint::black_box;

use millrace_engine::{Bounds, Effect, Instance, Moment};
use millrace_schemas::cloud_event::{
    EventRecord, InboxRecord, InboxRequest, complete_event, read_inbox, start_event,
};
use millrace_schemas::codec::Codec;
use millrace_schemas::command::AddressedCommand;
use millrace_schemas::event::ChangelogEntry;
use millrace_schemas::snapshot::Snapshot;
use millrace_schemas::{EventId, InstanceId, Offset, TaskToken, Timestamp};
use millrace_workflow::program::Program;
use serde_json::{Value, json};

use super::Run;

pub(super) const W1: &str = include_str!("../../workflows/w1.yaml");
const W3: &str = include_str!("../../workflows/w3.yaml");
const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(super) fn program(text: &str) -> Program {
    millrace_workflow::admission::admit("workflow.yaml", text).expect("it is one of our own").program
}

/// 200 bytes, as the input of W1.
pub(super) fn input() -> Value {
    json!({ "customer": "c-4711", "note": "x".repeat(166) })
}

fn id() -> InstanceId {
    InstanceId::new("w1-0a1b2c3d-12345-67890").expect("short")
}

fn cause(id: &str) -> EventId {
    EventId { source: "/load-tests/hot-paths".to_owned(), id: id.to_owned() }
}

fn start_record(program: &Program) -> EventRecord {
    start_event(cause("s"), &id(), &program.workflow.workflow, None, input()).to_binary()
}

fn answer_record(token: TaskToken) -> EventRecord {
    complete_event(cause("a"), &id(), token, json!({"done": "step-1"})).to_binary()
}

fn read(record: &EventRecord, codec: &Codec) -> AddressedCommand {
    let record = InboxRecord {
        key: record.key.as_deref(),
        headers: &record.headers,
        value: record.value.as_deref(),
        timestamp: NOW,
    };
    match read_inbox(&record, codec) {
        Ok(InboxRequest::Instance(command)) => command,
        other => unreachable!("it is for an instance: {other:?}"),
    }
}

fn read_again(record: EventRecord) -> Run {
    let codec = Codec::single_object();
    Box::new(move || {
        black_box(read(black_box(&record), &codec));
    })
}

pub(super) fn read_start() -> Run {
    read_again(start_record(&program(W1)))
}

pub(super) fn read_answer() -> Run {
    read_again(answer_record(started(&program(W1)).2.expect("its first task")))
}

/// What is written of it, and the task that it dispatches.
fn decide(
    instance: &mut Instance,
    program: &Program,
    command: &AddressedCommand,
) -> (ChangelogEntry, Option<TaskToken>) {
    let moment = Moment { at: NOW, random: 7 };
    let decision = instance.step(program, command, moment, &Bounds::default()).expect("it is accepted");
    let task = decision.effects.iter().find_map(|it| match it {
        Effect::DispatchTask { task, .. } => Some(task.token),
        _ => None,
    });
    let cause = command.cause.clone();
    (ChangelogEntry { at: NOW, cause, traceparent: None, events: decision.events }, task)
}

fn started(program: &Program) -> (Instance, ChangelogEntry, Option<TaskToken>) {
    let mut instance = Instance::absent(id());
    let command = read(&start_record(program), &Codec::single_object());
    let (entry, task) = decide(&mut instance, program, &command);
    (instance, entry, task)
}

pub(super) fn start() -> Run {
    start_of(W1)
}

pub(super) fn steps() -> Run {
    start_of(W3)
}

fn start_of(text: &str) -> Run {
    let program = program(text);
    let command = read(&start_record(&program), &Codec::single_object());
    Box::new(move || {
        let mut instance = Instance::absent(id());
        black_box(decide(&mut instance, &program, &command));
    })
}

pub(super) fn answer() -> Run {
    let program = program(W1);
    let (instance, _, task) = started(&program);
    let command = read(&answer_record(task.expect("its first task")), &Codec::single_object());
    Box::new(move || {
        black_box(decide(&mut instance.clone(), &program, &command));
    })
}

/// All that is written of an instance of W1.
fn entries() -> Vec<ChangelogEntry> {
    let (program, codec) = (program(W1), Codec::single_object());
    let (mut instance, first, mut open) = started(&program);
    let mut entries = vec![first];
    while let Some(token) = open {
        let command = read(&answer_record(token), &codec);
        let entry;
        (entry, open) = decide(&mut instance, &program, &command);
        entries.push(entry);
    }
    entries
}

pub(super) fn fold() -> Run {
    let entries = entries();
    Box::new(move || {
        let mut instance = Instance::absent(id());
        entries.iter().for_each(|it| instance.apply_entry(it).expect("they are its own"));
        black_box(instance);
    })
}

pub(super) fn encode_entry() -> Run {
    let entry = entries().swap_remove(1);
    let codec = Codec::single_object();
    Box::new(move || {
        black_box(codec.encode_changelog_entry(black_box(&entry)));
    })
}

pub(super) fn decode_entry() -> Run {
    let codec = Codec::single_object();
    let bytes = codec.encode_changelog_entry(&entries()[1]);
    Box::new(move || {
        black_box(codec.decode_changelog(black_box(&bytes)).expect("it is an entry"));
    })
}

fn snapshot() -> Snapshot {
    let state = started(&program(W1)).0.state().expect("it has started").clone();
    Snapshot { state, era: 1, offset: Offset(7) }
}

pub(super) fn encode_snapshot() -> Run {
    let (codec, snapshot) = (Codec::single_object(), snapshot());
    Box::new(move || {
        black_box(codec.encode_snapshot(black_box(&snapshot)));
    })
}

pub(super) fn decode_snapshot() -> Run {
    let codec = Codec::single_object();
    let bytes = codec.encode_snapshot(&snapshot());
    Box::new(move || {
        black_box(codec.decode_snapshot(black_box(&bytes)).expect("it is a snapshot"));
    })
}
