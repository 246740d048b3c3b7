//! Of instances and what is decided about them.

use std::time::Duration;

use millrace_metrics::{About, Capped, Catalogue, Label, buckets};
use millrace_schemas::WorkflowName;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// So many workflows have series of their own.
const WORKFLOWS_MAX: usize = 100;

const WORKFLOW: Label = Label::bounded(
    "workflow",
    "`namespace/name`; of the first 100 workflows that a process meets, then `other`",
);
const STATUSES: [&str; 3] = ["completed", "faulted", "cancelled"];
const STATUS: Label = Label::bounded("status", "`completed`, `faulted`, `cancelled`");
const COMMAND: Label = Label::bounded("command", "a command's name, as in `schemas/RECORDS.md`");

#[derive(Clone, Debug)]
pub(super) struct Instances {
    started: IntCounterVec,
    ended: IntCounterVec,
    duration: HistogramVec,
    workflows: Capped<WorkflowName, Series>,
    commands: IntCounterVec,
    rejected: IntCounterVec,
    events: IntCounter,
    steps: IntCounter,
    incidents: IntCounterVec,
    quarantined: IntCounter,
    lookups: IntCounter,
    misses: IntCounter,
}

/// Those of one workflow.
#[derive(Clone, Debug)]
struct Series {
    started: IntCounter,
    /// In the order of [`STATUSES`].
    ended: [IntCounter; STATUSES.len()],
    duration: Histogram,
}

impl Instances {
    pub(super) fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Instances");
        Self {
            started: catalogue.counters(
                About {
                    name: "millrace_instances_started_total",
                    help: "Instances started.",
                    look: "Is work coming in? Compare with `millrace_instances_ended_total`.",
                },
                &[WORKFLOW],
            ),
            ended: catalogue.counters(
                About {
                    name: "millrace_instances_ended_total",
                    help: "Instances ended, by how.",
                    look: "The share of `faulted` rises: a workflow or its workers are broken.",
                },
                &[WORKFLOW, STATUS],
            ),
            duration: catalogue.histograms(
                About {
                    name: "millrace_instance_duration_seconds",
                    help: "From the decision to start an instance to the commit of its end, people and timers included.",
                    look: "Users wait. How long a start had waited before is in `millrace_record_latency_seconds`.",
                },
                &[WORKFLOW],
                buckets::LONG_SECONDS,
            ),
            workflows: Capped::new(WORKFLOWS_MAX),
            commands: catalogue.counters(
                About {
                    name: "millrace_commands_total",
                    help: "Commands accepted.",
                    look: "What the load consists of.",
                },
                &[COMMAND],
            ),
            rejected: catalogue.counters(
                About {
                    name: "millrace_commands_rejected_total",
                    help: "Commands refused; each refusal is a record on the lifecycle topic.",
                    look: "It rises: senders repeat themselves (`duplicate`, `already_exists`), or act on what has ended.",
                },
                &[
                    COMMAND,
                    Label::bounded(
                        "reason",
                        "`not_found`, `already_exists`, `duplicate`, `not_taken`, `invalid_state`, `invalid_argument`",
                    ),
                ],
            ),
            events: catalogue.counter(About {
                name: "millrace_events_total",
                help: "Events written to the changelog.",
                look: "How fast the changelog grows.",
            }),
            steps: catalogue.counter(About {
                name: "millrace_steps_total",
                help: "Tasks entered by instances, of every kind.",
                look: "Capacity planning: work, however it is cut into workflows.",
            }),
            incidents: catalogue.counters(
                About {
                    name: "millrace_incidents_total",
                    help: "Incidents raised: the instance stands still until an operator acts.",
                    look: "It rises: `millrace list WORKFLOW --status incident`.",
                },
                &[Label::known("kind", &["payload-too-large", "task-faulted", "compensation-failed"])],
            ),
            quarantined: catalogue.counter(About {
                name: "millrace_instances_quarantined_total",
                help: "Instances set aside because their log and the code disagree.",
                look: "Ever: see the runbook, and the log of the processor.",
            }),
            lookups: catalogue.counter(About {
                name: "millrace_cache_lookups_total",
                help: "Records about an instance, a channel or a schedule that was to be in memory.",
                look: "With `millrace_cache_misses_total`: the share that had to wait for the store.",
            }),
            misses: catalogue.counter(About {
                name: "millrace_cache_misses_total",
                help: "Keys that records needed and that were read from the store. A new id that says when it was made needs no reading, and is none of these.",
                look: "Its share of the lookups rises: give `--cache-mib` more, or `--cache-idle`, or expect the store's latency.",
            }),
        }
    }

    fn of(&self, workflow: &WorkflowName) -> Series {
        self.workflows.of(workflow, |name| Series {
            started: self.started.with_label_values(&[name]),
            ended: STATUSES.map(|status| self.ended.with_label_values(&[name, status])),
            duration: self.duration.with_label_values(&[name]),
        })
    }

    pub(super) fn started(&self, workflow: &WorkflowName) {
        self.of(workflow).started.inc();
    }

    pub(super) fn ended(&self, workflow: &WorkflowName, status: &str, took: Duration) {
        let series = self.of(workflow);
        if let Some(place) = STATUSES.iter().position(|it| *it == status) {
            series.ended[place].inc();
        }
        series.duration.observe(took.as_secs_f64());
    }

    pub(super) fn decided(&self, command: &str, events: usize, steps: u64) {
        self.commands.with_label_values(&[command]).inc();
        self.events.inc_by(events as u64);
        self.steps.inc_by(steps);
    }

    pub(super) fn rejected(&self, command: &str, reason: &str) {
        self.rejected.with_label_values(&[command, reason]).inc();
    }

    pub(super) fn incident(&self, kind: &str) {
        self.incidents.with_label_values(&[kind]).inc();
    }

    pub(super) fn quarantined(&self) {
        self.quarantined.inc();
    }

    pub(super) fn looked_up(&self, lookups: u64, misses: u64) {
        self.lookups.inc_by(lookups);
        self.misses.inc_by(misses);
    }
}
