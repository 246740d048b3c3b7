//! Runs a program to its end, with a label; when it fails, shows the end of what it said.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::processes::{POLL, Signal, tree};
use crate::report::{rounded, say};

/// Lines shown of the log of a step that failed.
const TAIL_LINES: usize = 60;

/// Whether the kernel can be asked to end a program when we end, however we end.
static CAN_TIE: LazyLock<bool> = LazyLock::new(|| {
    let probe = Command::new("setpriv").args(["--pdeathsig", "TERM", "true"]).output();
    probe.is_ok_and(|it| it.status.success())
});

/// A command that does not outlive us, where the system can do that (Linux). It has the id that the process started with: the
/// helper replaces itself.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !*CAN_TIE {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Runs it with its output in `log`. Answers how long it took.
pub(crate) fn run(label: &str, command: &mut Command, log: &Path) -> anyhow::Result<Duration> {
    logged(label, command, log, |child| child.wait().map(Some))
}

/// The same for something that might hang: after `at_most` it is ended, with all that it has started, and has failed. The end of its log
/// is shown, where a test runner says which test it was waiting for.
pub(crate) fn run_within(
    at_most: Duration,
    label: &str,
    command: &mut Command,
    log: &Path,
) -> anyhow::Result<Duration> {
    let deadline = Instant::now() + at_most;
    logged(label, command, log, |child| {
        loop {
            match child.try_wait()? {
                None if Instant::now() < deadline => std::thread::sleep(POLL),
                None => break,
                ended => return Ok(ended),
            }
        }
        // Cargo does not end the tests that it runs.
        for process in tree(child.id()) {
            if let Err(error) = Signal::Kill.send(process) {
                say!("{label}: {error:#}");
            }
        }
        child.wait()?;
        Ok(None)
    })
}

/// Runs it until `wait` has its status, or knows that it hangs.
fn logged(
    label: &str,
    command: &mut Command,
    log: &Path,
    wait: impl FnOnce(&mut Child) -> std::io::Result<Option<ExitStatus>>,
) -> anyhow::Result<Duration> {
    say!("{label} …");
    let begun = Instant::now();
    let file = File::create(log).with_context(|| format!("could not create {}", log.display()))?;
    let errors = file.try_clone().context("could not share the log")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("{label}: could not run {}", command.get_program().display()))?;
    let status = wait(&mut child).with_context(|| format!("{label}: could not wait for its end"))?;
    let took = begun.elapsed();
    match status {
        Some(status) if status.success() => {
            say!("{label}: {} s", rounded(took));
            Ok(took)
        }
        Some(status) => {
            show_tail(log)?;
            bail!("{label} failed ({status}); log: {}", log.display())
        }
        None => {
            show_tail(log)?;
            bail!("{label} had not ended after {} s; log: {}", took.as_secs(), log.display())
        }
    }
}

/// Runs it with its output where ours goes: for what people should see.
pub(crate) fn show(label: &str, command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status =
        status.with_context(|| format!("{label}: could not run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{label} failed ({status})");
    }
    Ok(())
}

/// Runs it and answers what it printed on stdout; what it says on stderr goes where ours goes.
pub(crate) fn capture(label: &str, command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output =
        output.with_context(|| format!("{label}: could not run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{label} failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{label}: its output is not UTF-8"))
}

/// Prints the end of a log.
pub(crate) fn show_tail(log: &Path) -> anyhow::Result<()> {
    let file = File::open(log).with_context(|| format!("could not read {}", log.display()))?;
    let mut tail = VecDeque::with_capacity(TAIL_LINES);
    for line in BufReader::new(file).split(b'\n') {
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line.with_context(|| format!("could not read {}", log.display()))?);
    }
    say!("--- the end of {}", log.display());
    for line in tail {
        say!("{}", String::from_utf8_lossy(&line));
    }
    say!("---");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_names_its_log() {
        let log = std::env::temp_dir().join(format!("xtask-step-{}.log", std::process::id()));
        let error = run("try", command("sh").args(["-c", "echo broken; exit 3"]), &log).expect_err("fails");
        let said = std::fs::read_to_string(&log).expect("was written");
        std::fs::remove_file(&log).expect("was written");
        assert_eq!(said, "broken\n");
        assert!(error.to_string().contains(&log.display().to_string()), "{error}");
    }

    #[test]
    fn a_step_that_hangs_ends_with_what_it_has_started() {
        let log = std::env::temp_dir().join(format!("xtask-hangs-{}.log", std::process::id()));
        let mut hangs = command("sh");
        // The shell waits for a process of its own, whose id it has said.
        hangs.args(["-c", "sleep 600 & echo $!; wait"]);
        let error = run_within(Duration::from_secs(1), "hang", &mut hangs, &log).expect_err("is ended");
        let said = std::fs::read_to_string(&log).expect("was written");
        std::fs::remove_file(&log).expect("was written");
        assert!(error.to_string().contains("had not ended after 1 s"), "{error}");
        let sleeper = Path::new("/proc").join(said.trim());
        let deadline = Instant::now() + Duration::from_secs(10);
        let runs = || std::fs::read_to_string(sleeper.join("stat")).is_ok_and(|it| !it.contains(") Z "));
        while runs() {
            assert!(Instant::now() < deadline, "{} goes on", sleeper.display());
            std::thread::sleep(POLL);
        }
    }
}
