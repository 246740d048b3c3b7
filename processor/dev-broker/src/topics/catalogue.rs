//! All topics by name and by id. Who changes it holds the coordinator's lock; who reads it takes a share of this one's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tracing::{info, warn};
use uuid::Uuid;

use crate::log::{Log, LogError};

use super::change::{Change, Settings};
use super::partition::Partition;
use super::settings::log_config;

/// A topic, as it is now. Replaced as a whole when it changes.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
    pub(crate) settings: Arc<Settings>,
    pub(crate) partitions: Vec<Arc<Partition>>,
}

impl Topic {
    /// The partition of that number.
    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

/// A topic's files could not be brought in line with a change.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} topic {name}")]
pub(crate) struct TopicError {
    doing: &'static str,
    name: String,
    #[source]
    source: LogError,
}

/// All topics.
#[derive(Debug)]
pub(crate) struct Catalogue {
    folder: PathBuf,
    fsync: bool,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
}

impl Catalogue {
    /// None yet. Logs are kept in `folder`, a folder for each partition.
    pub(crate) fn new(folder: &Path, fsync: bool) -> Self {
        Self { folder: folder.join("topics"), fsync, topics: RwLock::default() }
    }

    /// The topic of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.read().get(name).cloned()
    }

    /// The topic of that id.
    pub(crate) fn get_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.read().values().find(|it| it.id == id).cloned()
    }

    /// One partition.
    pub(crate) fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        self.read().get(topic)?.partition(index).cloned()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.read().values().cloned().collect()
    }

    /// Partitions over all topics.
    pub(crate) fn partitions(&self) -> usize {
        self.read().values().map(|it| it.partitions.len()).sum()
    }

    /// Brings files and memory in line with a change. Doing so twice changes nothing more.
    pub(crate) fn apply(&self, change: &Change) -> Result<(), TopicError> {
        match change {
            Change::Created { name, id, partitions, settings } => {
                let topic = Topic {
                    name: name.as_str().into(),
                    id: *id,
                    settings: Arc::new(settings.clone()),
                    partitions: Vec::new(),
                };
                self.put(topic, *partitions)
            }
            Change::Grown { name, partitions } => match self.get(name) {
                Some(topic) => self.put((*topic).clone(), *partitions),
                None => Ok(()),
            },
            Change::Configured { name, settings } => {
                let Some(topic) = self.get(name) else { return Ok(()) };
                for partition in &topic.partitions {
                    partition.maintain(|log| log.set_config(log_config(settings, self.fsync)));
                }
                let topic = Topic { settings: Arc::new(settings.clone()), ..(*topic).clone() };
                self.write().insert(Arc::clone(&topic.name), Arc::new(topic));
                Ok(())
            }
            Change::Deleted { name } => {
                let removed = self.write().remove(name.as_str());
                if let Some(topic) = removed {
                    let _ = std::fs::remove_dir_all(self.topic_folder(&topic));
                }
                Ok(())
            }
        }
    }

    /// The changes that lead to what there is.
    pub(crate) fn snapshot(&self) -> Vec<Change> {
        let created = |it: &Arc<Topic>| Change::Created {
            name: it.name.to_string(),
            id: it.id,
            partitions: it.partitions.len() as u32,
            settings: (*it.settings).clone(),
        };
        self.read().values().map(created).collect()
    }

    /// Deletes folders of topics that are gone: the broker was stopped between saying so and doing so.
    pub(crate) fn sweep(&self) {
        let known: Vec<PathBuf> = self.read().values().map(|it| self.topic_folder(it)).collect();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !known.contains(&entry.path()) {
                info!(folder = %entry.path().display(), "delete the rest of a topic that is gone");
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    fn put(&self, mut topic: Topic, partitions: u32) -> Result<(), TopicError> {
        for index in topic.partitions.len() as u32..partitions {
            let folder = self.topic_folder(&topic).join(index.to_string());
            let (log, recovery) = Log::open(&folder, log_config(&topic.settings, self.fsync))
                .map_err(|source| TopicError { doing: "open", name: topic.name.to_string(), source })?;
            if recovery.bytes_cut > 0 || recovery.damage.is_some() || recovery.is_checkpoint_lost {
                warn!(topic = %topic.name, partition = index, ?recovery, "a log was not as it should be");
            }
            topic.partitions.push(Arc::new(Partition::new(log)));
        }
        self.write().insert(Arc::clone(&topic.name), Arc::new(topic));
        Ok(())
    }

    /// By id, too: a topic that is created again is not confused with the one before.
    fn topic_folder(&self, topic: &Topic) -> PathBuf {
        self.folder.join(format!("{:.200}-{}", topic.name, topic.id.simple()))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Arc<str>, Arc<Topic>>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Arc<str>, Arc<Topic>>> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a topic cannot have that name, if it cannot.
pub(crate) fn refuse_name(name: &str) -> Option<String> {
    const CHARS_MAX: usize = 249;
    let is_legal = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    if name.is_empty() || name.len() > CHARS_MAX || matches!(name, "." | "..") || !name.chars().all(is_legal)
    {
        return Some(format!(
            "a topic has a name of 1 to {CHARS_MAX} letters, digits, dots, underscores and hyphens"
        ));
    }
    None
}
