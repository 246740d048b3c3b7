//! The event loop of one lane: its partitions, one transaction at a time, one mailbox. Every input of a partition comes through the
//! mailbox, in one order; nothing else touches the partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_engine::{Moment, Schedules};
use millrace_partition::{
    Config, InboundRecord, Input, Output, Owner, Partition, Programs as _, Source, TransactionId,
};
use millrace_placement::PartitionIndex;
use millrace_schemas::codec::Codec;
use millrace_schemas::instance::InstanceState;
use millrace_schemas::registry::Registry;
use millrace_schemas::schedule::ScheduleState;
use millrace_schemas::{InstanceId, Offset, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::backlog::Meter;
use crate::effects::Effects;
use crate::log::{CommitOutcome, Incarnation, Lane, Log, LogError, Share, backoff};
use crate::metrics::{Acquisition, Metrics, Shown};
use crate::processor::{Error, PartitionStatus, Shared, Waiting};
use crate::programs::{Catalog, CatchUp};
use crate::pulse::{Pulse, STANDSTILL_MAX};
use crate::spans::{Begun, Spans};
use crate::store::{OwnerRow, SnapshotStore};
use crate::topics::Told;

/// How often gauges are refreshed.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// A partition with work that has not moved for so long is worth a line in the log.
const STANDSTILL_EVERY: Duration = Duration::from_secs(10);

/// Most messages that are taken before timers and the producer get their turn.
const MESSAGES_AT_ONCE: usize = 256;

/// What comes into a lane.
#[derive(Debug)]
pub(crate) enum Message {
    /// A partition is ours.
    Acquire(Incarnation),
    /// Hand a partition over.
    Drain { incarnation: Incarnation, done: oneshot::Sender<()> },
    /// A partition is not ours any more.
    Lost(PartitionIndex),
    /// Records of a partition's sources.
    Records { incarnation: Incarnation, records: Vec<InboundRecord> },
    /// What came of an output.
    Input { incarnation: Incarnation, input: Input },
    /// An effect has failed for good; the incarnation must be made anew.
    Failed { incarnation: Incarnation, error: String },
    /// A partition cannot go on until an operator has acted.
    Stopped { incarnation: Incarnation, detail: String },
    /// Somebody wants to see an instance.
    Query {
        partition: PartitionIndex,
        instance: InstanceId,
        answer: oneshot::Sender<Option<Box<InstanceState>>>,
    },
    /// Somebody wants to see a schedule.
    QuerySchedule {
        partition: PartitionIndex,
        schedule: InstanceId,
        answer: oneshot::Sender<Option<Box<ScheduleState>>>,
    },
    /// The transaction has its outcome.
    Committed { shares: Vec<(Incarnation, TransactionId)>, outcome: CommitOutcome, began: Instant },
}

/// Everything that a lane works with.
pub(crate) struct LaneShell<L: Log, S> {
    pub(crate) config: Arc<Config>,
    pub(crate) log: L,
    pub(crate) store: S,
    pub(crate) codec: Codec,
    pub(crate) schemas: Option<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) catalog: Catalog,
    pub(crate) catch_up: CatchUp<L>,
    /// The topics of the users.
    pub(crate) topics: watch::Receiver<Told>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) mailbox: mpsc::Sender<Message>,
    /// Transactional ids of all lanes.
    pub(crate) own_ids: Arc<[String]>,
    pub(crate) spans: Spans,
    /// How long a transaction stays open for more.
    pub(crate) commit_linger: Duration,
}

/// A partition of this lane.
struct Owned {
    incarnation: Incarnation,
    partition: Partition,
    /// Until it serves.
    acquisition: Option<Acquisition>,
    backlog: Meter,
    drained: Option<oneshot::Sender<()>>,
    /// Of the records in the transaction that is on its way.
    spans: Vec<Begun>,
    /// The write of the last checkpoint.
    checkpoint: Option<JoinHandle<()>>,
    /// The end of its changelog, and since when it stands there.
    stands: (Offset, Instant),
}

/// A transaction that more may be added to.
#[derive(Debug)]
struct OpenTransaction {
    began: Instant,
    /// Whose parts are in it.
    incarnations: Vec<Incarnation>,
}

impl OpenTransaction {
    fn add(&mut self, parts: &[Share]) {
        for part in parts {
            if !self.incarnations.iter().any(|it| it.is_same(&part.incarnation)) {
                self.incarnations.push(part.incarnation.clone());
            }
        }
    }

    /// When it is to be committed: after the linger, or at once, if somebody `waits` for that or if it can only be aborted.
    fn due(&self, linger: Duration, waits: bool) -> Instant {
        let is_lost = self.incarnations.iter().any(|it| !it.is_alive());
        if waits || is_lost { self.began } else { self.began + linger }
    }
}

/// What the producer is asked for.
#[derive(Debug)]
enum Request {
    Append(Vec<Share>),
    /// With the last part of each share.
    Commit(Vec<Share>, Instant),
}

/// The state of a running lane.
struct Running<L: Log, S> {
    shell: LaneShell<L, S>,
    effects: Effects<L, S>,
    owned: BTreeMap<PartitionIndex, Owned>,
    /// Parts of the next transaction that the producer does not have yet.
    ready: Vec<Share>,
    /// The transaction that is not being committed yet.
    open: Option<OpenTransaction>,
    committer: mpsc::UnboundedSender<Request>,
    is_committing: bool,
    transactional_id: String,
    waiting: Waiting,
    /// Restores in a row that an operator must look at.
    failures: BTreeMap<PartitionIndex, u32>,
    /// The schedules that partitions have been told of.
    schedules: Arc<Schedules>,
}

impl<L: Log, S: SnapshotStore> LaneShell<L, S> {
    pub(crate) async fn run(self, lane: L::Lane, mut mailbox: mpsc::Receiver<Message>) -> Result<(), Error> {
        let transactional_id = lane.transactional_id().to_owned();
        let committer = spawn_committer(lane, self.mailbox.clone());
        let pulse = Pulse::new();
        let effects = Effects {
            own_ids: Arc::clone(&self.own_ids),
            pulse: pulse.clone(),
            log: self.log.clone(),
            store: self.store.clone(),
            codec: self.codec.clone(),
            schemas: self.schemas.clone(),
            metrics: self.metrics.clone(),
            catch_up: self.catch_up.clone(),
            topics: self.topics.clone(),
            mailbox: self.mailbox.clone(),
            config: Arc::clone(&self.config),
        };
        let mut running = Running {
            shell: self,
            effects,
            owned: BTreeMap::new(),
            ready: Vec::new(),
            open: None,
            committer,
            is_committing: false,
            transactional_id,
            waiting: Waiting::default(),
            failures: BTreeMap::new(),
            schedules: Arc::default(),
        };
        let mut shown = Instant::now();
        let mut topics = running.shell.topics.clone();
        loop {
            let deadline = running.next_deadline();
            let commit_at = running.commit_at();
            tokio::select! {
                biased; // One fixed order, so that what came first is handled first.
                message = mailbox.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    running.take(message)?;
                    // Whatever has come meanwhile belongs into the same transaction; but timers must get their turn.
                    for _ in 0..MESSAGES_AT_ONCE {
                        let Ok(message) = mailbox.try_recv() else { break };
                        running.take(message)?;
                    }
                }
                // The one who tells outlives the lanes, but for the end of the process.
                Ok(()) = topics.changed() => running.tell_topics()?,
                () = sleep_until(deadline), if deadline.is_some() => {}
                () = tokio::time::sleep_until(commit_at.unwrap_or_else(Instant::now).into()), if commit_at.is_some() => {}
                () = tokio::time::sleep(GAUGES_EVERY) => {}
            }
            if !pulse.beat() {
                let minutes = STANDSTILL_MAX.as_secs() / 60;
                return Err(Error::StoodStill { minutes });
            }
            running.tick()?;
            running.advance_transaction()?;
            if shown.elapsed() >= GAUGES_EVERY {
                running.show();
                running.notice_standstill();
                shown = Instant::now();
            }
        }
    }
}

/// Sleeps until a wall-clock time.
async fn sleep_until(deadline: Option<Timestamp>) {
    if let Some(deadline) = deadline {
        let ms = u64::try_from(deadline.0 - now().0).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn moment() -> Moment {
    Moment { at: now(), random: rand::random() }
}

/// The producer works beside the event loop, so that the next batch is prepared while this one commits.
fn spawn_committer<N: Lane>(mut lane: N, mailbox: mpsc::Sender<Message>) -> mpsc::UnboundedSender<Request> {
    // Bounded by what partitions may have open.
    let (sender, mut receiver) = mpsc::unbounded_channel::<Request>();
    tokio::spawn(async move {
        let mut attempt = 0_u32;
        while let Some(request) = receiver.recv().await {
            let (shares, began) = match request {
                Request::Append(parts) => {
                    lane.append(parts);
                    continue;
                }
                Request::Commit(shares, began) => (shares, began),
            };
            let ids = shares.iter().map(|it| (it.incarnation.clone(), it.transaction.id)).collect();
            let outcome = lane.commit(shares).await;
            match &outcome {
                CommitOutcome::Committed(_) => attempt = 0,
                // Tried again at once: mostly it was a rebalance, after which the lane itself waits for the group's new generation.
                CommitOutcome::Aborted(_) if attempt == 0 => attempt = 1,
                CommitOutcome::Aborted(_) | CommitOutcome::Unknown(_) => {
                    tokio::time::sleep(backoff(attempt)).await;
                    attempt += 1;
                }
            }
            if mailbox.send(Message::Committed { shares: ids, outcome, began }).await.is_err() {
                return;
            }
        }
    });
    sender
}

impl<L: Log, S: SnapshotStore> Running<L, S> {
    fn next_deadline(&self) -> Option<Timestamp> {
        self.owned.values().filter_map(|it| it.partition.next_deadline()).min()
    }

    fn take(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Acquire(incarnation) => {
                if incarnation.is_alive() {
                    self.acquire(incarnation)?;
                } else if !self.owned.contains_key(&incarnation.partition()) {
                    // Lost again since, or renewed: a restore for it would end at once, and the partition would stand still.
                    self.shell.shared.remove(incarnation.partition());
                }
                Ok(())
            }
            Message::Drain { incarnation, done } => {
                if let Some(owned) = self.owned.get_mut(&incarnation.partition())
                    && owned.incarnation.is_same(&incarnation)
                {
                    owned.drained = Some(done);
                }
                // Another incarnation is not meant, and has nothing to drain: `done` is dropped.
                self.handle(&incarnation, Input::Drain)
            }
            Message::Lost(partition) => {
                self.failures.remove(&partition);
                // The log kills before it tells. One that is alive was renewed after the partition had been lost and won back, both of
                // which the lane had yet to hear of.
                if self.owned.get(&partition).is_some_and(|it| !it.incarnation.is_alive()) {
                    self.drop_partition(partition);
                }
                Ok(())
            }
            Message::Records { incarnation, records } => self.handle(&incarnation, Input::Records(records)),
            Message::Input { incarnation, input } => self.handle(&incarnation, input),
            Message::Failed { incarnation, error } => {
                warn!(partition = incarnation.partition().0, error, "restoring the partition anew");
                self.shell.metrics.partitions.renewed("restore_failed");
                self.renew(&incarnation)
            }
            Message::Stopped { incarnation, detail } => {
                self.fail(&incarnation, detail);
                Ok(())
            }
            Message::Query { partition, instance, answer } => match self.owned.get(&partition) {
                Some(owned) => {
                    let incarnation = owned.incarnation.clone();
                    let query = self.waiting.add(partition, answer);
                    self.handle(&incarnation, Input::Query { query, instance })
                }
                None => Ok(()),
            },
            Message::QuerySchedule { partition, schedule, answer } => match self.owned.get(&partition) {
                Some(owned) => {
                    let incarnation = owned.incarnation.clone();
                    let query = self.waiting.add_schedule(partition, answer);
                    self.handle(&incarnation, Input::Query { query, instance: schedule })
                }
                None => Ok(()),
            },
            Message::Committed { shares, outcome, began } => self.committed(shares, outcome, began),
        }
    }

    fn acquire(&mut self, incarnation: Incarnation) -> Result<(), Error> {
        let index = incarnation.partition();
        let owner = Owner {
            incarnation: uuid::Uuid::now_v7().to_string(),
            transactional_id: self.transactional_id.clone(),
        };
        let partition =
            Partition::new(index, Arc::clone(&self.shell.config), self.shell.codec.clone(), owner);
        let has_failed = self.failures.contains_key(&index);
        self.shell.shared.update(PartitionStatus { has_failed, ..PartitionStatus::restoring(index) });
        self.shell.metrics.partitions.assigned(index.0, has_failed);
        self.effects.acquire(&incarnation);
        self.owned.insert(
            index,
            Owned {
                incarnation: incarnation.clone(),
                partition,
                acquisition: Some(Acquisition::begin()),
                backlog: Meter::default(),
                drained: None,
                spans: Vec::new(),
                checkpoint: None,
                stands: (Offset(0), Instant::now()),
            },
        );
        self.tell_topics_to(&incarnation)
    }

    fn tell_topics(&mut self) -> Result<(), Error> {
        let incarnations: Vec<Incarnation> = self.owned.values().map(|it| it.incarnation.clone()).collect();
        incarnations.iter().try_for_each(|it| self.tell_topics_to(it))
    }

    fn tell_topics_to(&mut self, incarnation: &Incarnation) -> Result<(), Error> {
        let told = self.shell.topics.borrow().clone();
        match told {
            Some(topics) => self.handle(incarnation, Input::Topics(topics.to_vec())),
            None => Ok(()),
        }
    }

    fn drop_partition(&mut self, partition: PartitionIndex) {
        if let Some(owned) = self.owned.remove(&partition) {
            owned.incarnation.kill();
            self.ready.retain(|it| !it.incarnation.is_same(&owned.incarnation));
            self.waiting.forget(partition);
            // Here, not where the news arrives: what the lane shows in between would bring it back.
            self.shell.shared.remove(partition);
            self.shell.metrics.forget_partition(partition.0);
        }
    }

    /// The incarnation is spoilt, but the partition may still be ours.
    fn renew(&mut self, incarnation: &Incarnation) -> Result<(), Error> {
        let partition = incarnation.partition();
        if !self.owned.get(&partition).is_some_and(|it| it.incarnation.is_same(incarnation)) {
            return Ok(());
        }
        self.drop_partition(partition);
        match self.shell.log.renew(partition) {
            Some(next) => self.acquire(next),
            None => Ok(()),
        }
    }

    /// Every input of a partition goes through here. Inputs for an incarnation that is gone are dropped.
    fn handle(&mut self, incarnation: &Incarnation, input: Input) -> Result<(), Error> {
        let Some(owned) = self.owned.get_mut(&incarnation.partition()) else { return Ok(()) };
        if !owned.incarnation.is_same(incarnation) {
            return Ok(());
        }
        if let (Input::Acquired { .. }, Some(acquisition)) = (&input, &mut owned.acquisition) {
            self.shell.metrics.partitions.passed(acquisition);
        }
        let outputs = owned.partition.handle(input, moment(), &self.shell.catalog);
        for output in outputs {
            self.perform(incarnation, output)?;
        }
        Ok(())
    }

    fn perform(&mut self, incarnation: &Incarnation, output: Output) -> Result<(), Error> {
        match output {
            Output::Append(mut transaction) => {
                if let Some(owned) = self.owned.get_mut(&incarnation.partition()) {
                    // The first transaction is the claim.
                    if let Some(acquisition) = &mut owned.acquisition {
                        self.shell.metrics.partitions.passed(acquisition);
                    }
                    owned.spans.extend(self.shell.spans.begin(&mut transaction));
                }
                self.ready.push(Share { incarnation: incarnation.clone(), transaction });
            }
            Output::Commit(transaction) => {
                self.ready.push(Share { incarnation: incarnation.clone(), transaction });
            }
            Output::Observe(observation) => {
                self.shell.metrics.observe(&observation, now());
                crate::observe::log(incarnation.partition(), &observation);
            }
            Output::Answer { query, state } => self.waiting.answer(query, state),
            Output::AnswerSchedule { query, state } => self.waiting.answer_schedule(query, state),
            Output::Ready => {
                if let Some(owned) = self.owned.get_mut(&incarnation.partition())
                    && let Some(acquisition) = owned.acquisition.take()
                {
                    let replayed = owned.partition.gauges().tail_entries;
                    let took = self.shell.metrics.partitions.acquired(acquisition, replayed);
                    info!(
                        partition = incarnation.partition().0,
                        took_ms = took.as_millis(),
                        "partition serves"
                    );
                }
                self.failures.remove(&incarnation.partition());
                self.show();
            }
            Output::Drained => {
                if let Some(owned) = self.owned.get_mut(&incarnation.partition())
                    && let Some(done) = owned.drained.take()
                {
                    let checkpoint = owned.checkpoint.take();
                    tokio::spawn(async move {
                        if let Some(checkpoint) = checkpoint {
                            // Not written is not lost: the next owner reads a longer tail.
                            let _ = checkpoint.await;
                        }
                        // The one who waits may have given up.
                        let _ = done.send(());
                    });
                }
            }
            Output::Fail { detail } => self.fail(incarnation, detail),
            Output::Pause => self.shell.log.pause(incarnation, &self.sources(incarnation)),
            Output::Resume => self.shell.log.resume(incarnation, &self.sources(incarnation)),
            Output::ReadChangelog { from, until, bytes_max } => {
                self.effects.read_changelog(incarnation, from, until, bytes_max);
            }
            Output::Follow(sources) => self.effects.follow(incarnation, sources),
            Output::Unfollow(sources) => self.effects.unfollow(incarnation, sources),
            Output::Locate(asked) => {
                asked.into_iter().for_each(|it| self.effects.locate(incarnation, it));
            }
            Output::LoadSnapshots(ids) => self.effects.load_snapshots(incarnation, ids),
            Output::CatchUpDefinitions => self.effects.catch_up_definitions(incarnation),
            Output::LoadSchema(id) => self.effects.load_schema(incarnation, id),
            Output::Flush(request) => self.effects.flush(incarnation, request),
            Output::SaveCheckpoint { stamp, value } => {
                let checkpoint = self.effects.save_checkpoint(incarnation, stamp, value);
                if let Some(owned) = self.owned.get_mut(&incarnation.partition()) {
                    owned.checkpoint = Some(checkpoint);
                }
            }
            Output::SaveOwner { stamp, api_url } => {
                let transactional_id = self.transactional_id.clone();
                self.effects.save_owner(incarnation, OwnerRow { stamp, transactional_id, api_url });
            }
            Output::ReadCheckpoint => self.effects.read_checkpoint(incarnation),
            Output::TrimChangelog { before, keep_since } => {
                self.effects.trim_changelog(incarnation, before, keep_since);
            }
            Output::LoadTimers(slice) => self.effects.load_timers(incarnation, slice),
            Output::DropTimers { from, until } => self.effects.drop_timers(incarnation, from, until),
        }
        Ok(())
    }

    /// What a partition reads, or may come to read.
    fn sources(&self, incarnation: &Incarnation) -> Vec<Source> {
        let owned = self.owned.get(&incarnation.partition());
        owned.map(|it| it.partition.positions().keys().cloned().collect()).unwrap_or_default()
    }

    /// A partition that cannot be restored stands still, and is tried again: its neighbours go on, and once an operator has acted it
    /// serves without a restart.
    fn fail(&mut self, incarnation: &Incarnation, detail: String) {
        let partition = incarnation.partition();
        error!(
            partition = partition.0,
            detail, "the partition cannot be restored, and stands still until somebody acts"
        );
        self.shell.metrics.partitions.renewed("cannot_restore");
        let attempt = self.failures.entry(partition).or_default();
        *attempt += 1;
        // Not the first back-offs: this does not pass by itself, unless a newer owner is about to show.
        self.effects.acquire_again(incarnation, detail, backoff(*attempt + 4));
    }

    /// When the open transaction is to be committed.
    fn commit_at(&self) -> Option<Instant> {
        let open = self.open.as_ref().filter(|_| !self.is_committing)?;
        // Claims, hand-overs, and partitions that have taken in all they may.
        let waits = self.owned.values().any(|it| it.partition.waits_for_commit());
        Some(open.due(self.shell.commit_linger, waits))
    }

    /// Hands over what is ready, and commits what has been open for long enough.
    fn advance_transaction(&mut self) -> Result<(), Error> {
        if self.is_committing {
            return Ok(());
        }
        if !self.ready.is_empty() {
            let parts = std::mem::take(&mut self.ready);
            let begin = || OpenTransaction { began: Instant::now(), incarnations: Vec::new() };
            self.open.get_or_insert_with(begin).add(&parts);
            self.ask(Request::Append(parts));
        }
        if self.commit_at().is_none_or(|it| it > Instant::now()) {
            return Ok(());
        }
        let Some(open) = self.open.take() else { return Ok(()) };
        for incarnation in &open.incarnations {
            self.handle(incarnation, Input::Seal)?;
        }
        let shares = std::mem::take(&mut self.ready);
        self.is_committing = true;
        self.ask(Request::Commit(shares, Instant::now()));
        Ok(())
    }

    fn ask(&self, request: Request) {
        assert!(self.committer.send(request).is_ok(), "the committer outlives the loop");
    }

    fn committed(
        &mut self,
        shares: Vec<(Incarnation, TransactionId)>,
        outcome: CommitOutcome,
        began: Instant,
    ) -> Result<(), Error> {
        self.is_committing = false;
        self.shell.metrics.transactions.ended(&outcome, began.elapsed());
        match outcome {
            CommitOutcome::Committed(offsets) => {
                debug!(partitions = ?shares.iter().map(|(it, _)| it.partition().0).collect::<Vec<_>>(), took_ms = began.elapsed().as_millis(), "committed");
                for ((incarnation, transaction), changelog_offsets) in shares.into_iter().zip(offsets) {
                    self.end_spans(&incarnation, true);
                    self.handle(&incarnation, Input::Committed { transaction, changelog_offsets })?;
                }
            }
            CommitOutcome::Aborted(reason) => {
                note(&reason, "transaction aborted; its records are handled again");
                for (incarnation, transaction) in shares {
                    // Those of the next try are others; these were never there.
                    self.take_spans(&incarnation);
                    if incarnation.is_alive() {
                        self.handle(&incarnation, Input::Aborted { transaction })?;
                    }
                }
            }
            CommitOutcome::Unknown(reason) => {
                note(
                    &reason,
                    "transaction with an unknown outcome; its partitions are restored from the log",
                );
                for (incarnation, _) in shares {
                    self.shell.metrics.partitions.renewed("commit_unknown");
                    self.end_spans(&incarnation, false);
                    self.renew(&incarnation)?;
                }
            }
        }
        Ok(())
    }

    fn take_spans(&mut self, incarnation: &Incarnation) -> Vec<Begun> {
        let owned = self.owned.get_mut(&incarnation.partition());
        let same = owned.filter(|it| it.incarnation.is_same(incarnation));
        same.map(|it| std::mem::take(&mut it.spans)).unwrap_or_default()
    }

    fn end_spans(&mut self, incarnation: &Incarnation, is_known: bool) {
        let begun = self.take_spans(incarnation);
        self.shell.spans.end(begun, is_known);
    }

    fn tick(&mut self) -> Result<(), Error> {
        let now = now();
        let schedules = self.shell.catalog.schedules();
        // Partitions that rest do not look at the definitions by themselves.
        let are_new = !Arc::ptr_eq(&schedules, &self.schedules);
        self.schedules = schedules;
        let due: Vec<Incarnation> = self
            .owned
            .values()
            .filter(|it| are_new || it.partition.next_deadline().is_some_and(|deadline| deadline <= now))
            .map(|it| it.incarnation.clone())
            .collect();
        for incarnation in due {
            self.handle(&incarnation, Input::Tick)?;
        }
        Ok(())
    }

    /// Says what is known about a partition that has work and does none. Whatever it waits for may be silent itself.
    fn notice_standstill(&mut self) {
        for (index, owned) in &mut self.owned {
            let gauges = owned.partition.gauges();
            let has_work = !gauges.is_active || gauges.inbox_records > 0;
            if !has_work || gauges.changelog_end != owned.stands.0 {
                owned.stands = (gauges.changelog_end, Instant::now());
            } else if owned.stands.1.elapsed() >= STANDSTILL_EVERY {
                owned.stands.1 = Instant::now();
                warn!(
                    partition = index.0,
                    is_active = gauges.is_active,
                    is_draining = owned.drained.is_some(),
                    is_alive = owned.incarnation.is_alive(),
                    lane_is_committing = self.is_committing,
                    lane_has_open = self.open.is_some(),
                    inbox_records = gauges.inbox_records,
                    instances_dirty = gauges.instances_dirty,
                    tail_entries = gauges.tail_entries,
                    changelog_end = gauges.changelog_end.0,
                    "the partition has stood still for {} s",
                    STANDSTILL_EVERY.as_secs()
                );
            }
        }
    }

    fn show(&mut self) {
        let now = now();
        for (index, owned) in &mut self.owned {
            let partition = &owned.partition;
            let gauges = partition.gauges();
            let has_failed = self.failures.contains_key(index);
            let backlog = gauges.is_active.then(|| {
                let waiting = partition.waiting().map(|it| (&it.source, it.timestamp));
                let end_of = |source: &Source| self.shell.log.end_of(source);
                owned.backlog.measure(partition.positions(), waiting, end_of, now)
            });
            self.shell.metrics.show(&Shown {
                partition: &index.0.to_string(),
                gauges: &gauges,
                backlog,
                tasks: &partition.open_tasks(now),
                has_failed,
                now,
            });
            self.shell.shared.update(PartitionStatus {
                partition: *index,
                is_active: gauges.is_active,
                has_failed,
                instances_dirty: gauges.instances_dirty,
                instances_cached: gauges.instances_cached,
                changelog_end: gauges.changelog_end,
                checkpoint_offset: gauges.checkpoint_offset,
                backlog,
            });
        }
        let member = &self.shell.metrics.member;
        let (owned, active, is_ready) = self.shell.shared.figures();
        member.partitions_owned.set(owned);
        member.partitions_active.set(active);
        member.ready.set(i64::from(is_ready));
    }
}

fn note(reason: &LogError, what: &str) {
    match reason {
        LogError::Fatal { .. } => error!(error = reason as &dyn std::error::Error, "{what}"),
        LogError::Retriable { .. } | LogError::HeldUp { .. } | LogError::Fenced { .. } => {
            warn!(error = reason as &dyn std::error::Error, "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What comes of its transactions.
    struct Scripted(VecDeque<CommitOutcome>);

    impl Lane for Scripted {
        fn transactional_id(&self) -> &str {
            "scripted"
        }

        fn append(&mut self, _: Vec<Share>) {}

        async fn commit(&mut self, _: Vec<Share>) -> CommitOutcome {
            self.0.pop_front().expect("no more is asked for")
        }
    }

    #[test]
    fn a_transaction_stays_open_for_more_unless_that_is_of_no_use() {
        let incarnations = [PartitionIndex(0), PartitionIndex(1)].map(Incarnation::new);
        let share = |it: &Incarnation| Share {
            incarnation: it.clone(),
            transaction: millrace_partition::Transaction {
                id: TransactionId(1),
                changelog: Vec::new(),
                records: Vec::new(),
                processed: Vec::new(),
                internal_offset: Offset(0),
            },
        };
        let (began, linger) = (Instant::now(), Duration::from_secs(1));
        let mut open = OpenTransaction { began, incarnations: Vec::new() };
        open.add(&[share(&incarnations[0]), share(&incarnations[1]), share(&incarnations[0])]);
        assert_eq!(open.incarnations.len(), 2);
        assert_eq!(open.due(linger, false), began + linger);
        assert_eq!(open.due(linger, true), began);
        incarnations[1].kill();
        assert_eq!(open.due(linger, false), began);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_refusal_costs_nothing_and_the_next_ones_more_and_more() {
        let committed = || CommitOutcome::Committed(Vec::new());
        let aborted = || CommitOutcome::Aborted(LogError::Fenced { doing: "committing".to_owned() });
        let unknown = || CommitOutcome::Unknown(LogError::Fenced { doing: "committing".to_owned() });
        let script = [
            (committed(), 0),
            (aborted(), 0),
            (aborted(), 100),
            (aborted(), 200),
            (committed(), 0),
            (aborted(), 0),
            (committed(), 0),
            (unknown(), 50),
            (unknown(), 100),
        ];
        let (outcomes, pauses): (VecDeque<_>, Vec<u64>) = script.into_iter().unzip();
        let (mailbox, mut ended) = mpsc::channel(1);
        let committer = spawn_committer(Scripted(outcomes), mailbox);
        for (place, pause) in pauses.into_iter().enumerate() {
            let begun = tokio::time::Instant::now();
            committer.send(Request::Append(Vec::new())).unwrap();
            committer.send(Request::Commit(Vec::new(), Instant::now())).unwrap();
            assert!(matches!(ended.recv().await, Some(Message::Committed { .. })), "{place}");
            assert_eq!(begun.elapsed().as_millis(), u128::from(pause), "{place}");
        }
    }
}
