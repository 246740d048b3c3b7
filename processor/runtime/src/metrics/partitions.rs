//! Of partitions that this processor owns: how far behind they are, what they hold in memory, what a restore of them would cost, and how
//! long one took. Their series end when the partition goes.

use std::time::{Duration, Instant};

use millrace_metrics::{About, Catalogue, Label, buckets};
use millrace_partition::{Gauges, OpenTasks};
use millrace_schemas::Timestamp;
use prometheus::{Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use crate::backlog::Backlog;

pub(super) const PARTITION: Label = Label::bounded("partition", "partitions that the process owns");

const PHASES: [&str; 3] = ["ownership", "replay", "claim"];

/// What is shown of a partition.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    /// Which: the value of the label.
    pub(crate) partition: &'a str,
    pub(crate) gauges: &'a Gauges,
    /// None until it serves.
    pub(crate) backlog: Option<Backlog>,
    pub(crate) tasks: &'a [OpenTasks],
    pub(crate) has_failed: bool,
    pub(crate) now: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct Partitions {
    serving: IntGaugeVec,
    failed: IntGaugeVec,
    backlog_records: IntGaugeVec,
    backlog_seconds: prometheus::GaugeVec,
    /// Whole numbers that the partition itself tells.
    told: [(IntGaugeVec, Figure); 13],
    acquire: Histogram,
    phases: HistogramVec,
    replayed: IntCounter,
    renewed: IntCounterVec,
}

/// One of the numbers.
type Figure = fn(&Gauges, Timestamp) -> u64;

/// A partition on its way from being assigned to serving.
#[derive(Debug)]
pub(crate) struct Acquisition {
    began: Instant,
    phase: usize,
    phase_began: Instant,
}

impl Acquisition {
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        Self { began: now, phase: 0, phase_began: now }
    }
}

impl Partitions {
    pub(super) fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Partitions");
        let mut gauges = |name, help, look| catalogue.gauges(About { name, help, look }, &[PARTITION]);
        let serving = gauges(
            "millrace_partition_serving",
            "1 if the partition serves, 0 while it is being restored.",
            "0 for minutes: the log says what the restore waits for.",
        );
        let failed = gauges(
            "millrace_partition_failed",
            "1 if the partition cannot be restored and an operator must act; the log says why.",
            "Ever: `millrace era show`, and the runbook.",
        );
        let backlog_records = gauges(
            "millrace_partition_backlog_records",
            "Lag: how far the position in the sources is behind their ends, as the brokers last told the reader. Markers of transactions count as records, unless nothing else waits.",
            "It grows: more comes in than is handled; scale, or see what slows the partition down.",
        );
        let told = [
            (
                gauges(
                    "millrace_partition_inbox_records",
                    "Records in memory that are not in a batch yet.",
                    "At `--inbox-max`: reading is paused, for the partition is behind.",
                ),
                (|it, _| it.inbox_records as u64) as Figure,
            ),
            (
                gauges(
                    "millrace_partition_instances_cached",
                    "Instances in memory.",
                    "With `millrace_partition_cache_bytes`: how large they are.",
                ),
                |it, _| it.instances_cached as u64,
            ),
            (
                gauges(
                    "millrace_partition_cache_bytes",
                    "Size of the instances in memory, approximately.",
                    "Memory of the process: beyond `--cache-mib` only what is dirty stays.",
                ),
                |it, _| it.cache_bytes as u64,
            ),
            (
                gauges(
                    "millrace_partition_instances_dirty",
                    "Instances whose snapshot is behind.",
                    "It grows without end: the store does not take what is flushed.",
                ),
                |it, _| it.instances_dirty as u64,
            ),
            (
                gauges(
                    "millrace_partition_instances_quarantined",
                    "Instances set aside, of those that were looked at.",
                    "Not 0: see the runbook.",
                ),
                |it, _| it.instances_quarantined as u64,
            ),
            (
                gauges(
                    "millrace_partition_timers_near",
                    "Pending timers in memory: those due soon. The others are in the store's index.",
                    "At `--timers-near`: many timers are due at about the same time.",
                ),
                |it, _| it.timers_near as u64,
            ),
            (
                gauges(
                    "millrace_partition_timers_unindexed",
                    "Pending timers that the index in the snapshot store does not hold yet.",
                    "It grows without end: the store does not take what is flushed.",
                ),
                |it, _| it.timers_unindexed as u64,
            ),
            (
                gauges(
                    "millrace_partition_timers_behind_seconds",
                    "Age of the oldest due time that may not have been worked off: how far a herd of timers is behind.",
                    "It grows: more timers are due than `--timer-fires-per-second` or the partition allow.",
                ),
                |it, now| if it.is_active { seconds(it.timers_low_watermark, now) } else { 0 },
            ),
            (
                gauges(
                    "millrace_partition_snapshot_age_seconds",
                    "Age of the oldest change that the store does not hold; 0 if there is none.",
                    "Much more than `--flush-interval`: the store does not take what is flushed.",
                ),
                |it, now| it.unwritten_since.map_or(0, |since| seconds(since, now)),
            ),
            (
                gauges(
                    "millrace_partition_checkpoint_age_seconds",
                    "Age of the checkpoint that a restore would begin with; 0 if nothing has come after it.",
                    "It grows: something dirty holds the checkpoint, and restores get longer.",
                ),
                |it, now| match it.checkpoint_at {
                    Some(at) if it.tail_entries > 0 => seconds(at, now),
                    _ => 0,
                },
            ),
            (
                gauges(
                    "millrace_partition_tail_records",
                    "Changelog offsets from the checkpoint to the end: what a restore would read.",
                    "How long a takeover would be.",
                ),
                |it, _| u64::try_from(it.changelog_end.0 - it.checkpoint_offset.0).unwrap_or(0),
            ),
            (
                gauges(
                    "millrace_partition_tail_entries",
                    "Changelog entries from the checkpoint to the end: what a restore would apply.",
                    "Near `--unflushed-entries`: processing waits for the store.",
                ),
                |it, _| it.tail_entries as u64,
            ),
            (
                gauges(
                    "millrace_partition_tail_bytes",
                    "Their bytes, before compression.",
                    "Near `--unflushed-bytes`: processing waits for the store.",
                ),
                |it, _| it.tail_bytes as u64,
            ),
        ];
        Self {
            serving,
            failed,
            backlog_records,
            backlog_seconds: catalogue.gauges_of_seconds(
                About {
                    name: "millrace_partition_backlog_seconds",
                    help: "Age of the next record to be handled; 0 when none waits.",
                    look: "What a new record will wait for. It grows: see the backlog's records.",
                },
                &[PARTITION],
            ),
            told,
            acquire: catalogue.histogram(
                About {
                    name: "millrace_partition_acquire_duration_seconds",
                    help: "Takeover: from the assignment of a partition until it serves.",
                    look: "Users wait that long when a member goes. `millrace_partition_acquire_phase_seconds` says for what.",
                },
                buckets::SECONDS,
            ),
            phases: catalogue.histograms(
                About {
                    name: "millrace_partition_acquire_phase_seconds",
                    help: "Parts of that: `ownership`, until the last owner's transactions are decided and the checkpoint is read; `replay`, reading and applying the changelog; `claim`, committing that it is ours.",
                    look: "`ownership` is long: a member was killed, and its transaction had to time out. `replay` is long: the tail is.",
                },
                &[Label::known("phase", &PHASES)],
                buckets::SECONDS,
            ),
            replayed: catalogue.counter(About {
                name: "millrace_replayed_entries_total",
                help: "Changelog entries that restores have applied.",
                look: "With the number of takeovers: how long their tails are.",
            }),
            renewed: catalogue.counters(
                About {
                    name: "millrace_partitions_renewed_total",
                    help: "Partitions that were restored again without having gone: a transaction with an unknown outcome, a restore that failed, one that cannot succeed yet.",
                    look: "It rises: the brokers do not answer in time, or an operator must act (`millrace_partition_failed`).",
                },
                &[Label::known("why", &["commit_unknown", "restore_failed", "cannot_restore"])],
            ),
        }
    }

    /// A partition has been assigned: it does not serve yet.
    pub(crate) fn assigned(&self, partition: u32, has_failed: bool) {
        let label = partition.to_string();
        self.serving.with_label_values(&[&label]).set(0);
        self.failed.with_label_values(&[&label]).set(i64::from(has_failed));
    }

    /// A partition has come to the end of a phase.
    pub(crate) fn passed(&self, acquisition: &mut Acquisition) {
        if let Some(phase) = PHASES.get(acquisition.phase) {
            let took = std::mem::replace(&mut acquisition.phase_began, Instant::now()).elapsed();
            self.phases.with_label_values(&[phase]).observe(took.as_secs_f64());
            acquisition.phase += 1;
        }
    }

    /// A partition serves. Answers how long that took.
    pub(crate) fn acquired(&self, mut acquisition: Acquisition, replayed: usize) -> Duration {
        self.passed(&mut acquisition);
        let took = acquisition.began.elapsed();
        self.acquire.observe(took.as_secs_f64());
        self.replayed.inc_by(replayed as u64);
        took
    }

    pub(crate) fn renewed(&self, why: &str) {
        self.renewed.with_label_values(&[why]).inc();
    }

    pub(super) fn show(&self, shown: &Shown<'_>) {
        let Shown { partition, gauges, backlog, has_failed, now, .. } = shown;
        self.serving.with_label_values(&[partition]).set(i64::from(gauges.is_active));
        self.failed.with_label_values(&[partition]).set(i64::from(*has_failed));
        if let Some(Backlog { records, age }) = backlog {
            self.backlog_records.with_label_values(&[partition]).set(to_gauge(*records));
            let of_age: Gauge = self.backlog_seconds.with_label_values(&[partition]);
            of_age.set(age.as_secs_f64());
        }
        for (gauge, figure) in &self.told {
            gauge.with_label_values(&[partition]).set(to_gauge(figure(gauges, *now)));
        }
    }

    pub(super) fn forget(&self, partition: u32) {
        let label = partition.to_string();
        let own = [&self.serving, &self.failed, &self.backlog_records];
        for gauge in own.into_iter().chain(self.told.iter().map(|it| &it.0)) {
            // Not there if the partition was never served.
            let _ = gauge.remove_label_values(&[&label]);
        }
        let _ = self.backlog_seconds.remove_label_values(&[&label]);
    }
}

fn seconds(earlier: Timestamp, now: Timestamp) -> u64 {
    now.since(earlier).as_secs()
}

/// A count as a gauge takes it.
pub(super) fn to_gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
