//! `millrace dev`: a broker, a store, a processor with its API and the built-in worker, in one process and one folder. Nothing else
//! has to run; any Kafka client can connect.

mod demo;
mod folder;
mod watch;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use millrace_dev_broker::{Config, DevBroker, OpenError, StartError};
use millrace_kafka_log::GroupProtocol;
use millrace_local_store::LocalStore;
use millrace_placement::Topics;
use millrace_runtime::ProcessorHandle;
use millrace_schemas::registry::Registry;
use millrace_worker::WorkerMetrics;
use millrace_worker::builtin::{Rewrite, Secrets};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bundling::Catalogs;
use crate::cli::processor::{Published, Settings, Uncaught};
use crate::cli::programs;
use crate::cli::topics;
use crate::cli::worker::parse_secrets;
use crate::clients::{self, Kafka};
use crate::config::{Global, parse_duration};
use crate::exit::{Exit, Failure};
use crate::http::{self, Security};
use crate::key_values::KeyValues;
use crate::member::{self, Member, Parts};
use crate::output::Output;

use folder::Folder;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where the broker listens; port 0 for any free one, which is printed
    #[arg(long, default_value = "127.0.0.1:9092", env = "MILLRACE_DEV_KAFKA", value_name = "IP:PORT")]
    kafka: SocketAddr,

    /// Where the HTTP API listens; port 0 for any free one, which is printed
    #[arg(long, default_value = "127.0.0.1:8080", env = "MILLRACE_HTTP", value_name = "IP:PORT")]
    http: SocketAddr,

    #[command(flatten)]
    api: http::Settings,

    /// Folder for everything that is kept [default: millrace/dev in the user's data directory]
    #[arg(long, env = "MILLRACE_DEV_DATA", value_name = "FOLDER", conflicts_with = "ephemeral")]
    data: Option<PathBuf>,

    /// Keep nothing: a new folder, deleted at the end (not when the process is killed)
    #[arg(long)]
    ephemeral: bool,

    /// Partitions of a new folder: a power of two [default: as it has, 4 for a new one]
    #[arg(long)]
    partitions: Option<u32>,

    /// Deploy these definitions, and again whenever one of the files changes
    #[arg(long, value_name = "FILE", num_args = 1..)]
    watch: Vec<PathBuf>,

    /// Deploy the example of an order, work its tasks off, and produce orders
    #[arg(long)]
    demo: bool,

    /// How many orders the demo produces
    #[arg(long, default_value_t = 10, requires = "demo", value_parser = clap::value_parser!(u32).range(1..))]
    orders: u32,

    /// Wait for the disk with each write. Without it, what is acknowledged survives the end of the process, and not a loss of power
    #[arg(long)]
    fsync: bool,

    /// How long ended instances and their history are kept
    #[arg(long, default_value = "7d", value_name = "DURATION", value_parser = parse_duration)]
    retention: Duration,

    /// Which of the language's lifecycle events are published, to the lifecycle topic: of instances whose definition does not say
    #[arg(long, default_value = "off", env = "MILLRACE_LIFECYCLE", value_name = "EVENTS")]
    lifecycle: Published,

    /// What becomes of an instance with an error that nothing catches, where its definition does not say
    #[arg(long, default_value = "fault", env = "MILLRACE_ON_FAULT", value_name = "WHAT")]
    on_fault: Uncaught,

    /// Folder of the secrets that definitions may name: a file for each
    #[arg(long, env = "MILLRACE_SECRETS", value_name = "FOLDER", value_parser = parse_secrets)]
    secrets: Option<Secrets>,

    /// For tests: the built-in worker calls TO where a definition says FROM; may be repeated
    #[arg(long, value_name = "FROM=TO", hide = true)]
    http_map: Vec<Rewrite>,

    #[command(flatten)]
    programs: programs::ProgramArguments,

    #[command(flatten)]
    catalogs: Catalogs,
}

/// Printed once everything serves.
#[derive(Serialize)]
struct Document {
    kafka: String,
    http: String,
    data: String,
    partitions: u32,
    ready_after_ms: u64,
}

/// Partitions of a new folder: enough to see what a key does, and few to keep.
const PARTITIONS: u32 = 4;

/// How long a changed instance waits for its snapshot, and to be listed.
const FLUSH_INTERVAL: Duration = Duration::from_millis(300);

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let shutdown = CancellationToken::new();
    member::stop_on_signals(shutdown.clone())?;
    let folder = Folder::new(arguments.data.as_deref(), arguments.ephemeral)?;
    // First of all the broker: it has the lock of the folder, and a second `dev` is to hear of that before it hears of ports.
    let broker = start_broker(arguments, &folder).await?;
    let listener = http::bind(arguments.http).await?;
    let world = World::start(global, output, arguments, &folder, &broker, listener, shutdown.clone()).await;
    let outcome = match world {
        Ok(world) => {
            let shown = world.show(output, &folder, started);
            let work = async {
                shown?;
                world.work(output, arguments, &shutdown).await
            };
            let worked = Box::pin(work).await;
            shutdown.cancel();
            let ended = world.end().await;
            worked.and(ended)
        }
        Err(error) => Err(error),
    };
    // What is written so far is kept in any case.
    let stopped = broker.stop().await;
    outcome?;
    stopped.map_err(|error| {
        let fix = "check the disk; the next start recovers what was acknowledged";
        Failure::new("the broker could not bring everything to the disk", fix).because(error)
    })?;
    output.note(&folder.farewell());
    Ok(Exit::Success)
}

async fn start_broker(arguments: &Arguments, folder: &Folder) -> anyhow::Result<DevBroker> {
    let config = Config {
        listen: arguments.kafka,
        default_partitions: arguments.partitions.unwrap_or(PARTITIONS),
        fsync: arguments.fsync,
        ..Config::new(folder.path().join("broker"))
    };
    DevBroker::start(config).await.map_err(|error| {
        let fix = match &error {
            StartError::Listen { .. } => "give another address with --kafka, or port 0 for any free one",
            StartError::Open(OpenError::InUse { .. }) => {
                "use the one that runs, or give another folder with --data"
            }
            StartError::Open(OpenError::Folder { .. }) => {
                "check the rights and the room on the disk, or give another folder with --data"
            }
        };
        Failure::new("the broker does not start", fix).because(error).into()
    })
}

/// All that runs, but for the broker.
struct World {
    global: Global,
    partitions: u32,
    processor: ProcessorHandle,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    /// Workers, which end before the broker does.
    tasks: TaskTracker,
}

impl World {
    async fn start(
        global: &Global,
        output: Output,
        arguments: &Arguments,
        folder: &Folder,
        broker: &DevBroker,
        listener: tokio::net::TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let url = member::url_of(address, &arguments.api);
        let closing = CancellationToken::new();
        let security = Security::new(&arguments.api, address, &url, &closing).await?;
        // Settings that lie about are for a cluster of brokers; those on the command line are meant for ours.
        let (kafka_config, kafka_environment) = (Vec::new(), KeyValues::default());
        let global = Global {
            bootstrap: broker.bootstrap(),
            api: url.clone(),
            cql: Vec::new(),
            kafka_config,
            kafka_environment,
            ..global.clone()
        };
        let store_folder = folder.path().join("store");
        // It reads all that it has, to be sure of it.
        let opening = tokio::task::spawn_blocking(move || LocalStore::open(store_folder));
        let store = output.patiently("opening the store", opening).await?.map_err(|error| {
            Failure::new("the store does not open", "give another folder with --data").because(error)
        })?;
        let kafka = Kafka::new(&global);
        let ensured = topics::ensure(&global, &kafka, arguments.partitions, PARTITIONS);
        let partitions = output.patiently("creating the topics", ensured).await?;
        // One lane: there is nobody to share the partitions with, and an idle lane costs, too.
        const LANES: u32 = 1;
        const ORDINAL: u32 = 0;
        let log = kafka.log(ORDINAL, GroupProtocol::default()).await?;
        let registry = global.registry.as_deref().map(Registry::new).transpose()?;
        let codec = clients::codec(&global).await?;
        let (worker_codec, worker_shutdown) = (codec.clone(), shutdown.clone());
        let mut config = Settings::by_default().config(&global, LANES, arguments.retention, url.clone());
        // Whoever has just started an instance looks for it in the list. One person's load is no reason to wait.
        config.partition.flush_interval = FLUSH_INTERVAL;
        config.partition.stub_ttl = arguments.retention;
        config.partition.bounds.lifecycle = arguments.lifecycle.into();
        config.partition.bounds.on_fault = arguments.on_fault.into();
        let peers = clients::peers(&global)?;
        let parts =
            Parts { config, log, store, codec, registry, kafka, peers, security, closing, listener, url };
        let member = Member::new(parts);
        let processor = member.handle();
        // One process, one page of metrics.
        let worker_metrics = WorkerMetrics::registered(member.metrics());
        let running = tokio::spawn(Box::pin(member.run(shutdown)));
        let mut world = Self { global, partitions, processor, running, tasks: TaskTracker::new() };
        output.patiently("starting the processor", world.until_ready()).await?;
        let secrets = arguments.secrets.clone().unwrap_or_default();
        let programs = arguments.programs.settings();
        let rewrites = &arguments.http_map;
        let builtin =
            worker::builtin(&world.global, worker_codec, secrets, programs, rewrites, &worker_metrics)?;
        world.tasks.spawn(async move {
            if let Err(error) = builtin.run(async move { worker_shutdown.cancelled().await }).await {
                output.note(&format!("the built-in worker has stopped: {error}"));
            }
        });
        Ok(world)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        const POLL: Duration = Duration::from_millis(10);
        while !self.processor.is_ready() {
            if self.running.is_finished() {
                (&mut self.running).await??;
                anyhow::bail!("the processor ended before it was ready");
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn show(&self, output: Output, folder: &Folder, started: Instant) -> anyhow::Result<()> {
        let Global { bootstrap, api, .. } = &self.global;
        let document = Document {
            kafka: bootstrap.clone(),
            http: api.clone(),
            data: folder.path().display().to_string(),
            partitions: self.partitions,
            ready_after_ms: started.elapsed().as_millis() as u64,
        };
        output.show(&document, || {
            let mut text = format!(
                "Millrace is up after {:.1} s, for development.\n\n  Kafka   {bootstrap}   {} partitions, any client\n  API     {api}\n  data    {}\n\n",
                started.elapsed().as_secs_f64(),
                self.partitions,
                folder.path().display(),
            );
            text.push_str("In another terminal:\n\n");
            if !self.is_by_default() {
                text.push_str(&format!("  export MILLRACE_BOOTSTRAP={bootstrap} MILLRACE_API={api}"));
                if self.global.prefix != Topics::DEFAULT_PREFIX {
                    text.push_str(&format!(" MILLRACE_PREFIX={}", self.global.prefix));
                }
                text.push('\n');
            }
            if std::env::var_os("MILLRACE_CQL").is_some() {
                text.push_str("  unset MILLRACE_CQL    # the store is in this process\n");
            }
            text.push_str("  millrace deploy FILE\n  millrace start NAMESPACE/NAME --wait\n  millrace list NAMESPACE/NAME\n\n");
            text.push_str("Ctrl-C stops it.\n");
            text
        })
    }

    /// Whether the other commands find it without being told.
    fn is_by_default(&self) -> bool {
        self.global.bootstrap == "127.0.0.1:9092"
            && self.global.api == "http://127.0.0.1:8080"
            && self.global.prefix == Topics::DEFAULT_PREFIX
    }

    /// What was asked for besides, then until the end.
    async fn work(
        &self,
        output: Output,
        arguments: &Arguments,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let watching = async {
            if !arguments.watch.is_empty() {
                watch::run(&self.global, output, &arguments.catalogs, &arguments.watch).await?;
            }
            anyhow::Ok(())
        };
        let demo = async {
            if arguments.demo {
                let demo = demo::run(&self.global, output, arguments.orders, &self.tasks, shutdown.clone());
                if let Err(error) = demo.await {
                    output.note(&format!("the demo did not come to its end: {error:#}"));
                }
            }
            anyhow::Ok(())
        };
        let working = async { tokio::try_join!(watching, demo).map(|_| ()) };
        tokio::select! {
            worked = working => {
                worked?;
                shutdown.cancelled().await;
                Ok(())
            }
            () = shutdown.cancelled() => Ok(()),
        }
    }

    async fn end(self) -> anyhow::Result<()> {
        self.tasks.close();
        self.tasks.wait().await;
        self.running.await?
    }
}
