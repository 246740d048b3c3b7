//! Of timers and schedules.

use std::time::Duration;

use millrace_metrics::{About, Catalogue, buckets};
use prometheus::{Histogram, IntCounter};

#[derive(Clone, Debug)]
pub(super) struct Timers {
    fired: IntCounter,
    lateness: Histogram,
    pages: IntCounter,
    clocks_behind: IntCounter,
    scheduled: IntCounter,
    skipped: IntCounter,
}

impl Timers {
    pub(super) fn new(catalogue: &mut Catalogue<'_>) -> Self {
        catalogue.topic("Timers and schedules");
        Self {
            fired: catalogue.counter(About {
                name: "millrace_timers_fired_total",
                help: "Timers that acted.",
                look: "With the lateness: at what rate timers are late.",
            }),
            lateness: catalogue.histogram(
                About {
                    name: "millrace_timer_lateness_seconds",
                    help: "From the due time of a timer to its decision.",
                    look: "It rises: a herd of timers (`millrace_partition_timers_behind_seconds`), or records wait too.",
                },
                buckets::SECONDS,
            ),
            pages: catalogue.counter(About {
                name: "millrace_timer_pages_loaded_total",
                help: "Pages of the timer index that were read.",
                look: "What timers cost the store.",
            }),
            clocks_behind: catalogue.counter(About {
                name: "millrace_clock_behind_total",
                help: "Restores that found entries more than half a second in the future: a clock of the fleet is wrong.",
                look: "Ever: check NTP on the machines.",
            }),
            scheduled: catalogue.counter(About {
                name: "millrace_schedule_starts_total",
                help: "Instances that were started by schedules, by the clock or because somebody asked.",
                look: "A report did not come: was it started?",
            }),
            skipped: catalogue.counter(About {
                name: "millrace_schedule_starts_skipped_total",
                help: "Starts that schedules have left out: too late, or because of a run that had not ended.",
                look: "It rises: runs take longer than their interval; `millrace schedule show` says which.",
            }),
        }
    }

    pub(super) fn fired(&self, lateness: Duration) {
        self.fired.inc();
        self.lateness.observe(lateness.as_secs_f64());
    }

    pub(super) fn page(&self) {
        self.pages.inc();
    }

    pub(super) fn clock_behind(&self) {
        self.clocks_behind.inc();
    }

    pub(super) fn run_scheduled(&self) {
        self.scheduled.inc();
    }

    pub(super) fn starts_skipped(&self, count: u64) {
        self.skipped.inc_by(count);
    }
}
