//! How far a worker is, for health checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use prometheus::IntGauge;

/// How far a worker is. Cheap to clone: clones tell the same.
#[derive(Clone, Debug)]
pub struct WorkerStatus {
    stage: Arc<AtomicU8>,
    ready: IntGauge,
}

/// What it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No broker has answered yet.
    Connecting,
    /// The queue has no topic: no definition uses it yet.
    WaitingForQueue,
    /// The group has not told yet which partitions are ours.
    Joining,
    Serving,
    /// It takes no more tasks.
    Stopping,
}

impl Stage {
    const ALL: [Self; 5] =
        [Self::Connecting, Self::WaitingForQueue, Self::Joining, Self::Serving, Self::Stopping];

    /// What can be done about the other ones is to wait.
    fn is_ready(self) -> bool {
        matches!(self, Self::WaitingForQueue | Self::Serving)
    }
}

impl WorkerStatus {
    pub(crate) fn new(ready: IntGauge) -> Self {
        Self { stage: Arc::new(AtomicU8::new(Stage::Connecting as u8)), ready }
    }

    pub(crate) fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
        self.ready.set(i64::from(stage.is_ready()));
    }

    fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Ordering::Relaxed))]
    }

    /// Whether the worker serves its queue, or would if there were one: nothing but a definition is missing then.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.stage().is_ready()
    }

    /// What it is at, for people.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self.stage() {
            Stage::Connecting => "no broker has answered yet",
            Stage::WaitingForQueue => "the queue has no topic yet: no definition that uses it is deployed",
            Stage::Joining => "the consumer group has not given it its partitions yet",
            Stage::Serving => "serving the queue",
            Stage::Stopping => "stopping: no new tasks are begun",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_told_as_it_was_set() {
        let status = WorkerStatus::new(IntGauge::new("ready", "For a test.").expect("it is valid"));
        assert_eq!(status.stage(), Stage::Connecting);
        for stage in Stage::ALL {
            status.set(stage);
            assert_eq!(status.stage(), stage);
            assert_eq!(status.ready.get() == 1, status.is_ready());
        }
    }
}
