//! Processes that run beside us. Each is ended, by its id, when its guard is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::report::say;

/// How often something awaited is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// What a process can be told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    /// SIGTERM: end in good order.
    Terminate,
    /// SIGKILL: it can do nothing about it.
    Kill,
    /// SIGSTOP: stand still, and know nothing of it.
    Freeze,
    /// SIGCONT: go on.
    Thaw,
}

impl Signal {
    /// Sends it to a process that is ours.
    pub(crate) fn send(self, process: u32) -> anyhow::Result<()> {
        let signal = match self {
            Self::Terminate => "-TERM",
            Self::Kill => "-KILL",
            Self::Freeze => "-STOP",
            Self::Thaw => "-CONT",
        };
        let status = Command::new("kill").args([signal, &process.to_string()]).status();
        match status.context("could not run kill")? {
            it if it.success() => Ok(()),
            it => bail!("kill {signal} {process}: {it}"),
        }
    }
}

/// A process and all that it has started, as far as they have not left it: the first one first. Reads `/proc`, so on Linux only.
pub(crate) fn tree(process: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents = processes.filter_map(|it| {
        let process: u32 = it.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(it.path().join("stat")).ok()?;
        let parent: u32 = after_name(&stat)?.nth(1)?.parse().ok()?;
        Some((process, parent))
    });
    let parents: Vec<(u32, u32)> = parents.collect();
    let mut tree = vec![process];
    let mut looked_at = 0;
    while let Some(parent) = tree.get(looked_at).copied() {
        tree.extend(parents.iter().filter(|it| it.1 == parent).map(|it| it.0));
        looked_at += 1;
    }
    tree
}

/// A child process with its output in files.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) name: String,
    /// What it says on stderr.
    pub(crate) log: PathBuf,
    /// What it says on stdout.
    pub(crate) output: PathBuf,
}

impl Process {
    /// Starts it with its output in `NAME.out` and `NAME.log` of the folder.
    pub(crate) fn spawn(name: &str, command: &mut Command, folder: &Path) -> anyhow::Result<Self> {
        let (output, log) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.log")));
        let create =
            |file: &Path| File::create(file).with_context(|| format!("could not create {}", file.display()));
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&output)?)
            .stderr(create(&log)?)
            .spawn()
            .with_context(|| format!("could not start {name}"))?;
        Ok(Self { child, name: name.to_owned(), log, output })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its status if it has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("could not look at {}", self.name))
    }

    /// Fails when it has ended.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}); log: {}", self.name, self.log.display()),
        }
    }

    /// SIGKILL: it can do nothing about it.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.must_run()?;
        self.child.kill().with_context(|| format!("could not kill {}", self.name))?;
        self.child.wait().with_context(|| format!("could not wait for {}", self.name))?;
        Ok(())
    }

    /// SIGTERM, then waits for its end in good order.
    ///
    /// # Errors
    /// When it does not end in that time, or with an exit code other than 0.
    pub(crate) fn stop(mut self, within: Duration) -> anyhow::Result<()> {
        self.must_run()?;
        Signal::Terminate.send(self.id())?;
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            match self.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} stopped with {status}; log: {}", self.name, self.log.display()),
                None => std::thread::sleep(POLL),
            }
        }
        bail!("{} did not stop within {} s; log: {}", self.name, within.as_secs(), self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may end between the look and the signal, which is what we want.
            if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
                say!("could not end {} (process {}): {error}", self.name, self.child.id());
            }
        }
    }
}

/// The fields of `/proc/PID/stat` from the state on. The name of the program, before them, stands in brackets and may hold anything, so they
/// are counted from the last bracket: proc(5).
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(") ")?.1.split_whitespace())
}

/// What a process has used since it started.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    /// Processor time, in user mode and in the kernel.
    pub(crate) cpu_seconds: f64,
    /// Resident memory now.
    pub(crate) rss_mib: f64,
    /// Most resident memory so far.
    pub(crate) rss_mib_max: f64,
}

impl Usage {
    /// Reads `/proc`, so on Linux only.
    pub(crate) fn of(process: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let file = format!("/proc/{process}/{name}");
            std::fs::read_to_string(&file).with_context(|| format!("could not read {file}"))
        };
        Self::parse(&read("stat")?, &read("status")?)
            .with_context(|| format!("could not make sense of /proc/{process}"))
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        let fields: Vec<&str> = after_name(stat)?.collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        let mib = |name: &str| {
            let line = status.lines().find_map(|it| it.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1_024.0)
        };
        // Linux shows times in hundredths of a second on every platform that Rust runs on (USER_HZ).
        let cpu_seconds = (ticks(11)? + ticks(12)?) / 100.0;
        Some(Self { cpu_seconds, rss_mib: mib("VmRSS:")?, rss_mib_max: mib("VmHWM:")? })
    }

    /// The same with the processor time since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { cpu_seconds: self.cpu_seconds - earlier.cpu_seconds, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 10";
        let status = "Name:\ta) b\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\n";
        let usage = Usage::parse(stat, status).expect("is well-formed");
        assert_eq!((usage.cpu_seconds, usage.rss_mib, usage.rss_mib_max), (3.0, 2.0, 4.0));
    }

    #[test]
    fn a_process_ends_with_its_guard() {
        let folder = std::env::temp_dir();
        let name = format!("xtask-process-{}", std::process::id());
        let process =
            Process::spawn(&name, Command::new("sleep").arg("60"), &folder).expect("can be started");
        let (id, log, output) = (process.id(), process.log.clone(), process.output.clone());
        assert!(Usage::of(id).is_ok());
        drop(process);
        assert!(Usage::of(id).is_err(), "it is gone");
        for file in [log, output] {
            std::fs::remove_file(file).expect("was written");
        }
    }
}
