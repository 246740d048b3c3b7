//! One partition's log.

use std::collections::{BTreeMap, BTreeSet};

use millrace_schemas::Offset;

use super::Record;

/// Numbers the transactions of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TransactionNumber(pub(crate) u64);

#[derive(Debug)]
enum Entry {
    Record(Record, Option<TransactionNumber>),
    /// A control record: the transaction ends here.
    Marker,
}

/// An append-only log with transactions.
#[derive(Debug, Default)]
pub(crate) struct Log {
    start: usize,
    entries: Vec<Entry>,
    /// First offset of each transaction without a marker.
    open: BTreeMap<TransactionNumber, usize>,
    aborted: BTreeSet<TransactionNumber>,
}

impl Log {
    pub(crate) fn append(&mut self, record: Record, transaction: Option<TransactionNumber>) -> Offset {
        let offset = self.entries.len();
        if let Some(transaction) = transaction {
            self.open.entry(transaction).or_insert(offset);
        }
        self.entries.push(Entry::Record(record, transaction));
        offset_of(offset)
    }

    pub(super) fn mark(&mut self, transaction: TransactionNumber, is_commit: bool) {
        self.open.remove(&transaction);
        if !is_commit {
            self.aborted.insert(transaction);
        }
        self.entries.push(Entry::Marker);
    }

    pub(crate) fn start(&self) -> Offset {
        offset_of(self.start)
    }

    /// One past the last record: the high watermark, since the model's replicas are never behind.
    pub(crate) fn end(&self) -> Offset {
        offset_of(self.entries.len())
    }

    /// The last stable offset.
    pub(crate) fn stable(&self) -> Offset {
        self.open.values().min().map_or_else(|| self.end(), |it| offset_of(*it))
    }

    /// `DeleteRecords`.
    pub(crate) fn trim(&mut self, before: Offset) {
        let before = usize::try_from(before.0).expect("an offset is not negative").min(self.entries.len());
        self.start = self.start.max(before);
    }

    /// A `read_committed` fetch: at most `max` records below the last stable offset, and the next position. Control records and
    /// aborted ones are passed over. None if `from` is not in the log any more.
    pub(crate) fn fetch(&self, from: Offset, max: usize) -> Option<(Vec<(Offset, &Record)>, Offset)> {
        (from >= self.start()).then(|| self.committed(from, max))
    }

    /// A `read_uncommitted` fetch: whatever became, or will become, of the records.
    pub(crate) fn uncommitted(&self, from: Offset) -> (Vec<(Offset, &Record)>, Offset) {
        let from = usize::try_from(from.0).expect("an offset is not negative");
        let mut records = Vec::new();
        for (index, entry) in self.entries.iter().enumerate().skip(from) {
            if let Entry::Record(record, _) = entry {
                records.push((offset_of(index), record));
            }
        }
        (records, self.end())
    }

    /// The same as a `read_committed` fetch, for the checkers: what was trimmed is there still.
    pub(crate) fn committed(&self, from: Offset, max: usize) -> (Vec<(Offset, &Record)>, Offset) {
        let mut position = usize::try_from(from.0).expect("an offset is not negative");
        let stable = usize::try_from(self.stable().0).expect("an offset is not negative");
        let mut records = Vec::new();
        while position < stable && records.len() < max {
            if let Entry::Record(record, transaction) = &self.entries[position]
                && transaction.is_none_or(|it| !self.aborted.contains(&it))
            {
                records.push((offset_of(position), record));
            }
            position += 1;
        }
        (records, offset_of(position))
    }
}

fn offset_of(index: usize) -> Offset {
    Offset(i64::try_from(index).expect("a run is short"))
}
