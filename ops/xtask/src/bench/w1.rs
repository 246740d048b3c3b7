//! `bench w1`: three tasks in a row, answered at once. Throughput against the bare loop, latency at a rate, also with workers that do not wait
//! for commits, and what each process used.

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
use crate::processes::Usage;
use crate::report::{Verdict, read_json, say};
use crate::workspace::Workspace;

/// Of each load before it is measured.
const WARMUP_SECONDS: u64 = 10;

/// Targets.
const WORKFLOWS_PER_S_MIN: f64 = 5_500.0;
const RATIO_MIN: f64 = 0.8;
const SERVERS_S_PER_1000_MAX: f64 = 0.3;
const P50_MS_MAX: f64 = 15.0;
const P99_MS_MAX: f64 = 50.0;
/// With speculative workers.
const SPECULATIVE_P50_MS_MAX: f64 = 8.0;
/// How long transactions stay open for those, in milliseconds.
const SPECULATIVE_LINGER_MS: u32 = 20;
/// Of `millrace dev`.
const EMBEDDED_P50_MS_MAX: f64 = 5.0;
const EMBEDDED_P99_MS_MAX: f64 = 20.0;

#[derive(Debug)]
pub(crate) struct Plan {
    /// For how long each is measured.
    pub(crate) seconds: u64,
    /// Starts a second for the latency.
    pub(crate) rate: u32,
    /// Of each topic, a power of two.
    pub(crate) partitions: u32,
    /// On the store and the broker of `millrace dev`.
    pub(crate) embedded: bool,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

/// What the load test says.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Load {
    done_per_s: f64,
    done: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// What the bare loop says.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct BareLoop {
    workflows_per_s: f64,
    records_per_workflow: u64,
    bytes_per_workflow: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    load: Load,
    /// What each process used, for 1,000 workflows, in seconds.
    cpu_s_per_1000: BTreeMap<&'static str, f64>,
    /// Resident memory at the end, of each process.
    rss_mib: BTreeMap<&'static str, f64>,
}

impl Measured {
    /// Of processor, broker and store together. None if some are not ours to ask.
    fn servers_s_per_1000(&self, plan: &Plan) -> Option<f64> {
        let are_all =
            plan.embedded || ["broker", "store"].iter().all(|it| self.cpu_s_per_1000.contains_key(it));
        are_all.then(|| self.cpu_s_per_1000.values().sum())
    }
}

pub(crate) fn w1(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder(if plan.embedded { "bench-w1-embedded" } else { "bench-w1" })?;
    let servers =
        if plan.embedded { None } else { Some(Servers::for_bench(workspace, &plan.given, &folder)?) };
    let settings =
        Settings { partitions: plan.partitions, queue: "w1", definition: "load-tests/workflows/w1.yaml" };
    let mut system = System::create(workspace, servers, &folder, &settings)?;
    system.start()?;
    let rate = plan.rate.to_string();
    if !plan.embedded {
        // With what warms the servers most.
        measure(&mut system, &folder, "warm-up", &["--max"], JAVA_WARMUP_SECONDS)?;
    }
    let most = measure(&mut system, &folder, "most", &["--max"], plan.seconds)?;
    // What the store has yet to put in order of that load is not of this one.
    loading::until_quiet(&system)?;
    let paced = measure(&mut system, &folder, "paced", &["--rate", &rate], plan.seconds)?;
    system.restart_with_linger(SPECULATIVE_LINGER_MS)?;
    let speculative =
        measure(&mut system, &folder, "speculative", &["--rate", &rate, "--speculative"], plan.seconds)?;
    let bare = bare_loop(&mut system, &folder, "bare-loop", &[])?;
    let plain = bare_loop(&mut system, &folder, "plain-loop", &["--no-transactions"])?;
    system.stop()?;

    let verdict = judge(plan, [&paced, &speculative, &most], bare);
    if let Some(file) = &plan.report {
        let title = if plan.embedded { "W1, on the embedded store and broker" } else { "W1" };
        page::write_served(
            workspace,
            file,
            plan.embedded,
            title,
            &verdict,
            &table(plan, [&paced, &speculative, &most], [bare, plain]),
        )?;
    }
    Ok(verdict
        .figure("paced", json!(paced))
        .figure("speculative", json!(speculative))
        .figure("most", json!(most))
        .figure("bare_loop", json!(bare))
        .figure("bare_loop_without_transactions", json!(plain)))
}

fn bare_loop(system: &mut System, folder: &Path, name: &str, how: &[&str]) -> anyhow::Result<BareLoop> {
    say!("{name} …");
    let report = folder.join(format!("{name}.json"));
    let mut command = system.load_test("bare-loop", &report);
    command.args(how);
    loading::run(system, name, &mut command, folder)?;
    serde_json::from_value(read_json(&report)?).context("a report with other figures")
}

fn measure(
    system: &mut System,
    folder: &Path,
    name: &str,
    load: &[&str],
    seconds: u64,
) -> anyhow::Result<Measured> {
    say!("{name}: w1, {} …", load.join(" "));
    let report = folder.join(format!("{name}.json"));
    let mut command = system.load_test("mix", &report);
    command.arg("load-tests/mixes/w1.toml").args(load).args(["--duration", &seconds.to_string()]);
    command.args(["--warmup", &WARMUP_SECONDS.to_string()]);
    let before = system.usage()?;
    loading::run(system, name, &mut command, folder)?;
    loading::until_flushed(system)?;
    let after = system.usage()?;
    let load: Load = serde_json::from_value(read_json(&report)?).context("a report with other figures")?;
    let cost = |name: &&'static str, after: &Usage| {
        let used = after.since(before.get(name).copied().unwrap_or_default());
        used.cpu_seconds / load.done as f64 * 1_000.0
    };
    let measured = Measured {
        load,
        cpu_s_per_1000: after.iter().map(|(name, after)| (*name, cost(name, after))).collect(),
        rss_mib: after.iter().map(|(name, after)| (*name, after.rss_mib)).collect(),
    };
    let Load { done_per_s, p50_ms, p99_ms, .. } = load;
    say!("{done_per_s:.0} workflows/s, p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms");
    Ok(measured)
}

fn judge(plan: &Plan, [paced, speculative, most]: [&Measured; 3], bare: BareLoop) -> Verdict {
    let (p50_max, p99_max) =
        if plan.embedded { (EMBEDDED_P50_MS_MAX, EMBEDDED_P99_MS_MAX) } else { (P50_MS_MAX, P99_MS_MAX) };
    let ratio = most.load.done_per_s / bare.workflows_per_s;
    let cost = most.servers_s_per_1000(plan);
    let Load { p50_ms, p99_ms, .. } = paced.load;
    let holds = most.load.done_per_s >= WORKFLOWS_PER_S_MIN
        && ratio >= RATIO_MIN
        && cost.is_none_or(|it| it <= SERVERS_S_PER_1000_MAX)
        && p50_ms < p50_max
        && p99_ms < p99_max
        && speculative.load.p50_ms < SPECULATIVE_P50_MS_MAX;
    let detail = format!(
        "{:.0} workflows/s (at least {WORKFLOWS_PER_S_MIN:.0}), {ratio:.2} of the bare loop (at least {RATIO_MIN}), \
         {} s of the servers for 1,000 (at most {SERVERS_S_PER_1000_MAX}); at {}/s p50 {p50_ms:.1} ms (less than {p50_max}), \
         p99 {p99_ms:.1} ms (less than {p99_max}); with speculative workers p50 {:.1} ms (less than {SPECULATIVE_P50_MS_MAX}), p99 {:.1} ms",
        most.load.done_per_s,
        cost.map_or_else(|| "unknown".to_owned(), |it| format!("{it:.2}")),
        plan.rate,
        speculative.load.p50_ms,
        speculative.load.p99_ms
    );
    Verdict::new(holds, detail).figure("ratio_to_bare_loop", ratio)
}

fn table(plan: &Plan, [paced, speculative, most]: [&Measured; 3], [bare, plain]: [BareLoop; 2]) -> String {
    let of = |figures: &BTreeMap<&str, f64>, name: &str, digits: usize| {
        figures.get(name).map_or_else(|| "-".to_owned(), |it| format!("{it:.digits$}"))
    };
    let row = |what: &str, it: &Measured| {
        let Load { done_per_s, p50_ms, p90_ms, p99_ms, max_ms, .. } = it.load;
        let cpu = ["processor", "broker", "store"].map(|name| of(&it.cpu_s_per_1000, name, 3)).join(" | ");
        let rss = ["processor", "broker", "store"].map(|name| of(&it.rss_mib, name, 0)).join(" | ");
        format!(
            "| {what} | {done_per_s:.0} | {p50_ms:.1} | {p90_ms:.1} | {p99_ms:.1} | {max_ms:.1} | {cpu} | {rss} |\n"
        )
    };
    let linger = match plan.embedded {
        true => String::new(),
        false => format!(", and transactions stay open for {SPECULATIVE_LINGER_MS} ms (`--commit-linger`)"),
    };
    format!(
        "Three tasks in a row, answered at once by a worker outside of the processor; 200 bytes of input; ids are UUIDs of version 7, in order; one processor with default settings and \
         {} partitions. Latency from when a start was due until the end is read, committed, from the changelog; as fast as it goes it only says \
         that 5,000 are under way. Speculative workers begin tasks before they are committed{linger}. {WARMUP_SECONDS} s of \
         warm-up, then {} s. Processor time, of the warm-up too, is that until the last snapshot was in the store.\n\n\
         | load | workflows/s | p50, ms | p90 | p99 | max | processor, s for 1,000 | broker | store | processor, MiB | broker | store |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n{}{}{}\n\
         The bare loop moves {} records and {:.0} bytes for a workflow, as W1 does, and waits for nobody: {:.0} workflows/s; without \
         transactions {:.0}.\n",
        plan.partitions,
        plan.seconds,
        row(&format!("{}/s", plan.rate), paced),
        row(&format!("{}/s, speculative workers", plan.rate), speculative),
        row("as fast as it goes", most),
        bare.records_per_workflow,
        bare.bytes_per_workflow,
        bare.workflows_per_s,
        plain.workflows_per_s
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_can_be_missed() {
        let holds =
            |workflows_per_s: f64, cpu: f64, p50_ms: f64, p99_ms: f64, bare: f64, speculative: f64| {
                let measured = |done_per_s: f64, p50_ms: f64| Measured {
                    load: Load { done_per_s, done: 1, p50_ms, p90_ms: p50_ms, p99_ms, max_ms: p99_ms },
                    cpu_s_per_1000: BTreeMap::from([
                        ("processor", cpu / 2.0),
                        ("broker", cpu / 2.0),
                        ("store", 0.0),
                    ]),
                    rss_mib: BTreeMap::new(),
                };
                let plan = Plan {
                    seconds: 1,
                    rate: 200,
                    partitions: 8,
                    embedded: false,
                    report: None,
                    given: Given::default(),
                };
                let bare =
                    BareLoop { workflows_per_s: bare, records_per_workflow: 11, bytes_per_workflow: 1.0 };
                let paced = [measured(200.0, p50_ms), measured(200.0, speculative)];
                judge(&plan, [&paced[0], &paced[1], &measured(workflows_per_s, p50_ms)], bare).holds
            };
        assert!(holds(5_500.0, 0.3, 14.0, 49.0, 6_800.0, 7.0));
        assert!(!holds(5_400.0, 0.3, 14.0, 49.0, 6_000.0, 7.0));
        assert!(!holds(5_500.0, 0.31, 14.0, 49.0, 6_800.0, 7.0));
        assert!(!holds(5_500.0, 0.3, 15.0, 49.0, 6_800.0, 7.0));
        assert!(!holds(5_500.0, 0.3, 14.0, 50.0, 6_800.0, 7.0));
        assert!(!holds(5_500.0, 0.3, 14.0, 49.0, 7_000.0, 7.0));
        assert!(!holds(5_500.0, 0.3, 14.0, 49.0, 6_800.0, 8.0));
    }
}
