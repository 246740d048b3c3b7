//! Of Kafka transactions.

use std::time::Duration;

use millrace_metrics::{About, Catalogue, Label, buckets};
use prometheus::{Histogram, IntCounterVec};

use crate::log::CommitOutcome;

#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    outcomes: IntCounterVec,
    duration: Histogram,
}

impl Transactions {
    pub(super) fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Transactions");
        Self {
            outcomes: catalogue.counters(
                About {
                    name: "millrace_transactions_total",
                    help: "Kafka transactions, by outcome.",
                    look: "`aborted` in good times: see the log. `unknown`: its partitions were restored.",
                },
                &[Label::known("outcome", &["committed", "aborted", "unknown"])],
            ),
            duration: catalogue.histogram(
                About {
                    name: "millrace_transaction_duration_seconds",
                    help: "From handing a transaction to the producer to its known outcome.",
                    look: "Everything waits for it: the brokers are slow, or too few lanes share them.",
                },
                buckets::SECONDS,
            ),
        }
    }

    pub(crate) fn ended(&self, outcome: &CommitOutcome, took: Duration) {
        let outcome = match outcome {
            CommitOutcome::Committed(_) => "committed",
            CommitOutcome::Aborted(_) => "aborted",
            CommitOutcome::Unknown(_) => "unknown",
        };
        self.outcomes.with_label_values(&[outcome]).inc();
        self.duration.observe(took.as_secs_f64());
    }
}
