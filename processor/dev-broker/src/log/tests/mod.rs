//! The log as its callers see it, by what can happen to it.

mod appending;
mod compacting;
mod hostile;
mod reading;
mod recovering;
mod retaining;
mod transactions;
