//! What the fleet does while it is looked at: a bit of everything that dashboards show, at a low rate.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::fleet::Fleet;
use crate::http_client::get;
use crate::processes::{POLL, Process};
use crate::report::say;
use crate::steps;

/// Starts, signals and timers a second.
const RATE: &str = "30";
/// How many instances are there to be signalled.
const LIVE: &str = "50";
/// How often something goes wrong.
const TROUBLE_EVERY: Duration = Duration::from_secs(4);
/// The load must come to its end within this time after its last start.
const END_WITHIN: Duration = Duration::from_secs(60);

/// Deploys what the load needs, and makes the instances that are signalled.
pub(super) fn deploy(fleet: &Fleet) -> anyhow::Result<()> {
    let service = fleet.api(0).context("the processor serves")?;
    let (_, root) = fleet.programs();
    let beat = std::fs::read_to_string(root.join("load-tests/workflows/beat.yaml"))?;
    let beat_file = fleet.folder.join("beat.yaml");
    std::fs::write(&beat_file, beat.replace("http://service.invalid", &service))?;
    let mut deploy = fleet.millrace(&["deploy"]);
    for name in ["w3", "live", "pause", "listens", "trouble"] {
        deploy.arg(format!("load-tests/workflows/{name}.yaml"));
    }
    steps::run("deploy the load", deploy.arg(&beat_file), &fleet.folder.join("deploy-load.log"))?;
    let mut live = fleet.load_test("live", &fleet.folder.join("live.json"));
    steps::run("start instances", live.args(["--count", LIVE]), &fleet.folder.join("live.log")).map(drop)
}

/// A built-in worker.
#[derive(Debug)]
pub(super) struct Worker {
    _process: Process,
    /// Host and port of its metrics.
    pub(super) address: String,
}

impl Worker {
    pub(super) fn start(fleet: &Fleet, number: u32) -> anyhow::Result<Self> {
        let mut command = fleet.millrace(&["worker", "--output", "json", "--http", "127.0.0.1:0"]);
        // What it calls is a processor, on this machine.
        command.arg("--allow-private-networks");
        let mut process = Process::spawn(&format!("worker-{number}"), &mut command, &fleet.folder)?;
        let began = Instant::now();
        while began.elapsed() < END_WITHIN {
            process.must_run()?;
            let text = std::fs::read_to_string(&process.output).unwrap_or_default();
            let document: Option<Value> = serde_json::from_str(&text).ok();
            if let Some(http) = document.as_ref().and_then(|it| it["http"].as_str()) {
                let address = http.trim_start_matches("http://").to_owned();
                return Ok(Self { _process: process, address });
            }
            std::thread::sleep(POLL);
        }
        bail!("the worker has not said where its metrics are; log: {}", process.log.display())
    }

    pub(super) fn is_ready(&self) -> bool {
        get(&self.address, "/readyz").is_ok_and(|it| it.status == 200)
    }
}

/// The load that runs.
#[derive(Debug)]
pub(super) struct Load {
    mix: Process,
    next_trouble: Instant,
    troubles: u32,
}

impl Load {
    pub(super) fn start(fleet: &Fleet, folder: &Path, duration: Duration) -> anyhow::Result<Self> {
        let mut command = fleet.load_test("mix", &folder.join("mix.json"));
        command.arg("load-tests/mixes/everyday.toml").args(["--rate", RATE, "--arrivals", "poisson"]);
        command.args(["--warmup", "1", "--duration", &duration.as_secs().to_string()]);
        say!("working for {} s …", duration.as_secs());
        let mix = Process::spawn("mix", &mut command, folder)?;
        Ok(Self { mix, next_trouble: Instant::now(), troubles: 0 })
    }

    /// What goes wrong, and what finds somebody, now and then.
    pub(super) fn work(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        if let Some(status) = self.mix.ended()? {
            steps::show_tail(&self.mix.log)?;
            bail!("the load has ended too early ({status})");
        }
        if Instant::now() < self.next_trouble {
            return Ok(());
        }
        self.next_trouble = Instant::now() + TROUBLE_EVERY;
        self.troubles += 1;
        let order = format!("order-{}", self.troubles);
        let data = format!(r#"{{"order": "{order}"}}"#);
        for command in [
            // An incident, a dead letter, a rejection.
            &["start", "load/trouble"][..],
            &["start", "load/nothing"],
            &["cancel", "nobody"],
            // Somebody listens, and is told; nobody listens.
            &["start", "load/listens", "--id", &order, "--input", &data],
            &["publish", "load.listens.paid", "--data", &data],
        ] {
            quietly(&mut fleet.millrace(command)).with_context(|| command.join(" "))?;
        }
        Ok(())
    }

    /// All that was sent must be done, and done well.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < END_WITHIN {
            match self.mix.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    steps::show_tail(&self.mix.log)?;
                    bail!("the load was not done well ({status})");
                }
                None => std::thread::sleep(POLL),
            }
        }
        bail!("the load does not come to its end; log: {}", self.mix.log.display())
    }
}

fn quietly(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
