//! A fleet with many live instances.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;

use super::loading;
use crate::cluster::{Given, Servers};
use crate::fleet::{Fleet, Settings};
use crate::processes::Process;
use crate::report::{rounded, say};
use crate::workspace::{Profile, Workspace};

/// One partition: what is measured is what *it* costs, and every instance is on it.
const SETTINGS: Settings<'static> =
    Settings { partitions: 1, queue: "default", definition: "load-tests/workflows/live.yaml" };

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
        let servers = Servers::for_bench(workspace, given, &folder)?;
        let fleet = Fleet::create(workspace, programs, servers, &folder, &SETTINGS)?;
        Ok(Self { fleet, count: 0, folder })
    }

    /// Makes instances until there are so many, and waits until all have a snapshot.
    pub(crate) fn grow(&mut self, count: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut command = self.fleet.load_test("live", &self.folder.join(format!("live-{count}.json")));
        command.args(["--from", &self.count.to_string(), "--count", &count.to_string()]);
        say!("{count} live instances …");
        loading::run(&mut self.fleet, &format!("live-{count}"), &mut command, &self.folder)?;
        self.count = count;
        let made = begun.elapsed();
        loading::until_flushed(&self.fleet)?;
        say!(
            "{count} live instances: started in {} s, in the store after {} s",
            rounded(made),
            rounded(begun.elapsed())
        );
        Ok(())
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
