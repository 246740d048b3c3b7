//! Records as a run has left them, for the bare loop to move.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use millrace_schemas::cloud_event::EventRecord;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::follow::{Start, assign, ends, reader};

const PATIENCE: Duration = Duration::from_secs(20);

/// Up to `count` of the newest committed records of `topic`.
pub(super) fn newest(bootstrap: &str, topic: &str, count: usize) -> anyhow::Result<Vec<EventRecord>> {
    let ends = ends(bootstrap, topic)?;
    let share = i64::try_from(count / ends.len() + 1).unwrap_or(i64::MAX);
    let consumer = reader(bootstrap)?;
    let start: Start = ends.iter().map(|(partition, end)| (*partition, (end - share).max(0))).collect();
    assign(&consumer, topic, &start)?;
    let mut records = Vec::new();
    let begun = Instant::now();
    while records.len() < count && begun.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_millis(500)) {
            Some(Ok(message)) => records.push(to_record(&message)),
            Some(Err(error)) => return Err(error).with_context(|| format!("{topic} cannot be read")),
            // Transaction markers take offsets, too: there may be fewer records than offsets.
            None if is_at_end(&consumer, topic, &ends) => break,
            None => {}
        }
    }
    ensure!(
        !records.is_empty(),
        "{topic} is empty: run `mix load-tests/mixes/w1.toml` first, so that the bare loop can move the same records"
    );
    Ok(records)
}

fn is_at_end(consumer: &BaseConsumer, topic: &str, ends: &Start) -> bool {
    let Ok(positions) = consumer.position() else { return false };
    ends.iter().all(|(partition, end)| {
        let position = positions.find_partition(topic, *partition).and_then(|it| it.offset().to_raw());
        // No position: nothing has been read from it, as from an empty partition.
        position.is_none_or(|position| position < 0 || position >= *end)
    }) || positions.count() == 0
}

fn to_record(message: &BorrowedMessage<'_>) -> EventRecord {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|it| (it.key.to_owned(), Bytes::copy_from_slice(it.value.unwrap_or_default())))
            .collect()
    });
    EventRecord {
        key: message.key().map(Bytes::copy_from_slice),
        headers,
        value: message.payload().map(Bytes::copy_from_slice),
    }
}
