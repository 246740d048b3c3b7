//! What was aborted must be marked as aborted before anything else of the same producer is committed.
//!
//! The end of a transaction is a marker in each of its partitions. Apache Kafka 4.x takes a partition that has no leader just then for one
//! that was deleted, and leaves its marker out ("Couldn't find leader endpoint for partitions …, these partitions are likely deleted
//! already", in the log of the transaction coordinator): seen with a broker that its own controller had fenced because the machine was
//! busy. Two things come of it. Whoever reads what is committed stands still in front of the records. And the marker
//! of the producer's *next* transaction there ends both: if that one is committed, so is what was aborted.
//!
//! So after an abort the producer asks for the last stable offset of each partition that the transaction had records in, and does
//! nothing else until that has passed them. Where it stands at the first of them, they are all that is in the way, and it writes the marker
//! by another transaction that is aborted, too.
//!
//! What is not mended: a marker that was left out after a *commit*. Until the next transaction, which commits it, whoever
//! reads stands still; if that one is aborted, so is what was committed before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use tracing::warn;

use crate::producer::TransactionalProducer;

/// How long it is waited for at a time; whoever has asked for a transaction waits so long, too.
const PATIENCE: Duration = Duration::from_secs(5);

/// Markers take milliseconds. One that has not come within this has been left out, or its broker is busy: another does no harm.
const LEFT_OUT_AFTER: Duration = Duration::from_secs(1);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Records of one transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// Where transactions have records, by topic and partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stretches(BTreeMap<String, BTreeMap<i32, Stretch>>);

impl Stretches {
    /// A record has arrived.
    pub(crate) fn add(&mut self, topic: &str, partition: i32, offset: i64) {
        // Most of the time both are there.
        if !self.0.contains_key(topic) {
            self.0.insert(topic.to_owned(), BTreeMap::new());
        }
        let partitions = self.0.get_mut(topic).expect("it is there by now");
        let stretch = partitions.entry(partition).or_insert(Stretch { first: offset, last: offset });
        stretch.first = stretch.first.min(offset);
        stretch.last = stretch.last.max(offset);
    }

    /// All of another transaction, too.
    pub(crate) fn extend(&mut self, other: Self) {
        for (topic, partitions) in other.0 {
            for (partition, Stretch { first, last }) in partitions {
                self.add(&topic, partition, first);
                self.add(&topic, partition, last);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn first(&self) -> Option<(String, i32, Stretch)> {
        let (topic, partitions) = self.0.first_key_value()?;
        let (partition, stretch) = partitions.first_key_value()?;
        Some((topic.clone(), *partition, *stretch))
    }

    fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.0.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.0.remove(topic);
            }
        }
    }
}

/// What the last stable offset says of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It has ended.
    Marked,
    /// It is what is in the way.
    InTheWay,
    /// Something before it is: another's transaction that is open, or an earlier one that has no marker either.
    BehindOther,
}

fn seen(stretch: Stretch, stable: i64) -> Seen {
    match stable {
        _ if stable > stretch.last => Seen::Marked,
        _ if stable >= stretch.first => Seen::InTheWay,
        _ => Seen::BehindOther,
    }
}

/// Why a transaction that was aborted is not known to have ended everywhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(
        "an aborted transaction has no marker at offset {first} of {topic}/{partition}, where offset {stable} is the last stable one: if that \
         stays, let `kafka-transactions.sh find-hanging` show what is open there, and end it with `kafka-transactions.sh abort`"
    )]
    Unmarked { topic: String, partition: i32, first: i64, stable: i64 },
    #[error("could not ask for the last stable offset of {topic}/{partition}")]
    Unknown { topic: String, partition: i32, source: KafkaError },
    /// The producer is of no more use.
    #[error("could not write the marker of an aborted transaction to {topic}/{partition}")]
    Producer { topic: String, partition: i32, source: KafkaError },
}

/// Waits until all `stretches` are marked, and takes those out that are. Nothing of `producer` may be open.
pub(crate) fn await_markers(
    producer: &TransactionalProducer,
    stretches: &mut Stretches,
) -> Result<(), Trouble> {
    let deadline = Instant::now() + PATIENCE;
    let mut write_at = Instant::now() + LEFT_OUT_AFTER;
    while let Some((topic, partition, stretch)) = stretches.first() {
        let stable = producer.last_stable_offset(&topic, partition);
        let now = Instant::now();
        match stable.as_ref().map(|it| seen(stretch, *it)) {
            Ok(Seen::Marked) => {
                stretches.remove(&topic, partition);
                continue;
            }
            Ok(Seen::InTheWay) if now >= write_at => {
                warn!(
                    topic,
                    partition,
                    offset = stretch.first,
                    "an aborted transaction has no marker; writing it anew"
                );
                if let Err(source) = producer.abort_again(&topic, partition) {
                    return Err(Trouble::Producer { topic, partition, source });
                }
                write_at = Instant::now() + LEFT_OUT_AFTER;
            }
            // Deleted, with all that was in it.
            Err(_) if producer.knows_to_be_gone(&topic, partition) => {
                stretches.remove(&topic, partition);
                continue;
            }
            Ok(Seen::InTheWay | Seen::BehindOther) | Err(_) => {}
        }
        if now >= deadline {
            return Err(match stable {
                Ok(stable) => Trouble::Unmarked { topic, partition, first: stretch.first, stable },
                Err(source) => Trouble::Unknown { topic, partition, source },
            });
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_has_ended_when_what_is_stable_has_passed_it() {
        let stretch = Stretch { first: 5, last: 7 };
        let all: Vec<Seen> = [4, 5, 7, 8, 9].into_iter().map(|it| seen(stretch, it)).collect();
        assert_eq!(all, [Seen::BehindOther, Seen::InTheWay, Seen::InTheWay, Seen::Marked, Seen::Marked]);
    }

    #[test]
    fn stretches_grow_by_what_arrives_and_are_taken_out_one_by_one() {
        let mut all = Stretches::default();
        for (topic, partition, offset) in [("a", 1, 7), ("b", 0, 3), ("a", 1, 9), ("a", 1, 8), ("a", 0, 2)] {
            all.add(topic, partition, offset);
        }
        let mut later = Stretches::default();
        later.add("a", 0, 6);
        all.extend(later);
        let mut taken = Vec::new();
        while let Some((topic, partition, Stretch { first, last })) = all.first() {
            all.remove(&topic, partition);
            taken.push((topic, partition, first, last));
        }
        assert_eq!(taken, [("a".into(), 0, 2, 6), ("a".into(), 1, 7, 9), ("b".into(), 0, 3, 3)]);
        assert!(all.is_empty());
    }
}
