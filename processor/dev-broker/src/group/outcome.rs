//! What a call has led to, besides its own reply.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::change::Change;
use super::names::{InstanceId, MemberId, Ticket};

/// Changes to write down, then answers to send.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answers: Vec<Answer>,
    pub(crate) changes: Vec<Change>,
}

/// The one answer to a waiting request.
#[derive(Debug)]
pub(crate) enum Answer {
    Join { ticket: Ticket, result: Result<Joined, JoinRefused> },
    Sync { ticket: Ticket, result: Result<Synced, ResponseError> },
}

/// The member takes part in a generation.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) member: MemberId,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: MemberId,
    /// For the leader, who assigns; empty for the others.
    pub(crate) members: Vec<JoinedMember>,
    /// Told to a leader that must not assign: the group is stable, and has an assignment (KIP-814).
    pub(crate) skip_assignment: bool,
}

#[derive(Debug)]
pub(crate) struct JoinedMember {
    pub(crate) member: MemberId,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) metadata: Bytes,
}

#[derive(Debug)]
pub(crate) struct JoinRefused {
    pub(crate) error: ResponseError,
    /// With `MEMBER_ID_REQUIRED`, the id to come back with (KIP-394); otherwise what the request said.
    pub(crate) member: Option<MemberId>,
}

/// What the member is to work on.
#[derive(Debug)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Bytes,
}

impl Outcome {
    pub(super) fn joined(&mut self, ticket: Ticket, joined: Joined) {
        self.answers.push(Answer::Join { ticket, result: Ok(joined) });
    }

    pub(super) fn join_refused(&mut self, ticket: Ticket, refused: JoinRefused) {
        self.answers.push(Answer::Join { ticket, result: Err(refused) });
    }

    pub(super) fn synced(&mut self, ticket: Ticket, synced: Synced) {
        self.answers.push(Answer::Sync { ticket, result: Ok(synced) });
    }

    pub(super) fn sync_refused(&mut self, ticket: Ticket, error: ResponseError) {
        self.answers.push(Answer::Sync { ticket, result: Err(error) });
    }
}

impl Answer {
    pub(crate) fn ticket(&self) -> Ticket {
        match self {
            Self::Join { ticket, .. } | Self::Sync { ticket, .. } => *ticket,
        }
    }
}
