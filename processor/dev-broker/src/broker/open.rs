//! From a folder to a broker: read the journal, open the logs, finish what was decided.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::config::Config;
use crate::group::{GroupConfig, Groups};
use crate::journal::{Entry, Journal};
use crate::log::Outcome;
use crate::server::Budget;
use crate::topics::Catalogue;
use crate::transactions::{State, Transactions};

use super::{Broker, Clock, Control, Identity};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the folder {} belongs to a broker that is running: stop it, or take another folder", folder.display())]
    InUse {
        /// Which one.
        folder: PathBuf,
    },
    /// It cannot be read or written, or holds what is not ours.
    #[error("could not {doing} in {}", folder.display())]
    Folder {
        /// What was tried.
        doing: &'static str,
        /// Which one.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Broker {
    /// As it was when it ended, however it ended.
    pub(crate) fn open(
        config: Config,
        Lock(lock): Lock,
        listening: SocketAddr,
        stop: CancellationToken,
    ) -> Result<Self, OpenError> {
        let started = Instant::now();
        let failed = |doing| {
            let folder = config.folder.clone();
            move |source| OpenError::Folder { doing, folder, source }
        };
        let (mut journal, found) =
            Journal::open(&config.folder, config.fsync).map_err(failed("read the journal"))?;
        if found.cut_bytes > 0 {
            warn!(bytes = found.cut_bytes, "cut a torn end off the journal");
        }

        let clock = Clock::new();
        let topics = Catalogue::new(&config.folder, config.fsync);
        let mut transactions = Transactions::default();
        let mut cluster_id = None;
        let mut last = Vec::new();
        for entry in &found.entries {
            match entry {
                Entry::Cluster { id } => cluster_id = Some(id.clone()),
                Entry::Topic(change) => last.push(change),
                Entry::Transaction(change) => transactions.apply(change, clock.now()),
                Entry::Group(_) => {}
            }
        }
        // Logs are opened once all is known: one that is deleted later on need not be.
        for change in crate::topics::settled(last) {
            topics.apply(&change).map_err(|error| failed("open a topic")(io::Error::other(error)))?;
        }
        topics.sweep();
        transactions.skip_reserved();
        let changes = found.entries.iter().filter_map(|entry| match entry {
            Entry::Group(change) => Some(change),
            Entry::Cluster { .. } | Entry::Topic(_) | Entry::Transaction(_) => None,
        });
        let group_config =
            GroupConfig { session_timeout_min: config.group_session_timeout_min, ..GroupConfig::default() };
        let groups = Groups::restore(group_config, changes, clock.now());
        let cluster_id = match cluster_id {
            Some(id) => id,
            None => {
                let id = URL_SAFE_NO_PAD.encode(Uuid::new_v4());
                let entry = Entry::Cluster { id: id.clone() };
                journal.append(&[entry]).map_err(failed("write the journal"))?;
                id
            }
        };

        let host = config.advertised_host.clone().unwrap_or_else(|| match listening.ip() {
            ip if ip.is_unspecified() => "localhost".to_owned(),
            ip => ip.to_string(),
        });
        let broker = Self {
            identity: Identity { cluster_id, host, port: listening.port() },
            budget: Budget::new(config.in_flight_bytes_max),
            control: Mutex::new(Control {
                journal,
                transactions,
                groups,
                waiting: Default::default(),
                next_ticket: 0,
            }),
            deadline_moved: Notify::new(),
            config,
            topics,
            clock,
            stop,
            _lock: lock,
        };
        broker.reconcile();
        info!(
            folder = %broker.config.folder.display(),
            topics = broker.topics.all().len(),
            partitions = broker.topics.partitions(),
            took_ms = started.elapsed().as_millis() as u64,
            "the broker is open"
        );
        Ok(broker)
    }

    /// Brings logs and coordinator together: what is decided is written, what goes on may go on, and what the coordinator does
    /// not know of any more is aborted.
    fn reconcile(&self) {
        let mut control = self.control();
        self.finish_unfinished(&mut control);
        let mut ongoing = Vec::new();
        for (_, transaction) in control.transactions.all() {
            // One that is decided and could not be finished just now is finished later, as decided.
            let (State::Ongoing { partitions, .. } | State::Ending { partitions, .. }) = &transaction.state
            else {
                continue;
            };
            let is_open = matches!(transaction.state, State::Ongoing { .. });
            for (topic, index) in partitions {
                if let Some(partition) = self.topics.partition(topic, *index) {
                    if is_open {
                        partition.join_transaction(transaction.producer.id, transaction.producer.epoch);
                    }
                    ongoing.push((transaction.producer.id, topic.clone(), *index));
                }
            }
        }
        for topic in self.topics.all() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                let open = partition.read(|log| log.open_transactions().collect::<Vec<_>>());
                for it in open {
                    let known = ongoing.iter().any(|(id, name, number)| {
                        *id == it.producer_id && **name == *topic.name && *number as usize == index
                    });
                    if known {
                        continue;
                    }
                    // The journal lost its end with the power, and the log did not.
                    warn!(topic = %topic.name, partition = index, producer = it.producer_id, "abort an unknown transaction");
                    let ended =
                        partition.end_transaction(it.producer_id, it.epoch, Outcome::Abort, self.now_ms());
                    if let Err(error) = ended {
                        let error = &error as &dyn std::error::Error;
                        warn!(topic = %topic.name, partition = index, error, "could not abort it");
                    }
                }
            }
        }
    }
}

/// A folder that no other process may use.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Makes the folder if it is missing.
    pub(crate) fn take(folder: &Path) -> Result<Self, OpenError> {
        let failed = |doing, source| OpenError::Folder { doing, folder: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|source| failed("make the folder", source))?;
        let path = folder.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(|source| failed("make a lock", source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed("lock the folder", source)),
        }
    }
}
