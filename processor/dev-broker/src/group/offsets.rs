//! `OffsetCommit` and `OffsetFetch`: how far a group has come.
//!
//! | who commits | in a group without members | in a group with members |
//! |---|---|---|
//! | nobody in particular, no generation | accepted | `UNKNOWN_MEMBER_ID` |
//! | a member of this generation | | accepted; `REBALANCE_IN_PROGRESS` while the assignment is awaited |
//! | a member of another generation | `UNKNOWN_MEMBER_ID` | `ILLEGAL_GENERATION` |
//! | a member that was removed, or an older life | `UNKNOWN_MEMBER_ID` | `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID` |

use std::time::Duration;

use kafka_protocol::ResponseError;

use super::change::{Change, CommittedOffset};
use super::config::GroupConfig;
use super::names::{Claim, GroupId, TopicPartition};
use super::one_group::{Group, millis};
use super::outcome::Outcome;
use super::phase::Phase;
use super::{Groups, group_or_new};

/// An offset that a client wants to have committed.
#[derive(Clone, Debug)]
pub(crate) struct NewOffset {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    /// -1 if the client did not say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// One result for each partition of the request, in its order.
pub(crate) type PartitionResults = Vec<(TopicPartition, Result<(), ResponseError>)>;

/// `None` for a partition in which nothing was committed: -1 on the wire.
pub(crate) type FetchedOffsets = Vec<(TopicPartition, Result<Option<CommittedOffset>, ResponseError>)>;

impl Groups {
    /// The shell has made sure that the partitions exist.
    pub(crate) fn commit_offsets(
        &mut self,
        group: &GroupId,
        claim: &Claim,
        offsets: Vec<NewOffset>,
        now: Duration,
    ) -> (PartitionResults, Vec<Change>) {
        let mut outcome = Outcome::default();
        let Self { config, groups } = self;
        let group = match groups.get(group) {
            // From a generation that this broker has forgotten.
            None if claim.generation.is_some() => Err(ResponseError::IllegalGeneration),
            None | Some(_) => group_or_new(groups, config, group, now),
        };
        let group = group.and_then(|group| {
            group.check_commit(claim, now)?;
            Ok(group)
        });
        let results = match group {
            Ok(group) => commit(group, config, offsets, now, &mut outcome),
            Err(error) => offsets.into_iter().map(|it| (it.partition, Err(error))).collect(),
        };
        (results, outcome.changes)
    }

    /// The offsets of these partitions, or of all that have one. With `require_stable`, a partition is `UNSTABLE_OFFSET_COMMIT`
    /// while a transaction may still change it (KIP-447): who reads that offset and not the next would do work twice.
    pub(crate) fn fetch_offsets(
        &self,
        group: &GroupId,
        partitions: Option<Vec<TopicPartition>>,
        require_stable: bool,
    ) -> FetchedOffsets {
        let record = self.groups.get(group).map(|it| &it.record);
        let all = || record.into_iter().flat_map(|it| it.offsets.keys().cloned()).collect();
        let fetch = |partition: TopicPartition| {
            let is_unstable = require_stable && record.is_some_and(|it| it.has_pending(&partition));
            let result = if is_unstable {
                Err(ResponseError::UnstableOffsetCommit)
            } else {
                Ok(record.and_then(|it| it.offsets.get(&partition)).map(|it| it.offset.clone()))
            };
            (partition, result)
        };
        partitions.unwrap_or_else(all).into_iter().map(fetch).collect()
    }
}

impl Group {
    fn check_commit(&mut self, claim: &Claim, now: Duration) -> Result<(), ResponseError> {
        if claim.generation.is_none() && matches!(self.phase, Phase::Empty) {
            return Ok(());
        }
        let id = self.check(claim)?;
        match self.phase {
            Phase::Completing(_) => Err(ResponseError::RebalanceInProgress),
            // A rebalance that begins still lets its members commit what they have done.
            Phase::Empty | Phase::Gathering { .. } | Phase::Preparing { .. } | Phase::Stable(_) => {
                self.member_mut(id).lives(now);
                Ok(())
            }
        }
    }
}

fn commit(
    group: &mut Group,
    config: &GroupConfig,
    offsets: Vec<NewOffset>,
    now: Duration,
    outcome: &mut Outcome,
) -> PartitionResults {
    let commit = |it: NewOffset| {
        let result = it.committed(config, now).map(|offset| {
            let (id, partition) = (group.id.clone(), it.partition.clone());
            group.change(Change::OffsetCommitted { group: id, partition, offset }, outcome);
        });
        (it.partition, result)
    };
    offsets.into_iter().map(commit).collect()
}

impl NewOffset {
    /// What is written down about it.
    pub(super) fn committed(
        &self,
        config: &GroupConfig,
        now: Duration,
    ) -> Result<CommittedOffset, ResponseError> {
        if self.metadata.len() > config.offset_metadata_bytes_max {
            return Err(ResponseError::OffsetMetadataTooLarge);
        }
        Ok(CommittedOffset {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.clone(),
            at_ms: millis(now),
        })
    }
}
