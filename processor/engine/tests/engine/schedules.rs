//! What schedules do: scripts and the conversations they make, and properties that hold for all of them.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use millrace_engine::{Effect, Instance, Moment, Rejection, Schedule, ScheduleDecision};
use millrace_schemas::command::{AddressedCommand, Command};
use millrace_schemas::schedule::{
    AddressedScheduleCommand, ScheduleCommand, ScheduleEntry, ScheduleEvent, ScheduleStatus, SkipReason,
    schedule_id,
};
use millrace_schemas::{EventId, ExecutionId, InstanceId, TaskToken, TimerId, Timestamp};
use millrace_workflow::program::Program;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn shown(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap().to_string()
}

/// A version of `shop/report`.
#[track_caller]
fn program(version: &str, schedule: &str, settings: &str) -> Program {
    let schedule = if schedule.is_empty() { String::new() } else { format!("schedule: {schedule}\n") };
    let text = format!(
        "document: {{ dsl: '1.0.3', namespace: shop, name: report, version: '{version}', metadata: {{ millrace: {{ {settings} }} }} }}\n{schedule}do: [{{ a: {{ set: {{ x: 1 }} }} }}]\n"
    );
    match millrace_workflow::admission::admit("report.yaml", &text) {
        Ok(admitted) => admitted.program,
        Err(findings) => panic!("{findings:?}\n{text}"),
    }
}

/// A schedule with its versions, and what was said.
struct Conversation {
    versions: BTreeMap<String, Program>,
    schedule: Schedule,
    now: Timestamp,
    entries: Vec<ScheduleEntry>,
    causes: u32,
    said: String,
}

impl Conversation {
    fn new(now: &str, versions: impl IntoIterator<Item = Program>) -> Self {
        let versions: BTreeMap<String, Program> =
            versions.into_iter().map(|it| (it.workflow.version.to_string(), it)).collect();
        let workflow = versions.values().next().unwrap().workflow.workflow.clone();
        let schedule = Schedule::absent(schedule_id(&workflow));
        Self { versions, schedule, now: at(now), entries: Vec::new(), causes: 0, said: String::new() }
    }

    /// Decides a command now, and checks that replay equals live and that a rejection changes nothing.
    fn decide(&mut self, command: ScheduleCommand, cause: &str) -> Result<ScheduleDecision, Rejection> {
        let version = match (&command, self.schedule.state()) {
            (ScheduleCommand::Define { version }, _) => version.version.to_string(),
            (_, Some(state)) => state.version.version.to_string(),
            (_, None) => self.versions.keys().next().unwrap().clone(),
        };
        let before = self.schedule.clone();
        let cause = EventId { source: "/test".to_owned(), id: cause.to_owned() };
        let addressed = AddressedScheduleCommand {
            instance: before.id().clone(),
            cause: cause.clone(),
            traceparent: None,
            tracestate: None,
            answer: millrace_schemas::command::Answer::Refusal,
            command,
        };
        let moment = Moment { at: self.now, random: 0 };
        let decided = self.schedule.step(&self.versions[&version], &addressed, moment);
        match &decided {
            Ok(decision) => {
                let entry =
                    ScheduleEntry { at: self.now, cause, traceparent: None, events: decision.events.clone() };
                self.entries.push(entry);
                let mut replayed = Schedule::absent(before.id().clone());
                self.entries.iter().for_each(|it| replayed.apply_entry(it).unwrap());
                assert_eq!(replayed, self.schedule, "replay equals live");
            }
            Err(_) => assert_eq!(before, self.schedule, "a rejection changes nothing"),
        }
        decided
    }

    fn say(&mut self, command: ScheduleCommand) -> &mut Self {
        self.causes += 1;
        self.say_as(command, &format!("e-{}", self.causes))
    }

    fn say_as(&mut self, command: ScheduleCommand, cause: &str) -> &mut Self {
        writeln!(self.said, "{} {}", shown(self.now), command.name()).unwrap();
        match self.decide(command, cause) {
            Ok(decision) => {
                decision.events.iter().for_each(|it| writeln!(self.said, "  {}", line(it)).unwrap());
                decision.effects.iter().for_each(|it| writeln!(self.said, "  => {}", sent(it)).unwrap());
            }
            Err(rejection) => writeln!(self.said, "  refused: {rejection}").unwrap(),
        }
        self
    }

    fn define(&mut self, version: &str) -> &mut Self {
        let version = self.versions[version].workflow.clone();
        self.say(ScheduleCommand::Define { version })
    }

    fn at(&mut self, now: &str) -> &mut Self {
        self.now = at(now);
        self
    }

    /// Fires the timer at its time.
    fn fire(&mut self) -> &mut Self {
        let (_, due) = self.schedule.timers().next().expect("a timer is set");
        self.now = due;
        self.fire_late()
    }

    /// Fires the timer now.
    fn fire_late(&mut self) -> &mut Self {
        let (timer, due) = self.schedule.timers().next().expect("a timer is set");
        self.say(ScheduleCommand::FireTimer { timer, due })
    }

    fn end(&mut self, run: u32, error: Option<&str>) -> &mut Self {
        self.say(end(run, error))
    }

    fn check(&self, expected: Expect) {
        expected.assert_eq(&self.said);
    }
}

fn end(run: u32, error: Option<&str>) -> ScheduleCommand {
    let token = TaskToken { execution: ExecutionId(run), dispatch: 1 };
    ScheduleCommand::EndRun { token, error: error.map(ToOwned::to_owned) }
}

fn pause(reason: &str) -> ScheduleCommand {
    ScheduleCommand::Pause { reason: reason.to_owned() }
}

fn resume() -> ScheduleCommand {
    ScheduleCommand::Resume { reason: String::new() }
}

fn line(event: &ScheduleEvent) -> String {
    match event {
        ScheduleEvent::ScheduleDefined { version, rhythm, overlap } => {
            format!("defined by {}: {rhythm}; overlap {overlap}", version.version)
        }
        ScheduleEvent::ScheduleRetired { version } => format!("retired by {}", version.version),
        ScheduleEvent::SchedulePaused { reason } => format!("paused: {reason}"),
        ScheduleEvent::ScheduleResumed { .. } => "resumed".to_owned(),
        ScheduleEvent::NextStartSet { timer, due } => format!("timer {}: {}", timer.0, shown(*due)),
        ScheduleEvent::NextStartCleared => "no timer".to_owned(),
        ScheduleEvent::RunStarted { run, instance, is_awaited, is_triggered, .. } => {
            let awaited = if *is_awaited { ", awaited" } else { "" };
            let triggered = if *is_triggered { ", triggered" } else { "" };
            format!("run {run}: {instance}{awaited}{triggered}")
        }
        ScheduleEvent::StartBuffered { instance, .. } => format!("buffered: {instance}"),
        ScheduleEvent::StartsSkipped { count, last, reason } => {
            let reason = match reason {
                SkipReason::TooLate => "too late",
                SkipReason::Overlap => "overlap",
            };
            format!("skipped {count}, the last {}: {reason}", shown(*last))
        }
        ScheduleEvent::RunEnded { run, error: None } => format!("run {run} ended"),
        ScheduleEvent::RunEnded { run, error: Some(error) } => format!("run {run} failed: {error}"),
    }
}

fn sent(effect: &Effect) -> String {
    let Effect::SendCommand { to, id, command } = effect else { panic!("schedules only start: {effect:?}") };
    let Command::Start { workflow, version, input, parent } = &**command else {
        panic!("schedules only start: {command:?}")
    };
    let parent = parent.as_ref().map_or_else(String::new, |it| format!(" for {} {}", it.instance, it.token));
    format!("{id} to {to}: {workflow} {} {}{parent}", version.as_deref().unwrap(), input.value())
}

#[test]
fn a_cron_starts_an_instance_at_each_of_its_times() {
    let program = program(
        "1.0.0",
        "{ cron: '30 2 * * *' }",
        "schedule: { timeZone: Europe/Berlin, input: { region: eu } }",
    );
    Conversation::new("2026-03-27T12:00:00Z", [program])
        .define("1.0.0")
        .fire()
        .fire()
        .fire()
        .check(expect![[r#"
            2026-03-27T12:00:00Z define_schedule
              defined by 1.0.0: cron 30 2 * * * Europe/Berlin; overlap allow
              timer 0: 2026-03-28T01:30:00Z
            2026-03-28T01:30:00Z fire_timer
              run 0: shop.report-2026-03-28T01:30:00Z
              timer 1: 2026-03-29T01:00:00Z
              => shop.report-2026-03-28T01:30:00Z/start to shop.report-2026-03-28T01:30:00Z: shop/report 1.0.0 {"region":"eu","scheduledFor":"2026-03-28T01:30:00Z"}
            2026-03-29T01:00:00Z fire_timer
              run 1: shop.report-2026-03-29T01:00:00Z
              timer 2: 2026-03-30T00:30:00Z
              => shop.report-2026-03-29T01:00:00Z/start to shop.report-2026-03-29T01:00:00Z: shop/report 1.0.0 {"region":"eu","scheduledFor":"2026-03-29T01:00:00Z"}
            2026-03-30T00:30:00Z fire_timer
              run 2: shop.report-2026-03-30T00:30:00Z
              timer 3: 2026-03-31T00:30:00Z
              => shop.report-2026-03-30T00:30:00Z/start to shop.report-2026-03-30T00:30:00Z: shop/report 1.0.0 {"region":"eu","scheduledFor":"2026-03-30T00:30:00Z"}
        "#]]);
}

#[test]
fn every_is_anchored_and_allows_runs_side_by_side() {
    let mut it = Conversation::new("2026-01-01T00:07:13.250Z", [program("1.0.0", "{ every: PT15M }", "")]);
    it.define("1.0.0").fire();
    it.at("2026-01-01T00:30:09Z").fire_late().fire().check(expect![[r#"
        2026-01-01T00:07:13.25Z define_schedule
          defined by 1.0.0: every 15m; overlap allow
          timer 0: 2026-01-01T00:15:00Z
        2026-01-01T00:15:00Z fire_timer
          run 0: shop.report-2026-01-01T00:15:00Z
          timer 1: 2026-01-01T00:30:00Z
          => shop.report-2026-01-01T00:15:00Z/start to shop.report-2026-01-01T00:15:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:15:00Z"}
        2026-01-01T00:30:09Z fire_timer
          run 1: shop.report-2026-01-01T00:30:00Z
          timer 2: 2026-01-01T00:45:00Z
          => shop.report-2026-01-01T00:30:00Z/start to shop.report-2026-01-01T00:30:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:30:00Z"}
        2026-01-01T00:45:00Z fire_timer
          run 2: shop.report-2026-01-01T00:45:00Z
          timer 3: 2026-01-01T01:00:00Z
          => shop.report-2026-01-01T00:45:00Z/start to shop.report-2026-01-01T00:45:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:45:00Z"}
    "#]]);
}

#[test]
fn skip_leaves_out_what_falls_into_a_run() {
    let program = program("1.0.0", "{ every: PT1H }", "schedule: { overlap: skip }");
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program]);
    it.define("1.0.0").fire().fire().at("2026-01-01T02:30:00Z").end(0, None).fire();
    it.end(0, None).end(1, Some("card declined")).fire().check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap skip
          timer 0: 2026-01-01T01:00:00Z
        2026-01-01T01:00:00Z fire_timer
          run 0: shop.report-2026-01-01T01:00:00Z, awaited
          timer 1: 2026-01-01T02:00:00Z
          => shop.report-2026-01-01T01:00:00Z/start to shop.report-2026-01-01T01:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T01:00:00Z"} for millrace:schedule/shop/report 0.1
        2026-01-01T02:00:00Z fire_timer
          skipped 1, the last 2026-01-01T02:00:00Z: overlap
          timer 2: 2026-01-01T03:00:00Z
        2026-01-01T02:30:00Z end_run
          run 0 ended
        2026-01-01T03:00:00Z fire_timer
          run 1: shop.report-2026-01-01T03:00:00Z, awaited
          timer 3: 2026-01-01T04:00:00Z
          => shop.report-2026-01-01T03:00:00Z/start to shop.report-2026-01-01T03:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T03:00:00Z"} for millrace:schedule/shop/report 1.1
        2026-01-01T03:00:00Z end_run
          refused: the schedule does not wait for the end of run 0
        2026-01-01T03:00:00Z end_run
          run 1 failed: card declined
        2026-01-01T04:00:00Z fire_timer
          run 2: shop.report-2026-01-01T04:00:00Z, awaited
          timer 4: 2026-01-01T05:00:00Z
          => shop.report-2026-01-01T04:00:00Z/start to shop.report-2026-01-01T04:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T04:00:00Z"} for millrace:schedule/shop/report 2.1
    "#]]);
}

#[test]
fn buffer_one_starts_one_after_the_run() {
    let program = program("1.0.0", "{ every: PT1H }", "schedule: { overlap: bufferOne }");
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program]);
    it.define("1.0.0").fire().fire().fire().at("2026-01-01T03:30:00Z").end(0, None).end(1, None);
    it.check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap bufferOne
          timer 0: 2026-01-01T01:00:00Z
        2026-01-01T01:00:00Z fire_timer
          run 0: shop.report-2026-01-01T01:00:00Z, awaited
          timer 1: 2026-01-01T02:00:00Z
          => shop.report-2026-01-01T01:00:00Z/start to shop.report-2026-01-01T01:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T01:00:00Z"} for millrace:schedule/shop/report 0.1
        2026-01-01T02:00:00Z fire_timer
          buffered: shop.report-2026-01-01T02:00:00Z
          timer 2: 2026-01-01T03:00:00Z
        2026-01-01T03:00:00Z fire_timer
          skipped 1, the last 2026-01-01T03:00:00Z: overlap
          timer 3: 2026-01-01T04:00:00Z
        2026-01-01T03:30:00Z end_run
          run 0 ended
          run 1: shop.report-2026-01-01T02:00:00Z, awaited
          => shop.report-2026-01-01T02:00:00Z/start to shop.report-2026-01-01T02:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T02:00:00Z"} for millrace:schedule/shop/report 1.1
        2026-01-01T03:30:00Z end_run
          run 1 ended
    "#]]);
}

#[test]
fn after_waits_for_the_end_of_each_run() {
    let mut it = Conversation::new("2026-01-01T00:00:00Z", [program("1.0.0", "{ after: PT5M }", "")]);
    it.define("1.0.0").fire().at("2026-01-01T00:20:00Z").end(0, None).fire();
    it.at("2026-01-01T00:30:00Z").end(1, Some("card declined")).check(expect![[r#"
        2026-01-01T00:00:00Z define_schedule
          defined by 1.0.0: after 5m; overlap skip
          timer 0: 2026-01-01T00:00:00Z
        2026-01-01T00:00:00Z fire_timer
          run 0: shop.report-2026-01-01T00:00:00Z, awaited
          no timer
          => shop.report-2026-01-01T00:00:00Z/start to shop.report-2026-01-01T00:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:00:00Z"} for millrace:schedule/shop/report 0.1
        2026-01-01T00:20:00Z end_run
          run 0 ended
          timer 1: 2026-01-01T00:25:00Z
        2026-01-01T00:25:00Z fire_timer
          run 1: shop.report-2026-01-01T00:25:00Z, awaited
          no timer
          => shop.report-2026-01-01T00:25:00Z/start to shop.report-2026-01-01T00:25:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:25:00Z"} for millrace:schedule/shop/report 1.1
        2026-01-01T00:30:00Z end_run
          run 1 failed: card declined
          timer 2: 2026-01-01T00:35:00Z
    "#]]);
}

#[test]
fn after_without_a_pause_does_not_race_with_what_fails_at_once() {
    let mut it = Conversation::new("2026-01-01T00:00:00Z", [program("1.0.0", "{ after: PT0S }", "")]);
    it.define("1.0.0").fire().end(0, None).fire().end(1, Some("not deployed")).check(expect![[r#"
        2026-01-01T00:00:00Z define_schedule
          defined by 1.0.0: after 0s; overlap skip
          timer 0: 2026-01-01T00:00:00Z
        2026-01-01T00:00:00Z fire_timer
          run 0: shop.report-2026-01-01T00:00:00Z, awaited
          no timer
          => shop.report-2026-01-01T00:00:00Z/start to shop.report-2026-01-01T00:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:00:00Z"} for millrace:schedule/shop/report 0.1
        2026-01-01T00:00:00Z end_run
          run 0 ended
          timer 1: 2026-01-01T00:00:00.001Z
        2026-01-01T00:00:00.001Z fire_timer
          run 1: shop.report-2026-01-01T00:00:00.001Z, awaited
          no timer
          => shop.report-2026-01-01T00:00:00.001Z/start to shop.report-2026-01-01T00:00:00.001Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:00:00.001Z"} for millrace:schedule/shop/report 1.1
        2026-01-01T00:00:00.001Z end_run
          run 1 failed: not deployed
          timer 2: 2026-01-01T00:00:01.001Z
    "#]]);
}

#[test]
fn what_was_missed_is_caught_up_with_within_the_window() {
    let settings = "schedule: { catchUpWindow: PT3H }";
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program("1.0.0", "{ every: PT1H }", settings)]);
    it.define("1.0.0").at("2026-01-02T00:10:00Z").fire_late().check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap allow
          timer 0: 2026-01-01T01:00:00Z
        2026-01-02T00:10:00Z fire_timer
          skipped 21, the last 2026-01-01T21:00:00Z: too late
          run 0: shop.report-2026-01-01T22:00:00Z
          run 1: shop.report-2026-01-01T23:00:00Z
          run 2: shop.report-2026-01-02T00:00:00Z
          timer 1: 2026-01-02T01:00:00Z
          => shop.report-2026-01-01T22:00:00Z/start to shop.report-2026-01-01T22:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T22:00:00Z"}
          => shop.report-2026-01-01T23:00:00Z/start to shop.report-2026-01-01T23:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T23:00:00Z"}
          => shop.report-2026-01-02T00:00:00Z/start to shop.report-2026-01-02T00:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-02T00:00:00Z"}
    "#]]);
    let settings = "schedule: { catchUpWindow: PT3H, overlap: skip }";
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program("1.0.0", "{ every: PT1H }", settings)]);
    it.define("1.0.0").at("2026-01-02T00:10:00Z").fire_late().check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap skip
          timer 0: 2026-01-01T01:00:00Z
        2026-01-02T00:10:00Z fire_timer
          skipped 21, the last 2026-01-01T21:00:00Z: too late
          run 0: shop.report-2026-01-01T22:00:00Z, awaited
          skipped 2, the last 2026-01-02T00:00:00Z: overlap
          timer 1: 2026-01-02T01:00:00Z
          => shop.report-2026-01-01T22:00:00Z/start to shop.report-2026-01-01T22:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T22:00:00Z"} for millrace:schedule/shop/report 0.1
    "#]]);
    let settings = "schedule: { catchUpWindow: PT3H, overlap: bufferOne }";
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program("1.0.0", "{ every: PT1H }", settings)]);
    it.define("1.0.0").at("2026-01-02T00:10:00Z").fire_late().end(0, None).check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap bufferOne
          timer 0: 2026-01-01T01:00:00Z
        2026-01-02T00:10:00Z fire_timer
          skipped 21, the last 2026-01-01T21:00:00Z: too late
          run 0: shop.report-2026-01-01T22:00:00Z, awaited
          buffered: shop.report-2026-01-01T23:00:00Z
          skipped 1, the last 2026-01-02T00:00:00Z: overlap
          timer 1: 2026-01-02T01:00:00Z
          => shop.report-2026-01-01T22:00:00Z/start to shop.report-2026-01-01T22:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T22:00:00Z"} for millrace:schedule/shop/report 0.1
        2026-01-02T00:10:00Z end_run
          run 0 ended
          run 1: shop.report-2026-01-01T23:00:00Z, awaited
          => shop.report-2026-01-01T23:00:00Z/start to shop.report-2026-01-01T23:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T23:00:00Z"} for millrace:schedule/shop/report 1.1
    "#]]);
}

/// A minute's cron that nobody decided for a year: each decision is bounded, and the timer goes on at once.
#[test]
fn a_long_absence_is_caught_up_with_in_portions() {
    let program = program("1.0.0", "{ cron: '* * * * *' }", "schedule: { catchUpWindow: PT4H }");
    let mut it = Conversation::new("2026-01-01T00:00:00Z", [program]);
    it.define("1.0.0").at("2027-01-01T00:00:30Z");
    let (mut decisions, mut most) = (0, 0);
    while it.schedule.timers().next().unwrap().1 <= it.now {
        let (timer, due) = it.schedule.timers().next().unwrap();
        let decision = it.decide(ScheduleCommand::FireTimer { timer, due }, "t").unwrap();
        (decisions, most) = (decisions + 1, most.max(decision.effects.len()));
    }
    let state = it.schedule.state().unwrap();
    assert_eq!((state.skipped, state.started), (365 * 1_440 - 240, 240));
    assert_eq!((decisions, most), (528, 100));
}

#[test]
fn a_paused_schedule_starts_nothing_but_what_is_asked_for() {
    let program = program("1.0.0", "{ every: PT1H }", "schedule: { overlap: bufferOne }");
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program]);
    it.define("1.0.0").fire().fire().say(pause("holidays")).say(pause("again"));
    it.at("2026-01-01T07:30:00Z").say(ScheduleCommand::Trigger).end(0, None).say(ScheduleCommand::Trigger);
    it.say(resume()).say(resume()).fire().end(1, None).check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap bufferOne
          timer 0: 2026-01-01T01:00:00Z
        2026-01-01T01:00:00Z fire_timer
          run 0: shop.report-2026-01-01T01:00:00Z, awaited
          timer 1: 2026-01-01T02:00:00Z
          => shop.report-2026-01-01T01:00:00Z/start to shop.report-2026-01-01T01:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T01:00:00Z"} for millrace:schedule/shop/report 0.1
        2026-01-01T02:00:00Z fire_timer
          buffered: shop.report-2026-01-01T02:00:00Z
          timer 2: 2026-01-01T03:00:00Z
        2026-01-01T02:00:00Z pause_schedule
          paused: holidays
        2026-01-01T02:00:00Z pause_schedule
          refused: the schedule is paused already
        2026-01-01T07:30:00Z trigger_schedule
          refused: the run shop.report-2026-01-01T01:00:00Z is still at it, and the schedule does not let another one begin (overlap: bufferOne); cancel it, or wait for its end
        2026-01-01T07:30:00Z end_run
          run 0 ended
        2026-01-01T07:30:00Z trigger_schedule
          run 1: shop.report-now-f3bdb0ab5ac43270, awaited, triggered
          => shop.report-now-f3bdb0ab5ac43270/start to shop.report-now-f3bdb0ab5ac43270: shop/report 1.0.0 {"scheduledFor":"2026-01-01T07:30:00Z"} for millrace:schedule/shop/report 1.1
        2026-01-01T07:30:00Z resume_schedule
          resumed
          timer 3: 2026-01-01T08:00:00Z
        2026-01-01T07:30:00Z resume_schedule
          refused: the schedule is not paused
        2026-01-01T08:00:00Z fire_timer
          buffered: shop.report-2026-01-01T08:00:00Z
          timer 4: 2026-01-01T09:00:00Z
        2026-01-01T08:00:00Z end_run
          run 1 ended
          run 2: shop.report-2026-01-01T08:00:00Z, awaited
          => shop.report-2026-01-01T08:00:00Z/start to shop.report-2026-01-01T08:00:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T08:00:00Z"} for millrace:schedule/shop/report 2.1
    "#]]);
}

#[test]
fn a_late_timer_of_a_paused_schedule_is_refused() {
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program("1.0.0", "{ every: PT1H }", "")]);
    let due = at("2026-01-01T01:00:00Z");
    it.define("1.0.0").say(ScheduleCommand::FireTimer { timer: TimerId(0), due });
    it.say(pause("")).at("2026-01-01T01:00:00Z").say(ScheduleCommand::FireTimer { timer: TimerId(0), due });
    it.check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap allow
          timer 0: 2026-01-01T01:00:00Z
        2026-01-01T00:10:00Z fire_timer
          refused: timer 0 is due at 2026-01-01T01:00:00Z, and it is only 2026-01-01T00:10:00Z
        2026-01-01T00:10:00Z pause_schedule
          paused: 
        2026-01-01T01:00:00Z fire_timer
          refused: timer 0 is not set: it has fired, or is no longer wanted
    "#]]);
}

#[test]
fn a_start_that_is_asked_for_follows_the_overlap_policy_and_happens_once() {
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program("1.0.0", "{ every: PT1H }", "")]);
    it.define("1.0.0").say_as(ScheduleCommand::Trigger, "now").say_as(ScheduleCommand::Trigger, "now");
    it.say_as(ScheduleCommand::Trigger, "again").check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap allow
          timer 0: 2026-01-01T01:00:00Z
        2026-01-01T00:10:00Z trigger_schedule
          run 0: shop.report-now-1e413cab729f0442, triggered
          => shop.report-now-1e413cab729f0442/start to shop.report-now-1e413cab729f0442: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:10:00Z"}
        2026-01-01T00:10:00Z trigger_schedule
          refused: event /test now has started shop.report-now-1e413cab729f0442 already
        2026-01-01T00:10:00Z trigger_schedule
          run 1: shop.report-now-07312af0cfbbf152, triggered
          => shop.report-now-07312af0cfbbf152/start to shop.report-now-07312af0cfbbf152: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:10:00Z"}
    "#]]);
    let program = program("1.0.0", "{ after: PT1H }", "");
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program]);
    it.define("1.0.0").fire().say(ScheduleCommand::Trigger).end(0, None).say(ScheduleCommand::Trigger);
    it.check(expect![[r#"
        2026-01-01T00:10:00Z define_schedule
          defined by 1.0.0: after 1h; overlap skip
          timer 0: 2026-01-01T00:10:00Z
        2026-01-01T00:10:00Z fire_timer
          run 0: shop.report-2026-01-01T00:10:00Z, awaited
          no timer
          => shop.report-2026-01-01T00:10:00Z/start to shop.report-2026-01-01T00:10:00Z: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:10:00Z"} for millrace:schedule/shop/report 0.1
        2026-01-01T00:10:00Z trigger_schedule
          refused: the run shop.report-2026-01-01T00:10:00Z is still at it, and the schedule does not let another one begin (overlap: skip); cancel it, or wait for its end
        2026-01-01T00:10:00Z end_run
          run 0 ended
          timer 1: 2026-01-01T01:10:00Z
        2026-01-01T00:10:00Z trigger_schedule
          run 1: shop.report-now-f3bdbdab5ac44887, awaited, triggered
          no timer
          => shop.report-now-f3bdbdab5ac44887/start to shop.report-now-f3bdbdab5ac44887: shop/report 1.0.0 {"scheduledFor":"2026-01-01T00:10:00Z"} for millrace:schedule/shop/report 1.1
    "#]]);
}

#[test]
fn a_new_version_changes_the_rules_and_makes_up_for_what_the_old_one_missed() {
    let versions = [
        program("1.0.0", "{ cron: '0 1 * * *' }", ""),
        program("1.1.0", "{ every: PT1H }", ""),
        program("1.2.0", "{ after: PT1H }", ""),
        program("1.3.0", "", ""),
        program("1.4.0", "{ cron: '0 1 * * *' }", "schedule: { endAt: '2026-01-03T12:00:00Z' }"),
    ];
    let mut it = Conversation::new("2026-01-01T12:00:00Z", versions);
    it.define("1.0.0").define("1.0.0").at("2026-01-02T03:30:00Z").define("1.1.0").fire_late();
    it.define("1.2.0").fire().define("1.3.0").end(3, None).say(ScheduleCommand::Trigger).say(pause(""));
    it.define("1.4.0").fire().check(expect![[r#"
        2026-01-01T12:00:00Z define_schedule
          defined by 1.0.0: cron 0 1 * * * UTC; overlap allow
          timer 0: 2026-01-02T01:00:00Z
        2026-01-01T12:00:00Z define_schedule
          refused: the schedule follows version 1.0.0 already
        2026-01-02T03:30:00Z define_schedule
          defined by 1.1.0: every 1h; overlap allow
          timer 1: 2026-01-02T01:00:00Z
        2026-01-02T03:30:00Z fire_timer
          run 0: shop.report-2026-01-02T01:00:00Z
          run 1: shop.report-2026-01-02T02:00:00Z
          run 2: shop.report-2026-01-02T03:00:00Z
          timer 2: 2026-01-02T04:00:00Z
          => shop.report-2026-01-02T01:00:00Z/start to shop.report-2026-01-02T01:00:00Z: shop/report 1.1.0 {"scheduledFor":"2026-01-02T01:00:00Z"}
          => shop.report-2026-01-02T02:00:00Z/start to shop.report-2026-01-02T02:00:00Z: shop/report 1.1.0 {"scheduledFor":"2026-01-02T02:00:00Z"}
          => shop.report-2026-01-02T03:00:00Z/start to shop.report-2026-01-02T03:00:00Z: shop/report 1.1.0 {"scheduledFor":"2026-01-02T03:00:00Z"}
        2026-01-02T03:30:00Z define_schedule
          defined by 1.2.0: after 1h; overlap skip
          timer 3: 2026-01-02T03:30:00Z
        2026-01-02T03:30:00Z fire_timer
          run 3: shop.report-2026-01-02T03:30:00Z, awaited
          no timer
          => shop.report-2026-01-02T03:30:00Z/start to shop.report-2026-01-02T03:30:00Z: shop/report 1.2.0 {"scheduledFor":"2026-01-02T03:30:00Z"} for millrace:schedule/shop/report 3.1
        2026-01-02T03:30:00Z define_schedule
          retired by 1.3.0
        2026-01-02T03:30:00Z end_run
          run 3 ended
        2026-01-02T03:30:00Z trigger_schedule
          refused: version 1.3.0 of the workflow has no schedule
        2026-01-02T03:30:00Z pause_schedule
          refused: version 1.3.0 of the workflow has no schedule
        2026-01-02T03:30:00Z define_schedule
          defined by 1.4.0: cron 0 1 * * * UTC; overlap allow
          timer 4: 2026-01-03T01:00:00Z
        2026-01-03T01:00:00Z fire_timer
          run 4: shop.report-2026-01-03T01:00:00Z
          no timer
          => shop.report-2026-01-03T01:00:00Z/start to shop.report-2026-01-03T01:00:00Z: shop/report 1.4.0 {"scheduledFor":"2026-01-03T01:00:00Z"}
    "#]]);
}

#[test]
fn a_pause_outlives_a_new_version() {
    let versions = [program("1.0.0", "{ every: PT1H }", ""), program("1.1.0", "{ every: PT2H }", "")];
    let mut it = Conversation::new("2026-01-01T12:10:00Z", versions);
    it.define("1.0.0").say(pause("x")).define("1.1.0").say(resume()).check(expect![[r#"
        2026-01-01T12:10:00Z define_schedule
          defined by 1.0.0: every 1h; overlap allow
          timer 0: 2026-01-01T13:00:00Z
        2026-01-01T12:10:00Z pause_schedule
          paused: x
        2026-01-01T12:10:00Z define_schedule
          defined by 1.1.0: every 2h; overlap allow
        2026-01-01T12:10:00Z resume_schedule
          resumed
          timer 1: 2026-01-01T14:00:00Z
    "#]]);
    assert_eq!(it.schedule.state().unwrap().status, ScheduleStatus::Active);
}

#[test]
fn a_schedule_that_does_not_exist_says_so() {
    let versions = [program("1.0.0", "", "")];
    let mut it = Conversation::new("2026-01-01T12:10:00Z", versions);
    it.say(pause("x")).define("1.0.0").end(0, None).check(expect![[r#"
        2026-01-01T12:10:00Z pause_schedule
          refused: there is no schedule millrace:schedule/shop/report; deploy a definition that has one, or check the name
        2026-01-01T12:10:00Z define_schedule
          refused: the workflow shop/report/1.0.0 has no schedule
        2026-01-01T12:10:00Z end_run
          refused: there is no schedule millrace:schedule/shop/report; deploy a definition that has one, or check the name
    "#]]);
}

/// A run tells the schedule of its end as a child tells its parent.
#[test]
fn an_instance_answers_the_schedule_that_started_it() {
    let program = program("1.0.0", "{ after: PT1H }", "");
    let mut it = Conversation::new("2026-01-01T00:10:00Z", [program]);
    let version = it.versions["1.0.0"].workflow.clone();
    it.decide(ScheduleCommand::Define { version }, "d").unwrap();
    let (timer, due) = it.schedule.timers().next().unwrap();
    let started = it.decide(ScheduleCommand::FireTimer { timer, due }, "t").unwrap();
    let [Effect::SendCommand { to, command, .. }] = &started.effects[..] else { panic!("one start") };
    let addressed = AddressedCommand {
        instance: to.clone(),
        cause: EventId { source: "/test".to_owned(), id: "start".to_owned() },
        traceparent: None,
        tracestate: None,
        answer: millrace_schemas::command::Answer::Refusal,
        command: (**command).clone(),
    };
    let moment = Moment { at: it.now, random: 0 };
    let mut instance = Instance::absent(to.clone());
    let ended = instance
        .step(&it.versions["1.0.0"], &addressed, moment, &millrace_engine::Bounds::default())
        .unwrap();
    let [Effect::SendCommand { to, command, .. }] = &ended.effects[..] else { panic!("one answer") };
    assert_eq!(to, it.schedule.id());
    assert_eq!(ScheduleCommand::of_instance(command), Some(end(0, None)));
    it.decide(ScheduleCommand::of_instance(command).unwrap(), "end").unwrap();
    assert!(it.schedule.state().unwrap().running.is_none());
}

/// What may happen to a schedule in a random history.
#[derive(Clone, Debug)]
enum Step {
    PassTime(u64),
    Fire,
    /// A timer of before, or at another time.
    FireWrongly(u32, i64),
    End(bool),
    Define(bool),
    Pause,
    Resume,
    Trigger(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..20_000_000).prop_map(Step::PassTime),
        6 => Just(Step::Fire),
        1 => (0_u32..5, -5_i64..5).prop_map(|(timer, off)| Step::FireWrongly(timer, off)),
        3 => any::<bool>().prop_map(Step::End),
        1 => any::<bool>().prop_map(Step::Define),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => (0_u8..4).prop_map(Step::Trigger),
    ]
}

const RHYTHMS: [&str; 6] = [
    "{ every: PT7M }",
    "{ every: PT0.9S }",
    "{ cron: '*/20 * * * *' }",
    "{ cron: '30 2 * * *' }",
    "{ after: PT10M }",
    "{ after: PT0S }",
];
const OVERLAPS: [&str; 3] = ["skip", "bufferOne", "allow"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Nothing starts early, and nothing of one nominal time twice; runs that may not overlap do not; a pause is a pause; what was decided
    /// is as many as there were times; and every prefix of the log can be the snapshot.
    #[test]
    fn each_time_is_decided_once_and_never_early(
        rhythm in 0..RHYTHMS.len(),
        overlap in 0..OVERLAPS.len(),
        window in 10_u32..30_000,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let is_after = rhythm >= 4;
        let overlap = if is_after { "skip" } else { OVERLAPS[overlap] };
        let settings = match is_after {
            true => String::new(),
            false => format!("schedule: {{ overlap: {overlap}, catchUpWindow: PT{window}S }}"),
        };
        let versions = [program("1.0.0", RHYTHMS[rhythm], &settings), program("1.1.0", RHYTHMS[rhythm], &settings)];
        let mut it = Conversation::new("2026-03-28T20:00:00Z", versions);
        let first = it.versions["1.0.0"].workflow.clone();
        let defined_at = it.now;
        it.decide(ScheduleCommand::Define { version: first }, "define").unwrap();
        let (mut nominal, mut instances, mut open) = (BTreeSet::new(), BTreeSet::new(), None);
        let (mut decided, mut is_paused, mut has_paused) = (0, false, false);
        for step in steps {
            let command = match step {
                Step::PassTime(ms) => {
                    it.now = it.now.plus(Duration::from_millis(ms));
                    continue;
                }
                Step::Fire => match it.schedule.timers().next() {
                    Some((timer, due)) => {
                        it.now = it.now.max(due);
                        ScheduleCommand::FireTimer { timer, due }
                    }
                    None => continue,
                },
                Step::FireWrongly(timer, off) => {
                    let due = Timestamp(it.now.0 + off);
                    if it.schedule.timers().any(|it| it == (TimerId(timer), due)) {
                        continue;
                    }
                    ScheduleCommand::FireTimer { timer: TimerId(timer), due }
                }
                Step::End(well) => match open {
                    Some(run) => end(run, (!well).then_some("failed")),
                    None => end(u32::MAX, None),
                },
                Step::Define(is_newer) => {
                    let version = if is_newer { "1.1.0" } else { "1.0.0" };
                    ScheduleCommand::Define { version: it.versions[version].workflow.clone() }
                }
                Step::Pause => pause("p"),
                Step::Resume => resume(),
                Step::Trigger(n) => {
                    // An event that comes again after others is refused by the instance that it has started.
                    let cause = format!("trigger-{n}-{}", it.entries.len());
                    if let Ok(decision) = it.decide(ScheduleCommand::Trigger, &cause) {
                        note(&decision, &mut BTreeSet::new(), &mut instances, &mut open, it.now, overlap)?;
                    }
                    continue;
                }
            };
            let (is_pause, is_resume) = (command == pause("p"), command == resume());
            let is_end = matches!(command, ScheduleCommand::EndRun { .. });
            let is_stray = matches!(step, Step::FireWrongly(..));
            let Ok(decision) = it.decide(command, "c") else { continue };
            prop_assert!(!is_stray, "a timer that is not set does nothing");
            if is_end {
                open = None;
            }
            prop_assert!(!is_paused || is_end || is_resume || decision.effects.is_empty());
            is_paused = (is_paused || is_pause) && !is_resume;
            has_paused |= is_pause;
            decided += note(&decision, &mut nominal, &mut instances, &mut open, it.now, overlap)?;
        }
        let state = it.schedule.state().unwrap();
        prop_assert_eq!(state.running.as_ref().map(|it| it.run), open);
        if !is_after && !has_paused {
            // Every nominal time up to the timer was decided, in one way or another.
            let rules = it.versions["1.0.0"].schedule.as_ref().unwrap();
            let next = state.next.unwrap().due;
            let mut expected = 0_u64;
            let mut time = defined_at;
            while let Some(due) = rules.next_after(time).filter(|it| *it < next) {
                (time, expected) = (due, expected + 1);
            }
            prop_assert_eq!(decided, expected);
        }
        for cut in 0..=it.entries.len() {
            let mut prefix = Schedule::absent(it.schedule.id().clone());
            it.entries[..cut].iter().for_each(|entry| prefix.apply_entry(entry).unwrap());
            let mut restored = match prefix.state() {
                Some(state) => Schedule::from_state(it.schedule.id().clone(), state.clone()),
                None => Schedule::absent(it.schedule.id().clone()),
            };
            it.entries[cut..].iter().for_each(|entry| restored.apply_entry(entry).unwrap());
            prop_assert_eq!(&restored, &it.schedule);
        }
    }
}

/// Notes what a decision starts, and counts the nominal times that it decides.
fn note(
    decision: &ScheduleDecision,
    nominal_times: &mut BTreeSet<Timestamp>,
    instances: &mut BTreeSet<InstanceId>,
    open: &mut Option<u32>,
    now: Timestamp,
    overlap: &str,
) -> Result<u64, TestCaseError> {
    let mut decided = 0;
    for event in &decision.events {
        match event {
            ScheduleEvent::RunStarted { run, instance, nominal, is_triggered, is_awaited } => {
                prop_assert!(*nominal <= now, "nothing starts early");
                prop_assert!(instances.insert(instance.clone()), "{} starts once", instance);
                prop_assert_eq!(*is_awaited, overlap != "allow");
                if *is_awaited {
                    prop_assert!(open.is_none(), "runs do not overlap");
                    *open = Some(*run);
                }
                if !is_triggered && nominal_times.insert(*nominal) {
                    decided += 1;
                }
            }
            ScheduleEvent::StartBuffered { nominal, is_triggered: false, .. } => {
                prop_assert!(nominal_times.insert(*nominal));
                decided += 1;
            }
            ScheduleEvent::StartsSkipped { count, last, .. } => {
                prop_assert!(*last <= now);
                decided += count;
            }
            ScheduleEvent::ScheduleDefined { .. }
            | ScheduleEvent::ScheduleRetired { .. }
            | ScheduleEvent::SchedulePaused { .. }
            | ScheduleEvent::ScheduleResumed { .. }
            | ScheduleEvent::NextStartSet { .. }
            | ScheduleEvent::NextStartCleared
            | ScheduleEvent::StartBuffered { .. }
            | ScheduleEvent::RunEnded { .. } => {}
        }
    }
    Ok(decided)
}
