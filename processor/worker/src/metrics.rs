//! What a worker counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one worker, since it was built. Read them with [`WorkerMetrics::counts`], from any thread.
#[derive(Debug, Default)]
pub struct WorkerMetrics {
    pub(crate) received: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) failed_retriable: AtomicU64,
    pub(crate) failed_permanent: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) undecodable: AtomicU64,
    pub(crate) heartbeats: AtomicU64,
}

/// The values of [`WorkerMetrics`] at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Records read from the queue.
    pub received: u64,
    /// Tasks answered with an output.
    pub completed: u64,
    /// Tasks answered with a failure that may be retried.
    pub failed_retriable: u64,
    /// Tasks answered with a failure that may not.
    pub failed_permanent: u64,
    /// Tasks without an answer, since their deadline was over.
    pub late: u64,
    /// Handlers that panicked; each is in `failed_retriable` too.
    pub panicked: u64,
    /// Records that are no tasks; skipped.
    pub undecodable: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
}

impl WorkerMetrics {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> WorkerCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerCounts {
            received: read(&self.received),
            completed: read(&self.completed),
            failed_retriable: read(&self.failed_retriable),
            failed_permanent: read(&self.failed_permanent),
            late: read(&self.late),
            panicked: read(&self.panicked),
            undecodable: read(&self.undecodable),
            heartbeats: read(&self.heartbeats),
        }
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
