//! What is kept of topics besides their records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One change of the catalogue, as the journal has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// There is a topic of that name.
    Created { name: String, id: Uuid, partitions: u32, settings: Settings },
    /// It has more partitions than before.
    Grown { name: String, partitions: u32 },
    /// All settings that differ from the broker's, from here on.
    Configured { name: String, settings: Settings },
    /// It is gone, with its records.
    Deleted { name: String },
}

/// Settings by name, as text, in Kafka's terms.
pub(crate) type Settings = BTreeMap<String, String>;

/// The same topics by one change each, without those that are gone.
pub(crate) fn settled<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Vec<Change> {
    let mut topics: BTreeMap<&str, Change> = BTreeMap::new();
    for change in changes {
        match change {
            Change::Created { name, .. } => {
                topics.insert(name, change.clone());
            }
            Change::Grown { name, partitions } => {
                if let Some(Change::Created { partitions: count, .. }) = topics.get_mut(name.as_str()) {
                    *count = *partitions;
                }
            }
            Change::Configured { name, settings } => {
                if let Some(Change::Created { settings: all, .. }) = topics.get_mut(name.as_str()) {
                    all.clone_from(settings);
                }
            }
            Change::Deleted { name } => {
                topics.remove(name.as_str());
            }
        }
    }
    topics.into_values().collect()
}
