//! The transaction coordinator.

use std::collections::{BTreeMap, BTreeSet};

use millrace_schemas::Offset;

use super::group::{Commit, CommitRefused};
use super::log::TransactionNumber;
use super::{Broker, Place, Record};

/// `transaction.timeout.ms` of every producer.
pub(crate) const TIMEOUT_MS: i64 = 10_000;

/// A producer's right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(u32);

/// A newer producer has this transactional id, or the broker has given the transaction up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fenced;

/// Where a marker is to be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MarkerPlace {
    Log(Place),
    /// The group's offsets.
    Offsets,
}

#[derive(Debug)]
pub(super) struct Marker {
    pub(super) transaction: TransactionNumber,
    pub(super) is_commit: bool,
    pub(super) at: MarkerPlace,
}

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    producers: BTreeMap<String, Producer>,
    next: u64,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    current: Option<Current>,
    /// Decided, with markers still to be written. The next transaction waits for them (CONCURRENT_TRANSACTIONS).
    completing: Option<Completing>,
}

#[derive(Debug)]
struct Current {
    number: TransactionNumber,
    began_at: i64,
    places: BTreeSet<MarkerPlace>,
}

#[derive(Debug)]
struct Completing {
    number: TransactionNumber,
    is_commit: bool,
    places: Vec<MarkerPlace>,
}

impl Producer {
    fn decide(&mut self, is_commit: bool) {
        if let Some(current) = self.current.take()
            && !current.places.is_empty()
        {
            let places = current.places.into_iter().collect();
            self.completing = Some(Completing { number: current.number, is_commit, places });
        }
    }
}

impl Transactions {
    pub(crate) fn has_markers(&self) -> bool {
        self.producers.values().any(|it| it.completing.is_some())
    }

    /// The one transaction in `choice`, and the one of its markers.
    pub(super) fn take_marker(&mut self, choice: usize) -> Option<Marker> {
        let mut completing: Vec<&mut Producer> =
            self.producers.values_mut().filter(|it| it.completing.is_some()).collect();
        if completing.is_empty() {
            return None;
        }
        let count = completing.len();
        let producer = &mut *completing[choice % count];
        let current = producer.completing.as_mut()?;
        let at = current.places.swap_remove((choice / count) % current.places.len());
        let marker = Marker { transaction: current.number, is_commit: current.is_commit, at };
        if current.places.is_empty() {
            producer.completing = None;
        }
        Some(marker)
    }

    /// `InitProducerId`. Fences earlier producers at once; None while their transaction is not ended in all places.
    pub(crate) fn init(&mut self, id: &str) -> Option<Epoch> {
        let producer = self.producers.entry(id.to_owned()).or_default();
        if producer.current.is_some() {
            producer.epoch += 1;
            producer.decide(false);
        }
        if producer.completing.is_some() {
            return None;
        }
        producer.epoch += 1;
        Some(Epoch(producer.epoch))
    }

    /// The broker's search for transactions that have taken too long.
    pub(crate) fn expire(&mut self, now: i64) -> bool {
        let mut found = false;
        for producer in self.producers.values_mut() {
            if producer.current.as_ref().is_some_and(|it| it.began_at + TIMEOUT_MS <= now) {
                producer.epoch += 1;
                producer.decide(false);
                found = true;
            }
        }
        found
    }

    /// Whether the producer may begin: none of its transactions is on its way to an end.
    pub(crate) fn is_ready(&self, id: &str) -> bool {
        self.producers.get(id).is_none_or(|it| it.completing.is_none())
    }

    fn touch(
        &mut self,
        id: &str,
        epoch: Epoch,
        at: i64,
        place: MarkerPlace,
    ) -> Result<TransactionNumber, Fenced> {
        let producer = self.producers.get_mut(id).ok_or(Fenced)?;
        if producer.epoch != epoch.0 {
            return Err(Fenced);
        }
        assert!(producer.completing.is_none(), "the client waits for the end of its last transaction");
        let next = &mut self.next;
        let current = producer.current.get_or_insert_with(|| {
            *next += 1;
            Current { number: TransactionNumber(*next), began_at: at, places: BTreeSet::new() }
        });
        current.places.insert(place);
        Ok(current.number)
    }

    /// `EndTxn`. Fails for a producer whose transaction was ended for it.
    pub(crate) fn end(&mut self, id: &str, epoch: Epoch, is_commit: bool) -> Result<(), Fenced> {
        let producer = self.producers.get_mut(id).ok_or(Fenced)?;
        if producer.epoch != epoch.0 {
            return Err(Fenced);
        }
        producer.decide(is_commit);
        Ok(())
    }
}

impl Broker {
    /// A record of a transaction.
    pub(crate) fn produce_in_transaction(
        &mut self,
        id: &str,
        epoch: Epoch,
        place: &Place,
        record: Record,
    ) -> Result<Offset, Fenced> {
        let at = record.at;
        let number = self.transactions.touch(id, epoch, at, MarkerPlace::Log(place.clone()))?;
        Ok(self.log(place).append(record, Some(number)))
    }

    /// `TxnOffsetCommit`, with the group metadata that fences it (F1).
    pub(crate) fn commit_offsets(
        &mut self,
        id: &str,
        epoch: Epoch,
        commit: &Commit,
        now: i64,
    ) -> Result<Result<(), CommitRefused>, Fenced> {
        if let Err(refused) = self.group.check(commit) {
            return Ok(Err(refused));
        }
        let number = self.transactions.touch(id, epoch, now, MarkerPlace::Offsets)?;
        self.group.pend(number, commit);
        Ok(Ok(()))
    }
}
