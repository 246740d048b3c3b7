//! `ci`: everything that must hold before a change lands. All of it is run even if some of it fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::cluster::{Given, Servers};
use crate::orders::{self, Plan};
use crate::report::{Verdict, rounded, say};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};

const ORDERS: u64 = 10_000;

struct Step {
    name: String,
    took: Duration,
    error: Option<String>,
}

struct Run<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
    steps: Vec<Step>,
}

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let mut run = Run { workspace, folder: workspace.run_folder("ci")?, steps: Vec::new() };
    let features = workspace.real_servers_features();

    run.cargo("format", &["fmt", "--all", "--check"]);
    // With the feature, which only adds code: the tests on real servers are linted too.
    let lints = ["clippy", "--workspace", "--all-targets", "--features", &features, "--", "-D", "warnings"];
    run.cargo("lints", &lints);
    run.cargo("tests", &["test", "--workspace", "--no-fail-fast"]);
    let folder = run.folder.clone();
    let programs = run.step("optimised build", || workspace.build(Profile::Release, &folder));
    let servers = run.step("servers", || Servers::start_all(workspace, &folder));
    for package in &workspace.with_real_servers {
        run.step(&format!("{package} on real servers"), || {
            test_on_real_servers(workspace, package, servers.as_ref(), &folder)
        });
    }
    run.step(&format!("{ORDERS} orders through a kill"), || {
        orders_through_a_kill(workspace, servers.as_ref(), programs.as_ref(), &folder)
    });
    drop(servers);
    Ok(run.verdict())
}

fn test_on_real_servers(
    workspace: &Workspace,
    package: &str,
    servers: Option<&Servers>,
    folder: &Path,
) -> anyhow::Result<()> {
    let servers = servers.context("not run: there are no servers")?;
    let feature = format!("{package}/real-servers");
    let mut test = workspace.cargo(&["test", "-p", package, "--features", &feature, "--no-fail-fast"]);
    servers.tell(&mut test);
    run_step(package, &mut test, &folder.join(format!("real-servers-{package}.log")))
}

fn orders_through_a_kill(
    workspace: &Workspace,
    servers: Option<&Servers>,
    programs: Option<&Programs>,
    folder: &Path,
) -> anyhow::Result<()> {
    let (Some(servers), Some(programs)) = (servers, programs) else {
        bail!("not run: there are no servers, or no programs");
    };
    let plan =
        Plan { count: ORDERS, kill: true, seed: 1, profile: Profile::Release, given: Given::default() };
    let folder = folder.join("orders");
    std::fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    let verdict = orders::run_on(workspace, servers, programs, &folder, &plan)?;
    say!("{}", verdict.detail);
    Ok(())
}

fn run_step(label: &str, command: &mut Command, log: &Path) -> anyhow::Result<()> {
    steps::run(label, command, log).map(drop)
}

impl Run<'_> {
    fn cargo(&mut self, name: &str, arguments: &[&str]) {
        let mut command = self.workspace.cargo(arguments);
        let log = self.folder.join(format!("{name}.log"));
        self.step(name, || run_step(name, &mut command, &log));
    }

    /// Runs a step, and answers what it made.
    fn step<T>(&mut self, name: &str, run: impl FnOnce() -> anyhow::Result<T>) -> Option<T> {
        let begun = Instant::now();
        let result = run();
        let took = begun.elapsed();
        let (made, error) = match result {
            Ok(made) => (Some(made), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        if let Some(error) = &error {
            say!("{name}: {error}");
        }
        self.steps.push(Step { name: name.to_owned(), took, error });
        made
    }

    /// Prints the table.
    fn verdict(self) -> Verdict {
        say!("");
        for Step { name, took, error } in &self.steps {
            say!("{:6} {:8.1} s  {name}", if error.is_some() { "FAILED" } else { "ok" }, rounded(*took));
        }
        say!("");
        let failed: Vec<&str> =
            self.steps.iter().filter(|it| it.error.is_some()).map(|it| it.name.as_str()).collect();
        let passed = self.steps.len() - failed.len();
        let mut detail = format!("{passed} passed, {} failed", failed.len());
        if !failed.is_empty() {
            detail = format!("{detail} ({}); logs: {}", failed.join(", "), self.folder.display());
        }
        let table: Vec<_> = self
            .steps
            .iter()
            .map(|it| json!({ "name": it.name, "seconds": rounded(it.took), "error": it.error }))
            .collect();
        Verdict::new(failed.is_empty(), detail)
            .figure("passed", passed)
            .figure("failed", failed.len())
            .figure("steps", table)
    }
}
