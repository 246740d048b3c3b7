//! Metrics of a processor, for Prometheus. Names are stable; labels are bounded: partitions, commands, reasons, and deployed workflows.

use millrace_partition::{Gauges, Moved, Observation};
use millrace_schemas::Timestamp;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// All metrics of a processor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) instances_started: IntCounterVec,
    pub(crate) instances_ended: IntCounterVec,
    pub(crate) instance_duration: HistogramVec,
    pub(crate) commands: IntCounterVec,
    pub(crate) commands_rejected: IntCounterVec,
    pub(crate) events: IntCounter,
    pub(crate) dead_letters: IntCounterVec,
    pub(crate) incidents: IntCounterVec,
    pub(crate) quarantined: IntCounter,
    pub(crate) forwarded: IntCounter,
    pub(crate) events_published: IntCounter,
    pub(crate) events_delivered: IntCounter,
    pub(crate) events_kept: IntCounter,
    pub(crate) schedule_starts: IntCounter,
    pub(crate) schedule_starts_skipped: IntCounter,
    pub(crate) records_passed_over: IntCounter,
    pub(crate) sources_moved: IntCounterVec,
    pub(crate) tasks_dispatched: IntCounter,
    pub(crate) timers_fired: IntCounter,
    pub(crate) timer_lateness: Histogram,
    pub(crate) timer_pages: IntCounter,
    pub(crate) clocks_behind: IntCounter,
    pub(crate) transactions: IntCounterVec,
    pub(crate) transaction_duration: Histogram,
    pub(crate) store_duration: HistogramVec,
    pub(crate) store_errors: IntCounterVec,
    pub(crate) definitions: IntGauge,
    pub(crate) definitions_rejected: IntCounter,
    pub(crate) partitions_active: IntGauge,
    pub(crate) acquire_duration: Histogram,
    partition_inbox: IntGaugeVec,
    partition_cached: IntGaugeVec,
    partition_cache_bytes: IntGaugeVec,
    partition_dirty: IntGaugeVec,
    partition_quarantined: IntGaugeVec,
    partition_timers: IntGaugeVec,
    partition_timers_unindexed: IntGaugeVec,
    partition_timers_behind: IntGaugeVec,
    partition_tail: IntGaugeVec,
    partition_tail_entries: IntGaugeVec,
    partition_tail_bytes: IntGaugeVec,
    partition_failed: IntGaugeVec,
}

/// From a millisecond to a quarter of an hour.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];

impl Metrics {
    /// Makes the metrics and registers them.
    ///
    /// # Panics
    /// When `registry` has metrics of these names already: one registry serves one processor.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help));
        let by_partition = |name: &str, help: &str| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), &["partition"]))
        };
        let histogram = |name: &str, help: &str| {
            register(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec())))
        };
        let histograms = |name: &str, help: &str, labels: &[&str]| {
            register(
                registry,
                HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels),
            )
        };
        Self {
            instances_started: counters(
                "millrace_instances_started_total",
                "Instances started.",
                &["workflow"],
            ),
            instances_ended: counters(
                "millrace_instances_ended_total",
                "Instances ended, by how.",
                &["workflow", "status"],
            ),
            instance_duration: histograms(
                "millrace_instance_duration_seconds",
                "From the start of an instance to its end.",
                &["workflow"],
            ),
            commands: counters("millrace_commands_total", "Commands decided.", &["command"]),
            commands_rejected: counters(
                "millrace_commands_rejected_total",
                "Commands refused.",
                &["command", "reason"],
            ),
            events: counter("millrace_events_total", "Events written to the changelog."),
            dead_letters: counters(
                "millrace_dead_letters_total",
                "Records sent to the dead letters.",
                &["reason"],
            ),
            incidents: counters(
                "millrace_incidents_total",
                "Incidents raised: an operator must act.",
                &["kind"],
            ),
            quarantined: counter(
                "millrace_instances_quarantined_total",
                "Instances set aside because their log and the code disagree.",
            ),
            forwarded: counter(
                "millrace_records_forwarded_total",
                "Records that a producer placed on another partition than their key's home.",
            ),
            events_published: counter(
                "millrace_events_published_total",
                "Events without an address that were sent to whoever listens.",
            ),
            events_delivered: counter(
                "millrace_events_delivered_total",
                "Events that found a listener, counted for each.",
            ),
            events_kept: counter(
                "millrace_events_kept_total",
                "Events that nobody listened for when they came: they wait, each in one channel.",
            ),
            schedule_starts: counter(
                "millrace_schedule_starts_total",
                "Instances that were started by schedules, by the clock or because somebody asked.",
            ),
            schedule_starts_skipped: counter(
                "millrace_schedule_starts_skipped_total",
                "Starts that schedules have left out: too late, or because of a run that had not ended.",
            ),
            records_passed_over: counter(
                "millrace_records_passed_over_total",
                "Records of users' topics with no event that a definition listens for.",
            ),
            sources_moved: counters(
                "millrace_sources_moved_total",
                "Partitions of users' topics that do not hold what was to be read next: trimmed, or made anew.",
                &["reason"],
            ),
            tasks_dispatched: counter("millrace_tasks_dispatched_total", "Tasks sent to workers."),
            timers_fired: counter("millrace_timers_fired_total", "Timers that acted."),
            timer_lateness: histogram(
                "millrace_timer_lateness_seconds",
                "From the due time of a timer to its decision.",
            ),
            timer_pages: counter(
                "millrace_timer_pages_loaded_total",
                "Pages of the timer index that were read.",
            ),
            clocks_behind: counter(
                "millrace_clock_behind_total",
                "Restores that found entries more than half a second in the future: a clock of the fleet is wrong.",
            ),
            transactions: counters(
                "millrace_transactions_total",
                "Kafka transactions, by outcome.",
                &["outcome"],
            ),
            transaction_duration: histogram(
                "millrace_transaction_duration_seconds",
                "From handing a transaction to the producer to its known outcome.",
            ),
            store_duration: histograms(
                "millrace_store_duration_seconds",
                "Time of one operation on the snapshot store.",
                &["operation"],
            ),
            store_errors: counters(
                "millrace_store_errors_total",
                "Failed operations on the snapshot store; each is tried again.",
                &["operation"],
            ),
            definitions: gauge("millrace_definitions", "Workflow versions that this processor can run."),
            definitions_rejected: counter(
                "millrace_definitions_rejected_total",
                "Records of the definitions topic that cannot be used.",
            ),
            partitions_active: gauge("millrace_partitions_active", "Partitions that this processor serves."),
            acquire_duration: histogram(
                "millrace_partition_acquire_duration_seconds",
                "From the assignment of a partition until it serves.",
            ),
            partition_inbox: by_partition(
                "millrace_partition_inbox_records",
                "Records read and not yet handled.",
            ),
            partition_cached: by_partition("millrace_partition_instances_cached", "Instances in memory."),
            partition_cache_bytes: by_partition(
                "millrace_partition_cache_bytes",
                "Size of the instances in memory, approximately.",
            ),
            partition_dirty: by_partition(
                "millrace_partition_instances_dirty",
                "Instances whose snapshot is behind.",
            ),
            partition_quarantined: by_partition(
                "millrace_partition_instances_quarantined",
                "Instances set aside.",
            ),
            partition_timers: by_partition("millrace_partition_timers_near", "Timers in memory, due soon."),
            partition_timers_unindexed: by_partition(
                "millrace_partition_timers_unindexed",
                "Timers that the index in the snapshot store does not hold yet.",
            ),
            partition_timers_behind: by_partition(
                "millrace_partition_timers_behind_seconds",
                "Age of the oldest due time that may not have been worked off: how far a herd of timers is behind.",
            ),
            partition_tail: by_partition(
                "millrace_partition_tail_records",
                "Changelog offsets from the checkpoint to the end: what a restore would read.",
            ),
            partition_tail_entries: by_partition(
                "millrace_partition_tail_entries",
                "Changelog entries from the checkpoint to the end: what a restore would apply.",
            ),
            partition_tail_bytes: by_partition(
                "millrace_partition_tail_bytes",
                "Their bytes, before compression.",
            ),
            partition_failed: by_partition(
                "millrace_partition_failed",
                "1 if the partition cannot be restored and an operator must act; the log says why.",
            ),
        }
    }

    pub(crate) fn observe(&self, observation: &Observation) {
        match observation {
            Observation::InstanceStarted { workflow } => {
                self.instances_started.with_label_values(&[&workflow.workflow.to_string()]).inc();
            }
            Observation::InstanceEnded { workflow, status, duration } => {
                let name = workflow.workflow.to_string();
                self.instances_ended.with_label_values(&[name.as_str(), status]).inc();
                self.instance_duration.with_label_values(&[&name]).observe(duration.as_secs_f64());
            }
            Observation::CommandDecided { command, events } => {
                self.commands.with_label_values(&[command]).inc();
                self.events.inc_by(*events as u64);
            }
            Observation::CommandRejected { command, reason } => {
                self.commands_rejected.with_label_values(&[command, reason]).inc();
            }
            Observation::IncidentRaised { kind, .. } => self.incidents.with_label_values(&[kind]).inc(),
            Observation::InstanceQuarantined { .. } => self.quarantined.inc(),
            Observation::DeadLettered { reason, .. } => self.dead_letters.with_label_values(&[reason]).inc(),
            Observation::Forwarded => self.forwarded.inc(),
            Observation::EventPublished => self.events_published.inc(),
            Observation::EventDelivered { listeners } => self.events_delivered.inc_by(*listeners as u64),
            Observation::EventKept => self.events_kept.inc(),
            Observation::RunScheduled => self.schedule_starts.inc(),
            Observation::StartsSkipped { count } => self.schedule_starts_skipped.inc_by(*count),
            Observation::ClockBehind { .. } => self.clocks_behind.inc(),
            Observation::RecordsPassedOver { count } => self.records_passed_over.inc_by(*count as u64),
            Observation::SourceMoved { moved, .. } => {
                let reason = match moved {
                    Moved::Trimmed => "trimmed",
                    Moved::MadeAnew => "made-anew",
                };
                self.sources_moved.with_label_values(&[reason]).inc();
            }
            Observation::TaskDispatched => self.tasks_dispatched.inc(),
            Observation::TimerFired { lateness } => {
                self.timers_fired.inc();
                self.timer_lateness.observe(lateness.as_secs_f64());
            }
        }
    }

    pub(crate) fn partition(&self, partition: u32, gauges: &Gauges, has_failed: bool, now: Timestamp) {
        let label = partition.to_string();
        let behind_ms =
            if gauges.is_active { now.0.saturating_sub(gauges.timers_low_watermark.0) } else { 0 };
        for (metric, value) in [
            (&self.partition_inbox, gauges.inbox_records),
            (&self.partition_cached, gauges.instances_cached),
            (&self.partition_cache_bytes, gauges.cache_bytes),
            (&self.partition_dirty, gauges.instances_dirty),
            (&self.partition_quarantined, gauges.instances_quarantined),
            (&self.partition_timers, gauges.timers_near),
            (&self.partition_timers_unindexed, gauges.timers_unindexed),
            (&self.partition_timers_behind, usize::try_from(behind_ms / 1_000).unwrap_or(0)),
            (&self.partition_tail_entries, gauges.tail_entries),
            (&self.partition_tail_bytes, gauges.tail_bytes),
            (&self.partition_failed, usize::from(has_failed)),
        ] {
            metric.with_label_values(&[&label]).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.partition_tail
            .with_label_values(&[&label])
            .set(gauges.changelog_end.0 - gauges.checkpoint_offset.0);
    }

    /// The partition is somebody else's now: its series end here.
    pub(crate) fn forget_partition(&self, partition: u32) {
        let label = partition.to_string();
        for metric in [
            &self.partition_inbox,
            &self.partition_cached,
            &self.partition_cache_bytes,
            &self.partition_dirty,
            &self.partition_quarantined,
            &self.partition_timers,
            &self.partition_timers_unindexed,
            &self.partition_timers_behind,
            &self.partition_tail,
            &self.partition_tail_entries,
            &self.partition_tail_bytes,
            &self.partition_failed,
        ] {
            // Not there if the partition was never served.
            let _ = metric.remove_label_values(&[&label]);
        }
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> C {
    let metric = metric.expect("names and labels are constants of the right form");
    registry.register(Box::new(metric.clone())).expect("one registry serves one processor");
    metric
}
