//! One group.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::ResponseError;

use super::change::Change;
use super::member::Member;
use super::names::{Claim, GroupId, InstanceId, MemberId};
use super::outcome::{Joined, JoinedMember, Outcome, Synced};
use super::phase::Phase;
use super::record::Record;

/// One group: its record, which is durable, and its members, who are not.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) record: Record,
    pub(super) phase: Phase,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// Ids that were given out (KIP-394), and until when somebody may join with them. A rebalance waits for them.
    pub(super) pending_ids: BTreeMap<MemberId, Duration>,
    /// A member; `None` only if there are no members.
    pub(super) leader: Option<MemberId>,
    /// What the members of the present generation have agreed upon.
    pub(super) protocol: Option<String>,
}

impl Group {
    pub(super) fn new(id: GroupId) -> Self {
        Self {
            id,
            record: Record::default(),
            phase: Phase::Empty,
            members: BTreeMap::new(),
            pending_ids: BTreeMap::new(),
            leader: None,
            protocol: None,
        }
    }

    /// Nobody has been here since, unless the record says since when.
    pub(super) fn lost_its_members(&mut self, now: Duration) {
        self.record.empty_since_ms.get_or_insert_with(|| millis(now));
    }

    /// Makes a durable change. There is no other way, so that a replay of the changes comes to the same record.
    pub(super) fn change(&mut self, change: Change, outcome: &mut Outcome) {
        self.record.apply(&change);
        outcome.changes.push(change);
    }

    pub(super) fn member_mut(&mut self, id: &MemberId) -> &mut Member {
        self.members.get_mut(id).expect("the caller has looked")
    }

    /// The present life of a static member.
    pub(super) fn static_member(&self, instance: &InstanceId) -> Option<&MemberId> {
        self.members.iter().find(|(_, it)| it.instance.as_ref() == Some(instance)).map(|(id, _)| id)
    }

    /// Whether this is a member, and the present life of that instance (KIP-345).
    pub(super) fn check_member<'a>(
        &self,
        member: Option<&'a MemberId>,
        instance: Option<&InstanceId>,
    ) -> Result<&'a MemberId, ResponseError> {
        if let Some(instance) = instance {
            let current = self.static_member(instance).ok_or(ResponseError::UnknownMemberId)?;
            if member != Some(current) {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        member.filter(|it| self.members.contains_key(*it)).ok_or(ResponseError::UnknownMemberId)
    }

    /// Whether this is a member of the present generation.
    pub(super) fn check<'a>(&self, claim: &'a Claim) -> Result<&'a MemberId, ResponseError> {
        let member = self.check_member(claim.member.as_ref(), claim.instance.as_ref())?;
        if claim.generation != Some(self.record.generation) {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(member)
    }

    /// What kind of group it is: that of its members, or of those it had last.
    pub(super) fn protocol_type(&self) -> Option<&str> {
        let members = self.members.values().next().map(|it| it.protocol_type.as_str());
        members.or(self.record.protocol_type.as_deref())
    }

    /// The present generation, told to one of its members.
    pub(super) fn joined(&self, member: &MemberId) -> Joined {
        let is_leader = self.leader.as_ref() == Some(member);
        Joined {
            member: member.clone(),
            generation: self.record.generation,
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            protocol: self.protocol.clone().unwrap_or_default(),
            leader: self.leader.clone().expect("a group with a member has a leader"),
            members: if is_leader { self.joined_members() } else { Vec::new() },
            skip_assignment: false,
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, it)| JoinedMember {
            member: id.clone(),
            instance: it.instance.clone(),
            metadata: it.metadata(protocol),
        });
        members.collect()
    }

    /// The assignment, told to one of the members of a stable group.
    pub(super) fn synced(&self, member: &MemberId) -> Synced {
        Synced {
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment: self.members[member].assignment.clone().expect("the group is stable"),
        }
    }
}

/// Durable times are whole milliseconds, as everywhere in the protocol.
pub(super) fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).expect("the epoch is not that long ago")
}
