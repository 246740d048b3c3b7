//! What must hold, at every step and at the end.
//!
//! *Outcomes* are what a user would notice: an event lost, done twice or out of order, a task sent twice, a timer early or never, an
//! instance that is not what its events say. *Invariants* are the reasons of the state protocol (2.7) why that does not happen; they
//! break earlier and say where.

mod truth;

pub(crate) use truth::{Key, Truth};

/// Which checks a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// All.
    All,
    /// Outcomes only: shows that a mutant does harm, and not merely breaks a rule.
    Outcomes,
}

impl Checks {
    /// Counts a broken invariant if invariants are checked.
    pub(crate) fn invariant(self, result: Result<(), String>) -> Result<(), String> {
        match self {
            Self::All => result,
            Self::Outcomes => Ok(()),
        }
    }
}
