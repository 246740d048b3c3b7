//! `bench listens`: events that find one of many instances that listen, by a value. How many a second, and what each costs, by how many
//! listen.
//!
//! A fleet of one processor for each number of open listens, on the same servers, measured in turn: so what else the machine does
//! meanwhile weighs on all alike. Each event ends one instance; before each measurement, as many are opened as have ended. What is
//! measured of an event is all of it: the processor time counts until the last snapshot is in the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::loading::{self, Served as _};
use super::system::System;
use crate::cluster::{Given, Servers};
use crate::fleet::Settings;
use crate::page;
use crate::processes::Usage;
use crate::report::{Verdict, read_json, rounded, say};
use crate::workspace::Workspace;

const SETTINGS: Settings<'static> =
    Settings { partitions: 8, queue: "default", definition: "load-tests/workflows/listens.yaml" };

/// Rounds before anything counts: Java's virtual machines compile what has run often, for minutes where both cores are busy.
const WARMUPS: u32 = 3;
/// Events of such a round are this part of the open listens, at least as many as are measured: of many, the first have left memory long
/// ago, so that reading is compiled, too.
const WARMUP_PART: u64 = 10;

/// Targets.
const EVENTS_PER_S_MIN: f64 = 5_000.0;
const COST_RATIO_MAX: f64 = 1.2;

#[derive(Debug)]
pub(crate) struct Plan {
    /// Numbers of open listens, ascending.
    pub(crate) open: Vec<u64>,
    /// Of one measurement.
    pub(crate) events: u64,
    /// How often each is measured with all events at once.
    pub(crate) times: u32,
    /// Events a second of the last measurement; 0: there is none.
    pub(crate) rate: u32,
    /// How long the listens were left alone before a measurement.
    pub(crate) rest: Duration,
    /// On the store and the broker of `millrace dev`.
    pub(crate) embedded: bool,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

impl Plan {
    /// Rounds that do not count.
    fn warmups(&self) -> u32 {
        if self.embedded { 0 } else { WARMUPS }
    }
}

/// A fleet with so many open listens.
struct Crowd {
    system: System,
    folder: PathBuf,
    open: u64,
    /// Orders up to this one were made.
    made: u64,
    /// Orders that had their event.
    ended: u64,
    bursts: Vec<Measured>,
    paced: Option<Measured>,
}

/// What the load test says.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Load {
    events_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
struct Measured {
    load: Load,
    /// Processor time for 1,000 events, in seconds, of each process.
    cpu_s_per_1000: BTreeMap<&'static str, f64>,
    processor_rss_mib: f64,
    /// Processes that want a core, on average over the last minute, before it began.
    machine_load: f64,
}

pub(crate) fn listens(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let fewest = plan.open.first().copied().unwrap_or_default();
    if !plan.open.is_sorted() || plan.events > fewest {
        bail!("--open must be ascending numbers, and --events at most the first of them");
    }
    let warmups = plan.warmups();
    let in_all = plan.events * (u64::from(plan.times) + 1 + u64::from(warmups));
    if plan.open.iter().any(|open| in_all > *open && open % plan.events != 0) {
        bail!("--open must be multiples of --events, or so many that each measurement finds its own");
    }
    let mut crowds = Vec::new();
    let mut servers = None;
    for open in &plan.open {
        let folder = workspace.run_folder(&format!("bench-listens-{open}"))?;
        if servers.is_none() && !plan.embedded {
            servers = Some(Servers::for_bench(workspace, &plan.given, &folder)?);
        }
        let mut system = System::create(workspace, servers.clone(), &folder, &SETTINGS)?;
        system.start()?;
        let (bursts, paced) = (Vec::new(), None);
        crowds.push(Crowd { system, folder, open: *open, made: 0, ended: 0, bursts, paced });
    }
    drop(servers);
    for round in 0..warmups {
        say!("warm-up {} of {warmups} …", round + 1);
        for crowd in &mut crowds {
            crowd.fill()?;
            crowd.measure(plan.events.max(crowd.open / WARMUP_PART), None)?;
        }
    }
    for round in 0..plan.times {
        prepare(&mut crowds, plan.rest)?;
        let mut order: Vec<&mut Crowd> = crowds.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for crowd in order {
            loading::until_quiet(&crowd.system)?;
            let measured = crowd.measure(plan.events, None)?;
            crowd.bursts.push(measured);
        }
    }
    if plan.rate > 0 {
        prepare(&mut crowds, plan.rest)?;
        for crowd in &mut crowds {
            loading::until_quiet(&crowd.system)?;
            crowd.paced = Some(crowd.measure(plan.events, Some(plan.rate))?);
        }
    }
    for crowd in &mut crowds {
        crowd.system.stop()?;
    }
    let verdict = judge(&crowds);
    if let Some(file) = &plan.report {
        let title = if plan.embedded {
            "Events that find who listens, on the embedded store and broker"
        } else {
            "Events that find who listens, on the CQL store"
        };
        page::write_served(workspace, file, plan.embedded, title, &verdict, &table(&crowds, plan))?;
    }
    Ok(verdict)
}

/// Opens what is missing, and lets it rest.
fn prepare(crowds: &mut [Crowd], rest: Duration) -> anyhow::Result<()> {
    for crowd in crowds.iter_mut() {
        crowd.fill()?;
    }
    say!("{} s of rest …", rest.as_secs());
    std::thread::sleep(rest);
    Ok(())
}

impl Crowd {
    fn fill(&mut self) -> anyhow::Result<()> {
        let missing = self.open + self.ended - self.made;
        if missing == 0 {
            return Ok(());
        }
        let begun = Instant::now();
        let name = format!("open-{}", self.made);
        let mut command = self.system.load_test("listens", &self.folder.join(format!("{name}.json")));
        command.args(["--from", &self.made.to_string(), "--count", &missing.to_string()]);
        say!("{missing} listens to open …");
        loading::run(&mut self.system, &name, &mut command, &self.folder)?;
        loading::until_flushed(&self.system)?;
        self.made += missing;
        say!("{} listens are open, and in the store, after {} s", self.open, rounded(begun.elapsed()));
        Ok(())
    }

    fn measure(&mut self, events: u64, rate: Option<u32>) -> anyhow::Result<Measured> {
        let name = format!("events-{}", self.ended);
        let report = self.folder.join(format!("{name}.json"));
        let mut command = self.system.load_test("listens", &report);
        // Those that were opened first have their events first, so all that are chosen from are open.
        let (from, skip) = (self.ended - self.ended % self.open, self.ended % self.open);
        command.args(["--from", &from.to_string(), "--count", &self.open.to_string()]);
        command.args(["--events", &events.to_string(), "--skip", &skip.to_string()]);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let machine_load = machine_load()?;
        let before = self.system.usage()?;
        loading::run(&mut self.system, &name, &mut command, &self.folder)?;
        loading::until_flushed(&self.system)?;
        let after = self.system.usage()?;
        self.ended += events;
        let cost = |name: &&'static str, after: &Usage| {
            let used = after.since(before.get(name).copied().unwrap_or_default());
            used.cpu_seconds / events as f64 * 1_000.0
        };
        let measured = Measured {
            load: serde_json::from_value(read_json(&report)?).context("a report with other figures")?,
            cpu_s_per_1000: after.iter().map(|(name, after)| (*name, cost(name, after))).collect(),
            processor_rss_mib: after.get("processor").context("the processor runs")?.rss_mib,
            machine_load,
        };
        let Load { events_per_s, p50_ms, p99_ms } = measured.load;
        say!(
            "{} open: {events_per_s:.0} events/s, p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, processor {:.3} s for 1,000",
            self.open,
            measured.processor_cost()
        );
        Ok(measured)
    }

    /// Events a second for which the cores of this machine suffice, with all that is behind them: those of a burst have not been written to
    /// the store when the last instance has completed. None if the servers are not ours to ask.
    fn sustained_per_s(&self) -> Option<f64> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let all = |it: &Measured| -> Option<f64> {
            let of = |name: &str| it.cpu_s_per_1000.get(name);
            let servers = [of("broker"), of("store")];
            let servers = if self.system.is_embedded() { 0.0 } else { servers[0]? + servers[1]? };
            Some(of("processor")? + servers)
        };
        let costs: Option<Vec<f64>> = self.bursts.iter().map(all).collect();
        Some(cores as f64 * 1_000.0 / median(costs?.into_iter()))
    }

    fn events_per_s(&self) -> f64 {
        median(self.bursts.iter().map(|it| it.load.events_per_s))
    }

    fn processor_cost(&self) -> f64 {
        median(self.bursts.iter().map(Measured::processor_cost))
    }
}

impl Measured {
    fn processor_cost(&self) -> f64 {
        self.cpu_s_per_1000.get("processor").copied().unwrap_or(f64::INFINITY)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn machine_load() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").context("could not read /proc/loadavg")?;
    let load = text.split_whitespace().next().and_then(|it| it.parse().ok());
    load.context("could not make sense of /proc/loadavg")
}

fn judge(crowds: &[Crowd]) -> Verdict {
    let figures: Vec<(u64, f64, f64)> =
        crowds.iter().map(|it| (it.open, it.events_per_s(), it.processor_cost())).collect();
    let (holds, detail, ratios) = judge_medians(&figures);
    let measured: Vec<_> =
        crowds.iter().map(|it| json!({ "open": it.open, "bursts": it.bursts, "paced": it.paced })).collect();
    Verdict::new(holds, detail)
        .figure("measured", measured)
        .figure("cost_ratio", ratios.cost)
        .figure("throughput_ratio", ratios.throughput)
}

/// The most listens over the fewest.
struct Ratios {
    cost: f64,
    throughput: f64,
}

/// `figures`: open listens, events a second, processor time for 1,000.
fn judge_medians(figures: &[(u64, f64, f64)]) -> (bool, String, Ratios) {
    let mut parts: Vec<String> = figures
        .iter()
        .map(|(open, events_per_s, cost)| {
            format!("{open} open: {events_per_s:.0} events/s, {cost:.3} s of the processor for 1,000")
        })
        .collect();
    let ratios = match (figures.first(), figures.last()) {
        (Some(few), Some(many)) => Ratios { cost: many.2 / few.2, throughput: many.1 / few.1 },
        _ => Ratios { cost: f64::NAN, throughput: f64::NAN },
    };
    parts.push(format!(
        "ratio of cost {:.2}, at most {COST_RATIO_MAX}, of throughput {:.2}; at least {EVENTS_PER_S_MIN:.0} events/s are wanted",
        ratios.cost, ratios.throughput
    ));
    let is_fast = figures.iter().all(|it| it.1 >= EVENTS_PER_S_MIN);
    (is_fast && ratios.cost <= COST_RATIO_MAX, parts.join("; "), ratios)
}

fn table(crowds: &[Crowd], plan: &Plan) -> String {
    let cpu = |it: &Measured| {
        let of =
            |name: &str| it.cpu_s_per_1000.get(name).map_or_else(|| "-".to_owned(), |it| format!("{it:.3}"));
        format!("{} | {} | {}", of("processor"), of("broker"), of("store"))
    };
    let row = |open: u64, what: &str, it: &Measured| {
        let Load { events_per_s, p50_ms, p99_ms } = it.load;
        format!(
            "| {open} | {what} | {events_per_s:.0} | {p50_ms:.1} | {p99_ms:.1} | {} | {:.0} | {:.1} |\n",
            cpu(it),
            it.processor_rss_mib,
            it.machine_load
        )
    };
    let bursts: String =
        crowds.iter().flat_map(|it| it.bursts.iter().map(|burst| row(it.open, "at once", burst))).collect();
    let paced: String = crowds
        .iter()
        .filter_map(|it| Some(row(it.open, &format!("{}/s", plan.rate), it.paced.as_ref()?)))
        .collect();
    let sustained: String = crowds
        .iter()
        .filter_map(|it| {
            Some(format!(
                "\nWith {} open listens, the processor time of all three suffices for {:.0} events/s on this machine; what comes faster waits for the \
                 store, not for its instances, as long as the limits on what is not flushed allow.\n",
                it.open,
                it.sustained_per_s()?
            ))
        })
        .collect();
    format!(
        "{} events, each for another instance; from when an event was due until the end of its instance is read from the changelog. One processor \
         with default settings and 8 partitions. The listens were opened {} s before, and the servers had come to rest. Processor time is that until the last \
         snapshot was in the store. Before the first, {} rounds that do not count, with as \
         many events or a tenth of the listens. Load: what the machine had to do before.\n\n\
         | open listens | events | events/s | p50, ms | p99, ms | processor, s for 1,000 | broker | store | processor, MiB | load |\n\
         |---|---|---|---|---|---|---|---|---|---|\n{bursts}{paced}{sustained}",
        plan.events,
        plan.rest.as_secs(),
        plan.warmups()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_more_with_more_listens_fails_and_so_does_what_is_slow() {
        let holds = |few, many| judge_medians(&[few, many]).0;
        assert!(holds((10, 5_000.0, 0.1), (1_000, 6_000.0, 0.12)));
        assert!(!holds((10, 5_000.0, 0.1), (1_000, 6_000.0, 0.13)));
        assert!(!holds((10, 5_000.0, 0.1), (1_000, 4_900.0, 0.1)));
        assert!(!judge_medians(&[]).0);
    }
}
