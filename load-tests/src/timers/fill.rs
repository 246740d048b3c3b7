//! Instances that wait, straight into the store.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use millrace_engine::{Bounds, Instance, Moment};
use millrace_local_store::LocalStore;
use millrace_partition::{FlushId, FlushRequest, SnapshotWrite, TimerRow};
use millrace_placement::{TimerBucket, key_group};
use millrace_runtime::store::SnapshotStore;
use millrace_schemas::codec::Codec;
use millrace_schemas::command::{AddressedCommand, Answer, Command};
use millrace_schemas::snapshot::Snapshot;
use millrace_schemas::{EventId, InstanceId, Offset, Payload, Stamp, Timestamp};
use millrace_scylla_store::{Replication, ScyllaConfig, ScyllaStore};
use millrace_workflow::program::Program;
use serde::Serialize;
use tokio::task::JoinSet;

use super::id_of;
use crate::report;

/// As in `workflows/timer.yaml`.
const WAIT: Duration = Duration::from_secs(60);
const DEFINITION: &str = include_str!("../../workflows/timer.yaml");

/// Of the only era; no changelog is shorter once it has an owner.
const OFFSET: Offset = Offset(0);

/// Fills a store.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("store").required(true).args(["cql", "folder"])))]
pub struct Settings {
    /// A CQL server, host:port.
    #[arg(long, requires = "keyspace")]
    pub cql: Option<String>,
    /// Its keyspace.
    #[arg(long)]
    pub keyspace: Option<String>,
    /// The folder of an embedded store that nobody has open.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Instances are called so, with a number.
    #[arg(long)]
    pub name: String,
    /// How many.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// When the first one is due, in milliseconds since the epoch.
    #[arg(long)]
    pub due_unix_ms: i64,
    /// How many are due in a second from then on; all at once, if not given.
    #[arg(long)]
    pub per_second: Option<f64>,
    /// Only rows of the index: for timers that do not come due while anybody looks.
    #[arg(long)]
    pub index_only: bool,
    /// Instances in one flush.
    #[arg(long, default_value_t = 5_000)]
    pub batch: u64,
    /// Flushes at a time.
    #[arg(long, default_value_t = 2)]
    pub in_flight: usize,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    count: u64,
    elapsed_s: f64,
    per_s: f64,
}

/// Fills the store. True when all is written.
///
/// # Errors
/// When the store cannot be opened or written.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    match (&settings.cql, &settings.folder) {
        (Some(address), _) => {
            let keyspace = settings.keyspace.clone().context("--keyspace is needed")?;
            let mut config = ScyllaConfig::new(vec![address.clone()], keyspace);
            config.replication = Replication::EachDatacenter(1);
            let store = ScyllaStore::connect(config).await?;
            store.create_schema().await?;
            fill(store, &settings).await
        }
        (None, Some(folder)) => fill(LocalStore::open(folder)?, &settings).await,
        (None, None) => bail!("give --cql or --folder"),
    }
}

async fn fill<S: SnapshotStore>(store: S, settings: &Settings) -> anyhow::Result<bool> {
    let admitted = millrace_workflow::admission::admit("timer.yaml", DEFINITION)
        .map_err(|it| anyhow!("the definition is refused: {it:?}"))?;
    let codec = Codec::single_object();
    let begun = Instant::now();
    let (mut flushes, mut shown) = (JoinSet::new(), Instant::now());
    for (number, from) in (0..settings.count).step_by(usize::try_from(settings.batch.max(1))?).enumerate() {
        let until = settings.count.min(from + settings.batch.max(1));
        let id = FlushId(u64::try_from(number)?);
        let mut request = FlushRequest { id, snapshots: Vec::new(), timers: Vec::new(), history: Vec::new() };
        for number in from..until {
            add(&mut request, number, &admitted.program, &codec, settings)?;
        }
        if flushes.len() >= settings.in_flight.max(1)
            && let Some(flushed) = flushes.join_next().await
        {
            flushed.context("a flush panicked")??;
        }
        let store = store.clone();
        flushes.spawn(async move { store.flush(&request).await });
        if shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            eprintln!("{from} of {} after {:.0} s", settings.count, begun.elapsed().as_secs_f64());
        }
    }
    while let Some(flushed) = flushes.join_next().await {
        flushed.context("a flush panicked")??;
    }
    let elapsed_s = begun.elapsed().as_secs_f64();
    let per_s = settings.count as f64 / elapsed_s;
    eprintln!("{} in {elapsed_s:.1} s, {per_s:.0}/s", settings.count);
    report::write(&Report { count: settings.count, elapsed_s, per_s }, settings.json.as_deref())?;
    Ok(true)
}

fn add(
    request: &mut FlushRequest,
    number: u64,
    program: &Program,
    codec: &Codec,
    settings: &Settings,
) -> anyhow::Result<()> {
    let after = settings.per_second.map_or(Duration::ZERO, |it| Duration::from_secs_f64(number as f64 / it));
    let due = Timestamp(settings.due_unix_ms).plus(after);
    let instance = InstanceId::new(id_of(&settings.name, number))?;
    let bucket = TimerBucket::of(key_group(instance.as_str().as_bytes()));
    let wait_ms = i64::try_from(WAIT.as_millis())?;
    let moment = Moment { at: Timestamp(due.0 - wait_ms), random: number };
    let state = waiting(&instance, program, moment)?;
    let timers = state.timers.iter().map(|(timer, it)| {
        let instance = instance.clone();
        TimerRow { bucket, due: it.due, instance, timer: *timer }
    });
    request.timers.extend(timers);
    if !settings.index_only {
        let value = codec.encode_snapshot(&Snapshot { state, era: 1, offset: OFFSET }).into();
        let stamp = Stamp::new(1, OFFSET, OFFSET);
        request.snapshots.push(SnapshotWrite { instance, stamp, value, ttl: None, listing: None });
    }
    Ok(())
}

/// What the engine makes of a start at that moment.
fn waiting(
    id: &InstanceId,
    program: &Program,
    moment: Moment,
) -> anyhow::Result<millrace_schemas::instance::InstanceState> {
    let command = AddressedCommand {
        instance: id.clone(),
        cause: EventId { source: "/load-tests/timers".to_owned(), id: id.to_string() },
        traceparent: None,
        tracestate: None,
        answer: Answer::default(),
        command: Command::Start {
            workflow: program.workflow.workflow.clone(),
            version: None,
            input: Payload::null(),
            parent: None,
        },
    };
    let mut instance = Instance::absent(id.clone());
    instance.step(program, &command, moment, &Bounds::default()).map_err(|it| anyhow!("{id}: {it}"))?;
    instance.state().cloned().with_context(|| format!("{id} has no state"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_waits_until_it_is_due() {
        let admitted = millrace_workflow::admission::admit("timer.yaml", DEFINITION).expect("is good");
        let id = InstanceId::new("a-1").expect("short");
        let moment = Moment { at: Timestamp(1_000_000), random: 1 };
        let state = waiting(&id, &admitted.program, moment).expect("it starts");
        let due: Vec<i64> = state.timers.values().map(|it| it.due.0).collect();
        assert_eq!(due, [1_060_000]);
    }
}
