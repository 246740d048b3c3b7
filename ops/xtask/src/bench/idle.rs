//! `bench idle`: what instances that only wait cost a processor in memory: the one that has started them, and one that takes them over.
//!
//! Each is compared with a process that has done as little of everything else. The one that has started a million has started a
//! thousand before: its code has been read in, and its connections are made. The one that takes them over has just begun.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::live::Live;
use crate::cluster::Given;
use crate::page;
use crate::processes::Usage;
use crate::report::{Verdict, say};
use crate::workspace::Workspace;

/// Memory is read after this: instances leave memory a minute after they were last needed (`--cache-idle`), and what was of use only to
/// start, or to flush, has been given back then or never will be.
const REST: Duration = Duration::from_secs(90);
/// So many have made a processor work once.
const FEW: u64 = 1_000;
/// Target, in MiB.
const ADDED_MIB_MAX: f64 = 10.0;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) live: u64,
    pub(crate) report: Option<PathBuf>,
    pub(crate) given: Given,
}

pub(crate) fn idle(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let mut live = Live::create(workspace, "bench-idle", &plan.given)?;
    live.fleet.start(0)?;
    let empty = rested(&live, "without instances")?;
    live.grow(FEW.min(plan.live))?;
    let few = rested(&live, "the one that started a thousand")?;
    live.grow(plan.live)?;
    let starter = rested(&live, "the one that started them all")?;
    live.fleet.stop(0)?;
    live.fleet.start(0)?;
    let heir = rested(&live, "one that was started afterwards")?;
    live.fleet.stop(0)?;

    let (starter_added, heir_added) = (starter.rss_mib - few.rss_mib, heir.rss_mib - empty.rss_mib);
    let detail = format!(
        "{} idle instances add {starter_added:.1} MiB to the processor that started them, which had {:.1} MiB after the first {FEW}, and \
         {heir_added:.1} MiB to one started on them, of {:.1} MiB without any; at most {ADDED_MIB_MAX} MiB may be added",
        plan.live, few.rss_mib, empty.rss_mib
    );
    let verdict = Verdict::new(starter_added.max(heir_added) < ADDED_MIB_MAX, detail)
        .figure("live", plan.live)
        .figure("rss_mib_empty", empty.rss_mib)
        .figure("rss_mib_few", few.rss_mib)
        .figure("rss_mib_starter", starter.rss_mib)
        .figure("rss_mib_starter_max", starter.rss_mib_max)
        .figure("rss_mib_heir", heir.rss_mib)
        .figure("rss_mib_heir_max", heir.rss_mib_max);
    if let Some(file) = &plan.report {
        let row = |name: &str, it: Usage| format!("| {name} | {:.1} | {:.1} |\n", it.rss_mib, it.rss_mib_max);
        let table = format!(
            "Resident memory of a processor with default settings and one partition, {} s after the last instance had its snapshot.\n\n\
             | processor | MiB | at most, MiB |\n|---|---|---|\n{}{}{}{}",
            REST.as_secs(),
            row("without instances", empty),
            row(&format!("the same, after it has started {FEW}, and they were flushed"), few),
            row("the same, after it has started the rest", starter),
            row("started afterwards, on them", heir)
        );
        page::write(workspace, file, "Idle instances in memory", &verdict, &table)?;
    }
    Ok(verdict)
}

fn rested(live: &Live, what: &str) -> anyhow::Result<Usage> {
    std::thread::sleep(REST);
    let usage = Usage::of(live.fleet.process(0).context("the processor runs")?)?;
    say!("{what}: {:.1} MiB", usage.rss_mib);
    Ok(usage)
}
