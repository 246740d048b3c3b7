//! Plain consume.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;

use super::records::{Shape, Tally};
use crate::follow::{Start, assign};

/// What a reader is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Isolation {
    Committed,
    Uncommitted,
}

/// What was read of a topic.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) tally: Tally,
    /// Until the last record.
    pub(super) took: Duration,
}

/// Without any record for so long, there will be no more.
const STALL: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Reads from the beginning to the end. The end of a partition is only believed when `at_least` records have been seen: what was
/// committed last may show a moment later.
pub(super) fn read(
    bootstrap: &str,
    topic: &str,
    isolation: Isolation,
    at_least: u64,
    shape: &Shape,
) -> anyhow::Result<Reading> {
    let isolation = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "millrace-load-tests") // librdkafka wants one; nothing is ever committed to it
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create()
        .context("the reader cannot be made")?;
    let start: Start = (0..shape.partitions).map(|partition| (partition, 0)).collect();
    let mut is_at_end = vec![false; start.len()];
    let mut tally = Tally::new(shape);
    let begun = Instant::now();
    let mut last = begun;
    assign(&consumer, topic, &start)?;
    while tally.seen() < at_least || is_at_end.contains(&false) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                tally.see(message.partition(), message.payload().unwrap_or_default());
                if let Some(it) =
                    usize::try_from(message.partition()).ok().and_then(|it| is_at_end.get_mut(it))
                {
                    *it = false;
                }
                last = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some(it) = usize::try_from(partition).ok().and_then(|it| is_at_end.get_mut(it)) {
                    *it = true;
                }
            }
            Some(Err(error)) => return Err(error).with_context(|| format!("{topic} cannot be read")),
            None if last.elapsed() < STALL => {}
            // Too few: the tally says so.
            None if !is_at_end.contains(&false) => break,
            None => bail!("{topic}: no more records come, and no end of the partitions {is_at_end:?} either"),
        }
    }
    Ok(Reading { tally, took: last - begun })
}
