//! `orders`: a shop's orders through a real fleet. With `--kill` the processor is killed in the middle, and still every order must end once
//! and every cent be accounted for. The load test judges; this starts what it needs, kills, and looks that nothing ends by itself.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cluster::{Given, Servers};
use crate::fleet::Fleet;
use crate::processes::{POLL, Process};
use crate::report::{self, Verdict, say};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};

/// The order workflow, from the workspace's root.
pub(crate) const DEFINITION: &str = "topology/examples/order.yaml";

/// When the processor is killed: so many of the orders have ended.
const KILL_AT_PERCENT: f64 = 40.0;

/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) count: u64,
    pub(crate) kill: bool,
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    pub(crate) given: Given,
}

pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("orders")?;
    let programs = workspace.build(plan.profile, &folder)?;
    let servers = Servers::get(workspace, &plan.given, &folder)?;
    run_on(workspace, &servers, &programs, &folder, plan)
}

/// Runs them on servers that are there already.
pub(crate) fn run_on(
    workspace: &Workspace,
    servers: &Servers,
    programs: &Programs,
    folder: &Path,
    plan: &Plan,
) -> anyhow::Result<Verdict> {
    let mut fleet = Fleet::start(workspace, servers, programs, folder, DEFINITION)?;
    let report = load(&mut fleet, plan)?;
    let mut verdict =
        Verdict::new(true, detail(&report, plan)).figure("killed", plan.kill).figures_of(report);
    for (what, usage) in fleet.usage()? {
        verdict = verdict.figure(what, serde_json::to_value(usage)?);
    }
    fleet.stop_processor()?;
    Ok(verdict)
}

/// Runs the load test against a fleet that runs, and answers its report.
///
/// # Errors
/// When the load test says that something does not hold, or the processor ends by itself.
pub(crate) fn load(fleet: &mut Fleet<'_>, plan: &Plan) -> anyhow::Result<Value> {
    let progress_file = fleet.folder.join("progress.jsonl");
    let mut command =
        fleet.load(&["orders", "--count", &plan.count.to_string(), "--seed", &plan.seed.to_string()]);
    let mut load = Process::spawn("load", command.arg("--progress-file").arg(&progress_file), fleet.folder)?;
    let mut must_kill = plan.kill;
    let mut shown = Instant::now();
    let status = loop {
        if let Some(status) = load.ended()? {
            break status;
        }
        fleet.must_run()?;
        let percent =
            std::fs::read_to_string(&progress_file).ok().and_then(|it| percent_ended(&it)).unwrap_or(0.0);
        if shown.elapsed() > SHOWN_EVERY {
            shown = Instant::now();
            say!("orders: {percent:.0} % have ended");
        }
        if must_kill && percent >= KILL_AT_PERCENT {
            must_kill = false;
            fleet.kill_processor()?;
            say!("orders: killed the processor at {percent:.0} %");
            fleet.start_processor()?;
        }
        std::thread::sleep(POLL);
    };
    if !status.success() {
        steps::show_tail(&load.log)?;
        bail!("the orders do not hold ({status}); logs: {}", fleet.folder.display());
    }
    if must_kill {
        bail!("the orders had ended before the processor could be killed: raise --count");
    }
    report::read_json(&fleet.folder.join("load.json")).context("the load test left no report")
}

fn detail(report: &Value, plan: &Plan) -> String {
    let kill = if plan.kill { ", through a kill -9 of the processor" } else { "" };
    let per_second = report["orders_per_s"].as_f64().unwrap_or_default();
    format!("{} orders ended and the books balance{kill}; {per_second:.0} orders a second", plan.count)
}

/// From the last whole line: the file is read while it is written.
fn percent_ended(lines: &str) -> Option<f64> {
    let (whole, _) = lines.rsplit_once('\n')?;
    let document: Value = serde_json::from_str(whole.lines().last()?).ok()?;
    document["percent_ended"].as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_last_whole_line() {
        let lines =
            "{\"percent_ended\": 1.0}\n{\"ended\": 4, \"percent_ended\": 40.5}\n{\"percent_ended\": 9";
        assert_eq!(percent_ended(lines), Some(40.5));
        assert_eq!(percent_ended("{\"percent_ended\": 9}"), None);
    }
}
