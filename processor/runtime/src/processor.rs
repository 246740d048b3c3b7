//! A member of the fleet: joins the group, deals the partitions out to lanes, follows the definitions, ends in good order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_partition::{Config, Programs as _, QueryId};
use millrace_placement::{PartitionIndex, home, key_group};
use millrace_schemas::codec::Codec;
use millrace_schemas::definition::Definition;
use millrace_schemas::instance::InstanceState;
use millrace_schemas::registry::Registry;
use millrace_schemas::schedule::ScheduleState;
use millrace_schemas::{InstanceId, Offset, WorkflowVersion};
use millrace_traces::Tracer;
use millrace_workflow::program::Program;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backlog::Backlog;
use crate::lane::{LaneShell, Message};
use crate::log::{Lane as _, Log, LogError, LogEvent};
use crate::metrics::{MOVED_AWAY, MOVED_HERE, MOVED_LOST, Metrics};
use crate::programs::{Catalog, Definitions};
use crate::spans::{self, Spans};
use crate::store::SnapshotStore;
use crate::topics::TopicWatch;

/// How many messages may wait for a lane before the reading waits.
const MAILBOX: usize = 1024;

/// A member that the group gives nothing may hear nothing from it (KIP-848 has no callback for that): it is ready after this, as a spare.
const SPARE_AFTER: Duration = Duration::from_secs(10);

/// How long the last events of the log are awaited after it has left the group.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// How long a query waits for its partition, which may be restored meanwhile.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The pause before a partition is asked again that has gone while it was asked.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Settings of a processor.
#[derive(Clone, Debug)]
pub struct ProcessorConfig {
    /// Transactional producers, and so event loops, of this processor. A partition belongs to one lane.
    pub lanes: u32,
    /// How long a transaction stays open for more after its first record. Zero: it is committed as soon as the one before it has its
    /// outcome.
    pub commit_linger: Duration,
    /// Settings that all partitions share. The partition counts are set from the topics, and what is described by the tracer.
    pub partition: Config,
    /// Records the spans of records that are processed.
    pub tracer: Tracer,
}

/// Why a processor ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot go on.
    #[error("the log stopped")]
    Log(#[source] LogError),
    /// A part of it has ended.
    #[error("{0}")]
    Part(String),
    /// It was stopped for so long that it must not go on as if nothing had happened.
    #[error(
        "this process stood still for more than {minutes} minutes; others have its partitions now: start it again"
    )]
    StoodStill {
        /// How long is too long.
        minutes: u64,
    },
}

/// One member of the fleet.
#[derive(Debug)]
pub struct Processor<L, S> {
    config: ProcessorConfig,
    log: L,
    store: S,
    codec: Codec,
    schemas: Option<Registry>,
    metrics: Metrics,
    shared: Arc<Shared>,
}

/// What the outside may ask of a running processor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProcessorHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<SharedState>,
}

#[derive(Debug, Default)]
struct SharedState {
    partitions: u32,
    owned: BTreeMap<PartitionIndex, PartitionStatus>,
    lanes: Vec<mpsc::Sender<Message>>,
    catalog: Catalog,
    has_joined: bool,
}

/// One owned partition, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Which.
    pub partition: PartitionIndex,
    /// Restored and serving.
    pub is_active: bool,
    /// It cannot be restored; an operator must act. The log says why.
    pub has_failed: bool,
    /// Instances whose snapshot is behind.
    pub instances_dirty: usize,
    /// Instances in memory.
    pub instances_cached: usize,
    /// One past the last committed changelog record.
    pub changelog_end: Offset,
    /// Where a restore would begin.
    pub checkpoint_offset: Offset,
    /// What waits for it; not known before it serves.
    pub backlog: Option<Backlog>,
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Another member owns the instance's partition.
    #[error("partition {} is not owned by this processor; ask its owner", partition.0)]
    NotOwner {
        /// Which.
        partition: PartitionIndex,
    },
    /// The partition went away, or did not answer in time.
    #[error("partition {} did not answer: it is being restored or handed over; try again", partition.0)]
    NoAnswer {
        /// Which.
        partition: PartitionIndex,
    },
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, SharedState> {
        self.state.lock().expect("no holder panics")
    }

    pub(crate) fn update(&self, status: PartitionStatus) {
        self.lock().owned.insert(status.partition, status);
    }

    /// How many partitions are owned, how many of them are serving, of all lanes; and whether the processor is ready.
    pub(crate) fn figures(&self) -> (i64, i64, bool) {
        let state = self.lock();
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        let active = state.owned.values().filter(|it| it.is_active).count();
        (count(state.owned.len()), count(active), state.is_ready())
    }

    pub(crate) fn remove(&self, partition: PartitionIndex) {
        self.lock().owned.remove(&partition);
    }
}

impl ProcessorHandle {
    /// The committed state of an instance; none if it does not exist.
    ///
    /// # Errors
    /// When this processor does not own it, or cannot say now.
    pub async fn query(&self, instance: InstanceId) -> Result<Option<InstanceState>, QueryError> {
        self.ask(instance, |partition, instance, answer| Message::Query { partition, instance, answer }).await
    }

    /// The committed state of a schedule, by its id; none if it does not exist.
    ///
    /// # Errors
    /// When this processor does not own it, or cannot say now.
    pub async fn query_schedule(&self, schedule: InstanceId) -> Result<Option<ScheduleState>, QueryError> {
        let ask = |partition, schedule, answer| Message::QuerySchedule { partition, schedule, answer };
        self.ask(schedule, ask).await
    }

    async fn ask<T>(
        &self,
        key: InstanceId,
        message: impl Fn(PartitionIndex, InstanceId, oneshot::Sender<Option<Box<T>>>) -> Message,
    ) -> Result<Option<T>, QueryError> {
        let partition = home(key_group(key.as_str().as_bytes()), self.partition_count().max(1));
        let no_answer = || QueryError::NoAnswer { partition };
        let asking = async {
            loop {
                let lane = {
                    let state = self.shared.lock();
                    if !state.owned.contains_key(&partition) {
                        return Err(QueryError::NotOwner { partition });
                    }
                    state.lanes[partition.0 as usize % state.lanes.len()].clone()
                };
                let (answer, receiver) = oneshot::channel();
                lane.send(message(partition, key.clone(), answer)).await.map_err(|_| no_answer())?;
                match receiver.await {
                    Ok(state) => return Ok(state.map(|it| *it)),
                    // It has gone, and may be ours again.
                    Err(_) => tokio::time::sleep(ASK_AGAIN).await,
                }
            }
        };
        tokio::time::timeout(ANSWER_MAX, asking).await.unwrap_or_else(|_| Err(no_answer()))
    }

    /// The definition of a version, if this processor knows it.
    #[must_use]
    pub fn program(&self, version: &WorkflowVersion) -> Option<Arc<Program>> {
        let catalog = self.shared.lock().catalog.clone();
        catalog.version(version)
    }

    /// The definitions that are known here, as they were deployed, each with its program; in no order.
    #[must_use]
    pub fn definitions(&self) -> Vec<(Arc<Definition>, Arc<Program>)> {
        let catalog = self.shared.lock().catalog.clone();
        catalog.definitions()
    }

    /// The definition of a version as it was deployed, if this processor knows it.
    #[must_use]
    pub fn definition(&self, version: &WorkflowVersion) -> Option<Arc<Definition>> {
        let catalog = self.shared.lock().catalog.clone();
        catalog.definition(version)
    }

    /// How many partitions the fleet has.
    #[must_use]
    pub fn partition_count(&self) -> u32 {
        self.shared.lock().partitions
    }

    /// The schedules that there should be by the definitions that are known here, each with the version that it should follow.
    #[must_use]
    pub fn schedules(&self) -> Vec<(InstanceId, WorkflowVersion)> {
        let catalog = self.shared.lock().catalog.clone();
        catalog.schedules().iter().map(|(id, version)| (id.clone(), version.clone())).collect()
    }

    /// The partitions that this processor owns.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.shared.lock().owned.values().cloned().collect()
    }

    /// Whether the processor has joined its group and every partition that it owns is serving.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.lock().is_ready()
    }
}

impl SharedState {
    fn is_ready(&self) -> bool {
        self.has_joined && self.owned.values().all(|it| it.is_active)
    }
}

impl<L: Log, S: SnapshotStore> Processor<L, S> {
    /// A processor that has not joined yet. `metrics` are its own.
    pub fn new(
        mut config: ProcessorConfig,
        log: L,
        store: S,
        codec: Codec,
        schemas: Option<Registry>,
        metrics: Metrics,
    ) -> Self {
        config.lanes = config.lanes.clamp(1, log.partitions());
        config.partition.partitions = log.partitions();
        config.partition.event_partitions = log.event_partitions();
        config.partition.described = spans::described(&config.tracer);
        let shared = Arc::new(Shared::default());
        shared.lock().partitions = log.partitions();
        metrics.member.partitions.set(i64::from(log.partitions()));
        Self { config, log, store, codec, schemas, metrics, shared }
    }

    /// For queries and health checks.
    #[must_use]
    pub fn handle(&self) -> ProcessorHandle {
        ProcessorHandle { shared: Arc::clone(&self.shared) }
    }

    /// Runs until `shutdown`, then hands the partitions over in good order.
    ///
    /// # Errors
    /// When it cannot go on; the process should end and be started again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let (definitions, catalog, mut catch_up) = Definitions::new(
            self.log.clone(),
            self.codec.clone(),
            self.config.partition.topics.clone(),
            self.metrics.clone(),
        );
        self.shared.lock().catalog = catalog.clone();
        let (watch, topics) = TopicWatch::new(self.log.clone(), definitions.wanted());
        let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
        tasks.spawn(async move { definitions.run().await.map_err(Error::Log) });
        tokio::select! {
            () = catch_up.now() => {}
            ended = tasks.join_next() => return ended_early(ended),
            () = shutdown.cancelled() => return Ok(()),
        }
        info!(definitions = catalog.len(), "definitions loaded");
        // Not before: a topic that no definition names loses its positions some day.
        tasks.spawn(async move {
            watch.run().await;
            Ok(())
        });

        let partition_config = Arc::new(self.config.partition.clone());
        let mut lanes = Vec::new();
        for number in 0..self.config.lanes {
            lanes.push(self.log.lane(number).await.map_err(Error::Log)?);
        }
        let own_ids: Arc<[String]> = lanes.iter().map(|it| it.transactional_id().to_owned()).collect();
        for lane in lanes {
            let (sender, receiver) = mpsc::channel(MAILBOX);
            self.shared.lock().lanes.push(sender.clone());
            let shell = LaneShell {
                config: Arc::clone(&partition_config),
                log: self.log.clone(),
                store: self.store.clone(),
                codec: self.codec.clone(),
                schemas: self.schemas.clone(),
                metrics: self.metrics.clone(),
                catalog: catalog.clone(),
                catch_up: catch_up.clone(),
                topics: topics.clone(),
                shared: Arc::clone(&self.shared),
                mailbox: sender,
                own_ids: Arc::clone(&own_ids),
                spans: Spans::new(self.config.tracer.clone(), &self.config.partition),
                commit_linger: self.config.commit_linger,
            };
            tasks.spawn(async move { shell.run(lane, receiver).await });
        }
        let mut events = self.log.join().await.map_err(Error::Log)?;

        let mut spare = std::pin::pin!(tokio::time::sleep(SPARE_AFTER));
        let mut leaving = None;
        let mut handed_over = BTreeSet::new();
        loop {
            tokio::select! {
                biased; // One fixed order: the end first, then what came first.
                ended = tasks.join_next() => return ended_early(ended),
                () = shutdown.cancelled(), if leaving.is_none() => {
                    info!("shutting down: handing the partitions over");
                    let log = self.log.clone();
                    leaving = Some(tokio::spawn(async move {
                        log.leave().await;
                        tokio::time::sleep(LEAVE_MAX).await;
                    }));
                }
                _ = async { leaving.as_mut().expect("checked").await }, if leaving.is_some() => {
                    warn!("the log has left the group and does not end; ending all the same");
                    return Ok(());
                }
                () = &mut spare, if !spare.is_elapsed() => self.shared.lock().has_joined = true,
                event = events.recv() => match event {
                    Some(event) => self.dispatch(event, &mut handed_over).await?,
                    // The log has left the group.
                    None => return Ok(()),
                },
            }
        }
    }

    /// `handed_over`: partitions that were asked for back in good order, until they are gone.
    async fn dispatch(
        &self,
        event: LogEvent,
        handed_over: &mut BTreeSet<PartitionIndex>,
    ) -> Result<(), Error> {
        match event {
            LogEvent::Assigned(incarnations) => {
                self.metrics.member.moved(MOVED_HERE, incarnations.len());
                for incarnation in &incarnations {
                    info!(partition = incarnation.partition().0, "partition assigned");
                    handed_over.remove(&incarnation.partition());
                    self.shared.update(PartitionStatus::restoring(incarnation.partition()));
                }
                // Not before what has been assigned is known: it would be ready for a moment.
                self.shared.lock().has_joined = true;
                for incarnation in incarnations {
                    self.send(incarnation.partition(), Message::Acquire(incarnation)).await;
                }
            }
            LogEvent::Revoking { incarnations, done } => {
                let partitions: Vec<u32> = incarnations.iter().map(|it| it.partition().0).collect();
                info!(?partitions, "partitions revoked: draining");
                let mut drained = Vec::new();
                for incarnation in incarnations {
                    let (sender, receiver) = oneshot::channel();
                    let partition = incarnation.partition();
                    handed_over.insert(partition);
                    self.send(partition, Message::Drain { incarnation, done: sender }).await;
                    drained.push(receiver);
                }
                tokio::spawn(async move {
                    for receiver in drained {
                        // A partition that went away meanwhile has nothing left to drain.
                        let _ = receiver.await;
                    }
                    let _ = done.send(());
                });
            }
            LogEvent::Lost(partitions) => {
                for partition in partitions {
                    if handed_over.remove(&partition) {
                        self.metrics.member.moved(MOVED_AWAY, 1);
                        info!(partition = partition.0, "partition handed over");
                    } else {
                        self.metrics.member.moved(MOVED_LOST, 1);
                        warn!(partition = partition.0, "partition lost: another member may own it already");
                    }
                    self.send(partition, Message::Lost(partition)).await;
                }
            }
            LogEvent::Records { incarnation, records } => {
                self.send(incarnation.partition(), Message::Records { incarnation, records }).await;
            }
            LogEvent::Fatal(error) => return Err(Error::Log(error)),
        }
        Ok(())
    }

    async fn send(&self, partition: PartitionIndex, message: Message) {
        let lane = {
            let state = self.shared.lock();
            state.lanes[partition.0 as usize % state.lanes.len()].clone()
        };
        // A lane that has ended takes the processor with it; `run` sees that next.
        let _ = lane.send(message).await;
    }
}

impl PartitionStatus {
    pub(crate) fn restoring(partition: PartitionIndex) -> Self {
        Self {
            partition,
            is_active: false,
            has_failed: false,
            instances_dirty: 0,
            instances_cached: 0,
            changelog_end: Offset(0),
            checkpoint_offset: Offset(0),
            backlog: None,
        }
    }
}

fn ended_early(ended: Option<Result<Result<(), Error>, tokio::task::JoinError>>) -> Result<(), Error> {
    match ended {
        Some(Ok(Err(error))) => Err(error),
        Some(Err(panic)) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        Some(Ok(Ok(())) | Err(_)) | None => {
            Err(Error::Part("a part of the processor ended by itself".to_owned()))
        }
    }
}

/// Who waits for the answer to a query, and of which partition.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    next: u64,
    queries: BTreeMap<QueryId, Asker<InstanceState>>,
    schedules: BTreeMap<QueryId, Asker<ScheduleState>>,
}

type Asker<T> = (PartitionIndex, oneshot::Sender<Option<Box<T>>>);

/// Instances and schedules share their ids, so `next` is of both.
fn enter<T>(next: &mut u64, waiting: &mut BTreeMap<QueryId, Asker<T>>, asker: Asker<T>) -> QueryId {
    // Those who have stopped waiting.
    waiting.retain(|_, (_, answer)| !answer.is_closed());
    *next += 1;
    let id = QueryId(*next);
    waiting.insert(id, asker);
    id
}

impl Waiting {
    pub(crate) fn add(
        &mut self,
        partition: PartitionIndex,
        answer: oneshot::Sender<Option<Box<InstanceState>>>,
    ) -> QueryId {
        enter(&mut self.next, &mut self.queries, (partition, answer))
    }

    pub(crate) fn add_schedule(
        &mut self,
        partition: PartitionIndex,
        answer: oneshot::Sender<Option<Box<ScheduleState>>>,
    ) -> QueryId {
        enter(&mut self.next, &mut self.schedules, (partition, answer))
    }

    /// The partition has gone: whoever waits for it need not.
    pub(crate) fn forget(&mut self, partition: PartitionIndex) {
        self.queries.retain(|_, (of, _)| *of != partition);
        self.schedules.retain(|_, (of, _)| *of != partition);
    }

    pub(crate) fn answer_schedule(&mut self, query: QueryId, state: Option<Box<ScheduleState>>) {
        match self.schedules.remove(&query) {
            Some((_, answer)) => drop(answer.send(state)),
            // Asked for as an instance, which it is not.
            None => self.answer(query, None),
        }
    }

    pub(crate) fn answer(&mut self, query: QueryId, state: Option<Box<InstanceState>>) {
        if let Some((_, answer)) = self.queries.remove(&query) {
            // The one who asked may have gone.
            let _ = answer.send(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITION: PartitionIndex = PartitionIndex(0);

    /// A processor of one lane that owns the only partition; what its lane is asked.
    fn handle() -> (ProcessorHandle, mpsc::Receiver<Message>) {
        let (lane, asked) = mpsc::channel(8);
        let state = SharedState { partitions: 1, lanes: vec![lane], ..SharedState::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        shared.update(PartitionStatus::restoring(PARTITION));
        (ProcessorHandle { shared }, asked)
    }

    fn id() -> InstanceId {
        InstanceId::new("order-1").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_outlives_the_incarnation_that_it_was_for() {
        let (handle, mut asked) = handle();
        let lane = tokio::spawn(async move {
            drop(asked.recv().await);
            match asked.recv().await {
                Some(Message::Query { answer, .. }) => answer.send(None).unwrap(),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(handle.query(id()).await.map(|it| it.is_some()), Ok(false));
        lane.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_that_has_gone_is_asked_for_at_its_next_owner() {
        let (handle, mut asked) = handle();
        let shared = Arc::clone(&handle.shared);
        tokio::spawn(async move {
            let message = asked.recv().await;
            shared.remove(PARTITION);
            drop(message);
        });
        assert_eq!(handle.query(id()).await, Err(QueryError::NotOwner { partition: PARTITION }));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        for is_dropped in [false, true] {
            let (handle, mut asked) = handle();
            let lane = tokio::spawn(async move {
                let mut kept = Vec::new();
                while let Some(message) = asked.recv().await {
                    if !is_dropped {
                        kept.push(message);
                    }
                }
            });
            let begun = tokio::time::Instant::now();
            assert_eq!(handle.query(id()).await, Err(QueryError::NoAnswer { partition: PARTITION }));
            assert_eq!(begun.elapsed(), ANSWER_MAX);
            lane.abort();
        }
    }

    #[test]
    fn who_waits_for_a_partition_that_has_gone_hears_of_it() {
        let mut waiting = Waiting::default();
        let (answer, mut gone) = oneshot::channel();
        waiting.add(PARTITION, answer);
        let (answer, mut other) = oneshot::channel();
        waiting.add(PartitionIndex(1), answer);
        let (answer, mut schedule) = oneshot::channel();
        waiting.add_schedule(PARTITION, answer);
        waiting.forget(PARTITION);
        assert_eq!(gone.try_recv().map(|_| ()), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(other.try_recv().map(|_| ()), Err(oneshot::error::TryRecvError::Empty));
        assert_eq!(schedule.try_recv().map(|_| ()), Err(oneshot::error::TryRecvError::Closed));
    }
}
