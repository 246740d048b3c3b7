//! What becomes of spans.

use millrace_metrics::{About, Catalogue, Label};
use prometheus::{IntCounter, IntCounterVec};

/// Counts spans. Cheap to clone: clones count together.
#[derive(Clone, Debug)]
pub struct Counters {
    pub(crate) exported: IntCounter,
    dropped: IntCounterVec,
}

/// Why a span was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// Too many were waiting.
    QueueFull,
    /// The collector did not take it.
    ExportFailed,
}

impl Dropped {
    const ALL: [&'static str; 2] = [Self::QueueFull.name(), Self::ExportFailed.name()];

    const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ExportFailed => "export_failed",
        }
    }
}

impl Counters {
    /// Makes the counters.
    ///
    /// # Panics
    /// When there are metrics of these names already: one process has one exporter.
    #[must_use]
    pub fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Traces");
        Self {
            exported: catalogue.counter(About {
                name: "millrace_spans_exported_total",
                help: "Spans that the collector of traces has taken.",
                look: "Traces are missing: 0 with --otlp means that nothing is recorded, or nothing arrives.",
            }),
            dropped: catalogue.counters(
                About {
                    name: "millrace_spans_dropped_total",
                    help: "Spans that were not sent, because too many were waiting or the collector did not take them.",
                    look: "Traces have holes. Nothing else suffers: look at the collector, or record less (--traces-sampler).",
                },
                &[Label::known("reason", &Dropped::ALL)],
            ),
        }
    }

    pub(crate) fn dropped(&self, why: Dropped, count: usize) {
        self.dropped.with_label_values(&[why.name()]).inc_by(count as u64);
    }
}
