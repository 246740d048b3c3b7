//! `SyncGroup`: the leader hands in the assignment, and every member fetches its own.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::Groups;
use super::member::Waiting;
use super::names::{Claim, GroupId, MemberId, Ticket};
use super::one_group::Group;
use super::outcome::Outcome;
use super::phase::{Phase, Unsynced};

/// A `SyncGroup` request.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) group: GroupId,
    pub(crate) claim: Claim,
    /// From version 5 on (KIP-559).
    pub(crate) protocol_type: Option<String>,
    /// From version 5 on (KIP-559).
    pub(crate) protocol: Option<String>,
    /// From the leader; whatever others send is ignored.
    pub(crate) assignments: Vec<(MemberId, Bytes)>,
}

impl Groups {
    /// A member asks for its assignment. The ticket is answered when the leader has assigned, if not at once.
    pub(crate) fn sync(&mut self, sync: Sync, ticket: Ticket, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(error) = self.try_sync(sync, ticket, now, &mut outcome) {
            outcome.sync_refused(ticket, error);
        }
        outcome
    }

    fn try_sync(
        &mut self,
        sync: Sync,
        ticket: Ticket,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), ResponseError> {
        if sync.group.0.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let group = self.groups.get_mut(&sync.group).ok_or(ResponseError::UnknownMemberId)?;
        let id = group.check(&sync.claim)?;
        let names = [
            (sync.protocol_type.as_deref(), group.protocol_type()),
            (sync.protocol.as_deref(), group.protocol.as_deref()),
        ];
        if names.iter().any(|(said, is)| said.is_some() && said != is) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match &mut group.phase {
            Phase::Empty => Err(ResponseError::UnknownMemberId),
            Phase::Gathering { .. } | Phase::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            Phase::Completing(unsynced) => {
                unsynced.members.remove(id);
                let member = group.member_mut(id);
                // An earlier request, whose client has given up on it.
                member.refuse(id, ResponseError::RebalanceInProgress, outcome);
                member.waiting = Waiting::Sync(ticket);
                if group.leader.as_ref() == Some(id) {
                    group.assign(sync.assignments, now, outcome);
                }
                Ok(())
            }
            Phase::Stable(unsynced) => {
                unsynced.members.remove(id);
                group.member_mut(id).lives(now);
                outcome.synced(ticket, group.synced(id));
                Ok(())
            }
        }
    }
}

impl Group {
    /// The group is stable from now on. Members that the leader left out have nothing to do.
    fn assign(&mut self, assignments: Vec<(MemberId, Bytes)>, now: Duration, outcome: &mut Outcome) {
        let mut assignments: BTreeMap<MemberId, Bytes> = assignments.into_iter().collect();
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in &ids {
            let member = self.member_mut(id);
            member.assignment = Some(assignments.remove(id).unwrap_or_default());
            if let Waiting::Sync(ticket) = std::mem::take(&mut member.waiting) {
                member.lives(now);
                outcome.synced(ticket, self.synced(id));
            }
        }
        if let Some(unsynced) = self.phase.unsynced_mut() {
            let Unsynced { until, members } = unsynced;
            self.phase = Phase::Stable(Unsynced { until: *until, members: std::mem::take(members) });
        }
    }
}
