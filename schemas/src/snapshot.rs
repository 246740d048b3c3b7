//! The row of the snapshot table.

use bytes::Bytes;

use crate::Offset;
use crate::channel::ChannelSnapshot;
use crate::instance::InstanceState;
use crate::schedule::ScheduleSnapshot;

/// The folded prefix of one instance's events, with the place where it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Era of the key-group when it was taken (state protocol 2.6).
    pub era: u32,
    /// Changelog offset of the last event that is in it.
    pub offset: Offset,
    /// The state.
    pub state: InstanceState,
}

impl Snapshot {
    /// Format of the row's envelope. A reader refuses what it does not know.
    pub const FORMAT: u32 = 1;
}

/// A row of the snapshot table.
#[derive(Clone, Debug, PartialEq)]
pub enum SnapshotRecord {
    /// As it should be.
    Snapshot(Box<Snapshot>),
    /// It could not be rebuilt.
    Parked(ParkedInstance),
    /// Of a channel.
    Channel(Box<ChannelSnapshot>),
    /// Of a schedule.
    Schedule(Box<ScheduleSnapshot>),
}

/// An instance whose log and code disagree, set aside with all that is needed to rebuild it once the code has been mended. Without it
/// the checkpoint would have to wait for that: its partition would read an ever longer tail, and stop in the end.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkedInstance {
    /// As in [`Snapshot`].
    pub era: u32,
    /// Changelog offset of the last entry that is in it.
    pub offset: Offset,
    /// For people.
    pub reason: String,
    /// The row that was there before, encoded; none if there was none.
    pub snapshot: Option<Bytes>,
    /// The changelog records since, encoded, in order.
    pub entries: Vec<Bytes>,
}
