//! `ListGroups` and `DescribeGroups`: what groups look like from outside.

use bytes::Bytes;

use super::Groups;
use super::names::{GroupId, InstanceId, MemberId};
use super::one_group::Group;
use super::phase::Phase;

/// The states of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// There is no such group.
    Dead,
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) group: GroupId,
    /// Empty for a group that only keeps offsets.
    pub(crate) protocol_type: String,
    pub(crate) state: GroupState,
}

#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) state: GroupState,
    pub(crate) protocol_type: String,
    /// Empty unless the group is stable, as are metadata and assignments: in a rebalance, they are of no generation.
    pub(crate) protocol: String,
    pub(crate) members: Vec<MemberDescription>,
}

#[derive(Debug)]
pub(crate) struct MemberDescription {
    pub(crate) member: MemberId,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

impl GroupState {
    /// As the protocol spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dead => "Dead",
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl Groups {
    /// All groups, by name.
    pub(crate) fn list(&self) -> Vec<Listing> {
        let list = self.groups.values().map(|group| Listing {
            group: group.id.clone(),
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            state: group.state(),
        });
        list.collect()
    }

    /// A group that is not there is described as dead; from version 6 of the request on, it is `GROUP_ID_NOT_FOUND` besides.
    pub(crate) fn describe(&self, group: &GroupId) -> Description {
        match self.groups.get(group) {
            Some(group) => group.describe(),
            None => Description {
                state: GroupState::Dead,
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            },
        }
    }
}

impl Group {
    pub(super) fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::Gathering { .. } | Phase::Preparing { .. } => GroupState::PreparingRebalance,
            Phase::Completing(_) => GroupState::CompletingRebalance,
            Phase::Stable(_) => GroupState::Stable,
        }
    }

    fn describe(&self) -> Description {
        let state = self.state();
        let protocol = match state {
            GroupState::Stable => self.protocol.as_deref(),
            GroupState::Dead
            | GroupState::Empty
            | GroupState::PreparingRebalance
            | GroupState::CompletingRebalance => None,
        };
        let members = self.members.iter().map(|(id, it)| MemberDescription {
            member: id.clone(),
            instance: it.instance.clone(),
            client_id: it.client_id.clone(),
            client_host: it.client_host.clone(),
            metadata: protocol.map_or_else(Bytes::new, |protocol| it.metadata(protocol)),
            assignment: it.assignment.clone().unwrap_or_default(),
        });
        Description {
            state,
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
        }
    }
}
