//! A processor on the CQL store and Kafka, or `millrace dev` with its own store and broker: what a benchmark starts, stops and kills.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::loading::{Served, dirty_of};
use crate::cluster::Servers;
use crate::dev::Dev;
use crate::dev_kill::free_ports;
use crate::fleet::{Fleet, Settings, partitions_at};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};

#[derive(Debug)]
pub(crate) enum System {
    Fleet(Fleet),
    Embedded(Embedded),
}

#[derive(Debug)]
pub(crate) struct Embedded {
    programs: Programs,
    root: PathBuf,
    folder: PathBuf,
    data: PathBuf,
    kafka: String,
    http: String,
    partitions: u32,
    starts: u32,
    dev: Option<Dev>,
}

impl System {
    /// With the definition deployed, and nobody who serves. Without servers, it is `millrace dev`.
    pub(crate) fn create(
        workspace: &Workspace,
        servers: Option<Servers>,
        folder: &Path,
        settings: &Settings<'_>,
    ) -> anyhow::Result<Self> {
        let programs = workspace.build(Profile::Release, folder)?;
        if let Some(servers) = servers {
            return Ok(Self::Fleet(Fleet::create(workspace, programs, servers, folder, settings)?));
        }
        let (kafka, http) = free_ports()?;
        let mut it = Embedded {
            programs,
            root: workspace.root.clone(),
            folder: folder.to_owned(),
            data: folder.join("dev"),
            kafka: format!("127.0.0.1:{kafka}"),
            http: format!("127.0.0.1:{http}"),
            partitions: settings.partitions,
            starts: 0,
            dev: None,
        };
        it.start()?;
        let mut system = Self::Embedded(it);
        system.deploy(settings.definition)?;
        system.stop()?;
        Ok(system)
    }

    /// Deploys a definition. `millrace dev` must run.
    pub(crate) fn deploy(&self, definition: &str) -> anyhow::Result<()> {
        let (mut command, folder) = match self {
            Self::Fleet(fleet) => (fleet.millrace(&["deploy", definition]), &fleet.folder),
            Self::Embedded(it) => {
                let mut command = steps::command(&it.programs.millrace);
                command.args(["deploy", definition, "--bootstrap", &it.kafka]).current_dir(&it.root);
                (command, &it.folder)
            }
        };
        steps::run("deploy a workflow", &mut command, &folder.join("deploy.log")).map(drop)
    }

    /// Another queue of commands. Those of `millrace dev` make themselves.
    pub(crate) fn add_queue(&self, queue: &str, partitions: u32) -> anyhow::Result<()> {
        let Self::Fleet(fleet) = self else { return Ok(()) };
        let mut topics = fleet.millrace(&["topics", "apply", "--queue", queue]);
        topics.args(["--partitions", &partitions.to_string()]);
        steps::run("create a queue", &mut topics, &fleet.folder.join("queue.log")).map(drop)
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }

    /// Starts it and waits until it serves.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Fleet(fleet) => fleet.start(0).map(drop),
            Self::Embedded(it) => it.start(),
        }
    }

    /// Another processor in its place, whose transactions stay open for so long, if it can be said.
    pub(crate) fn restart_with_linger(&mut self, ms: u32) -> anyhow::Result<()> {
        self.stop()?;
        if let Self::Fleet(fleet) = self {
            fleet.commit_linger = Some(ms);
        }
        self.start()
    }

    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Fleet(fleet) => fleet.stop(0),
            Self::Embedded(it) => it.stop(),
        }
    }

    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Fleet(fleet) => fleet.kill(0),
            Self::Embedded(it) => it.dev.take().context("it runs")?.kill(),
        }
    }

    /// The process that serves.
    pub(crate) fn process(&self) -> anyhow::Result<u32> {
        let process = match self {
            Self::Fleet(fleet) => fleet.process(0),
            Self::Embedded(it) => it.dev.as_ref().map(|it| it.process.id()),
        };
        process.context("nobody serves")
    }

    /// A load test, told where this is. Its report is to go to that file.
    pub(crate) fn load_test(&self, name: &str, report: &Path) -> Command {
        match self {
            Self::Fleet(fleet) => fleet.load_test(name, report),
            Self::Embedded(it) => {
                let mut command = steps::command(&it.programs.load_tests);
                command.args([name, "--bootstrap", &it.kafka]).arg("--json").arg(report);
                command.current_dir(&it.root);
                command
            }
        }
    }

    /// The program that fills the store, told where that is.
    pub(crate) fn fill(&self, report: &Path) -> Command {
        let (programs, root) = match self {
            Self::Fleet(fleet) => fleet.programs(),
            Self::Embedded(it) => (&it.programs, &*it.root),
        };
        let mut command = steps::command(&programs.load_tests);
        command.arg("fill-timers").arg("--json").arg(report).current_dir(root);
        match self {
            Self::Fleet(fleet) => {
                // As the processor derives it.
                let keyspace = fleet.prefix.replace('-', "_");
                command.args(["--cql", &fleet.servers.cql, "--keyspace", &keyspace]);
            }
            Self::Embedded(it) => {
                command.arg("--folder").arg(it.data.join("store")).args(["--batch", "50000"]);
            }
        }
        command
    }
}

impl Served for System {
    fn must_run(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Fleet(fleet) => fleet.must_run(),
            Self::Embedded(it) => it.dev.as_mut().map_or(Ok(()), |it| it.process.must_run()),
        }
    }

    fn dirty(&self) -> anyhow::Result<u64> {
        match self {
            Self::Fleet(fleet) => fleet.dirty(),
            Self::Embedded(it) => Ok(dirty_of(&partitions_at(&it.http)?)),
        }
    }

    /// Broker and store of `millrace dev` are its own.
    fn processes(&self) -> anyhow::Result<BTreeMap<&'static str, u32>> {
        match self {
            Self::Fleet(fleet) => fleet.processes(),
            Self::Embedded(_) => Ok(BTreeMap::from([("processor", self.process()?)])),
        }
    }
}

impl Embedded {
    fn start(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let name = format!("dev-{}", self.starts);
        let (data, partitions) = (self.data.display().to_string(), self.partitions.to_string());
        let arguments =
            ["--data", &data, "--kafka", &self.kafka, "--http", &self.http, "--partitions", &partitions];
        self.dev = Some(Dev::start(&self.programs, &name, &arguments, &self.folder)?);
        Ok(())
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.dev.take().map_or(Ok(()), Dev::stop)
    }
}
