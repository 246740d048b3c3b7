//! What the measurements have in common: a load test beside a fleet, and the wait until the store has it all.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::fleet::{Fleet, PartitionStatus};
use crate::processes::{POLL, Process, Usage};
use crate::report::say;
use crate::steps;

/// All instances have a snapshot within this after the last change.
const FLUSHED_WITHIN: Duration = Duration::from_secs(300);
const LINE_EVERY: Duration = Duration::from_secs(10);
/// What was written before is put in order within this: Cassandra merges its files long after the last write.
const QUIET_WITHIN: Duration = Duration::from_secs(300);
/// So long servers are watched, and at rest they use no more than this of a core.
const WATCHED: Duration = Duration::from_secs(5);
const QUIET_CORES_MAX: f64 = 0.1;

/// A fleet, or what else serves.
pub(super) trait Served {
    /// Fails when what serves has ended by itself.
    fn must_run(&mut self) -> anyhow::Result<()>;

    /// Instances whose snapshot is behind.
    fn dirty(&self) -> anyhow::Result<u64>;

    /// The processes that are ours, by what they are: `processor`, `broker` and `store`, as far as they are processes of their own.
    fn processes(&self) -> anyhow::Result<BTreeMap<&'static str, u32>>;

    /// What they have used so far.
    fn usage(&self) -> anyhow::Result<BTreeMap<&'static str, Usage>> {
        self.processes()?.into_iter().map(|(name, process)| Ok((name, Usage::of(process)?))).collect()
    }
}

impl Served for Fleet {
    fn must_run(&mut self) -> anyhow::Result<()> {
        Self::must_run(self)
    }

    fn dirty(&self) -> anyhow::Result<u64> {
        let mut dirty = 0;
        for ordinal in self.ordinals() {
            dirty += dirty_of(&self.partitions(ordinal)?);
        }
        Ok(dirty)
    }

    /// Of several processors, the first.
    fn processes(&self) -> anyhow::Result<BTreeMap<&'static str, u32>> {
        let mut processes = self.servers.processes()?;
        processes.extend(self.process(0).map(|it| ("processor", it)));
        Ok(processes.into_iter().collect())
    }
}

pub(super) fn dirty_of(partitions: &[PartitionStatus]) -> u64 {
    partitions.iter().map(|it| it.instances_dirty).sum()
}

/// Runs a load test to its end, and shows from time to time how far it is.
pub(super) fn run(
    served: &mut impl Served,
    name: &str,
    command: &mut Command,
    folder: &Path,
) -> anyhow::Result<()> {
    let mut load = Process::spawn(name, command, folder)?;
    let mut shown = Instant::now();
    let status = loop {
        if let Some(status) = load.ended()? {
            break status;
        }
        served.must_run()?;
        if shown.elapsed() >= LINE_EVERY {
            shown = Instant::now();
            let log = std::fs::read_to_string(&load.log).unwrap_or_default();
            say!("{}", log.lines().next_back().unwrap_or_default());
        }
        std::thread::sleep(POLL);
    };
    if !status.success() {
        steps::show_tail(&load.log)?;
        bail!("the load test {name} failed ({status}); log: {}", load.log.display());
    }
    Ok(())
}

/// Waits until the servers have done what earlier work has left them, or for [`QUIET_WITHIN`].
pub(super) fn until_quiet(served: &impl Served) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut before = served.usage()?;
    while begun.elapsed() < QUIET_WITHIN {
        std::thread::sleep(WATCHED);
        let after = served.usage()?;
        let used = |name| {
            let it = Option::zip(after.get(name), before.get(name));
            it.map_or(0.0, |(after, before)| after.since(*before).cpu_seconds)
        };
        if (used("broker") + used("store")) / WATCHED.as_secs_f64() <= QUIET_CORES_MAX {
            return Ok(());
        }
        before = after;
    }
    say!("the servers are still at work after {} s; going on", QUIET_WITHIN.as_secs());
    Ok(())
}

/// Waits until no snapshot is behind.
pub(super) fn until_flushed(served: &impl Served) -> anyhow::Result<()> {
    let deadline = Instant::now() + FLUSHED_WITHIN;
    while served.dirty()? > 0 {
        if Instant::now() > deadline {
            bail!("some instances have no snapshot after {} s", FLUSHED_WITHIN.as_secs());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
