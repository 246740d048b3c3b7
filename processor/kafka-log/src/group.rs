//! The member of the consumer group: which partitions are ours, and the right to commit for them (state protocol 2.2).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use millrace_placement::PartitionIndex;
use millrace_runtime::log::{Incarnation, LogError, LogEvent};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use crate::config::{GroupProtocol, KafkaConfig};
use crate::context;
use crate::error::{from_kafka, retriable};
use crate::follower::FollowerHandle;

/// How long an order to leave may go unnoticed.
const POLL: Duration = Duration::from_millis(20);

/// librdkafka joins at most once in so long, unless metadata have come since. A member that has nothing to give up when another joins waits for that
/// before it joins the second time, and the partitions that move wait for it (classic protocol; `rkcg_join_intvl` of librdkafka 2.12, which
/// `rd_kafka_parse_Metadata` resets).
const JOIN_INTERVAL: Duration = Duration::from_secs(1);

/// How often metadata are asked for while a join may be held back.
const HASTEN_EVERY: Duration = Duration::from_millis(50);

/// How long an answer is waited for, and callbacks with it. It has its effect all the same.
const METADATA_MAX: Duration = Duration::from_millis(20);

/// How long a revocation waits for the partitions to be drained.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// The membership, as lanes and the log see it.
#[derive(Default)]
pub(crate) struct Group {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    metadata: Option<Arc<ConsumerGroupMetadata>>,
    assigned: BTreeMap<PartitionIndex, Incarnation>,
    /// The last callback.
    rebalanced: Option<Instant>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// What fences a transaction (F1). None outside of a generation.
    ///
    /// An incarnation that is alive after this was called must have been ours, without a break, up to the moment at which the
    /// metadata was taken: otherwise a partition that was lost and won back would commit its old state (F2). So it is taken on the
    /// group's thread only, where the callbacks run that kill incarnations. And it must be metadata that the broker checks, which
    /// it does not do for the offsets of a transaction that carries neither a generation (-1) nor a member (empty).
    ///
    /// **Classic:** in the rebalance callbacks only, while the assignment is not lost. Every new generation comes with a callback, be it
    /// with no partitions; between two of them librdkafka may forget member and generation one by one while it is rebalancing,
    /// without calling the assignment lost, so nothing is taken there. Metadata of a generation that has ended is refused.
    ///
    /// **KIP-848:** also after every poll, for the epoch moves without a callback whenever the group does, and brokers before
    /// Kafka 4.3 (KIP-1251) refuse every epoch but the last. It is safe because the epoch never runs ahead of the callbacks: the
    /// broker leaves a member at its epoch until the member says that it has given up what it must, which librdkafka does after the
    /// callback; and a member that was thrown out keeps its dead epoch, or epoch 0, until its partitions have been revoked as lost,
    /// again by a callback. Then it joins anew. The epoch is never -1 once it was known, and the member's id is its own
    /// (`rd_kafka_cgrp_consumer_reset`, `rd_kafka_cgrp_consumer_serve` and `…_rejoin` of librdkafka 2.12).
    pub(crate) fn metadata(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.state().metadata.clone()
    }

    /// A new incarnation, if the partition is assigned.
    pub(crate) fn renew(&self, partition: PartitionIndex) -> Option<Incarnation> {
        let mut state = self.state();
        let incarnation = state.assigned.get_mut(&partition)?;
        incarnation.kill();
        *incarnation = Incarnation::new(partition);
        Some(incarnation.clone())
    }

    fn capture(&self, consumer: &BaseConsumer<GroupContext>) {
        let metadata = consumer.group_metadata();
        // In this order: librdkafka marks the assignment as lost in the step in which it forgets the generation (classic), or before
        // it joins anew (KIP-848), and takes the mark away only when a callback has unassigned the partitions.
        let is_lost = consumer.assignment_lost();
        self.state().metadata = metadata.filter(|_| !is_lost).map(Arc::new);
    }

    /// Nothing is ours any more. After a fatal error librdkafka leaves without calling back.
    fn end(&self) {
        let mut state = self.state();
        state.metadata = None;
        std::mem::take(&mut state.assigned).values().for_each(Incarnation::kill);
    }

    /// Whether the next join may be held back by librdkafka.
    fn may_be_held_back(&self) -> bool {
        self.state().rebalanced.is_some_and(|it| it.elapsed() < JOIN_INTERVAL)
    }

    fn forget_metadata(&self) {
        self.state().metadata = None;
    }

    fn assign(&self, partitions: &[PartitionIndex]) -> Vec<Incarnation> {
        let mut state = self.state();
        let mut incarnations = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let incarnation = Incarnation::new(*partition);
            if let Some(old) = state.assigned.insert(*partition, incarnation.clone()) {
                old.kill();
            }
            incarnations.push(incarnation);
        }
        incarnations
    }

    /// Those that are alive of these partitions.
    fn assigned(&self, partitions: &[PartitionIndex]) -> Vec<Incarnation> {
        let state = self.state();
        partitions.iter().filter_map(|it| state.assigned.get(it).cloned()).collect()
    }

    fn kill(&self, partitions: &[PartitionIndex]) {
        let mut state = self.state();
        for partition in partitions {
            if let Some(incarnation) = state.assigned.remove(partition) {
                incarnation.kill();
            }
        }
    }
}

/// The rebalance callbacks. They run on the group's thread, within `poll`; rdkafka itself assigns and unassigns between the two.
struct GroupContext {
    group: Arc<Group>,
    follower: FollowerHandle,
    events: mpsc::Sender<LogEvent>,
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::debug_error(&error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.group.state().rebalanced = Some(Instant::now());
        match rebalance {
            Rebalance::Assign(_) => self.group.capture(consumer),
            Rebalance::Revoke(partitions) => self.revoke(consumer, &indexes(partitions)),
            Rebalance::Error(error) => warn!(error = error as &dyn std::error::Error, "rebalance failed"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(assigned) = rebalance else { return };
        let partitions = indexes(assigned);
        if partitions.is_empty() {
            // There is nothing to take, but the group has been joined.
            return self.send(LogEvent::Assigned(Vec::new()));
        }
        if let Err(error) = consumer.pause(assigned) {
            // What is read then is dropped; it is only wasteful.
            warn!(
                error = &error as &dyn std::error::Error,
                "cannot pause the partitions of the group's consumer"
            );
        }
        self.follower.prepare();
        let incarnations = self.group.assign(&partitions);
        info!(?partitions, "partitions assigned by the group");
        self.send(LogEvent::Assigned(incarnations));
    }
}

impl GroupContext {
    /// What the shell sees: `Revoking`, unless they are lost already, and in any case `Lost` when the incarnations are dead.
    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &[PartitionIndex]) {
        if partitions.is_empty() {
            return;
        }
        if consumer.assignment_lost() {
            warn!(?partitions, "partitions lost: the group has thrown this member out");
            self.group.forget_metadata();
        } else {
            // The group is in a new generation already, and what is drained commits in it.
            self.group.capture(consumer);
            info!(?partitions, "partitions revoked by the group");
            self.drain(consumer, partitions);
        }
        self.group.kill(partitions);
        self.follower.forget(partitions.to_vec());
        self.send(LogEvent::Lost(partitions.to_vec()));
    }

    fn drain(&self, consumer: &BaseConsumer<Self>, partitions: &[PartitionIndex]) {
        let (done, mut drained) = oneshot::channel();
        self.send(LogEvent::Revoking { incarnations: self.group.assigned(partitions), done });
        let deadline = Instant::now() + DRAIN_MAX;
        while let Err(oneshot::error::TryRecvError::Empty) = drained.try_recv() {
            if consumer.assignment_lost() || Instant::now() >= deadline {
                warn!(
                    ?partitions,
                    "partitions were not drained in time; their next owner reads more of the changelog"
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn send(&self, event: LogEvent) {
        // Nobody listens any more: the member is about to leave.
        let _ = self.events.blocking_send(event);
    }
}

fn indexes(partitions: &TopicPartitionList) -> Vec<PartitionIndex> {
    let index = |it: i32| PartitionIndex(u32::try_from(it).expect("Kafka numbers partitions from 0"));
    let mut indexes: Vec<PartitionIndex> =
        partitions.elements().iter().map(|it| index(it.partition())).collect();
    indexes.sort();
    indexes
}

/// The group's thread, from outside.
pub(crate) struct Membership {
    stop: Arc<AtomicBool>,
    ended: oneshot::Receiver<()>,
}

impl Membership {
    /// Joins, on a thread of its own. Events end when the thread does.
    pub(crate) fn join(
        config: &KafkaConfig,
        group: &Arc<Group>,
        follower: FollowerHandle,
        events: mpsc::Sender<LogEvent>,
    ) -> Result<Self, LogError> {
        let doing = || format!("join the group {}", config.topics.group());
        let context =
            GroupContext { group: Arc::clone(group), follower: follower.clone(), events: events.clone() };
        let consumer: BaseConsumer<GroupContext> =
            config.member().create_with_context(context).map_err(|error| from_kafka(doing(), error))?;
        let topic = config.topics.internal();
        consumer.subscribe(&[&topic]).map_err(|error| from_kafka(doing(), error))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel();
        let is_stopping = Arc::clone(&stop);
        let (ended_group, protocol) = (Arc::clone(group), config.group_protocol);
        std::thread::Builder::new()
            .name("group".to_owned())
            .spawn(move || {
                serve(&consumer, &topic, &is_stopping, &events, protocol);
                // Leaves in good order: what is assigned is revoked first, with all callbacks.
                drop(consumer);
                ended_group.end();
                follower.stop();
                let _ = end.send(());
            })
            .map_err(|error| retriable("start the thread of the group", error))?;
        Ok(Self { stop, ended })
    }

    /// Leaves, and waits until it has happened.
    pub(crate) async fn leave(self) {
        self.stop.store(true, Ordering::SeqCst);
        // An error says that the thread has ended, too.
        let _ = self.ended.await;
    }
}

fn serve(
    consumer: &BaseConsumer<GroupContext>,
    topic: &str,
    stop: &AtomicBool,
    events: &mpsc::Sender<LogEvent>,
    protocol: GroupProtocol,
) {
    let mut hastened = Instant::now();
    while !stop.load(Ordering::SeqCst) && !events.is_closed() {
        match consumer.poll(POLL) {
            // A record came before its partition was paused; the follower reads it.
            None | Some(Ok(_)) => {}
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                error!(error = &error as &dyn std::error::Error, "the group's consumer cannot go on");
                let fatal = LogError::Fatal {
                    doing: "stay in the group".to_owned(),
                    fix: "see the error, and start the processor again".to_owned(),
                    source: Some(Box::new(error)),
                };
                let _ = events.blocking_send(LogEvent::Fatal(fatal));
                return;
            }
            Some(Err(error)) => {
                debug!(error = &error as &dyn std::error::Error, "the group's consumer goes on");
            }
        }
        match protocol {
            GroupProtocol::Classic { .. } => {
                if hastened.elapsed() >= HASTEN_EVERY && consumer.context().group.may_be_held_back() {
                    // If this fails, it takes as long as it would have.
                    let _ = consumer.fetch_metadata(Some(topic), METADATA_MAX);
                    hastened = Instant::now();
                }
            }
            GroupProtocol::Consumer => consumer.context().group.capture(consumer),
        }
    }
}
