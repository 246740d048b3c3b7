//! Reads what was committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::event::ChangelogEntry;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Partitions and the offsets to read them from.
pub(crate) type Start = BTreeMap<i32, i64>;

/// A consumer without a group: it reads what it is told to, committed records only.
pub(crate) fn reader(bootstrap: &str) -> anyhow::Result<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "millrace-load-tests") // librdkafka wants one; nothing is ever committed to it
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error") // a reader that has lost its place must not skip what it was to check
        .set("fetch.wait.max.ms", "50")
        // Ten seconds by default: a test in which brokers die would look away for most of it.
        .set("reconnect.backoff.max.ms", "500")
        .create()
        .context("the consumer cannot be made")
}

/// Where every partition of `topic` ends now.
pub(crate) fn ends(bootstrap: &str, topic: &str) -> anyhow::Result<Start> {
    Ok(bounds(bootstrap, topic)?.into_iter().map(|(partition, (_, end))| (partition, end)).collect())
}

/// The oldest record that every partition of `topic` has now.
pub(crate) fn starts(bootstrap: &str, topic: &str) -> anyhow::Result<Start> {
    Ok(bounds(bootstrap, topic)?.into_iter().map(|(partition, (start, _))| (partition, start)).collect())
}

fn bounds(bootstrap: &str, topic: &str) -> anyhow::Result<BTreeMap<i32, (i64, i64)>> {
    let consumer = reader(bootstrap)?;
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .with_context(|| format!("Kafka at {bootstrap} does not answer"))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    ensure!(
        partitions > 0,
        "the topic {topic} does not exist: create the topics with `millrace topics apply`, or check --prefix"
    );
    (0..i32::try_from(partitions)?)
        .map(|partition| {
            let bounds = watermarks(&consumer, topic, partition)
                .with_context(|| format!("the bounds of {topic}-{partition} cannot be read"))?;
            Ok((partition, bounds))
        })
        .collect()
}

/// The bounds of one partition. A new topic has no leader yet on every broker: that passes.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> KafkaResult<(i64, i64)> {
    let begun = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, PATIENCE) {
            Ok(bounds) => return Ok(bounds),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

pub(crate) fn assign(consumer: &BaseConsumer, topic: &str, start: &Start) -> anyhow::Result<()> {
    assign_all(consumer, &[(topic.to_owned(), start.clone())])
}

/// Partitions of several topics.
pub(crate) fn assign_all(consumer: &BaseConsumer, starts: &[(String, Start)]) -> anyhow::Result<()> {
    let mut list = TopicPartitionList::new();
    for (topic, start) in starts {
        for (partition, offset) in start {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .context("an offset is not valid")?;
        }
    }
    consumer.assign(&list).context("partitions cannot be assigned")
}

/// Where a record is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// Follows the changelog in a thread of its own.
#[derive(Debug)]
pub(crate) struct Follower {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Follower {
    /// Gives `see` every committed entry from `start` on, with its instance and its place. Entries of one instance come in order.
    pub(crate) fn start(
        bootstrap: &str,
        topic: String,
        start: &Start,
        mut see: impl FnMut(&str, ChangelogEntry, Place) + Send + 'static,
    ) -> anyhow::Result<Self> {
        Self::start_raw(bootstrap, topic, start, move |key, record, place| {
            if let ChangelogRecord::Entry(entry) = record {
                see(key, entry, place);
            }
        })
    }

    /// The same with every committed record; those that are about no key in particular have none.
    pub(crate) fn start_raw(
        bootstrap: &str,
        topic: String,
        start: &Start,
        mut see: impl FnMut(&str, ChangelogRecord, Place) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let consumer = reader(bootstrap)?;
        assign(&consumer, &topic, start)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let follow = move || {
            let codec = Codec::single_object();
            while !stopped.load(Ordering::Relaxed) {
                let message = match consumer.poll(POLL) {
                    None => continue,
                    Some(Ok(message)) => message,
                    Some(Err(error)) => {
                        // The client finds its way back on its own; a test with a killed broker lives on.
                        eprintln!("changelog: {error}");
                        continue;
                    }
                };
                let place = || format!("{topic}-{} at {}", message.partition(), message.offset());
                let record =
                    codec.decode_changelog(message.payload().unwrap_or_default()).with_context(place)?;
                let is_keyed = matches!(record, ChangelogRecord::Entry(_) | ChangelogRecord::Channel(_));
                let key = match message.key() {
                    None if is_keyed => bail!("{} has no key", place()),
                    key => key.unwrap_or_default(),
                };
                let at = Place { partition: message.partition(), offset: message.offset() };
                see(std::str::from_utf8(key).with_context(place)?, record, at);
            }
            Ok(())
        };
        let thread = std::thread::Builder::new()
            .name("changelog".to_owned())
            .spawn(follow)
            .context("no thread to be had")?;
        Ok(Self { stop, thread })
    }

    /// Whether the thread has ended by itself: it has met something that it cannot read.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the thread.
    ///
    /// # Errors
    /// When it has met something that it cannot read.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the follower has no reason to panic")
    }
}
