//! What holds for every program and every order of commands.
//!
//! Programs and commands are drawn; [`Conversation::send`] checks after each step that replay equals live and that a rejection
//! changes nothing. Small bounds are drawn as well, so decisions that are taken back are among them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use millrace_engine::{Bounds, Effect, Instance};
use millrace_schemas::command::Command;
use millrace_schemas::event::{Event, TaskError, TimerPurpose};
use millrace_schemas::instance::{ExecutionState, InstanceState, Status};
use millrace_schemas::{ExecutionId, InstanceId, Payload, TaskToken, TimerId};
use millrace_workflow::program::{Lifecycle, OnFault};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conversation::{Conversation, named_signal, program_of, signal};

/// A task, without its name.
fn task() -> impl Strategy<Value = Value> {
    let data = prop_oneof![
        Just(json!("${ . }")),
        Just(json!("${ [$context, .] }")),
        Just(json!({ "n": 1 })),
        Just(json!("${ .a.b }")),
        Just(json!("${ [., .] }")),
    ];
    let call = json!({ "call": "f", "with": { "is": "${ [., $context] }" } });
    let leaf = prop_oneof![
        4 => data.clone().prop_map(|it| json!({ "set": it })),
        2 => data.prop_map(|it| json!({ "set": it, "export": { "as": "[$context, 1]" } })),
        6 => Just(call),
        2 => Just(json!({ "call": "g", "timeout": { "after": "PT3S" }, "metadata": { "millrace": { "heartbeat": "PT2S" } } })),
        2 => Just(json!({ "wait": "PT1S" })),
        2 => Just(json!({ "listen": { "to": { "one": { "with": { "type": "t" } } } } })),
        1 => Just(json!({ "listen": { "to": { "all": [{ "with": { "type": "t" } }, { "with": { "type": "t" } }] } } })),
        1 => Just(json!({ "listen": { "to": { "any": [], "until": "length > 1" } }, "timeout": { "after": "PT5S" } })),
        3 => Just(json!({ "run": { "workflow": { "namespace": "a", "name": "b", "version": "1.0.0" } } })),
        1 => Just(json!({ "run": { "workflow": { "namespace": "a", "name": "b", "version": "latest" }, "await": false } })),
        2 => Just(json!({ "call": "known", "with": { "x": "${ . }" } })),
        1 => Just(json!({ "raise": { "error": { "type": "https://x", "status": 400 } } })),
        1 => Just(json!({ "emit": { "event": { "with": { "type": "e", "data": "${ . }" } } } })),
        1 => Just(json!({ "set": "${ 1 }", "if": "false" })),
        1 => Just(json!({ "set": "${ 2 }", "then": "exit" })),
        1 => Just(json!({ "set": "${ 3 }", "then": "end" })),
    ];
    let leaf =
        (leaf, prop::option::weighted(0.4, undoing())).prop_map(|(task, undoing)| undone_by(task, undoing));
    let tasks = leaf.prop_recursive(4, 24, 3, |inner| {
        let block = || prop::collection::vec(inner.clone(), 0..3).prop_map(|it| list(&it));
        let limits = prop_oneof![
            Just(json!({ "delay": "PT1S", "limit": { "attempt": { "count": 2 } } })),
            Just(json!({ "delay": "PT1S", "backoff": { "linear": {} }, "limit": { "attempt": { "count": 1, "duration": "PT2S" } } })),
            Just(json!({ "delay": "PT1S", "jitter": { "from": "PT0S", "to": "PT2S" }, "limit": { "duration": "PT9S" } })),
        ];
        prop_oneof![
            block().prop_map(|it| json!({ "do": it })),
            block().prop_map(|it| json!({ "do": it, "timeout": { "after": "PT4S" } })),
            block().prop_map(|it| json!({
                "listen": { "to": { "any": [], "until": "length > 1" } },
                "foreach": { "do": it, "export": { "as": "[$context, $item]" } },
            })),
            (block(), 0..4).prop_map(|(it, n)| json!({ "for": { "in": format!("[range({n})]") }, "do": it })),
            block().prop_map(|it| json!({ "for": { "in": "[1, 2]" }, "while": "$index < 1", "do": it })),
            (block(), any::<bool>()).prop_map(|(it, compete)| json!({ "fork": { "branches": it, "compete": compete } })),
            (block(), block()).prop_map(|(it, handler)| json!({ "try": it, "catch": { "do": handler } })),
            (block(), limits).prop_map(|(it, retry)| json!({ "try": it, "catch": { "retry": retry } })),
            // A list with a jump back, for as long as a signal or an answer says so.
            inner.clone().prop_map(|it| json!({ "do": [
                { "first": it },
                { "again": { "switch": [{ "yes": { "when": ". == \"again\"", "then": "first" } }] } },
            ] })),
        ]
    });
    (tasks, prop::option::weighted(0.1, undoing())).prop_map(|(task, undoing)| undone_by(task, undoing))
}

/// What undoes a task.
fn undoing() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => Just(json!({ "call": "u", "with": { "is": "${ [.input, .output, $context] }" } })),
        2 => Just(json!({ "set": "${ .output }" })),
        1 => Just(json!({ "wait": "PT1S" })),
        1 => Just(json!({ "listen": { "to": { "one": { "with": { "type": "t" } } } } })),
        1 => Just(json!({ "run": { "workflow": { "namespace": "a", "name": "b", "version": "1.0.0" } } })),
        1 => Just(json!({ "raise": { "error": { "type": "https://x", "status": 400 } } })),
        1 => Just(json!({ "set": "${ 3 }", "then": "end" })),
    ];
    let block = || prop::collection::vec(leaf.clone(), 1..3).prop_map(|it| list(&it));
    prop_oneof![
        4 => block(),
        1 => block().prop_map(|it| list(&[json!({ "fork": { "branches": it } })])),
        1 => block().prop_map(|it| list(&[json!({ "try": it, "catch": { "retry": { "delay": "PT1S", "limit": { "attempt": { "count": 1 } } } } })])),
    ]
}

fn undone_by(mut task: Value, undoing: Option<Value>) -> Value {
    if let Some(undoing) = undoing {
        let millrace = task["metadata"]["millrace"].take();
        let mut millrace = millrace.as_object().cloned().unwrap_or_default();
        millrace.insert("compensate".to_owned(), undoing);
        task["metadata"] = json!({ "millrace": millrace });
    }
    task
}

fn list(tasks: &[Value]) -> Value {
    tasks.iter().enumerate().map(|(i, it)| json!({ format!("t{i}"): it })).collect()
}

fn definition() -> impl Strategy<Value = Value> {
    let parts = (prop::collection::vec(task(), 1..4), prop::option::of(5_u64..20), extensions(), task());
    parts.prop_map(|(tasks, timeout, extensions, function)| {
        let function = match function.get("call") {
            Some(call) if call == "known" => json!({ "set": "${ .x }" }),
            _ => without_calls_of_itself(&function),
        };
        let mut definition = json!({ "do": list(&tasks) });
        definition["use"] = json!({ "functions": { "known": function }, "extensions": extensions });
        if let Some(after) = timeout {
            definition["timeout"] = json!({ "after": format!("PT{after}S") });
        }
        definition
    })
}

/// A function may not call itself.
fn without_calls_of_itself(task: &Value) -> Value {
    serde_json::from_str(&task.to_string().replace("\"call\":\"known\"", "\"call\":\"f\"")).unwrap()
}

fn extensions() -> impl Strategy<Value = Vec<Value>> {
    let extend = prop_oneof![Just("all"), Just("call"), Just("composite"), Just("switch"), Just("set")];
    let before = prop_oneof![
        2 => Just(json!([])),
        1 => Just(json!([{ "b": { "set": "${ 1 }" } }])),
        1 => Just(json!([{ "b": { "call": "f" } }, { "c": { "set": "${ 2 }", "if": "$context == null", "then": "exit" } }])),
    ];
    let after = prop_oneof![
        2 => Just(json!([])),
        1 => Just(json!([{ "a": { "wait": "PT1S" } }])),
        1 => Just(json!([{ "a": { "call": "f" } }])),
    ];
    let when = prop_oneof![2 => Just("true"), 1 => Just(". != 1"), 1 => Just(".a.b == 1")];
    let extension = (extend, when, before, after).prop_map(|(extend, when, before, after)| {
        json!({ "e": { "extend": extend, "when": when, "before": before, "after": after } })
    });
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(extension, 1..3)]
}

/// What happens next; numbers choose among what is open.
#[derive(Clone, Debug)]
enum Move {
    Complete(usize, &'static str),
    CompleteWithMuch(usize),
    Fail(usize, bool),
    Beat(usize),
    Fire(usize),
    Signal,
    /// By a channel, to one of those who have subscribed.
    Deliver(usize),
    Suspend,
    Resume,
    Cancel(bool),
    Retry(Option<usize>, bool),
    Edit(usize),
    Skip(usize),
    Restart(usize, bool),
    Stale(u32, u32),
    Repeat(usize),
    PassTime(i64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        8 => (any::<usize>(), prop_oneof![Just("ok"), Just("again")]).prop_map(|(i, it)| Move::Complete(i, it)),
        1 => any::<usize>().prop_map(Move::CompleteWithMuch),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(i, it)| Move::Fail(i, it)),
        1 => any::<usize>().prop_map(Move::Beat),
        6 => any::<usize>().prop_map(Move::Fire),
        3 => Just(Move::Signal),
        3 => any::<usize>().prop_map(Move::Deliver),
        1 => Just(Move::Suspend),
        3 => Just(Move::Resume),
        1 => (prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(it, compensate)| if it { Move::Cancel(compensate) } else { Move::Signal }),
        3 => (prop::option::of(any::<usize>()), any::<bool>()).prop_map(|(i, it)| Move::Retry(i, it)),
        1 => any::<usize>().prop_map(Move::Edit),
        2 => any::<usize>().prop_map(Move::Skip),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(i, it)| Move::Restart(i, it)),
        1 => (0..20_u32, 0..3_u32).prop_map(|(a, b)| Move::Stale(a, b)),
        2 => any::<usize>().prop_map(Move::Repeat),
        2 => (0..2_000_i64).prop_map(Move::PassTime),
    ];
    prop::collection::vec(one, 0..40)
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let record = prop_oneof![2 => Just(900_000_usize), 1 => 150..3_000_usize];
    let state = prop_oneof![3 => Just(1_000_000_usize), 1 => 200..4_000_usize];
    let lifecycle = prop_oneof![Just(Lifecycle::Off), Just(Lifecycle::Workflow), Just(Lifecycle::Task)];
    let on_fault = prop_oneof![Just(OnFault::Fault), Just(OnFault::Incident)];
    (record, state, lifecycle, on_fault).prop_map(
        |(record_bytes_max, state_bytes_max, lifecycle, on_fault)| Bounds {
            lifecycle,
            on_fault,
            record_bytes_max,
            state_bytes_max,
            steps_max: 500,
            steps_per_command_max: 100,
            depth_max: 5,
            deferred_max: 3,
            signals_max: 2,
            duplicate_window: Duration::from_millis(1_500),
            signals_remembered_max: 3,
            ..Bounds::default()
        },
    )
}

fn open_calls(state: &InstanceState) -> Vec<TaskToken> {
    let calls = state.executions.iter().filter_map(|(id, it)| match it.state {
        ExecutionState::Calling { dispatch, .. } => Some(TaskToken { execution: *id, dispatch }),
        _ => None,
    });
    calls.collect()
}

fn pick<T: Copy>(from: &[T], index: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[index % from.len()])
}

fn command(conversation: &Conversation, next: &Move) -> Option<Command> {
    let state = conversation.instance.state()?;
    let call = |i: usize| pick(&open_calls(state), i);
    let reason = String::new;
    Some(match next {
        Move::Complete(i, it) => Command::CompleteTask { token: call(*i)?, output: Payload::from(json!(it)) },
        Move::CompleteWithMuch(i) => {
            Command::CompleteTask { token: call(*i)?, output: Payload::from(json!("x".repeat(1_000))) }
        }
        Move::Fail(i, retriable) => {
            let error =
                TaskError { error_type: "w".into(), status: 500, instance: None, title: None, detail: None };
            Command::FailTask { token: call(*i)?, error, retriable: *retriable }
        }
        Move::Beat(i) => Command::RecordHeartbeat { token: call(*i)? },
        Move::Fire(i) => {
            let timers: Vec<_> = state.timers.iter().map(|(id, it)| (*id, it.due)).collect();
            let (timer, due) = pick(&timers, *i)?;
            Command::FireTimer { timer, due }
        }
        Move::Stale(execution, dispatch) => {
            let token = TaskToken { execution: ExecutionId(*execution), dispatch: *dispatch };
            Command::CompleteTask { token, output: Payload::null() }
        }
        Move::Deliver(i) => {
            let open: Vec<_> = conversation.subscribed.keys().copied().collect();
            let (listener, filter) = pick(&open, *i)?;
            let data = if i % 3 == 0 { json!("again") } else { json!(i % 3) };
            // Of those that are delivered, some come again.
            let name = format!("d{}", i % 7);
            Command::DeliverEvent { listener, filter, event: named_signal(&name, "t", &data) }
        }
        Move::Signal => Command::DeliverSignal { event: signal("t", &json!("again")) },
        Move::Suspend => Command::Suspend { reason: reason() },
        Move::Resume => Command::Resume { reason: reason() },
        Move::Cancel(compensate) => Command::Cancel { reason: reason(), compensate: *compensate },
        Move::Retry(i, is_edited) => {
            let halted: Vec<_> = state.halted.iter().map(|it| &it.task).collect();
            let task = i.and_then(|i| pick(&halted, i)).cloned();
            let input = is_edited.then(|| Payload::from(json!({ "a": 2 })));
            Command::Retry { task, input, by: reason(), reason: reason() }
        }
        Move::Edit(i) => {
            let open: Vec<_> = state.executions.values().map(|it| &it.task).collect();
            let task = pick(&open, *i)?.clone();
            Command::Edit { task, input: json!({ "a": 3 }).into(), by: reason(), reason: reason() }
        }
        Move::Skip(i) => {
            let halted: Vec<_> = state.halted.iter().map(|it| &it.task).collect();
            let task = pick(&halted, *i).cloned();
            Command::Skip { task, output: json!("ok").into(), by: reason(), reason: reason() }
        }
        Move::Restart(i, is_by_hand) => {
            let tasks: Vec<_> = conversation.program.tasks.iter().map(|it| &it.reference).collect();
            let mut restart = conversation.restart(pick(&tasks, *i)?);
            if let (Command::Restart { number, reopening, .. }, true) = (&mut restart, is_by_hand) {
                (*number, *reopening) = (None, None);
            }
            restart
        }
        Move::Repeat(_) | Move::PassTime(_) => return None,
    })
}

/// Plays `moves` on an instance of `definition`, with all that must hold on the way.
fn play(definition: &Value, moves: &[Move], bounds: Bounds) -> Conversation {
    let mut conversation = Conversation::new(program_of(definition));
    conversation.bounds = bounds;
    let workflow = conversation.program.workflow.workflow.clone();
    let start =
        Command::Start { workflow, version: None, input: Payload::from(json!({ "a": 1 })), parent: None };
    let mut sent = vec![conversation.address(start)];
    conversation.send(&sent[0]).ok();
    for next in moves {
        if let Move::PassTime(milliseconds) = next {
            conversation.at.0 += milliseconds;
            continue;
        }
        let addressed = match next {
            Move::Repeat(i) => sent[i % sent.len()].clone(),
            _ => match command(&conversation, next) {
                Some(command) => conversation.address(command),
                None => continue,
            },
        };
        if let Command::DeliverEvent { listener, filter, .. } = addressed.command {
            if matches!(next, Move::Repeat(_)) {
                continue;
            }
            // A channel ends by itself what is for one event.
            if conversation.subscribed[&(listener, filter)] {
                conversation.subscribed.remove(&(listener, filter));
            }
        }
        if let Command::FireTimer { timer, due } = addressed.command
            && conversation
                .instance
                .state()
                .is_some_and(|it| it.timers.get(&timer).is_some_and(|it| it.due == due))
        {
            conversation.at = conversation.at.max(due);
        }
        let decided = conversation.send(&addressed);
        if let Some(state) = conversation.instance.state() {
            hold(state, &conversation);
        }
        if decided.is_ok() && acts_once(&addressed.command) {
            let again = conversation.send(&addressed);
            assert!(again.is_err(), "a command that is delivered again is refused: {addressed:?}");
        }
        sent.push(addressed);
    }
    conversation
}

/// Commands that must not act twice. A heartbeat may; a resume may when an incident took the place of the standstill.
fn acts_once(command: &Command) -> bool {
    match command {
        Command::Start { .. }
        | Command::CompleteTask { .. }
        | Command::FailTask { .. }
        | Command::FireTimer { .. }
        | Command::DeliverSignal { .. }
        | Command::Cancel { .. }
        | Command::Suspend { .. }
        | Command::Restart { number: Some(_), .. } => true,
        // Channels deliver each event once.
        Command::RecordHeartbeat { .. }
        | Command::DeliverEvent { .. }
        | Command::Resume { .. }
        | Command::Retry { .. }
        | Command::Edit { .. }
        | Command::Skip { .. }
        | Command::Restart { .. } => false,
    }
}

/// What holds in every state.
fn hold(state: &InstanceState, conversation: &Conversation) {
    let waits =
        |it: &millrace_schemas::instance::DeferredCommand| matches!(it.command, Command::DeliverEvent { .. });
    if !state.deferred.iter().any(waits) {
        let joined: BTreeSet<_> = state.channels.iter().map(|it| (it.execution, it.filter)).collect();
        let subscribed: BTreeSet<_> = conversation.subscribed.keys().copied().collect();
        assert_eq!(joined, subscribed, "channels know who listens");
    }
    assert!(state.remembered.len() <= conversation.bounds.signals_remembered_max);
    if state.status.is_terminal() {
        assert!(state.executions.is_empty() && state.timers.is_empty());
        assert!(state.deferred.is_empty() && state.signals.is_empty());
        assert!(state.compensations.is_empty() && state.compensating.is_none() && state.halted.is_empty());
        assert_eq!(state.input, Payload::null());
        return;
    }
    let context = state.context.value().to_string();
    assert_eq!(
        state.attributes,
        Some(json!({ "context": context.len() }).into()),
        "what it is found by goes with its context, {context}"
    );
    let children = |id: ExecutionId| {
        let open = state.executions.values().filter(|it| it.parent == Some(id)).count();
        open + state.halted.iter().filter(|it| it.scope == id).count()
    };
    let waits_for_room = state.timers.values().any(|it| it.purpose == TimerPurpose::Compensation);
    let begun = !(matches!(state.status, Status::Incident { .. }) || waits_for_room)
        || state.executions.len() > 1
        || !state.halted.is_empty();
    assert!(
        state.halted.is_empty() || matches!(state.status, Status::Suspended { .. } | Status::Incident { .. }),
        "what waits for somebody is in an instance that stands still"
    );
    let names: BTreeSet<_> =
        state.executions.values().map(|it| &it.task).chain(state.halted.iter().map(|it| &it.task)).collect();
    assert_eq!(names.len(), state.executions.len() + state.halted.len(), "no task is open twice");
    let kept: BTreeSet<_> = state.compensations.iter().map(|it| (&it.task, &it.iteration)).collect();
    assert_eq!(kept.len(), state.compensations.len(), "no task is undone twice");
    for (id, it) in &state.executions {
        if let Some(parent) = it.parent {
            assert!(state.executions.contains_key(&parent), "what is open is in an open scope");
        }
        let open = children(*id);
        match &it.state {
            ExecutionState::Sequence { .. }
            | ExecutionState::Loop { .. }
            | ExecutionState::Trying { .. }
            | ExecutionState::Catching { .. } => {
                assert!(open == 1 || !begun, "a list at rest has one open task: {state:?}");
            }
            ExecutionState::Branches { branches } => {
                assert_eq!(
                    open,
                    branches.iter().filter(|it| it.output.is_none()).count(),
                    "a branch is open or has ended"
                );
                assert!(open > 0);
            }
            ExecutionState::BackingOff { .. }
            | ExecutionState::Waiting
            | ExecutionState::Listening { .. }
            | ExecutionState::Calling { .. } => assert_eq!(open, 0),
            ExecutionState::Gathering { is_busy, heard, outputs, .. } => {
                assert!(open == usize::from(*is_busy) || !begun);
                assert!(*is_busy || outputs.len() == heard.len(), "what was taken is worked off: {state:?}");
            }
        }
        let waits = matches!(it.state, ExecutionState::Waiting | ExecutionState::BackingOff { .. });
        let has_timer = state.timers.values().any(|timer| timer.execution == *id);
        assert!(!waits || has_timer, "what waits for a timer has one");
    }
    assert!(
        state.timers.values().all(|it| state.executions.contains_key(&it.execution)),
        "no timer outlives its task"
    );
    let counted = Instance::from_state(InstanceId::new("i").unwrap(), state.clone()).size_bytes();
    assert!(
        counted <= conversation.instance.size_bytes(),
        "what is estimated is never less than what is counted"
    );
}

/// Answers what is open and fires what is due, until nothing is left to do but to send events.
fn drain(conversation: &mut Conversation) {
    for _ in 0..1_000 {
        let Some(state) = conversation.instance.state().filter(|it| !it.status.is_terminal()) else { return };
        let command = match &state.status {
            Status::Suspended { .. } | Status::Incident { .. } => match state.halted.first() {
                Some(halted) => Command::Skip {
                    task: Some(halted.task.clone()),
                    output: Payload::null(),
                    by: String::new(),
                    reason: String::new(),
                },
                None => Command::Resume { reason: String::new() },
            },
            _ => match (open_calls(state).first(), state.timers.first_key_value()) {
                (Some(token), _) => Command::CompleteTask { token: *token, output: Payload::null() },
                (None, Some((timer, it))) => {
                    let (timer, due) = (*timer, it.due);
                    conversation.at = conversation.at.max(due);
                    Command::FireTimer { timer, due }
                }
                (None, None) => return,
            },
        };
        let addressed = conversation.address(command);
        let refused = conversation.send(&addressed).is_err();
        assert!(!refused, "what is open can be answered, and what is due fires: {addressed:?}");
    }
    panic!("it goes on for ever: {:?}", conversation.instance.state());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_log_tells_the_state(definition in definition(), moves in moves(), bounds in bounds()) {
        let conversation = play(&definition, &moves, bounds);
        let mut replayed = Instance::absent(InstanceId::new("i").unwrap());
        for entry in &conversation.log {
            replayed.apply_entry(entry).unwrap();
        }
        prop_assert_eq!(&replayed, &conversation.instance);
    }

    #[test]
    fn any_prefix_can_be_the_snapshot(definition in definition(), moves in moves(), at in any::<prop::sample::Index>()) {
        let conversation = play(&definition, &moves, Bounds::default());
        let prefix = at.index(conversation.log.len());
        let mut instance = Instance::absent(InstanceId::new("i").unwrap());
        for (i, entry) in conversation.log.iter().enumerate() {
            instance.apply_entry(entry).unwrap();
            if i == prefix {
                let stored = serde_json::to_string(instance.state().unwrap()).unwrap();
                instance = Instance::from_state(instance.id().clone(), serde_json::from_str(&stored).unwrap());
            }
        }
        prop_assert_eq!(&instance, &conversation.instance);
    }

    #[test]
    fn the_same_commands_make_the_same_log(definition in definition(), moves in moves(), bounds in bounds()) {
        prop_assert_eq!(play(&definition, &moves, bounds).log, play(&definition, &moves, bounds).log);
    }

    #[test]
    fn every_run_ends_or_waits_for_an_event(definition in definition(), moves in moves()) {
        let mut conversation = play(&definition, &moves, Bounds { steps_max: 300, ..Bounds::default() });
        drain(&mut conversation);
        let Some(state) = conversation.instance.state() else { return Ok(()) };
        let listens = |it: &millrace_schemas::instance::Execution| matches!(it.state, ExecutionState::Listening { .. } | ExecutionState::Gathering { .. });
        prop_assert!(state.status.is_terminal() || state.executions.values().any(listens), "{:?}", state);
    }

    #[test]
    fn a_child_answers_or_is_cancelled_and_never_starts_twice(definition in definition(), moves in moves(), bounds in bounds()) {
        let mut conversation = play(&definition, &moves, bounds);
        let cancel = Command::Cancel { reason: String::new(), compensate: false };
        let cancel = conversation.address(cancel);
        conversation.send(&cancel).ok();
        let (mut started, mut cancelled) = (BTreeSet::new(), BTreeSet::new());
        for effect in &conversation.effects {
            let Effect::SendCommand { to, command, .. } = effect else { continue };
            match &**command {
                Command::Start { parent, .. } => {
                    prop_assert!(!started.contains(to), "{} starts twice", to);
                    if parent.is_some() { started.insert(to.clone()); }
                }
                Command::Cancel { .. } => prop_assert!(started.contains(to) && cancelled.insert(to.clone()), "{} is cancelled", to),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        let answered: BTreeSet<InstanceId> = conversation.answered.iter().map(|it| InstanceId::new(format!("i.{it}")).unwrap()).collect();
        for child in &started {
            // Both, if the answer waited for a resume that never came.
            prop_assert!(cancelled.contains(child) || answered.contains(child), "{} was left alone", child);
        }
    }

    #[test]
    fn names_of_executions_and_timers_are_never_used_again(definition in definition(), moves in moves()) {
        let conversation = play(&definition, &moves, Bounds { record_bytes_max: 100_000_000, ..Bounds::default() });
        let mut executions = BTreeSet::new();
        let mut timers = BTreeSet::<TimerId>::new();
        for event in conversation.log.iter().flat_map(|it| &it.events) {
            match event {
                Event::TaskStarted { task, iteration, attempt, .. } => {
                    prop_assert!(executions.insert((task.clone(), iteration.clone(), *attempt)), "{} [{}] {:?}", task, iteration, attempt);
                }
                Event::TimerSet { timer, .. } | Event::RetryScheduled { timer, .. } => prop_assert!(timers.insert(*timer)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_step_that_is_taken_back_leaves_no_effects() {
    let definition = json!({ "do": [
        { "a": { "emit": { "event": { "with": { "type": "e" } } } } },
        { "b": { "set": "${ \"x\" * 1000 }" } },
    ] });
    let mut conversation = Conversation::new(program_of(&definition));
    conversation.bounds.record_bytes_max = 600;
    let workflow = conversation.program.workflow.workflow.clone();
    let start = Command::Start { workflow, version: None, input: Payload::null(), parent: None };
    let start = conversation.address(start);
    let decision = conversation.send(&start).unwrap();
    assert_eq!(decision.effects, Vec::<Effect>::new());
    conversation.bounds.record_bytes_max = 10_000;
    let resume = conversation.address(Command::Resume { reason: String::new() });
    assert_eq!(conversation.send(&resume).unwrap().effects.len(), 1);
}
