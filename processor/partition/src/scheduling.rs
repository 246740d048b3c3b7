//! Schedules: that there are those which the definitions have, and what becomes of commands for them.
//!
//! Nobody sends a definition to a schedule. Its owner compares the version that it follows with the newest one, when it begins to serve and
//! whenever the definitions have changed; where they differ, it proposes the newest one as it proposes a timer, by a record of
//! `.internal`. So the change has its place in the order of the log, and where nothing differs, nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_engine::{Entity, Moment, Outcome, Rejection, Schedules};
use millrace_placement::{home, key_group};
use millrace_schemas::command::{Addressed, Answer};
use millrace_schemas::schedule::{ScheduleCommand, ScheduleEntry, ScheduleEvent, ScheduleState};
use millrace_schemas::{InstanceId, Timestamp, WorkflowVersion};
use millrace_workflow::program::Program;

use crate::input::InboundRecord;
use crate::open::{Committing, Entry};
use crate::output::{Observation, Output};
use crate::partition::{Partition, Programs};
use crate::processing::since;
use crate::quarantine::WAKE;
use crate::transaction::OutgoingRecord;

/// What is known of the schedules that this partition should have.
#[derive(Debug, Default)]
pub(crate) struct Scheduling {
    /// What the definitions said when they were last looked at.
    seen: Option<Arc<Schedules>>,
    /// Not compared yet.
    unchecked: BTreeMap<InstanceId, WorkflowVersion>,
    /// To be proposed with the next batch.
    wanted: BTreeMap<InstanceId, WorkflowVersion>,
    definitions: Definitions,
}

/// Whether the definitions have been read up to now: who does not know the version that a schedule follows may be behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Definitions {
    #[default]
    AsTheyAre,
    CatchingUp,
    CaughtUp,
}

impl Scheduling {
    /// Whether there is something for the next batch.
    pub(crate) fn wants_batch(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Takes what the next batch shall propose.
    pub(crate) fn take_wanted(&mut self) -> Vec<WorkflowVersion> {
        std::mem::take(&mut self.wanted).into_values().collect()
    }

    /// What was taken has not been proposed after all: it is looked at again.
    pub(crate) fn put_back(&mut self) {
        self.seen = None;
    }

    /// The definitions have been read up to the end that they had. False if somebody else has asked for that.
    pub(crate) fn definitions_caught_up(&mut self) -> bool {
        let has_asked = self.definitions == Definitions::CatchingUp;
        if has_asked {
            self.definitions = Definitions::CaughtUp;
        }
        has_asked
    }
}

impl Partition {
    /// Compares the schedules of this partition with those that the definitions have.
    pub(crate) fn advance_schedules(&mut self, programs: &impl Programs, out: &mut Vec<Output>) {
        let known = programs.schedules();
        if self.scheduling.seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &known)) {
            let is_ours = |id: &InstanceId| {
                home(key_group(id.as_str().as_bytes()), self.config.partitions) == self.index
            };
            self.scheduling.unchecked = known
                .iter()
                .filter(|(id, _)| is_ours(id))
                .map(|(id, version)| (id.clone(), version.clone()))
                .collect();
            self.scheduling.wanted.clear();
            self.scheduling.seen = Some(known);
            if self.scheduling.definitions == Definitions::CaughtUp {
                self.scheduling.definitions = Definitions::AsTheyAre;
            }
        }
        if self.scheduling.unchecked.is_empty() {
            return;
        }
        let mut load = Vec::new();
        for (id, newest) in std::mem::take(&mut self.scheduling.unchecked) {
            if self.quarantine.contains(&id) {
                continue;
            }
            let Some(cached) = self.cache.get(&id) else {
                if self.loading.insert(id.clone()) {
                    load.push(id.clone());
                }
                self.scheduling.unchecked.insert(id, newest);
                continue;
            };
            let Entity::Schedule(schedule) = &cached.entity else { continue };
            match compare(schedule.state(), &newest, programs) {
                Comparison::Same => {}
                Comparison::Differs => drop(self.scheduling.wanted.insert(id, newest)),
                Comparison::FollowsUnknown => match self.scheduling.definitions {
                    Definitions::CaughtUp => drop(self.scheduling.wanted.insert(id, newest)),
                    Definitions::CatchingUp => drop(self.scheduling.unchecked.insert(id, newest)),
                    Definitions::AsTheyAre => {
                        self.scheduling.unchecked.insert(id, newest);
                        self.scheduling.definitions = Definitions::CatchingUp;
                        out.push(Output::CatchUpDefinitions);
                    }
                },
            }
        }
        if !load.is_empty() {
            out.push(Output::LoadSnapshots(load));
        }
    }

    /// A command for a schedule.
    pub(crate) fn decide_schedule(
        &self,
        record: &InboundRecord,
        addressed: &Addressed<ScheduleCommand>,
        moment: Moment,
        programs: &impl Programs,
        work: &mut Committing,
        records: &mut Vec<OutgoingRecord>,
    ) -> Option<(OutgoingRecord, Entry)> {
        let id = &addressed.instance;
        let moment = Moment { at: not_before(&addressed.command, moment.at), ..moment };
        if let Some(why) = self.quarantine.reason(id) {
            if let ScheduleCommand::FireTimer { .. } = &addressed.command {
                work.wakes.insert(id.clone());
                return None;
            }
            let detail = format!("schedule {id} is quarantined: {why}");
            self.dead_letter(record, "quarantined", detail, moment.at, work, records);
            return None;
        }
        if matches!(&addressed.command, ScheduleCommand::FireTimer { timer, .. } if *timer == WAKE) {
            return None;
        }
        let mut schedule = self.take(id, work).into_schedule()?;
        if follows_already(&addressed.command, schedule.state()) {
            work.entities.insert(id.clone(), Entity::Schedule(schedule));
            return None;
        }
        let program = program(&addressed.command, schedule.state(), programs);
        let decided = match program {
            None => Err(Rejection::NoSchedule { schedule: id.clone() }),
            Some(Err(version)) => {
                let detail =
                    format!("workflow {version} is not deployed; deploy it, then send the event again");
                self.dead_letter(record, "unknown-workflow", detail, moment.at, work, records);
                work.entities.insert(id.clone(), Entity::Schedule(schedule));
                return None;
            }
            Some(Ok(program)) => schedule.step(&program, addressed, moment),
        };
        let status = schedule.state().map_or("", |it| it.status.name());
        work.entities.insert(id.clone(), Entity::Schedule(schedule));
        let name = addressed.command.name();
        match decided {
            Ok(decision) => {
                for (number, effect) in decision.effects.iter().enumerate() {
                    records.push(self.records.effect(addressed, number, effect, moment.at));
                }
                if addressed.answer != Answer::Refusal {
                    records.push(self.records.accepted(addressed, name, &Outcome::Done, status, moment.at));
                }
                observe(&addressed.command, &decision.events, moment.at, &mut work.observations);
                let entry = ScheduleEntry {
                    at: moment.at,
                    cause: addressed.cause.clone(),
                    traceparent: addressed.traceparent.clone(),
                    events: decision.events,
                };
                let outgoing = self.records.schedule_entry(id, entry);
                let value = outgoing.value.clone().expect("an entry has a value");
                Some((outgoing, Entry { instance: id.clone(), value, history: None }))
            }
            Err(rejection) => {
                let (reason, detail) = (rejection.reason(), rejection.to_string());
                records.push(self.records.rejected(addressed, name, reason, &detail, moment.at));
                work.observations.push(Observation::CommandRejected { command: name, reason });
                None
            }
        }
    }
}

/// A proposal that came twice: its owner has changed meanwhile, or the definitions have.
fn follows_already(command: &ScheduleCommand, state: Option<&ScheduleState>) -> bool {
    matches!(command, ScheduleCommand::Define { version } if state.is_some_and(|it| it.version == *version))
}

enum Comparison {
    /// It follows the newest version, or there is none and need not be.
    Same,
    Differs,
    /// It follows a version that is not known here: ours may be the older definitions.
    FollowsUnknown,
}

fn compare(state: Option<&ScheduleState>, newest: &WorkflowVersion, programs: &impl Programs) -> Comparison {
    match state {
        Some(state) if state.version == *newest => Comparison::Same,
        Some(state) if programs.version(&state.version).is_none() => Comparison::FollowsUnknown,
        Some(_) => Comparison::Differs,
        None if programs.version(newest).is_some_and(|it| it.schedule.is_some()) => Comparison::Differs,
        None => Comparison::Same,
    }
}

/// The version that a command is decided by, or the name of one that is not known. None for a schedule that does not exist.
fn program(
    command: &ScheduleCommand,
    state: Option<&ScheduleState>,
    programs: &impl Programs,
) -> Option<Result<Arc<Program>, WorkflowVersion>> {
    let version = match command {
        ScheduleCommand::Define { version } => version,
        ScheduleCommand::Pause { .. }
        | ScheduleCommand::Resume { .. }
        | ScheduleCommand::Trigger
        | ScheduleCommand::FireTimer { .. }
        | ScheduleCommand::EndRun { .. } => &state?.version,
    };
    Some(programs.version(version).ok_or_else(|| version.clone()))
}

/// Whether a command needs a version that is not known here.
pub(crate) fn is_unknown(
    addressed: &Addressed<ScheduleCommand>,
    entity: Option<&Entity>,
    programs: &impl Programs,
) -> bool {
    let state = match entity {
        Some(Entity::Schedule(schedule)) => schedule.state(),
        Some(Entity::Instance(_) | Entity::Channel(_)) | None => None,
    };
    matches!(program(&addressed.command, state, programs), Some(Err(_)))
}

/// As for the timers of instances.
fn not_before(command: &ScheduleCommand, now: Timestamp) -> Timestamp {
    match command {
        ScheduleCommand::FireTimer { due, .. } => now.max(*due),
        ScheduleCommand::Define { .. }
        | ScheduleCommand::Pause { .. }
        | ScheduleCommand::Resume { .. }
        | ScheduleCommand::Trigger
        | ScheduleCommand::EndRun { .. } => now,
    }
}

fn observe(
    command: &ScheduleCommand,
    events: &[ScheduleEvent],
    now: Timestamp,
    observations: &mut Vec<Observation>,
) {
    let (command_name, count) = (command.name(), events.len());
    observations.push(Observation::CommandDecided { command: command_name, events: count, steps: 0 });
    if let ScheduleCommand::FireTimer { due, .. } = command {
        observations.push(Observation::TimerFired { lateness: since(*due, now) });
    }
    for event in events {
        match event {
            ScheduleEvent::RunStarted { .. } => observations.push(Observation::RunScheduled),
            ScheduleEvent::StartsSkipped { count, .. } => {
                observations.push(Observation::StartsSkipped { count: *count });
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
}
