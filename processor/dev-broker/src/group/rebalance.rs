//! How a group comes from one generation to the next.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::ResponseError;

use super::change::Change;
use super::config::GroupConfig;
use super::member::Waiting;
use super::names::MemberId;
use super::one_group::{Group, millis};
use super::outcome::Outcome;
use super::phase::{Phase, Unsynced};

impl Group {
    /// Asks all members to join again. Members learn of it by their next heartbeat, and those that wait for an assignment at once.
    ///
    /// To be followed by [`Group::proceed`], when the reason for the rebalance is in place.
    pub(super) fn prepare_rebalance(&mut self, config: &GroupConfig, now: Duration, outcome: &mut Outcome) {
        for (id, member) in &mut self.members {
            if let Waiting::Sync(_) = member.waiting {
                member.refuse(id, ResponseError::RebalanceInProgress, outcome);
                // Its session stood still while it waited.
                member.lives(now);
            }
            member.assignment = None;
        }
        let until_at_most = now + self.rebalance_timeout();
        self.phase = match self.phase {
            Phase::Empty => {
                let until = now + config.initial_rebalance_delay;
                Phase::Gathering { until, until_at_most, newcomers: false }
            }
            Phase::Gathering { .. } | Phase::Preparing { .. } | Phase::Completing(_) | Phase::Stable(_) => {
                Phase::Preparing { until: until_at_most }
            }
        };
    }

    /// Starts the next generation if nobody is to be waited for any more.
    pub(super) fn proceed(&mut self, config: &GroupConfig, now: Duration, outcome: &mut Outcome) {
        match &mut self.phase {
            Phase::Gathering { until, until_at_most, newcomers } if *until <= now => {
                if *newcomers && *until < *until_at_most {
                    *newcomers = false;
                    *until = (now + config.initial_rebalance_delay).min(*until_at_most);
                } else {
                    self.start_generation(now, outcome);
                }
            }
            Phase::Preparing { until } => {
                let all_have_come =
                    self.pending_ids.is_empty() && self.members.values().all(|it| it.is_joining());
                if all_have_come || *until <= now {
                    self.start_generation(now, outcome);
                }
            }
            Phase::Gathering { .. } | Phase::Empty | Phase::Completing(_) | Phase::Stable(_) => {}
        }
    }

    fn start_generation(&mut self, now: Duration, outcome: &mut Outcome) {
        // A static member may be away for as long as its session lasts, without losing its assignment (KIP-345).
        let absent = self.members.iter().filter(|(_, it)| !it.is_joining() && it.instance.is_none());
        let absent: Vec<MemberId> = absent.map(|(id, _)| id.clone()).collect();
        for id in absent {
            self.remove(&id, outcome);
        }
        if self.members.is_empty() {
            return self.become_empty(now, outcome);
        }
        if !self.elect_leader() {
            // All members are static and away. Nobody could assign, so wait until one is back, or they have died.
            self.phase = Phase::Preparing { until: now + self.rebalance_timeout() };
            return;
        }
        self.protocol = Some(self.select_protocol());
        let change = Change::GenerationStarted {
            group: self.id.clone(),
            generation: self.record.generation + 1,
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
        };
        self.change(change, outcome);
        let members: BTreeSet<MemberId> = self.members.keys().cloned().collect();
        for id in &members {
            let member = self.member_mut(id);
            member.is_new = false;
            member.can_come_back = true;
            member.lives(now);
            if let Waiting::Join(ticket) = std::mem::take(&mut member.waiting) {
                outcome.joined(ticket, self.joined(id));
            }
        }
        self.phase = Phase::Completing(Unsynced { until: now + self.rebalance_timeout(), members });
    }

    fn become_empty(&mut self, now: Duration, outcome: &mut Outcome) {
        self.phase = Phase::Empty;
        self.protocol = None;
        let change = Change::GroupEmptied {
            group: self.id.clone(),
            generation: self.record.generation + 1,
            at_ms: millis(now),
        };
        self.change(change, outcome);
    }

    /// The leader stays the leader if it has come, so that an assignment that it computed with care is not computed by somebody
    /// else. False if nobody has come.
    fn elect_leader(&mut self) -> bool {
        let has_come = |id: &MemberId| self.members.get(id).is_some_and(|it| it.is_joining());
        if !self.leader.as_ref().is_some_and(has_come) {
            let first = self.members.iter().find(|(_, it)| it.is_joining()).map(|(id, _)| id.clone());
            if first.is_none() {
                return false;
            }
            self.leader = first;
        }
        true
    }

    /// Removes a member, for good. In a generation, that ends the generation: see [`Group::remove_and_rebalance`].
    pub(super) fn remove(&mut self, id: &MemberId, outcome: &mut Outcome) {
        let Some(mut member) = self.members.remove(id) else { return };
        // If its client still waits, it will join anew.
        member.refuse(id, ResponseError::UnknownMemberId, outcome);
        if self.leader.as_ref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Removes a member, whose share others are to take over. To be followed by [`Group::proceed`].
    pub(super) fn remove_and_rebalance(
        &mut self,
        id: &MemberId,
        config: &GroupConfig,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        self.remove(id, outcome);
        match self.phase {
            Phase::Completing(_) | Phase::Stable(_) => self.prepare_rebalance(config, now, outcome),
            Phase::Empty | Phase::Gathering { .. } | Phase::Preparing { .. } => {}
        }
    }

    /// As long as the most patient member allows.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|it| it.terms.rebalance_timeout).max().unwrap_or_default()
    }
}
