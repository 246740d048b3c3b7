//! `JoinGroup`: a client becomes a member, or comes to the next generation.
//!
//! | | the answer |
//! |---|---|
//! | no id, not static, and an id is required | a fresh id, to come back with (KIP-394) |
//! | no id | waits for the next generation, as a new member |
//! | no id, but a known instance, in a stable group | the present generation; the older life is fenced (KIP-345) |
//! | a member, in a stable group, that is the leader or has changed its mind | waits for the next generation |
//! | a member, of a generation that has started | the present generation |
//! | a member, in a rebalance | waits for the next generation |

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::config::GroupConfig;
use super::member::{Member, Terms, Waiting};
use super::names::{GroupId, InstanceId, MemberId, Ticket};
use super::one_group::Group;
use super::outcome::{JoinRefused, Outcome};
use super::phase::Phase;
use super::{Groups, group_or_new};

/// A `JoinGroup` request.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) group: GroupId,
    pub(crate) member: Option<MemberId>,
    pub(crate) instance: Option<InstanceId>,
    /// The id of the member, if it turns out to be a new one. The shell makes it from the client id (or the instance id) and
    /// something random, so that no two are alike and none can be guessed.
    pub(crate) fresh_member: MemberId,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    /// Version 0 of the request has none; the session timeout stands for it.
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<Protocol>,
    /// From version 4 on (KIP-394).
    pub(crate) requires_member_id: bool,
    /// From version 9 on (KIP-814).
    pub(crate) can_skip_assignment: bool,
}

/// A way of assigning that a member knows, and what it tells the leader about itself under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    pub(crate) name: String,
    pub(crate) metadata: Bytes,
}

impl Groups {
    /// A client joins. The ticket is answered when the next generation starts, if not at once.
    pub(crate) fn join(&mut self, join: Join, ticket: Ticket, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(error) = self.try_join(&join, ticket, now, &mut outcome) {
            let member = match error {
                ResponseError::MemberIdRequired => Some(join.fresh_member),
                _ => join.member,
            };
            outcome.join_refused(ticket, JoinRefused { error, member });
        }
        outcome
    }

    fn try_join(
        &mut self,
        join: &Join,
        ticket: Ticket,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), ResponseError> {
        let Self { config, groups } = self;
        if join.group.0.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        if !(config.session_timeout_min..=config.session_timeout_max).contains(&join.session_timeout) {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        let group = if join.member.is_some() {
            groups.get_mut(&join.group).ok_or(ResponseError::UnknownMemberId)?
        } else {
            group_or_new(groups, config, &join.group, now)?
        };
        let result = group.join(join, ticket, config, now, outcome);
        group.proceed(config, now, outcome);
        result
    }
}

impl Group {
    fn join(
        &mut self,
        join: &Join,
        ticket: Ticket,
        config: &GroupConfig,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), ResponseError> {
        if !self.has_room_for(join, config) {
            if let Some(member) = &join.member {
                self.remove(member, outcome);
                self.pending_ids.remove(member);
            }
            return Err(ResponseError::GroupMaxSizeReached);
        }
        if !self.is_consistent_with(join) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let Some(member) = &join.member else {
            let older_life = join.instance.as_ref().and_then(|it| self.static_member(it)).cloned();
            match older_life {
                Some(older) => self.replace(&older, join, ticket, config, now, outcome),
                None if join.instance.is_none() && join.requires_member_id => {
                    self.pending_ids.insert(join.fresh_member.clone(), now + join.session_timeout);
                    return Err(ResponseError::MemberIdRequired);
                }
                None => self.add(join.fresh_member.clone(), join, ticket, config, now, outcome),
            }
            return Ok(());
        };
        if join.instance.is_none() && self.pending_ids.remove(member).is_some() {
            self.add(member.clone(), join, ticket, config, now, outcome);
            return Ok(());
        }
        let member = self.check_member(Some(member), join.instance.as_ref())?;
        self.rejoin(member, join, ticket, config, now, outcome);
        Ok(())
    }

    /// Whether the group is small enough. In a rebalance those count that have come, so that the last ones stay out.
    fn has_room_for(&self, join: &Join, config: &GroupConfig) -> bool {
        let Some(id) = &join.member else {
            let comes_back = join.instance.as_ref().is_some_and(|it| self.static_member(it).is_some());
            return comes_back || self.pending_ids.len() < config.group_size_max && self.has_room(config);
        };
        match self.members.get(id) {
            Some(member) => match self.phase {
                Phase::Gathering { .. } | Phase::Preparing { .. } => {
                    member.is_joining() || self.has_room(config)
                }
                Phase::Empty | Phase::Completing(_) | Phase::Stable(_) => true,
            },
            None => self.has_room(config),
        }
    }

    fn has_room(&self, config: &GroupConfig) -> bool {
        let size = match self.phase {
            Phase::Gathering { .. } | Phase::Preparing { .. } => {
                self.members.values().filter(|it| it.is_joining()).count()
            }
            Phase::Empty | Phase::Completing(_) | Phase::Stable(_) => self.members.len(),
        };
        size < config.group_size_max
    }

    /// A new member.
    fn add(
        &mut self,
        id: MemberId,
        join: &Join,
        ticket: Ticket,
        config: &GroupConfig,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, Member::new(join, ticket, now));
        match &mut self.phase {
            Phase::Gathering { newcomers, .. } => *newcomers = true,
            Phase::Preparing { .. } => {}
            Phase::Empty | Phase::Completing(_) | Phase::Stable(_) => {
                self.prepare_rebalance(config, now, outcome);
            }
        }
    }

    /// A member of some generation.
    fn rejoin(
        &mut self,
        id: &MemberId,
        join: &Join,
        ticket: Ticket,
        config: &GroupConfig,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let is_leader = self.leader.as_ref() == Some(id);
        let is_as_before = self.members[id].terms.protocols == join.protocols;
        match self.phase {
            // The answer to its first request may have been lost.
            Phase::Completing(_) if is_as_before => outcome.joined(ticket, self.joined(id)),
            // It can fetch its assignment; the leader, however, joins again to have something else assigned.
            Phase::Stable(_) if is_as_before && !is_leader => outcome.joined(ticket, self.joined(id)),
            Phase::Completing(_) | Phase::Stable(_) => {
                self.member_mut(id).terms = Terms::of(join);
                self.prepare_rebalance(config, now, outcome);
                self.member_mut(id).waiting = Waiting::Join(ticket);
            }
            Phase::Empty | Phase::Gathering { .. } | Phase::Preparing { .. } => {
                let member = self.member_mut(id);
                // An earlier request, whose client has given up on it.
                member.refuse(id, ResponseError::RebalanceInProgress, outcome);
                member.terms = Terms::of(join);
                member.waiting = Waiting::Join(ticket);
            }
        }
    }

    /// A static member that has restarted: it takes the place of its older life, assignment included (KIP-345).
    fn replace(
        &mut self,
        older: &MemberId,
        join: &Join,
        ticket: Ticket,
        config: &GroupConfig,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let id = &join.fresh_member;
        let leader_before = self.leader.clone().expect("a group with a member has a leader");
        let mut member = self.members.remove(older).expect("the caller has found it");
        member.refuse(older, ResponseError::FencedInstanceId, outcome);
        member.client_id.clone_from(&join.client_id);
        member.client_host.clone_from(&join.client_host);
        member.terms = Terms::of(join);
        member.lives(now);
        self.members.insert(id.clone(), member);
        if leader_before == *older {
            self.leader = Some(id.clone());
        }
        if let Some(unsynced) = self.phase.unsynced_mut()
            && unsynced.members.remove(older)
        {
            unsynced.members.insert(id.clone());
        }
        match self.phase {
            Phase::Stable(_) if self.protocol.as_ref() == Some(&self.select_protocol()) => {
                let mut joined = self.joined(id);
                if join.can_skip_assignment {
                    joined.skip_assignment = self.leader.as_ref() == Some(id);
                } else {
                    // A client that cannot be told to skip the assignment must not know that it leads (KIP-345): what it would
                    // assign, a stable group would not distribute.
                    joined.leader = leader_before;
                    joined.members.clear();
                }
                outcome.joined(ticket, joined);
            }
            // The leader may have been told the older id, and would assign to that.
            Phase::Completing(_) | Phase::Stable(_) => {
                self.prepare_rebalance(config, now, outcome);
                self.member_mut(id).waiting = Waiting::Join(ticket);
            }
            Phase::Empty | Phase::Gathering { .. } | Phase::Preparing { .. } => {
                self.member_mut(id).waiting = Waiting::Join(ticket);
            }
        }
    }
}
