//! Real servers: those of `ops/cluster`, started for this run and gone with it, or those that were given.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::processes::{Process, Signal};
use crate::report::say;
use crate::steps;
use crate::workspace::Workspace;

/// So many brokers that one may fail and writes go on, with the settings of `ops/cluster`.
pub(crate) const BROKERS_TO_FAIL: u32 = 3;

/// With the 1 GB of `ops/cluster`, enough for tests, Cassandra collects garbage for a tenth of its time.
pub(crate) const BENCH_STORE_HEAP: &str = "3g";

/// Servers that run already.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Servers (without these: ops/cluster, for this run only)")]
pub(crate) struct Given {
    /// Kafka brokers that run already
    #[arg(long, env = "KAFKA_BOOTSTRAP", requires = "cql", value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// A CQL server that runs already
    #[arg(long, env = "CQL_CONTACT_POINT", requires = "bootstrap", value_name = "HOST:PORT")]
    cql: Option<String>,
}

/// Where the servers are, and their guard if they are ours. A clone shares them; they are gone with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) bootstrap: String,
    pub(crate) cql: String,
    /// Only the tests need one.
    pub(crate) registry: Option<String>,
    cluster: Option<Rc<Cluster>>,
}

impl Servers {
    /// Those given, else our own with their data in `folder` and the store with [`BENCH_STORE_HEAP`].
    pub(crate) fn for_bench(workspace: &Workspace, given: &Given, folder: &Path) -> anyhow::Result<Self> {
        Self::get_with(Some(BENCH_STORE_HEAP), workspace, given, folder)
    }

    /// Those given, else our own with their data in `folder`.
    pub(crate) fn get(workspace: &Workspace, given: &Given, folder: &Path) -> anyhow::Result<Self> {
        Self::get_with(None, workspace, given, folder)
    }

    fn get_with(
        store_heap: Option<&'static str>,
        workspace: &Workspace,
        given: &Given,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        if let (Some(bootstrap), Some(cql)) = (&given.bootstrap, &given.cql) {
            say!("servers: {bootstrap} and {cql}, as given");
            return Ok(Self {
                bootstrap: bootstrap.clone(),
                cql: cql.clone(),
                registry: None,
                cluster: None,
            });
        }
        Self::start(workspace, &["kafka", "cassandra"], 1, store_heap, folder)
    }

    /// A cluster of three brokers, of which one may fail at a time, and a store.
    pub(crate) fn start_three_brokers(workspace: &Workspace, folder: &Path) -> anyhow::Result<Self> {
        Self::start(workspace, &["kafka", "cassandra"], BROKERS_TO_FAIL, None, folder)
    }

    /// All that the tests need.
    pub(crate) fn start_all(workspace: &Workspace, folder: &Path) -> anyhow::Result<Self> {
        Self::start(workspace, &["kafka", "cassandra", "registry"], 1, None, folder)
    }

    fn start(
        workspace: &Workspace,
        servers: &[&str],
        brokers: u32,
        store_heap: Option<&'static str>,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let cluster = Cluster::new(workspace, brokers, store_heap, folder)?;
        let label = format!("start {}", servers.join(", "));
        steps::run(&label, cluster.command("up").args(servers), &folder.join("cluster-up.log"))?;
        let registry = servers.contains(&"registry").then(|| cluster.address("registry")).transpose()?;
        Ok(Self {
            bootstrap: cluster.address("kafka")?,
            cql: cluster.address("cassandra")?,
            registry,
            cluster: Some(Rc::new(cluster)),
        })
    }

    /// Whether they were started for this run.
    pub(crate) fn are_ours(&self) -> bool {
        self.cluster.is_some()
    }

    /// How the tests on real servers learn where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env("KAFKA_BOOTSTRAP", &self.bootstrap).env("CQL_CONTACT_POINT", &self.cql);
        if let Some(registry) = &self.registry {
            command.env("SCHEMA_REGISTRY_URL", registry);
        }
    }

    /// The processes of our servers, by what they are. Empty when they were given.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<(&'static str, u32)>> {
        let Some(cluster) = &self.cluster else { return Ok(Vec::new()) };
        [("broker", "kafka"), ("store", "cassandra")]
            .into_iter()
            .map(|(what, server)| Ok((what, cluster.process(server, 1)?)))
            .collect()
    }

    /// Signals a broker of ours: its number counts from 1.
    pub(crate) fn signal_broker(&self, broker: u32, signal: Signal) -> anyhow::Result<()> {
        signal.send(self.ours()?.process("kafka", broker)?)
    }

    /// Signals our store.
    pub(crate) fn signal_store(&self, signal: Signal) -> anyhow::Result<()> {
        signal.send(self.ours()?.process("cassandra", 1)?)
    }

    /// Starts a broker of ours again. The process that this answers ends when the broker serves.
    pub(crate) fn start_broker(&self, broker: u32, name: &str, folder: &Path) -> anyhow::Result<Process> {
        let mut command = self.ours()?.command("start");
        Process::spawn(name, command.args(["kafka", &broker.to_string()]), folder)
    }

    fn ours(&self) -> anyhow::Result<&Cluster> {
        self.cluster.as_deref().context("servers that were given are not ours to stop")
    }
}

/// One broker and nothing else, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct LoneBroker {
    pub(crate) bootstrap: String,
    _cluster: Cluster,
}

impl LoneBroker {
    pub(crate) fn start(workspace: &Workspace, folder: &Path) -> anyhow::Result<Self> {
        let cluster = Cluster::new(workspace, 1, None, folder)?;
        steps::run("start kafka", cluster.command("up").arg("kafka"), &folder.join("cluster-up.log"))?;
        Ok(Self { bootstrap: cluster.address("kafka")?, _cluster: cluster })
    }
}

/// Servers that want TLS, certificates on both sides, and passwords; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct SecureServers {
    /// Where they are, and the files that their clients need.
    environment: Vec<(String, String)>,
    _cluster: Cluster,
}

impl SecureServers {
    pub(crate) fn start(workspace: &Workspace, folder: &Path) -> anyhow::Result<Self> {
        let mut cluster = Cluster::new(workspace, 1, None, folder)?;
        cluster.is_secure = true;
        let mut up = cluster.command("up");
        steps::run("start secure servers", up.args(["kafka", "cassandra"]), &folder.join("cluster-up.log"))?;
        let said = steps::capture("cluster env", &mut cluster.command("env"))?;
        let lines = said.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let environment = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { environment, _cluster: cluster })
    }

    /// How the tests learn of them.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }
}

/// A cluster of ours. Dropped, it is gone: its logs stay in the folder of the run.
#[derive(Debug)]
struct Cluster {
    script: PathBuf,
    home: PathBuf,
    brokers: u32,
    store_heap: Option<&'static str>,
    /// With TLS and passwords.
    is_secure: bool,
    folder: PathBuf,
    /// Wipes the cluster if we end without doing so: killed, or by Ctrl-C.
    watch: Child,
}

impl Cluster {
    fn new(
        workspace: &Workspace,
        brokers: u32,
        store_heap: Option<&'static str>,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let script = workspace.root.join("ops/cluster/cluster");
        let home = folder.join("cluster");
        let watch = Command::new(&script)
            .args(["watch", &std::process::id().to_string()])
            .env("CLUSTER_HOME", &home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // so that a Ctrl-C that ends us does not end it
            .spawn()
            .with_context(|| format!("could not run {}", script.display()))?;
        Ok(Self { script, home, brokers, store_heap, is_secure: false, folder: folder.to_owned(), watch })
    }

    fn command(&self, command: &str) -> Command {
        let mut cluster = Command::new(&self.script);
        cluster.arg(command).env("CLUSTER_HOME", &self.home).env("BROKERS", self.brokers.to_string());
        if self.is_secure {
            cluster.env("SECURE", "1");
        }
        if let Some(heap) = self.store_heap {
            cluster.env("CASSANDRA_HEAP", heap);
        }
        if self.brokers > 1 {
            // Several JVMs on few cores, started again and again: the second compiler costs more time than it saves.
            cluster.env("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1");
        }
        cluster
    }

    fn address(&self, server: &str) -> anyhow::Result<String> {
        let address = steps::capture("cluster address", self.command("address").arg(server))?;
        Ok(address.trim().to_owned())
    }

    fn process(&self, server: &str, node: u32) -> anyhow::Result<u32> {
        let file = self.home.join(server).join(node.to_string()).join("pid");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
        text.trim().parse().with_context(|| format!("{} holds no process id", file.display()))
    }

    fn keep_logs(&self) -> anyhow::Result<()> {
        for server in ["kafka", "cassandra", "registry"] {
            for node in 1..=self.brokers {
                let log = self.home.join(server).join(node.to_string()).join("log");
                if log.exists() {
                    std::fs::copy(&log, self.folder.join(format!("{server}-{node}.log")))?;
                }
            }
        }
        Ok(())
    }

    fn wipe(&mut self) -> anyhow::Result<()> {
        let kept = self.keep_logs();
        let status = self.command("wipe").status()?;
        if !status.success() {
            bail!("cluster wipe: {status}");
        }
        self.watch.kill()?;
        self.watch.wait()?;
        std::fs::remove_dir_all(&self.home)?;
        kept
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.wipe() {
            say!("could not clear the cluster in {} away: {error:#}", self.home.display());
        }
    }
}
