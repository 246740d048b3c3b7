//! A fleet with many live instances.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::cluster::{Given, Servers};
use crate::fleet::{Fleet, Settings};
use crate::processes::{POLL, Process};
use crate::report::{rounded, say};
use crate::steps;
use crate::workspace::{Profile, Workspace};

/// One partition: what is measured is what *it* costs, and every instance is on it.
const SETTINGS: Settings<'static> =
    Settings { partitions: 1, queue: "default", definition: "load-tests/workflows/live.yaml" };

/// All instances have a snapshot within this after the last has started.
const FLUSHED_WITHIN: Duration = Duration::from_secs(300);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A fleet whose instances only wait.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) fleet: Fleet,
    pub(crate) count: u64,
    folder: PathBuf,
}

impl Live {
    /// Without processors and instances.
    pub(crate) fn create(workspace: &Workspace, name: &str, given: &Given) -> anyhow::Result<Self> {
        let folder = workspace.run_folder(name)?;
        let programs = workspace.build(Profile::Release, &folder)?;
        let servers = Servers::get(workspace, given, &folder)?;
        let fleet = Fleet::create(workspace, programs, servers, &folder, &SETTINGS)?;
        Ok(Self { fleet, count: 0, folder })
    }

    /// Makes instances until there are so many, and waits until all have a snapshot.
    pub(crate) fn grow(&mut self, count: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut command = self.fleet.load_test("live", &self.folder.join(format!("live-{count}.json")));
        command.args(["--from", &self.count.to_string(), "--count", &count.to_string()]);
        say!("{count} live instances …");
        let mut making = Process::spawn(&format!("live-{count}"), &mut command, &self.folder)?;
        let mut shown = Instant::now();
        let status = loop {
            if let Some(status) = making.ended()? {
                break status;
            }
            self.fleet.must_run()?;
            if shown.elapsed() >= LINE_EVERY {
                shown = Instant::now();
                let log = std::fs::read_to_string(&making.log).unwrap_or_default();
                say!("{}", log.lines().next_back().unwrap_or_default());
            }
            std::thread::sleep(POLL);
        };
        if !status.success() {
            steps::show_tail(&making.log)?;
            bail!("not all instances have started ({status})");
        }
        self.count = count;
        let made = begun.elapsed();
        let deadline = Instant::now() + FLUSHED_WITHIN;
        while self.dirty()? > 0 {
            if Instant::now() > deadline {
                bail!("some instances have no snapshot after {} s", FLUSHED_WITHIN.as_secs());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        say!(
            "{count} live instances: started in {} s, in the store after {} s",
            rounded(made),
            rounded(begun.elapsed())
        );
        Ok(())
    }

    /// Instances whose snapshot is behind, of all processors.
    fn dirty(&self) -> anyhow::Result<u64> {
        let mut dirty = 0;
        for ordinal in self.fleet.ordinals() {
            let partitions = self.fleet.partitions(ordinal)?;
            dirty += partitions.iter().map(|it| it.instances_dirty).sum::<u64>();
        }
        Ok(dirty)
    }

    /// The processor that serves the partition.
    pub(crate) fn owner(&self) -> anyhow::Result<Option<u32>> {
        for ordinal in self.fleet.ordinals() {
            if !self.fleet.partitions(ordinal)?.is_empty() {
                return Ok(Some(ordinal));
            }
        }
        Ok(None)
    }

    /// Starts a trickle of signals to all of the instances. What the owners write to the changelog meanwhile is in its output.
    pub(crate) fn trickle(&self, per_second: u32) -> anyhow::Result<Process> {
        let mut command = self.fleet.load_test("live", &self.folder.join("trickle.json"));
        command.args(["--count", &self.count.to_string(), "--trickle", &per_second.to_string()]);
        Process::spawn(&format!("trickle-{}", self.count), &mut command, &self.folder).context("no trickle")
    }
}
