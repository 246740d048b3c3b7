//! A model of the snapshot store: registers where the greatest write timestamp wins, behind a network that reorders.
//!
//! What may happen: a write arrives late, in any order, long after its writer has died or was told of a time-out; a write is lost and
//! its writer told of a time-out; an answer is lost. What may not: an acknowledged write is lost; a read misses what was
//! acknowledged before it (reads and writes at a quorum).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millrace_partition::{
    HistoryRow, Listing, SnapshotRow, SnapshotWrite, TimerEntry, TimerPage, TimerRow, TimerSlice,
};
use millrace_placement::TimerBucket;
use millrace_schemas::{InstanceId, Stamp};

/// One row on its way.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Snapshot(SnapshotWrite),
    Timer(TimerRow),
    History(HistoryRow),
    Checkpoint { partition: usize, stamp: Stamp, value: Bytes },
    Owner { partition: usize, stamp: Stamp, api_url: Option<String> },
}

/// Names a write to the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token(pub(crate) u64);

/// On the network.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) write: Write,
    /// Who waits for the answer; none when the sender was told of a time-out.
    pub(crate) token: Option<Token>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) snapshots: BTreeMap<InstanceId, SnapshotRow>,
    pub(crate) checkpoints: BTreeMap<usize, (Stamp, Bytes)>,
    pub(crate) owners: BTreeMap<usize, (Stamp, Option<String>)>,
    pub(crate) timers: BTreeSet<(TimerBucket, TimerEntry)>,
    /// Mutant: as they were when they were read the last time.
    pub(crate) timers_before: BTreeSet<(TimerBucket, TimerEntry)>,
    pub(crate) history: BTreeMap<(InstanceId, Stamp), Bytes>,
    pub(crate) listing: BTreeMap<InstanceId, (Stamp, Listing)>,
    pub(crate) network: Vec<InFlight>,
    /// Mutant: the last write to arrive wins, as with the servers' own clocks.
    pub(crate) ignores_snapshot_stamps: bool,
    /// Mutant: what shall expire some day is gone at once.
    pub(crate) expires_early: bool,
    /// Mutant: the same for checkpoints.
    pub(crate) ignores_checkpoint_stamps: bool,
}

impl Store {
    pub(crate) fn send(&mut self, write: Write, token: Option<Token>) {
        self.network.push(InFlight { write, token });
    }

    /// One of the writes on the network arrives. Gives back who waits for the answer.
    pub(crate) fn deliver(&mut self, choice: usize) -> Option<Token> {
        if self.network.is_empty() {
            return None;
        }
        let choice = choice % self.network.len();
        let InFlight { write, token } = self.network.swap_remove(choice);
        self.apply(write);
        token
    }

    pub(crate) fn apply(&mut self, write: Write) {
        match write {
            Write::Snapshot(write) => {
                if let Some(listing) = write.listing {
                    let old = self.listing.get(&write.instance).map(|it| it.0);
                    if self.ignores_snapshot_stamps || old.is_none_or(|it| it <= write.stamp) {
                        self.listing.insert(write.instance.clone(), (write.stamp, listing));
                    }
                }
                let old = self.snapshots.get(&write.instance).map(|it| it.stamp);
                if self.ignores_snapshot_stamps || old.is_none_or(|it| it <= write.stamp) {
                    let row = SnapshotRow { stamp: write.stamp, value: write.value };
                    match write.ttl {
                        Some(_) if self.expires_early => self.snapshots.remove(&write.instance),
                        _ => self.snapshots.insert(write.instance, row),
                    };
                }
            }
            Write::Timer(row) => {
                let entry = TimerEntry { due: row.due, instance: row.instance, timer: row.timer };
                self.timers.insert((row.bucket, entry));
            }
            Write::History(row) => {
                self.history.insert((row.instance, row.stamp), row.entry);
            }
            Write::Checkpoint { partition, stamp, value } => {
                let row = (stamp, value);
                // Between equal stamps a CQL server keeps the greater bytes.
                let wins = self.checkpoints.get(&partition).is_none_or(|old| *old <= row);
                if self.ignores_checkpoint_stamps || wins {
                    self.checkpoints.insert(partition, row);
                }
            }
            Write::Owner { partition, stamp, api_url } => {
                let row = (stamp, api_url);
                if self.owners.get(&partition).is_none_or(|old| old.0 <= row.0) {
                    self.owners.insert(partition, row);
                }
            }
        }
    }

    /// A page of the timer index.
    pub(crate) fn timers(&self, buckets: &BTreeSet<TimerBucket>, slice: &TimerSlice) -> TimerPage {
        let rows = self.timers.iter().filter(|it| buckets.contains(&it.0) && slice.contains(&it.1));
        let mut timers: Vec<TimerEntry> = rows.map(|it| it.1.clone()).collect();
        timers.sort_unstable();
        slice.page(timers, true)
    }
}
