//! One member of a group.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::join::{Join, Protocol};
use super::names::{InstanceId, MemberId, Ticket};
use super::outcome::{JoinRefused, Outcome};

/// How long a new member may wait for its first generation. It has no heartbeat yet, and its client may have given up and come back
/// as another member; without a limit, such ghosts would hold up every rebalance.
const FIRST_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// A client that asks for no time would make the coordinator go round without a pause.
const REBALANCE_TIMEOUT_MIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Option<InstanceId>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) protocol_type: String,
    pub(super) terms: Terms,
    pub(super) waiting: Waiting,
    /// It has been in no generation yet.
    pub(super) is_new: bool,
    /// Its client was told the member id, or can do without, being static.
    pub(super) can_come_back: bool,
    /// When it counts as dead, unless it waits for an answer.
    pub(super) session_ends: Duration,
    /// `Some` for every member of a stable group, `None` for every member of any other.
    pub(super) assignment: Option<Bytes>,
}

/// What a member says anew each time it joins.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// In the order of its preference. Not empty.
    pub(super) protocols: Vec<Protocol>,
}

/// The request that a member has open. There is never more than one.
#[derive(Debug, Default)]
pub(super) enum Waiting {
    #[default]
    Nothing,
    Join(Ticket),
    Sync(Ticket),
}

impl Terms {
    pub(super) fn of(join: &Join) -> Self {
        Self {
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout.max(REBALANCE_TIMEOUT_MIN),
            protocols: join.protocols.clone(),
        }
    }
}

impl Member {
    pub(super) fn new(join: &Join, ticket: Ticket, now: Duration) -> Self {
        Self {
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            protocol_type: join.protocol_type.clone(),
            terms: Terms::of(join),
            waiting: Waiting::Join(ticket),
            is_new: true,
            can_come_back: join.member.is_some() || join.instance.is_some(),
            session_ends: now + FIRST_JOIN_TIMEOUT,
            assignment: None,
        }
    }

    /// It has shown that it lives.
    pub(super) fn lives(&mut self, now: Duration) {
        self.session_ends = now + self.terms.session_timeout;
    }

    /// When it dies if it stays silent. A member cannot speak while it waits for an answer, so its session does not end meanwhile;
    /// except for a new one, see [`FIRST_JOIN_TIMEOUT`].
    pub(super) fn dies_at(&self) -> Option<Duration> {
        match self.waiting {
            Waiting::Join(_) | Waiting::Sync(_) if !self.is_new => None,
            Waiting::Nothing | Waiting::Join(_) | Waiting::Sync(_) => Some(self.session_ends),
        }
    }

    pub(super) fn is_joining(&self) -> bool {
        matches!(self.waiting, Waiting::Join(_))
    }

    pub(super) fn waits_with(&self, ticket: Ticket) -> bool {
        match self.waiting {
            Waiting::Nothing => false,
            Waiting::Join(it) | Waiting::Sync(it) => it == ticket,
        }
    }

    /// Answers what the member waits for, if it does, with an error.
    pub(super) fn refuse(&mut self, id: &MemberId, error: ResponseError, outcome: &mut Outcome) {
        match std::mem::take(&mut self.waiting) {
            Waiting::Nothing => {}
            Waiting::Join(ticket) => {
                outcome.join_refused(ticket, JoinRefused { error, member: Some(id.clone()) });
            }
            Waiting::Sync(ticket) => outcome.sync_refused(ticket, error),
        }
    }

    /// What it told about itself under this protocol; empty if it does not know the protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let known = self.terms.protocols.iter().find(|it| it.name == protocol);
        known.map_or_else(Bytes::new, |it| it.metadata.clone())
    }
}
