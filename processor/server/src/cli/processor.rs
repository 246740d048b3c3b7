//! `millrace processor`: one member of the fleet.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use millrace_engine::Bounds;
use millrace_kafka_log::{GroupProtocol, KafkaLog};
use millrace_partition::{Config, Described, TailLimit};
use millrace_runtime::ProcessorConfig;
use millrace_schemas::codec::Codec;
use millrace_schemas::registry::Registry;
use millrace_scylla_store::ScyllaStore;
use millrace_workflow::program::{Lifecycle, OnFault};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clients::{self, Kafka};
use crate::config::{Global, parse_duration};
use crate::exit::{Exit, Failure};
use crate::http::{self, Security};
use crate::member::{self, Member, Parts};
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Where the HTTP API listens; port 0 for any free one, which is printed
    #[arg(long, default_value = "127.0.0.1:8080", env = "MILLRACE_HTTP", value_name = "IP:PORT")]
    http: SocketAddr,

    /// Where others reach that API [default: http:// and the address it listens at]
    #[arg(long, env = "MILLRACE_ADVERTISE", value_name = "URL")]
    advertise: Option<String>,

    #[command(flatten)]
    api: http::Settings,

    /// Number of this member, its own and the same after a restart [default: the digits at the end of the hostname, else 0]
    #[arg(long, env = "MILLRACE_ORDINAL")]
    ordinal: Option<u32>,

    /// Create the tables if they are missing
    #[arg(long)]
    create_schema: bool,

    #[command(flatten)]
    store: clients::StoreSettings,

    /// How long the history is kept, and what has ended in the list
    #[arg(
        long,
        default_value = "30d",
        value_name = "DURATION",
        value_parser = parse_duration,
        help_heading = "Snapshot store"
    )]
    retention: Duration,

    /// Transactional producers, each with an event loop
    #[arg(long, default_value_t = 2, env = "MILLRACE_LANES", value_parser = clap::value_parser!(u32).range(1..=64))]
    lanes: u32,

    /// How the members agree on who owns what; the same for the whole fleet
    #[arg(long, value_enum, default_value_t, env = "MILLRACE_GROUP_PROTOCOL", value_name = "PROTOCOL")]
    group_protocol: Protocol,

    /// Without a sign of life for so long, the others take our partitions over; with the classic protocol only [default: 6s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    session_timeout: Option<Duration>,

    #[command(flatten)]
    patience: clients::Patience,

    #[command(flatten)]
    tuning: Tuning,

    #[command(flatten)]
    limits: Limits,
}

/// `--group-protocol`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// The members assign; a dead one is noticed after --session-timeout
    #[default]
    Classic,
    /// KIP-848: the brokers assign; a dead member is noticed after the group's consumer.session.timeout.ms, 45s unless lowered there
    Consumer,
}

/// The brokers end a transaction that is open for ten seconds.
const LINGER_MAX: Duration = Duration::from_secs(5);

fn parse_linger(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        linger if linger > LINGER_MAX => Err(format!(
            "{text} is too long: at most {} s, or the brokers end it first",
            LINGER_MAX.as_secs()
        )),
        linger => Ok(linger),
    }
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tuning")]
struct Tuning {
    /// Most records of one partition in one transaction
    #[arg(long, default_value_t = 500, value_name = "RECORDS")]
    batch_max: usize,

    /// How long a transaction stays open for more before it is committed, so that there are fewer. Those who read committed records see what
    /// it holds that much later; speculative workers see it at once
    #[arg(
        long,
        default_value = "0s",
        env = "MILLRACE_COMMIT_LINGER",
        value_name = "DURATION",
        value_parser = parse_linger
    )]
    commit_linger: Duration,

    /// Most records of one partition that wait in memory
    #[arg(long, default_value_t = 10_000, value_name = "RECORDS")]
    inbox_max: usize,

    /// Memory for instances of one partition that are kept only because they may be needed again, in MiB
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    cache_mib: usize,

    /// How long an instance stays in memory after it was last needed
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = parse_duration)]
    cache_idle: Duration,

    /// How long a changed instance may wait for its snapshot
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = parse_duration)]
    flush_interval: Duration,

    /// Most snapshots of one write to the store; with as many at rest, it begins
    #[arg(long, default_value_t = 1_000, value_name = "ROWS")]
    flush_max: usize,

    /// Most changelog entries of one partition that a restore reads while the store keeps up
    #[arg(long, default_value_t = TailLimit::TAIL.entries, value_name = "ENTRIES")]
    tail_entries: usize,

    /// Most bytes of them
    #[arg(long, default_value_t = TailLimit::TAIL.bytes, value_name = "BYTES")]
    tail_bytes: usize,

    /// Most of the tail that the restore of one partition holds in memory, in MiB; a longer one is written to the store on the way
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    restore_mib: usize,

    /// Most changelog entries of one partition that wait for a store that does not keep up; then processing waits
    #[arg(long, default_value_t = TailLimit::UNFLUSHED.entries, value_name = "ENTRIES")]
    unflushed_entries: usize,

    /// Most bytes of them
    #[arg(long, default_value_t = TailLimit::UNFLUSHED.bytes, value_name = "BYTES")]
    unflushed_bytes: usize,

    /// How long after a checkpoint the changelog is trimmed behind it
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = parse_duration)]
    trim_interval: Duration,

    /// How long the changelog is kept at least, though the store holds all of it: longer than the store's backups are apart
    #[arg(long, default_value = "1d", value_name = "DURATION", value_parser = parse_duration)]
    changelog_retention: Duration,

    /// How long an ended instance refuses late commands
    #[arg(long, default_value = "7d", value_name = "DURATION", value_parser = parse_duration)]
    stub_ttl: Duration,

    /// How far ahead timers are held in memory, at most
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = parse_duration)]
    timer_horizon: Duration,

    /// Timers of a partition in memory, besides those that are being written to the store
    #[arg(long, default_value_t = 20_000, value_name = "TIMERS", value_parser = clap::value_parser!(u32).range(4..))]
    timers_near: u32,

    /// Timers of a partition that fire in a second, at most; a herd of them is slower while it holds up other work
    #[arg(long, default_value_t = 1_000, value_name = "TIMERS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    timer_fires_per_second: u32,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits of an instance")]
struct Limits {
    /// Most tasks that one instance may enter
    #[arg(long, default_value_t = Bounds::default().steps_max, value_name = "TASKS")]
    steps_max: u64,

    /// Most tasks entered within one command
    #[arg(long, default_value_t = Bounds::default().steps_per_command_max, value_name = "TASKS")]
    steps_per_command_max: u32,

    /// Largest payload of one record, in bytes; past it an incident is raised
    #[arg(long, default_value_t = Bounds::default().record_bytes_max, value_name = "BYTES")]
    record_bytes_max: usize,

    /// Largest state of one instance, in bytes
    #[arg(long, default_value_t = Bounds::default().state_bytes_max, value_name = "BYTES")]
    state_bytes_max: usize,

    /// Deepest nesting of open tasks
    #[arg(long, default_value_t = Bounds::default().depth_max, value_name = "LEVELS")]
    depth_max: u32,

    /// Most commands that wait for a resume
    #[arg(long, default_value_t = Bounds::default().deferred_max, value_name = "COMMANDS")]
    deferred_max: usize,

    /// Most events that wait for a `listen`
    #[arg(long, default_value_t = Bounds::default().signals_max, value_name = "EVENTS")]
    signals_max: usize,

    /// How long an event that is addressed to nobody waits for somebody to listen; 0s not at all
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = parse_duration)]
    event_wait: Duration,

    /// How long another event of the same source and id is a duplicate, and dropped
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = parse_duration)]
    duplicate_window: Duration,

    /// Most published events that are remembered for that, of one type and one value that is correlated by
    #[arg(long, default_value_t = Bounds::default().published_remembered_max, value_name = "EVENTS")]
    published_remembered_max: usize,

    /// Most listeners that correlate by nothing, or by the same value, for one type of events
    #[arg(long, default_value_t = Bounds::default().subscriptions_max, value_name = "LISTENERS")]
    subscriptions_max: usize,

    /// Most events of one type, and of one value that is correlated by, that wait for somebody to listen
    #[arg(long, default_value_t = Bounds::default().waiting_events_max, value_name = "EVENTS")]
    waiting_events_max: usize,

    /// Most events of one instance whose copies are refused: the last ones
    #[arg(long, default_value_t = Bounds::default().signals_remembered_max, value_name = "EVENTS")]
    signals_remembered_max: usize,

    /// Which of the language's lifecycle events are published, to the lifecycle topic: of instances whose definition does not say
    #[arg(long, default_value = "off", env = "MILLRACE_LIFECYCLE", value_name = "EVENTS")]
    lifecycle: Published,

    /// What becomes of an instance with an error that nothing catches, where its definition does not say
    #[arg(long, default_value = "fault", env = "MILLRACE_ON_FAULT", value_name = "WHAT")]
    on_fault: Uncaught,
}

/// What becomes of an instance with an error that nothing catches.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Uncaught {
    /// It ends
    Fault,
    /// It stands still with the failed task, until somebody retries or skips that
    Incident,
}

impl From<Uncaught> for OnFault {
    fn from(uncaught: Uncaught) -> Self {
        match uncaught {
            Uncaught::Fault => Self::Fault,
            Uncaught::Incident => Self::Incident,
        }
    }
}

/// Lifecycle events that are published.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Published {
    /// None
    Off,
    /// Of instances: started, suspended, resumed, completed, faulted, cancelled
    Workflow,
    /// Of tasks, too: a few records for each task
    Task,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            steps_max: limits.steps_max,
            steps_per_command_max: limits.steps_per_command_max,
            record_bytes_max: limits.record_bytes_max,
            state_bytes_max: limits.state_bytes_max,
            depth_max: limits.depth_max,
            deferred_max: limits.deferred_max,
            signals_max: limits.signals_max,
            event_wait: limits.event_wait,
            duplicate_window: limits.duplicate_window,
            published_remembered_max: limits.published_remembered_max,
            subscriptions_max: limits.subscriptions_max,
            waiting_events_max: limits.waiting_events_max,
            signals_remembered_max: limits.signals_remembered_max,
            lifecycle: limits.lifecycle.into(),
            on_fault: limits.on_fault.into(),
        }
    }
}

impl From<Published> for Lifecycle {
    fn from(published: Published) -> Self {
        match published {
            Published::Off => Self::Off,
            Published::Workflow => Self::Workflow,
            Published::Task => Self::Task,
        }
    }
}

impl Arguments {
    fn group_protocol(&self) -> Result<GroupProtocol, Failure> {
        match (self.group_protocol, self.session_timeout) {
            (Protocol::Classic, None) => Ok(GroupProtocol::default()),
            (Protocol::Classic, Some(session_timeout)) => Ok(GroupProtocol::Classic { session_timeout }),
            (Protocol::Consumer, None) => Ok(GroupProtocol::Consumer),
            (Protocol::Consumer, Some(_)) => Err(Failure::refused(
                "--session-timeout means nothing with --group-protocol consumer: the brokers decide",
                "leave it out, and set consumer.session.timeout.ms of the group with kafka-configs.sh",
            )),
        }
    }

    fn config(&self, global: &Global, api_url: String) -> ProcessorConfig {
        let settings = Settings { tuning: self.tuning.clone(), limits: self.limits.clone() };
        settings.config(global, self.lanes, self.retention, api_url)
    }
}

/// What is tuned and limited, the same for every kind of member.
#[derive(Debug, Parser)]
pub(crate) struct Settings {
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    limits: Limits,
}

impl Settings {
    /// As without any option.
    pub(crate) fn by_default() -> Self {
        Self::parse_from(["millrace"])
    }

    pub(crate) fn config(
        &self,
        global: &Global,
        lanes: u32,
        retention: Duration,
        api_url: String,
    ) -> ProcessorConfig {
        let tuning = &self.tuning;
        ProcessorConfig {
            lanes,
            commit_linger: tuning.commit_linger,
            partition: Config {
                topics: global.topics(),
                // Both are set from the topics.
                partitions: 1,
                event_partitions: 1,
                bounds: Bounds::from(&self.limits),
                batch_records_max: tuning.batch_max,
                inbox_records_max: tuning.inbox_max,
                flush_interval: tuning.flush_interval,
                flush_rows_max: tuning.flush_max,
                tail: TailLimit { entries: tuning.tail_entries, bytes: tuning.tail_bytes },
                restore_bytes_max: tuning.restore_mib.saturating_mul(1024 * 1024),
                unflushed: TailLimit { entries: tuning.unflushed_entries, bytes: tuning.unflushed_bytes },
                trim_interval: tuning.trim_interval,
                changelog_retention: tuning.changelog_retention,
                cache_bytes_max: tuning.cache_mib.saturating_mul(1024 * 1024),
                cache_idle: tuning.cache_idle,
                stub_ttl: tuning.stub_ttl,
                history_retention: Some(retention),
                timer_horizon: tuning.timer_horizon,
                timers_near_max: usize::try_from(tuning.timers_near).unwrap_or(usize::MAX),
                timer_fires_per_second: tuning.timer_fires_per_second,
                api_url: Some(api_url),
                // The processor knows what its spans need.
                described: Described::Nothing,
            },
            tracer: global.traces.tracer().clone(),
        }
    }
}

/// Printed once the API listens, before the processor joins its group: `/readyz` says when it serves.
#[derive(Serialize)]
struct Document {
    http: String,
    advertised: String,
    ordinal: u32,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let group_protocol = arguments.group_protocol()?;
    let shutdown = CancellationToken::new();
    member::stop_on_signals(shutdown.clone())?;
    let ordinal = arguments.ordinal.unwrap_or_else(|| ordinal_of(&hostname()));
    let listener = http::bind(arguments.http).await?;
    let address = listener.local_addr()?;
    let url = member::url_of(address, &arguments.api);
    let advertised = arguments.advertise.clone().unwrap_or_else(|| url.clone());
    if arguments.advertise.is_none() && address.ip().is_unspecified() {
        warn!(%address, "others cannot reach this address: say with --advertise where the API is");
    }

    let closing = CancellationToken::new();
    let security = Security::new(&arguments.api, address, &advertised, &closing).await?;
    let registry = global.registry.as_deref().map(Registry::new).transpose()?;
    let kafka = Kafka::new(global);
    let connected = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(Exit::Success),
        connected = Servers::connect(global, output, arguments, &kafka, ordinal, group_protocol) => connected,
    };
    let Servers { codec, store, log } = connected?;

    let document = Document { http: url.clone(), advertised: advertised.clone(), ordinal };
    output.show(&document, || format!("millrace processor {ordinal}: {url}"))?;
    info!(%address, ordinal, prefix = %global.prefix, "a member of the fleet");
    let config = arguments.config(global, advertised.clone());
    let peers = clients::peers(global)?;
    let url = advertised;
    let parts = Parts { config, log, store, codec, registry, kafka, peers, security, closing, listener, url };
    Box::pin(Member::new(parts).run(shutdown)).await?;
    Ok(Exit::Success)
}

/// What a processor works with.
struct Servers {
    codec: Codec,
    store: ScyllaStore,
    log: KafkaLog,
}

impl Servers {
    /// Waits for those that are not there yet.
    async fn connect(
        global: &Global,
        output: Output,
        arguments: &Arguments,
        kafka: &Kafka,
        ordinal: u32,
        group_protocol: GroupProtocol,
    ) -> anyhow::Result<Self> {
        let (waiting, settings) = (arguments.patience.begin(output), &arguments.store);
        let codec =
            waiting.until("asking the schema registry", async || clients::codec(global).await).await?;
        if arguments.create_schema {
            let create = async || clients::create_store(global, settings).await;
            waiting.until("creating the tables", create).await?;
        }
        let store = async || clients::store_with(global, settings).await;
        let store = waiting.until("connecting to the snapshot store", store).await?;
        let log = async || kafka.log(ordinal, group_protocol).await;
        let log = waiting.until("connecting to Kafka", log).await?;
        Ok(Self { codec, store, log })
    }
}

fn hostname() -> String {
    std::env::var("HOSTNAME")
        .or_else(|_| std::fs::read_to_string("/proc/sys/kernel/hostname"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The digits at the end of a pod's name in a StatefulSet: `millrace-3` gives 3. 0 without any.
fn ordinal_of(hostname: &str) -> u32 {
    let name = hostname.trim_end_matches(|it: char| it.is_ascii_digit());
    hostname[name.len()..].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordinal_is_the_number_of_the_pod() {
        for (hostname, ordinal) in
            [("millrace-3", 3), ("millrace-12", 12), ("laptop", 0), ("", 0), ("x99999999999999", 0)]
        {
            assert_eq!(ordinal_of(hostname), ordinal, "{hostname}");
        }
    }
}
