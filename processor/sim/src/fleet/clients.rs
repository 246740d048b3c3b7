//! The users: producers that start instances and send them signals, and workers that answer tasks. They know the public records only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millrace_placement::key_group;
use millrace_schemas::cloud_event::{CloudEvent, cancel_event, complete_event, signal_event, start_event};
use millrace_schemas::codec::Codec;
use millrace_schemas::instance::{InstanceState, Status};
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{EventId, InstanceId, Offset, TaskToken};
use rand::{Rng, RngExt};
use serde_json::{Value, json};
use uuid::Builder;

use crate::fleet::broker::{Broker, Place, Record};
use crate::fleet::catalog::workflow;
use crate::fleet::check::Key;
use crate::fleet::swarm::Swarm;
use crate::fleet::world::EPOCH_MS;

#[derive(Debug)]
pub(crate) struct Clients {
    codec: Codec,
    queue: Place,
    users: Vec<User>,
    /// How far committed tasks were read.
    read_to: Offset,
    /// How far the workers have read that do not wait for that, if they do not.
    ahead_to: Option<Offset>,
    dispatched: BTreeSet<(InstanceId, TaskToken)>,
    /// With where they stand in the queue.
    open: Vec<(Offset, TaskCommand)>,
    /// Steps of races that were answered: a worker that knows its idempotency keys says nothing to one that comes again, whatever the token.
    /// Then the timer is what is left.
    answered: BTreeSet<String>,
    answers: u64,
    /// Records that nobody can read.
    poisoned: usize,
}

/// The producer of one instance's events. All of them arrive at one partition, where order is defined.
#[derive(Debug)]
struct User {
    id: InstanceId,
    arrival: usize,
    kind: Kind,
    is_cancelled: bool,
    /// In which partition of the users' topic its records arrive.
    topic_partition: usize,
    script: VecDeque<Message>,
}

/// What a user sends.
#[derive(Clone, Debug)]
enum Message {
    Event(CloudEvent),
    /// Into the users' topic, as plain JSON.
    Reading(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Collect {
        count: u32,
    },
    Call,
    Wait,
    Herd,
    Family,
    /// Events are published: they find it by what they say, or by its business key.
    Hear {
        count: u32,
        by: By,
    },
    Impatient,
    /// An event starts it.
    Called,
    /// Two events start it together.
    Paired,
    /// A record of the users' topic starts it.
    Read,
}

/// How events find whom they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// By what they say.
    Data,
    BusinessKey,
    /// As [`By::Data`], and they come from the users' topic.
    Topic,
}

impl Clients {
    pub(crate) fn new(swarm: &Swarm, codec: Codec, queue: String, rng: &mut impl Rng) -> Self {
        let users = (0..swarm.instances).map(|n| User::draw(n, swarm, rng)).collect();
        Self {
            codec,
            queue: Place::Other(queue),
            users,
            read_to: Offset(0),
            ahead_to: swarm.speculates.then_some(Offset(0)),
            dispatched: BTreeSet::new(),
            open: Vec::new(),
            answered: BTreeSet::new(),
            answers: 0,
            poisoned: 0,
        }
    }

    /// Somebody writes nonsense into the inbox, or into the users' topic.
    pub(crate) fn poison(&mut self, broker: &mut Broker, swarm: &Swarm, now: i64, rng: &mut impl Rng) {
        self.poisoned += 1;
        let key = rng.random_bool(0.5).then(|| format!("poison-{}", self.poisoned).into());
        let is_in_topic = rng.random_bool(0.2);
        let (place, partitions): (fn(usize) -> Place, usize) = match is_in_topic {
            true => (Place::Topic, swarm.topic_partitions),
            false => (Place::Events, swarm.event_partitions),
        };
        // There, a record without a value can be read.
        let value = (is_in_topic || rng.random_bool(0.8)).then(|| "\u{1}no event".into());
        let record = Record { key, headers: Vec::new(), value, at: now, writer: None };
        broker.produce(&place(rng.random_range(0..partitions)), record);
    }

    /// How many dead letters there must be in the end.
    pub(crate) fn poisoned(&self) -> usize {
        self.poisoned
    }

    /// One that there is, was, or will be.
    pub(crate) fn any_instance(&self, rng: &mut impl Rng) -> InstanceId {
        self.users[rng.random_range(0..self.users.len())].id.clone()
    }

    pub(crate) fn has_more_to_send(&self) -> bool {
        self.users.iter().any(|it| !it.script.is_empty())
    }

    /// One user sends its next event.
    pub(crate) fn send(&mut self, broker: &mut Broker, now: i64, rng: &mut impl Rng) {
        let mut ready: Vec<&mut User> = self.users.iter_mut().filter(|it| !it.script.is_empty()).collect();
        if ready.is_empty() {
            return;
        }
        let choice = rng.random_range(0..ready.len());
        let user = &mut *ready[choice];
        match user.script.pop_front() {
            Some(Message::Event(event)) => {
                broker.produce(&Place::Events(user.arrival), record(&event, now));
            }
            Some(Message::Reading(reading)) => {
                let value = Some(reading.to_string().into());
                let record = Record { key: None, headers: Vec::new(), value, at: now, writer: None };
                broker.produce(&Place::Topic(user.topic_partition), record);
            }
            None => {}
        }
    }

    /// The workers read what was committed, or what was written. A task that comes twice is a violation: each dispatch has a token of its own.
    pub(crate) fn read_tasks(&mut self, broker: &mut Broker) -> Result<(), String> {
        let Some((records, next)) = broker.log(&self.queue).fetch(self.read_to, usize::MAX) else {
            return Err("the queue was trimmed".to_owned());
        };
        for (offset, record) in records {
            let task = self.codec.decode_task(record.value.as_deref().unwrap_or_default());
            let task = task.map_err(|it| it.to_string())?;
            if !self.dispatched.insert((task.instance.clone(), task.token)) {
                return Err(format!("task {} of {} was dispatched twice", task.token, task.instance));
            }
            if self.ahead_to.is_none() {
                self.open.push((offset, task));
            }
        }
        self.read_to = next;
        if let Some(from) = self.ahead_to {
            let (records, next) = broker.log(&self.queue).uncommitted(from);
            for (offset, record) in records {
                let task = self.codec.decode_task(record.value.as_deref().unwrap_or_default());
                self.open.push((offset, task.map_err(|it| it.to_string())?));
            }
            self.ahead_to = Some(next);
        }
        Ok(())
    }

    pub(crate) fn has_open_tasks(&self) -> bool {
        !self.open.is_empty()
    }

    /// A worker answers one task; sometimes it will answer it again.
    pub(crate) fn answer(&mut self, broker: &mut Broker, now: i64, duplicates: bool, rng: &mut impl Rng) {
        if self.open.is_empty() {
            return;
        }
        let choice = rng.random_range(0..self.open.len());
        let (at, task) = if duplicates { self.open[choice].clone() } else { self.open.swap_remove(choice) };
        let is_of_race = task.arguments.value()["n"].as_u64().is_some_and(|it| it >= 3);
        if is_of_race && !self.answered.insert(task.idempotency_key.clone()) {
            return;
        }
        self.answers += 1;
        let id = EventId { source: "worker".to_owned(), id: format!("answer-{}", self.answers) };
        let event = complete_event(
            id,
            &task.instance,
            task.token,
            json!({"done": task.token.to_string(), "at": at.0}),
        );
        let user = self.users.iter().find(|it| it.id == task.instance);
        let place = Place::Events(user.map_or(0, |it| it.arrival));
        broker.produce(&place, record(&event, now));
    }

    /// Whether each answer that was taken was one to a task that was committed.
    pub(crate) fn check_answers(&self, broker: &mut Broker, answered: &[Offset]) -> Result<(), String> {
        let (committed, _) = broker.log(&self.queue).committed(Offset(0), usize::MAX);
        let committed: BTreeSet<Offset> = committed.into_iter().map(|it| it.0).collect();
        match answered.iter().find(|it| !committed.contains(it)) {
            None => Ok(()),
            Some(at) => {
                Err(format!("an answer was taken to the task at {}, which was never committed", at.0))
            }
        }
    }

    /// Whether every instance has come to the end that its events lead to.
    pub(crate) fn check(&self, keys: &BTreeMap<InstanceId, Key>) -> Result<(), String> {
        self.check_started(keys)?;
        self.users.iter().filter(|it| !it.is_started_by_events()).try_for_each(|user| {
            let state = keys.get(&user.id).and_then(Key::state);
            user.check(state).map_err(|it| format!("{} ({:?}): {it}", user.id, user.kind))
        })?;
        // Whoever started them, and whether or not anybody waits for them.
        keys.iter().try_for_each(|(id, key)| match key.state() {
            Some(state) if !state.status.is_terminal() => Err(format!("{id} is {}", state.status.name())),
            Some(_) | None => Ok(()),
        })
    }
}

impl Clients {
    /// Events that start instances have started one each, or one together, and nothing else has started any.
    fn check_started(&self, keys: &BTreeMap<InstanceId, Key>) -> Result<(), String> {
        let mut expected: Vec<Value> = self
            .users
            .iter()
            .filter_map(|user| {
                let id = &user.id;
                match user.kind {
                    Kind::Called => Some(json!({"ids": [format!("{id}/go")]})),
                    Kind::Paired => Some(json!({"ids": [format!("{id}/left"), format!("{id}/right")]})),
                    Kind::Read => Some(json!({"read": id.as_str()})),
                    _ => None,
                }
            })
            .collect();
        for state in keys.values().filter_map(Key::state) {
            if !["called", "paired", "read"].contains(&&*state.workflow.workflow.name) {
                continue;
            }
            let Status::Completed { output } = &state.status else {
                return Err(format!("an instance of {} is {}", state.workflow, state.status.name()));
            };
            let place = expected.iter().position(|it| it == output.value());
            let place = place.ok_or_else(|| format!("{} started an instance again", output.value()))?;
            expected.remove(place);
        }
        match expected.first() {
            None => Ok(()),
            Some(missing) => Err(format!("{missing} has started nothing")),
        }
    }
}

impl User {
    fn is_started_by_events(&self) -> bool {
        matches!(self.kind, Kind::Called | Kind::Paired | Kind::Read)
    }

    fn draw(n: usize, swarm: &Swarm, rng: &mut impl Rng) -> Self {
        let id = id(n, rng.random_range(0..1_000));
        let group = usize::from(key_group(id.as_str().as_bytes()).0);
        let is_misrouted = rng.random_range(0..10) < swarm.misrouted_of_ten;
        let arrival = if is_misrouted {
            rng.random_range(0..swarm.event_partitions)
        } else {
            group % swarm.event_partitions
        };
        let kind = match rng.random_range(0..10) {
            it if it < swarm.collect_of_ten => Kind::Collect { count: rng.random_range(1..=12) },
            it if it < swarm.collect_of_ten + swarm.call_of_ten => Kind::Call,
            _ if swarm.is_herd => Kind::Herd,
            _ => match rng.random_range(0..9) {
                0 | 1 => Kind::Family,
                2 => Kind::Wait,
                3 | 4 => {
                    let by = [By::Data, By::BusinessKey, By::Topic][rng.random_range(0..3)];
                    Kind::Hear { count: rng.random_range(1..=8), by }
                }
                5 => Kind::Impatient,
                6 => Kind::Called,
                7 => Kind::Read,
                _ => Kind::Paired,
            },
        };
        let may_be_cancelled =
            matches!(kind, Kind::Call | Kind::Wait | Kind::Herd | Kind::Family | Kind::Impatient);
        let is_cancelled = may_be_cancelled && rng.random_range(0..100) < swarm.weights.cancel;
        let starts_twice = rng.random_range(0..100) < swarm.weights.duplicate;
        let name = match kind {
            Kind::Collect { .. } => "collect",
            Kind::Call => "call",
            Kind::Wait => "wait",
            Kind::Herd => "herd",
            Kind::Family => "family",
            Kind::Hear { .. } => "hear",
            Kind::Impatient => "impatient",
            Kind::Called | Kind::Paired | Kind::Read => "",
        };
        let event_id = |what: &str| EventId { source: "user".to_owned(), id: format!("{id}/{what}") };
        let start = |what: &str| {
            Message::Event(start_event(event_id(what), &id, &workflow(name), None, json!({"n": n})))
        };
        let published = |event_type: &str, what: &str, data: Value| {
            CloudEvent::new(event_id(what), event_type).with_data(data)
        };
        let mut script = match kind {
            Kind::Called => VecDeque::from([Message::Event(published("go", "go", json!({})))]),
            Kind::Paired => {
                ["left", "right"].map(|it| Message::Event(published(it, it, json!({"of": n})))).into()
            }
            Kind::Read => VecDeque::from([Message::Reading(json!({"read": id.as_str()}))]),
            _ => VecDeque::from([start("start")]),
        };
        if let Kind::Collect { count } = kind {
            script.extend((1..=count).map(|it| {
                let data = json!({"n": it, "last": it == count});
                Message::Event(signal_event(event_id(&format!("n{it}")), &id, "n", Some(data)))
            }));
        }
        if let Kind::Hear { count, by } = kind {
            for number in 1..=count {
                let data = json!({"n": number, "last": number == count, "of": n});
                let event = published("m", &format!("m{number}"), data.clone());
                script.push_back(match by {
                    By::Data => Message::Event(event),
                    By::BusinessKey => {
                        let event = event.with_extension("workflow", "sim/hear");
                        Message::Event(event.with_extension("businesskey", n))
                    }
                    By::Topic => Message::Reading(data),
                });
            }
            // The events may come before anybody listens.
            if let Some(start) = script.pop_front() {
                script.insert(rng.random_range(0..=script.len()), start);
            }
        }
        if kind == Kind::Impatient {
            script.insert(rng.random_range(0..=1), Message::Event(published("q", "q", json!({"of": n}))));
        }
        // Each record of a topic is an event of its own.
        let is_reading = script.iter().any(|it| matches!(it, Message::Reading(_)));
        if starts_twice && !is_reading {
            let place = rng.random_range(1..=script.len());
            // What is published twice counts once; a second start is refused.
            let again = match kind {
                Kind::Hear { .. } | Kind::Impatient | Kind::Called | Kind::Paired | Kind::Read => {
                    script[rng.random_range(0..place)].clone()
                }
                Kind::Collect { .. } | Kind::Call | Kind::Wait | Kind::Herd | Kind::Family => {
                    start("start-again")
                }
            };
            script.insert(place, again);
        }
        if is_cancelled {
            let cancel = cancel_event(event_id("cancel"), &id, "enough", n.is_multiple_of(2));
            script.push_back(Message::Event(cancel));
        }
        let topic_partition = rng.random_range(0..swarm.topic_partitions);
        Self { id, arrival, kind, is_cancelled, topic_partition, script }
    }

    fn check(&self, state: Option<&InstanceState>) -> Result<(), String> {
        let state = state.ok_or("it never started")?;
        match (&state.status, self.kind) {
            (Status::Cancelled { .. }, _) if self.is_cancelled => Ok(()),
            (Status::Completed { output }, Kind::Collect { count }) => {
                let expected: Vec<u32> = (1..=count).collect();
                match output.value() == &json!({"seen": expected}) {
                    true => Ok(()),
                    false => Err(format!("its output is {}", output.value() as &Value)),
                }
            }
            (Status::Completed { output }, Kind::Hear { count, .. }) => {
                let expected: Vec<u32> = (1..=count).collect();
                match output.value() == &json!({"seen": expected}) {
                    true => Ok(()),
                    false => Err(format!("its output is {}", output.value() as &Value)),
                }
            }
            (
                Status::Completed { .. },
                Kind::Call | Kind::Wait | Kind::Herd | Kind::Family | Kind::Impatient,
            ) => Ok(()),
            (status, _) => Err(format!("it is {}", status.name())),
        }
    }
}

/// Half of the ids say when they were made: in any order, and half of those in the future, which no clock has come to.
fn id(n: usize, drawn: u64) -> InstanceId {
    let id = format!("i{n}-{drawn}");
    let made_at_ms =
        EPOCH_MS.unsigned_abs() + drawn * 7_919 % 60_000 + if drawn % 4 == 1 { 3_600_000 } else { 0 };
    let uuid = Builder::from_unix_timestamp_millis(made_at_ms, &[n as u8; 10]).into_uuid();
    InstanceId::new(if drawn.is_multiple_of(2) { id } else { format!("{id}-{uuid}") }).expect("short")
}

fn record(event: &CloudEvent, at: i64) -> Record {
    let it = event.to_structured();
    Record { key: it.key, headers: it.headers, value: it.value, at, writer: None }
}
