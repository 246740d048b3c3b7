//! A lane: two transactional producers in turn, each on a thread of its own, for its calls block.
//!
//! **Why two.** When a commit returns, the broker still writes the markers of the transaction, and until it has, it refuses the
//! next one of the same producer, for which librdkafka then waits 20 ms. Another producer need not wait. The lane still has one transaction
//! at a time: the next begins when the outcome of this one is known, so what a partition writes is in one order, and of the offsets
//! that two transactions have pending for a partition, that of the later one stands, whichever markers come first (the
//! coordinator keeps what was appended last). Whoever asks for stable offsets waits for both.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millrace_placement::{PartitionIndex, Topics};
use millrace_runtime::log::{CommitOutcome, Incarnation, Lane, LogError, Share, backoff};
use millrace_schemas::Offset;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::config::KafkaConfig;
use crate::error::{from_kafka, retriable};
use crate::group::Group;
use crate::marking::{Written, mark};
use crate::producer::TransactionalProducer;

/// How long the commit of a transaction may take. More than `transaction.timeout.ms`, at which the broker ends it, and than what a lane needs that gives
/// up by itself: `message.timeout.ms` and the making of a new producer. Two threads that make one at the same time fence each other.
///
/// librdkafka's `send_offsets_to_transaction` ignores its time-out and may block for ever when the coordinator dies in between (its
/// issue 5456; seen when brokers are killed); the member would go on to heartbeat, and its partitions would stand still.
const COMMIT_MAX: Duration = Duration::from_secs(15);

/// How long a lane whose metadata was refused waits for newer ones before it tries again all the same.
const METADATA_WAIT: Duration = Duration::from_secs(1);

/// Until an idle lane tries again to mark what was aborted.
const MARKING_PAUSE: Duration = Duration::from_secs(1);

/// The lane of [`crate::KafkaLog`]. Its threads end when it is dropped.
#[derive(Debug)]
pub struct KafkaLane {
    transactional_id: String,
    sides: [Side; 2],
    /// Whose turn it is.
    turn: usize,
    /// Those that have parts in the transaction that is open.
    incarnations: Vec<Incarnation>,
}

/// One of the producers.
#[derive(Debug)]
struct Side {
    worker: Arc<Worker>,
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
enum Request {
    Append(Vec<Share>),
    /// With the last part of each share.
    Commit(Vec<Share>, oneshot::Sender<CommitOutcome>),
}

impl KafkaLane {
    /// Makes the producers; earlier ones of the same lane are fenced.
    pub(crate) async fn create(config: &KafkaConfig, group: Arc<Group>, lane: u32) -> Result<Self, LogError> {
        let transactional_id = config.transactional_id(lane);
        let [first, second] = transactional_ids(&transactional_id);
        let (name, fencings) = (format!("lane-{lane}"), Arc::new(AtomicU64::new(0)));
        let (first, second) = tokio::try_join!(
            Side::create(config, Arc::clone(&group), Arc::clone(&fencings), name.clone(), first),
            Side::create(config, group, fencings, name + "-b", second),
        )?;
        Ok(Self { transactional_id, sides: [first, second], turn: 0, incarnations: Vec::new() })
    }
}

/// Those of both producers of a lane, by the id of the lane.
pub(crate) fn transactional_ids(lane: &str) -> [String; 2] {
    [lane.to_owned(), format!("{lane}-b")]
}

impl Side {
    async fn create(
        config: &KafkaConfig,
        group: Arc<Group>,
        fencings: Arc<AtomicU64>,
        name: String,
        transactional_id: String,
    ) -> Result<Self, LogError> {
        let worker = Arc::new(Worker {
            name,
            config: config.lane(&transactional_id),
            topics: config.topics.clone(),
            transactional_id,
            group,
            fencings,
            unmarked: Mutex::default(),
        });
        let doing = format!("create the transactional producer {}", worker.transactional_id);
        let (ready, is_ready) = oneshot::channel();
        let requests =
            Worker::start(&worker, Some(ready)).map_err(|error| retriable(doing.clone(), error))?;
        match is_ready.await {
            Ok(Ok(())) => Ok(Self { worker, requests }),
            Ok(Err(error)) => Err(from_kafka(doing, error)),
            Err(error) => Err(retriable(doing, error)),
        }
    }

    /// Leaves a thread that does not come back to itself: when it does, its incarnations are dead and its producer is fenced.
    fn replace_worker(&mut self) -> std::io::Result<()> {
        self.requests = Worker::start(&self.worker, None)?;
        Ok(())
    }
}

impl Lane for KafkaLane {
    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    fn append(&mut self, parts: Vec<Share>) {
        self.incarnations.extend(parts.iter().map(|it| it.incarnation.clone()));
        // A thread that has ended is told of by the commit.
        let _ = self.sides[self.turn].requests.send(Request::Append(parts));
    }

    async fn commit(&mut self, shares: Vec<Share>) -> CommitOutcome {
        let incarnations = std::mem::take(&mut self.incarnations);
        let outcome = self.sides[self.turn].commit(shares, incarnations).await;
        // What has failed is tried again by the same one: it knows what the broker did not want.
        if matches!(outcome, CommitOutcome::Committed(_)) {
            self.turn = 1 - self.turn;
        }
        outcome
    }
}

impl Side {
    /// `incarnations` have parts in it already.
    async fn commit(&mut self, shares: Vec<Share>, mut incarnations: Vec<Incarnation>) -> CommitOutcome {
        let (reply, outcome) = oneshot::channel();
        incarnations.extend(shares.iter().map(|it| it.incarnation.clone()));
        let is_sent = self.requests.send(Request::Commit(shares, reply)).is_ok();
        match tokio::time::timeout(COMMIT_MAX, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                // The thread ends only by a panic, and nobody knows how far it came.
                incarnations.iter().for_each(Incarnation::kill);
                assert!(
                    is_sent,
                    "the thread of lane {} has ended: its panic is in the log",
                    self.worker.transactional_id
                );
                CommitOutcome::Unknown(retriable("commit a transaction", error))
            }
            Err(elapsed) => {
                incarnations.iter().for_each(Incarnation::kill);
                error!(
                    transactional_id = self.worker.transactional_id,
                    seconds = COMMIT_MAX.as_secs(),
                    "a transaction does not end; making the lane's producer anew, on a new thread"
                );
                if let Err(error) = self.replace_worker() {
                    error!(error = &error as &dyn std::error::Error, "cannot start a thread");
                }
                CommitOutcome::Unknown(retriable("commit a transaction in time", elapsed))
            }
        }
    }
}

/// Why a transaction was not committed, so far as we know.
struct Failure {
    error: LogError,
    commit: Commit,
    /// The group metadata that the broker did not want.
    refused: Option<Arc<ConsumerGroupMetadata>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    /// Not asked for: the transaction can only end as an aborted one.
    NotAsked,
    /// The client says that the transaction has to be aborted. Believed if the abort succeeds.
    Refused,
    /// It may have happened.
    Undecided,
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self { error, commit: Commit::NotAsked, refused: None }
    }
}

#[derive(Debug)]
struct Worker {
    name: String,
    config: ClientConfig,
    topics: Topics,
    transactional_id: String,
    group: Arc<Group>,
    /// How often one of the lane's producers was found to be fenced.
    fencings: Arc<AtomicU64>,
    /// Where aborted transactions have records, until that is marked: nothing is committed before.
    unmarked: Mutex<Written>,
}

impl Worker {
    /// On a thread of its own, until the sender is dropped. With `ready` it makes its producer at once and says how that went; else
    /// the first transaction waits for it.
    fn start(
        this: &Arc<Self>,
        ready: Option<oneshot::Sender<Result<(), KafkaError>>>,
    ) -> std::io::Result<mpsc::Sender<Request>> {
        let (requests, receiver) = mpsc::channel();
        let this = Arc::clone(this);
        std::thread::Builder::new().name(this.name.clone()).spawn(move || {
            let producer = match ready {
                None => None,
                Some(ready) => match TransactionalProducer::create(&this.config, &this.topics) {
                    Ok(producer) => {
                        let _ = ready.send(Ok(()));
                        Some(producer)
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return;
                    }
                },
            };
            this.serve(producer, &receiver);
        })?;
        Ok(requests)
    }

    fn serve(&self, mut producer: Option<TransactionalProducer>, requests: &mpsc::Receiver<Request>) {
        let mut refused = None;
        let mut fencings = self.fencings.load(Ordering::Relaxed);
        let mut parts = Parts::default();
        while let Some(request) = self.next(&mut producer, requests) {
            let (shares, reply) = match request {
                Request::Append(appended) => {
                    parts.all.extend(appended);
                    // Whatever is in the way now is dealt with when somebody waits for the outcome.
                    let is_fenced = self.fencings.load(Ordering::Relaxed) != fencings;
                    if let (Some(producer), None, false) = (&producer, &refused, is_fenced)
                        && self.group.metadata().is_some()
                        && (parts.has_begun || self.unmarked().is_empty())
                    {
                        self.produce(producer, &mut parts);
                    }
                    continue;
                }
                Request::Commit(shares, reply) => (shares, reply),
            };
            let mut parts = std::mem::take(&mut parts);
            let last = parts.all.len();
            parts.all.extend(shares);
            if !parts.has_begun && !self.await_metadata(refused.take()) {
                let outside = LogError::Fenced { doing: "committing outside of the group".to_owned() };
                let _ = reply.send(CommitOutcome::Aborted(outside));
                continue;
            }
            if !parts.has_begun {
                // Nothing was produced: it is begun again, by a producer that can.
                parts.failure = None;
            }
            // Whoever took over the other's id has taken over this one, too.
            if !parts.has_begun && self.fencings.load(Ordering::Relaxed) != fencings {
                producer = None;
            }
            let Some(current) = producer.take().or_else(|| self.renew(&reply)) else { continue };
            fencings = self.fencings.load(Ordering::Relaxed);
            if !parts.has_begun
                && let Err(error) = self.mark(&current)
            {
                let _ = reply.send(CommitOutcome::Aborted(error));
                continue;
            }
            let outcome = match self.attempt(&current, &mut parts, last) {
                Ok(offsets) => {
                    producer = Some(current);
                    CommitOutcome::Committed(parts.split(offsets, last))
                }
                Err(failure) => {
                    refused.clone_from(&failure.refused);
                    let outcome;
                    (outcome, producer) = self.clean_up(current, failure, &parts.all, &reply);
                    outcome
                }
            };
            fencings = self.fencings.load(Ordering::Relaxed);
            // Whoever asked may have gone.
            let _ = reply.send(outcome);
        }
    }

    /// The next request; none when nobody has any more. What was aborted is marked meanwhile: others may wait for that.
    fn next(
        &self,
        producer: &mut Option<TransactionalProducer>,
        requests: &mpsc::Receiver<Request>,
    ) -> Option<Request> {
        let mut pause = Duration::ZERO;
        while !self.unmarked().is_empty() {
            match requests.recv_timeout(pause) {
                Ok(request) => return Some(request),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if producer.is_none() {
                *producer = TransactionalProducer::create(&self.config, &self.topics).ok();
            }
            if let Some(current) = producer
                && let Err(error) = self.mark(current)
            {
                warn!(transactional_id = self.transactional_id, error = &error as &dyn std::error::Error);
                *producer = None;
            }
            pause = MARKING_PAUSE;
        }
        requests.recv().ok()
    }

    fn unmarked(&self) -> MutexGuard<'_, Written> {
        self.unmarked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After an error the producer is of no more use.
    fn mark(&self, producer: &TransactionalProducer) -> Result<(), LogError> {
        let aborted = self.unmarked().clone();
        if aborted.is_empty() {
            return Ok(());
        }
        mark(producer, &aborted).map_err(|error| self.judge(producer, "mark what was aborted", error))?;
        *self.unmarked() = Written::default();
        Ok(())
    }

    /// Whether there is something to commit with. What the broker has refused it will refuse again: a rebalance is under way, whose
    /// callback brings newer metadata, and until then each try would only be produced and aborted.
    fn await_metadata(&self, refused: Option<Arc<ConsumerGroupMetadata>>) -> bool {
        let deadline = Instant::now() + METADATA_WAIT;
        loop {
            match (self.group.metadata(), &refused) {
                (Some(current), Some(refused)) if Arc::ptr_eq(&current, refused) => {}
                (Some(_), _) => return true,
                (None, _) => {}
            }
            if Instant::now() >= deadline {
                return self.group.metadata().is_some();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Produces what is not produced yet. A failure is kept for the commit.
    fn produce(&self, producer: &TransactionalProducer, parts: &mut Parts) {
        if parts.failure.is_some() {
            return;
        }
        if let Err(error) = self.try_produce(producer, parts) {
            parts.failure = Some(error);
        }
    }

    fn try_produce(&self, producer: &TransactionalProducer, parts: &mut Parts) -> Result<(), LogError> {
        if !parts.has_begun {
            producer.begin().map_err(|error| self.judge(producer, "begin a transaction", error))?;
            parts.has_begun = true;
        }
        for share in &parts.all[parts.produced..] {
            let transaction = &share.transaction;
            for (records, is_tracked) in [(&transaction.changelog, true), (&transaction.records, false)] {
                for record in records {
                    producer.produce(record, is_tracked).map_err(|error| {
                        let bytes = record.value.as_ref().map_or(0, Bytes::len);
                        self.judge(
                            producer,
                            &format!("produce a record of {bytes} bytes to {}", record.topic),
                            error,
                        )
                    })?;
                }
            }
        }
        parts.produced = parts.all.len();
        Ok(())
    }

    fn attempt(
        &self,
        producer: &TransactionalProducer,
        parts: &mut Parts,
        last: usize,
    ) -> Result<Vec<Offset>, Failure> {
        self.produce(producer, parts);
        if let Some(error) = parts.failure.take() {
            return Err(error.into());
        }
        let (shares, last) = (&parts.all, &parts.all[last..]);
        let failed = |doing: &str, error: KafkaError| Failure::from(self.judge(producer, doing, error));
        // All records have arrived before the offsets are sent, which costs a millisecond or two: a rebalance makes the broker refuse offsets, and
        // what librdkafka has not sent by then it throws away, after which its producer has to be made anew, for most of a second.
        let offsets =
            producer.settle().map_err(|error| failed("produce the records of a transaction", error))?;
        self.send_offsets(producer, shares, last)?;
        check_alive(shares)?;
        producer.commit().map_err(|error| {
            let commit = match &error {
                KafkaError::Flush(_) => Commit::NotAsked,
                KafkaError::Transaction(error) if error.txn_requires_abort() => Commit::Refused,
                _ => Commit::Undecided,
            };
            Failure { commit, ..failed("commit a transaction", error) }
        })?;
        Ok(offsets)
    }

    /// The fence. Metadata first, then the incarnations: what is alive after the metadata was taken was ours in that generation. The
    /// other way round, a partition that was lost and won back in between would commit its old state (state protocol, F2).
    fn send_offsets(
        &self,
        producer: &TransactionalProducer,
        shares: &[Share],
        last: &[Share],
    ) -> Result<(), Failure> {
        let doing = "send the offsets of a transaction";
        let Some(group) = self.group.metadata() else {
            return Err(LogError::Fenced { doing: "committing outside of the group".to_owned() }.into());
        };
        let internal = self.topics.internal();
        let mut list = TopicPartitionList::new();
        for share in last {
            let partition = i32::try_from(share.incarnation.partition().0).expect("at most 4,096 partitions");
            let offset = rdkafka::Offset::Offset(share.transaction.internal_offset.0);
            list.add_partition_offset(&internal, partition, offset)
                .map_err(|error| from_kafka(doing, error))?;
        }
        check_alive(shares)?;
        producer.send_offsets(&list, &group).map_err(|error| {
            let refused = is_stale(&error).then_some(group);
            Failure { refused, ..Failure::from(self.judge(producer, doing, error)) }
        })
    }

    /// Ends the transaction one way or the other. Gives back a usable producer, unless nobody waits for it any more.
    fn clean_up(
        &self,
        producer: TransactionalProducer,
        Failure { error, commit, refused: _ }: Failure,
        shares: &[Share],
        reply: &oneshot::Sender<CommitOutcome>,
    ) -> (CommitOutcome, Option<TransactionalProducer>) {
        if commit != Commit::Undecided && self.abort(&producer) {
            self.unmarked().extend(&producer.written());
            return (CommitOutcome::Aborted(error), Some(producer));
        }
        if commit == Commit::NotAsked {
            self.unmarked().extend(&producer.written());
            // Those that nobody has told of.
            let changelog = shares.iter().flat_map(|it| &it.transaction.changelog);
            for (topic, partition) in changelog.filter_map(|it| Some((&it.topic, it.partition?))) {
                self.unmarked().add(topic, partition, None);
            }
        }
        drop(producer);
        if commit == Commit::NotAsked {
            // Aborted at the latest by the producer made anew.
            let renewed = self.renew(reply);
            return (CommitOutcome::Aborted(error), renewed);
        }
        // Before anything else: what they hold in memory may be behind the log.
        shares.iter().for_each(|it| it.incarnation.kill());
        let renewed = self.renew(reply);
        (CommitOutcome::Unknown(error), renewed)
    }

    /// Whether the transaction is aborted; if not, the producer is of no more use.
    fn abort(&self, producer: &TransactionalProducer) -> bool {
        if producer.fatal_error().is_some() {
            return false;
        }
        match producer.abort() {
            Ok(()) => true,
            Err(error) => {
                warn!(
                    transactional_id = self.transactional_id,
                    error = &error as &dyn std::error::Error,
                    "cannot abort a transaction; making the producer anew"
                );
                false
            }
        }
    }

    /// A new producer with the same transactional id: when it is there, the old one's transaction is decided. Tries for as long as
    /// somebody waits for it.
    fn renew(&self, reply: &oneshot::Sender<CommitOutcome>) -> Option<TransactionalProducer> {
        let transactional_id = &self.transactional_id;
        let mut attempt = 0;
        while !reply.is_closed() {
            match TransactionalProducer::create(&self.config, &self.topics) {
                Ok(producer) => {
                    info!(transactional_id, "transactional producer made anew");
                    return Some(producer);
                }
                Err(error) => error!(
                    transactional_id,
                    error = &error as &dyn std::error::Error,
                    "cannot make the transactional producer anew; trying again"
                ),
            }
            std::thread::sleep(backoff(attempt));
            attempt += 1;
        }
        None
    }

    fn judge(&self, producer: &TransactionalProducer, doing: &str, error: KafkaError) -> LogError {
        use RDKafkaErrorCode as Code;
        match producer.fatal_error().or_else(|| error.rdkafka_error_code()) {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
                self.fencings.fetch_add(1, Ordering::Relaxed);
                LogError::Fatal {
                    doing: doing.to_owned(),
                    fix: format!(
                        "another producer took over the transactional id {}, or the broker gave the transaction up: see that every \
                         member of the fleet has an ordinal of its own",
                        self.transactional_id
                    ),
                    source: Some(Box::new(error)),
                }
            }
            // The rest includes a rebalance, whose callback says what became of the partitions.
            _ => from_kafka(doing, error),
        }
    }
}

/// F1: the generation has ended, or the member was thrown out.
fn is_stale(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::RebalanceInProgress
                | Code::StaleMemberEpoch
                | Code::FencedMemberEpoch
        )
    )
}

/// F2: no share of a dead incarnation goes out.
fn check_alive(shares: &[Share]) -> Result<(), LogError> {
    match shares.iter().find(|it| !it.incarnation.is_alive()) {
        None => Ok(()),
        Some(dead) => Err(LogError::Fenced {
            doing: format!("committing for partition {}", dead.incarnation.partition().0),
        }),
    }
}

/// The parts of one transaction.
#[derive(Default)]
struct Parts {
    all: Vec<Share>,
    has_begun: bool,
    /// So many are with the client.
    produced: usize,
    /// The first one.
    failure: Option<LogError>,
}

impl Parts {
    /// The offsets by partition, for those whose last parts begin at `last`.
    fn split(&self, offsets: Vec<Offset>, last: usize) -> Vec<Vec<Offset>> {
        let mut offsets = offsets.into_iter();
        let mut by_partition: BTreeMap<PartitionIndex, Vec<Offset>> = BTreeMap::new();
        for part in &self.all {
            let of_partition = by_partition.entry(part.incarnation.partition()).or_default();
            of_partition.extend(offsets.by_ref().take(part.transaction.changelog.len()));
        }
        let ended = self.all[last..].iter();
        ended.map(|it| by_partition.remove(&it.incarnation.partition()).unwrap_or_default()).collect()
    }
}
