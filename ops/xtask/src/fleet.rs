//! A fleet of one processor, with topics and a keyspace of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cluster::Servers;
use crate::processes::{POLL, Process, Usage};
use crate::steps;
use crate::workspace::{Programs, Workspace};

/// How long a processor may take until it serves: the share of one that was killed is free after its session timeout.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a processor may take to write its snapshots and to hand its partitions over.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Where a fleet is, and its one processor while it runs.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    pub(crate) servers: &'a Servers,
    pub(crate) programs: &'a Programs,
    /// Logs go here.
    pub(crate) folder: &'a Path,
    /// The prefix of its topics.
    pub(crate) prefix: String,
    processor: Option<Processor>,
    /// Processors so far, for the names of their logs.
    started: u32,
}

#[derive(Debug)]
struct Processor {
    process: Process,
    url: String,
}

impl<'a> Fleet<'a> {
    /// Creates topics and tables, deploys the definition, a path from the workspace's root, and starts the processor.
    pub(crate) fn start(
        workspace: &Workspace,
        servers: &'a Servers,
        programs: &'a Programs,
        folder: &'a Path,
        definition: &str,
    ) -> anyhow::Result<Self> {
        let name =
            folder.file_name().and_then(|it| it.to_str()).context("the folder of the run has no name")?;
        let mut fleet =
            Self { servers, programs, folder, prefix: format!("xtask-{name}"), processor: None, started: 0 };
        let mut apply = fleet.millrace(&["topics", "apply", "--partitions", "8"]);
        if servers.are_ours() {
            apply.args(["--replication", "1"]); // The cluster has one node.
        }
        steps::run("topics apply", &mut apply, &folder.join("topics.log"))?;
        let file = workspace.root.join(definition);
        let mut deploy = fleet.millrace(&["deploy"]);
        steps::run(&format!("deploy {definition}"), deploy.arg(file), &folder.join("deploy.log"))?;
        fleet.start_processor()?;
        Ok(fleet)
    }

    /// `millrace`, told where the fleet is.
    pub(crate) fn millrace(&self, arguments: &[&str]) -> Command {
        let mut command = steps::command(&self.programs.millrace);
        command.args(arguments).envs(self.environment());
        command
    }

    /// What tells `millrace` where the fleet is.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 3] {
        [
            ("MILLRACE_BOOTSTRAP", &self.servers.bootstrap),
            ("MILLRACE_CQL", &self.servers.cql),
            ("MILLRACE_PREFIX", &self.prefix),
        ]
    }

    /// `millrace-load-tests`, told where the fleet is, with its report in `load.json` of the folder.
    pub(crate) fn load(&self, arguments: &[&str]) -> Command {
        let mut command = steps::command(&self.programs.load_tests);
        command.args(arguments).args(["--bootstrap", &self.servers.bootstrap, "--prefix", &self.prefix]);
        command.arg("--json").arg(self.folder.join("load.json"));
        command
    }

    /// Starts the processor, and waits until it serves all partitions.
    pub(crate) fn start_processor(&mut self) -> anyhow::Result<()> {
        self.started += 1;
        let mut command =
            self.millrace(&["--output", "json", "processor", "--http", "127.0.0.1:0", "--ordinal", "0"]);
        let mut process = Process::spawn(&format!("processor-{}", self.started), &mut command, self.folder)?;
        let deadline = Instant::now() + READY_WITHIN;
        let mut url = None;
        loop {
            process.must_run()?;
            url = url.or_else(|| listens_at(&process.output));
            if let Some(url) = &url
                && status(url, "/readyz") == Some(200)
            {
                break;
            }
            if Instant::now() > deadline {
                bail!(
                    "the processor does not serve after {} s; log: {}",
                    READY_WITHIN.as_secs(),
                    process.log.display()
                );
            }
            std::thread::sleep(POLL);
        }
        self.processor = url.map(|url| Processor { process, url });
        Ok(())
    }

    /// Fails when the processor has ended by itself.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        self.processor.as_mut().context("there is no processor")?.process.must_run()
    }

    /// `kill -9`.
    pub(crate) fn kill_processor(&mut self) -> anyhow::Result<()> {
        self.processor.take().context("there is no processor")?.process.kill()
    }

    /// SIGTERM; it must end well.
    pub(crate) fn stop_processor(&mut self) -> anyhow::Result<()> {
        self.processor.take().context("there is no processor")?.process.stop(STOP_WITHIN)
    }

    /// Where the processor's API listens.
    pub(crate) fn url(&self) -> &str {
        self.processor.as_ref().map_or("", |it| &it.url)
    }

    /// What processor, broker and store have used so far; the last two only when they are ours.
    pub(crate) fn usage(&self) -> anyhow::Result<Vec<(&'static str, Usage)>> {
        let processor = self.processor.as_ref().context("there is no processor")?.process.id();
        let mut processes = vec![("processor", processor)];
        processes.extend(self.servers.processes()?);
        processes.into_iter().map(|(what, id)| Ok((what, Usage::of(id)?))).collect()
    }
}

/// What the processor prints once its API listens. Absent while it is not, or not wholly, printed.
fn listens_at(output: &Path) -> Option<String> {
    let document: Value = serde_json::from_slice(&std::fs::read(output).ok()?).ok()?;
    document["http"].as_str().map(str::to_owned)
}

/// The status of a GET, if there is an answer.
fn status(url: &str, path: &str) -> Option<u16> {
    let address = url.strip_prefix("http://")?.trim_end_matches('/');
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_whitespace().nth(1)?.parse().ok()
}
