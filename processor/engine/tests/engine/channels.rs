//! Where events without an address go, and what becomes of them there.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use millrace_engine::{
    Bounds, Channel, Destination, Effect, Moment, Routes, business_key_channel, channel_id,
};
use millrace_schemas::channel::{
    ChannelCommand, ChannelEntry, ChannelEvent, Gather, Subscription, SubscriptionId,
};
use millrace_schemas::command::{Addressed, Answer, Command};
use millrace_schemas::{EventId, ExecutionId, InstanceId, Payload, Timestamp, WorkflowName, WorkflowVersion};
use millrace_workflow::program::Program;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conversation::program;

const DEFINITION: &str = "
do:
  - paid: { listen: { to: { one: { with: { type: paid, data: '${ .cents >= $context.least }' },
      correlate: { order: { from: .data.order, expect: '${ .id }' } } } } } }
";

fn event(event_type: &str, id: &str, data: Value) -> Payload {
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "data": data }).into()
}

/// A channel, a definition that its listeners run, and a clock.
struct Talk {
    program: Arc<Program>,
    channel: Channel,
    bounds: Bounds,
    at: Timestamp,
    sent: u64,
}

impl Talk {
    fn new() -> Self {
        Self {
            program: Arc::new(program(DEFINITION)),
            channel: Channel::absent(channel_id(Some("paid"), &[(".data.order", json!("o-1"))])),
            bounds: Bounds::default(),
            at: Timestamp(0),
            sent: 0,
        }
    }

    /// One step, with what must hold after any step.
    fn send(&mut self, command: ChannelCommand) -> Result<(Vec<ChannelEvent>, Vec<Effect>), String> {
        self.sent += 1;
        let cause = EventId { source: "test".to_owned(), id: self.sent.to_string() };
        let addressed = Addressed {
            instance: self.channel.id().clone(),
            cause,
            traceparent: None,
            tracestate: None,
            answer: Answer::Refusal,
            command,
        };
        let before = self.channel.clone();
        let known = Arc::clone(&self.program);
        let find = move |version: &_| (known.workflow == *version).then(|| Arc::clone(&known));
        let moment = Moment { at: self.at, random: 0 };
        let decided = self.channel.step(&addressed, &find, moment, &self.bounds);
        let mut replayed = before.clone();
        match decided {
            Err(rejection) => {
                assert_eq!(self.channel, before, "a rejection leaves the channel untouched");
                Err(rejection.to_string())
            }
            Ok(decision) => {
                let (cause, events) = (addressed.cause, decision.events.clone());
                if events.is_empty() {
                    assert_eq!(self.channel, before, "without a fact nothing changes");
                } else {
                    replayed.apply_entry(&ChannelEntry { at: self.at, cause, traceparent: None, events });
                    assert_eq!(replayed, self.channel, "live state and replayed state are the same");
                }
                let state = self.channel.state().clone();
                assert_eq!(Channel::from_state(self.channel.id().clone(), state), self.channel);
                Ok((decision.events, decision.effects))
            }
        }
    }

    fn subscribe(&self, instance: &str, execution: u32, is_once: bool, least: i64) -> ChannelCommand {
        ChannelCommand::Subscribe {
            id: id(instance, execution),
            subscription: Subscription {
                workflow: self.program.workflow.clone(),
                task: "/do/0/paid".into(),
                variables: Some(json!({ "context": { "least": least } }).into()),
                is_once,
            },
        }
    }

    fn tell(&mut self, out: &mut String, line: &str, command: ChannelCommand) {
        writeln!(out, "> {line}").unwrap();
        match self.send(command) {
            Err(detail) => writeln!(out, "  rejected: {detail}").unwrap(),
            Ok((events, effects)) => {
                for it in events {
                    writeln!(out, "  {}", describe(&it)).unwrap();
                }
                for it in effects {
                    writeln!(out, "  => {}", described(&it)).unwrap();
                }
            }
        }
    }

    /// `subscribe INSTANCE [LEAST]`, `stream INSTANCE`, `leave INSTANCE`, `publish ID [CENTS]`, `wait MILLISECONDS`.
    fn run(&mut self, script: &str) -> String {
        let mut out = String::new();
        for line in script.lines().map(str::trim).filter(|it| !it.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let number = words.get(2).map_or(0, |it| it.parse().unwrap());
            let command = match words[0] {
                "wait" => {
                    self.at.0 += words[1].parse::<i64>().unwrap();
                    continue;
                }
                "subscribe" => self.subscribe(words[1], 1, true, number),
                "stream" => self.subscribe(words[1], 1, false, number),
                "leave" => ChannelCommand::Unsubscribe { id: id(words[1], 1) },
                "publish" => ChannelCommand::Publish {
                    event: event("paid", words[1], json!({ "order": "o-1", "cents": number })),
                    gather: None,
                },
                other => panic!("no such command: {other}"),
            };
            self.tell(&mut out, line, command);
        }
        out
    }
}

fn id(instance: &str, execution: u32) -> SubscriptionId {
    let instance = InstanceId::new(instance).unwrap();
    SubscriptionId { instance, execution: ExecutionId(execution), filter: 0 }
}

fn describe(event: &ChannelEvent) -> String {
    match event {
        ChannelEvent::SubscriptionOpened { id, subscription } => {
            format!("opened {}{}", id.instance, if subscription.is_once { "" } else { " for all" })
        }
        ChannelEvent::SubscriptionClosed { id } => format!("closed {}", id.instance),
        ChannelEvent::EventPublished { until, .. } => format!("published, known until {}", until.0),
        ChannelEvent::EventKept { cause, filter, until, .. } => {
            format!("kept {} of filter {filter} until {}", cause.id, until.0)
        }
        ChannelEvent::EventTaken { cause } => format!("taken {}", cause.id),
    }
}

fn described(effect: &Effect) -> String {
    let Effect::SendCommand { to, command, .. } = effect else { panic!("{effect:?}") };
    match &**command {
        Command::DeliverEvent { listener, filter, event } => {
            format!("{} to {to} {}.{filter}", event.value()["id"], listener.0)
        }
        Command::Start { workflow, version, input, .. } => {
            let ids: Vec<_> =
                input.value().as_array().unwrap().iter().map(|it| it["id"].to_string()).collect();
            let (start, end) = to.as_str().split_at(to.as_str().len() - 24);
            assert!(end.bytes().all(|it| it.is_ascii_hexdigit()));
            format!("start {start}… of {workflow}/{} by {}", version.as_deref().unwrap(), ids.join(" "))
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&Talk::new().run(script));
}

#[test]
fn an_event_before_the_listen_waits_and_the_first_one_gets_it() {
    check(
        "publish e-1 10
         publish e-2 10
         subscribe a
         subscribe b
         subscribe c
         publish e-3 10",
        expect![[r#"
            > publish e-1 10
              published, known until 600000
              kept e-1 of filter 0 until 600000
            > publish e-2 10
              published, known until 600000
              kept e-2 of filter 0 until 600000
            > subscribe a
              taken e-1
              => "e-1" to a 1.0
            > subscribe b
              taken e-2
              => "e-2" to b 1.0
            > subscribe c
              opened c
            > publish e-3 10
              published, known until 600000
              closed c
              => "e-3" to c 1.0
        "#]],
    );
}

#[test]
fn everybody_who_listens_gets_an_event_and_streams_get_all() {
    check(
        "subscribe a
         stream b
         publish e-1
         publish e-2
         leave b
         publish e-3
         leave a",
        expect![[r#"
            > subscribe a
              opened a
            > stream b
              opened b for all
            > publish e-1
              published, known until 600000
              closed a
              => "e-1" to a 1.0
              => "e-1" to b 1.0
            > publish e-2
              published, known until 600000
              => "e-2" to b 1.0
            > leave b
              closed b
            > publish e-3
              published, known until 600000
              kept e-3 of filter 0 until 600000
            > leave a
        "#]],
    );
}

#[test]
fn what_a_filter_does_not_want_waits_for_another() {
    check(
        "subscribe a 100
         publish e-1 50
         publish e-2 150
         subscribe b 20",
        expect![[r#"
            > subscribe a 100
              opened a
            > publish e-1 50
              published, known until 600000
              kept e-1 of filter 0 until 600000
            > publish e-2 150
              published, known until 600000
              closed a
              => "e-2" to a 1.0
            > subscribe b 20
              taken e-1
              => "e-1" to b 1.0
        "#]],
    );
}

#[test]
fn duplicates_are_dropped_for_a_while() {
    check(
        "subscribe a
         publish e-1
         publish e-1
         subscribe b
         wait 600000
         publish e-1",
        expect![[r#"
            > subscribe a
              opened a
            > publish e-1
              published, known until 600000
              closed a
              => "e-1" to a 1.0
            > publish e-1
            > subscribe b
              opened b
            > publish e-1
              published, known until 1200000
              closed b
              => "e-1" to b 1.0
        "#]],
    );
}

#[test]
fn an_event_waits_only_so_long() {
    check(
        "publish e-1
         wait 599999
         publish e-2
         wait 1
         subscribe a
         leave a",
        expect![[r#"
            > publish e-1
              published, known until 600000
              kept e-1 of filter 0 until 600000
            > publish e-2
              published, known until 1199999
              kept e-2 of filter 0 until 1199999
            > subscribe a
              taken e-2
              => "e-2" to a 1.0
            > leave a
        "#]],
    );
}

#[test]
fn listeners_and_events_that_wait_are_bounded() {
    let mut talk = Talk::new();
    talk.bounds = Bounds { subscriptions_max: 1, waiting_events_max: 1, ..Bounds::default() };
    let said = talk.run(
        "publish e-1 10
         publish e-2 10
         stream a 100
         stream b 100
         stream a 100
         leave a
         subscribe b
         wait 600000
         publish e-3 10",
    );
    expect![[r#"
        > publish e-1 10
          published, known until 600000
          kept e-1 of filter 0 until 600000
        > publish e-2 10
          rejected: 1 events wait already in millrace:channel/paid/eda047a062e8dbc78a9aec9b29243fe7 for somebody to listen, the most that may (waiting_events_max): nobody listens to what is published, or too late
        > stream a 100
          opened a for all
        > stream b 100
          rejected: 1 listeners wait already in millrace:channel/paid/eda047a062e8dbc78a9aec9b29243fe7, the most that may (subscriptions_max); give the `listen` a `correlate` with `expect`, so that each has a channel of its own
        > stream a 100
          opened a for all
        > leave a
          closed a
        > subscribe b
          taken e-1
          => "e-1" to b 1.0
        > publish e-3 10
          published, known until 1200000
          kept e-3 of filter 0 until 1200000
    "#]].assert_eq(&said);
}

#[test]
fn a_channel_is_needed_as_long_as_it_says_something() {
    let mut talk = Talk::new();
    talk.bounds.event_wait = Duration::from_secs(10);
    talk.run("stream a 5");
    assert_eq!(talk.channel.needed_until(), None);
    talk.run("leave a");
    assert_eq!(talk.channel.needed_until(), Some(Timestamp(0)));
    talk.run("publish e-1");
    assert_eq!(talk.channel.needed_until(), Some(Timestamp(600_000)));
}

const ROUTED: [&str; 3] = [
    "
do:
  - both:
      listen:
        to:
          all:
            - { with: { type: paid }, correlate: { order: { from: .data.order, expect: '${ .id }' } } }
            - { with: { type: packed }, correlate: { order: { from: .data.order, expect: '${ .id }' } } }
  - rated:
      listen:
        to:
          all:
            - { with: { type: rated }, correlate: { who: { from: .data.who } } }
            - { with: { type: paid }, correlate: { who: { from: .data.who } } }
  - mine: { listen: { to: { one: { with: { type: mine } } } }, metadata: { millrace: { addressed: true } } }
",
    "
schedule: { on: { any: [{ with: { type: paid, data: '${ .cents > 100 }' } }, { with: { type: big } }] } }
do: [{ a: { set: { x: 1 } } }]
",
    "
schedule:
  on:
    all:
      - { with: { type: left }, correlate: { pair: { from: .data.pair } } }
      - { with: { type: right }, correlate: { pair: { from: .data.pair } } }
do: [{ a: { set: { x: 1 } } }]
",
];

fn routes() -> Routes {
    let programs: Vec<Arc<Program>> = ROUTED.iter().map(|it| Arc::new(program(it))).collect();
    Routes::new(&programs, &programs)
}

fn routed(routes: &Routes, event: &Payload) -> String {
    let cause = EventId { source: "/shop".to_owned(), id: "e-1".to_owned() };
    let mut out = format!("> {} heard: {}\n", event.value()["type"], routes.hears(event));
    for it in routes.of_event(event, &cause, Timestamp(0)) {
        match it {
            Destination::Channel { id, gather } => {
                let gather = gather.map_or_else(String::new, |it| {
                    format!(", {} of {} for {}", it.filter, it.filters, it.workflow)
                });
                writeln!(out, "  {}{gather}", &id.as_str()[..id.as_str().rfind('/').unwrap() + 5]).unwrap();
            }
            Destination::Start { effect, .. } => writeln!(out, "  {}", described(&effect)).unwrap(),
        }
    }
    out
}

#[test]
fn events_go_where_definitions_listen() {
    let routes = routes();
    let said: String = [
        event("paid", "e-1", json!({ "order": "o-1", "who": "ann", "cents": 500 })),
        event("paid", "e-1", json!({ "order": "o-1", "cents": 5 })),
        event("paid", "e-1", json!({ "cents": 5 })),
        event("packed", "e-1", json!({ "order": "o-1" })),
        event("packed", "e-1", json!("o-1")),
        event("left", "e-1", json!({ "pair": 7 })),
        event("right", "e-1", json!({ "pair": 7 })),
        event("right", "e-1", json!({ "pair": 8 })),
        event("left", "e-1", json!({})),
        event("big", "e-1", json!({})),
        event("mine", "e-1", json!({})),
        event("other", "e-1", json!({})),
    ]
    .iter()
    .map(|it| routed(&routes, it))
    .collect();
    expect![[r#"
        > "paid" heard: true
          millrace:channel/paid/9129
          millrace:channel/paid/ebb5
          millrace:channel/paid/eda0
          start test.flow-… of test/flow/1.0.0 by "e-1"
        > "paid" heard: true
          millrace:channel/paid/ebb5
          millrace:channel/paid/eda0
        > "paid" heard: true
          millrace:channel/paid/ebb5
        > "packed" heard: true
          millrace:channel/packed/f205
        > "packed" heard: true
        > "left" heard: true
          millrace:channel/test/flow/aa22, 0 of 2 for test/flow/1.0.0
        > "right" heard: true
          millrace:channel/test/flow/aa22, 1 of 2 for test/flow/1.0.0
        > "right" heard: true
          millrace:channel/test/flow/b212, 1 of 2 for test/flow/1.0.0
        > "left" heard: true
        > "big" heard: true
          start test.flow-… of test/flow/1.0.0 by "e-1"
        > "mine" heard: false
        > "other" heard: false
    "#]]
    .assert_eq(&said);
}

#[test]
fn events_that_start_an_instance_together_are_gathered() {
    let mut talk = Talk::new();
    let workflow = talk.program.workflow.clone();
    let mut out = String::new();
    for (filter, name) in [(0, "l-1"), (0, "l-2"), (1, "r-1"), (1, "r-1"), (1, "r-2"), (1, "r-3")] {
        let gather = Some(Gather { workflow: workflow.clone(), filter, filters: 2 });
        let command = ChannelCommand::Publish { event: event("t", name, json!(null)), gather };
        talk.tell(&mut out, name, command);
    }
    expect![[r#"
        > l-1
          published, known until 600000
          kept l-1 of filter 0 until 600000
        > l-2
          published, known until 600000
          kept l-2 of filter 0 until 600000
        > r-1
          published, known until 600000
          taken l-1
          => start test.flow-… of test/flow/1.0.0 by "l-1" "r-1"
        > r-1
        > r-2
          published, known until 600000
          taken l-2
          => start test.flow-… of test/flow/1.0.0 by "l-2" "r-2"
        > r-3
          published, known until 600000
          kept r-3 of filter 1 until 600000
    "#]]
    .assert_eq(&out);
}

/// Where a listener subscribes and where an event is sent are the same: whatever the values are.
#[test]
fn listeners_and_events_meet() {
    let definition = "
do: [{ a: { listen: { to: { one: { with: { type: t }, correlate: {
  x: { from: .data.x, expect: '${ .x }' }, y: { from: .source, expect: '${ .y }' } } } } } } }]
";
    let program = Arc::new(program(definition));
    let routes = Routes::new([&program], [&program]);
    for (x, y) in
        [(json!(1), "/a"), (json!("1"), "/a"), (json!({"b": [1], "a": null}), "/ü"), (json!(true), "")]
    {
        let mut instance = crate::conversation::Conversation::new(crate::conversation::program(definition));
        let said = instance.run(&format!("start {}", json!({ "x": x, "y": y })));
        let state = instance.instance.state().unwrap();
        let joined: Vec<_> = state.channels.iter().map(|it| it.channel.clone()).collect();
        let event: Payload =
            json!({ "specversion": "1.0", "id": "1", "source": y, "type": "t", "data": { "x": x } }).into();
        let cause = EventId { source: y.to_owned(), id: "1".to_owned() };
        let found: Vec<_> = routes
            .of_event(&event, &cause, Timestamp(0))
            .into_iter()
            .map(|it| match it {
                Destination::Channel { id, .. } => id,
                Destination::Start { .. } => panic!("nothing starts by events"),
            })
            .collect();
        assert_eq!(joined, found, "{said}");
    }
}

#[test]
fn names_from_outside_make_ids_or_are_refused() {
    let long = "\u{1f600}".repeat(300);
    let name = WorkflowName { namespace: long.as_str().into(), name: long.as_str().into() };
    let ids = [
        channel_id(Some(&long), &[]),
        channel_id(None, &[("x", json!(long))]),
        business_key_channel(&name, &long),
    ];
    assert!(ids.iter().all(|it| it.as_str().len() < 160 && it.is_channel()), "{ids:?}");
    let mut talk = Talk::new();
    let workflow = WorkflowVersion { workflow: name, version: "1".into() };
    let gather = Some(Gather { workflow, filter: 0, filters: 1 });
    let refused = talk.send(ChannelCommand::Publish { event: event("t", "e", json!(1)), gather });
    assert!(refused.is_err());
    let forged = r#"{"subscribe":{"id":{"instance":"","execution":1,"filter":0},"subscription":{"workflow":{"workflow":{"namespace":"a","name":"b"},"version":"1"},"task":"/do","variables":null,"isOnce":true}}}"#;
    assert!(serde_json::from_str::<ChannelCommand>(forged).is_err());
    assert!(serde_json::from_str::<ChannelCommand>(&forged.replace(r#""""#, r#""i""#)).is_ok());
}

#[test]
fn a_channel_holds_and_sends_only_so_much() {
    let mut talk = Talk::new();
    talk.bounds = Bounds { state_bytes_max: 400, record_bytes_max: 10, ..Bounds::default() };
    let long = |id: &str| ChannelCommand::Publish {
        event: event("paid", id, json!({ "order": "o-1", "cents": 1, "note": "x".repeat(100) })),
        gather: None,
    };
    assert!(talk.send(long("e-1")).is_ok());
    let refused = talk.send(long("e-2")).unwrap_err();
    assert!(refused.contains("state_bytes_max"), "{refused}");
    for instance in ["a", "b", "c"] {
        talk.send(talk.subscribe(instance, 1, false, 0)).unwrap();
    }
    let refused = talk.send(long("e-3")).unwrap_err();
    assert!(refused.contains("more than one transaction takes"), "{refused}");
    talk.bounds = Bounds { published_remembered_max: 2, ..Bounds::default() };
    for id in ["e-4", "e-5", "e-6", "e-4"] {
        assert!(!talk.send(long(id)).unwrap().1.is_empty(), "{id} is news again once two others came");
    }
}

#[derive(Clone, Debug)]
enum Move {
    Subscribe(usize, bool, i64),
    Leave(usize),
    Publish(usize, i64),
    Wait(i64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..6_usize, any::<bool>(), 0..3_i64).prop_map(|(i, once, least)| Move::Subscribe(i, once, least)),
        2 => (0..6_usize).prop_map(Move::Leave),
        6 => (0..12_usize, 0..3_i64).prop_map(|(id, cents)| Move::Publish(id, cents)),
        1 => (0..400_000_i64).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 0..60)
}

proptest! {
    /// No listener gets an event twice, one that it has not asked for, or one that was there for somebody before it; and an event
    /// that came is given to somebody, waits, or was a duplicate.
    #[test]
    fn events_meet_listeners_once(moves in moves()) {
        let mut talk = Talk::new();
        let mut executions = 0;
        let mut open: BTreeMap<usize, SubscriptionId> = BTreeMap::new();
        let mut least_of: BTreeMap<SubscriptionId, (i64, bool)> = BTreeMap::new();
        let mut got: BTreeSet<(SubscriptionId, String)> = BTreeSet::new();
        let mut known: BTreeMap<String, Timestamp> = BTreeMap::new();
        let mut waiting: Vec<(String, i64, Timestamp)> = Vec::new();
        let mut cents_of: BTreeMap<String, i64> = BTreeMap::new();
        for next in moves {
            waiting.retain(|it| it.2 > talk.at);
            known.retain(|_, until| *until > talk.at);
            let (mut expected, command) = match next {
                Move::Wait(milliseconds) => {
                    talk.at.0 += milliseconds;
                    continue;
                }
                Move::Subscribe(i, is_once, least) => {
                    if open.contains_key(&i) {
                        continue;
                    }
                    executions += 1;
                    let name = format!("i-{i}");
                    let wanted = id(&name, executions);
                    least_of.insert(wanted.clone(), (least, is_once));
                    let mut taken: Vec<String> =
                        waiting.iter().filter(|it| it.1 >= least).map(|it| it.0.clone()).collect();
                    if is_once {
                        taken.truncate(1);
                    }
                    waiting.retain(|it| !taken.contains(&it.0));
                    if !is_once || taken.is_empty() {
                        open.insert(i, wanted.clone());
                    }
                    let expected: Vec<_> = taken.into_iter().map(|it| (wanted.clone(), it)).collect();
                    (expected, talk.subscribe(&name, executions, is_once, least))
                }
                Move::Leave(i) => {
                    let Some(left) = open.remove(&i) else { continue };
                    (Vec::new(), ChannelCommand::Unsubscribe { id: left })
                }
                Move::Publish(number, cents) => {
                    let name = format!("e-{number}");
                    let cents = *cents_of.entry(name.clone()).or_insert(cents);
                    let event = event("paid", &name, json!({ "order": "o-1", "cents": cents }));
                    let mut expected = Vec::new();
                    if !known.contains_key(&name) {
                        known.insert(name.clone(), talk.at.plus(talk.bounds.duplicate_window));
                        let takers: Vec<SubscriptionId> =
                            open.values().filter(|it| cents >= least_of[*it].0).cloned().collect();
                        open.retain(|_, it| !(takers.contains(it) && least_of[it].1));
                        if takers.is_empty() {
                            waiting.push((name.clone(), cents, talk.at.plus(talk.bounds.event_wait)));
                        }
                        expected = takers.into_iter().map(|it| (it, name.clone())).collect();
                        got.retain(|it| it.1 != name);
                    }
                    (expected, ChannelCommand::Publish { event, gather: None })
                }
            };
            let (_, effects) = talk.send(command).unwrap();
            let mut delivered: Vec<_> = effects.iter().map(|effect| {
                let Effect::SendCommand { to, command, .. } = effect else { panic!("{effect:?}") };
                let Command::DeliverEvent { listener, filter, event } = &**command else { panic!("{command:?}") };
                let to = SubscriptionId { instance: to.clone(), execution: *listener, filter: *filter };
                (to, event.value()["id"].as_str().unwrap().to_owned())
            }).collect();
            delivered.sort();
            expected.sort();
            prop_assert_eq!(&delivered, &expected);
            for it in delivered {
                prop_assert!(got.insert(it), "twice");
            }
            let subscribed: BTreeSet<_> = talk.channel.state().subscriptions.keys().cloned().collect();
            prop_assert_eq!(subscribed, open.values().cloned().collect::<BTreeSet<_>>());
        }
    }
}
