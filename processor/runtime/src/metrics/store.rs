//! Of the snapshot store.

use std::time::Duration;

use millrace_metrics::{About, Catalogue, Label, buckets};
use millrace_partition::FlushRequest;
use prometheus::{HistogramVec, IntCounterVec};

/// What is asked of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Flush,
    LoadSnapshots,
    SaveCheckpoint,
    LoadCheckpoint,
    SaveOwner,
    LoadOwner,
    LoadTimers,
}

impl Operation {
    const NAMES: [&str; 7] = [
        "flush",
        "load_snapshots",
        "save_checkpoint",
        "load_checkpoint",
        "save_owner",
        "load_owner",
        "load_timers",
    ];

    /// For labels and logs.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

const OPERATION: Label = Label::known("operation", &Operation::NAMES);

#[derive(Clone, Debug)]
pub(crate) struct Store {
    duration: HistogramVec,
    errors: IntCounterVec,
    rows: IntCounterVec,
}

impl Store {
    pub(super) fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Snapshot store");
        Self {
            duration: catalogue.histograms(
                About {
                    name: "millrace_store_duration_seconds",
                    help: "Time of one operation on the snapshot store, failed ones included.",
                    look: "`load_snapshots` holds up records of cold instances; `flush` only the checkpoint.",
                },
                &[OPERATION],
                buckets::SECONDS,
            ),
            errors: catalogue.counters(
                About {
                    name: "millrace_store_errors_total",
                    help: "Failed operations on the snapshot store; each is tried again.",
                    look: "It rises: is the store up, and can it be reached?",
                },
                &[OPERATION],
            ),
            rows: catalogue.counters(
                About {
                    name: "millrace_store_rows_written_total",
                    help: "Rows that flushes have written.",
                    look: "Capacity planning of the store.",
                },
                &[Label::known("kind", &["snapshot", "timer", "history"])],
            ),
        }
    }

    /// An operation has ended.
    pub(crate) fn did(&self, operation: Operation, took: Duration, is_well: bool) {
        let labels = [operation.name()];
        self.duration.with_label_values(&labels).observe(took.as_secs_f64());
        if !is_well {
            self.errors.with_label_values(&labels).inc();
        }
    }

    pub(crate) fn flushed(&self, request: &FlushRequest) {
        let FlushRequest { snapshots, timers, history, .. } = request;
        for (kind, rows) in
            [("snapshot", snapshots.len()), ("timer", timers.len()), ("history", history.len())]
        {
            self.rows.with_label_values(&[kind]).inc_by(rows as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_their_names() {
        assert_eq!(Operation::Flush.name(), "flush");
        assert_eq!(Operation::LoadOwner.name(), "load_owner");
        assert_eq!(Operation::LoadTimers.name(), "load_timers");
    }
}
