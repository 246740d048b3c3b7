//! How transactions begin and end: the one place where the coordinator, the logs and the groups change together.
//!
//! A transaction ends in three steps: it is decided, which is one entry of the journal; its markers are written; its offsets
//! are committed or dropped, which with the end of it is one frame of the journal. After a crash between them the rest is done
//! at the next start: a marker is written where the transaction is still open, so none is written twice.

use std::io;

use kafka_protocol::ResponseError;
use tracing::{error, info};

use crate::group::{self, ProducerId};
use crate::journal::Entry;
use crate::log::Outcome;
use crate::transactions::{Change, Ending, Initialised};

use super::{Broker, Control};

impl Broker {
    /// Writes a change down and makes it true.
    pub(crate) fn change_transactions(&self, control: &mut Control, changes: Vec<Change>) -> io::Result<()> {
        let entries: Vec<Entry> = changes.iter().cloned().map(Entry::Transaction).collect();
        control.journal.append(&entries)?;
        for change in &changes {
            control.transactions.apply(change, self.now());
        }
        self.deadline_moved.notify_one();
        Ok(())
    }

    /// Ends the transaction of the producer before, then takes the new one in.
    pub(crate) fn take_in(&self, control: &mut Control, initialised: Initialised) -> io::Result<()> {
        if let Some((decision, ending)) = initialised.ending {
            self.end_transaction(control, decision, &ending)?;
        }
        self.change_transactions(control, initialised.changes)
    }

    /// Ends a transaction as decided.
    pub(crate) fn end_transaction(
        &self,
        control: &mut Control,
        decision: Change,
        ending: &Ending,
    ) -> io::Result<()> {
        self.change_transactions(control, vec![decision])?;
        self.finish(control, ending)
    }

    /// What was decided and not written, because of a crash or a full disk.
    pub(super) fn finish_unfinished(&self, control: &mut Control) {
        for ending in control.transactions.unfinished() {
            match self.finish(control, &ending) {
                Ok(()) => {
                    info!(id = ending.id, commit = ending.commit, "finished a transaction that was decided")
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    error!(id = ending.id, error, "could not finish a transaction; it is tried again");
                }
            }
        }
    }

    /// Transactions that took longer than their producers said.
    pub(super) fn abort_overdue(&self, control: &mut Control) {
        for (decision, ending) in control.transactions.overdue(self.now()) {
            info!(id = ending.id, "abort a transaction that took longer than its timeout");
            if let Err(error) = self.end_transaction(control, decision, &ending) {
                error!(
                    id = ending.id,
                    error = &error as &dyn std::error::Error,
                    "could not abort a transaction"
                );
            }
        }
    }

    pub(super) fn forget_unused(&self, control: &mut Control, now_ms: i64) {
        let unused = control.transactions.unused(now_ms);
        if !unused.is_empty()
            && let Err(error) = self.change_transactions(control, unused)
        {
            error!(error = &error as &dyn std::error::Error, "could not forget unused transactional ids");
        }
    }

    fn finish(&self, control: &mut Control, ending: &Ending) -> io::Result<()> {
        let outcome = if ending.commit { Outcome::Commit } else { Outcome::Abort };
        let producer = ending.producer;
        for (topic, index) in &ending.partitions {
            // A topic that was deleted meanwhile has taken its part of the transaction along.
            if let Some(partition) = self.topics.partition(topic, *index) {
                partition
                    .end_transaction(producer.id, producer.epoch, outcome, self.now_ms())
                    .map_err(io::Error::other)?;
            }
        }
        // Written in any case: after a failed write nothing is pending in memory any more, and still is in the journal.
        let producer_id = ProducerId(producer.id);
        control.groups.end_transaction(producer_id, ending.commit);
        let offsets = group::Change::TransactionEnded { producer: producer_id, committed: ending.commit };
        let ended = Change::Ended { id: ending.id.clone() };
        control.journal.append(&[Entry::Group(offsets), Entry::Transaction(ended.clone())])?;
        control.transactions.apply(&ended, self.now());
        Ok(())
    }
}

/// What a client hears when the journal or a log could not be written.
pub(crate) fn storage_error(error: &io::Error) -> ResponseError {
    error!(error = error as &dyn std::error::Error, "could not write");
    ResponseError::KafkaStorageError
}
