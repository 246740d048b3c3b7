//! What follows from each command, given the state.
//!
//! | | absent | active | paused | retired |
//! |---|---|---|---|---|
//! | define, with a schedule | active | other rules | other rules, paused | active |
//! | define, without | refused | retired | retired | follows |
//! | a timer | not found | starts | refused | refused |
//! | trigger | not found | starts | starts | refused |
//! | pause | not found | paused | refused | refused |
//! | resume | not found | refused | active | refused |
//! | the end of a run | not found | noted, and what waits for it starts | noted | noted |

use std::time::Duration;

use millrace_schemas::command::Command;
use millrace_schemas::event::ParentTask;
use millrace_schemas::schedule::{
    AddressedScheduleCommand, ScheduleCommand, ScheduleEvent, ScheduleStatus, SkipReason,
};
use millrace_schemas::{
    EventId, ExecutionId, InstanceId, Payload, TaskToken, TimerId, Timestamp, WorkflowName,
};
use millrace_workflow::schedule::{Overlap, Rhythm, Schedule as Rules};
use serde_json::Value;

use super::{Draft, text};
use crate::{Effect, Rejection, timing};

/// Most instances that one decision starts. What is left is decided by the next one, at once.
const STARTS_MAX: usize = 100;

/// A run that fails at once is not followed by the next one at once.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Most bytes of an error that are kept.
const ERROR_BYTES_MAX: usize = 1_024;

pub(super) fn decide(draft: &mut Draft<'_>, addressed: &AddressedScheduleCommand) -> Result<(), Rejection> {
    if let ScheduleCommand::Define { .. } = addressed.command {
        return define(draft);
    }
    let schedule = addressed.instance.clone();
    let Some(state) = draft.schedule.state() else { return Err(Rejection::NoSchedule { schedule }) };
    assert_eq!(state.version, draft.program.workflow, "a schedule is decided by the version that it follows");
    if let ScheduleCommand::EndRun { token, error } = &addressed.command {
        return end_run(draft, *token, error.as_deref());
    }
    let Some(rules) = draft.program.schedule.as_ref() else {
        return refused(format!(
            "version {} of the workflow has no schedule",
            draft.program.workflow.version
        ));
    };
    match &addressed.command {
        ScheduleCommand::Pause { reason } => pause(draft, reason),
        ScheduleCommand::Resume { reason } => resume(draft, rules, reason),
        ScheduleCommand::Trigger => trigger(draft, rules, &addressed.cause),
        ScheduleCommand::FireTimer { timer, due } => fire_timer(draft, rules, *timer, *due),
        ScheduleCommand::Define { .. } | ScheduleCommand::EndRun { .. } => {
            unreachable!("these were decided before")
        }
    }
}

fn refused(detail: String) -> Result<(), Rejection> {
    Err(Rejection::InvalidState { detail })
}

/// The schedule follows the program.
fn define(draft: &mut Draft<'_>) -> Result<(), Rejection> {
    let version = draft.program.workflow.clone();
    let followed = draft.schedule.state().map(|it| &it.version);
    if followed == Some(&version) {
        return refused(format!("the schedule follows version {} already", version.version));
    }
    let Some(rules) = &draft.program.schedule else {
        if followed.is_none() {
            return refused(format!("the workflow {version} has no schedule"));
        }
        draft.record(ScheduleEvent::ScheduleRetired { version });
        return Ok(());
    };
    // What the rules before have missed is made up for by the new ones.
    let missed = draft.schedule.state().and_then(|it| it.next).map(|it| it.due);
    let overlap = match rules.rhythm {
        Rhythm::Every(_) | Rhythm::Cron(_) => rules.overlap,
        Rhythm::After(_) => Overlap::Skip,
    };
    let (rhythm, overlap) = (text(&rules.rhythm), text(&overlap));
    draft.record(ScheduleEvent::ScheduleDefined { version, rhythm, overlap });
    let now = draft.moment.at;
    let from = missed.filter(|it| *it <= now).map_or(now, |it| Timestamp(it.0 - 1));
    match draft.state().status {
        ScheduleStatus::Active => wait_from(draft, rules, from),
        ScheduleStatus::Paused { .. } | ScheduleStatus::Retired => {}
    }
    Ok(())
}

/// Sets the timer for what follows after `from`.
fn wait_from(draft: &mut Draft<'_>, rules: &Rules, from: Timestamp) {
    let state = draft.state();
    let due = match &rules.rhythm {
        Rhythm::Every(_) | Rhythm::Cron(_) => {
            rules.next_after(state.decided_until.map_or(from, |it| it.max(from)))
        }
        Rhythm::After(_) if state.running.is_some() => None,
        Rhythm::After(pause) => {
            let now = draft.moment.at;
            // After a failure at least a little.
            let pause = if state.last_error.is_some() { (*pause).max(PAUSE_AFTER_FAILURE) } else { *pause };
            Some(state.ended_at.map_or(now, |it| it.plus(pause).max(now)))
        }
    };
    set_next(draft, rules, due);
}

/// Sets the timer, or clears it.
fn set_next(draft: &mut Draft<'_>, rules: &Rules, due: Option<Timestamp>) {
    let state = draft.state();
    // Each nominal time is another one: a run of `after` may end in the millisecond in which it began.
    let earliest = state.decided_until.map(|it| Timestamp(it.0.saturating_add(1))).max(rules.start_at);
    let due = due
        .map(|it| earliest.map_or(it, |earliest| it.max(earliest)))
        .filter(|it| rules.end_at.is_none_or(|end| *it <= end));
    match due {
        Some(due) => {
            let timer = TimerId(state.next_timer);
            draft.record(ScheduleEvent::NextStartSet { timer, due });
        }
        None if state.next.is_some() => draft.record(ScheduleEvent::NextStartCleared),
        None => {}
    }
}

fn pause(draft: &mut Draft<'_>, reason: &str) -> Result<(), Rejection> {
    match &draft.state().status {
        ScheduleStatus::Active => {}
        status @ (ScheduleStatus::Paused { .. } | ScheduleStatus::Retired) => {
            return refused(format!("the schedule is {} already", status.name()));
        }
    }
    draft.record(ScheduleEvent::SchedulePaused { reason: reason.to_owned() });
    Ok(())
}

/// What would have started meanwhile is not made up for: somebody did not want it.
fn resume(draft: &mut Draft<'_>, rules: &Rules, reason: &str) -> Result<(), Rejection> {
    match &draft.state().status {
        ScheduleStatus::Paused { .. } => {}
        ScheduleStatus::Active | ScheduleStatus::Retired => {
            return refused("the schedule is not paused".to_owned());
        }
    }
    draft.record(ScheduleEvent::ScheduleResumed { reason: reason.to_owned() });
    wait_from(draft, rules, draft.moment.at);
    Ok(())
}

fn trigger(draft: &mut Draft<'_>, rules: &Rules, cause: &EventId) -> Result<(), Rejection> {
    let now = draft.moment.at;
    let workflow = &draft.program.workflow.workflow;
    let instance = instance_id(workflow, &format!("now-{:016x}", fingerprint(cause)));
    let state = draft.state();
    let last = [
        state.last.as_ref().map(|it| &it.instance),
        state.running.as_ref().map(|it| &it.instance),
        state.buffered.as_ref().map(|it| &it.instance),
    ];
    if last.contains(&Some(&instance)) {
        return refused(format!("event {cause} has started {instance} already"));
    }
    match admit(draft, rules) {
        Admitted::Start => {
            start(draft, rules, instance, now, true);
            if let Rhythm::After(_) = rules.rhythm {
                set_next(draft, rules, None);
            }
            Ok(())
        }
        Admitted::Buffer if draft.state().status == ScheduleStatus::Active => {
            draft.record(ScheduleEvent::StartBuffered { instance, nominal: now, is_triggered: true });
            Ok(())
        }
        Admitted::Buffer | Admitted::Skip => {
            let running = draft.state().running.as_ref().map(|it| it.instance.to_string());
            refused(format!(
                "the run {} is still at it, and the schedule does not let another one begin (overlap: {}); cancel it, or wait for its end",
                running.unwrap_or_default(),
                draft.state().overlap
            ))
        }
    }
}

fn fire_timer(draft: &mut Draft<'_>, rules: &Rules, timer: TimerId, due: Timestamp) -> Result<(), Rejection> {
    let now = draft.moment.at;
    match draft.state().next {
        Some(next) if next.timer == timer && next.due == due => {}
        Some(_) | None => {
            return refused(format!("timer {} is not set: it has fired, or is no longer wanted", timer.0));
        }
    }
    if due > now {
        let (due, at) = (timing::rfc3339(due), timing::rfc3339(now));
        return refused(format!("timer {} is due at {due}, and it is only {at}", timer.0));
    }
    let mut next = Some(due);
    if let Rhythm::After(_) = rules.rhythm {
        // Its time has followed from a run, so there is one at most.
        begin(draft, rules, due);
        set_next(draft, rules, None);
        return Ok(());
    }
    let oldest =
        Timestamp(now.0.saturating_sub(i64::try_from(rules.catch_up.as_millis()).unwrap_or(i64::MAX)));
    if let Some(passed) = rules.pass_over(due, oldest) {
        let reason = SkipReason::TooLate;
        draft.record(ScheduleEvent::StartsSkipped { count: passed.count, last: passed.last, reason });
        next = passed.next;
    }
    let mut skipped = Skipped::default();
    // Too many to count at once: the rest of them is for the next decision.
    let mut left = if next.is_some_and(|it| it < oldest) { 0 } else { STARTS_MAX };
    while let Some(nominal) = next.filter(|it| *it <= now && left > 0) {
        left -= 1;
        match begin(draft, rules, nominal) {
            Admitted::Skip => skipped.add(nominal),
            Admitted::Start | Admitted::Buffer => {}
        }
        next = rules.next_after(nominal);
    }
    skipped.record(draft);
    set_next(draft, rules, next);
    Ok(())
}

/// Starts that were left out because of a run that is still at it.
#[derive(Default)]
struct Skipped {
    count: u64,
    last: Timestamp,
}

impl Skipped {
    fn add(&mut self, nominal: Timestamp) {
        self.count += 1;
        self.last = nominal;
    }

    fn record(self, draft: &mut Draft<'_>) {
        let Self { count, last } = self;
        if count > 0 {
            draft.record(ScheduleEvent::StartsSkipped { count, last, reason: SkipReason::Overlap });
        }
    }
}

/// What becomes of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admitted {
    Start,
    Buffer,
    Skip,
}

/// Whether something may start beside what is at it.
fn admit(draft: &Draft<'_>, rules: &Rules) -> Admitted {
    let state = draft.state();
    match (&rules.rhythm, rules.overlap) {
        _ if state.running.is_none() => Admitted::Start,
        (Rhythm::After(_), _) | (Rhythm::Every(_) | Rhythm::Cron(_), Overlap::Skip) => Admitted::Skip,
        (Rhythm::Every(_) | Rhythm::Cron(_), Overlap::Allow) => Admitted::Start,
        (Rhythm::Every(_) | Rhythm::Cron(_), Overlap::BufferOne) => match state.buffered {
            None => Admitted::Buffer,
            Some(_) => Admitted::Skip,
        },
    }
}

/// Starts what is meant to be at `nominal`, or has it wait. What is left out is for the caller to record.
fn begin(draft: &mut Draft<'_>, rules: &Rules, nominal: Timestamp) -> Admitted {
    let instance = instance_id(&draft.program.workflow.workflow, &timing::rfc3339(nominal));
    let admitted = admit(draft, rules);
    match admitted {
        Admitted::Start => start(draft, rules, instance, nominal, false),
        Admitted::Buffer => {
            draft.record(ScheduleEvent::StartBuffered { instance, nominal, is_triggered: false });
        }
        Admitted::Skip => {}
    }
    admitted
}

fn start(draft: &mut Draft<'_>, rules: &Rules, instance: InstanceId, nominal: Timestamp, is_triggered: bool) {
    let run = draft.state().next_run;
    let is_awaited = match (&rules.rhythm, rules.overlap) {
        (Rhythm::After(_), _) | (_, Overlap::Skip | Overlap::BufferOne) => true,
        (Rhythm::Every(_) | Rhythm::Cron(_), Overlap::Allow) => false,
    };
    // A run of other rules may still be at it: the new one is not waited for then.
    let is_awaited = is_awaited && draft.state().running.is_none();
    let token = TaskToken { execution: ExecutionId(run), dispatch: 1 };
    let parent = is_awaited.then(|| ParentTask { instance: draft.schedule.id().clone(), token });
    let version = &draft.program.workflow;
    let command = Command::Start {
        workflow: version.workflow.clone(),
        version: Some(version.version.clone()),
        input: input(rules, nominal),
        parent,
    };
    let id = format!("{instance}/start");
    draft.effects.push(Effect::SendCommand { to: instance.clone(), id, command: Box::new(command) });
    draft.record(ScheduleEvent::RunStarted { run, instance, nominal, is_triggered, is_awaited });
}

/// What an instance is given: the schedule's input, with the nominal time.
fn input(rules: &Rules, nominal: Timestamp) -> Payload {
    let mut input = rules.input.clone();
    input.entry("scheduledFor").or_insert_with(|| Value::String(timing::rfc3339(nominal)));
    Value::Object(input).into()
}

fn end_run(draft: &mut Draft<'_>, token: TaskToken, error: Option<&str>) -> Result<(), Rejection> {
    let run = token.execution.0;
    if draft.state().running.as_ref().is_none_or(|it| it.run != run) {
        return refused(format!("the schedule does not wait for the end of run {run}"));
    }
    let error = error.map(|it| it[..it.floor_char_boundary(ERROR_BYTES_MAX)].to_owned());
    draft.record(ScheduleEvent::RunEnded { run, error });
    let Some(rules) = &draft.program.schedule else { return Ok(()) };
    match draft.state().status {
        ScheduleStatus::Active => {}
        ScheduleStatus::Paused { .. } | ScheduleStatus::Retired => return Ok(()),
    }
    if let Some(next) = draft.state().buffered.clone() {
        start(draft, rules, next.instance, next.nominal, next.is_triggered);
    } else if let Rhythm::After(_) = &rules.rhythm {
        wait_from(draft, rules, draft.moment.at);
    }
    Ok(())
}

/// The id of an instance: the workflow's name and what tells its instances apart. Names have no dots, so no two workflows have one id.
fn instance_id(workflow: &WorkflowName, what: &str) -> InstanceId {
    InstanceId::new(format!("{}.{}-{what}", workflow.namespace, workflow.name))
        .expect("two DNS labels and a time are shorter than an id may be")
}

/// Tells apart the events that ask for a start (FNV-1a): the same event has the same.
fn fingerprint(cause: &EventId) -> u64 {
    let bytes = cause.source.bytes().chain([0]).chain(cause.id.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
