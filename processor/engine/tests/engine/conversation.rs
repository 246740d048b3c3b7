//! A script, and the conversation it makes with one instance.
//!
//! A script has one command a line: `start JSON`, `complete TOKEN JSON`, `fail TOKEN [permanent] [JSON]`, `beat TOKEN`,
//! `fire TIMER` (the clock goes on to when it is due), `early TIMER`, `moved TIMER`, `signal TYPE JSON`,
//! `deliver LISTENER FILTER TYPE JSON`, `cancel`, `suspend`, `resume`,
//! `undo` (cancel, and compensate), `retry [TASK [JSON]]`, `edit TASK JSON`, `skip TASK JSON`, `restart TASK JSON`, `reopen TASK` (a restart
//! with what the log says), `again` (the last command once more), `wait MILLISECONDS`, `state` (what is open), `limit BYTES` (of a record). `query NAME` or
//! `query EXPRESSION`. `wanted:` before a command asks for its outcome, `now:` that it must be taken at once, too. Instead of
//! JSON, `x100` stands for a string of 100 characters; strings that long are printed so, too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;

use expect_test::Expect;
use millrace_engine::{Bounds, Decision, Effect, Instance, Looked, Moment, Rejection, Rewound, rewind};
use millrace_schemas::channel::ChannelCommand;
use millrace_schemas::command::{AddressedCommand, Answer, Command};
use millrace_schemas::event::{Activity, ChangelogEntry, Event, Outcome, ParentTask, TaskError};
use millrace_schemas::instance::Status;
use millrace_schemas::{EventId, ExecutionId, InstanceId, Payload, TaskToken, TimerId, Timestamp};
use millrace_workflow::expression::{Expression, Template};
use millrace_workflow::program::Program;
use serde_json::{Value, json};

/// Runs `script` on an instance of `definition` and compares.
#[track_caller]
pub(crate) fn check(definition: &str, script: &str, expected: Expect) {
    expected.assert_eq(&Conversation::new(program(definition)).run(script));
}

/// As [`check`], of a whole definition.
#[track_caller]
pub(crate) fn check_program(program: Program, script: &str, expected: Expect) {
    expected.assert_eq(&Conversation::new(program).run(script));
}

/// As [`check`], with bounds.
#[track_caller]
pub(crate) fn check_within(bounds: Bounds, definition: &str, script: &str, expected: Expect) {
    let mut conversation = Conversation::new(program(definition));
    conversation.bounds = bounds;
    expected.assert_eq(&conversation.run(script));
}

/// One instance, and a clock.
pub(crate) struct Conversation {
    pub(crate) program: Program,
    pub(crate) instance: Instance,
    pub(crate) bounds: Bounds,
    pub(crate) at: Timestamp,
    /// Everything that was decided.
    pub(crate) log: Vec<ChangelogEntry>,
    /// The calls that were answered.
    pub(crate) answered: Vec<TaskToken>,
    /// All that followed from it outside.
    pub(crate) effects: Vec<Effect>,
    /// What channels know of it: who has subscribed, and whether for one event.
    pub(crate) subscribed: BTreeMap<(ExecutionId, u32), bool>,
    sent: u64,
    last: Option<AddressedCommand>,
}

impl Conversation {
    pub(crate) fn new(program: Program) -> Self {
        let instance = Instance::absent(InstanceId::new("i").unwrap());
        Self {
            program,
            instance,
            bounds: Bounds::default(),
            at: Timestamp(0),
            log: vec![],
            answered: vec![],
            effects: vec![],
            subscribed: BTreeMap::new(),
            sent: 0,
            last: None,
        }
    }

    pub(crate) fn run(&mut self, script: &str) -> String {
        squeezed(&self.run_in_full(script))
    }

    fn run_in_full(&mut self, script: &str) -> String {
        let mut out = String::new();
        for line in script.lines().map(str::trim).filter(|it| !it.is_empty()) {
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            match verb {
                "wait" => self.at.0 += rest.parse::<i64>().unwrap(),
                "limit" => self.bounds.record_bytes_max = rest.parse().unwrap(),
                "state" => out.push_str(&self.describe_state()),
                "query" => out.push_str(&self.ask(rest)),
                "again" => {
                    let command = self.last.clone().unwrap();
                    self.tell(line, &command, &mut out);
                }
                _ => {
                    // `wanted:`, `now:` before a command ask for its outcome, and that it must be taken at once.
                    let (answer, verb) = match verb.split_once(':') {
                        Some(("wanted", verb)) => (Answer::Outcome, verb),
                        Some(("now", verb)) => (Answer::AtOnce, verb),
                        _ => (Answer::Refusal, verb),
                    };
                    let command = self.command(verb, rest);
                    let mut command = self.address(command);
                    command.answer = answer;
                    if verb == "abandon" {
                        command.cause.source = millrace_engine::INSTANCE_SOURCE.to_owned();
                    }
                    self.tell(line, &command, &mut out);
                }
            }
        }
        out
    }

    /// Gives a command a cause of its own.
    pub(crate) fn address(&mut self, command: Command) -> AddressedCommand {
        self.sent += 1;
        let cause = EventId { source: "test".to_owned(), id: self.sent.to_string() };
        let (instance, answer) = (self.instance.id().clone(), Answer::Refusal);
        AddressedCommand { instance, cause, traceparent: None, tracestate: None, answer, command }
    }

    /// What an expression gives, or a query of the definition by its name; `.` is the status.
    fn ask(&self, query: &str) -> String {
        let template = self.program.queries.get(query).cloned();
        let template =
            template.unwrap_or_else(|| Template::of_expression(Expression::compile(query, &[]).unwrap()));
        let state = self.instance.state().expect("a script asks what is there");
        let looked = Looked { id: self.instance.id(), state, program: &self.program, at: self.at };
        let shown = json!({ "status": state.status.name() });
        let answer = looked.ask(&template, &shown).map_or_else(|it| it.to_string(), |it| it.to_string());
        format!("? {query}\n  {answer}\n")
    }

    fn tell(&mut self, line: &str, command: &AddressedCommand, out: &mut String) {
        writeln!(out, "> {line}").unwrap();
        self.last = Some(command.clone());
        match self.send(command) {
            Ok(decision) => {
                decision.events.iter().for_each(|it| writeln!(out, "  {}", describe(it)).unwrap());
                decision.effects.iter().for_each(|it| writeln!(out, "  => {}", describe_effect(it)).unwrap());
                if command.answer != Answer::Refusal {
                    let by = decision.outcome.task().map(|it| format!(" by {it}")).unwrap_or_default();
                    writeln!(out, "  accepted: {}{by}", decision.outcome.name()).unwrap();
                }
            }
            Err(rejection @ (Rejection::Duplicate { .. } | Rejection::NotTaken { .. })) => {
                writeln!(out, "  rejected as {}: {rejection}", rejection.reason()).unwrap();
            }
            Err(rejection) => writeln!(out, "  rejected: {rejection}").unwrap(),
        }
    }

    /// One step, with everything that must hold after any step.
    pub(crate) fn send(&mut self, command: &AddressedCommand) -> Result<Decision, Rejection> {
        let before = self.instance.clone();
        let moment = Moment { at: self.at, random: 7 };
        let decided = self.instance.step(&self.program, command, moment, &self.bounds);
        match &decided {
            Err(_) => assert_eq!(self.instance, before, "a rejection leaves the instance untouched"),
            Ok(decision) => {
                assert!(!decision.events.is_empty());
                let entry = ChangelogEntry {
                    at: self.at,
                    cause: command.cause.clone(),
                    traceparent: command.traceparent.clone(),
                    events: decision.events.clone(),
                };
                let mut replayed = before;
                replayed.apply_entry(&entry).unwrap();
                assert_eq!(replayed, self.instance, "live state and replayed state are the same");
                self.log.push(entry);
                self.effects.extend(decision.effects.iter().cloned());
                for effect in &decision.effects {
                    let Effect::SendToChannel { command, .. } = effect else { continue };
                    match &**command {
                        ChannelCommand::Subscribe { id, subscription } => {
                            self.subscribed.insert((id.execution, id.filter), subscription.is_once);
                        }
                        ChannelCommand::Unsubscribe { id } => {
                            self.subscribed.remove(&(id.execution, id.filter));
                        }
                        ChannelCommand::Publish { .. } => panic!("no instance publishes"),
                    }
                }
                if let Command::CompleteTask { token, .. } | Command::FailTask { token, .. } =
                    &command.command
                {
                    self.answered.push(*token);
                }
            }
        }
        decided
    }

    fn command(&mut self, verb: &str, rest: &str) -> Command {
        let reason = || rest.to_owned();
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "start" => Command::Start {
                workflow: self.program.workflow.workflow.clone(),
                version: None,
                input: payload(rest),
                parent: None,
            },
            // As the task 3.1 of `parent` sends it.
            "child" => Command::Start {
                workflow: self.program.workflow.workflow.clone(),
                version: None,
                input: payload(rest),
                parent: Some(ParentTask {
                    instance: InstanceId::new("parent").unwrap(),
                    token: "3.1".parse().unwrap(),
                }),
            },
            "complete" => Command::CompleteTask { token: first.parse().unwrap(), output: payload(second) },
            "fail" => {
                let permanent = second.starts_with("permanent");
                let error = second.strip_prefix("permanent").unwrap_or(second);
                Command::FailTask {
                    token: first.parse().unwrap(),
                    error: error_of(payload(error).value()),
                    retriable: !permanent,
                }
            }
            "beat" => Command::RecordHeartbeat { token: first.parse().unwrap() },
            "fire" => {
                let timer = TimerId(first.parse().unwrap());
                let due = self.due(timer);
                self.at = self.at.max(due);
                Command::FireTimer { timer, due }
            }
            "early" => {
                let timer = TimerId(first.parse().unwrap());
                Command::FireTimer { timer, due: self.due(timer) }
            }
            "moved" => {
                let timer = TimerId(first.parse().unwrap());
                Command::FireTimer { timer, due: Timestamp(self.due(timer).0 - 1) }
            }
            // As a channel sends it: listener, filter, type, data.
            "deliver" => {
                let words: Vec<&str> = rest.splitn(4, ' ').collect();
                Command::DeliverEvent {
                    listener: ExecutionId(words[0].parse().unwrap()),
                    filter: words[1].parse().unwrap(),
                    event: named_signal(
                        &words[2..].join(" "),
                        words[2],
                        payload(words.get(3).unwrap_or(&"")).value(),
                    ),
                }
            }
            "signal" => Command::DeliverSignal { event: signal(first, payload(second).value()) },
            // `abandon`: as a parent asks for it.
            "cancel" | "abandon" => Command::Cancel { reason: reason(), compensate: false },
            "undo" => Command::Cancel { reason: reason(), compensate: true },
            "retry" => Command::Retry {
                task: (!first.is_empty()).then(|| first.into()),
                input: (!second.is_empty()).then(|| payload(second)),
                by: "ann".to_owned(),
                reason: String::new(),
            },
            "edit" => {
                let (task, input) = (first.into(), payload(second));
                Command::Edit { task, input, by: "ann".to_owned(), reason: String::new() }
            }
            "skip" => {
                let (task, output) = (Some(first.into()), payload(second));
                Command::Skip { task, output, by: "ann".to_owned(), reason: String::new() }
            }
            "restart" => Command::Restart {
                task: first.into(),
                input: payload(second),
                context: None,
                number: None,
                reopening: None,
                by: "ann".to_owned(),
                reason: String::new(),
            },
            "reopen" => self.restart(first),
            "suspend" => Command::Suspend { reason: reason() },
            "resume" => Command::Resume { reason: reason() },
            _ => panic!("no such command: {verb}"),
        }
    }

    /// A restart from `task`, by what the log says.
    pub(crate) fn restart(&self, task: &str) -> Command {
        let Rewound { entered, restarts, ended } = rewind(self.instance.id(), &self.log, task).unwrap();
        let (input, context) =
            entered.map_or((Payload::null(), None), |(input, context)| (input, Some(context)));
        let last = ended.as_ref().map(|(_, context)| context.clone());
        Command::Restart {
            task: task.into(),
            input,
            context: context.or(last),
            number: Some(restarts),
            reopening: ended.map(|(reopening, _)| reopening),
            by: "ann".to_owned(),
            reason: String::new(),
        }
    }

    /// When a timer is due; the present, of one that is not set.
    fn due(&self, timer: TimerId) -> Timestamp {
        self.instance.state().and_then(|it| it.timers.get(&timer)).map_or(self.at, |it| it.due)
    }

    fn describe_state(&self) -> String {
        let Some(state) = self.instance.state() else { return "= absent\n".to_owned() };
        let mut out = format!("= {} context {}\n", status(&state.status), state.context.value());
        for (id, it) in &state.executions {
            let activity = format!("{:?}", it.state)
                .replace(", then: None", "")
                .replace(" { heard: [] }", "")
                .replace(", secrets: []", "");
            writeln!(out, "=   {} {} [{}] attempt {}: {activity}", id.0, it.task, it.iteration, it.attempt.0)
                .unwrap();
        }
        for (id, it) in &state.timers {
            writeln!(out, "=   timer {} {:?} of {} at {}", id.0, it.purpose, it.execution.0, it.due.0)
                .unwrap();
        }
        let queue = |name: &str, length: usize| {
            if length == 0 { String::new() } else { format!("=   {name} {length}\n") }
        };
        for it in &state.compensations {
            let (input, output) = (&it.input, &it.output);
            writeln!(out, "=   undo {}{}: {input:?} -> {output:?}", it.task, bracketed(&it.iteration))
                .unwrap();
        }
        for it in &state.halted {
            writeln!(out, "=   halted {} in {}{}", it.task, it.scope.0, data("input", it.input.as_ref()))
                .unwrap();
        }
        if state.compensating.is_some() {
            out.push_str("=   compensating\n");
        }
        out + &queue("deferred", state.deferred.len()) + &queue("signals", state.signals.len())
    }
}

/// As [`signal`], with an id.
pub(crate) fn named_signal(id: &str, event_type: &str, data: &Value) -> Payload {
    let mut event = signal(event_type, data).value().clone();
    event["id"] = id.into();
    event.into()
}

pub(crate) fn signal(event_type: &str, data: &Value) -> Payload {
    json!({"specversion": "1.0", "id": "s", "source": "test", "type": event_type, "data": data}).into()
}

fn payload(text: &str) -> Payload {
    let text = text.trim();
    if let Some(length) = text.strip_prefix('x') {
        return Value::from("x".repeat(length.parse().unwrap())).into();
    }
    let value = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(text).expect("a script's data is JSON")
    };
    value.into()
}

fn error_of(value: &Value) -> TaskError {
    let text = |name: &str| value[name].as_str().map(ToOwned::to_owned);
    TaskError {
        error_type: text("type").unwrap_or_default(),
        status: value["status"].as_u64().map_or(0, |it| u16::try_from(it).unwrap()),
        instance: None,
        title: text("title"),
        detail: text("detail"),
    }
}

fn status(status: &Status) -> String {
    match status {
        Status::Running => "running".to_owned(),
        Status::Completed { output } => format!("completed {output:?}"),
        Status::Faulted { error } => format!("faulted {}", describe_error(error)),
        Status::Suspended { .. } | Status::Incident { .. } | Status::Cancelled { .. } => {
            status.name().to_owned()
        }
    }
}

fn describe_error(error: &TaskError) -> String {
    let name = error.error_type.rsplit('/').next().unwrap_or_default();
    let instance = error.instance.as_deref().unwrap_or("-");
    format!("{name} {} at {instance}: {}", error.status, error.detail.as_deref().unwrap_or("-"))
}

fn data(name: &str, payload: Option<&Payload>) -> String {
    payload.map_or_else(String::new, |it| format!(" {name} {it:?}"))
}

fn bracketed(iteration: &str) -> String {
    if iteration.is_empty() { String::new() } else { format!(" [{iteration}]") }
}

/// One line for an event.
pub(crate) fn describe(event: &Event) -> String {
    match event {
        Event::InstanceStarted { input, .. } => format!("InstanceStarted{}", data("input", input.as_ref())),
        Event::TaskStarted { execution, parent, task, iteration, attempt, input, activity } => {
            let activity = match activity {
                Activity::Loop { items } => format!("Loop {items:?}"),
                Activity::Branches { count } => format!("Branches {count}"),
                Activity::Call { function, arguments, deadline, secrets, .. } => {
                    let deadline = deadline.map_or_else(String::new, |it| format!(" by {}", it.0));
                    let secrets: Vec<_> =
                        secrets.iter().map(|it| format!(" secret {}", it.path.join("."))).collect();
                    format!(
                        "Call {function}{}{deadline}{}",
                        data("with", arguments.as_ref()),
                        secrets.concat()
                    )
                }
                Activity::Sequence { then: None } => "Sequence".to_owned(),
                Activity::Sequence { then: Some(then) } => format!("Sequence then {then}"),
                Activity::Trying | Activity::Waiting | Activity::Listening | Activity::Gathering => {
                    format!("{activity:?}")
                }
            };
            let attempt = if attempt.0 == 1 { String::new() } else { format!(" attempt {}", attempt.0) };
            let (iteration, input) = (bracketed(iteration), data("input", input.as_ref()));
            format!(
                "TaskStarted {} in {} {task}{iteration}{attempt} {activity}{input}",
                execution.0, parent.0
            )
        }
        Event::TaskRan { parent, task, iteration, output, context } => {
            let (output, context) = (data("->", output.as_ref()), data("context", context.as_ref()));
            format!("TaskRan in {} {task}{}{output}{context}", parent.0, bracketed(iteration))
        }
        Event::TaskCompleted { execution, output, context } => {
            format!("TaskCompleted {} -> {output:?}{}", execution.0, data("context", context.as_ref()))
        }
        Event::TaskFaulted { execution, task, error } => {
            let id = execution.map_or_else(String::new, |it| format!("{} ", it.0));
            format!("TaskFaulted {id}{task} {}", describe_error(error))
        }
        Event::TaskCancelled { execution } => format!("TaskCancelled {}", execution.0),
        Event::SequenceJumped { execution } => format!("SequenceJumped {}", execution.0),
        Event::IterationStarted { execution, index } => format!("IterationStarted {} [{index}]", execution.0),
        Event::RetryScheduled { execution, timer, due, .. } => {
            format!("RetryScheduled {} timer {} at {}", execution.0, timer.0, due.0)
        }
        Event::RetryStarted { execution } => format!("RetryStarted {}", execution.0),
        Event::ErrorCaught { execution, error } => {
            format!("ErrorCaught {} {}", execution.0, describe_error(error))
        }
        Event::TimerSet { timer, execution, due, purpose } => {
            format!("TimerSet {} {purpose:?} of {} at {}", timer.0, execution.0, due.0)
        }
        Event::TimerCleared { timer } => format!("TimerCleared {}", timer.0),
        Event::TaskDispatched { execution, dispatch } => format!("TaskDispatched {}.{dispatch}", execution.0),
        Event::HeartbeatRecorded { execution, due } => {
            format!("HeartbeatRecorded {} until {}", execution.0, due.0)
        }
        Event::SignalBuffered { cause, .. } => format!("SignalBuffered {cause}"),
        Event::SignalConsumed { execution, cause } => format!("SignalConsumed {} {cause}", execution.0),
        Event::InstanceSuspended { .. } => "InstanceSuspended".to_owned(),
        Event::IncidentRaised { incident } => {
            let call = incident.execution.map_or_else(String::new, |it| format!(" call {}", it.0));
            format!("IncidentRaised {}{call}: {}", incident.kind, incident.detail)
        }
        Event::CommandDeferred { command, .. } => format!("CommandDeferred {}", command.name()),
        Event::InstanceResumed { .. } => "InstanceResumed".to_owned(),
        Event::DeferredCommandTaken => "DeferredCommandTaken".to_owned(),
        Event::InstanceCompleted { output } => format!("InstanceCompleted {output:?}"),
        Event::InstanceFaulted { error } => format!("InstanceFaulted {}", describe_error(error)),
        Event::InstanceCancelled { .. } => "InstanceCancelled".to_owned(),
        Event::EventRoundStarted { execution, index, data } => {
            format!("EventRoundStarted {} [{index}] {data:?}", execution.0)
        }
        Event::EventRoundEnded { execution, output, context } => {
            format!("EventRoundEnded {} -> {output:?}{}", execution.0, data("context", context.as_ref()))
        }
        Event::SignalReceived { forgotten: 0, .. } => "SignalReceived".to_owned(),
        Event::SignalReceived { forgotten, .. } => format!("SignalReceived, {forgotten} forgotten"),
        Event::AttributesChanged { attributes } => format!("AttributesChanged {attributes:?}"),
        Event::CompensationAdded { scope, task, iteration, input, is_again } => {
            let again = if *is_again { " again" } else { "" };
            format!("CompensationAdded{again} in {} {task}{} {input:?}", scope.0, bracketed(iteration))
        }
        Event::CompensationStarted { outcome: Outcome::Faulted { error } } => {
            format!("CompensationStarted, will fault: {}", describe_error(error))
        }
        Event::CompensationStarted { outcome: Outcome::Cancelled { .. } } => {
            "CompensationStarted, will be cancelled".to_owned()
        }
        Event::TaskCompensated { task, iteration } => {
            format!("TaskCompensated {task}{}", bracketed(iteration))
        }
        Event::TaskHalted { execution, scope, task, error, .. } => {
            let id = execution.map_or_else(String::new, |it| format!("{} ", it.0));
            format!("TaskHalted {id}in {} {task} {}", scope.0, describe_error(error))
        }
        Event::TaskEdited { execution, scope, task, input, by, .. } => {
            let id = execution.map_or_else(String::new, |it| format!("{} ", it.0));
            format!("TaskEdited {id}in {} {task} by {by} input {input:?}", scope.0)
        }
        Event::TaskRetried { scope, task, by, .. } => format!("TaskRetried in {} {task} by {by}", scope.0),
        Event::TaskSkipped { scope, task, output, by, .. } => {
            format!("TaskSkipped in {} {task} by {by} -> {output:?}", scope.0)
        }
        Event::InstanceRestarted { scope, task, data: input, context, by, .. } => {
            let context = data("context", context.as_ref());
            format!("InstanceRestarted in {} {task} by {by} with {input:?}{context}", scope.0)
        }
        Event::EventHeard { execution, filter, is_last, .. } => {
            let last = if *is_last { ", the last" } else { "" };
            format!("EventHeard {} by filter {filter}{last}", execution.0)
        }
        Event::ChannelJoined { execution, filter, channel } => {
            format!("ChannelJoined {}.{filter} {}", execution.0, named(channel))
        }
        Event::ChannelLeft { execution, filter } => format!("ChannelLeft {}.{filter}", execution.0),
    }
}

/// A channel, with the beginning of its digest.
fn named(channel: &InstanceId) -> String {
    let name = channel.as_str().trim_start_matches("millrace:channel/");
    name.split_at(name.rfind('/').unwrap() + 5).0.to_owned()
}

fn describe_effect(effect: &Effect) -> String {
    match effect {
        Effect::DispatchTask { queue, task } => {
            let (key, arguments) = (&task.idempotency_key, &task.arguments);
            format!(
                "{queue}: {} {} attempt {} key {key} {arguments:?}",
                task.token, task.function, task.attempt.0
            )
        }
        Effect::EmitEvent { topic, event } => {
            format!("emit to {}: {event:?}", topic.as_deref().unwrap_or("-"))
        }
        Effect::PublishLifecycle { event_type, data } => format!("{event_type} {data}"),
        Effect::SendCommand { to, id, command } => {
            let what = match &**command {
                Command::Start { workflow, version, input, parent } => {
                    let version = version.as_deref().unwrap_or("newest");
                    let parent = parent
                        .as_ref()
                        .map_or_else(String::new, |it| format!(" for {} {}", it.instance, it.token));
                    format!("start {workflow}/{version} {input:?}{parent}")
                }
                Command::CompleteTask { token, output } => format!("complete {token} {output:?}"),
                Command::FailTask { token, error, retriable } => {
                    let permanent = if *retriable { "" } else { " for good" };
                    format!("fail {token}{permanent} {}", describe_error(error))
                }
                Command::Cancel { compensate: true, .. } => "cancel, and undo".to_owned(),
                other => other.name().to_owned(),
            };
            format!("to {to} as {id}: {what}")
        }
        Effect::SendToChannel { channel, id: _, command } => match &**command {
            ChannelCommand::Subscribe { id, subscription } => {
                let once = if subscription.is_once { "" } else { " to all" };
                let variables = subscription.variables.as_ref();
                let variables = variables.map_or_else(String::new, |it| format!(" with {it:?}"));
                format!("subscribe {}.{}{once} in {}{variables}", id.execution.0, id.filter, named(channel))
            }
            ChannelCommand::Unsubscribe { id } => {
                format!("unsubscribe {}.{} in {}", id.execution.0, id.filter, named(channel))
            }
            ChannelCommand::Publish { .. } => panic!("no instance publishes"),
        },
    }
}

/// Runs of one character, shortened: `xxxx…` becomes `x*100`.
fn squeezed(text: &str) -> String {
    const SHOWN_MAX: usize = 12;
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|it| it != first).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        if run.len() > SHOWN_MAX {
            write!(out, "{first}*{}", run.len()).unwrap()
        } else {
            out.push_str(run)
        }
        rest = after;
    }
    out
}

/// Admits a definition without its `document`, which is `test/flow/1.0.0`.
#[track_caller]
pub(crate) fn program(text: &str) -> Program {
    let document = "document: { dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0' }";
    admit(&format!("{document}\n{}", text.trim_start()))
}

/// As [`program`], of JSON. Its instances are found by the length of their `$context`.
#[track_caller]
pub(crate) fn program_of(definition: &Value) -> Program {
    let mut definition = definition.clone();
    let document = &mut definition["document"];
    for (name, value) in [("dsl", "1.0.3"), ("namespace", "test"), ("name", "flow"), ("version", "1.0.0")] {
        document[name] = value.into();
    }
    document["metadata"]["millrace"]["searchAttributes"] =
        json!({ "context": "${ $context | tojson | utf8bytelength }" });
    admit(&definition.to_string())
}

#[track_caller]
pub(crate) fn admit(text: &str) -> Program {
    match millrace_workflow::admission::admit("test.yaml", text) {
        Ok(admitted) => admitted.program,
        Err(findings) => {
            let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
            panic!("{}\n{text}", findings.join("\n"));
        }
    }
}
