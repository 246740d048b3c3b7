//! A small world for one partition: a log, a store and a clock in memory, driven by hand. It performs what the partition wants, at once or
//! when told to, and can lose the partition at any moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_engine::{Bounds, Instance, Moment, Routes, Schedules};
use millrace_partition::{
    ChangelogRecord, Config, Described, FlushRequest, InboundRecord, Input, Listing, Locate, Located,
    Observation, OutgoingRecord, Output, Owner, Partition, Programs, SnapshotRow, Source, TailLimit,
    TimerEntry, TimerSlice, Transaction,
};
use millrace_placement::{PartitionIndex, Topics, home, key_group};
use millrace_schemas::cloud_event::CloudEvent;
use millrace_schemas::codec::{self, Codec};
use millrace_schemas::instance::InstanceState;
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{InstanceId, Offset, Stamp, Timestamp, WorkflowName, WorkflowVersion};
use millrace_workflow::program::Program;

#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) programs: BTreeMap<WorkflowVersion, Arc<Program>>,
    routes: Arc<Routes>,
    schedules: Arc<Schedules>,
}

impl Catalog {
    fn insert(&mut self, program: Program) {
        self.programs.insert(program.workflow.clone(), Arc::new(program));
        let mut newest: BTreeMap<&WorkflowName, &Arc<Program>> = BTreeMap::new();
        newest.extend(self.programs.values().map(|it| (&it.workflow.workflow, it)));
        self.routes = Arc::new(Routes::new(self.programs.values(), newest.values().copied()));
        self.schedules = Arc::new(Schedules::new(self.programs.values(), newest.values().copied()));
    }
}

impl Programs for Catalog {
    fn version(&self, version: &WorkflowVersion) -> Option<Arc<Program>> {
        self.programs.get(version).cloned()
    }
    fn newest(&self, workflow: &WorkflowName) -> Option<Arc<Program>> {
        self.programs.values().rfind(|it| it.workflow.workflow == *workflow).cloned()
    }
    fn schedules(&self) -> Arc<Schedules> {
        Arc::clone(&self.schedules)
    }
    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes)
    }
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durable {
    pub(crate) changelog: Vec<ChangelogRecord>,
    pub(crate) events: Vec<InboundRecord>,
    pub(crate) internal: Vec<InboundRecord>,
    /// Partitions of the users' topics: what they begin with, and their records.
    pub(crate) topics: BTreeMap<Source, (i64, Vec<InboundRecord>)>,
    pub(crate) internal_offset: Option<Offset>,
    pub(crate) snapshots: BTreeMap<InstanceId, SnapshotRow>,
    /// Rows that nobody can read.
    pub(crate) damaged: std::collections::BTreeSet<InstanceId>,
    pub(crate) checkpoint: Option<(Stamp, Bytes)>,
    /// Nothing of the changelog may be read below this.
    pub(crate) changelog_start: Offset,
    pub(crate) timers: Vec<TimerEntry>,
    pub(crate) history: BTreeMap<(InstanceId, Stamp), Bytes>,
    /// Of the last history row of each instance.
    pub(crate) history_ttls: BTreeMap<InstanceId, Option<Duration>>,
    /// Records of other topics, as they were committed.
    pub(crate) out: Vec<OutgoingRecord>,
}

pub(crate) struct World {
    pub(crate) codec: Codec,
    pub(crate) config: Arc<Config>,
    pub(crate) catalog: Catalog,
    pub(crate) index: PartitionIndex,
    pub(crate) durable: Durable,
    pub(crate) now: Timestamp,
    pub(crate) partition: Option<Partition>,
    pub(crate) observed: Vec<Observation>,
    /// Transactions are kept here instead of being committed.
    pub(crate) holds_commits: bool,
    /// To questions about instances.
    pub(crate) answers: Vec<Option<Box<InstanceState>>>,
    pub(crate) held: Option<Transaction>,
    /// Transactions stay open for more.
    pub(crate) holds_seals: bool,
    /// Parts of a transaction that is not sealed yet.
    pub(crate) appended: Option<Transaction>,
    /// Flushes are kept here instead of being written.
    pub(crate) holds_flushes: bool,
    pub(crate) held_flush: Option<FlushRequest>,
    /// Rows of the list, in the order in which they were written.
    pub(crate) listings: Vec<Listing>,
    /// Pages of the timer index are kept from the partition.
    pub(crate) holds_timers: bool,
    pub(crate) held_slice: Option<TimerSlice>,
    /// How many entries each page held.
    pub(crate) pages: Vec<usize>,
    /// Hours of the timer index that are of no more use.
    pub(crate) dropped: Vec<(Timestamp, Timestamp)>,
    pub(crate) is_drained: bool,
    pub(crate) is_paused: bool,
    pub(crate) failure: Option<String>,
    /// Answers about topics are kept here instead of being given.
    pub(crate) holds_located: bool,
    pub(crate) located: Vec<Located>,
    pub(crate) reads: BTreeMap<Source, usize>,
    /// Rows that were asked for.
    pub(crate) loaded: Vec<InstanceId>,
    /// The definitions are read up to their end, and the partition is not told.
    pub(crate) holds_catch_ups: bool,
    pub(crate) held_catch_ups: u32,
    /// Rows are read, and kept from the partition.
    pub(crate) holds_loads: bool,
    pub(crate) held_rows: Vec<Input>,
    incarnations: u32,
    inputs: u64,
}

impl World {
    pub(crate) fn new(definitions: &[&str]) -> Self {
        Self::of(PartitionIndex(0), 1, definitions)
    }

    pub(crate) fn of(index: PartitionIndex, partitions: u32, definitions: &[&str]) -> Self {
        let config = Config {
            topics: Topics::default(),
            partitions,
            event_partitions: partitions,
            bounds: Bounds::default(),
            batch_records_max: 4,
            inbox_records_max: 100,
            flush_interval: Duration::from_secs(5),
            flush_rows_max: 3,
            tail: TailLimit { entries: 50, bytes: 1_000_000 },
            restore_bytes_max: 1_000,
            unflushed: TailLimit { entries: 100, bytes: 1_000_000 },
            trim_interval: Duration::from_secs(30),
            changelog_retention: Duration::ZERO,
            cache_bytes_max: 4_000,
            cache_idle: Duration::from_secs(60),
            stub_ttl: Duration::from_secs(7 * 86_400),
            history_retention: Some(Duration::from_secs(30 * 86_400)),
            timer_horizon: Duration::from_secs(600),
            timers_near_max: 100,
            timer_fires_per_second: 10_000,
            api_url: None,
            described: Described::Nothing,
        };
        let mut world = Self {
            codec: Codec::single_object(),
            config: Arc::new(config),
            catalog: Catalog::default(),
            index,
            durable: Durable::default(),
            now: Timestamp(1_800_000_000_000),
            partition: None,
            observed: Vec::new(),
            holds_commits: false,
            answers: Vec::new(),
            held: None,
            holds_seals: false,
            appended: None,
            holds_flushes: false,
            held_flush: None,
            listings: Vec::new(),
            holds_timers: false,
            held_slice: None,
            pages: Vec::new(),
            dropped: Vec::new(),
            is_drained: false,
            is_paused: false,
            failure: None,
            holds_located: false,
            located: Vec::new(),
            reads: BTreeMap::new(),
            loaded: Vec::new(),
            holds_loads: false,
            holds_catch_ups: false,
            held_catch_ups: 0,
            held_rows: Vec::new(),
            incarnations: 0,
            inputs: 0,
        };
        definitions.iter().for_each(|it| world.deploy(it));
        world
    }

    /// A definition becomes known to the processor.
    pub(crate) fn deploy(&mut self, text: &str) {
        let admitted =
            millrace_workflow::admission::admit("test.yaml", text).map_err(|it| format!("{it:?}")).unwrap();
        self.catalog.insert(admitted.program);
    }

    /// Says what the brokers say about topics.
    pub(crate) fn answer_located(&mut self) {
        for located in std::mem::take(&mut self.located) {
            self.input(Input::Located(located));
        }
    }

    /// A producer writes into a partition of a user's topic. It makes the topic if need be.
    pub(crate) fn produce_to(&mut self, topic: &str, partition: i32, key: Option<&str>, value: Option<&str>) {
        let source = Source::Topic(topic.into(), partition);
        let (start, log) = self.durable.topics.entry(source.clone()).or_default();
        let text = |it: &str| Bytes::copy_from_slice(it.as_bytes());
        log.push(InboundRecord {
            source,
            offset: Offset(*start + log.len() as i64),
            timestamp: self.now,
            key: key.map(text),
            headers: Vec::new(),
            value: value.map(text),
        });
    }

    /// Loses the partition, if there is one, with all that is in memory, and acquires it anew.
    pub(crate) fn restart(&mut self) {
        self.held = None;
        self.appended = None;
        self.held_flush = None;
        self.held_slice = None;
        self.reads.clear();
        self.is_drained = false;
        self.is_paused = false;
        self.incarnations += 1;
        let owner =
            Owner { incarnation: format!("n{}", self.incarnations), transactional_id: "t-0".to_owned() };
        self.partition =
            Some(Partition::new(self.index, Arc::clone(&self.config), self.codec.clone(), owner));
        let checkpoint: Option<Checkpoint> =
            self.durable.checkpoint.as_ref().map(|(_, value)| self.codec.decode_checkpoint(value).unwrap());
        self.input(Input::Acquired {
            checkpoint,
            changelog_start: self.durable.changelog_start,
            changelog_end: Offset(self.durable.changelog.len() as i64),
            internal_offset: self.durable.internal_offset,
        });
    }

    /// A producer writes an event.
    pub(crate) fn produce(&mut self, event: &CloudEvent) {
        let record = event.to_structured();
        self.produce_raw(record.key, record.headers, record.value);
    }

    pub(crate) fn produce_raw(
        &mut self,
        key: Option<Bytes>,
        headers: Vec<(String, Bytes)>,
        value: Option<Bytes>,
    ) {
        let offset = Offset(self.durable.events.len() as i64);
        let source = Source::Events(i32::try_from(self.index.0).unwrap());
        self.durable.events.push(InboundRecord { source, offset, timestamp: self.now, key, headers, value });
    }

    /// Another owner has written this into the partition of `.internal` that is ours.
    pub(crate) fn produce_internal(&mut self, record: OutgoingRecord) {
        let own = i32::try_from(self.index.0).unwrap();
        assert_eq!(record.partition, Some(own));
        self.durable.internal.push(InboundRecord {
            source: Source::Internal(own),
            offset: Offset(self.durable.internal.len() as i64),
            timestamp: self.now,
            key: record.key,
            headers: record.headers,
            value: record.value,
        });
    }

    /// Delivers whatever the partition follows and has not been given, and lets it work until nothing moves.
    pub(crate) fn settle(&mut self) {
        self.input(Input::Tick);
        loop {
            let mut fresh = Vec::new();
            for (source, next) in &mut self.reads {
                let log = match source {
                    Source::Events(_) => &self.durable.events,
                    Source::Internal(_) => &self.durable.internal,
                    Source::Topic(..) => {
                        let (start, log) = &self.durable.topics[source];
                        let end = start + log.len() as i64;
                        // As the reader does it: what is out of range goes on with the oldest.
                        let from = Some(*next as i64).filter(|it| (*start..=end).contains(it));
                        fresh.extend(log[(from.unwrap_or(*start) - start) as usize..].iter().cloned());
                        *next = end as usize;
                        continue;
                    }
                };
                fresh.extend(log[*next..].iter().cloned());
                *next = log.len();
            }
            if fresh.is_empty() {
                return;
            }
            self.input(Input::Records(fresh));
        }
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self.settle();
    }

    /// The answer to one of the questions for the definitions.
    pub(crate) fn caught_up(&mut self) -> Input {
        self.held_catch_ups -= 1;
        Input::DefinitionsCaughtUp
    }

    /// The lane commits what is open, if anything is.
    pub(crate) fn seal(&mut self) {
        if self.appended.is_some() {
            self.input(Input::Seal);
        }
    }

    pub(crate) fn commit_held(&mut self) {
        let transaction = self.held.take().expect("a transaction is held");
        self.commit(transaction);
    }

    pub(crate) fn abort_held(&mut self) {
        let transaction = self.held.take().expect("a transaction is held");
        self.input(Input::Aborted { transaction: transaction.id });
    }

    /// Commits what is held without telling the partition: the outcome got lost, with the owner.
    pub(crate) fn commit_held_silently(&mut self) {
        let transaction = self.held.take().expect("a transaction is held");
        self.write(&transaction);
    }

    pub(crate) fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(partition) = &mut self.partition else { return };
            // Another one each time, as in life: what is decided again is decided anew.
            self.inputs += 1;
            let moment = Moment { at: self.now, random: self.inputs };
            let outputs = partition.handle(input, moment, &self.catalog);
            for output in outputs {
                inputs.extend(self.perform(output));
            }
            if !self.holds_located {
                inputs.extend(std::mem::take(&mut self.located).into_iter().map(Input::Located));
            }
        }
    }

    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::ReadChangelog { from, until, bytes_max } => {
                assert!(from >= self.durable.changelog_start, "trimmed");
                let mut bytes = 0;
                let records: Vec<ChangelogRecord> = self.durable.changelog[from.0 as usize..until.0 as usize]
                    .iter()
                    .take_while(|it| {
                        let is_first = bytes == 0;
                        bytes += it.value.len();
                        is_first || bytes <= bytes_max
                    })
                    .cloned()
                    .collect();
                let position = records.last().map_or(until, |it| Offset(it.offset.0 + 1));
                self.input(Input::ChangelogRecords(records));
                Some(Input::ChangelogRead { position })
            }
            Output::Follow(sources) => {
                self.reads.extend(sources.into_iter().map(|(source, offset)| (source, offset.0 as usize)));
                None
            }
            Output::Unfollow(sources) => {
                self.reads.retain(|it, _| !sources.contains(it));
                None
            }
            Output::Locate(asked) => {
                for Locate { source, since } in asked {
                    let (start, log) = self.durable.topics.entry(source.clone()).or_default();
                    let end = Offset(*start + log.len() as i64);
                    let young = |it: &&InboundRecord| since.is_some_and(|since| it.timestamp >= since);
                    let since = log.iter().find(young).map(|it| it.offset);
                    self.located.push(Located { source, start: Offset(*start), end, since });
                }
                None
            }
            Output::LoadSnapshots(ids) => {
                self.loaded.extend(ids.iter().cloned());
                let row = |id: &InstanceId| match self.durable.damaged.contains(id) {
                    true => Err("its chunks are gone".to_owned()),
                    false => Ok(self.durable.snapshots.get(id).cloned()),
                };
                let rows = ids.into_iter().map(|id| (id.clone(), row(&id))).collect();
                let answer = Input::SnapshotsLoaded(rows);
                if self.holds_loads {
                    self.held_rows.push(answer);
                    return None;
                }
                Some(answer)
            }
            Output::CatchUpDefinitions => {
                self.held_catch_ups += 1;
                (!self.holds_catch_ups).then(|| self.caught_up())
            }
            Output::LoadSchema(id) => {
                self.codec.forget_as_unknown(id);
                Some(Input::SchemaLoaded(id))
            }
            Output::Append(part) => {
                self.append(part);
                (!self.holds_seals).then_some(Input::Seal)
            }
            Output::Commit(part) => {
                self.append(part);
                let transaction = self.appended.take().expect("appended just now");
                if self.holds_commits {
                    self.held = Some(transaction);
                    return None;
                }
                Some(self.write(&transaction))
            }
            Output::Flush(request) if self.holds_flushes => {
                self.held_flush = Some(request);
                None
            }
            Output::Flush(request) => Some(self.store(&request)),
            Output::SaveCheckpoint { stamp, value } => {
                if self.durable.checkpoint.as_ref().is_none_or(|(old, _)| *old <= stamp) {
                    self.durable.checkpoint = Some((stamp, value));
                }
                None
            }
            Output::ReadCheckpoint => {
                let row = self.durable.checkpoint.as_ref();
                Some(Input::CheckpointRead(
                    row.map(|(_, value)| self.codec.decode_checkpoint(value).unwrap()),
                ))
            }
            Output::TrimChangelog { before, .. } => {
                self.durable.changelog_start = before;
                None
            }
            Output::LoadTimers(slice) if self.holds_timers => {
                self.held_slice = Some(slice);
                None
            }
            Output::LoadTimers(slice) => Some(self.load_timers(slice)),
            Output::DropTimers { from, until } => {
                self.dropped.push((from, until));
                None
            }
            Output::Observe(observation) => {
                self.observed.push(observation);
                None
            }
            Output::Drained => {
                self.is_drained = true;
                None
            }
            Output::Fail { detail } => {
                self.failure = Some(detail);
                None
            }
            Output::Pause => {
                self.is_paused = true;
                None
            }
            Output::Resume => {
                self.is_paused = false;
                None
            }
            Output::Ready | Output::SaveOwner { .. } | Output::AnswerSchedule { .. } => None,
            Output::Answer { state, .. } => {
                self.answers.push(state);
                None
            }
        }
    }

    /// The first entries of a slice.
    pub(crate) fn load_timers(&mut self, slice: TimerSlice) -> Input {
        let timers: BTreeSet<&TimerEntry> =
            self.durable.timers.iter().filter(|it| slice.contains(it)).collect();
        let page = slice.page(timers.into_iter().cloned().collect(), true);
        self.pages.push(page.timers.len());
        Input::TimersLoaded { from: slice.from, page }
    }

    fn append(&mut self, part: Transaction) {
        match &mut self.appended {
            Some(open) => {
                assert_eq!(open.id, part.id, "one transaction at a time");
                open.changelog.extend(part.changelog);
                open.records.extend(part.records);
                open.processed.extend(part.processed);
                open.internal_offset = part.internal_offset;
            }
            None => self.appended = Some(part),
        }
    }

    fn commit(&mut self, transaction: Transaction) {
        let committed = self.write(&transaction);
        self.input(committed);
    }

    fn write(&mut self, transaction: &Transaction) -> Input {
        let mut changelog_offsets = Vec::new();
        for record in &transaction.changelog {
            let offset = Offset(self.durable.changelog.len() as i64);
            changelog_offsets.push(offset);
            let value = record.value.clone().unwrap();
            self.durable.changelog.push(ChangelogRecord { offset, key: record.key.clone(), value });
        }
        let own = i32::try_from(self.index.0).unwrap();
        for record in &transaction.records {
            if *record.topic == self.config.topics.internal() && record.partition == Some(own) {
                self.durable.internal.push(InboundRecord {
                    source: Source::Internal(own),
                    offset: Offset(self.durable.internal.len() as i64),
                    timestamp: self.now,
                    key: record.key.clone(),
                    headers: record.headers.clone(),
                    value: record.value.clone(),
                });
            } else if *record.topic == self.config.topics.events() {
                let offset = Offset(self.durable.events.len() as i64);
                self.durable.events.push(InboundRecord {
                    source: Source::Events(own),
                    offset,
                    timestamp: self.now,
                    key: record.key.clone(),
                    headers: record.headers.clone(),
                    value: record.value.clone(),
                });
            } else {
                self.durable.out.push(record.clone());
            }
        }
        self.durable.internal_offset = Some(transaction.internal_offset);
        Input::Committed { transaction: transaction.id, changelog_offsets }
    }

    pub(crate) fn store(&mut self, request: &FlushRequest) -> Input {
        for write in &request.snapshots {
            let row = SnapshotRow { stamp: write.stamp, value: write.value.clone() };
            let slot = self.durable.snapshots.entry(write.instance.clone()).or_insert_with(|| row.clone());
            if slot.stamp <= row.stamp {
                *slot = row;
            }
            self.listings.extend(write.listing.clone());
        }
        self.durable.timers.extend(request.timers.iter().map(|it| TimerEntry {
            due: it.due,
            instance: it.instance.clone(),
            timer: it.timer,
        }));
        for row in &request.history {
            self.durable.history.insert((row.instance.clone(), row.stamp), row.entry.clone());
            self.durable.history_ttls.insert(row.instance.clone(), row.ttl);
        }
        Input::Flushed(request.id)
    }

    /// How long the history of an instance is kept.
    pub(crate) fn history_ttl(&self, id: &str) -> Option<Duration> {
        self.durable.history_ttls[&InstanceId::new(id).unwrap()]
    }

    /// The state of every instance, folded from the changelog alone.
    pub(crate) fn folded(&self) -> BTreeMap<InstanceId, InstanceState> {
        let mut instances = BTreeMap::new();
        for record in &self.durable.changelog {
            let Some(key) = &record.key else { continue };
            let id = InstanceId::new(std::str::from_utf8(key).unwrap()).unwrap();
            let codec::ChangelogRecord::Entry(entry) = self.codec.decode_changelog(&record.value).unwrap()
            else {
                continue;
            };
            instances.entry(id.clone()).or_insert_with(|| Instance::absent(id)).apply_entry(&entry).unwrap();
        }
        instances.into_iter().map(|(id, it)| (id, it.state().unwrap().clone())).collect()
    }

    pub(crate) fn status(&self, id: &str) -> &'static str {
        self.folded().get(&InstanceId::new(id).unwrap()).map_or("absent", |it| it.status.name())
    }

    /// Tasks that were sent to workers, in order.
    pub(crate) fn tasks(&self) -> Vec<TaskCommand> {
        let commands = self.config.topics.commands("");
        self.durable
            .out
            .iter()
            .filter(|it| it.topic.starts_with(&commands))
            .map(|it| self.codec.decode_task(it.value.as_deref().unwrap()).unwrap())
            .collect()
    }

    /// Tasks of the transaction that is open.
    pub(crate) fn tasks_ahead(&self) -> Vec<TaskCommand> {
        let commands = self.config.topics.commands("");
        let records = self.appended.iter().flat_map(|it| &it.records);
        let tasks = records.filter(|it| it.topic.starts_with(&commands));
        tasks.map(|it| self.codec.decode_task(it.value.as_deref().unwrap()).unwrap()).collect()
    }

    /// Committed records of a topic.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<&OutgoingRecord> {
        self.durable.out.iter().filter(|it| *it.topic == *topic).collect()
    }
}

/// An id that lives on partition `index` of `partitions`.
pub(crate) fn id_at_home(index: u32, partitions: u32) -> InstanceId {
    (0..)
        .map(|n| InstanceId::new(format!("i{n}")).unwrap())
        .find(|id| home(key_group(id.as_str().as_bytes()), partitions) == PartitionIndex(index))
        .unwrap()
}
