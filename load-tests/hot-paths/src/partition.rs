//! A whole partition: records in, transactions out. Log and store answer at once and keep nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use millrace_engine::{Bounds, Moment, Routes, Schedules};
use millrace_partition::{
    Config, Described, InboundRecord, Input, Output, Owner, Partition, Programs, Source, TailLimit,
    TimerCursor, TimerPage,
};
use millrace_placement::{PartitionIndex, Topics};
use millrace_schemas::cloud_event::{CloudEvent, complete_event, start_event};
use millrace_schemas::codec::Codec;
use millrace_schemas::{EventId, InstanceId, Offset, Timestamp, WorkflowName, WorkflowVersion};
use millrace_workflow::program::Program;
use serde_json::json;

use super::Run;
use super::core::{W1, input, program};

const INSTANCES: u64 = 100;

struct One {
    program: Arc<Program>,
    routes: Arc<Routes>,
    schedules: Arc<Schedules>,
}

impl Programs for One {
    fn version(&self, version: &WorkflowVersion) -> Option<Arc<Program>> {
        (*version == self.program.workflow).then(|| Arc::clone(&self.program))
    }
    fn newest(&self, workflow: &WorkflowName) -> Option<Arc<Program>> {
        (*workflow == self.program.workflow.workflow).then(|| Arc::clone(&self.program))
    }
    fn schedules(&self) -> Arc<Schedules> {
        Arc::clone(&self.schedules)
    }
    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes)
    }
}

struct World {
    partition: Partition,
    programs: One,
    codec: Codec,
    commands: String,
    now: Timestamp,
    changelog_end: i64,
    committed_end: i64,
    inbox_end: i64,
    started: u64,
    /// Answers of the worker.
    answers: Vec<CloudEvent>,
}

fn config() -> Config {
    Config {
        topics: Topics::default(),
        partitions: 1,
        event_partitions: 1,
        bounds: Bounds::default(),
        batch_records_max: 500,
        inbox_records_max: 10_000,
        flush_interval: Duration::from_secs(5),
        flush_rows_max: 1_000,
        tail: TailLimit::TAIL,
        restore_bytes_max: 256 << 20,
        unflushed: TailLimit::UNFLUSHED,
        trim_interval: Duration::from_secs(60),
        changelog_retention: Duration::from_secs(86_400),
        cache_bytes_max: 64 << 20,
        cache_idle: Duration::from_secs(60),
        stub_ttl: Duration::from_secs(7 * 86_400),
        history_retention: Some(Duration::from_secs(30 * 86_400)),
        timer_horizon: Duration::from_secs(60),
        timers_near_max: 20_000,
        timer_fires_per_second: 1_000,
        api_url: None,
        described: Described::Nothing,
    }
}

impl World {
    fn new() -> Self {
        let program = Arc::new(program(W1));
        let all = [&program];
        let programs = One {
            routes: Arc::new(Routes::new(all, all)),
            schedules: Arc::new(Schedules::new(all.into_iter(), all.into_iter())),
            program: Arc::clone(&program),
        };
        let codec = Codec::single_object();
        let owner = Owner { incarnation: "i".to_owned(), transactional_id: "t".to_owned() };
        let partition = Partition::new(PartitionIndex(0), Arc::new(config()), codec.clone(), owner);
        let mut world = Self {
            partition,
            programs,
            codec,
            commands: Topics::default().commands(""),
            now: Timestamp(1_800_000_000_000),
            changelog_end: 0,
            committed_end: 0,
            inbox_end: 0,
            started: 0,
            answers: Vec::new(),
        };
        world.input(Input::Acquired {
            checkpoint: None,
            changelog_start: Offset(0),
            changelog_end: Offset(0),
            internal_offset: None,
        });
        world
    }

    fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let moment = Moment { at: self.now, random: 7 };
            let outputs = self.partition.handle(input, moment, &self.programs);
            inputs.extend(outputs.into_iter().filter_map(|it| self.perform(it)));
        }
    }

    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::ReadChangelog { until, .. } => Some(Input::ChangelogRead { position: until }),
            Output::LoadSnapshots(ids) => {
                Some(Input::SnapshotsLoaded(ids.into_iter().map(|id| (id, Ok(None))).collect()))
            }
            Output::CatchUpDefinitions => Some(Input::DefinitionsCaughtUp),
            Output::Flush(request) => Some(Input::Flushed(request.id)),
            Output::LoadTimers(slice) => {
                let page = TimerPage { timers: Vec::new(), next: TimerCursor::Before(slice.until) };
                Some(Input::TimersLoaded { from: slice.from, page })
            }
            Output::Append(transaction) => {
                for record in transaction.records.iter().filter(|it| it.topic.starts_with(&self.commands)) {
                    let task = self.codec.decode_task(record.value.as_deref()?).expect("our own record");
                    let cause =
                        EventId { source: "/worker".to_owned(), id: task.idempotency_key.to_string() };
                    self.answers.push(complete_event(cause, &task.instance, task.token, json!({"done": 1})));
                }
                self.changelog_end += i64::try_from(transaction.changelog.len()).expect("few");
                Some(Input::Seal)
            }
            Output::Commit(last) => {
                self.changelog_end += i64::try_from(last.changelog.len()).expect("few");
                let changelog_offsets = (self.committed_end..self.changelog_end).map(Offset).collect();
                self.committed_end = self.changelog_end;
                Some(Input::Committed { transaction: last.id, changelog_offsets })
            }
            Output::Fail { detail } => unreachable!("nothing is wrong here: {detail}"),
            _ => None,
        }
    }

    fn give(&mut self, events: &[CloudEvent]) {
        let records = events.iter().map(|event| {
            let record = event.to_binary();
            let offset = Offset(self.inbox_end);
            self.inbox_end += 1;
            InboundRecord {
                source: Source::Events(0),
                offset,
                timestamp: self.now,
                key: record.key,
                headers: record.headers,
                value: record.value,
            }
        });
        let records = records.collect();
        self.input(Input::Records(records));
    }

    /// From their starts to their ends.
    fn run(&mut self) {
        let workflow = &self.programs.program.workflow.workflow;
        let starts = (self.started..self.started + INSTANCES).map(|number| {
            let id = InstanceId::new(format!("w1-{number}")).expect("short");
            let cause = EventId { source: "/load-tests/hot-paths".to_owned(), id: id.to_string() };
            start_event(cause, &id, workflow, None, input())
        });
        let starts: Vec<CloudEvent> = starts.collect();
        self.started += INSTANCES;
        self.give(&starts);
        while !self.answers.is_empty() {
            let answers = std::mem::take(&mut self.answers);
            self.give(&answers);
        }
        self.now = self.now.plus(Duration::from_millis(100));
    }
}

pub(super) fn w1() -> Run {
    let mut world = World::new();
    Box::new(move || world.run())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_dispatches_three_tasks() {
        let mut world = World::new();
        world.run();
        // A start and three answers each, and as many entries, besides those that tell positions.
        assert_eq!(world.inbox_end, 400);
        assert!(world.changelog_end >= 400);
    }
}
