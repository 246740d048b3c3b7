//! Which partition a record of a transaction goes to, where its sender does not say.
//!
//! Each partition that a transaction writes to has its price at the broker: an append of its own, a marker, a wake-up of whoever reads
//! it. Most records belong where their key says. Commands do not: whoever is free takes them, their order means nothing, and what a
//! worker answers goes by the instance's key again. So those of a transaction go to few partitions of their queue, and those of the next to
//! others, as Kafka's own producer does with records that have no key
//! ([KIP-480](https://cwiki.apache.org/confluence/display/KAFKA/KIP-480%3A+Sticky+Partitioner)).

use std::sync::atomic::{AtomicU32, Ordering};

use millrace_placement::{Topics, keyed_partition};
use rdkafka::producer::Partitioner;

/// Commands of one transaction that go to one partition; more of them go to the next one, too, so a large batch does not become the
/// work of one worker.
const COMMANDS_PER_PARTITION: u32 = 16;

/// Of one producer.
#[derive(Debug)]
pub(crate) struct Spread {
    /// How the names of queues begin.
    queues: String,
    /// The partition that is next, of as many as there are.
    next: AtomicU32,
    /// Commands that are there in this transaction.
    commands: AtomicU32,
}

impl Spread {
    /// `first` tells producers apart, so that not all begin with the same partition.
    pub(crate) fn new(topics: &Topics, first: u32) -> Self {
        Self { queues: topics.commands(""), next: AtomicU32::new(first), commands: AtomicU32::new(0) }
    }

    /// Another transaction begins. The next partition has its turn if this one had commands: counted by all transactions, those of one instance
    /// after the other would come back to the same partition, were they as many as there are partitions, or half as many.
    pub(crate) fn turn(&self) {
        if self.commands.swap(0, Ordering::Relaxed) > 0 {
            self.next.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Partitioner for Spread {
    fn partition(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        partitions: i32,
        _is_available: impl Fn(i32) -> bool,
    ) -> i32 {
        let partitions = partitions.unsigned_abs().max(1);
        let partition = match key {
            Some(key) if !topic.starts_with(&self.queues) => keyed_partition(key, partitions),
            // Without a key, librdkafka's own sticky partitioner comes before this one.
            Some(_) | None => {
                let full = self.commands.fetch_add(1, Ordering::Relaxed) / COMMANDS_PER_PARTITION;
                self.next.load(Ordering::Relaxed).wrapping_add(full) % partitions
            }
        };
        i32::try_from(partition).expect("less than the number of partitions")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn commands_of_a_transaction_share_a_partition_and_everything_else_follows_its_key() {
        let topics = Topics::new("fleet");
        let spread = Spread::new(&topics, u32::MAX - 2);
        let to = |topic: &str, key: &str| spread.partition(topic, Some(key.as_bytes()), 8, |_| true);
        let (queue, events) = (topics.commands("orders"), topics.events());
        let mut seen = BTreeSet::new();
        for _ in 0..8 {
            spread.turn();
            let partitions: BTreeSet<i32> = (0..16).map(|n| to(&queue, &format!("order-{n}"))).collect();
            assert_eq!(partitions.len(), 1);
            seen.extend(partitions);
        }
        assert_eq!(seen.len(), 8, "each has its turn");
        spread.turn();
        let partitions: BTreeSet<i32> = (0..400).map(|n| to(&queue, &format!("order-{n}"))).collect();
        assert_eq!(partitions.len(), 8, "many are for many");
        // Every other transaction has commands.
        let seen: BTreeSet<i32> = (0..8)
            .map(|n| {
                spread.turn();
                spread.turn();
                to(&queue, &format!("order-{n}"))
            })
            .collect();
        assert_eq!(seen.len(), 8, "each has its turn, however seldom there are commands");
        // As Kafka's command line tools put them.
        assert_eq!(["a", "order-1", "order-2", "日本"].map(|key| to(&events, key)), [4, 6, 3, 3]);
    }
}
