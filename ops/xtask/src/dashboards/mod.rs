//! `dashboards`: a real Prometheus scrapes a fleet that works, and every query of every dashboard, and every rule, is asked: what shows nothing
//! now will show nothing when somebody needs it.
//!
//! [`load`], what the fleet does meanwhile; [`prometheus`], who scrapes it; [`board`], what is asked.

mod board;
mod load;
mod prometheus;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::cluster::{Given, Servers};
use crate::fleet::{Fleet, Settings};
use crate::processes::POLL;
use crate::report::{Verdict, say};
use crate::workspace::{Profile, Programs, Workspace};
use board::Board;
use prometheus::{Prometheus, Rule};

const SETTINGS: Settings<'static> =
    Settings { partitions: 8, queue: "w1", definition: "load-tests/workflows/w1.yaml" };

/// For how long the fleet works before it is looked at: the windows of the rates are filled then.
const WORKS_FOR: Duration = Duration::from_secs(45);
/// So long before it is looked at, the second processor leaves: the first one takes its partitions over, within the window of the rates.
const LEAVES_BEFORE: Duration = Duration::from_secs(20);
/// A worker must have its partitions within this time.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Alerts that the load is meant to raise: what it does is what they are about.
const MEANT: [&str; 2] = ["MillraceDeadLetters", "MillraceIncidents"];

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) given: Given,
}

pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("dashboards")?;
    let programs = workspace.build(Profile::Dev, &folder)?;
    let servers = Servers::get(workspace, &plan.given, &folder)?;
    through(workspace, programs, servers, &folder)
}

/// On servers that run.
pub(crate) fn through(
    workspace: &Workspace,
    programs: Programs,
    servers: Servers,
    folder: &Path,
) -> anyhow::Result<Verdict> {
    let boards = Board::all(&workspace.root.join("ops/grafana"))?;
    let mut fleet = Fleet::create(workspace, programs, servers, folder, &SETTINGS)?;
    fleet.start(0)?;
    load::deploy(&fleet)?;
    let workers = [load::Worker::start(&fleet, 0)?, load::Worker::start(&fleet, 1)?];
    let processor = |ordinal| {
        let api = fleet.api(ordinal).context("it has said where its API is")?;
        Ok::<_, anyhow::Error>(api.trim_start_matches("http://").to_owned())
    };
    let first = processor(0)?;
    fleet.start(1)?;
    let second = fleet.api(1).context("it has said where its API is")?;
    let targets = [
        ("millrace-processor", vec![first, second.trim_start_matches("http://").to_owned()]),
        ("millrace-worker", workers.iter().map(|it| it.address.clone()).collect()),
    ];
    let prometheus = Prometheus::start(&workspace.root.join("ops/prometheus"), folder, &targets)?;
    until_ready(&mut fleet, &workers)?;

    let mut load = load::Load::start(&fleet, folder, WORKS_FOR + Duration::from_secs(20))?;
    let began = Instant::now();
    while began.elapsed() < WORKS_FOR {
        fleet.must_run()?;
        load.work(&fleet)?;
        if began.elapsed() >= WORKS_FOR - LEAVES_BEFORE && fleet.ordinals().contains(&1) {
            fleet.stop(1)?;
        }
        std::thread::sleep(POLL);
    }
    say!("");
    let mut outcome = Outcome::default();
    for board in &boards {
        outcome.ask(board, &prometheus)?;
    }
    outcome.look_at(&prometheus.rules()?, &prometheus)?;
    load.end()?;
    drop(workers);
    fleet.stop(0)?;
    Ok(outcome.verdict(&boards, folder))
}

fn until_ready(fleet: &mut Fleet, workers: &[load::Worker]) -> anyhow::Result<()> {
    let began = Instant::now();
    while !workers.iter().all(load::Worker::is_ready) {
        fleet.must_run()?;
        ensure!(
            began.elapsed() < READY_WITHIN,
            "the workers are not ready after {} s",
            READY_WITHIN.as_secs()
        );
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// What was seen.
#[derive(Debug, Default)]
struct Outcome {
    panels: usize,
    series: usize,
    rules: usize,
    firing: BTreeSet<String>,
    problems: Vec<String>,
}

impl Outcome {
    /// Asks all queries of a dashboard, with all values of its variables.
    fn ask(&mut self, board: &Board, prometheus: &Prometheus) -> anyhow::Result<()> {
        say!("{}", board.title);
        for variable in &board.variables {
            let values = prometheus.values_of(&variable.label, &variable.selector)?;
            say!("  {:52} {}", format!("${}", variable.name), shown(&values));
            if values.is_empty() {
                self.problems.push(format!("{}: the variable {} has no values", board.title, variable.name));
            }
        }
        for panel in &board.panels {
            let mut found = Vec::new();
            for query in &panel.queries {
                let series = prometheus.series(query)?;
                if series == 0 {
                    self.problems.push(format!("{}, {}: no data for {query}", board.title, panel.title));
                }
                found.push(series);
            }
            let counts: Vec<String> = found.iter().map(ToString::to_string).collect();
            say!("  {:52} {:>4} series ({})", panel.title, found.iter().sum::<usize>(), counts.join(", "));
            self.panels += 1;
            self.series += found.iter().sum::<usize>();
        }
        Ok(())
    }

    /// Whether every rule can be evaluated, what was recorded, and which alerts fire.
    fn look_at(&mut self, rules: &[Rule], prometheus: &Prometheus) -> anyhow::Result<()> {
        say!("Rules");
        for rule in rules {
            self.rules += 1;
            if rule.health != "ok" {
                self.problems
                    .push(format!("the rule {} is not well: {} {}", rule.name, rule.health, rule.error));
            }
            if rule.is_alert {
                if rule.state == "firing" {
                    self.firing.insert(rule.name.clone());
                }
                continue;
            }
            let series = prometheus.series(&rule.name)?;
            say!("  {:52} {series:>4} series", rule.name);
            if series == 0 {
                self.problems.push(format!("the rule {} has recorded nothing", rule.name));
            }
        }
        let meant: BTreeSet<String> = MEANT.iter().map(|it| (*it).to_owned()).collect();
        for missing in meant.difference(&self.firing) {
            self.problems.push(format!("{missing} does not fire, though the load gives it reason to"));
        }
        for other in self.firing.difference(&meant) {
            self.problems.push(format!("{other} fires without a reason"));
        }
        Ok(())
    }

    fn verdict(self, boards: &[Board], folder: &Path) -> Verdict {
        for problem in &self.problems {
            say!("{problem}");
        }
        let firing = self.firing.iter().cloned().collect::<Vec<_>>().join(", ");
        let detail = match self.problems.first() {
            None => format!(
                "{} panels of {} dashboards show {} series, {} rules are well; firing, as meant: {firing}",
                self.panels,
                boards.len(),
                self.series,
                self.rules,
            ),
            Some(first) => {
                format!("{} problems, the first: {first}; logs: {}", self.problems.len(), folder.display())
            }
        };
        Verdict::new(self.problems.is_empty(), detail)
            .figure("panels", self.panels)
            .figure("series", self.series)
            .figure("rules", self.rules)
    }
}

/// A few of them.
fn shown(values: &[String]) -> String {
    const SHOWN: usize = 4;
    let more = if values.len() > SHOWN { format!(", … ({} in all)", values.len()) } else { String::new() };
    format!("{}{more}", values.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}
