//! A trickle of signals to live instances, and what the owners of the partitions write meanwhile.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use millrace_placement::Topics;
use millrace_schemas::cloud_event::signal_event;
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::{EventId, InstanceId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::message::Message;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::{Settings, id_of};
use crate::follow::{assign, ends, reader};
use crate::publish::Publisher;

const POLL: Duration = Duration::from_millis(100);

/// A line on stdout: a committed record of the changelog, when it was read.
#[derive(Debug, Serialize)]
struct Line<'a> {
    at_unix_ms: u64,
    partition: i32,
    /// The transactional id of a new owner, which says who it is; none for an entry.
    owner: Option<&'a str>,
}

pub(crate) async fn run(settings: &Settings, rate: f64) -> anyhow::Result<bool> {
    ensure!(rate > 0.0, "--trickle must be more than 0");
    let topics = Topics::new(&settings.prefix);
    let is_failed = Arc::new(AtomicBool::new(false));
    follow(&settings.bootstrap, topics.changelog(), is_failed.clone())?;
    let options = [("partitioner", "murmur2_random"), ("linger.ms", "0")];
    let publisher = Publisher::new(&settings.bootstrap, &topics.events(), &options)?;
    let mut rng = ChaCha8Rng::seed_from_u64(settings.count);
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    // What is late is sent at once: an outage of the broker must not thin the trickle out.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0_u64.. {
        ticks.tick().await;
        publisher.check()?;
        if is_failed.load(Ordering::Relaxed) {
            bail!("the changelog is not followed any more");
        }
        let instance = InstanceId::new(id_of(rng.random_range(0..settings.count)))?;
        let id = EventId {
            source: "/load-tests/live/trickle".to_owned(),
            id: format!("{}-{number}", std::process::id()),
        };
        publisher.send(&signal_event(id, &instance, "load.live.signal", None)).await?;
    }
    Ok(true)
}

/// Follows the changelog from its end, on a thread that ends with the process.
fn follow(bootstrap: &str, topic: String, is_failed: Arc<AtomicBool>) -> anyhow::Result<()> {
    let consumer = reader(bootstrap)?;
    assign(&consumer, &topic, &ends(bootstrap, &topic)?)?;
    let see = move || -> anyhow::Result<()> {
        let codec = Codec::single_object();
        loop {
            let message = match consumer.poll(POLL) {
                None => continue,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    eprintln!("changelog: {error}");
                    continue;
                }
            };
            let record = codec.decode_changelog(message.payload().unwrap_or_default());
            let record =
                record.with_context(|| format!("{topic}-{} at {}", message.partition(), message.offset()))?;
            let owner = match &record {
                ChangelogRecord::Claim(claim) => Some(claim.transactional_id.as_str()),
                ChangelogRecord::Entry(_) | ChangelogRecord::Channel(_) | ChangelogRecord::Schedule(_) => {
                    None
                }
                ChangelogRecord::Positions(_)
                | ChangelogRecord::Adopted(_)
                | ChangelogRecord::Released(_)
                | ChangelogRecord::Installed(_) => continue,
            };
            let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
            let at_unix_ms = u64::try_from(since.as_millis()).context("the clock is far in the future")?;
            let mut line =
                serde_json::to_string(&Line { at_unix_ms, partition: message.partition(), owner })?;
            line.push('\n');
            // One write, so that a reader never sees half a line.
            std::io::stdout().lock().write_all(line.as_bytes()).context("stdout is closed")?;
        }
    };
    let follow = move || {
        if let Err(error) = see() {
            eprintln!("changelog: {error:#}");
            is_failed.store(true, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new().name("changelog".to_owned()).spawn(follow).context("no thread to be had")?;
    Ok(())
}
