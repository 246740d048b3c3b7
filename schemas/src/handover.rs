//! The records that move key-groups from one partition to another while both go on (state protocol, section 3).
//!
//! A [`Plan`] makes the partitions more; for each child, the parent is asked ([`ReleaseRequested`]), writes what it knows of the
//! moving key-groups to the store, and then commits [`Released`] to its own changelog and [`HandedOver`] to the child's partition of
//! `.internal`, in one transaction with its input offset. The child installs them ([`Installed`]).

use crate::key_groups::{KeyGroups, PartitionIndex};
use crate::partition::SourcePosition;
use crate::{Offset, PlanId, Timestamp};

/// In the parent's changelog: from here on it reads a public partition that has no owner of its own yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// By which plan.
    pub plan: PlanId,
    /// The public partition. It is read from its first record on.
    pub partition: i32,
}

/// To the owner of key-groups, in its partition of `.internal`: give them away. A second one of the same plan asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseRequested {
    /// By which plan.
    pub plan: PlanId,
    /// Which.
    pub key_groups: KeyGroups,
    /// Their new home.
    pub to: PartitionIndex,
}

/// In the old owner's changelog: it has given key-groups away. All it wrote of them is in the snapshot store, and from here on
/// it forwards their records. Committed together with [`HandedOver`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// By which plan.
    pub plan: PlanId,
    /// Which.
    pub key_groups: KeyGroups,
    /// Their new home.
    pub to: PartitionIndex,
    /// Public partitions that are handed over with them, and how far they were read. The new home reads on from there.
    pub sources: Vec<SourcePosition>,
}

/// To the new owner, in its partition of `.internal`: the key-groups are yours. Records that were forwarded to it because of that
/// stand behind this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// By which plan.
    pub plan: PlanId,
    /// Which.
    pub key_groups: KeyGroups,
    /// Their era from now on: one more than at their old home, so that whatever is still written from there loses.
    pub era: u32,
    /// Their old home.
    pub from: PartitionIndex,
    /// As in [`Released`].
    pub sources: Vec<SourcePosition>,
    /// All timers of these key-groups that are due before this have been fired and handled.
    pub timers_low_watermark: Timestamp,
}

/// In the new owner's changelog: it has taken key-groups over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// By which plan.
    pub plan: PlanId,
    /// Which.
    pub key_groups: KeyGroups,
    /// As in [`HandedOver`].
    pub era: u32,
    /// Where the era begins: the end of this changelog as the owner knew it when it wrote this, so not after this record.
    pub era_base: Offset,
    /// Their old home.
    pub from: PartitionIndex,
    /// As in [`Released`].
    pub sources: Vec<SourcePosition>,
    /// As in [`HandedOver`].
    pub timers_low_watermark: Timestamp,
}

/// To the owner of a child, in its partition of `.internal`: how far the parent's public partition has been read. Whatever the parent
/// had to forward before that stands in front of this record, so what the child's own public partition got later may be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progressed {
    /// The parent's public partition, and its next offset to read.
    pub source: SourcePosition,
}

/// On `.control`, keyed by [`Plan::id`]: the partitions become more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which.
    pub id: PlanId,
    /// How many partitions there were.
    pub partitions_from: u32,
    /// How many there shall be: a multiple.
    pub partitions_to: u32,
    /// How far it is.
    pub state: PlanState,
    /// When it was made.
    pub started_at: Timestamp,
}

/// How far a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanState {
    /// Partitions are being added: of the changelog and of `.internal` first, then of the inbox.
    Growing,
    /// All partitions exist; parents read those of their children, too, until every producer knows the new count.
    Gating {
        /// When the inbox had its new partitions. Producers have to notice within a time that is configured.
        since: Timestamp,
    },
    /// Parents give away the key-groups of their children, one child after the other.
    HandingOver {
        /// As in `Gating`.
        since: Timestamp,
    },
    /// Every child has its key-groups.
    Done,
    /// It was ended before anything was handed over. Partitions that were added stay, and their parents read them.
    Abandoned,
}
