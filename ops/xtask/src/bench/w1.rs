//! `bench w1`: throughput and latency of a fleet of one processor, and what each process used meanwhile.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::loading;
use crate::cluster::{Given, Servers};
use crate::fleet::{Fleet, Settings};
use crate::processes::{POLL, Process};
use crate::report::{Verdict, read_json, say};
use crate::steps;
use crate::workspace::{Profile, Workspace};

const W1: Settings<'static> =
    Settings { partitions: 8, queue: "w1", definition: "load-tests/workflows/w1.yaml" };

/// What the report of the load test must hold.
const FIGURES: [&str; 4] = ["workflows_per_s", "ratio_to_bare_loop", "p50_ms", "p99_ms"];

pub(crate) fn w1(workspace: &Workspace, seconds: u64, given: Given) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("bench-w1")?;
    let programs = workspace.build(Profile::Release, &folder)?;
    let servers = Servers::get(workspace, &given, &folder)?;
    let mut fleet = Fleet::create(workspace, programs, servers, &folder, &W1)?;
    fleet.start(0)?;
    let before = loading::usage(&fleet)?;
    let report = folder.join("w1.json");
    let mut command = fleet.load_test("w1", &report);
    command.args(["--max", "--duration", &seconds.to_string()]);
    say!("w1 for {seconds} s …");
    let mut load = Process::spawn("w1", &mut command, &folder)?;
    let status = loop {
        if let Some(status) = load.ended()? {
            break status;
        }
        fleet.must_run()?;
        std::thread::sleep(POLL);
    };
    let after = loading::usage(&fleet)?;
    if !status.success() {
        steps::show_tail(&load.log)?;
        return Ok(Verdict::fails(format!("the load test failed ({status}); logs: {}", folder.display())));
    }
    fleet.stop(0)?;
    let figures = read_json(&report)?;
    let missing: Vec<&str> =
        FIGURES.into_iter().filter(|it| !figures.get(it).is_some_and(Value::is_number)).collect();
    let detail = if missing.is_empty() {
        let figure = |name: &str| figures[name].as_f64().unwrap_or_default();
        let [workflows, ratio, p50, p99] = FIGURES.map(figure);
        format!("{workflows:.0} workflows/s, {ratio:.2} of the bare loop, p50 {p50:.1} ms, p99 {p99:.1} ms")
    } else {
        format!("{} lacks {}", report.display(), missing.join(", "))
    };
    let used: BTreeMap<&str, Value> = after
        .iter()
        .map(|(name, after)| (*name, json!(after.since(before.get(name).copied().unwrap_or_default()))))
        .collect();
    Ok(Verdict::new(missing.is_empty(), detail).figures_of(figures).figure("processes", json!(used)))
}
