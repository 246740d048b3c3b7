//! Reads the sources: `.internal` and `.events`, from explicit positions, in no group. It never commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use millrace_partition::{InboundRecord, Source};
use millrace_placement::PartitionIndex;
use millrace_runtime::log::{Incarnation, LogError, LogEvent};
use millrace_schemas::Offset;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Message, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use crate::config::KafkaConfig;
use crate::ends::{Ends, Learning};
use crate::error::{from_kafka, retriable};
use crate::record::{self, BATCH_BYTES_MAX, BATCH_RECORDS_MAX};

/// How often the ends of what is paused are asked for: no fetch tells them.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// One request of the preparation, or of a look.
const REQUEST_MAX: Duration = Duration::from_secs(2);

/// Tells the follower what to read. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FollowerHandle {
    commands: mpsc::UnboundedSender<Command>,
}

/// Waits to be started: commands are taken already.
pub(crate) struct Pending {
    commands: mpsc::UnboundedReceiver<Command>,
}

#[derive(Debug)]
enum Command {
    /// Sources are about to be followed.
    Prepare,
    Follow {
        incarnation: Incarnation,
        sources: Vec<(Source, Offset)>,
        done: oneshot::Sender<Result<(), LogError>>,
    },
    Unfollow(Incarnation, Vec<Source>),
    /// All sources that are followed for these.
    Forget(Vec<PartitionIndex>),
    Pause(Incarnation, Vec<Source>),
    Resume(Incarnation, Vec<Source>),
    Stop,
}

impl FollowerHandle {
    pub(crate) fn new() -> (Self, Pending) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { commands: sender }, Pending { commands: receiver })
    }

    /// To be said as early as possible: see [`prepare`].
    pub(crate) fn prepare(&self) {
        self.send(Command::Prepare);
    }

    pub(crate) async fn follow(
        &self,
        incarnation: Incarnation,
        sources: Vec<(Source, Offset)>,
    ) -> Result<(), LogError> {
        let (done, result) = oneshot::channel();
        self.send(Command::Follow { incarnation, sources, done });
        result.await.unwrap_or_else(|_| Err(retriable("follow sources", "the reader has stopped")))
    }

    pub(crate) fn unfollow(&self, incarnation: &Incarnation, sources: Vec<Source>) {
        self.send(Command::Unfollow(incarnation.clone(), sources));
    }

    pub(crate) fn forget(&self, partitions: Vec<PartitionIndex>) {
        self.send(Command::Forget(partitions));
    }

    pub(crate) fn pause(&self, incarnation: &Incarnation, sources: &[Source]) {
        self.send(Command::Pause(incarnation.clone(), sources.to_vec()));
    }

    pub(crate) fn resume(&self, incarnation: &Incarnation, sources: &[Source]) {
        self.send(Command::Resume(incarnation.clone(), sources.to_vec()));
    }

    pub(crate) fn stop(&self) {
        self.send(Command::Stop);
    }

    fn send(&self, command: Command) {
        // A reader that has stopped needs no orders.
        let _ = self.commands.send(command);
    }
}

/// Starts reading, on a thread of its own.
pub(crate) fn start(
    config: &KafkaConfig,
    partitions: u32,
    pending: Pending,
    ends: Ends,
    events: mpsc::Sender<LogEvent>,
) -> Result<(), LogError> {
    let (internal, topic) = (config.topics.internal(), config.topics.events());
    let config = config.follower();
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("follower".to_owned())
        .spawn(move || {
            // Its own runtime: the consumer blocks when it is assigned and dropped, and must not outlive a runtime it borrows.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime with nothing but a clock can be built");
            runtime.block_on(async move {
                match config.create_with_context(Learning(ends.clone())) {
                    Ok(consumer) => {
                        let _ = ready.send(Ok(()));
                        let follower = Follower {
                            consumer: Arc::new(consumer),
                            ends,
                            internal,
                            events: topic,
                            partitions,
                            topics: BTreeSet::new(),
                            followed: BTreeMap::new(),
                            paused: BTreeMap::new(),
                        };
                        follower.run(pending.commands, events).await;
                    }
                    Err(error) => {
                        let _ = ready.send(Err(from_kafka("create the reader of the sources", error)));
                    }
                }
            });
        })
        .map_err(|error| retriable("start the thread of the reader", error))?;
    is_ready.recv().unwrap_or_else(|error| Err(retriable("start the reader of the sources", error)))
}

struct Follower {
    consumer: Arc<StreamConsumer<Learning>>,
    ends: Ends,
    internal: String,
    events: String,
    /// How many `.internal` has.
    partitions: u32,
    /// Of the users: the names of sources.
    topics: BTreeSet<Arc<str>>,
    followed: BTreeMap<Source, Incarnation>,
    /// Also sources that are not followed yet: a pause may overtake the follow that it is meant for. By whom: a pause that comes after
    /// its incarnation has died must not stop the next one, which would never resume what it has not paused.
    paused: BTreeMap<Source, Incarnation>,
}

/// Records that were fetched, by partition. All of a partition's are for one incarnation: nothing else runs while they are taken.
type Batches = BTreeMap<PartitionIndex, (Incarnation, Vec<InboundRecord>)>;

impl Follower {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, events: mpsc::Sender<LogEvent>) {
        let consumer = Arc::clone(&self.consumer);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let batches = tokio::select! {
                biased; // An order comes before what it may make obsolete.
                command = commands.recv() => {
                    if self.obey(command.unwrap_or(Command::Stop)) {
                        continue;
                    }
                    return;
                }
                _ = looks.tick() => {
                    self.look();
                    continue;
                }
                first = consumer.recv() => self.batch(&consumer, first),
            };
            for (incarnation, records) in batches.into_values() {
                // While the shell is busy nothing more is fetched than librdkafka's queue holds, but orders are still taken.
                let permit = loop {
                    tokio::select! {
                        biased;
                        command = commands.recv() => {
                            if !self.obey(command.unwrap_or(Command::Stop)) {
                                return;
                            }
                        }
                        permit = events.reserve() => match permit {
                            Ok(permit) => break permit,
                            Err(_) => return,
                        },
                    }
                };
                if incarnation.is_alive() {
                    permit.send(LogEvent::Records { incarnation, records });
                }
            }
        }
    }

    /// The first message and whatever has been fetched besides, without waiting.
    fn batch(&self, consumer: &StreamConsumer<Learning>, first: KafkaResult<BorrowedMessage<'_>>) -> Batches {
        let mut batches = Batches::new();
        let (mut records, mut bytes) = (0, 0);
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Ok(message) => {
                    records += 1;
                    bytes += record::size(&message);
                    self.sort(&message, &mut batches);
                }
                // Brokers come and go; librdkafka tries again by itself.
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "the reader of the sources goes on")
                }
            }
            let is_full = records >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX;
            next = if is_full { None } else { consumer.recv().now_or_never() };
        }
        batches
    }

    fn sort(&self, message: &BorrowedMessage<'_>, batches: &mut Batches) {
        let (topic, partition) = (message.topic(), message.partition());
        let source = if topic == self.internal {
            Source::Internal(partition)
        } else if topic == self.events {
            Source::Events(partition)
        } else if let Some(topic) = self.topics.get(topic) {
            Source::Topic(Arc::clone(topic), partition)
        } else {
            return;
        };
        let Some(incarnation) = self.followed.get(&source).filter(|it| it.is_alive()) else { return };
        let batch =
            batches.entry(incarnation.partition()).or_insert_with(|| (incarnation.clone(), Vec::new()));
        batch.1.push(InboundRecord {
            source,
            offset: Offset(message.offset()),
            timestamp: record::timestamp(message),
            key: record::key(message),
            headers: record::headers(message),
            value: record::value(message),
        });
    }

    /// Asks for the ends of what is paused, beside the reading.
    fn look(&self) {
        let is_paused =
            |(it, by): &(&Source, &Incarnation)| self.paused.get(*it).is_some_and(|it| it.is_same(by));
        let paused: Vec<(String, i32)> = self
            .followed
            .iter()
            .filter(is_paused)
            .map(|(source, _)| self.place(source))
            .map(|(topic, partition)| (topic.to_owned(), partition))
            .collect();
        if paused.is_empty() {
            return;
        }
        let (consumer, ends) = (Arc::clone(&self.consumer), self.ends.clone());
        tokio::task::spawn_blocking(move || {
            for (topic, partition) in paused {
                match consumer.fetch_watermarks(&topic, partition, REQUEST_MAX) {
                    Ok((_, end)) => ends.moved(&topic, partition, Offset(end)),
                    Err(error) => {
                        return debug!(
                            error = &error as &dyn std::error::Error,
                            "the ends of paused sources are not known"
                        );
                    }
                }
            }
        });
    }

    /// False if it is to stop.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Prepare => {
                let (consumer, topics) =
                    (Arc::clone(&self.consumer), [self.internal.clone(), self.events.clone()]);
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = prepare(&consumer, &topics) {
                        debug!(
                            error = &error as &dyn std::error::Error,
                            "the reader of the sources is not prepared"
                        );
                    }
                });
            }
            Command::Follow { incarnation, sources, done } => {
                let _ = done.send(self.follow(&incarnation, &sources));
            }
            Command::Unfollow(incarnation, sources) => {
                self.unassign(&self.current(&incarnation, &sources));
                self.paused.retain(|it, by| !(sources.contains(it) && by.is_same(&incarnation)));
            }
            Command::Forget(partitions) => {
                let is_theirs = |it: &Incarnation| partitions.contains(&it.partition());
                let sources: Vec<Source> =
                    self.followed.iter().filter(|(_, it)| is_theirs(it)).map(|it| it.0.clone()).collect();
                self.unassign(&sources);
                // A pause that no follow has come for must not stop the next incarnation.
                let count = self.partitions;
                self.paused.retain(|it, _| !partitions.contains(&owner(it, count)));
            }
            Command::Pause(incarnation, sources) => {
                let current = self.current(&incarnation, &sources);
                self.paused.extend(sources.into_iter().map(|it| (it, incarnation.clone())));
                self.note(self.consumer.pause(&self.list(&current)), "pause");
            }
            Command::Resume(incarnation, sources) => {
                let current = self.current(&incarnation, &sources);
                self.paused.retain(|it, by| !(sources.contains(it) && by.is_same(&incarnation)));
                self.note(self.consumer.resume(&self.list(&current)), "resume");
            }
            Command::Stop => return false,
        }
        true
    }

    fn follow(&mut self, incarnation: &Incarnation, sources: &[(Source, Offset)]) -> Result<(), LogError> {
        let doing = || format!("follow the sources of partition {}", incarnation.partition().0);
        if !incarnation.is_alive() {
            return Err(LogError::Fenced {
                doing: format!("following the sources of partition {}", incarnation.partition().0),
            });
        }
        let names: Vec<Source> = sources.iter().map(|it| it.0.clone()).collect();
        // The removal raises a barrier in librdkafka: what was fetched at the old position does not come any more.
        self.unassign(&names);
        let mut list = TopicPartitionList::new();
        for (source, offset) in sources {
            let (topic, partition) = self.place(source);
            list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset.0))
                .map_err(|error| from_kafka(doing(), error))?;
        }
        self.consumer.incremental_assign(&list).map_err(|error| from_kafka(doing(), error))?;
        for source in &names {
            if let Source::Topic(topic, _) = source {
                self.topics.insert(Arc::clone(topic));
            }
            self.followed.insert(source.clone(), incarnation.clone());
        }
        let is_paused = |it: &Source| self.paused.get(it).is_some_and(|by| by.is_same(incarnation));
        let paused: Vec<Source> = names.into_iter().filter(is_paused).collect();
        self.note(self.consumer.pause(&self.list(&paused)), "pause");
        Ok(())
    }

    fn unassign(&mut self, sources: &[Source]) {
        let followed: Vec<Source> =
            sources.iter().filter(|it| self.followed.remove(*it).is_some()).cloned().collect();
        if !followed.is_empty() {
            let list = self.list(&followed);
            // librdkafka keeps a partition paused beyond its removal, and would read nothing for whoever follows it next.
            self.note(self.consumer.resume(&list), "resume");
            self.note(self.consumer.incremental_unassign(&list), "stop reading");
        }
    }

    fn note(&self, result: KafkaResult<()>, what: &str) {
        if let Err(error) = result {
            warn!(error = &error as &dyn std::error::Error, "cannot {what} sources");
        }
    }

    /// Those of the sources that are followed for this incarnation.
    fn current(&self, incarnation: &Incarnation, sources: &[Source]) -> Vec<Source> {
        let is_its = |it: &&Source| self.followed.get(it).is_some_and(|by| by.is_same(incarnation));
        sources.iter().filter(is_its).cloned().collect()
    }

    fn list(&self, sources: &[Source]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for source in sources {
            let (topic, partition) = self.place(source);
            list.add_partition(topic, partition);
        }
        list
    }

    fn place<'s>(&'s self, source: &'s Source) -> (&'s str, i32) {
        match source {
            Source::Internal(partition) => (&self.internal, *partition),
            Source::Events(partition) => (&self.events, *partition),
            Source::Topic(topic, partition) => (topic, *partition),
        }
    }
}

/// Finds the leaders of the topics and connects to them. A partition of a topic that librdkafka has not met is assigned without one, and
/// it looks for the leaders of such partitions only once a second: half of what a hand-over took.
fn prepare(consumer: &StreamConsumer<Learning>, topics: &[String]) -> KafkaResult<()> {
    let mut leaders = BTreeSet::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), REQUEST_MAX)?;
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            if leaders.insert(partition.leader()) {
                consumer.fetch_watermarks(topic, partition.id(), REQUEST_MAX)?;
            }
        }
    }
    Ok(())
}

/// Whose source it is: public partitions belong to the index that they are congruent to.
fn owner(source: &Source, partitions: u32) -> PartitionIndex {
    let (Source::Internal(number) | Source::Events(number) | Source::Topic(_, number)) = source;
    PartitionIndex(u32::try_from(*number).expect("Kafka numbers partitions from 0") % partitions)
}
