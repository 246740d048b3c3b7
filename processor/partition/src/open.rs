//! What has been decided and is not committed yet: the partition's share of the lane's transaction. It grows by a batch at a time until
//! the lane seals it, and later batches are decided on top of it; so all of it becomes true together, or none of it, and then its records
//! are handled again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use millrace_engine::Entity;
use millrace_schemas::{InstanceId, Offset, Timestamp};

use crate::batch::{Batch, Request};
use crate::input::{InboundRecord, Source};
use crate::output::Observation;
use crate::timer_index::TimerEntry;
use crate::transaction::TransactionId;

/// At most one exists at a time; whatever it has done is undone by dropping it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: TransactionId,
    /// Of all its batches, as they came; they go back to the inbox if the transaction is aborted.
    pub(crate) records: Vec<InboundRecord>,
    /// What each of them asks for.
    pub(crate) requests: Vec<Request>,
    /// Timers that were due for it. Those that are pending no more, by what it has decided, it does not propose; but should it be aborted, they are.
    pub(crate) due: Vec<TimerEntry>,
    /// It proposes versions that schedules shall follow.
    pub(crate) proposes_definitions: bool,
    /// Positions of topics that it sets, whatever they were.
    pub(crate) found: BTreeMap<Source, Offset>,
    /// When the records of its last batch were taken from the inbox.
    pub(crate) started_at: Timestamp,
    pub(crate) work: Committing,
    /// The lane commits it: nothing is added any more.
    pub(crate) is_sealed: bool,
}

impl Open {
    pub(crate) fn begin(
        id: TransactionId,
        positions: BTreeMap<Source, Offset>,
        started_at: Timestamp,
    ) -> Self {
        Self {
            id,
            records: Vec::new(),
            requests: Vec::new(),
            due: Vec::new(),
            proposes_definitions: false,
            found: BTreeMap::new(),
            started_at,
            work: Committing { positions, ..Committing::default() },
            is_sealed: false,
        }
    }

    /// A batch that has been decided is part of it from now on.
    pub(crate) fn add(&mut self, batch: Batch) {
        let Batch { records, requests, due, definitions, found, missing: _, started_at } = batch;
        self.records.extend(records);
        self.requests.extend(requests);
        self.due.extend(due);
        self.proposes_definitions |= !definitions.is_empty();
        self.found.extend(found);
        self.started_at = started_at;
    }

    /// Records and proposals.
    pub(crate) fn len(&self) -> usize {
        self.records.len() + self.due.len()
    }
}

/// An entry of the changelog, on its way.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) instance: InstanceId,
    /// As it is written.
    pub(crate) value: Bytes,
    /// How long it stays in the history, if it goes there.
    pub(crate) history: Option<Option<Duration>>,
}

/// What becomes true with the commit.
#[derive(Debug, Default)]
pub(crate) struct Committing {
    /// The new states.
    pub(crate) entities: BTreeMap<InstanceId, Entity>,
    /// For each changelog record: what it holds, if it is an entry.
    pub(crate) changelog: Vec<Option<Entry>>,
    pub(crate) positions: BTreeMap<Source, Offset>,
    pub(crate) observations: Vec<Observation>,
    /// Instances that are set aside and were asked for by a timer.
    pub(crate) wakes: BTreeSet<InstanceId>,
    /// It is the claim, not a batch of records.
    pub(crate) is_claim: bool,
    /// Records about a key of this partition.
    pub(crate) lookups: u64,
    /// Keys that were not in memory when they were asked for, since the last decision.
    pub(crate) misses: u64,
}
