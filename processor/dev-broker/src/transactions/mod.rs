//! The transaction coordinator: producer ids, epochs, and which partitions a transaction has touched (KIP-98, KIP-360).
//!
//! Pure: a request yields what changes, as data. The broker writes that to its journal, applies it here, and does what an
//! [`Ending`] says. Everything happens under one lock, so a client never hears CONCURRENT_TRANSACTIONS: when its answer is
//! there, the markers are written.

mod change;
mod coordinator;
#[cfg(test)]
mod tests;

pub(crate) use change::Change;
pub(crate) use coordinator::{Ending, Initialised, Producer, State, Transaction, Transactions};
