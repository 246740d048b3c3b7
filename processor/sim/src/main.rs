//! The command line of the simulation. The last line is the verdict; exit code 0 only when it holds.
//!
//! Time is read here alone, to say how fast the seeds go by.
#![allow(clippy::disallowed_types)]

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum as _};
use millrace_sim::fleet::{Checks, Mutant, run};
use serde_json::json;

/// Runs seeds of the simulated fleet. A failure prints the command that repeats it.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// How many seeds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// The first of them
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,

    /// Break the protocol in this way
    #[arg(long, conflicts_with = "mutants")]
    mutant: Option<Mutant>,

    /// Break it in every way, one after the other: each must be caught, within so many seeds
    #[arg(long)]
    mutants: bool,

    /// Leave the invariants out: only what a user would notice counts
    #[arg(long)]
    outcomes: bool,

    /// Print every step
    #[arg(long)]
    show: bool,

    /// Threads; 0 for as many as there are cores
    #[arg(long, default_value_t = 0)]
    threads: usize,

    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What came of a range of seeds.
struct Found {
    seeds: u64,
    steps: u64,
    violations: u64,
    /// The lowest seed that was caught, and what it did.
    first: Option<(u64, String)>,
    took: Duration,
}

impl Cli {
    fn checks(&self) -> Checks {
        if self.outcomes { Checks::Outcomes } else { Checks::All }
    }

    /// All seeds, or until enough are caught.
    fn search(&self, mutant: Option<Mutant>, checks: Checks, enough: u64) -> Found {
        let begun = Instant::now();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.threads == 0 { cores } else { self.threads };
        let (next, steps, violations, done) =
            (AtomicU64::new(self.from), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let first = Mutex::new(None::<(u64, String)>);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while violations.load(Ordering::Relaxed) < enough {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.from + self.seeds {
                            break;
                        }
                        let outcome = run(seed, mutant, checks, false);
                        done.fetch_add(1, Ordering::Relaxed);
                        steps.fetch_add(outcome.steps, Ordering::Relaxed);
                        if let Some(violation) = outcome.violation {
                            violations.fetch_add(1, Ordering::Relaxed);
                            let mut first = first.lock().expect("no holder panics");
                            if first.as_ref().is_none_or(|it| it.0 > seed) {
                                *first = Some((seed, violation));
                            }
                        }
                    }
                    is_over.store(true, Ordering::Relaxed);
                });
            }
            let mut shown = Instant::now();
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
                if shown.elapsed() > Duration::from_secs(if std::io::stderr().is_terminal() { 1 } else { 30 })
                {
                    shown = Instant::now();
                    let (done, violations) =
                        (done.load(Ordering::Relaxed), violations.load(Ordering::Relaxed));
                    let rate = done as f64 / begun.elapsed().as_secs_f64();
                    eprintln!("{done} of {} seeds, {violations} violations, {rate:.0} seeds/s", self.seeds);
                }
            }
        });
        Found {
            seeds: done.into_inner(),
            steps: steps.into_inner(),
            violations: violations.into_inner(),
            first: first.into_inner().expect("no holder panics"),
            took: begun.elapsed(),
        }
    }

    /// The command that repeats a seed.
    fn repeat(&self, seed: u64, mutant: Option<Mutant>) -> String {
        let mutant = mutant.map(|it| format!(" --mutant {}", name(it))).unwrap_or_default();
        let outcomes = if self.outcomes { " --outcomes" } else { "" };
        format!("cargo run --release -p millrace-sim -- --from {seed} --seeds 1 --show{mutant}{outcomes}")
    }

    fn write(&self, figures: &serde_json::Value) -> std::io::Result<()> {
        match &self.json {
            Some(path) => std::fs::write(path, format!("{figures:#}\n")),
            None => Ok(()),
        }
    }

    fn one(&self) -> (bool, String, serde_json::Value) {
        if self.show {
            let outcome = run(self.from, self.mutant, self.checks(), true);
            say(&outcome.lines.join("\n"));
        }
        let found = self.search(self.mutant, self.checks(), u64::MAX);
        let figures = json!({
            "seeds": found.seeds, "first_seed": self.from, "steps": found.steps, "violations": found.violations,
            "seconds": found.took.as_secs_f64(),
        });
        let detail = match &found.first {
            None => format!("{} seeds, {} steps, 0 violations", found.seeds, found.steps),
            Some((seed, violation)) => {
                let repeat = self.repeat(*seed, self.mutant);
                format!("{} of {} seeds; seed {seed}: {violation}\n  {repeat}", found.violations, found.seeds)
            }
        };
        (found.violations == 0, detail, figures)
    }

    /// Each mutant, with all checks and with those alone that a user would notice.
    fn all_mutants(&self) -> (bool, String, serde_json::Value) {
        let mut rows = Vec::new();
        say(&format!("{:40} {:>22} {:>22}", "mutant", "caught (outcomes)", "caught (all checks)"));
        for mutant in Mutant::ALL {
            let outcomes = self.search(Some(mutant), Checks::Outcomes, 20);
            let all = self.search(Some(mutant), Checks::All, 20);
            let row = |it: &Found| format!("{} of {} seeds", it.violations, it.seeds);
            say(&format!("{:40} {:>22} {:>22}", name(mutant), row(&outcomes), row(&all)));
            if let Some((seed, violation)) = outcomes.first.as_ref().or(all.first.as_ref()) {
                say(&format!("    seed {seed}: {violation}"));
            }
            rows.push(json!({
                "mutant": name(mutant),
                "outcomes": {"seeds": outcomes.seeds, "violations": outcomes.violations},
                "all": {"seeds": all.seeds, "violations": all.violations},
            }));
        }
        let missed: Vec<&str> = rows
            .iter()
            .filter(|it| it["outcomes"]["violations"] == 0 && it["all"]["violations"] == 0)
            .filter_map(|it| it["mutant"].as_str())
            .collect();
        let detail = match missed.is_empty() {
            true => format!("all {} mutants caught", rows.len()),
            false => format!("not caught within {} seeds: {}", self.seeds, missed.join(", ")),
        };
        (missed.is_empty(), detail, json!({ "mutants": rows }))
    }
}

fn name(mutant: Mutant) -> String {
    mutant.to_possible_value().expect("none is hidden").get_name().to_owned()
}

fn say(text: &str) {
    // A reader that has gone is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (holds, detail, figures) = if cli.mutants { cli.all_mutants() } else { cli.one() };
    if let Err(error) = cli.write(&figures) {
        eprintln!("error: cannot write the figures: {error}");
        return ExitCode::from(2);
    }
    say(&format!("{} sim: {detail}", if holds { "PASS" } else { "FAIL" }));
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
