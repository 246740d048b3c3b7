//! `ctk`: the conformance kit of the workflow language, and features of our own in its words, each scenario through the binary.
//!
//! The features and their runner are in `topology/conformance`. The runner knows nothing of Millrace but the contract of `millrace ctk`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::report::{self, Verdict, say};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};

const FOLDER: &str = "topology/conformance";
/// For each core. Scenarios mostly wait: for connections, for pauses of their own.
const SIDE_BY_SIDE: usize = 4;
/// For one scenario, on a machine that has other things to do.
const SECONDS_MAX: u32 = 180;

pub(crate) struct Plan {
    /// The official features again, with the processor killed after so many records of the instance, for each of these.
    pub(crate) kill_points: Vec<u32>,
    /// As often with our own, of which there are ten times as many.
    pub(crate) own_kill_points: Vec<u32>,
}

/// Features that are run together.
struct Kit {
    name: &'static str,
    features: &'static str,
}

const KITS: [Kit; 2] =
    [Kit { name: "official", features: "official/features" }, Kit { name: "own", features: "features" }];

/// What the runner writes.
#[derive(Deserialize)]
struct Report {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    id: String,
    verdict: String,
    kill_after: Option<u32>,
    #[serde(default)]
    message: String,
    result: Option<Answer>,
}

/// What is used of the answer of `millrace ctk`.
#[derive(Deserialize)]
struct Answer {
    evidence: Option<Evidence>,
}

#[derive(Deserialize)]
struct Evidence {
    takeovers: u32,
    processes: Vec<Process>,
}

#[derive(Deserialize)]
struct Process {
    killed_after: Option<u32>,
}

pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    workspace
        .with_programs("ctk", Profile::Dev, |programs, folder| through(workspace, &programs, folder, plan))
}

/// The same with programs that are built already.
pub(crate) fn through(
    workspace: &Workspace,
    programs: &Programs,
    folder: &Path,
    plan: &Plan,
) -> anyhow::Result<Verdict> {
    let mut reports = Vec::new();
    for kit in &KITS {
        let report = run_kit(workspace, programs, folder, kit, plan)?;
        for scenario in report.scenarios.iter().filter(|it| !it.holds()) {
            let killed = scenario.kill_after.map(|it| format!(" [killed after {it}]")).unwrap_or_default();
            say!("{} {}{killed}: {}", scenario.verdict, scenario.id, scenario.message);
        }
        reports.push((kit.name, report));
    }
    let mut verdict = judge(&reports);
    if !verdict.holds {
        verdict.detail += &format!("; logs: {}", folder.display());
    }
    Ok(verdict)
}

fn run_kit(
    workspace: &Workspace,
    programs: &Programs,
    folder: &Path,
    kit: &Kit,
    plan: &Plan,
) -> anyhow::Result<Report> {
    let (home, file) = (workspace.root.join(FOLDER), folder.join(format!("{}.json", kit.name)));
    let log = folder.join(format!("{}.log", kit.name));
    let output = File::create(&log).with_context(|| format!("could not create {}", log.display()))?;
    let mut command = steps::command(python()?);
    command.arg(home.join("run_ctk.py")).arg("--program").arg(quoted(&programs.millrace));
    command.arg("--features").arg(home.join(kit.features)).arg("--json").arg(&file);
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) * SIDE_BY_SIDE;
    command.args(["--verbose", "--jobs", &jobs.to_string(), "--timeout", &SECONDS_MAX.to_string()]);
    let points = if kit.name == "own" { &plan.own_kill_points } else { &plan.kill_points };
    if !points.is_empty() {
        let points: Vec<_> = points.iter().map(ToString::to_string).collect();
        command.args(["--kill-points", &points.join(",")]);
    }
    // Each scenario is to have a cluster of its own.
    let ours = std::env::vars_os().map(|it| it.0).filter(|it| it.to_string_lossy().starts_with("MILLRACE_"));
    ours.for_each(|it| {
        command.env_remove(it);
    });
    say!("the {} features …", kit.name);
    let errors = output.try_clone().context("could not share the log")?;
    let status = command.stdin(Stdio::null()).stdout(output).stderr(errors).status();
    let status = status.context("could not run Python")?;
    // 1 means that scenarios fail, which the report tells, too.
    if !matches!(status.code(), Some(0 | 1)) || !file.exists() {
        steps::show_tail(&log)?;
        bail!("the runner of the conformance kit broke ({status}); log: {}", log.display());
    }
    let report = report::read_json(&file)?;
    serde_json::from_value(report).with_context(|| format!("{} is no report of the runner", file.display()))
}

impl Scenario {
    fn holds(&self) -> bool {
        self.verdict == "PASS"
    }

    fn evidence(&self) -> Option<&Evidence> {
        self.result.as_ref()?.evidence.as_ref()
    }

    /// Whether a process was killed.
    fn was_killed(&self) -> bool {
        self.evidence().is_some_and(|it| it.processes.iter().any(|it| it.killed_after.is_some()))
    }

    /// Whether another process went on with it, rather than finding it ended.
    fn was_taken_over(&self) -> bool {
        self.evidence().is_some_and(|it| it.takeovers > 0)
    }
}

fn judge(reports: &[(&str, Report)]) -> Verdict {
    let mut verdict = Verdict::new(true, "");
    let mut plain = Vec::new();
    for (name, report) in reports {
        let (all, held) = count(report.scenarios.iter().filter(|it| it.kill_after.is_none()));
        verdict.holds &= all > 0 && all == held;
        plain.push(format!("{held} of {all} {name}"));
        verdict = verdict.figure(&format!("{name}_passed"), held).figure(&format!("{name}_scenarios"), all);
    }
    let killed = || reports.iter().flat_map(|it| &it.1.scenarios).filter(|it| it.kill_after.is_some());
    let (all, held) = count(killed());
    verdict.holds &= all == held;
    let kills = killed().filter(|it| it.was_killed()).count();
    let takeovers = killed().filter(|it| it.was_taken_over()).count();
    let points = if all == 0 {
        "kill points: none asked for".to_owned()
    } else {
        format!(
            "kill points: {held} of {all}, with {kills} kills, of which {takeovers} were in the middle of an instance"
        )
    };
    verdict.detail = format!("{}; {points}", plain.join(", "));
    verdict
        .figure("kill_points_passed", held)
        .figure("kill_points_scenarios", all)
        .figure("kills", kills)
        .figure("takeovers", takeovers)
}

fn count<'s>(scenarios: impl Iterator<Item = &'s Scenario>) -> (usize, usize) {
    scenarios.fold((0, 0), |(all, held), it| (all + 1, held + usize::from(it.holds())))
}

/// As a shell reads it: the runner splits its program at spaces.
fn quoted(program: &Path) -> String {
    format!("'{}'", program.display().to_string().replace('\'', r"'\''"))
}

/// The one that `ops/setup.sh` has made, with PyYAML.
fn python() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|it| it.join(".cache")));
    let python = cache.map(|it| it.join("millrace/venv/bin/python")).filter(|it| it.exists());
    let python = python.context("there is no Python for the conformance kit: run ops/setup.sh")?;
    let has_yaml = steps::command(&python).args(["-c", "import yaml"]).stderr(Stdio::null()).status();
    if !has_yaml.is_ok_and(|it| it.success()) {
        bail!("{} has no PyYAML: run ops/setup.sh", python.display());
    }
    Ok(python)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scenario(verdict: &str, kill_after: Option<u32>, takeovers: u32) -> serde_json::Value {
        let processes = json!([{ "process": 1, "killed_after": kill_after }, { "process": 2 }]);
        let result =
            json!({ "status": "completed", "evidence": { "takeovers": takeovers, "processes": processes } });
        json!({ "id": "a › b", "verdict": verdict, "kill_after": kill_after, "message": "", "result": result })
    }

    fn report(scenarios: &[serde_json::Value]) -> Report {
        serde_json::from_value(json!({ "scenarios": scenarios })).expect("is a report")
    }

    #[test]
    fn a_scenario_that_fails_fails_the_check() {
        let official =
            report(&[scenario("PASS", None, 0), scenario("PASS", Some(1), 1), scenario("PASS", Some(9), 0)]);
        let own = report(&[scenario("PASS", None, 0), scenario("FAIL", None, 0)]);
        let verdict = judge(&[("official", official), ("own", own)]);
        assert!(!verdict.holds);
        assert_eq!(
            verdict.detail,
            "1 of 1 official, 1 of 2 own; kill points: 2 of 2, with 2 kills, of which 1 were in the middle of an instance"
        );
    }

    #[test]
    fn nothing_that_was_run_holds_nothing() {
        assert!(!judge(&[("official", report(&[]))]).holds);
        let verdict = judge(&[("official", report(&[scenario("PASS", None, 0)]))]);
        assert!(verdict.holds);
        assert_eq!(verdict.detail, "1 of 1 official; kill points: none asked for");
    }

    #[test]
    fn a_program_in_a_folder_with_spaces_stays_one_word() {
        assert_eq!(quoted(Path::new("/my builds/it's/millrace")), r"'/my builds/it'\''s/millrace'");
    }
}
