//! What the measurements have in common: a load test beside a fleet, and the wait until the store has it all.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::fleet::Fleet;
use crate::processes::{POLL, Process, Usage};
use crate::report::say;
use crate::steps;

/// All instances have a snapshot within this after the last change.
const FLUSHED_WITHIN: Duration = Duration::from_secs(300);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs a load test to its end, and shows from time to time how far it is.
pub(super) fn run(fleet: &mut Fleet, name: &str, command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    let mut load = Process::spawn(name, command, folder)?;
    let mut shown = Instant::now();
    let status = loop {
        if let Some(status) = load.ended()? {
            break status;
        }
        fleet.must_run()?;
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

/// Waits until no snapshot is behind, in any processor.
pub(super) fn until_flushed(fleet: &Fleet) -> anyhow::Result<()> {
    let deadline = Instant::now() + FLUSHED_WITHIN;
    while dirty(fleet)? > 0 {
        if Instant::now() > deadline {
            bail!("some instances have no snapshot after {} s", FLUSHED_WITHIN.as_secs());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Instances whose snapshot is behind, of all processors.
fn dirty(fleet: &Fleet) -> anyhow::Result<u64> {
    let mut dirty = 0;
    for ordinal in fleet.ordinals() {
        dirty += fleet.partitions(ordinal)?.iter().map(|it| it.instances_dirty).sum::<u64>();
    }
    Ok(dirty)
}

/// What processor 0 and, if they are ours, the servers have used so far.
pub(super) fn usage(fleet: &Fleet) -> anyhow::Result<BTreeMap<&'static str, Usage>> {
    let mut processes = fleet.servers.processes()?;
    processes.extend(fleet.process(0).map(|it| ("processor", it)));
    processes.into_iter().map(|(name, process)| Ok((name, Usage::of(process)?))).collect()
}
