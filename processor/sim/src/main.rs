//! The command line of the simulation. The last line is the verdict; exit code 0 only when it holds.
//!
//! Time is read here alone, to say how fast the seeds go by.
#![allow(clippy::disallowed_types)]

use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum as _};
use millrace_sim::fleet::{Checks, Mutant, run};
use millrace_sim::repartition;
use serde_json::json;

/// Runs seeds of the simulated fleet, and of the model of a live repartition. A failure prints the command that repeats it.
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

    /// With --mutants: go on to the next one when so many seeds have caught it
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    enough: u64,

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

    /// All seeds, or until enough are caught. `run` answers a violation and how many steps it took.
    fn search(&self, enough: u64, run: impl Fn(u64) -> (Option<String>, u64) + Sync) -> Found {
        let begun = Instant::now();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.threads == 0 { cores } else { self.threads };
        let (next, steps, violations, done) =
            (AtomicU64::new(self.from), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let first = Mutex::new(None::<(u64, String)>);
        let working = AtomicU64::new(u64::try_from(threads).unwrap_or(u64::MAX));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while violations.load(Ordering::Relaxed) < enough {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.from + self.seeds {
                            break;
                        }
                        // A thread that is gone would leave the others waiting for its seed.
                        let outcome = catch_unwind(AssertUnwindSafe(|| run(seed)));
                        let (violation, taken) =
                            outcome.unwrap_or_else(|_| (Some("it panicked; see above".to_owned()), 0));
                        done.fetch_add(1, Ordering::Relaxed);
                        steps.fetch_add(taken, Ordering::Relaxed);
                        if let Some(violation) = violation {
                            violations.fetch_add(1, Ordering::Relaxed);
                            let mut first = first.lock().expect("no holder panics");
                            if first.as_ref().is_none_or(|it| it.0 > seed) {
                                *first = Some((seed, violation));
                            }
                        }
                    }
                    working.fetch_sub(1, Ordering::Relaxed);
                });
            }
            let every = Duration::from_secs(if std::io::stderr().is_terminal() { 1 } else { 30 });
            let mut shown = Instant::now();
            while working.load(Ordering::Relaxed) > 0 {
                std::thread::sleep(Duration::from_millis(20));
                if shown.elapsed() > every {
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

    fn fleet(&self, mutant: Option<Mutant>, checks: Checks, enough: u64) -> Found {
        self.search(enough, |seed| {
            let outcome = run(seed, mutant, checks, false);
            (outcome.violation, outcome.steps)
        })
    }

    fn repartition(
        &self,
        mode: repartition::Mode,
        mutant: Option<repartition::Mutant>,
        enough: u64,
    ) -> Found {
        self.search(enough, |seed| {
            let outcome = repartition::run(seed, mode, mutant);
            (outcome.violation, outcome.steps)
        })
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
        let found = self.fleet(self.mutant, self.checks(), u64::MAX);
        let repeat = |seed: u64| self.repeat(seed, self.mutant);
        let mut worlds = vec![("fleet", found.describe(repeat), found)];
        if self.mutant.is_none() && !self.show {
            for mode in repartition::Mode::ALL {
                let found = self.repartition(mode, None, u64::MAX);
                let repeat =
                    |seed: u64| format!("SIM_SEED={seed} cargo test -p millrace-sim --test repartition");
                let world = match mode {
                    repartition::Mode::Window => "repartition, waiting for the window",
                    repartition::Mode::Urgent => "repartition, urgent",
                };
                worlds.push((world, found.describe(repeat), found));
            }
        }
        let details: Vec<String> =
            worlds.iter().map(|(world, detail, _)| format!("{world}: {detail}")).collect();
        let figures = worlds.iter().map(|(world, _, found)| ((*world).to_owned(), found.figures(self.from)));
        let figures = serde_json::Value::Object(figures.collect());
        (worlds.iter().all(|it| it.2.violations == 0), details.join("; "), figures)
    }

    /// Each mutant, with all checks and with those alone that a user would notice.
    fn all_mutants(&self) -> (bool, String, serde_json::Value) {
        let mut rows = Vec::new();
        let mut show =
            |mutant: String, first: Option<&(u64, String)>, columns: [(&str, Option<&Found>); 2]| {
                let row = |it: Option<&Found>| {
                    it.map_or_else(String::new, |it| format!("{} of {} seeds", it.violations, it.seeds))
                };
                say(&format!("{mutant:44} {:>20} {:>20}", row(columns[0].1), row(columns[1].1)));
                if let Some((seed, violation)) = first {
                    let short: String = violation.chars().take(140).collect();
                    say(&format!("    seed {seed}: {short}"));
                }
                let mut figures = serde_json::Map::from_iter([("mutant".to_owned(), json!(mutant))]);
                for (column, found) in columns {
                    if let Some(found) = found {
                        figures.insert(column.to_owned(), found.figures(self.from));
                    }
                }
                let is_caught = columns.iter().any(|it| it.1.is_some_and(|it| it.violations > 0));
                rows.push((mutant, is_caught, serde_json::Value::Object(figures)));
            };
        say(&format!("{:44} {:>20} {:>20}", "mutant", "a user would notice", "all checks"));
        for mutant in Mutant::ALL {
            let outcomes = self.fleet(Some(mutant), Checks::Outcomes, self.enough);
            let all = self.fleet(Some(mutant), Checks::All, self.enough);
            let first = outcomes.first.as_ref().or(all.first.as_ref());
            show(name(mutant), first, [("outcomes", Some(&outcomes)), ("all", Some(&all))]);
        }
        for mutant in repartition::Mutant::ALL {
            for mode in mutant.modes() {
                let found = self.repartition(*mode, Some(mutant), self.enough);
                let name = format!("repartition {mutant:?} ({mode:?})");
                show(name, found.first.as_ref(), [("outcomes", Some(&found)), ("all", None)]);
            }
        }
        let missed: Vec<&str> = rows.iter().filter(|it| !it.1).map(|it| it.0.as_str()).collect();
        let detail = match missed.is_empty() {
            true => format!("all {} mutants caught", rows.len()),
            false => format!("not caught within {} seeds: {}", self.seeds, missed.join(", ")),
        };
        let holds = missed.is_empty();
        let figures: Vec<serde_json::Value> = rows.into_iter().map(|it| it.2).collect();
        (holds, detail, json!({ "mutants": figures }))
    }
}

impl Found {
    fn describe(&self, repeat: impl Fn(u64) -> String) -> String {
        match &self.first {
            None => format!("{} seeds, {} steps, 0 violations", self.seeds, self.steps),
            Some((seed, violation)) => {
                let repeat = repeat(*seed);
                format!("{} of {} seeds; seed {seed}: {violation}\n  {repeat}\n", self.violations, self.seeds)
            }
        }
    }

    fn figures(&self, from: u64) -> serde_json::Value {
        json!({
            "seeds": self.seeds, "first_seed": from, "steps": self.steps, "violations": self.violations,
            "seconds": self.took.as_secs_f64(),
        })
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
