//! What was aborted must be marked as aborted before the same producer commits anything else.
//!
//! The end of a transaction is a marker in each of its partitions. Apache Kafka 4.x takes a partition that has no leader just then for one
//! that was deleted, and leaves its marker out ("Couldn't find leader endpoint for partitions …, these partitions are likely deleted
//! already", in the log of the transaction coordinator): seen with a broker that its own controller had fenced because the machine was
//! busy. Two things come of it. Whoever reads what is committed stands still in front of the records. And the marker
//! of the producer's *next* transaction there ends both: if that one is committed, so is what was aborted.
//!
//! So after an abort the producer asks for the last stable offset of each partition that the transaction had records in. Where that has
//! not passed them soon, it writes one more record, and aborts that, too: the marker ends all that is open there of this producer.
//! It does not matter then why none was to be seen: others' transactions may be in the way, or the broker slow.
//!
//! What is not mended: a marker that is left out after a *commit*, or that of the second abort, or of offsets; and an abort by the coordinator
//! or by a producer that is made anew after the outcome was not known.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;
use tracing::warn;

use crate::producer::TransactionalProducer;

/// Markers take milliseconds.
const LEFT_OUT_AFTER: Duration = Duration::from_millis(250);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Where transactions have records: by topic and partition, the offset of the last one. None if there may be some whose offsets are not known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(BTreeMap<String, BTreeMap<i32, Option<i64>>>);

impl Written {
    /// A record has arrived, or may have.
    pub(crate) fn add(&mut self, topic: &str, partition: i32, offset: Option<i64>) {
        // Most of the time it is there.
        if !self.0.contains_key(topic) {
            self.0.insert(topic.to_owned(), BTreeMap::new());
        }
        let last = self.0.get_mut(topic).expect("it is there by now").entry(partition).or_insert(offset);
        *last = (*last).zip(offset).map(|(one, other)| one.max(other));
    }

    /// All of another transaction, too.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (topic, partition, last) in other.iter() {
            self.add(topic, partition, last);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i32, Option<i64>)> {
        self.0
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(|(it, last)| (&**topic, *it, *last)))
    }

    /// Keeps what `wanted` wants.
    fn retain(&mut self, mut wanted: impl FnMut(&str, i32, Option<i64>) -> bool) {
        self.0.retain(|topic, partitions| {
            partitions.retain(|partition, last| wanted(topic, *partition, *last));
            !partitions.is_empty()
        });
    }
}

/// Sees to it that all that was aborted is marked. Nothing of `producer` may be open; after an error it is of no more use.
pub(crate) fn mark(producer: &TransactionalProducer, aborted: &Written) -> KafkaResult<()> {
    let mut left = aborted.clone();
    let begun = Instant::now();
    while !left.is_empty() && begun.elapsed() < LEFT_OUT_AFTER {
        left.retain(|topic, partition, last| {
            // A broker that does not answer is asked once.
            let Some(last) = last.filter(|_| begun.elapsed() < LEFT_OUT_AFTER) else { return true };
            producer.last_stable_offset(topic, partition).map_or(true, |stable| stable <= last)
        });
        std::thread::sleep(PAUSE);
    }
    // A topic that was deleted since needs none. One without a leader is there.
    if !left.is_empty()
        && let Ok(there) = producer.partitions()
    {
        left.retain(|topic, partition, _| there.contains(&(topic.to_owned(), partition)));
    }
    if left.is_empty() {
        return Ok(());
    }
    warn!(partitions = ?left, "no marker is seen of an aborted transaction; aborting once more");
    producer.abort_again(&left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_is_known_if_that_of_every_record_is() {
        let mut all = Written::default();
        assert!(all.is_empty());
        for (topic, partition, offset) in [
            ("a", 1, Some(7)),
            ("b", 0, Some(3)),
            ("a", 1, Some(9)),
            ("a", 1, Some(8)),
            ("a", 0, None),
            ("a", 0, Some(2)),
        ] {
            all.add(topic, partition, offset);
        }
        let mut later = Written::default();
        later.add("b", 0, Some(2));
        later.add("c", 5, None);
        all.extend(&later);
        let of = |all: &Written| -> Vec<(String, i32, Option<i64>)> {
            all.iter().map(|(topic, partition, last)| (topic.to_owned(), partition, last)).collect()
        };
        let expected = [("a", 0, None), ("a", 1, Some(9)), ("b", 0, Some(3)), ("c", 5, None)]
            .map(|(topic, it, last)| (topic.to_owned(), it, last));
        assert_eq!(of(&all), expected);
        all.retain(|topic, _, _| topic != "a");
        assert_eq!(of(&all), expected[2..]);
    }
}
