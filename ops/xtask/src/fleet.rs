//! A fleet of one processor, under a prefix of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cluster::Servers;
use crate::processes::{POLL, Process};
use crate::report::{rounded, say};
use crate::steps;
use crate::workspace::{Programs, Workspace};

/// A processor must own its partitions within this time: its session's, should a killed one before it still hold them, and the restore.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A processor must hand over and end within this time.
const STOP_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Fleet {
    programs: Programs,
    root: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) prefix: String,
    // Dropped in this order: the processor ends before its servers do.
    processor: Option<Processor>,
    processors_started: u32,
    pub(crate) servers: Servers,
}

#[derive(Debug)]
struct Processor {
    process: Process,
    /// Host and port of its HTTP API.
    api: String,
}

impl Fleet {
    /// With its topics created and the definition deployed.
    pub(crate) fn create(
        workspace: &Workspace,
        programs: Programs,
        servers: Servers,
        folder: &Path,
        settings: &Settings<'_>,
    ) -> anyhow::Result<Self> {
        let run = folder.file_name().and_then(|it| it.to_str()).context("the folder of a run has a name")?;
        let fleet = Self {
            programs,
            root: workspace.root.clone(),
            folder: folder.to_owned(),
            prefix: run.replace(|it: char| !it.is_ascii_alphanumeric(), "-"),
            processor: None,
            processors_started: 0,
            servers,
        };
        let mut topics = fleet.millrace(&["topics", "apply"]);
        topics.args(["--partitions", &settings.partitions.to_string(), "--queue", settings.queue]);
        steps::run("create the topics", &mut topics, &folder.join("topics.log"))?;
        let mut deploy = fleet.millrace(&["deploy", settings.definition]);
        steps::run("deploy the workflow", &mut deploy, &folder.join("deploy.log"))?;
        Ok(fleet)
    }

    /// The `millrace` program, told where this fleet is.
    pub(crate) fn millrace(&self, arguments: &[&str]) -> Command {
        let mut command = steps::command(&self.programs.millrace);
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("MILLRACE_BOOTSTRAP", &self.servers.bootstrap)
            .env("MILLRACE_CQL", &self.servers.cql)
            .env("MILLRACE_PREFIX", &self.prefix);
        if self.servers.are_ours() {
            command.env("MILLRACE_CQL_REPLICATION", "1"); // there is one node
        }
        command
    }

    /// The load tests, told where this fleet is. Their report is to go to that file.
    pub(crate) fn load_test(&self, name: &str, report: &Path) -> Command {
        let mut command = steps::command(&self.programs.load_tests);
        command.arg(name).args(["--bootstrap", &self.servers.bootstrap, "--prefix", &self.prefix]);
        command.arg("--json").arg(report).current_dir(&self.root);
        command
    }

    /// Starts the processor and waits until it serves. Answers how long that took.
    pub(crate) fn start_processor(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.processors_started += 1;
        let name = format!("processor-{}", self.processors_started);
        let mut command =
            self.millrace(&["processor", "--output", "json", "--http", "127.0.0.1:0", "--ordinal", "0"]);
        let mut process = Process::spawn(&name, &mut command, &self.folder)?;
        let mut api = None;
        while begun.elapsed() < READY_WITHIN {
            process.must_run()?;
            api = api.or_else(|| address_of(&process.output));
            if let Some(api) = api.as_ref().filter(|it| is_ready(it)) {
                let took = begun.elapsed();
                say!("{name}: ready after {} s, http://{api}", rounded(took));
                self.processor = Some(Processor { api: api.clone(), process });
                return Ok(took);
            }
            std::thread::sleep(POLL);
        }
        bail!("{name} is not ready after {} s; log: {}", READY_WITHIN.as_secs(), process.log.display())
    }

    /// Fails when the processor has ended by itself.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        self.processor.as_mut().map_or(Ok(()), |it| it.process.must_run())
    }

    /// The processor's process.
    pub(crate) fn process(&self) -> Option<u32> {
        self.processor.as_ref().map(|it| it.process.id())
    }

    /// The processor's API, as a URL.
    pub(crate) fn api(&self) -> Option<String> {
        self.processor.as_ref().map(|it| format!("http://{}", it.api))
    }

    /// Ends the processor with SIGKILL.
    pub(crate) fn kill_processor(&mut self) -> anyhow::Result<()> {
        self.processor.take().context("there is no processor to kill")?.process.kill()
    }

    /// Ends the processor in good order.
    pub(crate) fn stop_processor(&mut self) -> anyhow::Result<()> {
        self.processor.take().context("there is no processor to stop")?.process.stop(STOP_WITHIN)
    }
}

/// What a fleet is created for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    /// How many partitions, a power of two.
    pub(crate) partitions: u32,
    /// The queue of the definition's tasks.
    pub(crate) queue: &'a str,
    /// The definition's file, from the root of the repository.
    pub(crate) definition: &'a str,
}

/// Host and port of the API, once the processor has said it on its first line.
fn address_of(output: &Path) -> Option<String> {
    let text = std::fs::read_to_string(output).ok()?;
    let document: Value = serde_json::from_str(&text).ok()?;
    document.get("http")?.as_str()?.strip_prefix("http://").map(str::to_owned)
}

/// Whether the processor says that it serves its partitions.
fn is_ready(api: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(api)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /readyz HTTP/1.0\r\nHost: {api}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|it| it.lines().next().is_some_and(|status| status.contains(" 200 ")))
}
