//! A model of Kafka, as far as the protocol leans on it: logs with control records and a last stable offset, transactions with
//! fencing, time-outs and markers that are written one by one after the decision, and a consumer group with generations and
//! pending offsets.
//!
//! What may happen: a marker is late; a transaction outlives its producer until the broker's search finds it; a request is executed
//! and its answer lost, or the request itself is lost (both decided by the world). What may not: a log loses or reorders what it
//! has taken.

pub(crate) mod group;
pub(crate) mod log;
pub(crate) mod transactions;

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_schemas::Offset;

use self::group::Group;
use self::log::{Log, TransactionNumber};
use self::transactions::Transactions;

/// A log of the model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Events(usize),
    Internal(usize),
    Changelog(usize),
    /// A partition of the users' topic.
    Topic(usize),
    /// Any other topic; it has one partition.
    Other(String),
}

/// A record as it stands in a log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: Vec<(String, Bytes)>,
    pub(crate) value: Option<Bytes>,
    /// Milliseconds of the world's clock.
    pub(crate) at: i64,
    /// The incarnation that wrote it, for the checkers alone.
    pub(crate) writer: Option<u64>,
}

/// All brokers together.
#[derive(Debug)]
pub(crate) struct Broker {
    logs: BTreeMap<Place, Log>,
    pub(crate) group: Group,
    pub(crate) transactions: Transactions,
}

impl Broker {
    pub(crate) fn new(partitions: usize) -> Self {
        Self { logs: BTreeMap::new(), group: Group::new(partitions), transactions: Transactions::default() }
    }

    pub(crate) fn log(&mut self, place: &Place) -> &mut Log {
        if !self.logs.contains_key(place) {
            self.logs.insert(place.clone(), Log::default());
        }
        self.logs.get_mut(place).expect("just made sure")
    }

    /// Whether no transaction is open anywhere: every log is stable to its end.
    pub(crate) fn is_stable(&self) -> bool {
        self.logs.values().all(|it| it.stable() == it.end())
    }

    /// A producer without transactions.
    pub(crate) fn produce(&mut self, place: &Place, record: Record) -> Offset {
        self.log(place).append(record, None)
    }

    /// Writes one marker of a decided transaction. False if there is none left to write.
    pub(crate) fn write_marker(&mut self, choice: usize) -> bool {
        let Some(marker) = self.transactions.take_marker(choice) else { return false };
        self.place_marker(&marker.transaction, marker.is_commit, marker.at);
        true
    }

    fn place_marker(
        &mut self,
        transaction: &TransactionNumber,
        is_commit: bool,
        at: transactions::MarkerPlace,
    ) {
        match at {
            transactions::MarkerPlace::Log(place) => self.log(&place).mark(*transaction, is_commit),
            transactions::MarkerPlace::Offsets => self.group.mark(*transaction, is_commit),
        }
    }
}
