//! Is the fleet as it should be?

use std::collections::BTreeSet;
use std::time::Duration;

use millrace_partition::{ERA_MAX, ERA_WARN};
use millrace_placement::{PartitionIndex, Topics};
use millrace_runtime::store::SnapshotStore;
use millrace_schemas::partition::Checkpoint;
use millrace_scylla_store::ScyllaStore;
use millrace_workflow::admission::admit;

use super::{Check, chain};
use crate::cli::topics::DIFFERENCES;
use crate::clients::{self, Kafka};
use crate::config::Global;
use crate::output::count;
use crate::reading;
use crate::requests::deployment;

/// More records than this behind, and somebody should look.
const LAG_RECORDS_MAX: i64 = 100_000;

/// A checkpoint older than this: nobody serves the partition, or the store is not written.
const CHECKPOINT_AGE_MAX: Duration = Duration::from_secs(120);

pub(super) async fn all(global: &Global, kafka: &Kafka, store: Option<&ScyllaStore>) -> Vec<Check> {
    let partitions = match kafka.partitions(&global.topics().internal()).await {
        Ok(partitions) => partitions,
        Err(error) => {
            return vec![Check::fail("topics", chain(&error), "create them: millrace topics apply")];
        }
    };
    let (definitions, queues) = definitions(global, kafka).await;
    let mut checks = topics(global, kafka, partitions, &queues).await;
    checks.push(definitions);
    checks.push(members(global, kafka).await);
    if let Some(store) = store {
        let checkpoints = checkpoints(global, store, partitions).await;
        match checkpoints {
            Ok(checkpoints) => {
                checks.push(progress(kafka, &global.topics(), &checkpoints).await);
                checks.extend(eras(&checkpoints));
            }
            Err(error) => checks.push(Check::fail(
                "progress",
                chain(&error),
                "if a checkpoint row cannot be read: ops/runbooks/changelog-lost.md",
            )),
        }
        checks.extend(owners(global, store, partitions).await);
    }
    checks
}

async fn topics(global: &Global, kafka: &Kafka, partitions: u32, queues: &[String]) -> Vec<Check> {
    let specs = match global.topics().specs(partitions, queues) {
        Ok(specs) => specs,
        Err(error) => {
            return vec![Check::fail(
                "topics",
                error.to_string(),
                "create the fleet's topics anew, under another --prefix",
            )];
        }
    };
    let views = match kafka.compare_topics(&specs).await {
        Ok(views) => views,
        Err(error) => return vec![Check::fail("topics", chain(&error), "see the brokers' logs")],
    };
    let mut checks = Vec::new();
    for view in &views {
        if view.state == "missing" {
            let fix = format!("millrace topics apply --partitions {partitions}");
            checks.push(Check::fail("topics", format!("{} is missing", view.topic), fix));
        } else if !view.differences.is_empty() {
            let message = format!("{}: {}", view.topic, view.differences.join("; "));
            checks.push(Check::warn("topics", message, DIFFERENCES));
        }
    }
    if checks.is_empty() {
        let message = format!("{}, {}", count(views.len(), "topic"), count(partitions as usize, "partition"));
        checks.push(Check::ok("topics", message));
    }
    checks
}

/// Whether they can be read and run, and the queues that they need.
async fn definitions(global: &Global, kafka: &Kafka) -> (Check, Vec<String>) {
    let read = async {
        let codec = clients::codec(global).await?;
        deployment::deployed(kafka, &global.topics(), &codec).await
    };
    let known = match read.await {
        Ok(known) => known,
        Err(error) => {
            return (Check::fail("definitions", chain(&error), "see the brokers' logs"), Vec::new());
        }
    };
    let (mut queues, mut wrong, mut usable) = (BTreeSet::new(), Vec::new(), 0);
    for (key, definition) in &known {
        match definition.as_ref().map(|it| admit(key, &it.text)) {
            Some(Ok(admitted)) => {
                usable += 1;
                queues.extend(admitted.program.queues().iter().map(ToString::to_string));
            }
            Some(Err(_)) | None => wrong.push(key.as_str()),
        }
    }
    let check = if wrong.is_empty() {
        Check::ok("definitions", format!("{} can be run", count(usable, "version")))
    } else {
        let fix = "deploy a mended version with `millrace deploy`; processors leave these out";
        Check::warn("definitions", format!("not usable: {}", wrong.join(", ")), fix)
    };
    (check, queues.into_iter().collect())
}

async fn members(global: &Global, kafka: &Kafka) -> Check {
    let group = global.topics().group();
    match kafka.group_members(&group).await {
        Ok(0) => Check::warn("group", format!("{group} has no members"), "start one: millrace processor"),
        Ok(members) => Check::ok("group", format!("{group} has {}", count(members, "member"))),
        Err(error) => Check::fail("group", chain(&error), "check that the user may describe groups"),
    }
}

async fn checkpoints(
    global: &Global,
    store: &ScyllaStore,
    partitions: u32,
) -> anyhow::Result<Vec<(u32, Option<Checkpoint>)>> {
    let codec = clients::codec(global).await?;
    let mut checkpoints = Vec::new();
    for partition in 0..partitions {
        checkpoints.push((partition, reading::checkpoint(store, &codec, PartitionIndex(partition)).await?));
    }
    Ok(checkpoints)
}

/// How far the inbox has been read, by the checkpoints: a few seconds old while all is well. Not topics of the users: they may be
/// gone, or named by no definition any more.
async fn progress(kafka: &Kafka, topics: &Topics, checkpoints: &[(u32, Option<Checkpoint>)]) -> Check {
    let own = [topics.internal(), topics.events()];
    let (mut lag, mut oldest) = (0, None);
    let mut without = 0;
    for (_, checkpoint) in checkpoints {
        let Some(checkpoint) = checkpoint else {
            without += 1;
            continue;
        };
        oldest = Some(oldest.map_or(checkpoint.at, |it: millrace_schemas::Timestamp| it.min(checkpoint.at)));
        for source in checkpoint.positions.sources.iter().filter(|it| own.contains(&it.topic)) {
            match kafka.end(&source.topic, source.partition).await {
                Ok(end) => lag += (end.0 - source.offset.0).max(0),
                Err(error) => return Check::fail("progress", chain(&error), "see the brokers' logs"),
            }
        }
    }
    let age = oldest.map(|it| Duration::from_millis(u64::try_from(clients::now().0 - it.0).unwrap_or(0)));
    let behind =
        format!("{} behind at the last checkpoints", count(usize::try_from(lag).unwrap_or(0), "record"));
    if lag > LAG_RECORDS_MAX {
        return Check::warn(
            "progress",
            behind,
            "add processors, or look at millrace_transaction_duration_seconds",
        );
    }
    match age {
        // Partitions where nothing has happened yet have none.
        None => Check::ok("progress", format!("no checkpoints yet ({} partitions)", checkpoints.len())),
        Some(age) if lag > 0 && age > CHECKPOINT_AGE_MAX => {
            let message = format!("{behind}, and the oldest checkpoint is {} s old", age.as_secs());
            Check::warn(
                "progress",
                message,
                "check that processors run, that they are ready, and that the store is written",
            )
        }
        Some(_) if without > 0 => {
            Check::ok("progress", format!("{behind}; {without} without a checkpoint yet"))
        }
        Some(_) => Check::ok("progress", behind),
    }
}

/// Only when they run out: a store may refuse the stamps of later ones.
fn eras(checkpoints: &[(u32, Option<Checkpoint>)]) -> Option<Check> {
    let newest = checkpoints.iter().filter_map(|(_, it)| Some(it.as_ref()?.era)).max()?;
    (newest >= ERA_WARN).then(|| {
        let fix =
            "find out why a changelog is lost so often; with a new --prefix and --keyspace eras begin anew";
        Check::warn("eras", format!("a partition is in era {newest} of {ERA_MAX}"), fix)
    })
}

/// Asks each processor that has told its address.
async fn owners(global: &Global, store: &ScyllaStore, partitions: u32) -> Vec<Check> {
    let mut urls = BTreeSet::new();
    for partition in 0..partitions {
        match store.load_owner(PartitionIndex(partition)).await {
            Ok(owner) => urls.extend(owner.and_then(|it| it.api_url)),
            Err(error) => {
                let fix = "create the tables: millrace topics apply; if they are there, see the server's log";
                return vec![Check::fail("processor", chain(&error.into()), fix)];
            }
        }
    }
    let mut checks = Vec::new();
    for url in urls {
        checks.push(match ready(global, &url).await {
            Ok(text) => Check::ok("processor", format!("{url} is {}", text.trim())),
            Err(error) => {
                let fix =
                    "normal for one that has stopped lately; otherwise see its log, and its --advertise";
                Check::warn("processor", format!("{url}: {}", chain(&error)), fix)
            }
        });
    }
    checks
}

pub(super) async fn ready(global: &Global, url: &str) -> anyhow::Result<String> {
    let client = clients::http(global, Duration::from_secs(3))?;
    let response = client.get(format!("{}/readyz", url.trim_end_matches('/'))).send().await?;
    let is_ready = response.status().is_success();
    let text = response.text().await?;
    if is_ready { Ok(text) } else { Err(anyhow::anyhow!("{}", text.trim().to_owned())) }
}
