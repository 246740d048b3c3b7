//! Consumer groups: who is a member, which generation they are in, and what offsets they have committed.
//!
//! This is the classic group protocol of Apache Kafka (`JoinGroup`, `SyncGroup`, `Heartbeat`, `LeaveGroup`, `OffsetCommit`,
//! `TxnOffsetCommit`, `OffsetFetch` and their administration), with KIP-345 (static members), KIP-394 (a member needs its id before
//! it may join), KIP-447 (transactional commits of members, stable offsets) and KIP-814 (a static leader skips the assignment).
//! Cooperative rebalancing (KIP-429) is a matter between the clients; the coordinator sees the same requests.
//!
//! ```text
//!            join                all have come, or the time is up            the leader's assignment
//!   Empty ─────────▶ PreparingRebalance ─────────▶ CompletingRebalance ─────────▶ Stable
//!     ▲                  │       ▲                          │                       │
//!     └── nobody came ───┘       └── a member comes, changes, leaves or dies ───────┘
//! ```
//!
//! A group without members, offsets and pending ids is soon forgotten: Kafka calls it `Dead`, here it is not there.
//!
//! It is a state machine and nothing else: no I/O, no clock, no randomness. A request that has to wait is a [`Ticket`], which is
//! answered exactly once, by this call or by a later one. What must outlive the process is a [`Change`]; the shell writes the
//! changes of a call to its journal *before* it sends the answers of that call, and at the next start hands them to
//! [`Groups::restore`]. Members do not outlive the process: they are told `UNKNOWN_MEMBER_ID` and join anew, into a later generation.
//!
//! What a hostile client can make it hold: `groups_max` groups, `group_size_max` members and as many pending ids in each, and
//! offsets for partitions that exist, for the shell asks only about those. Pending offsets are bounded likewise, times the number
//! of open transactions, which the shell bounds.

mod change;
mod config;
mod names;
mod outcome;

mod heartbeat;
mod join;
mod leave;
mod sync;

mod expiry;
mod member;
mod one_group;
mod phase;
mod protocols;
mod rebalance;

mod admin;
mod describe;
mod offsets;
mod record;
mod subscription;
mod transactional;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::ResponseError;

use one_group::Group;

pub(crate) use change::{Change, CommittedOffset};
pub(crate) use config::GroupConfig;
pub(crate) use describe::{Listing, MemberDescription};
pub(crate) use join::{Join, Protocol};
pub(crate) use leave::Leaving;
pub(crate) use names::{Claim, GroupId, InstanceId, MemberId, ProducerId, Ticket, TopicPartition};
pub(crate) use offsets::{FetchedOffsets, NewOffset, PartitionResults};
pub(crate) use outcome::{Answer, JoinRefused, Joined, JoinedMember, Outcome, Synced};
pub(crate) use sync::Sync;

/// All groups of the broker.
///
/// In every call, `now` is the time since the Unix epoch. It must not go backwards while the process lives, so the shell reads the
/// wall clock once and adds what a monotonic clock says.
#[derive(Debug)]
pub(crate) struct Groups {
    config: GroupConfig,
    groups: BTreeMap<GroupId, Group>,
}

impl Groups {
    pub(crate) fn new(config: GroupConfig) -> Self {
        Self { config, groups: BTreeMap::new() }
    }

    /// The groups as an earlier process left them, from all that it wrote down, in that order.
    pub(crate) fn restore<'a>(
        config: GroupConfig,
        changes: impl IntoIterator<Item = &'a Change>,
        now: Duration,
    ) -> Self {
        let mut groups = Self::new(config);
        for change in changes {
            groups.apply(change);
        }
        for group in groups.groups.values_mut() {
            group.lost_its_members(now);
        }
        groups
    }

    /// Folds one durable change into the groups. Live calls have already applied the changes that they return.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::GenerationStarted { group, .. }
            | Change::GroupEmptied { group, .. }
            | Change::OffsetCommitted { group, .. }
            | Change::OffsetPending { group, .. } => {
                let group = self.groups.entry(group.clone()).or_insert_with(|| Group::new(group.clone()));
                group.record.apply(change);
            }
            Change::OffsetDeleted { group, .. } => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.record.apply(change);
                }
            }
            Change::TransactionEnded { .. } => {
                for group in self.groups.values_mut() {
                    group.record.apply(change);
                }
            }
            Change::GroupDeleted { group } => {
                self.groups.remove(group);
            }
        }
    }

    /// The shortest list of changes that restores to these groups; for a journal that has grown too long.
    pub(crate) fn snapshot(&self) -> Vec<Change> {
        self.groups.iter().flat_map(|(id, group)| group.record.snapshot(id)).collect()
    }
}

/// The group, made now if there is none and `groups_max` allows.
fn group_or_new<'a>(
    groups: &'a mut BTreeMap<GroupId, Group>,
    config: &GroupConfig,
    id: &GroupId,
    now: Duration,
) -> Result<&'a mut Group, ResponseError> {
    if !groups.contains_key(id) && groups.len() >= config.groups_max {
        // No error of the protocol says this; this one is final for the client, and its text is not misleading.
        return Err(ResponseError::PolicyViolation);
    }
    Ok(groups.entry(id.clone()).or_insert_with(|| {
        let mut group = Group::new(id.clone());
        group.lost_its_members(now);
        group
    }))
}
