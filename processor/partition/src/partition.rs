//! The state machine of one partition. `handle` takes one input, changes the state, and then lets everything advance that can.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_engine::{Moment, Routes, Schedules};
use millrace_placement::PartitionIndex;
use millrace_schemas::codec::Codec;
use millrace_schemas::{InstanceId, Offset, Stamp, Timestamp, WorkflowName, WorkflowVersion};
use millrace_workflow::program::Program;

use crate::batch::{Batch, Request};
use crate::by_id::Ids;
use crate::cache::Cache;
use crate::config::Config;
use crate::dirty::Dirty;
use crate::hot_keys::HotKeys;
use crate::inbox::Inbox;
use crate::input::{InboundRecord, Input, QueryId, Source};
use crate::newcomers::Newcomers;
use crate::open::Open;
use crate::open_tasks::{OpenTasks, TaskCounts};
use crate::output::Output;
use crate::quarantine::Quarantine;
use crate::records::Records;
use crate::restore::{Restore, Tail};
use crate::scheduling::Scheduling;
use crate::tail_meter::TailMeter;
use crate::timer_index::TimerCursor;
use crate::timers::Timers;
use crate::topics::Topics;
use crate::trimming::Trimming;
use crate::write_behind::WriteBehind;

/// The compiled programs that this processor knows.
pub trait Programs {
    /// One version.
    fn version(&self, version: &WorkflowVersion) -> Option<Arc<Program>>;
    /// The newest version.
    fn newest(&self, workflow: &WorkflowName) -> Option<Arc<Program>>;
    /// The schedules that there should be. The same `Arc` as long as nothing has changed.
    fn schedules(&self) -> Arc<Schedules>;
    /// Where events go that are addressed to nobody.
    fn routes(&self) -> Arc<Routes>;
}

/// Who this incarnation is, for its claim.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Unique.
    pub incarnation: String,
    /// Of the lane that commits for it.
    pub transactional_id: String,
}

/// One incarnation of one partition.
#[derive(Debug)]
pub struct Partition {
    pub(crate) index: PartitionIndex,
    pub(crate) config: Arc<Config>,
    pub(crate) codec: Codec,
    pub(crate) owner: Owner,
    pub(crate) records: Records,
    pub(crate) phase: Phase,
    pub(crate) era: u32,
    pub(crate) era_base: Offset,
    /// One past the last offset of the changelog that is known to be committed.
    pub(crate) changelog_end: Offset,
    /// Next offset to handle of each source; the truth is in the changelog.
    pub(crate) positions: BTreeMap<Source, Offset>,
    /// Of the users.
    pub(crate) topics: Topics,
    pub(crate) inbox: Inbox,
    pub(crate) batch: Option<Batch>,
    pub(crate) open: Option<Open>,
    pub(crate) transactions: u64,
    pub(crate) cache: Cache,
    pub(crate) dirty: Dirty,
    /// Entries of instances that have not been needed since the restore.
    pub(crate) tail: Tail,
    /// Instances whose log and code disagree, and why.
    pub(crate) quarantine: Quarantine,
    pub(crate) hot_keys: HotKeys,
    /// Of the last owner; loaded once.
    pub(crate) hot_keys_before: Vec<InstanceId>,
    pub(crate) timers: Timers,
    pub(crate) open_tasks: TaskCounts,
    pub(crate) scheduling: Scheduling,
    pub(crate) write_behind: WriteBehind,
    /// What lies above the checkpoint.
    pub(crate) tail_meter: TailMeter,
    pub(crate) trimming: Trimming,
    /// Ids that nobody has used yet.
    pub(crate) newcomers: Newcomers,
    /// Snapshots that were asked for.
    pub(crate) loading: BTreeSet<InstanceId>,
    /// All that is dirty is in memory, or set aside: none of it has to be looked for before a flush.
    pub(crate) dirty_in_memory: bool,
    /// How often the definitions are being read for batches.
    pub(crate) catching_up: u32,
    /// Keys that records needed and that were not in memory, since the last decision.
    pub(crate) misses: u64,
    pub(crate) queries: Vec<(QueryId, InstanceId)>,
    pub(crate) is_paused: bool,
}

/// What a partition is at.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Just made.
    New,
    /// Reading the changelog.
    Restoring(Box<Restore>),
    /// The claim is being committed.
    Claiming,
    /// Serving.
    Active,
    /// Asked to hand over: takes no more records, flushes what is dirty.
    Draining,
    /// Everything is flushed, or nothing can be done any more.
    Ended,
}

impl Partition {
    /// A new incarnation; `Input::Acquired` must come first.
    #[must_use]
    pub fn new(index: PartitionIndex, config: Arc<Config>, codec: Codec, owner: Owner) -> Self {
        let records = Records::new(&config, index, codec.clone());
        let timers = Timers::new(TimerCursor::Before(Timestamp(0)), &config);
        let cache = Cache::new(config.cache_idle);
        Self {
            index,
            config,
            codec,
            owner,
            records,
            phase: Phase::New,
            era: 1,
            era_base: Offset(0),
            changelog_end: Offset(0),
            positions: BTreeMap::new(),
            topics: Topics::default(),
            inbox: Inbox::default(),
            batch: None,
            open: None,
            transactions: 0,
            cache,
            dirty: Dirty::default(),
            tail: Tail::default(),
            quarantine: Quarantine::default(),
            hot_keys: HotKeys::default(),
            hot_keys_before: Vec::new(),
            timers,
            open_tasks: TaskCounts::default(),
            scheduling: Scheduling::default(),
            write_behind: WriteBehind::default(),
            tail_meter: TailMeter::default(),
            trimming: Trimming::default(),
            newcomers: Newcomers::begin(None, Timestamp(0)),
            loading: BTreeSet::new(),
            dirty_in_memory: true,
            catching_up: 0,
            misses: 0,
            queries: Vec::new(),
            is_paused: false,
        }
    }

    /// Takes one input and says what is to be done.
    pub fn handle(&mut self, input: Input, moment: Moment, programs: &impl Programs) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Acquired { checkpoint, changelog_start, changelog_end, internal_offset } => {
                self.acquire(
                    checkpoint,
                    (changelog_start, changelog_end),
                    internal_offset,
                    moment.at,
                    &mut out,
                );
            }
            Input::ChangelogRecords(records) => self.changelog_records(records, moment.at, &mut out),
            Input::ChangelogRead { position } => self.changelog_read(position),
            Input::Records(records) => self.take_in(records),
            Input::Topics(topics) => self.topics_named(topics, moment.at, &mut out),
            Input::Located(located) => self.located(located, &mut out),
            Input::SnapshotsLoaded(rows) => self.snapshots_loaded(rows, moment.at, programs, &mut out),
            Input::DefinitionsCaughtUp => self.definitions_caught_up(),
            Input::SchemaLoaded(id) => self.schema_loaded(id, moment.at, &mut out),
            Input::Committed { transaction, changelog_offsets } => {
                self.committed(transaction, &changelog_offsets, moment.at, &mut out);
            }
            Input::Aborted { transaction } => self.aborted(transaction, moment.at, &mut out),
            Input::Seal => self.seal(&mut out),
            Input::Flushed(id) => self.flushed(id, moment.at, &mut out),
            Input::TimersLoaded { from, page } => self.timers.loaded(&from, page),
            Input::CheckpointRead(checkpoint) => {
                self.checkpoint_read(checkpoint.as_ref(), moment.at, &mut out);
            }
            Input::Query { query, instance } => self.queries.push((query, instance)),
            Input::Tick => {}
            Input::Drain => self.drain(&mut out),
        }
        self.advance(moment, programs, &mut out);
        out
    }

    /// When `Input::Tick` is wanted, if nothing else happens before. None: not at all.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::New | Phase::Restoring(_) | Phase::Claiming | Phase::Ended => None,
            Phase::Active | Phase::Draining => {
                let others = [self.flush_deadline(), self.trimming.deadline(), self.cache.deadline()];
                // A timer that is due is proposed with the next batch, for which something else is awaited; or by the next owner.
                let takes_batch = matches!(self.phase, Phase::Active) && self.takes_batch();
                let timers = self.timers.next_deadline().filter(|_| takes_batch);
                timers.into_iter().chain(others.into_iter().flatten()).min()
            }
        }
    }

    /// Which partition.
    #[must_use]
    pub fn index(&self) -> PartitionIndex {
        self.index
    }

    /// The figures that gauges show.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            is_active: matches!(self.phase, Phase::Active),
            inbox_records: self.inbox.len(),
            instances_cached: self.cache.len(),
            cache_bytes: self.cache.bytes(),
            instances_dirty: self.dirty.len(),
            instances_quarantined: self.quarantine.len(),
            timers_near: self.timers.len(),
            timers_unindexed: self.timers.unindexed_len(),
            timer_pages: self.timers.pages(),
            timers_low_watermark: self.timers_low_watermark().due(),
            changelog_end: self.changelog_end,
            checkpoint_offset: self.write_behind.checkpoint_offset,
            checkpoint_at: self.write_behind.checkpoint_at,
            unwritten_since: self.dirty.oldest().into_iter().chain(self.write_behind.oldest()).min(),
            tail_entries: self.tail_meter.entries(),
            tail_bytes: self.tail_meter.bytes(),
        }
    }

    /// Tasks that are with workers, of those that were begun since the partition is served here.
    #[must_use]
    pub fn open_tasks(&self, now: Timestamp) -> Vec<OpenTasks> {
        self.open_tasks.all(now)
    }

    /// Records that were read and are not committed yet, the next one first.
    pub fn waiting(&self) -> impl Iterator<Item = &InboundRecord> {
        let open = self.open.iter().flat_map(|it| &it.records);
        open.chain(self.batch.iter().flat_map(|it| &it.records)).chain(self.inbox.records())
    }

    /// The sources and the next offset that will be handled of each; also of topics that are not read now.
    #[must_use]
    pub fn positions(&self) -> &BTreeMap<Source, Offset> {
        &self.positions
    }

    pub(crate) fn timers_low_watermark(&self) -> TimerCursor {
        let open = self.open.iter().flat_map(|it| &it.due);
        self.timers.low_watermark(open.chain(self.batch.iter().flat_map(|it| &it.due)))
    }

    pub(crate) fn stamp(&self, offset: Offset) -> Stamp {
        Stamp::new(self.era, self.era_base, offset)
    }

    /// Lets everything advance that can. The order matters little: whatever is not possible yet is tried again after the next input.
    fn advance(&mut self, moment: Moment, programs: &impl Programs, out: &mut Vec<Output>) {
        if let Phase::Restoring(_) = self.phase {
            self.advance_reading(moment.at, programs, out);
            self.finish_restore(moment, out);
            self.shrink(moment.at);
        }
        self.answer_queries(out);
        if matches!(self.phase, Phase::Active) {
            out.extend(self.timers.next_slice(moment.at).map(Output::LoadTimers));
            self.advance_schedules(programs, out);
            self.advance_topics(out);
            loop {
                self.start_batch(moment.at, out);
                self.read_ahead(moment.at, out);
                if !self.advance_batch(moment, programs, out) {
                    break;
                }
            }
        }
        if matches!(self.phase, Phase::Active | Phase::Draining) {
            self.advance_flush(moment.at, programs, out);
            self.advance_trimming(moment.at, out);
            self.throttle(out);
            self.shrink(moment.at);
        }
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Active => {
                // What was read but not handled is not committed either: the next owner reads it again.
                self.inbox.clear();
                if let Some(batch) = self.batch.take() {
                    // Nor are its timers: the low watermark of the last checkpoint must not pass them.
                    self.timers.put_back(batch.due);
                }
                self.phase = Phase::Draining;
            }
            // Nothing is dirty that this incarnation has made.
            Phase::New | Phase::Restoring(_) | Phase::Claiming | Phase::Ended => {
                self.phase = Phase::Ended;
                out.push(Output::Drained);
            }
            Phase::Draining => {}
        }
    }

    fn throttle(&mut self, out: &mut Vec<Output>) {
        if !self.is_paused && self.inbox.len() > self.config.inbox_records_max {
            self.is_paused = true;
            out.push(Output::Pause);
        } else if self.is_paused && self.inbox.len() < self.config.inbox_records_max / 2 {
            self.is_paused = false;
            out.push(Output::Resume);
        }
    }

    fn shrink(&mut self, now: Timestamp) {
        let Self { cache, open, batch, inbox, config, .. } = self;
        let is_needed = OnceCell::new(); // seldom has anything to go
        cache.shrink(config.cache_bytes_max, now, |id| {
            !is_needed.get_or_init(|| needed(open.as_ref(), batch.as_ref(), inbox)).contains(id)
        });
    }
}

/// What is needed in memory: by what is decided, by the batch after it, and by the next one.
pub(crate) fn needed<'p>(open: Option<&'p Open>, batch: Option<&'p Batch>, inbox: &'p Inbox) -> Ids<'p> {
    let requests = open.into_iter().flat_map(|it| &it.requests);
    let requests = requests.chain(batch.into_iter().flat_map(|it| &it.requests));
    requests.filter_map(Request::key).chain(inbox.keys_ahead()).collect()
}

/// Figures of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauges {
    /// Restored and serving.
    pub is_active: bool,
    /// Records read and not handled.
    pub inbox_records: usize,
    /// Instances in memory.
    pub instances_cached: usize,
    /// Their size, approximately.
    pub cache_bytes: usize,
    /// Instances whose snapshot is behind.
    pub instances_dirty: usize,
    /// Instances set aside.
    pub instances_quarantined: usize,
    /// Timers in memory.
    pub timers_near: usize,
    /// Timers that the index does not hold yet.
    pub timers_unindexed: usize,
    /// Pages of the timer index that this owner has read.
    pub timer_pages: u64,
    /// Every timer that was due before this has been proposed.
    pub timers_low_watermark: Timestamp,
    /// One past the last committed record.
    pub changelog_end: Offset,
    /// Where a restore would begin.
    pub checkpoint_offset: Offset,
    /// When the checkpoint was written; none if there is none yet.
    pub checkpoint_at: Option<Timestamp>,
    /// The oldest change that the store does not hold.
    pub unwritten_since: Option<Timestamp>,
    /// Entries that a restore would read.
    pub tail_entries: usize,
    /// Their bytes.
    pub tail_bytes: usize,
}
