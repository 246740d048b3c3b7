//! What a run has shown: for the verdict, and as a page for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Plan;
use super::kinds::Kind;
use crate::workspace::Workspace;

/// A gap that begins this long before or after a fault is counted as the fault's: the last record before it may be a little older than the
/// fault, and what was under way may still arrive.
const BEFORE_MS: u64 = 1_000;
const AFTER_MS: u64 = 2_000;

/// As the load test reports it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Gap {
    from_unix_ms: u64,
    ms: u64,
}

/// What is used of the load test's report.
#[derive(Debug, Deserialize)]
struct Sequence {
    duration_s: u64,
    drain_s: f64,
    offered_per_s: f64,
    told_per_s: f64,
    sent: u64,
    told: u64,
    copies: u64,
    keys: u64,
    keys_home: u64,
    keys_misrouted: u64,
    keys_wrong: u64,
    failed: u64,
    changelog_entries: u64,
    answers_and_timers: u64,
    answered_twice: u64,
    rejections: BTreeMap<String, u64>,
    gaps: Vec<Gap>,
    violations: u64,
}

/// The faults of one kind, and the longest gap of any partition after each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Faults {
    pub(crate) kind: Kind,
    count: usize,
    /// Of those faults after which a partition stood still for more than a second.
    gap_ms_median: Option<u64>,
    gap_ms_max: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Summary {
    report: Value,
    sequence: Sequence,
    pub(crate) told_per_s: f64,
    pub(crate) faults: Vec<Faults>,
    ended_by_themselves: Vec<String>,
    seed: u64,
    /// Names and values: versions, the machine.
    about: Vec<(&'static str, String)>,
}

impl Summary {
    pub(crate) fn new(
        workspace: &Workspace,
        plan: &Plan,
        report: Value,
        faults: &BTreeMap<Kind, Vec<u64>>,
        ended_by_themselves: Vec<String>,
    ) -> anyhow::Result<Self> {
        let sequence: Sequence =
            serde_json::from_value(report.clone()).context("the report of the load test lacks something")?;
        Ok(Self {
            told_per_s: sequence.told_per_s,
            faults: Self::faults_of(faults, &sequence.gaps),
            ended_by_themselves,
            seed: plan.seed,
            about: workspace.circumstances()?,
            sequence,
            report,
        })
    }

    /// Counts faults, and finds the gap that each has made.
    pub(crate) fn faults_of(faults: &BTreeMap<Kind, Vec<u64>>, gaps: &[Gap]) -> Vec<Faults> {
        let longest = |at: u64| {
            let near = gaps.iter().filter(|it| (at - BEFORE_MS..=at + AFTER_MS).contains(&it.from_unix_ms));
            near.map(|it| it.ms).max()
        };
        let summed = |(kind, at): (&Kind, &Vec<u64>)| {
            let mut gaps: Vec<u64> = at.iter().filter_map(|it| longest(*it)).collect();
            gaps.sort_unstable();
            Faults {
                kind: *kind,
                count: at.len(),
                gap_ms_median: gaps.get(gaps.len() / 2).copied(),
                gap_ms_max: gaps.last().copied(),
            }
        };
        faults.iter().map(summed).collect()
    }

    pub(crate) fn line(&self) -> String {
        let Sequence { told, keys, copies, duration_s, drain_s, .. } = &self.sequence;
        let faults: usize = self.faults.iter().map(|it| it.count).sum();
        format!(
            "{told} numbers of {keys} keys came out once and in order through {faults} faults in {duration_s} s, {:.0}/s, drained in {drain_s:.0} s; \
             {copies} records were sent again; {} violations",
            self.told_per_s, self.sequence.violations
        )
    }

    /// For `--json`.
    pub(crate) fn figures(&self) -> Value {
        let mut figures = self.report.clone();
        figures["faults"] = json!(self.faults);
        figures["ended_by_themselves"] = json!(self.ended_by_themselves);
        figures["about"] = self.about.iter().map(|(name, value)| (*name, json!(value))).collect();
        figures
    }

    /// Writes the page.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, self.page()?).with_context(|| format!("could not write {}", file.display()))
    }

    fn page(&self) -> anyhow::Result<String> {
        let it = &self.sequence;
        let seconds = |ms: Option<u64>| {
            ms.map_or_else(|| "under 1".to_owned(), |ms| format!("{:.1}", ms as f64 / 1_000.0))
        };
        let mut page = format!(
            "# Faults on real servers\n\n\
             Written by `cargo xtask faults --minutes {} --seed {} --report`: see `load-tests/src/sequence` for what is checked, and \
             `ops/xtask/src/faults` for the faults.\n\n**{} violations.** {}.\n\n| | |\n|---|---|\n",
            it.duration_s as f64 / 60.0,
            self.seed,
            it.violations,
            self.line()
        );
        let rejected: Vec<String> =
            it.rejections.iter().map(|(what, count)| format!("{what} {count}")).collect();
        let rows = [
            ("offered, numbers/s", format!("{:.0}", it.offered_per_s)),
            ("committed, numbers/s, over the whole run", format!("{:.0}", it.told_per_s)),
            ("numbers sent, told", format!("{}, {}", it.sent, it.told)),
            (
                "keys sent home, by CRC32, to one wrong partition",
                format!("{}, {}, {}", it.keys_home, it.keys_misrouted, it.keys_wrong),
            ),
            (
                "records sent again, on purpose or not; deliveries that failed",
                format!("{}, {}", it.copies, it.failed),
            ),
            (
                "changelog entries; of answers and timers",
                format!("{}, {}", it.changelog_entries, it.answers_and_timers),
            ),
            ("tasks answered twice", it.answered_twice.to_string()),
            ("refused commands", rejected.join(", ")),
            ("processors that ended by themselves", self.ended_by_themselves.len().to_string()),
        ];
        for (name, value) in rows {
            writeln!(page, "| {name} | {value} |")?;
        }
        page.push_str(
            "\n| fault | count | longest gap of a partition, median of the faults, s | at most, s |\n|---|---|---|---|\n",
        );
        for Faults { kind, count, gap_ms_median, gap_ms_max } in &self.faults {
            writeln!(
                page,
                "| {} | {count} | {} | {} |",
                kind.text(),
                seconds(*gap_ms_median),
                seconds(*gap_ms_max)
            )?;
        }
        page.push_str(
            "\nA gap is the time from one committed record of a partition to the next, as a reader sees it. Faults overlap, so a gap may be \
             another fault's.\n\n",
        );
        for (name, value) in &self.about {
            writeln!(page, "- {name}: {value}")?;
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_belongs_to_the_fault_that_it_follows() {
        let gaps = [
            Gap { from_unix_ms: 99_500, ms: 7_000 },
            Gap { from_unix_ms: 100_300, ms: 6_000 },
            Gap { from_unix_ms: 103_000, ms: 9_000 },
        ];
        let faults =
            BTreeMap::from([(Kind::KillProcessor, vec![100_000, 200_000]), (Kind::Join, vec![50_000])]);
        let expected = [
            Faults {
                kind: Kind::KillProcessor,
                count: 2,
                gap_ms_median: Some(7_000),
                gap_ms_max: Some(7_000),
            },
            Faults { kind: Kind::Join, count: 1, gap_ms_median: None, gap_ms_max: None },
        ];
        assert_eq!(Summary::faults_of(&faults, &gaps), expected);
    }
}
