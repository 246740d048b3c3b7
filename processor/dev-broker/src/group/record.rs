//! The durable part of a group. Only a [`Change`] alters it, live as in a replay.

use std::collections::BTreeMap;

use super::change::{Change, CommittedOffset};
use super::names::{GroupId, ProducerId, TopicPartition};

#[derive(Debug, Default)]
pub(super) struct Record {
    /// Zero before the first. Never goes back.
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    /// `None` while there are members.
    pub(super) empty_since_ms: Option<u64>,
    pub(super) offsets: BTreeMap<TopicPartition, Kept>,
    /// By transaction. No inner map is empty.
    pub(super) pending: BTreeMap<ProducerId, BTreeMap<TopicPartition, Kept>>,
    /// Counts commits, pending ones included.
    commits: u64,
}

/// An offset, and its place among all commits of the group: a transaction that ends late must not undo what was committed after
/// it had told its offsets.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) offset: CommittedOffset,
    place: u64,
}

impl Record {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::GenerationStarted { group: _, generation, protocol_type } => {
                self.generation = *generation;
                self.protocol_type = Some(protocol_type.clone());
                self.empty_since_ms = None;
            }
            Change::GroupEmptied { group: _, generation, at_ms } => {
                self.generation = *generation;
                self.empty_since_ms = Some(*at_ms);
            }
            Change::OffsetCommitted { group: _, partition, offset } => {
                let kept = self.keep(offset);
                self.offsets.insert(partition.clone(), kept);
            }
            Change::OffsetPending { group: _, producer, partition, offset } => {
                let kept = self.keep(offset);
                self.pending.entry(*producer).or_default().insert(partition.clone(), kept);
            }
            Change::TransactionEnded { producer, committed } => {
                let told = self.pending.remove(producer).unwrap_or_default();
                for (partition, kept) in told.into_iter().filter(|_| *committed) {
                    if self.offsets.get(&partition).is_none_or(|it| it.place < kept.place) {
                        self.offsets.insert(partition, kept);
                    }
                }
            }
            Change::OffsetDeleted { group: _, partition } => {
                self.offsets.remove(partition);
                self.pending.retain(|_, told| {
                    told.remove(partition);
                    !told.is_empty()
                });
            }
            Change::GroupDeleted { group: _ } => *self = Self::default(),
        }
    }

    fn keep(&mut self, offset: &CommittedOffset) -> Kept {
        if self.generation == 0 {
            // Nobody has ever joined; such a group is as old as its first offset.
            self.empty_since_ms.get_or_insert(offset.at_ms);
        }
        self.commits += 1;
        Kept { offset: offset.clone(), place: self.commits }
    }

    /// Changes that make this record out of an empty one.
    pub(super) fn snapshot(&self, id: &GroupId) -> Vec<Change> {
        let group = || id.clone();
        let mut changes = Vec::new();
        if let Some(protocol_type) = self.protocol_type.clone() {
            let generation = self.generation;
            changes.push(Change::GenerationStarted { group: group(), generation, protocol_type });
        }
        if self.generation > 0
            && let Some(at_ms) = self.empty_since_ms
        {
            changes.push(Change::GroupEmptied { group: group(), generation: self.generation, at_ms });
        }
        let committed = self.offsets.iter().map(|(partition, kept)| {
            let (partition, offset) = (partition.clone(), kept.offset.clone());
            (kept.place, Change::OffsetCommitted { group: group(), partition, offset })
        });
        let pending = self.pending.iter().flat_map(|(producer, told)| {
            told.iter().map(|(partition, kept)| {
                let (producer, partition, offset) = (*producer, partition.clone(), kept.offset.clone());
                (kept.place, Change::OffsetPending { group: group(), producer, partition, offset })
            })
        });
        let mut commits: Vec<(u64, Change)> = committed.chain(pending).collect();
        commits.sort_by_key(|(place, _)| *place);
        changes.extend(commits.into_iter().map(|(_, change)| change));
        changes
    }

    /// Whether a transaction may still change the offset of this partition (KIP-447).
    pub(super) fn has_pending(&self, partition: &TopicPartition) -> bool {
        self.pending.values().any(|told| told.contains_key(partition))
    }

    pub(super) fn has_offsets(&self) -> bool {
        !self.offsets.is_empty() || !self.pending.is_empty()
    }

    /// All partitions with an offset, committed or pending.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.offsets.keys().chain(self.pending.values().flat_map(|it| it.keys()))
    }
}
