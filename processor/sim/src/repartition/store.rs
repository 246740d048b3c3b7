//! The snapshot store: registers that keep the write with the highest stamp, and a network that delivers writes when it likes.

use std::collections::BTreeMap;

use millrace_schemas::Stamp;
use millrace_schemas::partition::Checkpoint;

use super::broker::{Cause, Key};

/// A write on its way.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) index: usize,
    /// The incarnation that sent it: only this one may hear of the answer.
    pub(crate) generation: u32,
    pub(crate) stamp: Stamp,
    pub(crate) row: Row,
}

/// What is written.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    Snapshot { key: Key, state: Vec<Cause> },
    Checkpoint(Box<Checkpoint>),
}

/// The tables.
#[derive(Debug, Default)]
pub(crate) struct Store {
    snapshots: BTreeMap<Key, (Stamp, Vec<Cause>)>,
    checkpoints: BTreeMap<usize, (Stamp, Checkpoint)>,
    pub(crate) in_flight: Vec<Write>,
}

impl Store {
    /// The visible row of a key.
    pub(crate) fn snapshot(&self, key: Key) -> Option<(Stamp, &[Cause])> {
        self.snapshots.get(&key).map(|(stamp, state)| (*stamp, state.as_slice()))
    }

    /// The visible checkpoint of a partition.
    pub(crate) fn checkpoint(&self, index: usize) -> Option<&Checkpoint> {
        self.checkpoints.get(&index).map(|(_, row)| row)
    }

    /// The write arrives: the highest stamp wins (`USING TIMESTAMP`).
    pub(crate) fn apply(&mut self, write: &Write) {
        match &write.row {
            Row::Snapshot { key, state } => {
                if self.snapshots.get(key).is_none_or(|(stamp, _)| *stamp < write.stamp) {
                    self.snapshots.insert(*key, (write.stamp, state.clone()));
                }
            }
            Row::Checkpoint(row) => {
                if self.checkpoints.get(&write.index).is_none_or(|(stamp, _)| *stamp < write.stamp) {
                    self.checkpoints.insert(write.index, (write.stamp, (**row).clone()));
                }
            }
        }
    }
}
