//! The protocol, broken on purpose: each change must be seen, or the checks are blind.

use super::Mode;

/// One change to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The parent applies records of the child's public partition as they come.
    NoParentGate,
    /// Urgent mode, and the child does not wait for the parent.
    NoChildGate,
    /// A stamp is the offset alone.
    StampWithoutEra,
    /// The parent hands over while snapshots of the moving keys are not written.
    NoResidualFlush,
    /// The marker for the child and the parent's own record of it are two transactions.
    HandOverInTwoTransactions,
    /// The parent goes on applying records of moved keys that still arrive in its public partition.
    OldHomeKeepsStragglers,
    /// The checkpoint does not say what was given away: an owner that restores from behind the record does not know it.
    CheckpointWithoutReleased,
    /// The child's gate goes off at the end of the window, and does not wait until the parent has read what was written in it.
    GateOffAtWindowEnd,
    /// The child reads its public partition from the start, and not from where the parent stopped.
    ChildReadsFromStart,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NoParentGate,
        Self::NoChildGate,
        Self::StampWithoutEra,
        Self::NoResidualFlush,
        Self::HandOverInTwoTransactions,
        Self::OldHomeKeepsStragglers,
        Self::CheckpointWithoutReleased,
        Self::GateOffAtWindowEnd,
        Self::ChildReadsFromStart,
    ];

    /// The modes in which it changes anything.
    #[must_use]
    pub fn modes(self) -> &'static [Mode] {
        match self {
            Self::NoChildGate | Self::GateOffAtWindowEnd => &[Mode::Urgent],
            Self::NoParentGate
            | Self::StampWithoutEra
            | Self::NoResidualFlush
            | Self::HandOverInTwoTransactions
            | Self::OldHomeKeepsStragglers
            | Self::CheckpointWithoutReleased
            | Self::ChildReadsFromStart => &Mode::ALL,
        }
    }
}
