//! `LeaveGroup`: members go without waiting for their sessions to end. And the other way a client goes: its connection ends.

use std::time::Duration;

use kafka_protocol::ResponseError;

use super::Groups;
use super::config::GroupConfig;
use super::member::Waiting;
use super::names::{GroupId, InstanceId, MemberId, Ticket};
use super::one_group::Group;
use super::outcome::Outcome;

/// Who is to leave: a member; a member that is the present life of an instance; or, if no member is named, whoever is the present
/// life of the instance, which is how an administrator removes a static member.
///
/// That a static member stays a member when it stops is up to its client, which sends no `LeaveGroup` then (KIP-345).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub(crate) member: Option<MemberId>,
    pub(crate) instance: Option<InstanceId>,
}

/// The answer as a whole, or one for each that was to leave.
pub(crate) type LeaveResult = Result<Vec<(Leaving, Result<(), ResponseError>)>, ResponseError>;

impl Groups {
    /// Some members leave. Before version 3 of the request, it was one.
    pub(crate) fn leave(
        &mut self,
        group: &GroupId,
        leaving: Vec<Leaving>,
        now: Duration,
    ) -> (LeaveResult, Outcome) {
        let mut outcome = Outcome::default();
        if group.0.is_empty() {
            return (Err(ResponseError::InvalidGroupId), outcome);
        }
        let Some(group) = self.groups.get_mut(group) else {
            let unknown = |it| (it, Err(ResponseError::UnknownMemberId));
            return (Ok(leaving.into_iter().map(unknown).collect()), outcome);
        };
        let mut results = Vec::new();
        for it in leaving {
            let result = group.leave(&it, &self.config, now, &mut outcome);
            results.push((it, result));
        }
        group.proceed(&self.config, now, &mut outcome);
        (Ok(results), outcome)
    }

    /// A client has gone away while it waited; its ticket will not be answered.
    ///
    /// Kafka does not notice, starts the generation with it, and finds out when it does not sync. Here the member counts as not
    /// having come: it has until the end of its session to come back. One that does not know its id cannot, and is removed.
    pub(crate) fn disconnected(&mut self, ticket: Ticket, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        for group in self.groups.values_mut() {
            let Some((id, member)) = group.members.iter_mut().find(|(_, it)| it.waits_with(ticket)) else {
                continue;
            };
            member.waiting = Waiting::Nothing;
            if member.can_come_back {
                member.lives(now);
            } else {
                let id = id.clone();
                group.remove_and_rebalance(&id, &self.config, now, &mut outcome);
                group.proceed(&self.config, now, &mut outcome);
            }
            break;
        }
        outcome
    }
}

impl Group {
    fn leave(
        &mut self,
        leaving: &Leaving,
        config: &GroupConfig,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), ResponseError> {
        let id = match &leaving.member {
            None => {
                let current = leaving.instance.as_ref().and_then(|it| self.static_member(it));
                current.cloned().ok_or(ResponseError::UnknownMemberId)?
            }
            Some(id) if self.pending_ids.remove(id).is_some() => return Ok(()),
            Some(id) => self.check_member(Some(id), leaving.instance.as_ref())?.clone(),
        };
        self.remove_and_rebalance(&id, config, now, outcome);
        Ok(())
    }
}
