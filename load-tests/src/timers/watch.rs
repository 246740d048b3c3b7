//! What fires, as it is read from the changelog: when, how often, and whether it was all.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use millrace_placement::Topics;
use millrace_schemas::event::{ChangelogEntry, Event};
use serde::Serialize;
use tokio::time::sleep;

use crate::follow::{Follower, Start, starts};
use crate::progress::Progress;
use crate::report;

const TICK: Duration = Duration::from_millis(100);
/// Highest lateness that is told apart, in milliseconds: an hour.
const LATE_MS_MAX: u64 = 3_600_000;

/// Watches instances that were filled in.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// The fleet's topic prefix.
    #[arg(long, default_value = Topics::DEFAULT_PREFIX)]
    pub prefix: String,
    /// Instances are called so, with a number.
    #[arg(long)]
    pub name: String,
    /// How many there are.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Gives up when none fires for so long, in seconds.
    #[arg(long, default_value_t = 60)]
    pub patience: u64,
    /// The lateness of those that are due before this counts for nothing: nobody served.
    #[arg(long, default_value_t = 0)]
    pub served_from_unix_ms: u64,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    set: u64,
    /// Different ones.
    fired: u64,
    /// Those that fired again.
    twice: u64,
    /// Those that were decided before they were due.
    early: u64,
    /// Those that ended other than by completing.
    faulted: u64,
    first_unix_ms: u64,
    last_unix_ms: u64,
    fired_per_s: f64,
    /// From due to read, committed.
    lateness_p50_ms: u64,
    lateness_p99_ms: u64,
    lateness_max_ms: u64,
}

struct Seen {
    has_fired: Vec<bool>,
    fired: u64,
    twice: u64,
    early: u64,
    faulted: u64,
    first_unix_ms: u64,
    last_unix_ms: u64,
    late_ms: Histogram<u64>,
    served_from_unix_ms: u64,
    moved: Instant,
}

impl Seen {
    /// An entry of the instance with this number, read at this time.
    fn see(&mut self, number: usize, entry: &ChangelogEntry, now_ms: u64) {
        let is_fault =
            |it: &Event| matches!(it, Event::InstanceFaulted { .. } | Event::InstanceCancelled { .. });
        self.faulted += u64::from(entry.events.iter().any(is_fault));
        // The id of what a timer causes ends with its due time.
        let is_timer = entry.cause.source == "millrace:timer";
        let due = entry.cause.id.rsplit('/').next().and_then(|it| it.parse::<i64>().ok());
        let (true, Some(due), Some(slot)) = (is_timer, due, self.has_fired.get_mut(number)) else { return };
        if std::mem::replace(slot, true) {
            self.twice += 1;
            return;
        }
        self.moved = Instant::now();
        self.fired += 1;
        self.early += u64::from(entry.at.0 < due);
        if self.first_unix_ms == 0 {
            self.first_unix_ms = now_ms;
        }
        self.last_unix_ms = now_ms;
        let due = u64::try_from(due).unwrap_or(0);
        if due >= self.served_from_unix_ms {
            self.late_ms.saturating_record(now_ms.saturating_sub(due).max(1));
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Where the changelog starts. Kafka may be down yet: the broker of `millrace dev` is, while one waits for its start.
async fn start_of(bootstrap: &str, changelog: &str, patience: Duration) -> anyhow::Result<Start> {
    let begun = Instant::now();
    loop {
        match starts(bootstrap, changelog) {
            Err(_) if begun.elapsed() < patience => sleep(TICK).await,
            result => return result,
        }
    }
}

/// Watches until all have fired. True when each has, once, and none early. Says so on stdout when the first one has, and from then on
/// each tenth of a second how many have: `{"fired", "at_unix_ms"}`.
///
/// # Errors
/// When the changelog cannot be read.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    let topics = Topics::new(&settings.prefix);
    let patience = Duration::from_secs(settings.patience);
    let seen = Arc::new(Mutex::new(Seen {
        has_fired: vec![false; usize::try_from(settings.count)?],
        fired: 0,
        twice: 0,
        early: 0,
        faulted: 0,
        first_unix_ms: 0,
        last_unix_ms: 0,
        late_ms: Histogram::new_with_bounds(1, LATE_MS_MAX, 3).context("the bounds are good")?,
        served_from_unix_ms: settings.served_from_unix_ms,
        moved: Instant::now(),
    }));
    let follower = {
        let (seen, prefix) = (seen.clone(), format!("{}-", settings.name));
        // What is watched has fired nowhere before: all that the changelog says of it counts.
        let begin = start_of(&settings.bootstrap, &topics.changelog(), patience).await?;
        Follower::start(&settings.bootstrap, topics.changelog(), &begin, move |id, entry, _| {
            if let Some(number) = id.strip_prefix(&prefix).and_then(|it| it.parse().ok()) {
                lock(&seen).see(number, &entry, unix_ms());
            }
        })?
    };
    let mut progress = Progress::new(None)?;
    let (begun, mut told) = (Instant::now(), 0);
    loop {
        sleep(TICK).await;
        if follower.has_failed() {
            follower.stop()?;
            bail!("the changelog is not followed any more");
        }
        let (fired, moved) = {
            let seen = lock(&seen);
            (seen.fired, seen.moved)
        };
        if fired != told {
            told = fired;
            let line = serde_json::json!({"fired": fired, "at_unix_ms": unix_ms()});
            // One write, so that a reader never sees half a line.
            std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).context("stdout is closed")?;
        }
        progress.update(&(), || {
            format!("{:5.0} s   fired {fired} of {}", begun.elapsed().as_secs_f64(), settings.count)
        })?;
        if fired == settings.count || moved.elapsed() > patience {
            break;
        }
    }
    progress.end();
    // One that comes again comes soon.
    sleep(Duration::from_secs(2)).await;
    follower.stop()?;
    let seen = lock(&seen);
    let took_ms = seen.last_unix_ms.saturating_sub(seen.first_unix_ms).max(1);
    let report = Report {
        set: settings.count,
        fired: seen.fired,
        twice: seen.twice,
        early: seen.early,
        faulted: seen.faulted,
        first_unix_ms: seen.first_unix_ms,
        last_unix_ms: seen.last_unix_ms,
        fired_per_s: seen.fired as f64 * 1_000.0 / took_ms as f64,
        lateness_p50_ms: seen.late_ms.value_at_quantile(0.5),
        lateness_p99_ms: seen.late_ms.value_at_quantile(0.99),
        lateness_max_ms: seen.late_ms.max(),
    };
    report::write(&report, settings.json.as_deref())?;
    Ok(seen.fired == settings.count && seen.twice + seen.early + seen.faulted == 0)
}
