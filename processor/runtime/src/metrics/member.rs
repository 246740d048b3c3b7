//! Of this processor as a member of the fleet.

use millrace_metrics::{About, Catalogue, Label};
use prometheus::{IntCounter, IntCounterVec, IntGauge};

pub(crate) const MOVED_HERE: &str = "assigned";
pub(crate) const MOVED_AWAY: &str = "handed_over";
pub(crate) const MOVED_LOST: &str = "lost";

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) ready: IntGauge,
    pub(crate) partitions: IntGauge,
    pub(crate) partitions_owned: IntGauge,
    pub(crate) partitions_active: IntGauge,
    partitions_moved: IntCounterVec,
    pub(crate) definitions: IntGauge,
    pub(crate) definitions_rejected: IntCounter,
}

impl Member {
    pub(super) fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Member of the fleet");
        Self {
            ready: catalogue.gauge(About {
                name: "millrace_ready",
                help: "1 if the processor has joined its group and all of its partitions serve, as `/readyz` says.",
                look: "0 for minutes: which of its partitions does not serve?",
            }),
            partitions: catalogue.gauge(About {
                name: "millrace_partitions",
                help: "Partitions of the whole fleet.",
                look: "More than the sum of `millrace_partitions_active`: some are served by nobody.",
            }),
            partitions_owned: catalogue.gauge(About {
                name: "millrace_partitions_owned",
                help: "Partitions that the group has given to this processor.",
                look: "Uneven over the members, or 0: more members than partitions.",
            }),
            partitions_active: catalogue.gauge(About {
                name: "millrace_partitions_active",
                help: "Partitions that this processor serves.",
                look: "Less than it owns: they are being restored.",
            }),
            partitions_moved: catalogue.counters(
                About {
                    name: "millrace_partitions_moved_total",
                    help: "Partitions that came, were handed over in good order, or were lost.",
                    look: "It rises without an upgrade: members leave the group (crashes, long pauses, session time-outs).",
                },
                &[Label::known("how", &[MOVED_HERE, MOVED_AWAY, MOVED_LOST])],
            ),
            definitions: catalogue.gauge(About {
                name: "millrace_definitions",
                help: "Workflow versions that this processor can run.",
                look: "Members differ: one cannot read the definitions topic, or is of an older release.",
            }),
            definitions_rejected: catalogue.counter(About {
                name: "millrace_definitions_rejected_total",
                help: "Records of the definitions topic that cannot be used.",
                look: "Ever: somebody writes the topic by hand, or a newer release has deployed.",
            }),
        }
    }

    pub(crate) fn moved(&self, how: &str, partitions: usize) {
        self.partitions_moved.with_label_values(&[how]).inc_by(partitions as u64);
    }
}
