//! One partition: its log, who may write transactions to it, and who waits for its next record.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::log::{AppendError, Appended, BatchHeader, Log, LogError, Outcome, ProducerError};

/// What a fetch waits on until one of its partitions has moved.
pub(crate) type Waiter = Arc<Notify>;

/// A partition, shared between connections.
#[derive(Debug)]
pub(crate) struct Partition {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: Log,
    /// Epoch of each producer whose transaction has this partition. Asked and changed under the same lock as the log, so no
    /// record of a transaction comes behind its marker (KAFKA-9144 tells of such *hanging transactions*).
    transactions: BTreeMap<i64, i16>,
    waiters: Vec<Weak<Notify>>,
}

/// Why records were not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProduceError {
    /// The producer has not added this partition to its transaction, or its transaction is over.
    #[error("the partition is not part of a transaction of this producer")]
    NoTransaction,
    /// The log refuses them.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Partition {
    pub(crate) fn new(log: Log) -> Self {
        Self { inner: Mutex::new(Inner { log, transactions: BTreeMap::new(), waiters: Vec::new() }) }
    }

    /// Appends batches of a client. Answers the first offset of the log besides.
    pub(crate) fn produce(&self, batches: &[u8], now_ms: i64) -> Result<(Appended, i64), ProduceError> {
        let mut inner = self.lock();
        inner.check_transactions(batches)?;
        let appended = inner.log.append(batches, now_ms)?;
        let start_offset = inner.log.start_offset();
        inner.wake();
        Ok((appended, start_offset))
    }

    /// Lets a producer's transaction write here.
    pub(crate) fn join_transaction(&self, producer_id: i64, epoch: i16) {
        self.lock().transactions.insert(producer_id, epoch);
    }

    /// Writes the end of a producer's transaction, if it has one here: a second try after a crash finds none.
    pub(crate) fn end_transaction(
        &self,
        producer_id: i64,
        epoch: i16,
        outcome: Outcome,
        now_ms: i64,
    ) -> Result<(), AppendError> {
        let mut inner = self.lock();
        inner.transactions.remove(&producer_id);
        let is_open = inner.log.open_transactions().any(|it| it.producer_id == producer_id);
        if is_open {
            inner.log.append_marker(producer_id, epoch, COORDINATOR_EPOCH, outcome, now_ms)?;
            inner.wake();
        }
        Ok(())
    }

    /// Looks at the log.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.lock().log)
    }

    /// Changes the log; whoever waits looks again.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let mut inner = self.lock();
        let changed = change(&mut inner.log);
        inner.wake();
        changed
    }

    /// Keeps the log in order, with nobody to wake.
    pub(crate) fn maintain<T>(&self, maintain: impl FnOnce(&mut Log) -> T) -> T {
        maintain(&mut self.lock().log)
    }

    /// Opens the log in `folder` anew, after an error has left it between two states.
    pub(crate) fn reopen(&self, folder: &Path) -> Result<(), LogError> {
        let mut inner = self.lock();
        let (log, _) = Log::open(folder, inner.log.config().clone())?;
        inner.log = log;
        Ok(())
    }

    /// Looks at the log, and has `waiter` told when it moves after that.
    pub(crate) fn read_and_wait<T>(&self, waiter: &Waiter, look: impl FnOnce(&Log) -> T) -> T {
        let mut inner = self.lock();
        inner.forget_gone();
        // One that was woken by another partition still stands here.
        if !inner.waiters.iter().any(|it| std::ptr::eq(it.as_ptr(), Arc::as_ptr(waiter))) {
            inner.waiters.push(Arc::downgrade(waiter));
        }
        look(&inner.log)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in the middle of an append leaves a log whose file may be ahead of what it knows; the next append finds
        // nothing wrong, since it writes at the position it knows.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There is one coordinator, and it never moves.
const COORDINATOR_EPOCH: i32 = 0;

impl Inner {
    /// Whether each transactional batch belongs to a transaction that has this partition. What is no batch, the log refuses.
    fn check_transactions(&self, batches: &[u8]) -> Result<(), ProduceError> {
        let mut rest = batches;
        while let Ok(header) = BatchHeader::parse(rest) {
            rest = rest.get(header.batch_bytes..).unwrap_or_default();
            if !header.attributes.is_transactional() {
                continue;
            }
            let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
            match self.transactions.get(&producer_id) {
                Some(&current) if epoch == current => {}
                Some(&current) if epoch < current => {
                    return Err(AppendError::from(ProducerError::InvalidEpoch {
                        producer_id,
                        epoch,
                        current,
                    })
                    .into());
                }
                _ => return Err(ProduceError::NoTransaction),
            }
        }
        Ok(())
    }

    fn wake(&mut self) {
        for waiter in self.waiters.drain(..) {
            if let Some(waiter) = waiter.upgrade() {
                waiter.notify_one();
            }
        }
    }

    /// A fetch that ended without a record of ours leaves its waiter behind.
    fn forget_gone(&mut self) {
        const KEPT: usize = 16;
        if self.waiters.len() >= KEPT {
            self.waiters.retain(|it| it.strong_count() > 0);
        }
    }
}
