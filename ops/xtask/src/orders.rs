//! `orders`: the shop of the load tests on a real fleet, through the death of its processor if asked. The load test compares every end
//! with the ledger of the payments.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use serde::Deserialize;

use crate::cluster::{Given, Servers};
use crate::fleet::{Fleet, Settings};
use crate::processes::{POLL, Process};
use crate::report::{Verdict, read_json, rounded, say};
use crate::steps;
use crate::workspace::{Profile, Workspace};

/// The order example.
pub(crate) const SETTINGS: Settings<'static> =
    Settings { partitions: 8, queue: "orders", definition: "topology/examples/order.yaml" };

/// The processor is killed when this share of the orders has ended.
const KILL_AT_PERCENT: u64 = 40;
/// The progress file is read this often, in looks at the processes.
const PROGRESS_EVERY: u32 = 4;

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
    let fleet = Fleet::create(workspace, programs, servers, &folder, &SETTINGS)?;
    through(fleet, plan)
}

/// The orders on a fleet that exists and has no processor yet.
pub(crate) fn through(mut fleet: Fleet, plan: &Plan) -> anyhow::Result<Verdict> {
    fleet.start(0)?;
    let folder = fleet.folder.clone();
    let (report, progress) = (folder.join("orders.json"), folder.join("orders-progress.jsonl"));
    let mut command = fleet.load_test("orders", &report);
    command.args(["--count", &plan.count.to_string(), "--seed", &plan.seed.to_string()]);
    command.arg("--progress-file").arg(&progress);
    say!("{} orders …", plan.count);
    let mut shop = Process::spawn("orders", &mut command, &folder)?;
    let back_after =
        if plan.kill { Some(kill_midway(&mut fleet, &mut shop, &progress, plan.count)?) } else { None };
    let status = loop {
        if let Some(status) = shop.ended()? {
            break status;
        }
        fleet.must_run()?;
        std::thread::sleep(POLL);
    };
    if !status.success() {
        steps::show_tail(&shop.log)?;
        let verdict =
            Verdict::fails(format!("the orders do not add up ({status}); logs: {}", folder.display()));
        return Ok(if report.exists() { verdict.figures_of(read_json(&report)?) } else { verdict });
    }
    fleet.stop(0)?;
    let killed = back_after.map_or_else(String::new, |it| {
        format!("; the processor was killed at {KILL_AT_PERCENT} % and was back after {} s", rounded(it))
    });
    let detail = format!("{} orders ended, and the ledger agrees{killed}", plan.count);
    let verdict = Verdict::new(true, detail).figures_of(read_json(&report)?);
    Ok(match back_after {
        Some(took) => verdict.figure("ready_again_s", rounded(took)),
        None => verdict,
    })
}

/// Waits for the moment, kills the processor and starts it again. Answers how long that took.
fn kill_midway(
    fleet: &mut Fleet,
    shop: &mut Process,
    progress: &Path,
    count: u64,
) -> anyhow::Result<Duration> {
    loop {
        for _ in 0..PROGRESS_EVERY {
            if let Some(status) = shop.ended()? {
                steps::show_tail(&shop.log)?;
                bail!(
                    "the orders ended ({status}) before the kill at {KILL_AT_PERCENT} %; log: {}",
                    shop.log.display()
                );
            }
            std::thread::sleep(POLL);
        }
        fleet.must_run()?;
        let ended = Progress::last(progress).ended;
        if ended * 100 >= count * KILL_AT_PERCENT {
            say!("{ended} of {count} orders ended: killing the processor");
            fleet.kill(0)?;
            return fleet.start(0);
        }
    }
}

/// A line of the progress file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Progress {
    pub(crate) sent: u64,
    pub(crate) ended: u64,
}

impl Progress {
    /// The last whole line of the file. Zeros before there is one.
    pub(crate) fn last(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_last_whole_line() {
        let file = std::env::temp_dir().join(format!("xtask-progress-{}.jsonl", std::process::id()));
        assert_eq!(Progress::last(&file).ended, 0);
        std::fs::write(&file, "{\"sent\":4,\"ended\":3}\n{\"sent\":9,\"ended\":7}\n{\"sen")
            .expect("can be written");
        let last = Progress::last(&file);
        std::fs::remove_file(&file).expect("was written");
        assert_eq!((last.sent, last.ended), (9, 7));
    }
}
