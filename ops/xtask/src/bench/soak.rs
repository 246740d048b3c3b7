//! `bench soak`: W1 as fast as it goes, for long. What it does at the end against what it did in its fifth minute.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::json;

use super::loading::{self, Served as _};
use super::system::System;
use crate::cluster::{Given, Servers};
use crate::fleet::Settings;
use crate::page;
use crate::report::{Verdict, read_json, say};
use crate::workspace::Workspace;

const PARTITIONS: u32 = 8;

/// Compared are windows of so many seconds: from the beginning of the fifth minute on, and at the end.
const WINDOW_SECONDS: usize = 300;
const FROM_SECOND: usize = 240;

/// How much slower it may be at the end.
const LOSS_MAX: f64 = 0.05;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) minutes: u64,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

#[derive(Debug, Deserialize)]
struct Load {
    done: u64,
    seconds: Vec<Second>,
}

#[derive(Debug, Deserialize)]
struct Second {
    done: u64,
}

pub(crate) fn soak(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("bench-soak")?;
    let servers = Servers::for_bench(workspace, &plan.given, &folder)?;
    let settings =
        Settings { partitions: PARTITIONS, queue: "w1", definition: "load-tests/workflows/w1.yaml" };
    let mut system = System::create(workspace, Some(servers), &folder, &settings)?;
    system.start()?;
    let (report, picture) = (folder.join("soak.json"), folder.join("soak.svg"));
    let mut command = system.load_test("mix", &report);
    command.args(["load-tests/mixes/w1.toml", "--max", "--warmup", "0"]);
    command.args(["--duration", &(plan.minutes * 60).to_string()]).arg("--picture").arg(&picture);
    let before = system.usage()?;
    loading::run(&mut system, "soak", &mut command, &folder)?;
    loading::until_flushed(&system)?;
    let after = system.usage()?;
    system.stop()?;
    say!("picture of it: {}", picture.display());

    let load: Load = serde_json::from_value(read_json(&report)?).context("a report with other figures")?;
    let done: Vec<u64> = load.seconds.iter().map(|it| it.done).collect();
    let seconds = usize::try_from(plan.minutes * 60)?;
    let verdict = judge(plan, &done[..seconds.min(done.len())])?;
    if let Some(file) = &plan.report {
        let mut table = format!(
            "W1 as fast as it goes with 5,000 under way, one processor, {PARTITIONS} partitions; {} workflows in all.\n\n\
             | process | processor time for 1,000, s | resident before, MiB | after | most |\n|---|---|---|---|---|\n",
            load.done
        );
        for (name, after) in &after {
            let before = before.get(name).copied().unwrap_or_default();
            table += &format!(
                "| {name} | {:.3} | {:.0} | {:.0} | {:.0} |\n",
                after.since(before).cpu_seconds / load.done as f64 * 1_000.0,
                before.rss_mib,
                after.rss_mib,
                after.rss_mib_max
            );
        }
        table += "\n| minutes | workflows/s |\n|---|---|\n";
        for (number, window) in done[..seconds.min(done.len())].chunks(WINDOW_SECONDS).enumerate() {
            let from = number * WINDOW_SECONDS / 60;
            table += &format!("| {from} to {} | {:.0} |\n", from + window.len() / 60, per_s(window));
        }
        page::write(workspace, file, "Soak", &verdict, &table)?;
    }
    Ok(verdict.figure("done", json!(load.done)))
}

fn per_s(window: &[u64]) -> f64 {
    window.iter().sum::<u64>() as f64 / window.len().max(1) as f64
}

/// `done`: in each second. That all were done, and well, the load test has seen to.
fn judge(plan: &Plan, done: &[u64]) -> anyhow::Result<Verdict> {
    ensure!(
        done.len() >= FROM_SECOND + 2 * WINDOW_SECONDS,
        "a soak has at least {} minutes",
        (FROM_SECOND + 2 * WINDOW_SECONDS) / 60
    );
    let early = per_s(&done[FROM_SECOND..FROM_SECOND + WINDOW_SECONDS]);
    let late = per_s(&done[done.len() - WINDOW_SECONDS..]);
    let loss = 1.0 - late / early;
    let detail = format!(
        "{} minutes: {early:.0} workflows/s in the five minutes from the fifth on, {late:.0} in the last five, {:+.1} % (at least {:+.0} %)",
        plan.minutes,
        -loss * 100.0,
        -LOSS_MAX * 100.0
    );
    Ok(Verdict::new(late >= early * (1.0 - LOSS_MAX), detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fails_when_it_gets_slower() {
        let plan = Plan { minutes: 15, report: None, given: Given::default() };
        let done = |late: u64| -> Vec<u64> {
            // Slow at first, which does not count.
            (0..900)
                .map(|it| {
                    if it < 200 {
                        10
                    } else if it < 600 {
                        1_000
                    } else {
                        late
                    }
                })
                .collect()
        };
        let holds = |late| judge(&plan, &done(late)).expect("long enough").holds;
        assert!(holds(950));
        assert!(!holds(949));
        assert!(judge(&plan, &[1; 600]).is_err());
    }
}
