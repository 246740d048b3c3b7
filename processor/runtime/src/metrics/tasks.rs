//! Of tasks, as the processor sees them: sent, and not answered yet. What workers see is theirs to tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_metrics::{About, Capped, Catalogue, Label, OTHER, buckets};
use millrace_partition::OpenTasks;
use millrace_schemas::Timestamp;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::partitions::{PARTITION, to_gauge};

/// So many queues have series of their own.
const QUEUES_MAX: usize = 100;

const QUEUE: Label = Label::bounded("queue", "of the first 100 queues that a process meets, then `other`");
const OUTCOMES: [&str; 3] = ["completed", "failed", "timed_out"];

#[derive(Clone, Debug)]
pub(super) struct Tasks {
    dispatched: IntCounterVec,
    ended: IntCounterVec,
    duration: HistogramVec,
    queues: Capped<Arc<str>, Series>,
    open: IntGaugeVec,
    age: IntGaugeVec,
}

/// Those of one queue.
#[derive(Clone, Debug)]
struct Series {
    /// The value of the label.
    name: Arc<str>,
    dispatched: IntCounter,
    /// In the order of [`OUTCOMES`].
    ended: [IntCounter; OUTCOMES.len()],
    duration: Histogram,
}

impl Tasks {
    pub(super) fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Tasks");
        Self {
            dispatched: catalogue.counters(
                About {
                    name: "millrace_tasks_dispatched_total",
                    help: "Tasks sent to workers.",
                    look: "What a queue's workers are asked for.",
                },
                &[QUEUE],
            ),
            ended: catalogue.counters(
                About {
                    name: "millrace_tasks_ended_total",
                    help: "Tasks that a worker has answered, or has not in time. What was cancelled is not counted.",
                    look: "None are, though some are dispatched: nobody serves the queue. Many `failed`: the workers are broken.",
                },
                &[QUEUE, Label::bounded("outcome", "`completed`, `failed`, `timed_out`")],
            ),
            duration: catalogue.histograms(
                About {
                    name: "millrace_task_duration_seconds",
                    help: "From entering a task to the decision about its answer: the way to the worker and back included.",
                    look: "Compare with `millrace_worker_task_duration_seconds`: the rest is waiting, in Kafka or for room in the worker.",
                },
                &[QUEUE],
                buckets::LONG_SECONDS,
            ),
            queues: Capped::new(QUEUES_MAX),
            open: catalogue.gauges(
                About {
                    name: "millrace_partition_tasks_open",
                    help: "Depth of a queue: tasks that are sent and not answered, of those that began since this processor has the partition.",
                    look: "It grows: more is asked of the workers than they do. After a takeover it begins with 0.",
                },
                &[PARTITION, QUEUE],
            ),
            age: catalogue.gauges(
                About {
                    name: "millrace_partition_task_age_seconds",
                    help: "Age of the oldest of them, to ten seconds.",
                    look: "It grows: a task has been forgotten by its worker, or none is there; give calls a timeout.",
                },
                &[PARTITION, QUEUE],
            ),
        }
    }

    fn of(&self, queue: &Arc<str>) -> Series {
        self.queues.of(queue, |name| Series {
            name: name.into(),
            dispatched: self.dispatched.with_label_values(&[name]),
            ended: OUTCOMES.map(|outcome| self.ended.with_label_values(&[name, outcome])),
            duration: self.duration.with_label_values(&[name]),
        })
    }

    pub(super) fn dispatched(&self, queue: &Arc<str>) {
        self.of(queue).dispatched.inc();
    }

    pub(super) fn ended(&self, queue: &Arc<str>, outcome: &str, took: Duration) {
        let series = self.of(queue);
        if let Some(place) = OUTCOMES.iter().position(|it| *it == outcome) {
            series.ended[place].inc();
        }
        series.duration.observe(took.as_secs_f64());
    }

    pub(super) fn show(&self, partition: &str, tasks: &[OpenTasks], now: Timestamp) {
        // Several queues may share a series.
        let mut shown: BTreeMap<Arc<str>, (u64, Duration)> = BTreeMap::new();
        for OpenTasks { queue, count, oldest } in tasks {
            let (open, age) = shown.entry(self.of(queue).name).or_default();
            *open += count;
            *age = (*age).max(now.since(*oldest));
        }
        for (queue, (open, age)) in shown {
            let labels = [partition, &queue];
            self.open.with_label_values(&labels).set(to_gauge(open));
            self.age.with_label_values(&labels).set(to_gauge(age.as_secs()));
        }
    }

    pub(super) fn forget(&self, partition: u32) {
        let partition = partition.to_string();
        let queues = self.queues.values(|it| Arc::clone(&it.name));
        for queue in queues.into_iter().chain([OTHER.into()]) {
            for gauge in [&self.open, &self.age] {
                // Not there if the partition has had no task of it.
                let _ = gauge.remove_label_values(&[partition.as_str(), &queue]);
            }
        }
    }
}
