//! `bench timers`: what pending timers cost, how soon they fire after a restart, how late they are at a steady rate, and what becomes of
//! a herd that is due at one instant, while other work goes on and while its owner is killed.
//!
//! The timers are put into the store as flushes would put them there (`millrace-load-tests fill-timers`). Those that come due have
//! instances; those that stay pending are rows of the index alone, which is all that a processor ever sees of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::{Value, json};

use super::loading::Served as _;
use super::system::System;
use crate::cluster::{Given, Servers};
use crate::fleet::Settings;
use crate::page;
use crate::processes::{POLL, Process, Usage};
use crate::report::{Verdict, read_json, say};
use crate::steps;
use crate::workspace::Workspace;

const SETTINGS: Settings<'static> =
    Settings { partitions: 8, queue: "w1", definition: "load-tests/workflows/w1.yaml" };
const TIMER: &str = "load-tests/workflows/timer.yaml";

/// Memory is read when a processor has run for so long.
const REST: Duration = Duration::from_secs(20);
/// W1 starts a second.
const W1_RATE: u32 = 50;
/// Seconds of W1 that are measured.
const W1_SECONDS: u64 = 40;
const W1_WARMUP_SECONDS: u64 = 30;
/// Timers a second, where lateness is measured.
const STEADY: u64 = 1_000;
const STEADY_SECONDS: u64 = 30;
/// The pending ones are due from then on, over a month.
const FAR: Duration = Duration::from_secs(6 * 3_600);
const MONTH_SECONDS: f64 = 30.0 * 86_400.0;
/// A row is written in less than this, for a guess of when the last one is.
const ROWS_PER_SECOND: u64 = 15_000;
/// A watch gives up when nothing fires for so long; the first ones are due later than it begins.
const PATIENCE_SECONDS: &str = "300";

/// A processor's `--timer-horizon`, by default.
const HORIZON: Duration = Duration::from_secs(60);

/// Targets.
const ADDED_MIB_MAX: f64 = 100.0;
const FIRST_FIRE_MS_MAX: u64 = 5_000;
const P99_RATIO_MAX: f64 = 2.0;
/// Memory in the second half of a herd over that in its first: it must not grow with what is still to come.
const FLAT_RATIO_MAX: f64 = 1.1;
/// What the herd takes beyond what was there before is a matter of the default limits: pages of timers, states that wait for a flush, the
/// queues of the clients.
const HERD_MIB_MAX: f64 = 256.0;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) pending: u64,
    pub(crate) herd: u64,
    /// Of the herd whose owner is killed.
    pub(crate) killed: u64,
    /// On the store and the broker of `millrace dev`.
    pub(crate) embedded: bool,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

/// What was measured.
#[derive(Debug, Default, Serialize)]
struct Measured {
    pending: u64,
    rss_mib_without: f64,
    rss_mib_with: f64,
    first_fire_ms: u64,
    steady: Value,
    w1_before: Value,
    w1_during: Value,
    herd: Value,
    rss_mib_before_herd: f64,
    /// In its first half, and in its second.
    rss_mib_max_in_herd: [f64; 2],
    killed: Value,
}

pub(crate) fn timers(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let name = if plan.embedded { "bench-timers-embedded" } else { "bench-timers" };
    let folder = workspace.run_folder(name)?;
    let servers =
        if plan.embedded { None } else { Some(Servers::for_bench(workspace, &plan.given, &folder)?) };
    let mut system = System::create(workspace, servers, &folder, &SETTINGS)?;
    system.start()?;
    system.deploy(TIMER)?;
    system.stop()?;
    let mut bench = Bench { system, folder };
    let mut it = Measured { pending: plan.pending, ..Measured::default() };

    bench.system.start()?;
    it.rss_mib_without = bench.rested()?;
    it.w1_before = bench.w1("before")?.finish(&mut bench.system)?;
    bench.system.stop()?;

    let per_second = plan.pending as f64 / MONTH_SECONDS;
    bench.fill("pending", plan.pending, unix_ms()? + millis(FAR), Some(per_second), true)?;
    bench.system.start()?;
    it.rss_mib_with = bench.rested()?;
    bench.system.stop()?;

    let steady = STEADY * STEADY_SECONDS;
    let due = due_after(steady)?;
    bench.fill("steady", steady, due, Some(STEADY as f64), false)?;
    // Some are due when it starts. How late those are that are due later is another question.
    let start = due + 1_000;
    let mut watch = bench.watch("steady", steady, start + FIRST_FIRE_MS_MAX)?;
    sleep_until(start)?;
    let begun = unix_ms()?;
    bench.system.start()?;
    it.first_fire_ms = watch.until(1, &mut bench.system)?.saturating_sub(begun);
    it.steady = watch.finish(&mut bench.system)?;
    bench.system.stop()?;

    let due = due_after(plan.herd)? + millis(REST) + (W1_WARMUP_SECONDS + 2) * 1_000;
    bench.fill("herd", plan.herd, due, None, false)?;
    bench.system.start()?;
    it.rss_mib_before_herd = bench.rested()?;
    let watch = bench.watch("herd", plan.herd, 0)?;
    sleep_until(due.saturating_sub((W1_WARMUP_SECONDS + 2) * 1_000))?;
    let w1 = bench.w1("during")?;
    let mut rss = Vec::new();
    it.w1_during = w1.finish_seeing(&mut bench.system, &mut rss)?;
    it.herd = watch.finish_seeing(&mut bench.system, &mut rss)?;
    it.rss_mib_max_in_herd = halves(&rss, &it.herd);
    bench.system.stop()?;

    let due = due_after(plan.killed)?;
    bench.fill("killed", plan.killed, due, None, false)?;
    bench.system.start()?;
    let mut watch = bench.watch("killed", plan.killed, 0)?;
    for share in [4, 2] {
        watch.until(plan.killed / share, &mut bench.system)?;
        bench.system.kill()?;
        bench.system.start()?;
    }
    it.killed = watch.finish(&mut bench.system)?;
    bench.system.stop()?;

    let verdict = judge(&it);
    if let Some(file) = &plan.report {
        let title = if plan.embedded { "Timers, on the embedded store" } else { "Timers, on the CQL store" };
        page::write_served(workspace, file, plan.embedded, title, &verdict, &table(&it))?;
    }
    Ok(verdict)
}

#[derive(Debug)]
struct Bench {
    system: System,
    folder: PathBuf,
}

impl Bench {
    /// Resident memory, when nothing has happened for a while.
    fn rested(&self) -> anyhow::Result<f64> {
        std::thread::sleep(REST);
        let usage = Usage::of(self.system.process()?)?;
        say!("at rest: {:.1} MiB", usage.rss_mib);
        Ok(usage.rss_mib)
    }

    /// Writes timers, while nobody serves.
    fn fill(
        &self,
        name: &str,
        count: u64,
        due_unix_ms: u64,
        per_second: Option<f64>,
        index_only: bool,
    ) -> anyhow::Result<()> {
        let (begun, report) = (Instant::now(), self.folder.join(format!("fill-{name}.json")));
        let mut command = self.system.fill(&report);
        command.args(["--name", name, "--count", &count.to_string()]);
        command.args(["--due-unix-ms", &due_unix_ms.to_string()]);
        if let Some(per_second) = per_second {
            command.args(["--per-second", &per_second.to_string()]);
        }
        if index_only {
            command.arg("--index-only");
        }
        say!("{count} timers ({name}) …");
        steps::run(&format!("fill {name}"), &mut command, &self.folder.join(format!("fill-{name}.log")))?;
        say!("written in {} s", begun.elapsed().as_secs());
        Ok(())
    }

    fn watch(&self, name: &str, count: u64, served_from_unix_ms: u64) -> anyhow::Result<Load> {
        let report = self.folder.join(format!("watch-{name}.json"));
        let mut command = self.system.load_test("watch-timers", &report);
        command.args(["--name", name, "--count", &count.to_string(), "--patience", PATIENCE_SECONDS]);
        command.args(["--served-from-unix-ms", &served_from_unix_ms.to_string()]);
        Load::start(&format!("watch-{name}"), &mut command, report, &self.folder)
    }

    fn w1(&self, name: &str) -> anyhow::Result<Load> {
        let report = self.folder.join(format!("w1-{name}.json"));
        let mut command = self.system.load_test("mix", &report);
        command.args([
            "load-tests/mixes/w1.toml",
            "--rate",
            &W1_RATE.to_string(),
            "--duration",
            &W1_SECONDS.to_string(),
        ]);
        // The servers are new, and slow until they have run for a while: what is measured first would seem to get faster.
        command.args(["--warmup", &W1_WARMUP_SECONDS.to_string()]);
        Load::start(&format!("w1-{name}"), &mut command, report, &self.folder)
    }
}

/// A load test that runs beside.
#[derive(Debug)]
struct Load {
    process: Process,
    report: PathBuf,
}

impl Load {
    fn start(name: &str, command: &mut Command, report: PathBuf, folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { process: Process::spawn(name, command, folder)?, report })
    }

    /// What it says in the end. That not all holds is for the verdict.
    fn finish(mut self, system: &mut System) -> anyhow::Result<Value> {
        while self.process.ended()?.is_none() {
            system.must_run()?;
            std::thread::sleep(POLL);
        }
        self.read()
    }

    /// The same, and the memory that the processor has had meanwhile, with the times in milliseconds since the epoch.
    fn finish_seeing(mut self, system: &mut System, rss_mib: &mut Vec<(u64, f64)>) -> anyhow::Result<Value> {
        while self.process.ended()?.is_none() {
            rss_mib.push((unix_ms()?, Usage::of(system.process()?)?.rss_mib));
            std::thread::sleep(POLL);
        }
        self.read()
    }

    fn read(&self) -> anyhow::Result<Value> {
        if !self.report.exists() {
            steps::show_tail(&self.process.log)?;
            bail!("{} has left no report", self.process.name);
        }
        let mut report = read_json(&self.report)?;
        if let Some(figures) = report.as_object_mut() {
            // They are in its file; here is what people look at.
            figures.retain(|_, it| !it.is_array());
        }
        say!("{}: {report}", self.process.name);
        Ok(report)
    }

    /// Waits until so many have fired. When that was.
    fn until(&mut self, count: u64, system: &mut System) -> anyhow::Result<u64> {
        loop {
            let output = std::fs::read_to_string(&self.process.output)?;
            let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut reached = lines.filter(|it| it["fired"].as_u64() >= Some(count));
            if let Some(at) = reached.next().and_then(|it| it["at_unix_ms"].as_u64()) {
                return Ok(at);
            }
            system.must_run()?;
            if self.process.ended()?.is_some() {
                steps::show_tail(&self.process.log)?;
                bail!("{} has ended before {count} had fired", self.process.name);
            }
            std::thread::sleep(POLL);
        }
    }
}

/// When timers may be due that are to be written now. Nobody but its owner writes the rows of a partition; so what is written here must lie
/// beyond what the last owner, which has been stopped, had seen of the index.
fn due_after(count: u64) -> anyhow::Result<u64> {
    Ok(unix_ms()? + millis(HORIZON) + 10_000 + count * 1_000 / ROWS_PER_SECOND)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn unix_ms() -> anyhow::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    u64::try_from(since.as_millis()).context("the clock is far in the future")
}

fn sleep_until(at_unix_ms: u64) -> anyhow::Result<()> {
    std::thread::sleep(Duration::from_millis(at_unix_ms.saturating_sub(unix_ms()?)));
    Ok(())
}

/// The most memory in the first and in the second half of the time in which timers have fired.
fn halves(rss_mib: &[(u64, f64)], herd: &Value) -> [f64; 2] {
    let at = |name: &str| herd[name].as_u64().unwrap_or_default();
    let (first, last) = (at("first_unix_ms"), at("last_unix_ms"));
    let middle = first.midpoint(last);
    let most = |from, until| {
        let within = rss_mib.iter().filter(|it| (from..until).contains(&it.0));
        within.map(|it| it.1).fold(f64::NAN, f64::max)
    };
    [most(first, middle), most(middle, last)]
}

fn judge(it: &Measured) -> Verdict {
    let number = |report: &Value, name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    let added = it.rss_mib_with - it.rss_mib_without;
    // What was never done is in no quantile.
    let is_done = |it: &Value| it["done"] == it["sent"] && it["failed"] == 0;
    let ratio = if is_done(&it.w1_before) && is_done(&it.w1_during) {
        number(&it.w1_during, "p99_ms") / number(&it.w1_before, "p99_ms")
    } else {
        f64::INFINITY
    };
    let [first_half, second_half] = it.rss_mib_max_in_herd;
    let grown = first_half.max(second_half) - it.rss_mib_before_herd;
    let flat = second_half / first_half;
    let mut problems = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            problems.push(what);
        }
    };
    must(added < ADDED_MIB_MAX, format!("pending timers add {added:.1} MiB, and may add {ADDED_MIB_MAX}"));
    must(
        it.first_fire_ms < FIRST_FIRE_MS_MAX,
        format!("the first fires {} ms after the start, not within {FIRST_FIRE_MS_MAX}", it.first_fire_ms),
    );
    must(ratio <= P99_RATIO_MAX, format!("other work's p99 is {ratio:.1} times as long during the herd"));
    must(grown < HERD_MIB_MAX, format!("a herd takes {grown:.1} MiB, and may take {HERD_MIB_MAX}"));
    must(
        flat <= FLAT_RATIO_MAX,
        format!(
            "memory grows with the herd: {first_half:.1} MiB in its first half, {second_half:.1} in its second"
        ),
    );
    for (name, report) in [("steady", &it.steady), ("herd", &it.herd), ("killed", &it.killed)] {
        let is_exact = report["fired"] == report["set"] && report["set"].is_number();
        let is_clean = ["twice", "early", "faulted"].iter().all(|it| report[it] == json!(0));
        must(is_exact && is_clean, format!("{name}: what fired is not what was set: {report}"));
    }
    let detail = format!(
        "{} pending add {added:.1} MiB; first fire {} ms after the start; at {STEADY}/s late by p50 {} ms, p99 {} ms; a herd of {} fires \
         at {:.0}/s with {grown:.1} MiB more, {flat:.2} times as much in the second half as in the first, other work's p99 is {ratio:.2} of before; through two kills {} of {} fire, {} twice",
        it.pending,
        it.first_fire_ms,
        it.steady["lateness_p50_ms"],
        it.steady["lateness_p99_ms"],
        it.herd["set"],
        number(&it.herd, "fired_per_s"),
        it.killed["fired"],
        it.killed["set"],
        it.killed["twice"],
    );
    problems.push(detail);
    Verdict::new(problems.len() == 1, problems.join("; ")).figure("measured", json!(it))
}

fn table(it: &Measured) -> String {
    let row = |name: &str, report: &Value| {
        format!(
            "| {name} | {} | {} | {} | {} | {:.0} | {} | {} | {} |\n",
            report["set"],
            report["fired"],
            report["twice"],
            report["early"],
            report["fired_per_s"].as_f64().unwrap_or_default(),
            report["lateness_p50_ms"],
            report["lateness_p99_ms"],
            report["lateness_max_ms"],
        )
    };
    let w1 = |report: &Value| format!("{:.1}", report["p99_ms"].as_f64().unwrap_or(f64::NAN));
    let p50 = |report: &Value| format!("{:.1}", report["p50_ms"].as_f64().unwrap_or(f64::NAN));
    format!(
        "One processor with default settings, {} partitions. The timers were written into the store as flushes write them: the {} pending ones as \
         rows of the index alone, due over a month; those that fire with the snapshots of their instances, which the engine has made. \
         Lateness is from due to read from the changelog, committed.\n\n\
         | | set | fired | twice | early | fired/s | late p50, ms | p99 | most |\n|---|---|---|---|---|---|---|---|---|\n{}{}{}\n\
         | | |\n|---|---|\n\
         | resident memory without timers, MiB | {:.1} |\n\
         | with {} pending | {:.1} |\n\
         | before the herd, most in its first half, in its second | {:.1}, {:.1}, {:.1} |\n\
         | from the start of the process to the first fire read, ms | {} |\n\
         | W1 at {W1_RATE}/s, p50 and p99, ms | {}, {} |\n\
         | the same while the herd fires | {}, {} |\n",
        SETTINGS.partitions,
        it.pending,
        row(&format!("{STEADY} a second, for {STEADY_SECONDS} s"), &it.steady),
        row("all due at one instant, with W1 beside", &it.herd),
        row("the same, with `kill -9` at a quarter and at a half", &it.killed),
        it.rss_mib_without,
        it.pending,
        it.rss_mib_with,
        it.rss_mib_before_herd,
        it.rss_mib_max_in_herd[0],
        it.rss_mib_max_in_herd[1],
        it.first_fire_ms,
        p50(&it.w1_before),
        w1(&it.w1_before),
        p50(&it.w1_during),
        w1(&it.w1_during),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Measured {
        let fired = json!({"set": 9, "fired": 9, "twice": 0, "early": 0, "faulted": 0, "fired_per_s": 5.0});
        Measured {
            pending: 9,
            rss_mib_without: 50.0,
            rss_mib_with: 60.0,
            first_fire_ms: 900,
            steady: fired.clone(),
            w1_before: json!({"p99_ms": 10.0, "sent": 9, "done": 9, "failed": 0}),
            w1_during: json!({"p99_ms": 19.0, "sent": 9, "done": 9, "failed": 0}),
            herd: fired.clone(),
            rss_mib_before_herd: 60.0,
            rss_mib_max_in_herd: [100.0, 99.0],
            killed: fired,
        }
    }

    #[test]
    fn each_target_counts() {
        assert!(judge(&good()).holds, "{}", judge(&good()).detail);
        let breaks: [fn(&mut Measured); 9] = [
            |it| it.rss_mib_with = 151.0,
            |it| it.first_fire_ms = 5_000,
            |it| it.w1_during = json!({"p99_ms": 21.0, "sent": 9, "done": 9, "failed": 0}),
            |it| it.w1_during["done"] = json!(8),
            |it| it.w1_during = Value::Null,
            |it| it.rss_mib_max_in_herd = [317.0, 317.0],
            |it| it.rss_mib_max_in_herd = [100.0, 111.0],
            |it| it.killed["fired"] = json!(8),
            |it| it.herd["twice"] = json!(1),
        ];
        for break_one in breaks {
            let mut it = good();
            break_one(&mut it);
            assert!(!judge(&it).holds, "{}", judge(&it).detail);
        }
    }
}
