//! `ops/METRICS.md` is what the programs show.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use expect_test::expect_file;
use millrace_metrics::{Catalogue, Entry, Part, markdown};
use millrace_otlp::Counters;
use millrace_runtime::Metrics;
use millrace_worker::WorkerMetrics;
use prometheus::Registry;

const INTRO: &str = "\
What `/metrics` of each program shows, for Prometheus. Names are stable: a metric may be added; none changes its meaning. The number of series is
bounded, whatever users deploy. Made from the code; after a change: `UPDATE_EXPECT=1 cargo test -p millrace --test metrics`.

The [dashboards](grafana) show them, the [rules](prometheus) alert on them, and the [runbook](RUNBOOK.md) says what to do.";

fn processor() -> Vec<Entry> {
    let registry = Registry::new();
    let mut catalogue = Catalogue::new(&registry);
    let _metrics = Metrics::new(&mut catalogue);
    let _counters = Counters::new(&mut catalogue);
    catalogue.process("0.0.0");
    catalogue.into_entries()
}

fn worker() -> Vec<Entry> {
    let registry = Registry::new();
    let mut catalogue = Catalogue::new(&registry);
    let _metrics = WorkerMetrics::new(&mut catalogue);
    let _counters = Counters::new(&mut catalogue);
    catalogue.process("0.0.0");
    catalogue.into_entries()
}

#[test]
fn the_page_is_up_to_date() {
    let (processor, worker) = (processor(), worker());
    let parts = [
        Part {
            title: "`millrace processor`",
            intro: "At `--http` (`127.0.0.1:8080`), beside the API. `millrace dev` shows these and those of its worker.",
            entries: &processor,
        },
        Part {
            title: "`millrace worker`",
            intro: "At `--http`, if that is given. Workers of your own that use the Rust SDK show the same: `WorkerMetrics::registered`.",
            entries: &worker,
        },
    ];
    let page = markdown("Metrics", INTRO, &parts);
    expect_file!["../../../ops/METRICS.md"].assert_eq(&page);
}

#[test]
fn processor_and_worker_can_show_theirs_in_one_process() {
    let names = |entries: &[Entry]| -> BTreeSet<&str> {
        // A process has them once, whatever it does.
        let own = entries.iter().filter(|it| !["The process", "Traces"].contains(&it.topic));
        own.map(|it| it.about.name).collect()
    };
    let (processor, worker) = (processor(), worker());
    assert!(names(&processor).is_disjoint(&names(&worker)));
}
