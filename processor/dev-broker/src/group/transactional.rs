//! `TxnOffsetCommit` and the end of its transaction (KIP-98): offsets that count only if the transaction commits.

use std::time::Duration;

use kafka_protocol::ResponseError;

use super::change::Change;
use super::names::{Claim, GroupId, ProducerId};
use super::offsets::{NewOffset, PartitionResults};
use super::one_group::Group;
use super::outcome::Outcome;
use super::phase::Phase;
use super::{Groups, group_or_new};

impl Groups {
    /// Offsets within a transaction. The shell has made sure that the transaction is open, that the epoch of the producer is the
    /// present one, and that the partitions exist.
    pub(crate) fn add_pending(
        &mut self,
        group: &GroupId,
        producer: ProducerId,
        claim: &Claim,
        offsets: Vec<NewOffset>,
        now: Duration,
    ) -> (PartitionResults, Vec<Change>) {
        let mut outcome = Outcome::default();
        let Self { config, groups } = self;
        let group = match groups.get(group) {
            _ if group.0.is_empty() => Err(ResponseError::InvalidGroupId),
            None if claim.generation.is_some() => Err(ResponseError::IllegalGeneration),
            None | Some(_) => group_or_new(groups, config, group, now),
        };
        let group = group.and_then(|group| {
            group.check_pending(claim)?;
            Ok(group)
        });
        let group = match group {
            Ok(group) => group,
            Err(error) => {
                return (offsets.into_iter().map(|it| (it.partition, Err(error))).collect(), Vec::new());
            }
        };
        let tell = |it: NewOffset| {
            let result = it.committed(config, now).map(|offset| {
                let (id, partition) = (group.id.clone(), it.partition.clone());
                group.change(Change::OffsetPending { group: id, producer, partition, offset }, &mut outcome);
            });
            (it.partition, result)
        };
        let results = offsets.into_iter().map(tell).collect();
        (results, outcome.changes)
    }

    /// The transaction of a producer has ended: what it had told, in whatever groups, is committed, or is as if never said.
    pub(crate) fn end_transaction(&mut self, producer: ProducerId, committed: bool) -> Vec<Change> {
        if !self.groups.values().any(|it| it.record.pending.contains_key(&producer)) {
            return Vec::new();
        }
        let change = Change::TransactionEnded { producer, committed };
        self.apply(&change);
        vec![change]
    }
}

impl Group {
    /// Who names itself is checked (KIP-447). Older producers cannot, and are fenced by their transactional ids alone.
    fn check_pending(&self, claim: &Claim) -> Result<(), ResponseError> {
        let is_anonymous = claim.member.is_none() && claim.instance.is_none() && claim.generation.is_none();
        let is_alone = claim.generation.is_none() && matches!(self.phase, Phase::Empty);
        if is_anonymous || is_alone {
            return Ok(());
        }
        self.check(claim).map(|_| ())
    }
}
