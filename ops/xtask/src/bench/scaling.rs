//! `bench scaling`: W1 as fast as it goes, by processors and partitions, on one machine and the same servers.
//!
//! On a machine whose cores are all busy, more processors cannot do more; what this shows is what they cost: whether the price of a workflow
//! depends on how many share the work, and on how finely it is cut.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::JAVA_WARMUP_SECONDS;
use super::loading::{self, Served as _};
use crate::cluster::{Given, Servers};
use crate::fleet::{Fleet, Settings};
use crate::page;
use crate::processes::{POLL, Usage};
use crate::report::{Verdict, read_json, say};
use crate::workspace::{Profile, Workspace};

/// Processors and partitions.
const SHAPES: [(u32, u32); 8] = [(1, 4), (1, 8), (1, 16), (1, 64), (2, 8), (2, 64), (4, 8), (4, 64)];

const WARMUP_SECONDS: u64 = 5;
/// All partitions have their owners within this.
const BALANCED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Plan {
    /// For how long each is measured.
    pub(crate) seconds: u64,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

#[derive(Debug, Deserialize)]
struct Load {
    done_per_s: f64,
    done: u64,
}

#[derive(Debug, Serialize)]
struct Measured {
    processors: u32,
    partitions: u32,
    workflows_per_s: f64,
    /// Of all processors together, of the broker and of the store, for 1,000 workflows.
    cpu_s_per_1000: BTreeMap<&'static str, f64>,
    /// Of all processors together.
    rss_mib: f64,
}

pub(crate) fn scaling(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("bench-scaling")?;
    let servers = Servers::for_bench(workspace, &plan.given, &folder)?;
    let mut all = Vec::new();
    for (processors, partitions) in SHAPES {
        let warmup = if all.is_empty() { JAVA_WARMUP_SECONDS } else { WARMUP_SECONDS };
        let measured = measure(workspace, plan, servers.clone(), (processors, partitions), warmup)?;
        say!("{processors} processors, {partitions} partitions: {:.0} workflows/s", measured.workflows_per_s);
        all.push(measured);
    }
    let most = all.iter().map(|it| it.workflows_per_s).fold(0.0, f64::max);
    let least = all.iter().map(|it| it.workflows_per_s).fold(f64::INFINITY, f64::min);
    // There is no target for the curve itself: that all were done is checked by each run.
    let detail = format!(
        "{least:.0} to {most:.0} workflows/s with 1 to 4 processors and 4 to 64 partitions on this machine"
    );
    let verdict = Verdict::new(true, detail);
    if let Some(file) = &plan.report {
        page::write(workspace, file, "W1 by processors and partitions", &verdict, &table(plan, &all))?;
    }
    Ok(verdict.figure("measured", json!(all)))
}

fn measure(
    workspace: &Workspace,
    plan: &Plan,
    servers: Servers,
    (processors, partitions): (u32, u32),
    warmup: u64,
) -> anyhow::Result<Measured> {
    let folder = workspace.run_folder(&format!("bench-scaling-{processors}-{partitions}"))?;
    let programs = workspace.build(Profile::Release, &folder)?;
    let settings = Settings { partitions, queue: "w1", definition: "load-tests/workflows/w1.yaml" };
    let mut fleet = Fleet::create(workspace, programs, servers, &folder, &settings)?;
    for ordinal in 0..processors {
        fleet.launch(ordinal)?;
    }
    until_balanced(&mut fleet, partitions.div_ceil(processors))?;
    let report = folder.join("w1.json");
    let mut command = fleet.load_test("mix", &report);
    command.args(["load-tests/mixes/w1.toml", "--max", "--duration", &plan.seconds.to_string()]);
    command.args(["--warmup", &warmup.to_string()]);
    let before = usage(&fleet)?;
    loading::run(&mut fleet, "w1", &mut command, &folder)?;
    loading::until_flushed(&fleet)?;
    let after = usage(&fleet)?;
    for ordinal in fleet.ordinals() {
        fleet.stop(ordinal)?;
    }
    let load: Load = serde_json::from_value(read_json(&report)?).context("a report with other figures")?;
    let mut cpu_s_per_1000 = BTreeMap::new();
    let mut rss_mib = 0.0;
    for (process, (name, after)) in &after {
        let before = before.get(process).map(|it| it.1).unwrap_or_default();
        *cpu_s_per_1000.entry(*name).or_default() +=
            after.since(before).cpu_seconds / load.done as f64 * 1_000.0;
        if *name == PROCESSOR {
            rss_mib += after.rss_mib;
        }
    }
    Ok(Measured { processors, partitions, workflows_per_s: load.done_per_s, cpu_s_per_1000, rss_mib })
}

const PROCESSOR: &str = "processor";

/// Of all processes that are ours, by their ids.
fn usage(fleet: &Fleet) -> anyhow::Result<BTreeMap<u32, (&'static str, Usage)>> {
    let servers = fleet.processes()?.into_iter().filter(|(name, _)| *name != PROCESSOR);
    let processors = fleet.ordinals().into_iter().filter_map(|it| Some((PROCESSOR, fleet.process(it)?)));
    servers.chain(processors).map(|(name, process)| Ok((process, (name, Usage::of(process)?)))).collect()
}

/// Waits until all have their share of the partitions, at most `share` each.
fn until_balanced(fleet: &mut Fleet, share: u32) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        fleet.must_run()?;
        // One that has yet to say where its API is has no partitions.
        let counts: Vec<usize> =
            fleet.ordinals().into_iter().map(|it| fleet.partitions(it).map_or(0, |it| it.len())).collect();
        if counts.iter().all(|it| (1..=share as usize).contains(it)) {
            return Ok(());
        }
        if begun.elapsed() > BALANCED_WITHIN {
            bail!("the partitions are not spread evenly after {} s: {counts:?}", BALANCED_WITHIN.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

fn table(plan: &Plan, all: &[Measured]) -> String {
    let rows: String = all
        .iter()
        .map(|it| {
            let cpu = [PROCESSOR, "broker", "store"].map(|name| {
                it.cpu_s_per_1000.get(name).map_or_else(|| "-".to_owned(), |it| format!("{it:.3}"))
            });
            format!(
                "| {} | {} | {:.0} | {} | {:.0} |\n",
                it.processors,
                it.partitions,
                it.workflows_per_s,
                cpu.join(" | "),
                it.rss_mib
            )
        })
        .collect();
    format!(
        "Three tasks in a row, answered at once, as fast as it goes for {} s with 5,000 workflows under way; each fleet is new, the servers are the \
         same and on the same two cores as the processors, the worker and the load.\n\n\
         | processors | partitions | workflows/s | processors, s for 1,000 | broker | store | processors, MiB |\n\
         |---|---|---|---|---|---|---|\n{rows}",
        plan.seconds
    )
}
