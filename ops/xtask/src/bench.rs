//! `bench`: measures a fleet against a bare Kafka loop, in the same run on the same servers.

use anyhow::{Context as _, bail};

use crate::cluster::{Given, Servers};
use crate::fleet::Fleet;
use crate::processes::{POLL, Process};
use crate::report::{self, Verdict, say};
use crate::steps;
use crate::workspace::{Profile, Workspace};

/// What must be measured. Times are from the intended start of a workflow to its committed end.
const FIGURES: [&str; 4] = ["workflows_per_s", "ratio_to_bare_loop", "p50_ms", "p99_ms"];

pub(crate) fn w1(workspace: &Workspace, seconds: u64, given: &Given) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("bench-w1")?;
    let programs = workspace.build(Profile::Release, &folder)?;
    let servers = Servers::get(workspace, given, &folder)?;
    let mut fleet = Fleet::start(workspace, &servers, &programs, &folder, "load-tests/workflows/w1.yaml")?;
    let before = fleet.usage()?;
    let mut command = fleet.load(&["w1", "--max", "--duration", &seconds.to_string()]);
    say!("w1: {seconds} s, then the bare loop …");
    let mut load = Process::spawn("load", &mut command, &folder)?;
    let status = loop {
        if let Some(status) = load.ended()? {
            break status;
        }
        fleet.must_run()?;
        std::thread::sleep(POLL);
    };
    if !status.success() {
        steps::show_tail(&load.log)?;
        bail!("w1 could not be measured ({status}); logs: {}", folder.display());
    }
    let used = fleet.usage()?;
    fleet.stop_processor()?;

    let report = report::read_json(&folder.join("load.json"))?;
    let mut shown = Vec::new();
    for figure in FIGURES {
        let value =
            report[figure].as_f64().with_context(|| format!("the load test did not measure {figure}"))?;
        shown.push(format!("{figure} {value:.2}"));
    }
    let mut verdict = Verdict::new(true, shown.join(", ")).figures_of(report);
    for ((what, used), (_, before)) in used.into_iter().zip(before) {
        verdict = verdict.figure(what, serde_json::to_value(used.since(before))?);
    }
    Ok(verdict)
}
