//! A fleet of processors, under a prefix of its own. Processors are told apart by their ordinals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::Servers;
use crate::http_client::{Answer, get};
use crate::processes::{POLL, Process, Signal};
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
    // Dropped in this order: the processors end before their servers do.
    processors: BTreeMap<u32, Processor>,
    launched: u32,
    /// Processors log what they do in detail.
    pub(crate) is_verbose: bool,
    /// Other than the default; none unless set.
    pub(crate) lanes: Option<u32>,
    /// Milliseconds.
    pub(crate) commit_linger: Option<u32>,
    pub(crate) servers: Servers,
}

#[derive(Debug)]
struct Processor {
    process: Process,
    /// Host and port of its HTTP API, once it has said so.
    api: Option<String>,
}

impl Processor {
    fn is_ready(&mut self) -> bool {
        if self.api.is_none() {
            self.api = address_of(&self.process.output);
        }
        self.api.as_deref().is_some_and(is_ready)
    }
}

/// What is used of an entry of `/v1/partitions`.
#[derive(Debug, Deserialize)]
pub(crate) struct PartitionStatus {
    /// Instances whose snapshot is behind.
    pub(crate) instances_dirty: u64,
}

/// A processor that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) ordinal: u32,
    pub(crate) status: ExitStatus,
    pub(crate) log: PathBuf,
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
            processors: BTreeMap::new(),
            launched: 0,
            is_verbose: false,
            lanes: None,
            commit_linger: None,
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

    /// The programs, and the root of the repository.
    pub(crate) fn programs(&self) -> (&Programs, &Path) {
        (&self.programs, &self.root)
    }

    /// Starts a processor and waits until it serves. Answers how long that took.
    pub(crate) fn start(&mut self, ordinal: u32) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.launch(ordinal)?;
        let processor = self.processors.get_mut(&ordinal).context("it was launched")?;
        while begun.elapsed() < READY_WITHIN {
            processor.process.must_run()?;
            if processor.is_ready() {
                let (took, name) = (begun.elapsed(), &processor.process.name);
                let api = processor.api.as_deref().unwrap_or_default();
                say!("{name}: ready after {} s, http://{api}", rounded(took));
                return Ok(took);
            }
            std::thread::sleep(POLL);
        }
        let Process { name, log, .. } = &processor.process;
        bail!("{name} is not ready after {} s; log: {}", READY_WITHIN.as_secs(), log.display())
    }

    /// Starts a processor and does not wait.
    pub(crate) fn launch(&mut self, ordinal: u32) -> anyhow::Result<()> {
        self.launched += 1;
        let name = format!("processor-{ordinal}-{}", self.launched);
        let mut command = self.millrace(&["processor", "--output", "json", "--http", "127.0.0.1:0"]);
        command.args(["--ordinal", &ordinal.to_string()]);
        if self.is_verbose {
            command.arg("-v");
        }
        if let Some(lanes) = self.lanes {
            command.args(["--lanes", &lanes.to_string()]);
        }
        if let Some(ms) = self.commit_linger {
            command.arg(format!("--commit-linger={ms}ms"));
        }
        let process = Process::spawn(&name, &mut command, &self.folder)?;
        if self.processors.insert(ordinal, Processor { process, api: None }).is_some() {
            bail!("processor {ordinal} was running already");
        }
        Ok(())
    }

    /// Fails when a processor has ended by itself.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        self.processors.values_mut().try_for_each(|it| it.process.must_run())
    }

    /// The processors that have ended since the last call.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Vec<Ended>> {
        let mut ended = Vec::new();
        for (ordinal, processor) in &mut self.processors {
            if let Some(status) = processor.process.ended()? {
                ended.push(Ended { ordinal: *ordinal, status, log: processor.process.log.clone() });
            }
        }
        for it in &ended {
            self.processors.remove(&it.ordinal);
        }
        Ok(ended)
    }

    /// The processors, by their ordinals.
    pub(crate) fn ordinals(&self) -> Vec<u32> {
        self.processors.keys().copied().collect()
    }

    /// What a processor says about the partitions that it owns.
    pub(crate) fn partitions(&self, ordinal: u32) -> anyhow::Result<Vec<PartitionStatus>> {
        partitions_in(&self.ask(ordinal, PARTITIONS)?)
    }

    /// The process of a processor.
    pub(crate) fn process(&self, ordinal: u32) -> Option<u32> {
        self.processors.get(&ordinal).map(|it| it.process.id())
    }

    /// The API of a processor, as a URL.
    pub(crate) fn api(&self, ordinal: u32) -> Option<String> {
        self.processors.get(&ordinal)?.api.as_ref().map(|it| format!("http://{it}"))
    }

    /// What the API of a processor answers.
    pub(crate) fn ask(&self, ordinal: u32, path: &str) -> anyhow::Result<Answer> {
        let processor =
            self.processors.get(&ordinal).with_context(|| format!("there is no processor {ordinal}"))?;
        let api = processor.api.clone().or_else(|| address_of(&processor.process.output));
        let api = api.with_context(|| format!("processor {ordinal} has not said where its API is"))?;
        get(&api, path).with_context(|| format!("processor {ordinal} does not answer at {api}"))
    }

    /// Signals a processor and does not wait.
    pub(crate) fn signal(&self, ordinal: u32, signal: Signal) -> anyhow::Result<()> {
        signal.send(self.process(ordinal).with_context(|| format!("there is no processor {ordinal}"))?)
    }

    /// Ends a processor with SIGKILL.
    pub(crate) fn kill(&mut self, ordinal: u32) -> anyhow::Result<()> {
        self.take(ordinal)?.process.kill()
    }

    /// Ends a processor in good order.
    pub(crate) fn stop(&mut self, ordinal: u32) -> anyhow::Result<()> {
        self.take(ordinal)?.process.stop(STOP_WITHIN)
    }

    fn take(&mut self, ordinal: u32) -> anyhow::Result<Processor> {
        self.processors.remove(&ordinal).with_context(|| format!("there is no processor {ordinal}"))
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

/// The path of the API where it tells of its partitions.
const PARTITIONS: &str = "/v1/partitions";

/// The partitions of what serves at `api`, a host and a port.
pub(crate) fn partitions_at(api: &str) -> anyhow::Result<Vec<PartitionStatus>> {
    partitions_in(&get(api, PARTITIONS).with_context(|| format!("nobody answers at {api}"))?)
}

fn partitions_in(answer: &Answer) -> anyhow::Result<Vec<PartitionStatus>> {
    #[derive(Deserialize)]
    struct Page {
        partitions: Vec<PartitionStatus>,
    }
    let page: Page =
        serde_json::from_str(&answer.body).with_context(|| format!("no partitions: {}", answer.body))?;
    Ok(page.partitions)
}

/// Host and port of the API, once the processor has said it on its first line.
fn address_of(output: &Path) -> Option<String> {
    let text = std::fs::read_to_string(output).ok()?;
    let document: Value = serde_json::from_str(&text).ok()?;
    document.get("http")?.as_str()?.strip_prefix("http://").map(str::to_owned)
}

/// Whether the processor says that it serves its partitions.
fn is_ready(api: &str) -> bool {
    get(api, "/readyz").is_ok_and(|it| it.status == 200)
}
