//! Metrics of a processor, for Prometheus. Names are stable, and what tells series apart is bounded: partitions, names of this program, and
//! names of users up to a cap. `ops/METRICS.md` is made of this folder.
//!
//! One file for each thing that they are about: [`instances`], [`records`], [`tasks`], [`timers`], [`transactions`], [`partitions`],
//! [`store`], [`member`].

mod instances;
mod member;
mod partitions;
mod records;
mod store;
mod tasks;
mod timers;
mod transactions;

use millrace_metrics::Catalogue;
use millrace_partition::Observation;
use millrace_schemas::Timestamp;

pub(crate) use member::{MOVED_AWAY, MOVED_HERE, MOVED_LOST};
pub(crate) use partitions::{Acquisition, Shown};
pub(crate) use store::Operation;

/// All metrics of a processor. Cheap to clone: clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    instances: instances::Instances,
    records: records::Records,
    tasks: tasks::Tasks,
    timers: timers::Timers,
    pub(crate) transactions: transactions::Transactions,
    pub(crate) partitions: partitions::Partitions,
    pub(crate) store: store::Store,
    pub(crate) member: member::Member,
}

impl Metrics {
    /// Makes the metrics.
    ///
    /// # Panics
    /// When there are metrics of these names already: one registry serves one processor.
    #[must_use]
    pub fn new(catalogue: &mut Catalogue<'_>) -> Self {
        Self {
            instances: instances::Instances::new(catalogue),
            records: records::Records::new(catalogue),
            tasks: tasks::Tasks::new(catalogue),
            timers: timers::Timers::new(catalogue),
            transactions: transactions::Transactions::new(catalogue),
            partitions: partitions::Partitions::new(catalogue),
            store: store::Store::new(catalogue),
            member: member::Member::new(catalogue),
        }
    }

    /// Counts what a partition has told.
    pub(crate) fn observe(&self, observation: &Observation, now: Timestamp) {
        match observation {
            Observation::InstanceStarted { workflow } => self.instances.started(&workflow.workflow),
            Observation::InstanceEnded { workflow, status, started_at } => {
                self.instances.ended(&workflow.workflow, status, now.since(*started_at));
            }
            Observation::CommandDecided { command, events, steps } => {
                self.instances.decided(command, *events, *steps);
            }
            Observation::CommandRejected { command, reason } => self.instances.rejected(command, reason),
            Observation::IncidentRaised { kind, .. } => self.instances.incident(kind),
            Observation::InstanceQuarantined { .. } => self.instances.quarantined(),
            Observation::DeadLettered { reason, .. } => self.records.dead_lettered(reason),
            Observation::Forwarded => self.records.forwarded(),
            Observation::EventPublished => self.records.published(),
            Observation::EventDelivered { listeners } => self.records.delivered(*listeners),
            Observation::EventKept => self.records.kept(),
            Observation::RecordsPassedOver { count } => self.records.passed_over(*count),
            Observation::SourceMoved { moved, .. } => self.records.source_moved(*moved),
            Observation::BatchCommitted { latencies, lookups, misses } => {
                self.records.committed(latencies);
                self.instances.looked_up(*lookups, *misses);
            }
            Observation::RunScheduled => self.timers.run_scheduled(),
            Observation::StartsSkipped { count } => self.timers.starts_skipped(*count),
            Observation::TimerFired { lateness } => self.timers.fired(*lateness),
            Observation::ClockBehind { .. } => self.timers.clock_behind(),
            Observation::TaskDispatched { queue } => self.tasks.dispatched(queue),
            Observation::TaskEnded { queue, outcome, took } => self.tasks.ended(queue, outcome, *took),
        }
    }

    /// A page of the timer index was read.
    pub(crate) fn timer_page(&self) {
        self.timers.page();
    }

    /// What a partition is like now.
    pub(crate) fn show(&self, shown: &Shown<'_>) {
        self.partitions.show(shown);
        self.tasks.show(shown.partition, shown.tasks, shown.now);
    }

    /// The partition is somebody else's now: its series end here.
    pub(crate) fn forget_partition(&self, partition: u32) {
        self.partitions.forget(partition);
        self.tasks.forget(partition);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millrace_partition::{Gauges, OpenTasks};
    use millrace_schemas::{Offset, WorkflowName, WorkflowVersion};
    use prometheus::Registry;

    use super::*;
    use crate::backlog::Backlog;

    /// Whoever may deploy could else make every scrape as large as they like.
    #[test]
    fn names_of_users_make_a_bounded_number_of_series() {
        let registry = Registry::new();
        let metrics = Metrics::new(&mut Catalogue::new(&registry));
        let (at, end) = (Timestamp(0), Timestamp(1_000));
        for number in 0..5_000 {
            let workflow = WorkflowVersion {
                workflow: WorkflowName { namespace: "n".into(), name: format!("w{number}").into() },
                version: "1.0.0".into(),
            };
            let queue = format!("q{number}").into();
            let started = Observation::InstanceStarted { workflow: workflow.clone() };
            let ended = Observation::InstanceEnded { workflow, status: "completed", started_at: at };
            let sent = Observation::TaskDispatched { queue: std::sync::Arc::clone(&queue) };
            let took = Duration::from_secs(1);
            let answered = Observation::TaskEnded { queue, outcome: "completed", took };
            for observation in [started, ended, sent, answered] {
                metrics.observe(&observation, end);
            }
        }
        let tasks: Vec<OpenTasks> =
            (0..5_000).map(|it| OpenTasks { queue: format!("q{it}").into(), count: 1, oldest: at }).collect();
        metrics.show(&shown("7", &tasks, end));
        for family in registry.gather() {
            let series = family.get_metric().len();
            assert!(series <= 3 * 101, "{} has {series} series", family.name());
        }
    }

    /// Else the last owner would tell of it until it ends.
    #[test]
    fn a_partition_that_has_gone_leaves_no_series() {
        let registry = Registry::new();
        let metrics = Metrics::new(&mut Catalogue::new(&registry));
        let tasks: Vec<OpenTasks> = (0..200)
            .map(|it| OpenTasks { queue: format!("q{it}").into(), count: 1, oldest: Timestamp(0) })
            .collect();
        metrics.partitions.assigned(7, false);
        let of_partitions = || {
            let families = registry.gather();
            let series = families.iter().flat_map(|it| it.get_metric());
            series.filter(|it| it.get_label().iter().any(|it| it.name() == "partition")).count()
        };
        assert_eq!(of_partitions(), 2);
        metrics.show(&shown("7", &tasks, Timestamp(60_000)));
        assert_eq!(of_partitions(), 2 + 2 + 13 + 2 * 101);
        metrics.forget_partition(7);
        assert_eq!(of_partitions(), 0);
    }

    fn shown<'a>(partition: &'a str, tasks: &'a [OpenTasks], now: Timestamp) -> Shown<'a> {
        static GAUGES: Gauges = Gauges {
            is_active: true,
            inbox_records: 0,
            instances_cached: 0,
            cache_bytes: 0,
            instances_dirty: 0,
            instances_quarantined: 0,
            timers_near: 0,
            timers_unindexed: 0,
            timer_pages: 0,
            timers_low_watermark: Timestamp(0),
            changelog_end: Offset(0),
            checkpoint_offset: Offset(0),
            checkpoint_at: None,
            unwritten_since: None,
            tail_entries: 0,
            tail_bytes: 0,
        };
        Shown { partition, gauges: &GAUGES, backlog: Some(Backlog::default()), tasks, has_failed: false, now }
    }

    #[test]
    fn names_say_what_they_are() {
        let registry = Registry::new();
        let mut catalogue = Catalogue::new(&registry);
        let _metrics = Metrics::new(&mut catalogue);
        for entry in catalogue.into_entries() {
            let name = entry.about.name;
            assert!(name.starts_with("millrace_"), "{name}");
            let is_counter = entry.kind == millrace_metrics::Kind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            let is_sentence = |it: &str| it.ends_with(['.', '?']);
            assert!(is_sentence(entry.about.help) && is_sentence(entry.about.look), "{name}");
        }
    }
}
