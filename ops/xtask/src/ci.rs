//! `ci`: every step in order, a table of what they took, and the number of tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::cluster::{Given, SecureServers, Servers};
use crate::fleet::Fleet;
use crate::processes::Process;
use crate::report::{Verdict, rounded, say};
use crate::workspace::{Profile, Programs, Workspace};
use crate::{
    api_fuzz, console, ctk, dashboards, dev_kill, faults, instructions, operations, orders, sim, steps,
};

const ORDERS: u64 = 10_000;

/// Test programs that are run again with the addresses of servers. Without, the first four use dev-broker or `millrace dev`, and tests
/// that need servers are ignored.
const ON_SERVERS: [&str; 6] = ["brokers", "clients", "end_to_end", "protocol", "real_server", "records"];
/// Of those, what runs in `millrace dev` wherever it runs.
const IN_DEV: &str = "dev::";

/// The longest that one command may take: one that hangs is to be told of, and not to cost the rest. The longest one takes ten minutes.
const STEP_MAX: Duration = Duration::from_mins(25);
/// After that no step is begun and every command is ended, so that the table is there before whoever runs this loses patience (at 90 minutes, with
/// the set-up). The checks of ours have limits of their own.
const ALL_MAX: Duration = Duration::from_mins(80);
/// The longest that the Go tools take.
const TOOLS_STOP_MAX: Duration = Duration::from_mins(10);
/// Of the simulation; others than those that are run by hand.
const SEEDS: u64 = 5_000;
/// Of `millrace dev`.
const DEV_KILLS: u32 = 5;
/// Of the official features: none has an instance of more records. Our own are run without kills here.
const KILL_POINTS: [u32; 6] = [1, 2, 3, 4, 5, 6];
/// Every operation several hundred times; by hand for longer.
const API_FUZZ_SECONDS: u32 = 45;
/// Long enough for one of each fault.
const FAULTS: Duration = Duration::from_secs(90);
/// Records a second meanwhile. Programs without optimisation moved 562 through them; the full rate is run by hand.
const FAULTS_RATE: u32 = 300;

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let mut run = Run::new(workspace.run_folder("ci")?);
    // Some are large Go programs: they are built from now on, with what the rest leaves of the processors.
    let mut tools = steps::command("nice");
    tools.args(["-n", "19"]).arg(workspace.root.join("ops/tools.sh"));
    let tools = Process::spawn("tools", &mut tools, &run.folder);
    if let Err(error) = &tools {
        say!("{error:#}; they will be built when they are needed");
    }

    run.cargo("format", workspace, &["fmt", "--all", "--check"]);
    run.cargo("lints", workspace, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    // With the features that it asks for, and not with those of the tests and of its neighbours besides.
    run.cargo("program alone", workspace, &["check", "-p", "millrace"]);
    pure_crates_optimised(workspace, &mut run);
    // All programs and tests at once, as the tests are built. Single packages would select fewer features of what they share, and compile it a
    // second time.
    let is_built = run.cargo("build", workspace, &["build", "--workspace", "--bins", "--tests"]);
    let mut tests = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
    require_tools(tests.env_remove("KAFKA_BOOTSTRAP"));
    run.command("tests", &mut tests);
    if is_built {
        let programs = workspace.programs(Profile::Dev);
        on_dev(workspace, &mut run, &programs);
        on_the_kit(workspace, &mut run, &programs);
        operations_of(workspace, &mut run, &programs);
        console_of(workspace, &mut run, &programs);
        on_servers(workspace, &mut run, programs.clone());
        on_secure_servers(workspace, &mut run);
        through_faults(workspace, &mut run, programs);
    }
    let verdict = run.verdict();
    if let Ok(mut tools) = tools
        && tools.ended()?.is_none()
    {
        // Only when nothing has needed them. It ends with what it builds just now, and tidies up.
        tools.stop(TOOLS_STOP_MAX).unwrap_or_else(|error| say!("{error:#}"));
    }
    Ok(verdict)
}

/// Optimised, which the pure crates are in a short time: what takes too long otherwise, or counts instructions.
fn pure_crates_optimised(workspace: &Workspace, run: &mut Run) {
    let seeds = sim::Plan::Seeds { count: SEEDS, from: 1_000_000 };
    for (name, plan) in
        [("simulation", seeds), ("mutants of the simulation", sim::Plan::Mutants { enough: 1 })]
    {
        run.check(name, || sim::run(workspace, plan));
    }
    let bounds = ["test", "--release", "-p", "millrace-workflow", "--test", "expression_memory"];
    run.cargo("bounds of expressions", workspace, &bounds);
    run.check("instructions of hot paths", || {
        instructions::run(workspace, &instructions::Plan { write: false })
    });
}

/// What deploys it: chart, image, Compose file, and rules and dashboards.
fn operations_of(workspace: &Workspace, run: &mut Run, programs: &Programs) {
    run.check_in("ops-check", "chart, image, Compose file, rules", |folder| {
        operations::through(workspace, programs, folder)
    });
}

/// The page that is in the binary.
fn console_of(workspace: &Workspace, run: &mut Run, programs: &Programs) {
    run.check_in("console", "console", |folder| console::through(workspace, programs, folder));
}

/// Without servers: all is in one process.
fn on_dev(workspace: &Workspace, run: &mut Run, programs: &Programs) {
    run.check_in("dev-kill", &format!("{DEV_KILLS} kills of millrace dev"), |folder| {
        let plan = dev_kill::Plan { times: DEV_KILLS, seed: 1, report: None };
        dev_kill::through(workspace, programs, folder, &plan)
    });
    run.check_in("api-fuzz", &format!("{API_FUZZ_SECONDS} s of requests by the API's document"), |folder| {
        api_fuzz::through(programs, folder, &api_fuzz::Plan { seconds: API_FUZZ_SECONDS, seed: None })
    });
}

/// In a `millrace dev` for each scenario.
fn on_the_kit(workspace: &Workspace, run: &mut Run, programs: &Programs) {
    run.check_in("ctk", "conformance kit", |folder| {
        let plan = ctk::Plan { kill_points: KILL_POINTS.to_vec(), own_kill_points: Vec::new() };
        ctk::through(workspace, programs, folder, &plan)
    });
}

/// The steps that need servers. They end with the last of them, also when one fails.
fn on_servers(workspace: &Workspace, run: &mut Run, programs: Programs) {
    let folder = run.folder.clone();
    let Some(servers) = run.step("servers", || Servers::start_all(workspace, &folder)) else { return };

    let mut arguments = vec!["test", "--no-fail-fast", "--workspace"];
    arguments.extend(ON_SERVERS.iter().flat_map(|it| ["--test", it]));
    arguments.extend(["--", "--include-ignored", "--skip", IN_DEV]);
    let mut tests = workspace.cargo(&arguments);
    servers.tell(require_tools(&mut tests));
    run.command("tests on servers", &mut tests);

    run.check_in("dashboards", "dashboards and rules", |folder| {
        dashboards::through(workspace, programs.clone(), servers.clone(), folder)
    });

    run.check(&format!("{ORDERS} orders through a kill"), || {
        let plan = orders::Plan {
            count: ORDERS,
            kill: true,
            seed: 1,
            profile: Profile::Dev,
            given: Given::default(),
        };
        let fleet = Fleet::create(workspace, programs, servers, &folder, &orders::SETTINGS)?;
        orders::through(fleet, &plan)
    });
}

/// On servers of their own, which let nobody in without a certificate and a password.
fn on_secure_servers(workspace: &Workspace, run: &mut Run) {
    let folder = run.folder.join("secure");
    let Some(servers) = run.step("secure servers", || {
        std::fs::create_dir_all(&folder)?;
        SecureServers::start(workspace, &folder)
    }) else {
        return;
    };
    let arguments = ["test", "--no-fail-fast", "--workspace", "--test", "secure", "--", "--include-ignored"];
    let mut tests = workspace.cargo(&arguments);
    servers.tell(&mut tests);
    run.command("tests on secure servers", &mut tests);
}

/// What a test of other people's tools leaves out where they are missing, it must not leave out here.
fn require_tools(tests: &mut Command) -> &mut Command {
    tests.env("MILLRACE_TEST_TOOLS", "required")
}

/// On servers of its own: three brokers, of which one dies.
fn through_faults(workspace: &Workspace, run: &mut Run, programs: Programs) {
    run.check_in("faults", &format!("{} s through faults", FAULTS.as_secs()), |folder| {
        let plan = faults::Plan { duration: FAULTS, seed: 1, rate: FAULTS_RATE, report: None };
        faults::through(workspace, programs, folder, &plan)
    });
}

/// The steps so far.
struct Run {
    folder: PathBuf,
    steps: Vec<Step>,
    /// When no step is begun any more.
    deadline: Instant,
}

struct Step {
    name: String,
    took: Duration,
    tests: Tests,
    /// What its tests that failed printed.
    told: Vec<String>,
    error: Option<String>,
}

impl Run {
    fn new(folder: PathBuf) -> Self {
        Self { folder, steps: Vec::new(), deadline: Instant::now() + ALL_MAX }
    }

    fn cargo(&mut self, name: &str, workspace: &Workspace, arguments: &[&str]) -> bool {
        self.command(name, &mut workspace.cargo(arguments))
    }

    /// A step that is a command, and whether it has succeeded. Its log is also where the tests are counted.
    fn command(&mut self, name: &str, command: &mut Command) -> bool {
        let log = self.folder.join(format!("{}.log", name.replace(' ', "-")));
        let at_most = STEP_MAX.min(self.deadline.saturating_duration_since(Instant::now()));
        let took = self.step(name, || steps::run_within(at_most, name, command, &log));
        if let Some(step) = self.steps.last_mut() {
            let text = std::fs::read(&log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            step.tests = Tests::counted(&text);
            step.told = told_by_failures(&text);
        }
        took.is_some()
    }

    /// A step, which may fail: those that do not need it go on.
    fn step<T>(&mut self, name: &str, step: impl FnOnce() -> anyhow::Result<T>) -> Option<T> {
        let begun = Instant::now();
        let result = if begun < self.deadline {
            step()
        } else {
            Err(anyhow!("{name}: not begun after {} min", ALL_MAX.as_secs() / 60))
        };
        let error = result.as_ref().err().map(|it| format!("{it:#}"));
        if let Some(error) = &error {
            say!("{error}");
        }
        self.steps.push(Step {
            name: name.to_owned(),
            took: begun.elapsed(),
            tests: Tests::default(),
            told: Vec::new(),
            error,
        });
        result.ok()
    }

    /// A step that comes to a verdict.
    fn check(&mut self, name: &str, check: impl FnOnce() -> anyhow::Result<Verdict>) {
        self.step(name, || {
            let verdict = check()?;
            say!("{}", verdict.detail);
            anyhow::ensure!(verdict.holds, verdict.detail);
            Ok(())
        });
    }

    /// The same, with a folder of its own.
    fn check_in(&mut self, folder: &str, name: &str, check: impl FnOnce(&Path) -> anyhow::Result<Verdict>) {
        let folder = self.folder.join(folder);
        self.check(name, || {
            std::fs::create_dir_all(&folder)?;
            check(&folder)
        });
    }

    fn verdict(&self) -> Verdict {
        say!("");
        for Step { name, took, tests, error, .. } in &self.steps {
            let tests = if tests.ran() > 0 { format!("{} tests", tests.ran()) } else { String::new() };
            let outcome = if error.is_none() { "ok" } else { "FAILED" };
            say!("{name:32} {:>8.1} s {tests:>12}   {outcome}", took.as_secs_f64());
        }
        say!("");
        for told in self.steps.iter().flat_map(|it| &it.told) {
            say!("{told}");
        }
        let failed: Vec<&str> =
            self.steps.iter().filter(|it| it.error.is_some()).map(|it| it.name.as_str()).collect();
        let tests = self.steps.iter().fold(Tests::default(), |sum, step| sum.and(step.tests));
        let took: Duration = self.steps.iter().map(|it| it.took).sum();
        let detail = if failed.is_empty() {
            format!("{} steps and {} tests hold, {} s", self.steps.len(), tests.passed, rounded(took))
        } else {
            format!(
                "{} of {} steps failed: {}; logs: {}",
                failed.len(),
                self.steps.len(),
                failed.join(", "),
                self.folder.display()
            )
        };
        // A step without tests of its own counts as one check; so does one that failed before any of its tests did.
        let is_check = |it: &&Step| it.tests.ran() == 0 || (it.error.is_some() && it.tests.failed == 0);
        let (checks_failed, checks_passed): (Vec<&Step>, Vec<&Step>) =
            self.steps.iter().filter(is_check).partition(|it| it.error.is_some());
        let steps: Vec<_> = self.steps.iter().map(Step::figures).collect();
        Verdict::new(failed.is_empty(), detail)
            .figure("passed", tests.passed + checks_passed.len() as u64)
            .figure("failed", tests.failed + checks_failed.len() as u64)
            .figure("steps", steps)
    }
}

impl Step {
    fn figures(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name, "seconds": rounded(self.took), "holds": self.error.is_none(),
            "tests_passed": self.tests.passed, "tests_failed": self.tests.failed,
        })
    }
}

/// Of what one failed test printed, shown at the end: its first lines name it, and its last ones say how to see it again.
const FIRST_LINES_OF_A_FAILURE: usize = 10;
const LAST_LINES_OF_A_FAILURE: usize = 30;
const BYTES_OF_A_LINE: usize = 400;

/// What each failed test printed, from its name on, cut where it is long: whoever has only the end of the output must see which
/// test failed and why, since a property fails with a seed that the next run does not have.
fn told_by_failures(log: &str) -> Vec<String> {
    let name = |line: &str| line.strip_prefix("---- ").is_some_and(|it| it.ends_with(" stdout ----"));
    let mut lines = log.lines().peekable();
    let mut told = Vec::new();
    while let Some(line) = lines.next() {
        if !name(line) {
            continue;
        }
        let mut failure = vec![line];
        while let Some(next) = lines.next_if(|it| !name(it) && *it != "failures:") {
            failure.push(next);
        }
        let last = failure.len().saturating_sub(LAST_LINES_OF_A_FAILURE);
        let is_shown = |number: &usize| *number < FIRST_LINES_OF_A_FAILURE || *number >= last;
        let shown = failure.iter().enumerate().filter(|(number, _)| is_shown(number));
        let cut = shown.map(|(_, it)| &it[..it.floor_char_boundary(BYTES_OF_A_LINE)]);
        told.push(cut.collect::<Vec<_>>().join("\n"));
    }
    told
}

/// How many tests ran, as the test runner counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tests {
    passed: u64,
    failed: u64,
}

impl Tests {
    /// Sums the lines `test result: ok. 3 passed; 0 failed; …`.
    fn counted(text: &str) -> Self {
        let results = text.lines().filter_map(|it| it.strip_prefix("test result: "));
        let count = |line: &str, what: &str| {
            let before = line.split(';').find_map(|it| it.trim().strip_suffix(what))?;
            before.split_whitespace().last()?.parse::<u64>().ok()
        };
        results.fold(Self::default(), |sum, line| {
            sum.and(Self {
                passed: count(line, " passed").unwrap_or(0),
                failed: count(line, " failed").unwrap_or(0),
            })
        })
    }

    fn and(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }

    fn ran(self) -> u64 {
        self.passed + self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_over_all_programs() {
        let log = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(Tests::counted(log), Tests { passed: 15, failed: 2 });
    }

    #[test]
    fn what_failed_tests_printed_is_told_again() {
        let log = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nthread 'a' panicked\n\n---- b stdout ----\nsaid b\n\n\n\
            failures:\n    a\n    b\n\ntest result: FAILED. 0 passed; 2 failed\n";
        assert_eq!(
            told_by_failures(log),
            ["---- a stdout ----\nthread 'a' panicked\n", "---- b stdout ----\nsaid b\n\n"]
        );
    }

    #[test]
    fn a_step_that_there_is_no_time_for_has_failed() {
        let mut run = Run::new(PathBuf::new());
        run.deadline = Instant::now();
        assert!(run.step("late", || Ok(())).is_none());
        assert_eq!(run.verdict().figures["failed"], 1);
    }

    #[test]
    fn a_step_that_fails_without_a_failed_test_counts() {
        let mut run = Run::new(PathBuf::new());
        run.step("format", || Ok(()));
        run.step("tests", || -> anyhow::Result<()> { anyhow::bail!("does not compile") });
        let verdict = run.verdict();
        assert!(!verdict.holds);
        assert_eq!((&verdict.figures["passed"], &verdict.figures["failed"]), (&1.into(), &1.into()));
    }
}
