//! What a worker counts, for itself and for Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_metrics::{About, Catalogue, Label, OTHER, buckets};
use prometheus::{
    GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

const QUEUE: Label = Label::bounded("queue", "queues that the process serves");
const FUNCTION: Label =
    Label::bounded("function", "functions that the worker has; `other` for what it is asked for and has not");
const OUTCOME: Label = Label::bounded(
    "outcome",
    "`completed`; `failed_retriable`; `failed_permanent`; `late`: without an answer, since nobody waits for it any more",
);
/// How a task may end, in the order of the label's values.
const OUTCOMES: [&str; 4] = ["completed", "failed_retriable", "failed_permanent", "late"];

/// The metrics of all workers of a process. Cheap to clone: clones count together.
#[derive(Clone, Debug)]
pub struct WorkerMetrics {
    ready: IntGaugeVec,
    received: IntCounterVec,
    tasks: IntCounterVec,
    duration: HistogramVec,
    wait: HistogramVec,
    running: IntGaugeVec,
    concurrency: IntGaugeVec,
    lag: IntGaugeVec,
    age: GaugeVec,
    partitions: IntGaugeVec,
    panicked: IntCounterVec,
    undecodable: IntCounterVec,
    heartbeats: IntCounterVec,
}

impl Default for WorkerMetrics {
    /// Shown nowhere.
    fn default() -> Self {
        Self::registered(&Registry::new())
    }
}

impl WorkerMetrics {
    /// Shown by `registry`.
    ///
    /// # Panics
    /// When it shows metrics of these names already: make them once for a process, and give each worker a clone.
    #[must_use]
    pub fn registered(registry: &Registry) -> Self {
        Self::new(&mut Catalogue::new(registry))
    }

    /// As [`Self::registered`], in a catalogue.
    ///
    /// # Panics
    /// As that.
    #[must_use]
    pub fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Worker");
        Self {
            ready: catalogue.gauges(
                About {
                    name: "millrace_worker_ready",
                    help: "1 if the worker serves its queue, or waits for the first definition that uses it, as `/readyz` says.",
                    look: "0 for minutes: the brokers cannot be reached, or the group does not settle.",
                },
                &[QUEUE],
            ),
            received: catalogue.counters(
                About {
                    name: "millrace_worker_tasks_received_total",
                    help: "Records read from the queue.",
                    look: "Does work arrive?",
                },
                &[QUEUE],
            ),
            tasks: catalogue.counters(
                About {
                    name: "millrace_worker_tasks_total",
                    help: "Tasks done, by how they ended.",
                    look: "The share of failures rises: what the function calls is broken. `late`: it takes longer than the workflow waits.",
                },
                &[QUEUE, FUNCTION, OUTCOME],
            ),
            duration: catalogue.histograms(
                About {
                    name: "millrace_worker_task_duration_seconds",
                    help: "How long a function ran.",
                    look: "It rises: what the function calls has become slow.",
                },
                &[QUEUE, FUNCTION],
                buckets::SECONDS,
            ),
            wait: catalogue.histograms(
                About {
                    name: "millrace_worker_task_wait_seconds",
                    help: "From the dispatch of a task to the begin of its function: in Kafka, and for room in the worker.",
                    look: "It rises: too few workers, or too little concurrency.",
                },
                &[QUEUE],
                buckets::SECONDS,
            ),
            running: catalogue.gauges(
                About {
                    name: "millrace_worker_tasks_running",
                    help: "Functions that run now.",
                    look: "At `millrace_worker_concurrency`: there is no room, tasks wait.",
                },
                &[QUEUE],
            ),
            concurrency: catalogue.gauges(
                About {
                    name: "millrace_worker_concurrency",
                    help: "Functions that may run side by side.",
                    look: "With `millrace_worker_tasks_running`.",
                },
                &[QUEUE],
            ),
            lag: catalogue.gauges(
                About {
                    name: "millrace_worker_queue_lag_records",
                    help: "Tasks of the worker's partitions that are not done, as the brokers last told it. Markers of transactions count as tasks, unless nothing else waits.",
                    look: "It grows: more is asked of the workers than they do.",
                },
                &[QUEUE],
            ),
            age: catalogue.gauges_of_seconds(
                About {
                    name: "millrace_worker_queue_age_seconds",
                    help: "Since when the oldest task is there that the worker has read and not done; 0 when there is none.",
                    look: "It grows: one call does not end and holds up the commits of its partition.",
                },
                &[QUEUE],
            ),
            partitions: catalogue.gauges(
                About {
                    name: "millrace_worker_partitions_assigned",
                    help: "Partitions of the queue that the group has given to this worker.",
                    look: "0: there are more workers than partitions.",
                },
                &[QUEUE],
            ),
            panicked: catalogue.counters(
                About {
                    name: "millrace_worker_panics_total",
                    help: "Functions that panicked; each counts as `failed_retriable`, too.",
                    look: "Ever: a bug in the function; the log has it.",
                },
                &[QUEUE],
            ),
            undecodable: catalogue.counters(
                About {
                    name: "millrace_worker_undecodable_total",
                    help: "Records that are no tasks; skipped.",
                    look: "Ever: another program writes the topic, or the worker is too old.",
                },
                &[QUEUE],
            ),
            heartbeats: catalogue.counters(
                About {
                    name: "millrace_worker_heartbeats_total",
                    help: "Heartbeats sent.",
                    look: "Tasks end by a missed heartbeat: are there any?",
                },
                &[QUEUE],
            ),
        }
    }

    /// Those of one worker.
    pub(crate) fn of<'f>(
        &self,
        queue: &str,
        functions: impl IntoIterator<Item = &'f str>,
        concurrency: usize,
    ) -> QueueMetrics {
        let function = |name: &str| Function {
            outcomes: OUTCOMES.map(|outcome| self.tasks.with_label_values(&[queue, name, outcome])),
            duration: self.duration.with_label_values(&[queue, name]),
        };
        let labels = [queue];
        self.concurrency.with_label_values(&labels).set(to_gauge(concurrency));
        self.ready.with_label_values(&labels).set(0);
        QueueMetrics {
            ready: self.ready.with_label_values(&labels),
            received: self.received.with_label_values(&labels),
            functions: functions.into_iter().map(|name| (name.to_owned(), function(name))).collect(),
            others: function(OTHER),
            wait: self.wait.with_label_values(&labels),
            running: self.running.with_label_values(&labels),
            lag: self.lag.with_label_values(&labels),
            age: self.age.with_label_values(&labels),
            partitions: self.partitions.with_label_values(&labels),
            panicked: self.panicked.with_label_values(&labels),
            undecodable: self.undecodable.with_label_values(&labels),
            heartbeats: self.heartbeats.with_label_values(&labels),
        }
    }
}

/// What one worker counts. Read it with [`QueueMetrics::counts`], from any thread.
#[derive(Debug)]
pub struct QueueMetrics {
    pub(crate) ready: IntGauge,
    pub(crate) received: IntCounter,
    functions: BTreeMap<String, Function>,
    others: Function,
    wait: Histogram,
    pub(crate) running: IntGauge,
    lag: IntGauge,
    age: prometheus::Gauge,
    pub(crate) partitions: IntGauge,
    pub(crate) panicked: IntCounter,
    pub(crate) undecodable: IntCounter,
    pub(crate) heartbeats: IntCounter,
}

/// Of one function.
#[derive(Debug)]
struct Function {
    /// In the order of [`OUTCOMES`].
    outcomes: [IntCounter; OUTCOMES.len()],
    duration: Histogram,
}

/// How a task has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    Completed,
    FailedRetriable,
    FailedPermanent,
    Late,
}

/// The values of [`QueueMetrics`] at one time.
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

impl QueueMetrics {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> WorkerCounts {
        let functions = || self.functions.values().chain([&self.others]);
        let ended = |how: Ended| functions().map(|it| it.outcomes[how as usize].get()).sum();
        WorkerCounts {
            received: self.received.get(),
            completed: ended(Ended::Completed),
            failed_retriable: ended(Ended::FailedRetriable),
            failed_permanent: ended(Ended::FailedPermanent),
            late: ended(Ended::Late),
            panicked: self.panicked.get(),
            undecodable: self.undecodable.get(),
            heartbeats: self.heartbeats.get(),
        }
    }

    /// A task has ended that ran for so long.
    pub(crate) fn ended(&self, function: &str, how: Ended, took: Duration) {
        let function = self.functions.get(function).unwrap_or(&self.others);
        function.outcomes[how as usize].inc();
        function.duration.observe(took.as_secs_f64());
    }

    /// A task begins that was sent so long ago.
    pub(crate) fn begun(&self, waited: Duration) {
        self.wait.observe(waited.as_secs_f64());
    }

    /// How many tasks are not done, and how old the oldest is that was read.
    pub(crate) fn behind(&self, tasks: usize, age: Duration) {
        self.lag.set(to_gauge(tasks));
        self.age.set(age.as_secs_f64());
    }
}

/// One that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct RunningTask(Arc<QueueMetrics>);

impl RunningTask {
    pub(crate) fn new(metrics: &Arc<QueueMetrics>) -> Self {
        metrics.running.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        self.0.running.dec();
    }
}

fn to_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue's producers could else make a scrape as large as they like.
    #[test]
    fn functions_that_the_worker_has_not_share_a_series() {
        let registry = Registry::new();
        let metrics = WorkerMetrics::registered(&registry).of("orders", ["charge"], 8);
        for number in 0..1_000 {
            metrics.ended(&format!("f{number}"), Ended::FailedPermanent, Duration::ZERO);
        }
        metrics.ended("charge", Ended::Completed, Duration::from_millis(3));
        let families = registry.gather();
        let tasks = families.iter().find(|it| it.name() == "millrace_worker_tasks_total");
        assert_eq!(tasks.map(|it| it.get_metric().len()), Some(2 * OUTCOMES.len()));
        assert_eq!(
            metrics.counts(),
            WorkerCounts { completed: 1, failed_permanent: 1_000, ..WorkerCounts::default() }
        );
    }

    #[test]
    fn workers_of_several_queues_count_side_by_side() {
        let registry = Registry::new();
        let all = WorkerMetrics::registered(&registry);
        let (orders, trips) = (all.of("orders", ["charge"], 8), all.of("trips", ["book"], 4));
        orders.received.inc();
        assert_eq!((orders.counts().received, trips.counts().received), (1, 0));
    }
}
