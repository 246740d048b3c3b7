//! The broker: logs with transactions. What is aborted, and the control record at the end of each transaction, take up offsets.

use std::fmt;

use millrace_placement::PartitionIndex;
use millrace_schemas::Offset;
use millrace_schemas::handover::{Adopted, Installed, Plan, Released};
use millrace_schemas::internal::InternalRecord;
use millrace_schemas::partition::{Claim, Positions};

/// Which of the world's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u8);

/// A record of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) key: Key,
    pub(crate) cause: Cause,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} of key {}", self.cause.producer, self.cause.number, self.key.0)
    }
}

/// Who wrote it, and the how-many-eth of that producer and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) producer: u8,
    pub(crate) number: u8,
}

/// A record of the changelog.
#[derive(Clone, Debug)]
pub(crate) enum LogRecord {
    /// Stands for a `ChangelogEntry`: the key has applied this.
    Entry(Event),
    Positions(Positions),
    Claim(Claim),
    Adopted(Adopted),
    Released(Released),
    Installed(Installed),
}

#[derive(Clone, Debug)]
enum Slot<R> {
    Record(R),
    /// An aborted record, or the control record that ends a transaction.
    Invisible,
}

/// One partition of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Log<R> {
    slots: Vec<Slot<R>>,
}

impl<R> Log<R> {
    fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// The high watermark.
    pub(crate) fn end(&self) -> Offset {
        Offset(i64::try_from(self.slots.len()).expect("logs are short"))
    }

    pub(crate) fn append(&mut self, record: R) -> Offset {
        self.slots.push(Slot::Record(record));
        Offset(self.end().0 - 1)
    }

    fn append_invisible(&mut self) {
        self.slots.push(Slot::Invisible);
    }

    /// The slot at `at`: none at the end, `Some(None)` for one that a reader only passes over.
    pub(crate) fn get(&self, at: Offset) -> Option<Option<&R>> {
        let slot = self.slots.get(usize::try_from(at.0).expect("offsets count from 0"))?;
        Some(match slot {
            Slot::Record(record) => Some(record),
            Slot::Invisible => None,
        })
    }

    /// The records from `from` on, with their offsets.
    pub(crate) fn from(&self, from: Offset) -> impl Iterator<Item = (Offset, &R)> {
        (from.0..self.end().0).filter_map(|at| Some((Offset(at), self.get(Offset(at))??)))
    }
}

/// What leaves whole or not at all.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) index: usize,
    pub(crate) generation: u32,
    pub(crate) changelog: Vec<LogRecord>,
    pub(crate) internal: Vec<(PartitionIndex, InternalRecord)>,
    /// Next offset to read of `.internal`; the commit of it is the fence.
    pub(crate) internal_offset: Offset,
}

/// A newer owner exists.
#[derive(Debug)]
pub(crate) struct Fenced;

/// Topics and the consumer group.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) events: Vec<Log<Event>>,
    pub(crate) internal: Vec<Log<InternalRecord>>,
    pub(crate) changelog: Vec<Log<LogRecord>>,
    /// `.control`, compacted: there is one plan.
    pub(crate) plan: Option<Plan>,
    /// Committed offsets of `.internal`.
    pub(crate) committed: Vec<Offset>,
    generations: Vec<u32>,
}

impl Broker {
    pub(crate) fn new() -> Self {
        let mut broker = Self {
            events: vec![Log::new()],
            internal: Vec::new(),
            changelog: Vec::new(),
            plan: None,
            committed: Vec::new(),
            generations: Vec::new(),
        };
        broker.add_index();
        broker
    }

    /// One partition more of the topics that nobody else writes.
    pub(crate) fn add_index(&mut self) {
        self.internal.push(Log::new());
        self.changelog.push(Log::new());
        self.committed.push(Offset(0));
        self.generations.push(0);
    }

    /// One partition more of the inbox.
    pub(crate) fn add_events_partition(&mut self) {
        self.events.push(Log::new());
    }

    /// A new owner of `index`; older ones are fenced from now on.
    pub(crate) fn next_generation(&mut self, index: usize) -> u32 {
        self.generations[index] += 1;
        self.generations[index]
    }

    /// Commits. The offsets are those of the changelog records.
    pub(crate) fn commit(&mut self, transaction: Transaction) -> Result<Vec<Offset>, Fenced> {
        let index = transaction.index;
        if self.generations[index] != transaction.generation {
            return Err(Fenced);
        }
        self.committed[index] = transaction.internal_offset;
        let log = &mut self.changelog[index];
        let offsets = transaction.changelog.into_iter().map(|record| log.append(record)).collect::<Vec<_>>();
        if !offsets.is_empty() {
            log.append_invisible();
        }
        let mut touched = vec![false; self.internal.len()];
        for (to, record) in transaction.internal {
            self.internal[to.0 as usize].append(record);
            touched[to.0 as usize] = true;
        }
        for (log, _) in self.internal.iter_mut().zip(touched).filter(|(_, is_touched)| *is_touched) {
            log.append_invisible();
        }
        Ok(offsets)
    }

    /// Aborts: the records stand in the logs, and nobody sees them.
    pub(crate) fn abort(&mut self, transaction: &Transaction) {
        let log = &mut self.changelog[transaction.index];
        (0..=transaction.changelog.len()).for_each(|_| log.append_invisible());
        for (to, _) in &transaction.internal {
            self.internal[to.0 as usize].append_invisible();
        }
    }
}
