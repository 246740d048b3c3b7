//! `bench broker`: the broker of `millrace dev` beside Apache Kafka, by what a plain client sees of each. Whether the first is exact counts
//! as much as how fast it is.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cluster::LoneBroker;
use crate::dev::Dev;
use crate::page;
use crate::report::{Verdict, read_json, say};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};

/// How often each is probed. What counts is the median.
const TIMES: usize = 3;
/// Enough that a probe takes seconds, and few enough that a reader holds all of them at once.
const RECORDS: u64 = 200_000;
const BYTES: u64 = 200;
/// Target, in records a second.
const PRODUCED_PER_S_MIN: f64 = 50_000.0;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) report: Option<PathBuf>,
}

/// What the probe reports, as far as it is used here.
#[derive(Debug, Deserialize, Serialize)]
struct Probe {
    holds: bool,
    produced_per_s: f64,
    consumed_per_s: f64,
    transformed_per_s: f64,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Check {
    name: String,
    holds: bool,
    detail: String,
}

/// One broker, probed several times.
#[derive(Debug, Serialize)]
struct Measured {
    probes: Vec<Probe>,
}

impl Measured {
    fn median(&self, figure: Figure) -> f64 {
        let mut figures: Vec<f64> = self.probes.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    }

    /// What did not hold, in any of the probes.
    fn problems(&self) -> impl Iterator<Item = String> {
        let failed = self.probes.iter().flat_map(|it| &it.checks).filter(|it| !it.holds);
        failed.map(|it| format!("{}: {}", it.name, it.detail))
    }
}

/// One of the things that a probe measures.
type Figure = fn(&Probe) -> f64;

/// What is measured, in records a second.
const FIGURES: [(&str, Figure); 3] = [
    ("plain produce", |it| it.produced_per_s),
    ("plain consume", |it| it.consumed_per_s),
    ("read, written and committed in transactions", |it| it.transformed_per_s),
];

pub(crate) fn broker(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("bench-broker")?;
    let programs = workspace.build(Profile::Release, &folder)?;
    let any_port = ["--ephemeral", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let dev = Dev::start(&programs, "dev", &any_port, &folder)?;
    let ours = measure(&programs, "millrace-dev", &dev.bootstrap, &folder)?;
    dev.stop()?;
    let kafka = LoneBroker::start(workspace, &folder)?;
    let theirs = measure(&programs, "apache-kafka", &kafka.bootstrap, &folder)?;
    drop(kafka);

    let verdict = judge(&ours, &theirs);
    if let Some(file) = &plan.report {
        let title = "The broker of millrace dev";
        page::write_without(&["Cassandra"], workspace, file, title, &verdict, &table(&ours, &theirs))?;
    }
    Ok(verdict)
}

fn measure(programs: &Programs, name: &str, bootstrap: &str, folder: &Path) -> anyhow::Result<Measured> {
    let mut probes = Vec::new();
    for time in 1..=TIMES {
        let report = folder.join(format!("{name}-{time}.json"));
        let mut command = steps::command(&programs.load_tests);
        command.args(["broker", "--bootstrap", bootstrap, "--records", &RECORDS.to_string()]);
        command.args(["--bytes", &BYTES.to_string(), "--json"]).arg(&report);
        // It fails when a check does not hold, too; then there is a report that says so.
        let ran =
            steps::run(&format!("{name} {time}"), &mut command, &folder.join(format!("{name}-{time}.log")));
        let probe: Probe = match ran {
            Err(error) if !report.exists() => return Err(error),
            _ => serde_json::from_value(read_json(&report)?)
                .with_context(|| format!("{} lacks something", report.display()))?,
        };
        let figures: Vec<String> =
            FIGURES.iter().map(|(what, figure)| format!("{what} {:.0}", figure(&probe))).collect();
        say!("{name} {time}, records/s: {}", figures.join(", "));
        probes.push(probe);
    }
    Ok(Measured { probes })
}

fn judge(ours: &Measured, theirs: &Measured) -> Verdict {
    let mut problems: Vec<String> = ours.problems().map(|it| format!("millrace dev: {it}")).collect();
    problems.extend(theirs.problems().map(|it| format!("Apache Kafka, so the probe is wrong: {it}")));
    let produced = ours.median(|it| it.produced_per_s);
    if produced < PRODUCED_PER_S_MIN {
        problems
            .push(format!("{produced:.0} records/s produced, and {PRODUCED_PER_S_MIN:.0} or more must be"));
    }
    let is_good = problems.is_empty();
    let each = FIGURES.map(|(what, figure)| {
        format!("{what} {:.0} (Apache Kafka {:.0})", ours.median(figure), theirs.median(figure))
    });
    let exact = if is_good { "exact in all probes; " } else { "" };
    problems.push(format!("{exact}records/s: {}", each.join(", ")));
    Verdict::new(is_good, problems.join("; "))
        .figure("millrace_dev", json!(ours.probes))
        .figure("apache_kafka", json!(theirs.probes))
}

fn table(ours: &Measured, theirs: &Measured) -> String {
    let rows: String = FIGURES
        .iter()
        .map(|(what, figure)| {
            let (ours, theirs) = (ours.median(*figure), theirs.median(*figure));
            format!("| {what} | {ours:.0} | {theirs:.0} | {:.2} |\n", ours / theirs)
        })
        .collect();
    format!(
        "Records a second, medians of {TIMES} probes with {RECORDS} records of {BYTES} bytes over 4 partitions: one idempotent producer, \
         one reader, one loop that moves 500 records a transaction, of which one in ten is aborted and made again. One broker after the \
         other; neither waits for the disk.\n\n\
         | records/s | `millrace dev` | Apache Kafka, one node | ratio |\n|---|---|---|---|\n{rows}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(produced: [f64; TIMES], holds: bool) -> Measured {
        let check = || Check { name: "order".to_owned(), holds, detail: "2 wrong".to_owned() };
        let probe = |produced_per_s| Probe {
            holds,
            produced_per_s,
            consumed_per_s: 1.0,
            transformed_per_s: 1.0,
            checks: vec![check()],
        };
        Measured { probes: produced.map(probe).into() }
    }

    #[test]
    fn the_median_counts_and_any_probe_that_is_not_exact_fails() {
        let good = || measured([60_000.0, 1.0, 70_000.0], true);
        assert!(judge(&good(), &good()).holds);
        assert!(!judge(&measured([60_000.0, 1.0, 2.0], true), &good()).holds);
        assert!(!judge(&measured([60_000.0; 3], false), &good()).holds);
        assert!(!judge(&good(), &measured([60_000.0; 3], false)).holds);
    }
}
