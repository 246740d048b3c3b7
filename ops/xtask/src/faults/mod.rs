//! `faults`: the sequence test of the load tests on a fleet of three processors, three brokers and a store, while all of them are killed,
//! frozen and replaced at random times. What must hold is checked by the load test; here the faults are made.
//!
//! The fault model: one broker of three is dead at a time, and nobody loses its disk; the store stands still, and its process does not die;
//! any processor is killed, frozen for longer than its session lasts, stopped or joined, one of them being sound at all times.
//! In the run folder: `faults.jsonl`, every action with its time; `sequence.json`, the report; and all logs.

mod journal;
mod kinds;
mod summary;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Servers;
use crate::fleet::{Fleet, Settings};
use crate::processes::{POLL, Process};
use crate::report::{Verdict, read_json, say};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};
use kinds::{KINDS, Pace};
use summary::Summary;
use world::World;

const SETTINGS: Settings<'static> =
    Settings { partitions: 8, queue: "sequence", definition: "load-tests/workflows/sequence.yaml" };

/// Faults begin after this time of the load.
const CALM: Duration = Duration::from_secs(15);
/// A shorter run than this gets faults in quick succession, so that there is one of each; then no rate is asked for, for hardly a second
/// is without one.
const LONG_FROM: Duration = Duration::from_secs(180);
/// How often a line says where the run is.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Records a second that are sent, one of 51 of them a start, and numbers that must come out, over the whole run with all its faults.
pub(crate) const RATE: u32 = 1_550;
const TOLD_PER_S_MIN: f64 = 1_000.0;

#[derive(Debug)]
pub(crate) struct Plan {
    /// For how long numbers are sent.
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
    /// Records a second that are sent: [`RATE`], but for programs that are too slow for it.
    pub(crate) rate: u32,
    /// Where the report for people goes, if anywhere.
    pub(crate) report: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    workspace.with_programs("faults", Profile::Release, |programs, folder| {
        through(workspace, programs, folder, plan)
    })
}

/// On servers of its own, with programs that are built.
pub(crate) fn through(
    workspace: &Workspace,
    programs: Programs,
    folder: &Path,
    plan: &Plan,
) -> anyhow::Result<Verdict> {
    let servers = Servers::start_three_brokers(workspace, folder)?;
    let mut fleet = Fleet::create(workspace, programs, servers, folder, &SETTINGS)?;
    // What a partition waited for must be in the logs: few runs fail, and none fails twice in the same way.
    fleet.is_verbose = true;
    let pace = if plan.duration < LONG_FROM { Pace::SHORT } else { Pace::LONG };
    let mut world = World::new(fleet, plan.seed, pace)?;

    let (report, progress) = (folder.join("sequence.json"), folder.join("sequence-progress.jsonl"));
    let mut command = world.load_test("sequence", &report);
    command.args(["--duration", &plan.duration.as_secs().to_string(), "--seed", &plan.seed.to_string()]);
    // So many keys that each gets a number in about 0.65 s, at any rate.
    let keys = plan.rate * 20 / 31;
    command.args(["--rate", &plan.rate.to_string(), "--keys", &keys.to_string()]);
    command.arg("--progress-file").arg(&progress);
    say!(
        "numbers for {} s, faults from {} s on; logs: {}",
        plan.duration.as_secs(),
        CALM.as_secs(),
        folder.display()
    );
    let mut load = Process::spawn("sequence", &mut command, folder)?;
    let status = drive(&mut world, &mut load, &progress, plan.duration)?;

    let panicked = panicked(folder)?;
    let ended_by_themselves = world.ended_by_themselves.clone();
    if !status.success() {
        let figures = if report.exists() { read_json(&report)? } else { Value::Null };
        world.diagnose(&suspects(&figures))?;
        steps::show_tail(&load.log)?;
        let detail = format!("what came out is not what went in ({status}); logs: {}", folder.display());
        let faults = Summary::faults_of(&world.journal.faults, &[]);
        return Ok(Verdict::fails(detail).figures_of(figures).figure("faults", json!(faults)));
    }
    let journal = world.stop()?;
    let summary = Summary::new(workspace, plan, read_json(&report)?, &journal.faults, ended_by_themselves)?;
    if let Some(file) = &plan.report {
        summary.write(&workspace.root.join(file))?;
    }
    let problems = problems(plan, &summary, &panicked);
    let detail = if problems.is_empty() {
        summary.line()
    } else {
        format!("{}; {}; logs: {}", problems.join("; "), summary.line(), folder.display())
    };
    Ok(Verdict::new(problems.is_empty(), detail).figures_of(summary.figures()))
}

/// Makes faults until the time is over, heals, and waits for the end of the load test.
fn drive(
    world: &mut World,
    load: &mut Process,
    progress: &Path,
    duration: Duration,
) -> anyhow::Result<ExitStatus> {
    let mut shown = Instant::now();
    let mut is_healed = false;
    loop {
        if let Some(status) = load.ended()? {
            return Ok(status);
        }
        let now = Progress::last(progress);
        let elapsed = now.map_or(Duration::ZERO, |it| Duration::from_millis(it.elapsed_ms));
        if elapsed >= duration {
            if !is_healed {
                say!("faults are over");
                world.heal()?;
                is_healed = true;
            }
            world.watch()?;
        } else if elapsed >= CALM {
            world.step()?;
        } else {
            world.watch()?;
        }
        if shown.elapsed() >= LINE_EVERY {
            shown = Instant::now();
            let Progress { sent, told, violations, .. } = now.unwrap_or_default();
            let (s, faults) = (elapsed.as_secs(), world.journal.count());
            say!("{s:5} s   sent {sent}   checked {told}   violations {violations}   faults {faults}");
        }
        std::thread::sleep(POLL);
    }
}

/// Some of the instances that the load test complains about.
fn suspects(report: &Value) -> Vec<String> {
    const SUSPECTS_MAX: usize = 5;
    let lists = ["shown", "unfinished"].into_iter().filter_map(|name| report[name].as_array());
    let keys = lists.flatten().filter_map(|it| it["key"].as_str().map(str::to_owned));
    keys.take(SUSPECTS_MAX).collect()
}

/// Why a run whose numbers are right does not hold.
fn problems(plan: &Plan, summary: &Summary, panicked: &[PathBuf]) -> Vec<String> {
    let mut problems = Vec::new();
    if plan.duration >= LONG_FROM && summary.told_per_s <= TOLD_PER_S_MIN {
        problems.push(format!(
            "{:.0} numbers/s came out, and more than {TOLD_PER_S_MIN} must",
            summary.told_per_s
        ));
    }
    for kind in KINDS {
        if !summary.faults.iter().any(|it| it.kind == kind) {
            problems.push(format!("the run was too short for: {}", kind.text()));
        }
    }
    problems.extend(panicked.iter().map(|log| format!("a processor panicked, see {}", log.display())));
    problems
}

/// The logs of processors that panicked.
fn panicked(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut panicked = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("processor-")
            && String::from_utf8_lossy(&std::fs::read(&file)?).contains("panicked at")
        {
            panicked.push(file);
        }
    }
    Ok(panicked)
}

/// A line of the progress file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Progress {
    elapsed_ms: u64,
    sent: u64,
    told: u64,
    violations: u64,
}

impl Progress {
    /// The last whole line. None before there is one.
    fn last(file: &Path) -> Option<Self> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        const TAIL_BYTES: u64 = 1_024; // a few lines
        let mut file = std::fs::File::open(file).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).ok()?;
        let mut tail = String::new();
        file.read_to_string(&mut tail).ok()?;
        tail.lines().rev().find_map(|line| serde_json::from_str(line).ok())
    }
}

/// Reads minutes: `30`, or `1.5`.
pub(crate) fn minutes(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.5..=10_000.0).contains(&minutes) => Ok(Duration::from_secs_f64(minutes * 60.0)),
        _ => Err("write minutes, 0.5 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_may_have_a_fraction() {
        assert_eq!(minutes("1.5"), Ok(Duration::from_secs(90)));
        assert!(minutes("0").is_err() && minutes("x").is_err() && minutes("nan").is_err());
    }

    #[test]
    fn progress_is_the_last_whole_line() {
        let file = std::env::temp_dir().join(format!("xtask-faults-{}.jsonl", std::process::id()));
        assert!(Progress::last(&file).is_none());
        let line =
            |told| format!(r#"{{"elapsed_ms":5,"sent":9,"told":{told},"keys":1,"ended":0,"violations":0}}"#);
        let text: String = (0..50).map(|told| line(told) + "\n").collect();
        std::fs::write(&file, text + r#"{"elapsed"#).expect("can be written");
        let last = Progress::last(&file);
        std::fs::remove_file(&file).expect("was written");
        assert_eq!(last.map(|it| it.told), Some(49));
    }
}
