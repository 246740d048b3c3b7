//! `bench workloads`: every kind of work as fast as it goes, on the same servers, one after the other. (W6 is `bench timers`.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::JAVA_WARMUP_SECONDS;
use super::loading::{self, Served as _};
use super::system::System;
use crate::cluster::{Given, Servers};
use crate::fleet::Settings;
use crate::page;
use crate::report::{Verdict, read_json, say};
use crate::workspace::Workspace;

const PARTITIONS: u32 = 8;
const WARMUP_SECONDS: u64 = 10;

/// Events to a million open instances, of which hardly any is in memory, against W1.
const W4_OF_W1_MIN: f64 = 0.5;
/// What the processor's resident memory may grow by, from one such load to the next: the first fills what there is for instances that may be hot.
const W4_GROWTH_MIB_MAX: f64 = 100.0;

/// Mix, and what it is.
const KINDS: [(&str, &str); 6] = [
    ("w1", "three tasks in a row, answered at once; 200 bytes of input"),
    ("w2", "a fork of ten tasks, and their join"),
    ("w3", "200 sets and switches, without a step outside of the engine"),
    ("w7", "W1 with 10 KB of input"),
    ("w5", "events to one instance: one key has one thread"),
    ("w4", "events to random instances of those that are open"),
];

#[derive(Debug)]
pub(crate) struct Plan {
    /// For how long each is measured.
    pub(crate) seconds: u64,
    /// Open instances of W4.
    pub(crate) open: u64,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Load {
    done_per_s: f64,
    done: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Measured {
    kind: &'static str,
    done_per_s: f64,
    cpu_s_per_1000: BTreeMap<&'static str, f64>,
    /// Of the processor, before and after.
    rss_mib: [f64; 2],
}

pub(crate) fn workloads(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("bench-workloads")?;
    let servers = Servers::for_bench(workspace, &plan.given, &folder)?;
    let settings =
        Settings { partitions: PARTITIONS, queue: "w1", definition: "load-tests/workflows/w1.yaml" };
    let mut system = System::create(workspace, Some(servers), &folder, &settings)?;
    system.add_queue("w2", PARTITIONS)?;
    for definition in ["w2", "w3", "live"] {
        system.deploy(&format!("load-tests/workflows/{definition}.yaml"))?;
    }
    system.start()?;
    let warmup = JAVA_WARMUP_SECONDS.to_string();
    run(&mut system, "warm-up", "load-tests/mixes/w1.toml", &["--duration", &warmup], &folder)?;
    let mut all = Vec::new();
    let mut open = 0;
    for (kind, _) in KINDS {
        let wanted = match kind {
            "w4" => plan.open,
            "w5" => 1,
            _ => 0,
        };
        if wanted > open {
            fill(&mut system, open, wanted, &folder)?;
            open = wanted;
        }
        if kind == "w4" {
            let once = plan.seconds.to_string();
            run(&mut system, "w4-before", &mix_of(kind, open, &folder)?, &["--duration", &once], &folder)?;
            loading::until_flushed(&system)?;
        }
        let rss_before = processor_mib(&system)?;
        let measured = measure(&mut system, plan, kind, open, rss_before, &folder)?;
        say!("{kind}: {:.0}/s", measured.done_per_s);
        all.push(measured);
    }
    system.stop()?;
    let verdict = judge(plan, &all)?;
    if let Some(file) = &plan.report {
        page::write(workspace, file, "Workloads", &verdict, &table(plan, &all))?;
    }
    Ok(verdict.figure("measured", json!(all)))
}

fn processor_mib(system: &System) -> anyhow::Result<f64> {
    Ok(system.usage()?.get("processor").map_or(0.0, |it| it.rss_mib))
}

/// Instances that wait for events, each with its snapshot in the store.
fn fill(system: &mut System, from: u64, count: u64, folder: &Path) -> anyhow::Result<()> {
    say!("{count} open instances …");
    let name = format!("live-{count}");
    let mut command = system.load_test("live", &folder.join(format!("{name}.json")));
    command.args(["--from", &from.to_string(), "--count", &count.to_string()]);
    loading::run(system, &name, &mut command, folder)?;
    loading::until_flushed(system)
}

fn measure(
    system: &mut System,
    plan: &Plan,
    kind: &'static str,
    open: u64,
    rss_before: f64,
    folder: &Path,
) -> anyhow::Result<Measured> {
    let mix = mix_of(kind, open, folder)?;
    // What the store has yet to put in order of the load before is not of this one.
    loading::until_quiet(system)?;
    let before = system.usage()?;
    let load = run(system, kind, &mix, &["--duration", &plan.seconds.to_string()], folder)?;
    loading::until_flushed(system)?;
    let after = system.usage()?;
    let cost = |name: &str| {
        let used = after[name].since(before.get(name).copied().unwrap_or_default());
        used.cpu_seconds / load.done as f64 * 1_000.0
    };
    let rss_mib = [rss_before, processor_mib(system)?];
    let cpu_s_per_1000 = after.keys().map(|name| (*name, cost(name))).collect();
    Ok(Measured { kind, done_per_s: load.done_per_s, cpu_s_per_1000, rss_mib })
}

/// The file of a mix; of events to open instances, one with as many as there are.
fn mix_of(kind: &str, open: u64, folder: &Path) -> anyhow::Result<String> {
    if kind != "w4" {
        return Ok(format!("load-tests/mixes/{kind}.toml"));
    }
    let file = folder.join("w4.toml");
    let mix = format!("[[work]]\nname = \"w4\"\nsignal = \"load.live.signal\"\ninstances = {open}\n");
    std::fs::write(&file, mix).with_context(|| format!("could not write {}", file.display()))?;
    Ok(file.display().to_string())
}

fn run(
    system: &mut System,
    name: &str,
    mix: &str,
    arguments: &[&str],
    folder: &Path,
) -> anyhow::Result<Load> {
    say!("{name} …");
    let report = folder.join(format!("{name}.json"));
    let mut command = system.load_test("mix", &report);
    command.args([mix, "--max", "--warmup", &WARMUP_SECONDS.to_string()]).args(arguments);
    loading::run(system, name, &mut command, folder)?;
    serde_json::from_value(read_json(&report)?).context("a report with other figures")
}

fn judge(plan: &Plan, all: &[Measured]) -> anyhow::Result<Verdict> {
    let of = |kind: &str| all.iter().find(|it| it.kind == kind).context("each is measured");
    let (w1, w4) = (of("w1")?, of("w4")?);
    let ratio = w4.done_per_s / w1.done_per_s;
    let growth = w4.rss_mib[1] - w4.rss_mib[0];
    let rates: Vec<String> = all.iter().map(|it| format!("{} {:.0}/s", it.kind, it.done_per_s)).collect();
    let detail = format!(
        "{}; W4 with {} open {ratio:.2} of W1 (at least {W4_OF_W1_MIN}), meanwhile {growth:+.0} MiB (at most {W4_GROWTH_MIB_MAX:.0})",
        rates.join(", "),
        plan.open
    );
    Ok(Verdict::new(ratio >= W4_OF_W1_MIN && growth <= W4_GROWTH_MIB_MAX, detail))
}

fn table(plan: &Plan, all: &[Measured]) -> String {
    let rows: String = all
        .iter()
        .zip(KINDS)
        .map(|(it, (_, what))| {
            let cpu = ["processor", "broker", "store"].map(|name| {
                it.cpu_s_per_1000.get(name).map_or_else(|| "-".to_owned(), |it| format!("{it:.3}"))
            });
            let [before, after] = it.rss_mib;
            format!(
                "| {} | {what} | {:.0} | {} | {before:.0}, {after:.0} |\n",
                it.kind.to_uppercase(),
                it.done_per_s,
                cpu.join(" | ")
            )
        })
        .collect();
    format!(
        "Each as fast as it goes, for {} s after {WARMUP_SECONDS} s of warm-up; one processor with default settings and {PARTITIONS} partitions; of W4, {} instances \
         are open, and it ran once before it was measured. Ids are UUIDs of version 7, in order. Processor time of the warm-up, too, until the last snapshot is in the store. W6, timers, has a report of its own.\n\n\
         | | what | done a second | processor, s for 1,000 | broker | store | processor, MiB before and after |\n\
         |---|---|---|---|---|---|---|\n{rows}",
        plan.seconds, plan.open
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_can_be_missed() {
        let plan = Plan { seconds: 1, open: 1_000, report: None, given: Given::default() };
        let holds = |w4_per_s: f64, growth: f64| {
            let measured = |(kind, _)| Measured {
                kind,
                done_per_s: if kind == "w4" { w4_per_s } else { 4_000.0 },
                cpu_s_per_1000: BTreeMap::new(),
                rss_mib: [100.0, 100.0 + growth],
            };
            judge(&plan, &KINDS.map(measured)).expect("all are there").holds
        };
        assert!(holds(2_000.0, 100.0));
        assert!(!holds(1_990.0, 100.0));
        assert!(!holds(2_000.0, 101.0));
    }
}
