//! The log of the runtime, over Kafka.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace_partition::{ChangelogRecord, Located, Source};
use millrace_placement::{PartitionIndex, TopicSpec, Topics};
use millrace_runtime::log::{Definition, HELD_UP_GRACE, Incarnation, Log, LogEnd, LogError, LogEvent};
use millrace_schemas::{Offset, Timestamp};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};

use crate::admin::Admin;
use crate::changelog::Read;
use crate::config::KafkaConfig;
use crate::context::Logging;
use crate::definitions;
use crate::ends::Ends;
use crate::error::{blocking, fatal, from_kafka, retriable};
use crate::follower::{self, FollowerHandle, Pending};
use crate::group::{Group, Membership};
use crate::lane::{KafkaLane, transactional_ids};
use crate::producer::TransactionalProducer;

/// Events on their way to the shell: each holds at most a batch of records.
const EVENTS_MAX: usize = 16;

/// Restores that read at a time. Each has a client with its own threads and connections.
const CHANGELOG_READERS_MAX: usize = 4;

/// How long brokers may be unable to tell a committed offset.
const STABLE_MAX: Duration = Duration::from_secs(180);

/// One request.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// The log of the runtime, over Kafka. Cheap to clone. Dropping all of it without [`Log::leave`] is noticed by the group when the
/// receiver of the events is dropped too.
#[derive(Clone)]
pub struct KafkaLog {
    inner: Arc<Inner>,
}

struct Inner {
    config: KafkaConfig,
    admin: Admin,
    /// For committed offsets; see [`KafkaConfig::offsets`].
    offsets: Arc<BaseConsumer<Logging>>,
    group: Arc<Group>,
    follower: FollowerHandle,
    ends: Ends,
    joining: Mutex<Joining>,
    changelog_readers: Arc<Semaphore>,
    partitions: u32,
    event_partitions: u32,
}

/// A log joins once.
enum Joining {
    Not(Pending),
    Is(Membership),
    Left,
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog")
            .field("bootstrap", &self.inner.config.bootstrap)
            .field("partitions", &self.inner.partitions)
            .field("event_partitions", &self.inner.event_partitions)
            .finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Connects, and checks that the topics are there. Does not join the group.
    ///
    /// # Errors
    /// When no broker answers, when topics are missing, or when `.changelog` has another number of partitions than `.internal`.
    pub async fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        let admin = Admin::new(&config)?;
        // Tells an unreachable cluster from a missing topic.
        admin.cluster().await?;
        let topics = &config.topics;
        let partitions = required(&admin, &topics.internal()).await?;
        let event_partitions = required(&admin, &topics.events()).await?;
        let changelog = required(&admin, &topics.changelog()).await?;
        if changelog != partitions {
            return Err(fatal(
                format!(
                    "use {} with {changelog} partitions and {} with {partitions}",
                    topics.changelog(),
                    topics.internal()
                ),
                "they must have the same number: create them anew, with another prefix if need be",
            ));
        }
        for topic in [topics.definitions(), topics.emitted(), topics.lifecycle(), topics.dead_letters()] {
            required(&admin, &topic).await?;
        }
        let offsets = config
            .offsets("read_committed")
            .create_with_context(Logging)
            .map_err(|error| from_kafka("create the reader of committed offsets", error))?;
        let (follower, pending) = FollowerHandle::new();
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                admin,
                offsets: Arc::new(offsets),
                group: Arc::new(Group::default()),
                follower,
                ends: Ends::default(),
                joining: Mutex::new(Joining::Not(pending)),
                changelog_readers: Arc::new(Semaphore::new(CHANGELOG_READERS_MAX)),
                partitions,
                event_partitions,
            }),
        })
    }

    fn topics(&self) -> &Topics {
        &self.inner.config.topics
    }

    fn place(&self, source: &Source) -> (String, i32) {
        match source {
            Source::Internal(partition) => (self.topics().internal(), *partition),
            Source::Events(partition) => (self.topics().events(), *partition),
            Source::Topic(topic, partition) => (topic.to_string(), *partition),
        }
    }

    /// Refuses positions beyond the end of a source, and says when records were deleted that nobody has read.
    async fn check_position(&self, source: &Source, offset: Offset) -> Result<(), LogError> {
        // Somebody else's may be deleted and made anew: its bounds were looked at, and are looked at again when it says so.
        if let Source::Topic(..) = source {
            return Ok(());
        }
        let (topic, partition) = self.place(source);
        let (start, end) = self.inner.admin.bounds(&topic, partition).await?;
        if offset < start {
            warn!(
                topic,
                partition,
                position = offset.0,
                start = start.0,
                "records were deleted by retention before they were read; going on with the oldest that is left"
            );
        }
        if offset > end {
            return Err(fatal(
                format!("read {topic}/{partition} from offset {}: it ends at {}", offset.0, end.0),
                "the topic was truncated or made anew: restore it, or use another prefix and keyspace",
            ));
        }
        Ok(())
    }
}

/// Partitions of a topic that must be there. A new topic is not known to all brokers at once.
async fn required(admin: &Admin, topic: &str) -> Result<u32, LogError> {
    for _ in 0..10 {
        if let Some(partitions) = admin.partitions(topic).await? {
            return Ok(partitions);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(fatal(format!("find the topic {topic}"), "create the topics with `millrace topics apply`"))
}

fn number(partition: PartitionIndex) -> i32 {
    i32::try_from(partition.0).expect("at most 4,096 partitions")
}

impl Log for KafkaLog {
    type Lane = KafkaLane;

    async fn join(&self) -> Result<mpsc::Receiver<LogEvent>, LogError> {
        let mut joining = self.inner.joining.lock().expect("no holder panics");
        let pending = match std::mem::replace(&mut *joining, Joining::Left) {
            Joining::Not(pending) => pending,
            other => {
                *joining = other;
                return Err(fatal("join the group a second time", "connect another log"));
            }
        };
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let config = &self.inner.config;
        follower::start(config, self.inner.partitions, pending, self.inner.ends.clone(), events.clone())?;
        let membership = Membership::join(config, &self.inner.group, self.inner.follower.clone(), events)?;
        *joining = Joining::Is(membership);
        Ok(receiver)
    }

    async fn leave(&self) {
        let membership = {
            let mut joining = self.inner.joining.lock().expect("no holder panics");
            match std::mem::replace(&mut *joining, Joining::Left) {
                Joining::Is(membership) => membership,
                Joining::Not(_) | Joining::Left => return,
            }
        };
        membership.leave().await;
    }

    fn renew(&self, partition: PartitionIndex) -> Option<Incarnation> {
        self.inner.follower.forget(vec![partition]);
        self.inner.group.renew(partition)
    }

    fn partitions(&self) -> u32 {
        self.inner.partitions
    }

    fn event_partitions(&self) -> u32 {
        self.inner.event_partitions
    }

    async fn follow(
        &self,
        incarnation: &Incarnation,
        sources: Vec<(Source, Offset)>,
    ) -> Result<(), LogError> {
        for (source, offset) in &sources {
            self.check_position(source, *offset).await?;
        }
        self.inner.follower.follow(incarnation.clone(), sources).await
    }

    fn unfollow(&self, incarnation: &Incarnation, sources: Vec<Source>) {
        self.inner.follower.unfollow(incarnation, sources);
    }

    async fn locate(&self, source: &Source, since: Option<Timestamp>) -> Result<Located, LogError> {
        let (topic, partition) = self.place(source);
        // In this order: what comes meanwhile is younger than the end, and not lost between the two.
        let since = match since {
            Some(since) => self.inner.admin.first_since(&topic, partition, since).await?,
            None => None,
        };
        let (start, end) = self.inner.admin.bounds(&topic, partition).await?;
        Ok(Located { source: source.clone(), start, end, since })
    }

    fn end_of(&self, source: &Source) -> Option<LogEnd> {
        let topics = self.topics();
        match source {
            Source::Internal(partition) => self.inner.ends.of(&topics.internal(), *partition),
            Source::Events(partition) => self.inner.ends.of(&topics.events(), *partition),
            Source::Topic(topic, partition) => self.inner.ends.of(topic, *partition),
        }
    }

    async fn topic_partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        self.inner.admin.partitions(topic).await
    }

    fn pause(&self, incarnation: &Incarnation, sources: &[Source]) {
        self.inner.follower.pause(incarnation, sources);
    }

    fn resume(&self, incarnation: &Incarnation, sources: &[Source]) {
        self.inner.follower.resume(incarnation, sources);
    }

    async fn stable_internal_offset(&self, partition: PartitionIndex) -> Result<Option<Offset>, LogError> {
        let offsets = Arc::clone(&self.inner.offsets);
        let (topic, partition) = (self.topics().internal(), number(partition));
        let unstable = self.inner.config.offsets("read_uncommitted");
        blocking(move || stable_offset(&offsets, &unstable, &topic, partition)).await
    }

    async fn changelog_bounds(&self, partition: PartitionIndex) -> Result<(Offset, Offset), LogError> {
        self.inner.admin.bounds(&self.topics().changelog(), number(partition)).await
    }

    async fn read_changelog(
        &self,
        partition: PartitionIndex,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        sink: mpsc::Sender<Vec<ChangelogRecord>>,
    ) -> Result<Offset, LogError> {
        let readers = Arc::clone(&self.inner.changelog_readers);
        let permit = readers.acquire_owned().await.expect("nobody closes the semaphore");
        let config = self.inner.config.changelog_reader();
        let topic = self.topics().changelog();
        let read = blocking(move || {
            let consumer = config
                .create_with_context(Logging)
                .map_err(|error| from_kafka("create a reader of the changelog", error))?;
            let read = Read { consumer, topic, partition: number(partition), from, until, bytes_max, sink };
            let result = read.run();
            let consumer = read.consumer;
            // Its threads take 100 ms to end, and nobody needs to wait for them.
            tokio::task::spawn_blocking(move || drop((consumer, permit)));
            result
        })
        .await;
        if matches!(read, Err(LogError::HeldUp { .. })) {
            let (_, end) = self.changelog_bounds(partition).await?;
            if end < until {
                return Err(fatal(
                    format!(
                        "read the changelog of partition {} to offset {}: it ends at {}",
                        partition.0, until.0, end.0
                    ),
                    "brokers have lost acknowledged records: restore the changelog, or the store, from a backup",
                ));
            }
        }
        read
    }

    async fn end_transaction_of(&self, transactional_id: &str) -> Result<(), LogError> {
        let [first, second] = transactional_ids(transactional_id);
        let end = async |id: String| {
            let config = self.inner.config.lane(&id);
            let topics = self.topics().clone();
            // It is of no more use once its id is initialised.
            blocking(move || TransactionalProducer::create(&config, &topics).map(drop))
                .await
                .map_err(|error| from_kafka(format!("end the open transaction of {id}"), error))
        };
        tokio::try_join!(end(first), end(second)).map(drop)
    }

    async fn trim_changelog(
        &self,
        partition: PartitionIndex,
        before: Offset,
        keep_since: Timestamp,
    ) -> Result<Offset, LogError> {
        let topic = self.topics().changelog();
        self.inner.admin.trim(&topic, number(partition), before, keep_since).await
    }

    async fn tail_definitions(&self) -> Result<mpsc::Receiver<Definition>, LogError> {
        definitions::tail(&self.inner.config)
    }

    async fn definitions_end(&self) -> Result<Offset, LogError> {
        let (_, end) = self.inner.admin.bounds(&self.topics().definitions(), definitions::PARTITION).await?;
        Ok(end)
    }

    async fn ensure_topics(&self, topics: Vec<TopicSpec>) -> Result<(), LogError> {
        self.inner.admin.apply(&topics).await.map(drop)
    }

    async fn record_bytes_max(&self) -> Result<usize, LogError> {
        let topics = self.topics();
        let mut written = self.inner.admin.topics(&topics.commands("")).await?;
        written.extend([
            topics.internal(),
            topics.changelog(),
            topics.emitted(),
            topics.lifecycle(),
            topics.dead_letters(),
        ]);
        let names: Vec<&str> = written.iter().map(String::as_str).collect();
        let smallest = self.inner.admin.record_bytes_max(&names).await?;
        Ok(smallest.expect("there are topics"))
    }

    async fn lane(&self, lane: u32) -> Result<KafkaLane, LogError> {
        KafkaLane::create(&self.inner.config, Arc::clone(&self.inner.group), lane).await
    }
}

/// F3: blocks until no transaction has a pending offset for the partition, but not for ever.
fn stable_offset(
    stable: &BaseConsumer<Logging>,
    unstable: &ClientConfig,
    topic: &str,
    partition: i32,
) -> Result<Option<Offset>, LogError> {
    let doing = || format!("read the committed offset of {topic}/{partition}");
    let began = Instant::now();
    let mut is_unstable = false;
    loop {
        let error = match committed_offset(stable, topic, partition, HELD_UP_GRACE / 2) {
            Ok(offset) => return Ok(offset),
            Err(error) => error,
        };
        if !is_passing(&error) {
            return Err(from_kafka(doing(), error));
        }
        if is_unstable {
            return Err(LogError::HeldUp {
                doing: doing(),
                by: "a transaction that commits this offset is open; the broker aborts it when its time is up, and if it stays, \
                     `kafka-transactions.sh list` shows it"
                    .to_owned(),
            });
        }
        if began.elapsed() >= STABLE_MAX {
            return Err(retriable(doing(), error));
        }
        debug!(partition, error = &error as &dyn std::error::Error, "the committed offset is not stable yet");
        // librdkafka does not say whether it waits for a transaction or for the coordinator. Who does not care for transactions gets
        // an answer only in the first case; then the second try above says that it is so still.
        is_unstable = unstable
            .create_with_context(Logging)
            .and_then(|it: BaseConsumer<Logging>| committed_offset(&it, topic, partition, REQUEST_MAX))
            .is_ok();
    }
}

fn committed_offset(
    consumer: &BaseConsumer<Logging>,
    topic: &str,
    partition: i32,
    wait_max: Duration,
) -> KafkaResult<Option<Offset>> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let list = consumer.committed_offsets(list, wait_max)?;
    let found = list.find_partition(topic, partition).expect("the answer names what was asked for");
    found.error()?;
    Ok(match found.offset() {
        rdkafka::Offset::Offset(offset) => Some(Offset(offset)),
        _ => None,
    })
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::UnstableOffsetCommit
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::WaitingForCoordinator
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
        )
    )
}
