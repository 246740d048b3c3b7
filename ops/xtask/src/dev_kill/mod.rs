//! `dev-kill`: the shop of the load tests on a `millrace dev` that is killed again and again at random moments, and started again at once
//! in the same folder. Broker, store and processor die together, in the middle of whatever they are doing; the shop is another process
//! and lives on. What was acknowledged must be there afterwards, and nothing may be done twice.
//!
//! The fault model: the process ends at any instruction; the machine, and so the disk, goes on.
//! In the run folder: `orders.json`, the report of the shop; the folder of `millrace dev`; and its logs, one for each start.

mod log;
mod summary;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::bail;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::dev::Dev;
use crate::orders::{Progress, SETTINGS};
use crate::page;
use crate::processes::{POLL, Process};
use crate::report::{Verdict, read_json, rounded, say};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};
use log::Log;
use summary::Summary;

/// It is killed so many seconds after it served again.
const SERVES_S: (f64, f64) = (0.2, 4.0);
/// Orders a second, whatever is dead.
const RATE: u32 = 200;
/// There are orders for so many seconds a kill.
const ORDERS_S_PER_KILL: u32 = 6;
/// How long an order waits for a courier that never reports: short, so that timers fire between kills and the end need not be awaited.
const LOST_DEADLINE: &str = "PT5S";
/// The shop's clients try to connect again this often. By default they would wait for up to ten seconds, and many a kill would meet a
/// `millrace dev` that nobody has come back to.
const RECONNECT: &str = "reconnect.backoff.max.ms=250";
/// How often a line says where the run is, once there are no more kills.
const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) times: u32,
    pub(crate) seed: u64,
    /// Where the report for people goes, if anywhere.
    pub(crate) report: Option<PathBuf>,
}

/// One kill.
#[derive(Clone, Copy, Debug)]
struct Kill {
    /// From serving to the kill.
    served: Duration,
    /// From the kill to serving.
    back_after: Duration,
    /// Orders that were acknowledged and orders that ended between the kill before and this one.
    moved: u64,
}

pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    workspace.with_programs("dev-kill", Profile::Release, |programs, folder| {
        through(workspace, &programs, folder, plan)
    })
}

/// With programs that are built.
pub(crate) fn through(
    workspace: &Workspace,
    programs: &Programs,
    folder: &Path,
    plan: &Plan,
) -> anyhow::Result<Verdict> {
    let mut victim = Victim::new(programs.clone(), folder)?;
    victim.start()?;
    deploy(workspace, programs, &victim, folder)?;

    let (report, progress) = (folder.join("orders.json"), folder.join("orders-progress.jsonl"));
    let enough = folder.join("enough");
    let mut command = steps::command(&programs.load_tests);
    command.args(["orders", "--bootstrap", &victim.kafka, "--queue", SETTINGS.queue]);
    command.args(["--count", &(RATE * ORDERS_S_PER_KILL * plan.times).to_string()]);
    command.args(["--rate", &RATE.to_string(), "--seed", &plan.seed.to_string()]);
    command.args(["--lost-deadline", LOST_DEADLINE, "--kafka-set", RECONNECT]);
    command.arg("--until-file").arg(&enough).arg("--progress-file").arg(&progress).arg("--json").arg(&report);
    say!("{RATE} orders/s through {} kills; logs: {}", plan.times, folder.display());
    let mut shop = Process::spawn("orders", &mut command, folder)?;
    let kills = kill_often(&mut victim, &mut shop, &progress, plan)?;
    std::fs::write(&enough, "")?;
    let status = drain(&mut victim, &mut shop, &progress)?;

    victim.stop()?;
    victim.start()?;
    // Before it is stopped: what counts of the last one is how it started.
    let logs = victim.logs()?;
    victim.stop()?;
    let orders = if report.exists() { read_json(&report)? } else { Value::Null };
    if !status.success() {
        steps::show_tail(&shop.log)?;
    }
    let summary = Summary::new(plan, &kills, &logs, &orders, status.success());
    let mut verdict = summary.verdict();
    if !verdict.holds {
        verdict.detail = format!("{}; logs: {}", verdict.detail, folder.display());
    }
    if let Some(file) = &plan.report {
        let title = "millrace dev, killed again and again";
        page::write_served(workspace, file, true, title, &verdict, &summary.table())?;
    }
    Ok(verdict)
}

fn deploy(workspace: &Workspace, programs: &Programs, victim: &Victim, folder: &Path) -> anyhow::Result<()> {
    let mut deploy = steps::command(&programs.millrace);
    deploy.args(["deploy", SETTINGS.definition, "--bootstrap", &victim.kafka]).current_dir(&workspace.root);
    steps::run("deploy the workflow", &mut deploy, &folder.join("deploy.log"))?;
    Ok(())
}

/// Kills it as often as planned, each time after it has served for a random time.
fn kill_often(
    victim: &mut Victim,
    shop: &mut Process,
    progress: &Path,
    plan: &Plan,
) -> anyhow::Result<Vec<Kill>> {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut kills = Vec::new();
    let mut moved_before = 0;
    for number in 1..=plan.times {
        let served = Duration::from_secs_f64(rng.random_range(SERVES_S.0..SERVES_S.1));
        let until = Instant::now() + served;
        while Instant::now() < until {
            std::thread::sleep(POLL.min(until - Instant::now()));
            victim.must_run()?;
            if let Some(status) = shop.ended()? {
                steps::show_tail(&shop.log)?;
                bail!("the shop ended ({status}) before kill {number}; log: {}", shop.log.display());
            }
        }
        let Progress { sent, ended } = Progress::last(progress);
        let killed = Instant::now();
        victim.kill()?;
        victim.start()?;
        let back_after = killed.elapsed();
        let (served_s, back_ms) = (rounded(served), back_after.as_millis());
        say!(
            "kill {number:3} after {served_s:.1} s   serves again after {back_ms:4} ms   sent {sent}   ended {ended}"
        );
        kills.push(Kill { served, back_after, moved: sent + ended - moved_before });
        moved_before = sent + ended;
    }
    Ok(kills)
}

/// Waits until the shop has ended.
fn drain(victim: &mut Victim, shop: &mut Process, progress: &Path) -> anyhow::Result<ExitStatus> {
    let mut shown = Instant::now();
    loop {
        if let Some(status) = shop.ended()? {
            return Ok(status);
        }
        victim.must_run()?;
        if shown.elapsed() >= LINE_EVERY {
            shown = Instant::now();
            let Progress { sent, ended } = Progress::last(progress);
            say!("no more kills and orders   sent {sent}   ended {ended}");
        }
        std::thread::sleep(POLL);
    }
}

/// A `millrace dev` that is started again and again with the same folder and addresses.
#[derive(Debug)]
struct Victim {
    programs: Programs,
    folder: PathBuf,
    data: String,
    kafka: String,
    http: String,
    dev: Option<Dev>,
    /// The log of each start.
    logs: Vec<PathBuf>,
}

impl Victim {
    fn new(programs: Programs, folder: &Path) -> anyhow::Result<Self> {
        let (kafka, http) = free_ports()?;
        Ok(Self {
            programs,
            folder: folder.to_owned(),
            data: folder.join("dev").display().to_string(),
            kafka: format!("127.0.0.1:{kafka}"),
            http: format!("127.0.0.1:{http}"),
            dev: None,
            logs: Vec::new(),
        })
    }

    /// Waits until it serves.
    fn start(&mut self) -> anyhow::Result<()> {
        let name = format!("dev-{}", self.logs.len());
        let arguments = ["--data", &self.data, "--kafka", &self.kafka, "--http", &self.http];
        let dev = Dev::start(&self.programs, &name, &arguments, &self.folder)?;
        self.logs.push(dev.process.log.clone());
        self.dev = Some(dev);
        Ok(())
    }

    fn must_run(&mut self) -> anyhow::Result<()> {
        self.dev.as_mut().map_or(Ok(()), |it| it.process.must_run())
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.dev.take().map_or(Ok(()), Dev::kill)
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.dev.take().map_or(Ok(()), Dev::stop)
    }

    /// What it said, by start.
    fn logs(&self) -> anyhow::Result<Vec<Log>> {
        self.logs.iter().map(|it| Log::read(it)).collect()
    }
}

/// Two ports below the range that the kernel hands out to outgoing connections, so that they stay free while nobody listens there: a client
/// that tries to connect could be given the very port that it tries.
pub(crate) fn free_ports() -> anyhow::Result<(u16, u16)> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let first = rand::random_range(15_000..31_000);
        let both = [first, first + 1].map(|port| TcpListener::bind(("127.0.0.1", port)));
        if both.iter().all(Result::is_ok) {
            return Ok((first, first + 1));
        }
    }
    bail!("no two free ports in a row")
}
