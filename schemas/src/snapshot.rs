//! The row of the snapshot table.

use crate::Offset;
use crate::instance::InstanceState;

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
