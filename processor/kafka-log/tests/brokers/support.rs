//! A fleet's topics on a broker, under a prefix of the test's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_dev_broker::testing;
use millrace_kafka_log::{Admin, GroupProtocol, KafkaConfig, KafkaLane, KafkaLog, Publisher};
use millrace_partition::{ChangelogRecord, InboundRecord, OutgoingRecord, Transaction, TransactionId};
use millrace_placement::{PartitionIndex, Topics};
use millrace_runtime::log::{CommitOutcome, Incarnation, Lane, Log, LogError, LogEvent, Share};
use millrace_schemas::Offset;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Nothing here takes longer, on a busy machine either.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn config() -> KafkaConfig {
    let prefix = format!("test-{}", uuid::Uuid::new_v4().simple());
    KafkaConfig::new(testing::bootstrap(), Topics::new(&prefix))
}

/// A config whose topics exist.
pub(crate) async fn fleet(partitions: u32) -> KafkaConfig {
    let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("warn").try_init();
    let config = config();
    let specs = config.topics.specs(partitions, &["work".to_owned()]).unwrap();
    Admin::new(&config).unwrap().apply(&specs).await.unwrap();
    config
}

/// The same, with this group protocol.
pub(crate) async fn fleet_by(group_protocol: GroupProtocol, partitions: u32) -> KafkaConfig {
    KafkaConfig { group_protocol, ..fleet(partitions).await }
}

/// Makes each of these functions a test with the classic group protocol, and one with that of KIP-848.
macro_rules! with_both_group_protocols {
    ($($name:ident),+ $(,)?) => {
        mod classic {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(millrace_kafka_log::GroupProtocol::default()).await;
            })+
        }
        mod consumer {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs the KIP-848 groups of Apache Kafka"]
            async fn $name() {
                let has_groups = millrace_dev_broker::testing::is_apache_kafka();
                assert!(has_groups, "set KAFKA_BOOTSTRAP: dev-broker has no KIP-848 groups");
                super::$name(millrace_kafka_log::GroupProtocol::Consumer).await;
            })+
        }
    };
}
pub(crate) use with_both_group_protocols;

pub(crate) fn member(config: &KafkaConfig, ordinal: u32) -> KafkaConfig {
    KafkaConfig { ordinal, ..config.clone() }
}

/// A log that has joined, with its events.
pub(crate) struct Member {
    pub(crate) log: KafkaLog,
    pub(crate) events: mpsc::Receiver<LogEvent>,
}

impl Member {
    pub(crate) async fn join(config: &KafkaConfig) -> Self {
        let log = KafkaLog::connect(config.clone()).await.unwrap();
        let events = log.join().await.unwrap();
        Self { log, events }
    }

    /// The next event that tells more than that a rebalance gave us nothing.
    pub(crate) async fn event(&mut self) -> LogEvent {
        let next = async {
            loop {
                match self.events.recv().await.expect("the log is there") {
                    LogEvent::Assigned(nothing) if nothing.is_empty() => {}
                    event => return event,
                }
            }
        };
        timeout(PATIENCE, next).await.expect("an event comes in time")
    }

    pub(crate) async fn assigned(&mut self) -> Vec<Incarnation> {
        match self.event().await {
            LogEvent::Assigned(incarnations) => incarnations,
            other => panic!("not an assignment: {other:?}"),
        }
    }

    /// Leaves without holding the group up.
    pub(crate) async fn leave(mut self) {
        let events = async {
            // Dropping what is received answers a revocation.
            while self.events.recv().await.is_some() {}
        };
        timeout(PATIENCE, async { tokio::join!(self.log.leave(), events) }).await.expect("leaving ends");
    }

    /// So many records, which must all come for this incarnation.
    pub(crate) async fn records(&mut self, count: usize, of: &Incarnation) -> Vec<InboundRecord> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.event().await {
                LogEvent::Records { incarnation, records } => {
                    assert!(incarnation.is_same(of), "a record came for another incarnation");
                    all.extend(records);
                }
                other => panic!("not records: {other:?}"),
            }
        }
        all
    }
}

pub(crate) fn record(topic: &str, partition: Option<i32>, key: &str, value: &str) -> OutgoingRecord {
    OutgoingRecord {
        topic: Arc::from(topic),
        partition,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        headers: vec![("header".to_owned(), Bytes::from_static(b"value"))],
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    }
}

/// A share that writes these values to the changelog, and one to the emitted events.
pub(crate) fn share(config: &KafkaConfig, incarnation: &Incarnation, values: &[&str]) -> Share {
    let partition = i32::try_from(incarnation.partition().0).unwrap();
    let changelog = config.topics.changelog();
    Share {
        incarnation: incarnation.clone(),
        transaction: Transaction {
            id: TransactionId(0),
            changelog: values.iter().map(|it| record(&changelog, Some(partition), "key", it)).collect(),
            records: vec![record(&config.topics.emitted(), None, "key", "emitted")],
            processed: Vec::new(),
            internal_offset: Offset(0),
        },
    }
}

pub(crate) async fn commit(lane: &mut KafkaLane, shares: Vec<Share>) -> CommitOutcome {
    timeout(PATIENCE, lane.commit(shares)).await.expect("a commit ends")
}

pub(crate) async fn committed(lane: &mut KafkaLane, shares: Vec<Share>) -> Vec<Vec<Offset>> {
    match commit(lane, shares).await {
        CommitOutcome::Committed(offsets) => offsets,
        other => panic!("not committed: {other:?}"),
    }
}

pub(crate) async fn aborted(lane: &mut KafkaLane, shares: Vec<Share>) -> LogError {
    match commit(lane, shares).await {
        CommitOutcome::Aborted(error) => error,
        other => panic!("not aborted: {other:?}"),
    }
}

/// Waits while it is held up.
pub(crate) async fn read_changelog(log: &KafkaLog, index: u32, from: i64, until: i64) -> Vec<(i64, String)> {
    let read = async {
        loop {
            match try_read_changelog(log, index, from, until).await {
                Err(LogError::HeldUp { .. }) => {}
                result => return result.unwrap(),
            }
        }
    };
    timeout(PATIENCE, read).await.expect("a read ends")
}

pub(crate) async fn try_read_changelog(
    log: &KafkaLog,
    index: u32,
    from: i64,
    until: i64,
) -> Result<Vec<(i64, String)>, LogError> {
    read_some(log, index, from, until, usize::MAX).await.map(|(_, all)| all)
}

/// The position that was reached, and what was read on the way.
pub(crate) async fn read_some(
    log: &KafkaLog,
    index: u32,
    from: i64,
    until: i64,
    bytes_max: usize,
) -> Result<(Offset, Vec<(i64, String)>), LogError> {
    let (sink, mut batches) = mpsc::channel(4);
    let read = log.read_changelog(PartitionIndex(index), Offset(from), Offset(until), bytes_max, sink);
    let collect = async {
        let mut all = Vec::new();
        while let Some(batch) = batches.recv().await {
            all.extend(batch.into_iter().map(|it: ChangelogRecord| (it.offset.0, text(&it.value))));
        }
        all
    };
    let (result, all) = tokio::join!(read, collect);
    result.map(|position| (position, all))
}

/// Waits while it is held up.
pub(crate) async fn stable_offset(log: &KafkaLog, index: u32) -> Option<Offset> {
    let ask = async {
        loop {
            match log.stable_internal_offset(PartitionIndex(index)).await {
                Err(LogError::HeldUp { .. }) => {}
                result => return result.unwrap(),
            }
        }
    };
    timeout(PATIENCE, ask).await.expect("offsets become stable")
}

pub(crate) fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) async fn publish(publisher: &Publisher, topic: &str, key: &str, value: &str) -> (i32, Offset) {
    publisher.send(topic, Some(key.as_bytes()), &[], Some(value.as_bytes())).await.unwrap()
}

/// A producer that has written one record in a transaction, and leaves it open. Dropping it does not end the transaction.
pub(crate) async fn open_transaction(
    config: &KafkaConfig,
    transactional_id: &str,
    topic: &str,
    partition: i32,
) -> rdkafka::producer::FutureProducer {
    use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &config.bootstrap)
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", "10000")
        .create()
        .unwrap();
    let initialising = producer.clone();
    tokio::task::spawn_blocking(move || initialising.init_transactions(PATIENCE)).await.unwrap().unwrap();
    producer.begin_transaction().unwrap();
    let record: FutureRecord<'_, str, str> = FutureRecord::to(topic).partition(partition).payload("open");
    producer.send(record, PATIENCE).await.unwrap();
    producer
}
