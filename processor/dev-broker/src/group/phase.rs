//! Where a group stands.

use std::collections::BTreeSet;
use std::time::Duration;

use super::names::MemberId;

/// The state of a group, with what only this state has.
#[derive(Debug)]
pub(super) enum Phase {
    /// There are no members; there may be offsets, and ids that were given out for joining.
    Empty,
    /// The first rebalance after `Empty`, which waits some time for more members even if all known ones are here. To clients, this
    /// is `PreparingRebalance`.
    Gathering {
        until: Duration,
        /// Newcomers put `until` off, but not beyond this.
        until_at_most: Duration,
        /// Somebody came since `until` was set.
        newcomers: bool,
    },
    /// `PreparingRebalance`: waits for the known members to join. Those that have not come by then are left behind.
    Preparing { until: Duration },
    /// `CompletingRebalance`: the generation has started and waits for the leader's assignment.
    Completing(Unsynced),
    /// Every member has an assignment, although some may not have fetched it.
    Stable(Unsynced),
}

/// The members that have not sent `SyncGroup` in this generation. Those that do not by then are removed.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) until: Duration,
    pub(super) members: BTreeSet<MemberId>,
}

impl Phase {
    /// When this phase ends by itself.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Empty => None,
            Self::Gathering { until, .. } | Self::Preparing { until } => Some(*until),
            Self::Completing(unsynced) | Self::Stable(unsynced) => {
                (!unsynced.members.is_empty()).then_some(unsynced.until)
            }
        }
    }

    pub(super) fn unsynced_mut(&mut self) -> Option<&mut Unsynced> {
        match self {
            Self::Completing(unsynced) | Self::Stable(unsynced) => Some(unsynced),
            Self::Empty | Self::Gathering { .. } | Self::Preparing { .. } => None,
        }
    }
}
