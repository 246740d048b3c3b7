//! A transactional producer that blocks, and knows the offset of each record that it was asked about.
//!
//! **Latency.** rdkafka's `flush` polls for a tenth of a second at a time while anything is in flight, and `commit_transaction` begins
//! with it. So a commit is called only when nothing is: a thread polls without pause, its delivery callbacks count down, and the lane's
//! thread waits for that count. `flush` then returns at once. The thread is ours: that of rdkafka's `ThreadedProducer` asks ten times a second,
//! and spins through the last millisecond of each time, for it counts in whole ones: a hundredth of a core for each producer that idles.
//!
//! Measured against one Apache Kafka 4.4 broker on the same two busy cores, 1 to 500 records of 100 bytes a transaction: 3 to 4 ms
//! at best, 4 to 11 ms at the median, 10 to 30 ms for one in ten. The last are those where the broker still writes the markers of the
//! transaction before: librdkafka then waits 20 ms, which no setting changes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millrace_partition::OutgoingRecord;
use millrace_placement::{Topics, keyed_partition};
use millrace_schemas::Offset;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Message, TopicPartitionList};

use crate::context;
use crate::marking::Written;
use crate::record;
use crate::spread::Spread;

/// One call of the transaction API; within it librdkafka retries.
const CALL_MAX: Duration = Duration::from_secs(10);

/// All tries of one call together. Well above `transaction.timeout.ms`: by then the broker has decided.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a new producer is let connect before it asks for its coordinator all the same.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// How long records may be in flight: `message.timeout.ms` and some.
const DELIVERY_MAX: Duration = Duration::from_secs(15);

/// How long an abort waits for records in flight, before it is quicker to make the producer anew.
const LANDING_MAX: Duration = Duration::from_secs(1);

/// One question about a partition.
const QUESTION_MAX: Duration = Duration::from_secs(1);

/// How long one poll waits for something. Dropping a producer takes up to as long.
const POLL_MAX: Duration = Duration::from_millis(500);

/// What an untracked record carries through librdkafka; tracked ones carry their index and one.
const UNTRACKED: usize = 0;

/// One transaction at a time: begin, produce, settle, send offsets, then commit or abort.
pub(crate) struct TransactionalProducer {
    producer: Arc<BaseProducer<Deliveries, Spread>>,
    is_dropped: Arc<AtomicBool>,
    polling: Option<JoinHandle<()>>,
}

impl Drop for TransactionalProducer {
    /// Afterwards nothing of it is left: what its client still does could fence its successor.
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
        if self.polling.take().is_some_and(|it| it.join().is_err()) {
            tracing::error!("the thread that polled a producer has panicked");
        }
    }
}

struct Deliveries {
    spread: Spread,
    state: Mutex<DeliveryState>,
    changed: Condvar,
}

#[derive(Default)]
struct DeliveryState {
    in_flight: usize,
    /// By index of the tracked record.
    offsets: Vec<Option<Offset>>,
    /// Where all of them are.
    written: Written,
    failure: Option<KafkaError>,
}

impl Deliveries {
    fn state(&self) -> MutexGuard<'_, DeliveryState> {
        self.state.lock().expect("no holder panics")
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::debug_error(&error, reason);
    }
}

impl ProducerContext<Spread> for Deliveries {
    type DeliveryOpaque = usize;

    fn get_custom_partitioner(&self) -> Option<&Spread> {
        Some(&self.spread)
    }

    fn delivery(&self, result: &DeliveryResult<'_>, tracked: usize) {
        let mut state = self.state();
        state.in_flight -= 1;
        match result {
            Ok(message) => {
                let offset = Some(message.offset()).filter(|it| *it >= 0);
                state.written.add(message.topic(), message.partition(), offset);
                if tracked != UNTRACKED {
                    state.offsets[tracked - 1] = Some(Offset(message.offset()));
                }
            }
            // The first failure is the cause; those that follow are its consequences.
            Err((error, message)) => {
                // It may have arrived all the same.
                state.written.add(message.topic(), message.partition(), None);
                state.failure.get_or_insert_with(|| error.clone());
            }
        }
        if state.in_flight == 0 {
            self.changed.notify_all();
        }
    }
}

impl TransactionalProducer {
    /// Fences every earlier producer of this transactional id, and waits until its transaction is decided.
    pub(crate) fn create(config: &ClientConfig, topics: &Topics) -> KafkaResult<Self> {
        let id = config.get("transactional.id").unwrap_or_default();
        let spread = Spread::new(topics, keyed_partition(id.as_bytes(), u32::MAX));
        let deliveries = Deliveries { spread, state: Mutex::default(), changed: Condvar::new() };
        let producer: BaseProducer<Deliveries, Spread> = config.create_with_context(deliveries)?;
        let mut created = Self { producer: Arc::new(producer), is_dropped: Arc::default(), polling: None };
        created.start_polling(&format!("{id} polls"))?;
        // As long as no broker is connected, librdkafka looks for the coordinator only twice a second. If this fails, it does that.
        let _ = created.producer.client().fetch_watermarks(&topics.changelog(), 0, CONNECT_MAX);
        created.retrying(|it| it.init_transactions(CALL_MAX))?;
        Ok(created)
    }

    fn start_polling(&mut self, name: &str) -> KafkaResult<()> {
        let (producer, is_dropped) = (Arc::clone(&self.producer), Arc::clone(&self.is_dropped));
        let poll = move || {
            while !is_dropped.load(Ordering::Relaxed) {
                producer.poll(POLL_MAX);
            }
        };
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(poll);
        let cannot = |error| KafkaError::ClientCreation(format!("cannot start a thread: {error}"));
        self.polling = Some(started.map_err(cannot)?);
        Ok(())
    }

    pub(crate) fn begin(&self) -> KafkaResult<()> {
        *self.deliveries().state() = DeliveryState::default();
        self.deliveries().spread.turn();
        self.producer.begin_transaction()
    }

    /// Produces without waiting. The offset of a tracked record is at hand after `settle`, in the order of the calls.
    pub(crate) fn produce(&self, outgoing: &OutgoingRecord, is_tracked: bool) -> KafkaResult<()> {
        let tracked = {
            let mut state = self.deliveries().state();
            state.in_flight += 1;
            if is_tracked {
                state.offsets.push(None);
                state.offsets.len()
            } else {
                UNTRACKED
            }
        };
        let mut base: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&outgoing.topic, tracked);
        base.partition = outgoing.partition;
        base.key = outgoing.key.as_deref();
        base.payload = outgoing.value.as_deref();
        base.headers = record::owned_headers(&outgoing.headers);
        let deadline = Instant::now() + DELIVERY_MAX;
        loop {
            base = match self.producer.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent))
                    if Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(1));
                    unsent
                }
                Err((error, _)) => {
                    self.deliveries().state().in_flight -= 1;
                    return Err(error);
                }
            };
        }
    }

    pub(crate) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> KafkaResult<()> {
        self.retrying(|it| it.send_offsets_to_transaction(offsets, group, CALL_MAX))
    }

    /// Waits until nothing is in flight; the offsets of the tracked records.
    pub(crate) fn settle(&self) -> KafkaResult<Vec<Offset>> {
        self.land(DELIVERY_MAX)?;
        let mut state = self.deliveries().state();
        let offsets = std::mem::take(&mut state.offsets);
        Ok(offsets
            .into_iter()
            .map(|it| it.expect("a tracked record without a failure was delivered"))
            .collect())
    }

    /// Waits until every record was delivered or has failed, and says whether one has.
    fn land(&self, wait_max: Duration) -> KafkaResult<()> {
        let timed_out = || KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut);
        let deadline = Instant::now() + wait_max;
        let deliveries = self.deliveries();
        let (state, wait) = deliveries
            .changed
            .wait_timeout_while(deliveries.state(), wait_max, |it| it.in_flight > 0)
            .expect("no holder panics");
        drop(state);
        if wait.timed_out() {
            return Err(timed_out());
        }
        // librdkafka counts a record as in flight until its report is freed, microseconds after the callback.
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(timed_out());
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        deliveries.state().failure.clone().map_or(Ok(()), Err)
    }

    /// An error that does not require an abort leaves the outcome open.
    pub(crate) fn commit(&self) -> KafkaResult<()> {
        self.retrying(|it| it.commit_transaction(CALL_MAX))
    }

    /// An error leaves the transaction open: the producer is to be made anew. So it is after a record has failed: its sequence number
    /// is missing at the broker, on which librdkafka would fail the next transaction. (Seen with records that are too large.)
    pub(crate) fn abort(&self) -> KafkaResult<()> {
        // Aborting while records are unsent leaves such gaps, too. After an error of the transaction they may never be sent.
        self.land(LANDING_MAX)?;
        self.retrying(|it| it.abort_transaction(CALL_MAX))
    }

    /// Where the transaction has records, as far as is known.
    pub(crate) fn written(&self) -> Written {
        self.deliveries().state().written.clone()
    }

    /// Up to where everything is decided in a partition. librdkafka asks for what is committed, as [`KafkaConfig`](crate::KafkaConfig) does not
    /// let it be told otherwise.
    pub(crate) fn last_stable_offset(&self, topic: &str, partition: i32) -> KafkaResult<i64> {
        self.producer.client().fetch_watermarks(topic, partition, QUESTION_MAX).map(|(_, stable)| stable)
    }

    /// All that the cluster has. (A question about one topic might create it.)
    pub(crate) fn partitions(&self) -> KafkaResult<BTreeSet<(String, i32)>> {
        let all = self.producer.client().fetch_metadata(None, QUESTION_MAX)?;
        let of = |it: &MetadataTopic| {
            it.partitions().iter().map(|of| (it.name().to_owned(), of.id())).collect::<Vec<_>>()
        };
        Ok(all.topics().iter().flat_map(of).collect())
    }

    /// A transaction with a record in each of these partitions, and its abort: its markers end all that is open there of this producer. Who reads
    /// what is not committed finds records without a value.
    pub(crate) fn abort_again(&self, partitions: &Written) -> KafkaResult<()> {
        self.begin()?;
        for (topic, partition, _) in partitions.iter() {
            // A key, since a compacted topic wants one.
            let record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, UNTRACKED);
            self.deliveries().state().in_flight += 1;
            if let Err((error, _)) = self.producer.send(record.partition(partition).key(b"aborted")) {
                self.deliveries().state().in_flight -= 1;
                return Err(error);
            }
        }
        self.land(DELIVERY_MAX)?;
        self.abort()
    }

    /// Why the producer cannot be used any more.
    pub(crate) fn fatal_error(&self) -> Option<RDKafkaErrorCode> {
        self.producer.client().fatal_error().map(|(code, _)| code)
    }

    fn retrying(
        &self,
        mut call: impl FnMut(&BaseProducer<Deliveries, Spread>) -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match call(&self.producer) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => return result,
            }
        }
    }

    fn deliveries(&self) -> &Deliveries {
        self.producer.client().context()
    }
}
