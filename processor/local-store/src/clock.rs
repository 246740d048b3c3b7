//! The time by which rows expire.

use std::time::{SystemTime, UNIX_EPOCH};

use millrace_schemas::Timestamp;
use tokio::time::Instant;

/// The system's clock when the store was opened, and from then on what has passed on tokio's. So a clock that is set while the process
/// runs, or a laptop that slept, ends nothing early, and a test that pauses tokio's clock decides when rows expire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    opened_at: Timestamp,
    opened: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { opened_at: Timestamp(0).plus(now), opened: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.opened_at.plus(self.opened.elapsed())
    }

    /// How long the store has been open.
    pub(crate) fn has_run(&self) -> std::time::Duration {
        self.opened.elapsed()
    }
}
