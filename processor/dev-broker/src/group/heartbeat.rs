//! `Heartbeat`: a member lives, and asks whether it has to join again.

use std::time::Duration;

use kafka_protocol::ResponseError;

use super::Groups;
use super::names::{Claim, GroupId};
use super::phase::Phase;

impl Groups {
    pub(crate) fn heartbeat(
        &mut self,
        group: &GroupId,
        claim: &Claim,
        now: Duration,
    ) -> Result<(), ResponseError> {
        if group.0.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let group = self.groups.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        let id = group.check(claim)?;
        group.member_mut(id).lives(now);
        match group.phase {
            Phase::Empty => Err(ResponseError::UnknownMemberId),
            Phase::Gathering { .. } | Phase::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            Phase::Completing(_) | Phase::Stable(_) => Ok(()),
        }
    }
}
