//! What the log knows of its idempotent and transactional producers (KIP-98): which sequence comes next, which batches are repeats, and
//! which transactions are open.
//!
//! Live appends are checked, then folded in; recovery folds in what the log has and checks nothing, for it was admitted once.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::log::batch::{BatchHeader, add_sequence};
use crate::log::marker::{Marker, Outcome};

/// A producer may have five requests in flight, so any of its last five batches may come again.
const RECENT_BATCHES: usize = 5;

/// In place of an epoch: the producer is known by nothing yet.
const NO_EPOCH: i16 = -1;

/// In place of a sequence: the producer has appended nothing in its epoch.
const NO_SEQUENCE: i32 = -1;

/// In place of a coordinator epoch: no marker has been seen.
const NO_COORDINATOR_EPOCH: i32 = -1;

/// A batch that may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecentBatch {
    pub(crate) base_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) timestamp_ms: i64,
}

/// One producer's state in this partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    /// -1 until a marker has come.
    pub(crate) coordinator_epoch: i32,
    /// Of its last append or marker.
    pub(crate) last_timestamp_ms: i64,
    /// Where its open transaction begins in this partition.
    pub(crate) transaction_first_offset: Option<i64>,
    /// All of the current epoch, oldest first.
    pub(crate) recent: VecDeque<RecentBatch>,
}

impl Producer {
    fn unknown() -> Self {
        Self {
            epoch: NO_EPOCH,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp_ms: -1,
            transaction_first_offset: None,
            recent: VecDeque::new(),
        }
    }

    /// -1 if it has appended nothing in its epoch.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.recent.back().map_or(NO_SEQUENCE, |it| it.last_sequence)
    }

    fn enter_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.recent.clear();
        }
    }

    fn check_epoch(&self, producer_id: i64, epoch: i16) -> Result<(), ProducerError> {
        if epoch < self.epoch {
            return Err(ProducerError::InvalidEpoch { producer_id, epoch, current: self.epoch });
        }
        Ok(())
    }

    fn check_sequence(&self, batch: &BatchHeader) -> Result<(), ProducerError> {
        let expected = if batch.producer_epoch != self.epoch {
            // All that was known of it may have expired or been deleted, so a producer without a state starts anywhere.
            if self.epoch == NO_EPOCH {
                return Ok(());
            }
            0
        } else {
            add_sequence(self.last_sequence(), 1)
        };
        if batch.base_sequence == expected {
            return Ok(());
        }
        Err(ProducerError::OutOfOrderSequence {
            producer_id: batch.producer_id,
            epoch: batch.producer_epoch,
            expected,
            found: batch.base_sequence,
        })
    }

    fn fold_batch(&mut self, batch: &BatchHeader, timestamp_ms: i64) {
        self.enter_epoch(batch.producer_epoch);
        if self.recent.len() == RECENT_BATCHES {
            self.recent.pop_front();
        }
        self.recent.push_back(RecentBatch {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            last_offset: batch.last_offset(),
            timestamp_ms: batch.max_timestamp_ms,
        });
        self.last_timestamp_ms = timestamp_ms;
        if batch.attributes.is_transactional() {
            self.transaction_first_offset.get_or_insert(batch.base_offset);
        }
    }
}

/// A transaction that has not ended: nothing from its first offset on is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) first_offset: i64,
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndedTransaction {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    pub(crate) marker_offset: i64,
    pub(crate) outcome: Outcome,
}

/// What is to be done with batches that were checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Append them, then hand the changes to [`Producers::commit`].
    New(Changes),
    /// They are in the log already; the producer has not heard.
    Duplicate { base_offset: i64, last_offset: i64, timestamp_ms: i64 },
}

/// The producers that change with an append, as they will be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(HashMap<i64, Producer>);

/// All producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
    /// Producer ids by the first offset of their open transaction.
    open: BTreeMap<i64, i64>,
}

impl Producers {
    /// Checks batches of one append together, in order. Their offsets are those they will have.
    pub(crate) fn admit(&self, batches: &[BatchHeader], now_ms: i64) -> Result<Admission, ProducerError> {
        let repeats: Vec<_> = batches.iter().filter_map(|it| self.duplicate(it)).collect();
        if let [first, .., last] | [first @ last] = repeats.as_slice()
            && repeats.len() == batches.len()
        {
            return Ok(Admission::Duplicate {
                base_offset: first.base_offset,
                last_offset: last.last_offset,
                timestamp_ms: last.timestamp_ms,
            });
        }
        let mut changes = Changes::default();
        for batch in batches.iter().filter(|it| it.has_producer()) {
            let id = batch.producer_id;
            let current = || self.by_id.get(&id).cloned().unwrap_or_else(Producer::unknown);
            let producer = changes.0.entry(id).or_insert_with(current);
            producer.check_epoch(id, batch.producer_epoch)?;
            producer.check_sequence(batch)?;
            if producer.transaction_first_offset.is_some() && !batch.attributes.is_transactional() {
                return Err(ProducerError::InvalidTransactionState { producer_id: id });
            }
            producer.fold_batch(batch, now_ms);
        }
        Ok(Admission::New(changes))
    }

    pub(crate) fn commit(&mut self, Changes(changes): Changes) {
        for (id, producer) in changes {
            if let Some(first_offset) = producer.transaction_first_offset {
                self.open.insert(first_offset, id);
            }
            self.by_id.insert(id, producer);
        }
    }

    /// Whether a marker with these epochs may end a transaction of the producer. Also without one: a coordinator repeats itself after a
    /// failure.
    pub(crate) fn check_marker(
        &self,
        producer_id: i64,
        epoch: i16,
        coordinator_epoch: i32,
    ) -> Result<(), ProducerError> {
        let Some(producer) = self.by_id.get(&producer_id) else { return Ok(()) };
        producer.check_epoch(producer_id, epoch)?;
        if coordinator_epoch < producer.coordinator_epoch {
            return Err(ProducerError::CoordinatorFenced {
                producer_id,
                coordinator_epoch,
                current: producer.coordinator_epoch,
            });
        }
        Ok(())
    }

    /// Folds in a marker that is in the log. What it ended, if there was anything to end.
    pub(crate) fn end_transaction(
        &mut self,
        batch: &BatchHeader,
        marker: Marker,
        timestamp_ms: i64,
    ) -> Option<EndedTransaction> {
        let producer = self.by_id.entry(batch.producer_id).or_insert_with(Producer::unknown);
        producer.enter_epoch(batch.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp_ms = timestamp_ms;
        let first_offset = producer.transaction_first_offset.take()?;
        self.open.remove(&first_offset);
        Some(EndedTransaction {
            producer_id: batch.producer_id,
            first_offset,
            marker_offset: batch.base_offset,
            outcome: marker.outcome,
        })
    }

    /// Folds in a batch that is in the log, unchecked. Of a control batch without a marker nothing follows.
    pub(crate) fn replay(&mut self, batch: &BatchHeader, marker: Option<Marker>) -> Option<EndedTransaction> {
        if !batch.has_producer() {
            return None;
        }
        if batch.attributes.is_control() {
            return self.end_transaction(batch, marker?, batch.max_timestamp_ms);
        }
        let producer = self.by_id.entry(batch.producer_id).or_insert_with(Producer::unknown);
        producer.fold_batch(batch, batch.max_timestamp_ms);
        if let Some(first_offset) = producer.transaction_first_offset {
            self.open.insert(first_offset, batch.producer_id);
        }
        None
    }

    /// Forgets producers that have been silent since before `silent_since_ms` and have no open transaction. How many they were.
    pub(crate) fn expire(&mut self, silent_since_ms: i64) -> usize {
        let before = self.by_id.len();
        self.by_id
            .retain(|_, it| it.transaction_first_offset.is_some() || it.last_timestamp_ms > silent_since_ms);
        before - self.by_id.len()
    }

    /// Where the oldest open transaction begins.
    pub(crate) fn first_open_offset(&self) -> Option<i64> {
        self.open.keys().next().copied()
    }

    /// Oldest first.
    pub(crate) fn open_transactions(&self) -> impl Iterator<Item = OpenTransaction> {
        self.open.iter().map(|(&first_offset, &producer_id)| OpenTransaction {
            producer_id,
            epoch: self.by_id[&producer_id].epoch,
            first_offset,
        })
    }

    pub(crate) fn get(&self, producer_id: i64) -> Option<&Producer> {
        self.by_id.get(&producer_id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.by_id.iter().map(|(&id, producer)| (id, producer))
    }

    /// Puts back what a snapshot has.
    pub(crate) fn restore(&mut self, producer_id: i64, producer: Producer) {
        if let Some(first_offset) = producer.transaction_first_offset {
            self.open.insert(first_offset, producer_id);
        }
        self.by_id.insert(producer_id, producer);
    }

    fn duplicate(&self, batch: &BatchHeader) -> Option<RecentBatch> {
        let producer = self.by_id.get(&batch.producer_id).filter(|_| batch.has_producer())?;
        let range = (batch.base_sequence, batch.last_sequence());
        let mut recent = producer.recent.iter().filter(|_| producer.epoch == batch.producer_epoch);
        recent.find(|it| (it.base_sequence, it.last_sequence) == range).copied()
    }
}

/// Why a producer's batch or marker is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProducerError {
    /// `OUT_OF_ORDER_SEQUENCE_NUMBER`. Also for a repeat of a batch that is not among the last five, as with Apache Kafka.
    #[error("producer {producer_id} in epoch {epoch} sent sequence {found}, not {expected}")]
    OutOfOrderSequence { producer_id: i64, epoch: i16, expected: i32, found: i32 },
    /// `INVALID_PRODUCER_EPOCH`
    #[error("producer {producer_id} has epoch {epoch}, but {current} was seen")]
    InvalidEpoch { producer_id: i64, epoch: i16, current: i16 },
    /// `INVALID_TXN_STATE`
    #[error("producer {producer_id} sent a batch outside of the transaction that it has open")]
    InvalidTransactionState { producer_id: i64 },
    /// `TRANSACTION_COORDINATOR_FENCED`
    #[error(
        "a coordinator with epoch {coordinator_epoch} ended a transaction of producer {producer_id}, but {current} was seen"
    )]
    CoordinatorFenced { producer_id: i64, coordinator_epoch: i32, current: i32 },
}
