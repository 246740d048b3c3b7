//! Opens listens, as fast as the fleet takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millrace_placement::Topics;
use millrace_schemas::channel::ChannelEvent;
use millrace_schemas::cloud_event::start_event;
use millrace_schemas::codec::ChangelogRecord;
use millrace_schemas::{EventId, InstanceId};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::{Settings, id_of};
use crate::follow::{Follower, ends};
use crate::orders::workflow_name;
use crate::progress::Progress;
use crate::publish::Publisher;
use crate::report;

const TICK: Duration = Duration::from_millis(100);
/// Gives up when none opens for so long.
const STALL: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
struct Report {
    opened: u64,
    elapsed_s: f64,
    opened_per_s: f64,
}

pub(super) async fn run(settings: &Settings) -> anyhow::Result<bool> {
    let Settings { bootstrap, from, count, .. } = settings;
    let workflow = workflow_name(&settings.workflow)?;
    let topics = Topics::new(&settings.prefix);
    let opened = Arc::new(AtomicU64::new(0));
    let follower = {
        let (opened, begin) = (opened.clone(), ends(bootstrap, &topics.changelog())?);
        Follower::start_raw(bootstrap, topics.changelog(), &begin, move |_, record, _| {
            if let ChangelogRecord::Channel(entry) = record {
                let opens =
                    entry.events.iter().filter(|it| matches!(it, ChannelEvent::SubscriptionOpened { .. }));
                opened.fetch_add(opens.count() as u64, Ordering::Relaxed);
            }
        })?
    };
    // Large batches: a million starts are to be at the broker in seconds.
    let options =
        [("partitioner", "murmur2_random"), ("linger.ms", "20"), ("batch.size", "1000000"), ("acks", "all")];
    let publisher = Publisher::new(bootstrap, &topics.events(), &options)?;
    let start = Instant::now();
    let sending = {
        let (publisher, orders) = (publisher.clone(), *from..from + count);
        tokio::spawn(async move {
            for order in orders {
                let id = id_of(order);
                let instance = InstanceId::new(&id).context("the generator's ids are short")?;
                let event_id = EventId { source: "/load-tests/listens".to_owned(), id };
                let input = json!({ "order": order });
                publisher.send(&start_event(event_id, &instance, &workflow, None, input)).await?;
            }
            anyhow::Ok(())
        })
    };
    let mut progress = Progress::new(None)?;
    let (mut seen, mut moved) = (0, start);
    while seen < *count {
        sleep(TICK).await;
        publisher.check()?;
        if follower.has_failed() {
            follower.stop()?;
            bail!("the changelog is not followed any more");
        }
        let now = opened.load(Ordering::Relaxed);
        if now != seen {
            (seen, moved) = (now, Instant::now());
        } else if moved.elapsed() >= STALL {
            break;
        }
        progress
            .update(&(), || format!("{:5.0} s   opened {seen} of {count}", start.elapsed().as_secs_f64()))?;
    }
    progress.end();
    let elapsed_s = start.elapsed().as_secs_f64();
    sending.await.context("the sender panicked")??;
    follower.stop()?;
    let report = Report { opened: seen, elapsed_s, opened_per_s: seen as f64 / elapsed_s };
    eprintln!("{seen} of {count} listens opened in {elapsed_s:.1} s, {:.0}/s", report.opened_per_s);
    report::write(&report, settings.json.as_deref())?;
    Ok(seen == *count)
}
