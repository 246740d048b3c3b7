//! The records that keep one partition (index) of the processor: who owns it, how far it has read, where a restore begins.

use serde::{Deserialize, Serialize};

use crate::key_groups::{KeyGroup, KeyGroupEra, KeyGroupRoute};
use crate::{InstanceId, Offset, TimerId, Timestamp};

/// First record of each incarnation in its changelog: makes the order of owners readable by every replayer (state protocol F7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Which incarnation; unique.
    pub incarnation: String,
    /// `transactional.id` of the lane that writes for it.
    pub transactional_id: String,
    /// Where the owner's HTTP API is reached, for routing queries.
    pub api_url: Option<String>,
    /// The owner's clock.
    pub at: Timestamp,
    /// The era of the log itself, and the changelog offset it began at.
    pub era: u32,
    /// See `era`.
    pub era_base: Offset,
    /// Key-groups with an era of their own: those that came by a hand-over. The most specific entry holds
    /// ([`KeyGroupEra::of`]), the log's own era otherwise. Empty as long as nothing was handed over.
    pub key_groups: Vec<KeyGroupEra>,
}

impl Claim {
    /// The era of a key-group, and the offset it began at.
    #[must_use]
    pub fn era_of(&self, group: KeyGroup) -> (u32, Offset) {
        KeyGroupEra::of(&self.key_groups, group).map_or((self.era, self.era_base), |it| (it.era, it.era_base))
    }
}

/// Last record of each transaction in the changelog: how far the public partitions have been read. The truth about them;
/// the consumer group's offsets are only the fence (state protocol 2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Positions {
    /// Sorted, one for each partition read.
    pub sources: Vec<SourcePosition>,
}

/// The next offset to read of one source partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// Topic, in full.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Next offset to read.
    pub offset: Offset,
}

/// The checkpoint row of one partition: a restore reads the changelog from here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Era and its first offset, as in [`Claim`].
    pub era: u32,
    /// See `era`.
    pub era_base: Offset,
    /// First changelog offset that is not yet in the snapshots and indexes.
    pub changelog_offset: Offset,
    /// How far sources had been read at `changelog_offset`, or later.
    pub positions: Positions,
    /// All timers due before this have been fired and handled.
    pub timers_low_watermark: Timestamp,
    /// None from now on: where the owner is reached has a row of its own in the store, stamped with the claim, while this row is
    /// stamped with its offset and so may be an earlier owner's.
    pub api_url: Option<String>,
    /// The owner's clock when it was written.
    pub at: Timestamp,
    /// As in [`Claim`].
    pub key_groups: Vec<KeyGroupEra>,
    /// Key-groups that were given away: a restore may begin behind the record that says so. Of these and of `key_groups` the most
    /// specific entry holds.
    pub released: Vec<KeyGroupRoute>,
    /// The busiest instances, busiest first: the next owner loads them before it is asked for them.
    pub hot_keys: Vec<InstanceId>,
    /// Of the timers due at `timers_low_watermark`, those before this place have been fired and handled, too: a million may be due at
    /// one instant.
    pub timers_from: Option<TimerPlace>,
    /// No id that says when it was made ([`InstanceId::made_at`]) was used with a later time, by any owner. None: not known, as in
    /// checkpoints of earlier releases.
    pub newest_id: Option<Timestamp>,
}

/// A place in the timer index, among the timers that are due at one instant: they are in the order of this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimerPlace {
    /// Whose.
    pub instance: InstanceId,
    /// Which.
    pub timer: TimerId,
}

impl Checkpoint {
    /// As [`Claim::era_of`].
    #[must_use]
    pub fn era_of(&self, group: KeyGroup) -> (u32, Offset) {
        KeyGroupEra::of(&self.key_groups, group).map_or((self.era, self.era_base), |it| (it.era, it.era_base))
    }
}
