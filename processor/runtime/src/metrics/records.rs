//! Of records that come in, and where they go.

use std::time::Duration;

use millrace_metrics::{About, Catalogue, Label, buckets};
use millrace_partition::{DEAD_LETTER_REASONS, Moved, SourceKind};
use prometheus::{Histogram, IntCounter, IntCounterVec};

const SOURCES: [&str; 3] = ["events", "internal", "topic"];

#[derive(Clone, Debug)]
pub(super) struct Records {
    /// In the order of [`SOURCES`].
    latency: [Histogram; SOURCES.len()],
    forwarded: IntCounter,
    dead_letters: IntCounterVec,
    published: IntCounter,
    delivered: IntCounter,
    kept: IntCounter,
    passed_over: IntCounter,
    sources_moved: IntCounterVec,
}

impl Records {
    pub(super) fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Records");
        let latency = catalogue.histograms(
                About {
                    name: "millrace_record_latency_seconds",
                    help: "End to end: from the time of a record (set by its producer, or by the broker where the topic says so) to the commit of all that it has caused. Of a record that went to another partition first, each of the two ways counts for itself.",
                    look: "What a client of Kafka waits for. Above the transaction's duration: records wait, see the backlog.",
                },
                &[Label::known("source", &SOURCES)],
                buckets::SECONDS,
            );
        Self {
            latency: SOURCES.map(|it| latency.with_label_values(&[it])),
            forwarded: catalogue.counter(About {
                name: "millrace_records_forwarded_total",
                help: "Records that a producer placed on another partition than their key's home.",
                look: "Its share of all records is high: a producer does not use murmur2; each record is handled twice.",
            }),
            dead_letters: catalogue.counters(
                About {
                    name: "millrace_dead_letters_total",
                    help: "Records sent to the dead letters.",
                    look: "It rises: `millrace dead-letters list` shows them, with the reason.",
                },
                &[Label::known("reason", &DEAD_LETTER_REASONS)],
            ),
            published: catalogue.counter(About {
                name: "millrace_events_published_total",
                help: "Events without an address that were sent to whoever listens.",
                look: "With `millrace_events_delivered_total`: how many find somebody.",
            }),
            delivered: catalogue.counter(About {
                name: "millrace_events_delivered_total",
                help: "Events that found a listener, counted for each.",
                look: "Instances wait for events that do come.",
            }),
            kept: catalogue.counter(About {
                name: "millrace_events_kept_total",
                help: "Events that nobody listened for when they came: they wait, each in one channel.",
                look: "It rises with no delivery: the values that are correlated by do not match.",
            }),
            passed_over: catalogue.counter(About {
                name: "millrace_records_passed_over_total",
                help: "Records of users' topics with no event that a definition listens for.",
                look: "A topic is read for next to nothing.",
            }),
            sources_moved: catalogue.counters(
                About {
                    name: "millrace_sources_moved_total",
                    help: "Partitions of users' topics that did not hold what was to be read next.",
                    look: "Ever: events were lost by retention (`trimmed`), or the topic was `made-anew`.",
                },
                &[Label::known("reason", &["trimmed", "made-anew"])],
            ),
        }
    }

    /// Records are committed, each so long after its time.
    pub(super) fn committed(&self, latencies: &[(SourceKind, Duration)]) {
        let [events, internal, topic] = &self.latency;
        for (kind, latency) in latencies {
            let histogram = match kind {
                SourceKind::Events => events,
                SourceKind::Internal => internal,
                SourceKind::Topic => topic,
            };
            histogram.observe(latency.as_secs_f64());
        }
    }

    pub(super) fn forwarded(&self) {
        self.forwarded.inc();
    }

    pub(super) fn dead_lettered(&self, reason: &str) {
        self.dead_letters.with_label_values(&[reason]).inc();
    }

    pub(super) fn published(&self) {
        self.published.inc();
    }

    pub(super) fn delivered(&self, listeners: usize) {
        self.delivered.inc_by(listeners as u64);
    }

    pub(super) fn kept(&self) {
        self.kept.inc();
    }

    pub(super) fn passed_over(&self, count: usize) {
        self.passed_over.inc_by(count as u64);
    }

    pub(super) fn source_moved(&self, moved: Moved) {
        let reason = match moved {
            Moved::Trimmed => "trimmed",
            Moved::MadeAnew => "made-anew",
        };
        self.sources_moved.with_label_values(&[reason]).inc();
    }
}
