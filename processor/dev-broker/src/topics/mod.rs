//! Topics: names, settings, and their partitions.

mod catalogue;
mod change;
mod partition;
mod settings;

pub(crate) use catalogue::{Catalogue, Topic, refuse_name};
pub(crate) use change::{Change, Settings, settled};
pub(crate) use partition::{Partition, ProduceError, Waiter};
pub(crate) use settings::{SETTINGS, Setting, refuse as refuse_settings};
