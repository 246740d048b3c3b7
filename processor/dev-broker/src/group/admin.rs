//! What an administrator does to groups, and what follows for them from the end of a topic.

use kafka_protocol::ResponseError;

use super::Groups;
use super::change::Change;
use super::names::{GroupId, TopicPartition};
use super::offsets::PartitionResults;
use super::one_group::Group;
use super::outcome::Outcome;
use super::phase::Phase;

impl Groups {
    /// `DeleteGroups`, for one group: only if it has no members.
    pub(crate) fn delete_group(&mut self, group: &GroupId) -> Result<Vec<Change>, ResponseError> {
        let found = self.groups.get(group).ok_or(ResponseError::GroupIdNotFound)?;
        if !matches!(found.phase, Phase::Empty) {
            return Err(ResponseError::NonEmptyGroup);
        }
        let change = Change::GroupDeleted { group: group.clone() };
        self.apply(&change);
        Ok(vec![change])
    }

    /// `OffsetDelete` (KIP-496): the offsets of a group without members, or of topics that no member subscribes to.
    pub(crate) fn delete_offsets(
        &mut self,
        group: &GroupId,
        partitions: Vec<TopicPartition>,
    ) -> Result<(PartitionResults, Vec<Change>), ResponseError> {
        let mut outcome = Outcome::default();
        let group = self.groups.get_mut(group).ok_or(ResponseError::GroupIdNotFound)?;
        let is_empty = matches!(group.phase, Phase::Empty);
        if !is_empty && group.protocol_type() != Some("consumer") {
            // What the members of another kind of group subscribe to is known to them alone.
            return Err(ResponseError::NonEmptyGroup);
        }
        let delete = |partition: TopicPartition| {
            if !is_empty && group.subscribes_to(&partition.topic) {
                return (partition, Err(ResponseError::GroupSubscribedToTopic));
            }
            group.delete_offset(&partition, &mut outcome);
            (partition, Ok(()))
        };
        let results = partitions.into_iter().map(delete).collect();
        Ok((results, outcome.changes))
    }

    /// A topic is gone. Its offsets must not be those of a later topic of the same name.
    pub(crate) fn topic_deleted(&mut self, topic: &str) -> Vec<Change> {
        let mut outcome = Outcome::default();
        for group in self.groups.values_mut() {
            let partitions = group.record.partitions().filter(|it| it.topic == topic);
            let partitions: Vec<TopicPartition> = partitions.cloned().collect();
            for partition in partitions {
                group.delete_offset(&partition, &mut outcome);
            }
        }
        outcome.changes
    }
}

impl Group {
    fn delete_offset(&mut self, partition: &TopicPartition, outcome: &mut Outcome) {
        if self.record.partitions().any(|it| it == partition) {
            let change = Change::OffsetDeleted { group: self.id.clone(), partition: partition.clone() };
            self.change(change, outcome);
        }
    }
}
