//! A lane: one transactional producer on a thread of its own, for its calls block.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use millrace_placement::Topics;
use millrace_runtime::log::{CommitOutcome, Incarnation, Lane, LogError, Share, backoff};
use millrace_schemas::Offset;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::config::KafkaConfig;
use crate::error::{from_kafka, retriable};
use crate::group::Group;
use crate::producer::TransactionalProducer;

/// The lane of [`crate::KafkaLog`]. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct KafkaLane {
    transactional_id: String,
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    shares: Vec<Share>,
    reply: oneshot::Sender<CommitOutcome>,
}

impl KafkaLane {
    /// Makes the producer; earlier ones of the same lane are fenced.
    pub(crate) async fn create(config: &KafkaConfig, group: Arc<Group>, lane: u32) -> Result<Self, LogError> {
        let transactional_id = config.transactional_id(lane);
        let worker = Worker {
            config: config.lane(&transactional_id),
            topics: config.topics.clone(),
            transactional_id: transactional_id.clone(),
            group,
        };
        let (requests, receiver) = mpsc::channel();
        let (ready, is_ready) = oneshot::channel();
        let doing = format!("create the transactional producer {transactional_id}");
        std::thread::Builder::new()
            .name(format!("lane-{lane}"))
            .spawn(move || match TransactionalProducer::create(&worker.config) {
                Ok(producer) => {
                    let _ = ready.send(Ok(()));
                    worker.serve(producer, &receiver);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|error| retriable(doing.clone(), error))?;
        match is_ready.await {
            Ok(Ok(())) => Ok(Self { transactional_id, requests }),
            Ok(Err(error)) => Err(from_kafka(doing, error)),
            Err(error) => Err(retriable(doing, error)),
        }
    }
}

impl Lane for KafkaLane {
    fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    async fn commit(&mut self, shares: Vec<Share>) -> CommitOutcome {
        let (reply, outcome) = oneshot::channel();
        let incarnations: Vec<Incarnation> = shares.iter().map(|it| it.incarnation.clone()).collect();
        let is_sent = self.requests.send(Request { shares, reply }).is_ok();
        match outcome.await {
            Ok(outcome) => outcome,
            Err(error) => {
                // The thread ends only by a panic, and nobody knows how far it came.
                incarnations.iter().for_each(Incarnation::kill);
                assert!(
                    is_sent,
                    "the thread of lane {} has ended: its panic is in the log",
                    self.transactional_id
                );
                CommitOutcome::Unknown(retriable("commit a transaction", error))
            }
        }
    }
}

/// Why a transaction was not committed, so far as we know.
struct Failure {
    error: LogError,
    commit: Commit,
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
        Self { error, commit: Commit::NotAsked }
    }
}

struct Worker {
    config: ClientConfig,
    topics: Topics,
    transactional_id: String,
    group: Arc<Group>,
}

impl Worker {
    fn serve(&self, producer: TransactionalProducer, requests: &mpsc::Receiver<Request>) {
        let mut producer = Some(producer);
        while let Ok(Request { shares, reply }) = requests.recv() {
            let Some(current) = producer.take().or_else(|| self.renew(&reply)) else { continue };
            let outcome = match self.attempt(&current, &shares) {
                Ok(offsets) => {
                    producer = Some(current);
                    CommitOutcome::Committed(offsets)
                }
                Err(failure) => {
                    let outcome;
                    (outcome, producer) = self.clean_up(current, failure, &shares, &reply);
                    outcome
                }
            };
            // Whoever asked may have gone.
            let _ = reply.send(outcome);
        }
    }

    fn attempt(
        &self,
        producer: &TransactionalProducer,
        shares: &[Share],
    ) -> Result<Vec<Vec<Offset>>, Failure> {
        let failed = |doing: &str, error: KafkaError| Failure::from(self.judge(producer, doing, error));
        producer.begin().map_err(|error| failed("begin a transaction", error))?;
        for share in shares {
            let transaction = &share.transaction;
            for (records, is_tracked) in [(&transaction.changelog, true), (&transaction.records, false)] {
                for record in records {
                    producer.produce(record, is_tracked).map_err(|error| {
                        let bytes = record.value.as_ref().map_or(0, Bytes::len);
                        failed(&format!("produce a record of {bytes} bytes to {}", record.topic), error)
                    })?;
                }
            }
        }
        self.send_offsets(producer, shares)?;
        // The records travel while the offsets are sent; both must have arrived.
        let offsets =
            producer.settle().map_err(|error| failed("produce the records of a transaction", error))?;
        check_alive(shares)?;
        producer.commit().map_err(|error| {
            let commit = match &error {
                KafkaError::Flush(_) => Commit::NotAsked,
                KafkaError::Transaction(error) if error.txn_requires_abort() => Commit::Refused,
                _ => Commit::Undecided,
            };
            Failure { commit, ..failed("commit a transaction", error) }
        })?;
        Ok(split(offsets, shares))
    }

    /// The fence. Metadata first, then the incarnations: what is alive after the metadata was taken was ours in that generation. The
    /// other way round, a partition that was lost and won back in between would commit its old state (state protocol, F2).
    fn send_offsets(&self, producer: &TransactionalProducer, shares: &[Share]) -> Result<(), Failure> {
        let doing = "send the offsets of a transaction";
        let Some(group) = self.group.metadata() else {
            return Err(LogError::Fenced { doing: "committing outside of the group".to_owned() }.into());
        };
        let internal = self.topics.internal();
        let mut list = TopicPartitionList::new();
        for share in shares {
            let partition = i32::try_from(share.incarnation.partition().0).expect("at most 4,096 partitions");
            let offset = rdkafka::Offset::Offset(share.transaction.internal_offset.0);
            list.add_partition_offset(&internal, partition, offset)
                .map_err(|error| from_kafka(doing, error))?;
        }
        check_alive(shares)?;
        producer
            .send_offsets(&list, &group)
            .map_err(|error| self.judge(producer, doing, producer.cause_of(error)).into())
    }

    /// Ends the transaction one way or the other. Gives back a usable producer, unless nobody waits for it any more.
    fn clean_up(
        &self,
        producer: TransactionalProducer,
        Failure { error, commit }: Failure,
        shares: &[Share],
        reply: &oneshot::Sender<CommitOutcome>,
    ) -> (CommitOutcome, Option<TransactionalProducer>) {
        if commit != Commit::Undecided && self.abort(&producer) {
            return (CommitOutcome::Aborted(error), Some(producer));
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
            match TransactionalProducer::create(&self.config) {
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
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => LogError::Fatal {
                doing: doing.to_owned(),
                fix: format!(
                    "another producer took over the transactional id {}, or the broker gave the transaction up: see that every \
                     member of the fleet has an ordinal of its own",
                    self.transactional_id
                ),
                source: Some(Box::new(error)),
            },
            // The rest includes a rebalance, whose callback says what became of the partitions.
            _ => from_kafka(doing, error),
        }
    }
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

fn split(offsets: Vec<Offset>, shares: &[Share]) -> Vec<Vec<Offset>> {
    let mut offsets = offsets.into_iter();
    shares.iter().map(|it| offsets.by_ref().take(it.transaction.changelog.len()).collect()).collect()
}
