//! Consume, transform, produce, in transactions: the loop that exactly-once applications run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::PATIENCE;
use super::records::{Mark, Shape};

/// Records of a transaction.
const BATCH: usize = 500;

/// One in so many transactions is aborted.
const ABORT_EACH: u64 = 10;

const POLL: Duration = Duration::from_millis(1);

/// What the loop did.
#[derive(Debug)]
pub(super) struct Moved {
    /// From the first record that it was given to the last commit.
    pub(super) took: Duration,
    pub(super) committed: u64,
    pub(super) aborted: u64,
    pub(super) records_aborted: u64,
    /// The first time that the group's offsets were not those of the last commit.
    pub(super) offsets_wrong: Option<String>,
}

/// Offsets to go on from, by partition.
type Positions = BTreeMap<i32, i64>;

/// A record that was read.
struct Taken {
    partition: i32,
    offset: i64,
    value: Vec<u8>,
}

/// Moves all records from one topic to the other, into the same partitions.
pub(super) fn transform(
    bootstrap: &str,
    input: &str,
    output: &str,
    group: &str,
    shape: &Shape,
) -> anyhow::Result<Moved> {
    Loop::new(bootstrap, input, output, group)?.run(shape.records)
}

struct Loop<'a> {
    consumer: BaseConsumer,
    producer: BaseProducer,
    input: &'a str,
    output: &'a str,
}

impl<'a> Loop<'a> {
    fn new(bootstrap: &str, input: &'a str, output: &'a str, group: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            // Offsets are not stable until the markers of an abort are written; 100 ms is far too long to ask again.
            .set("retry.backoff.ms", "5")
            .create()
            .context("the loop's consumer cannot be made")?;
        consumer.subscribe(&[input]).context("the loop cannot subscribe")?;
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("transactional.id", group)
            .set("compression.type", "none")
            .set("linger.ms", "0")
            // What a transaction waits for when the last one's markers are still being written.
            .set("retry.backoff.ms", "5")
            .create()
            .context("the loop's producer cannot be made")?;
        producer.init_transactions(PATIENCE).context("transactions cannot be set up")?;
        Ok(Self { consumer, producer, input, output })
    }

    fn run(&self, records: u64) -> anyhow::Result<Moved> {
        let mut moved =
            Moved { took: Duration::ZERO, committed: 0, aborted: 0, records_aborted: 0, offsets_wrong: None };
        let mut positions = Positions::new();
        let mut missing = records;
        let mut begun = None;
        while missing > 0 {
            let batch = self.take(missing, &mut begun)?;
            // The group is joined now: its metadata hold the generation.
            let group = self.consumer.group_metadata().context("the loop's consumer has no group")?;
            if (moved.committed + moved.aborted) % ABORT_EACH == ABORT_EACH - 1 {
                self.write(&batch, Mark::Aborted, &group)?;
                self.producer.abort_transaction(PATIENCE).context("a transaction cannot be aborted")?;
                moved.aborted += 1;
                moved.records_aborted += batch.len() as u64;
                self.look(&positions, &mut moved)?;
            }
            self.write(&batch, Mark::Kept, &group)?;
            self.producer.commit_transaction(PATIENCE).context("a transaction cannot be committed")?;
            moved.committed += 1;
            missing -= batch.len() as u64;
            positions.extend(batch.iter().map(|it| (it.partition, it.offset + 1)));
        }
        moved.took = begun.map_or(Duration::ZERO, |it| it.elapsed());
        self.look(&positions, &mut moved)?;
        Ok(moved)
    }

    /// Reads the records of a transaction. Takes down when the first of all came.
    fn take(&self, missing: u64, begun: &mut Option<Instant>) -> anyhow::Result<Vec<Taken>> {
        let size = usize::try_from(missing).unwrap_or(usize::MAX).min(BATCH);
        let mut batch = Vec::with_capacity(size);
        let mut deadline = Instant::now() + PATIENCE;
        while batch.len() < size {
            // It comes back without a record before its time when a rebalance has kept it busy.
            let message = match self.consumer.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(error).context("the loop cannot read"),
                None if Instant::now() < deadline => continue,
                None => bail!("the loop's input has ended too early: {missing} records are missing"),
            };
            deadline = Instant::now() + PATIENCE;
            begun.get_or_insert_with(Instant::now);
            batch.push(Taken {
                partition: message.partition(),
                offset: message.offset(),
                value: message.payload().unwrap_or_default().to_vec(),
            });
        }
        Ok(batch)
    }

    /// Writes a transaction, and leaves its end to the caller.
    fn write(&self, batch: &[Taken], mark: Mark, group: &ConsumerGroupMetadata) -> anyhow::Result<()> {
        self.producer.begin_transaction().context("a transaction cannot be begun")?;
        let mut positions = Positions::new();
        for Taken { partition, offset, value } in batch {
            let mut value = value.clone();
            if let Some(first) = value.first_mut() {
                *first = mark as u8;
            }
            self.send(*partition, &value)?;
            positions.insert(*partition, offset + 1);
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            list.add_partition_offset(self.input, partition, Offset::Offset(offset))
                .context("a read offset is valid")?;
        }
        self.producer
            .send_offsets_to_transaction(&list, group, PATIENCE)
            .context("offsets cannot be sent to the transaction")?;
        // An abort would throw away what is still queued, and there would be nothing of it to see. Before a commit the client's own flush
        // would sleep for up to 100 ms after the last acknowledgement.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(POLL);
        }
        Ok(())
    }

    fn send(&self, partition: i32, value: &[u8]) -> anyhow::Result<()> {
        loop {
            let record: BaseRecord<'_, (), [u8]> =
                BaseRecord::to(self.output).partition(partition).payload(value);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(POLL);
                }
                Err((error, _)) => return Err(error).context("the loop cannot write"),
            }
        }
    }

    /// Compares what the group has committed with what the last commit said.
    fn look(&self, positions: &Positions, moved: &mut Moved) -> anyhow::Result<()> {
        let assigned = self.consumer.assignment().context("the loop has no partitions")?;
        let found =
            self.consumer.committed_offsets(assigned, PATIENCE).context("offsets cannot be asked for")?;
        let found: Positions = found
            .elements()
            .iter()
            .filter_map(|it| Some((it.partition(), it.offset().to_raw().filter(|offset| *offset >= 0)?)))
            .collect();
        if found != *positions {
            let transactions = moved.committed + moved.aborted;
            moved.offsets_wrong.get_or_insert_with(|| {
                format!("{found:?} instead of {positions:?} after {transactions} transactions")
            });
        }
        Ok(())
    }
}
