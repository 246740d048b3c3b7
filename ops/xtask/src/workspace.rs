//! This repository, as cargo sees it, and what is built from it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::cluster::BENCH_STORE_HEAP;
use crate::steps;

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    target: PathBuf,
}

/// How programs are built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// As the tests are, so it costs no second build: for all that checks what is right.
    Dev,
    /// Optimised: for all that measures, and for long runs by hand.
    Release,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .output()
            .context("could not run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).context("could not read what cargo metadata says")?;
        Ok(Self { root: metadata.workspace_root, target: metadata.target_directory })
    }

    /// A new folder for the logs of one run of a check.
    pub(crate) fn run_folder(&self, check: &str) -> anyhow::Result<PathBuf> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let folder = self.target.join("xtask").join(format!("{check}-{}", since.as_millis()));
        std::fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        Ok(folder)
    }

    /// For reports: names and values of what figures depend on.
    pub(crate) fn circumstances(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut describe = Command::new("git");
        let commit = describe.args(["describe", "--always", "--dirty"]).current_dir(&self.root).output();
        let commit =
            commit.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned()).unwrap_or_default();
        let version = |file: &str, name: &str| -> anyhow::Result<String> {
            let file = self.root.join("ops/cluster").join(file);
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("could not read {}", file.display()))?;
            let version = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            Ok(version.with_context(|| format!("{} has no {name}", file.display()))?.to_owned())
        };
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory.lines().find_map(|it| it.strip_prefix("MemTotal:")?.split_whitespace().next());
        let memory_gib = memory.and_then(|it| it.parse::<u64>().ok()).unwrap_or_default() / 1_048_576;
        Ok(vec![
            ("commit", commit),
            ("Kafka", version("kafka.sh", "KAFKA_VERSION")?),
            (
                "Cassandra",
                format!(
                    "{}, one node; in benchmarks with a heap of {BENCH_STORE_HEAP}",
                    version("cassandra.sh", "CASSANDRA_VERSION")?
                ),
            ),
            ("machine", format!("{cores} cores, {memory_gib} GiB; the servers and the load are on it, too")),
        ])
    }

    /// A cargo command in the workspace.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = steps::command(cargo());
        // `cargo xtask` sets these for us; inherited, they make cargo rebuild what depends on them.
        for inherited in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME"] {
            command.env_remove(inherited);
        }
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// Runs a check in a folder of its own, with programs that are built for it.
    pub(crate) fn with_programs<T>(
        &self,
        check: &str,
        profile: Profile,
        run: impl FnOnce(Programs, &Path) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let folder = self.run_folder(check)?;
        run(self.build(profile, &folder)?, &folder)
    }

    /// Builds `millrace` and the load tests.
    pub(crate) fn build(&self, profile: Profile, folder: &Path) -> anyhow::Result<Programs> {
        let mut arguments = vec!["build", "-p", "millrace", "-p", "millrace-load-tests"];
        match profile {
            Profile::Dev => {}
            Profile::Release => arguments.push("--release"),
        }
        steps::run("build", &mut self.cargo(&arguments), &folder.join("build.log"))?;
        Ok(self.programs(profile))
    }

    /// What has been built.
    pub(crate) fn programs(&self, profile: Profile) -> Programs {
        let built = self.target.join(match profile {
            Profile::Dev => "debug",
            Profile::Release => "release",
        });
        Programs { millrace: built.join("millrace"), load_tests: built.join("millrace-load-tests") }
    }

    /// Builds a package, optimised, and only what it needs. Answers its program.
    pub(crate) fn build_alone(&self, package: &str, folder: &Path) -> anyhow::Result<PathBuf> {
        let mut cargo = self.cargo(&["build", "--release", "-p", package]);
        steps::run(&format!("build {package}"), &mut cargo, &folder.join("build.log"))?;
        Ok(self.target.join("release").join(package))
    }
}

/// What was built.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) millrace: PathBuf,
    pub(crate) load_tests: PathBuf,
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
