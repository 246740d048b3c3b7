//! `instructions`: what the pure hot paths cost, counted by callgrind against what they may cost. Wall time is noise on a machine that is
//! shared; a count is the same on each run of one build.
//!
//! Only what happens below the function `measured` is counted: no preparation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;

use crate::report::{Verdict, say};
use crate::steps;
use crate::workspace::Workspace;

/// Instructions of one run of each path.
const BUDGET: &str = "load-tests/hot-paths/instructions.json";
/// So much more is noise: of the compiler's choices, of another machine's C library, of how long a hash table's chains are.
const TOLERANCE: f64 = 0.10;
const TIMES: u64 = 20;
/// The allocator tidies its caches when ten milliseconds have gone by, which falls into what is measured or does not: a fifth of a small count, and
/// no property of the path. So it does not tidy here.
const ALLOCATOR: (&str, &str) =
    ("MALLOC_CONF", "experimental_tcache_gc:false,tcache_gc_incr_bytes:1073741824");

#[derive(Debug)]
pub(crate) struct Plan {
    /// Writes the budget anew.
    pub(crate) write: bool,
}

/// As `millrace-hot-paths --list` prints it.
#[derive(Debug, Deserialize)]
struct HotPath {
    name: String,
    unit: String,
}

type Counts = BTreeMap<String, u64>;

pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("instructions")?;
    let program = workspace.build_alone("millrace-hot-paths", &folder)?;
    let mut list = steps::command(&program);
    let list = steps::capture("list the hot paths", list.arg("--list"))?;
    let paths: Vec<HotPath> = serde_json::from_str(&list).context("the list of hot paths cannot be read")?;
    let mut counts = Counts::new();
    for path in &paths {
        let counted = count(&program, &folder, &path.name)? / TIMES;
        say!("{:>12}   {:<24} {}", counted, path.name, path.unit);
        counts.insert(path.name.clone(), counted);
    }
    let file = workspace.root.join(BUDGET);
    if plan.write {
        std::fs::write(&file, serde_json::to_string_pretty(&counts)? + "\n")?;
        return Ok(Verdict::new(true, format!("{} paths counted; {BUDGET} is written", counts.len())));
    }
    let budget = std::fs::read_to_string(&file).with_context(|| format!("{BUDGET} cannot be read"))?;
    let budget: Counts = serde_json::from_str(&budget).with_context(|| format!("{BUDGET} cannot be read"))?;
    let (problems, cheaper) = compare(&counts, &budget);
    let mut detail = format!("{} paths cost what they may", counts.len());
    if !problems.is_empty() {
        detail = format!(
            "{}; if that is meant, `cargo xtask instructions --write` and say in the commit what it buys",
            problems.join("; ")
        );
    } else if !cheaper.is_empty() {
        detail = format!("{detail}; cheaper, so lower the budget with --write: {}", cheaper.join(", "));
    }
    Ok(Verdict::new(problems.is_empty(), detail).figure("instructions", json!(counts)))
}

fn count(program: &Path, folder: &Path, name: &str) -> anyhow::Result<u64> {
    let log: PathBuf = folder.join(format!("{}.log", name.replace('/', "-")));
    let mut command = steps::command("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg("--toggle-collect=*hot_paths*measured*").arg(program);
    command.args([name, "--times", &TIMES.to_string()]).env(ALLOCATOR.0, ALLOCATOR.1);
    let label = format!("{TIMES} runs of {name} under callgrind (cargo xtask setup installs it)");
    let output = command.output().with_context(|| label.clone())?;
    std::fs::write(&log, &output.stderr)?;
    if !output.status.success() {
        steps::show_tail(&log)?;
        bail!("{label}: {}", output.status);
    }
    collected(&String::from_utf8_lossy(&output.stderr))
        .with_context(|| format!("callgrind says nothing of instructions: {}", log.display()))
}

/// The line `==123== Collected : 4567`.
fn collected(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// What costs too much or is not in the budget, and what costs less.
fn compare(counts: &Counts, budget: &Counts) -> (Vec<String>, Vec<String>) {
    let (mut problems, mut cheaper) = (Vec::new(), Vec::new());
    for (name, count) in counts {
        match budget.get(name) {
            None => problems.push(format!("{name} has no budget")),
            Some(budget) => {
                let change = *count as f64 / *budget as f64 - 1.0;
                if change > TOLERANCE {
                    problems.push(format!(
                        "{name}: {count} instructions instead of {budget}, {:+.1} %",
                        change * 100.0
                    ));
                } else if change < -TOLERANCE {
                    cheaper.push(format!("{name} {:+.1} %", change * 100.0));
                }
            }
        }
    }
    problems.extend(budget.keys().filter(|it| !counts.contains_key(*it)).map(|it| format!("{it} is gone")));
    (problems, cheaper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_says_how_many() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 123456\n"), Some(123_456));
        assert_eq!(collected("==7== nothing"), None);
    }

    #[test]
    fn what_costs_more_than_it_may_is_named() {
        let counts = |of: &[(&str, u64)]| of.iter().map(|(name, it)| ((*name).to_owned(), *it)).collect();
        let budget = counts(&[("a", 1_000), ("b", 1_000), ("c", 1_000), ("gone", 1)]);
        let now = counts(&[("a", 1_099), ("b", 1_150), ("c", 850), ("new", 5)]);
        let (problems, cheaper) = compare(&now, &budget);
        assert_eq!(
            problems,
            ["b: 1150 instructions instead of 1000, +15.0 %", "new has no budget", "gone is gone"]
        );
        assert_eq!(cheaper, ["c -15.0 %"]);
    }
}
