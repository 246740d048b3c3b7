//! The rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::ResponseError;

use super::change::{Change, TopicPartition};

/// Largest timeout that a producer may ask for: `transaction.max.timeout.ms` of Apache Kafka.
const TIMEOUT_MAX: Duration = Duration::from_secs(900);
/// Most transactional ids; hostile clients aside, one for each lane of each processor.
const IDS_MAX: usize = 10_000;
/// An id that was not used for so long is forgotten, in milliseconds: `transactional.id.expiration.ms` of Apache Kafka.
const FORGOTTEN_AFTER_MS: i64 = 7 * 86_400_000;
/// Producer ids are reserved by so many, so that not each of them is written to the journal.
const PRODUCER_IDS_RESERVED: i64 = 1_000;
/// The last epoch is left for fencing; a producer that would get it has another id instead.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// A producer, as its records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// A transactional id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transaction {
    pub(crate) producer: Producer,
    /// Its epoch before the last increase, if the producer itself asked for that: a repeated request names it.
    pub(crate) previous_epoch: Option<i16>,
    pub(crate) timeout: Duration,
    pub(crate) state: State,
    /// When it was last initialised, or ended a transaction; after a start, when the broker started.
    pub(crate) used_at_ms: i64,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// Nothing since it was initialised.
    Empty,
    /// A transaction is open.
    Ongoing {
        partitions: BTreeSet<TopicPartition>,
        /// Groups whose offsets it takes along.
        groups: BTreeSet<String>,
        /// On the broker's clock, which begins anew with each start.
        since: Duration,
    },
    /// It is decided, and not everything is written yet. Outside of a request this is only seen after a crash.
    Ending { commit: bool, partitions: BTreeSet<TopicPartition>, groups: BTreeSet<String> },
    /// The last transaction ended like this.
    Ended { commit: bool },
}

impl State {
    /// As Apache Kafka calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing { .. } => "Ongoing",
            Self::Ending { commit: true, .. } => "PrepareCommit",
            Self::Ending { commit: false, .. } => "PrepareAbort",
            Self::Ended { commit: true } => "CompleteCommit",
            Self::Ended { commit: false } => "CompleteAbort",
        }
    }
}

/// A transaction that is decided: what is to be written for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ending {
    pub(crate) id: String,
    /// The epoch of its markers, which may be above that of its records: then the producer is fenced.
    pub(crate) producer: Producer,
    pub(crate) commit: bool,
    pub(crate) partitions: BTreeSet<TopicPartition>,
}

/// The answer to `InitProducerId`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Initialised {
    /// The open transaction of the producer before, which must end first.
    pub(crate) ending: Option<(Change, Ending)>,
    /// After that.
    pub(crate) changes: Vec<Change>,
    pub(crate) producer: Producer,
}

/// All transactional ids.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    by_id: BTreeMap<String, Transaction>,
    next_producer_id: i64,
    reserved_below: i64,
}

impl Transactions {
    /// Gives a producer its id and epoch, and fences the one before it.
    ///
    /// `expected` is what the producer has, if it only wants a newer epoch (KIP-360).
    pub(crate) fn initialise(
        &mut self,
        id: Option<&str>,
        timeout: Duration,
        expected: Option<Producer>,
        now_ms: i64,
    ) -> Result<Initialised, ResponseError> {
        let Some(id) = id else {
            let (producer, changes) = self.fresh_producer();
            return Ok(Initialised { ending: None, changes, producer });
        };
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let initialised = |producer: Producer, previous_epoch| Change::Initialised {
            id: id.to_owned(),
            producer_id: producer.id,
            epoch: producer.epoch,
            previous_epoch,
            timeout_ms: timeout.as_millis() as u64,
            at_ms: now_ms,
        };
        let Some(known) = self.by_id.get(id).cloned() else {
            if expected.is_some() {
                return Err(ResponseError::InvalidProducerIdMapping);
            }
            if self.by_id.len() >= IDS_MAX {
                return Err(ResponseError::PolicyViolation);
            }
            let (producer, mut changes) = self.fresh_producer();
            changes.push(initialised(producer, None));
            return Ok(Initialised { ending: None, changes, producer });
        };
        if let Some(expected) = expected {
            if expected.id != known.producer.id {
                return Err(ResponseError::ProducerFenced);
            }
            if Some(expected.epoch) == known.previous_epoch {
                // The answer to its first request was lost.
                return Ok(Initialised { ending: None, changes: Vec::new(), producer: known.producer });
            }
            if expected.epoch != known.producer.epoch {
                return Err(ResponseError::ProducerFenced);
            }
        }
        if matches!(known.state, State::Ending { .. }) {
            // It could not be written yet. To take the id over now would forget how it was decided.
            return Err(ResponseError::ConcurrentTransactions);
        }
        // The markers that end what is open carry the new epoch, so that nothing of the producer before can follow them.
        let ending = self.fence(id);
        let newer = Producer { epoch: known.producer.epoch.saturating_add(1), ..known.producer };
        if newer.epoch >= EPOCH_MAX {
            let (producer, mut changes) = self.fresh_producer();
            changes.push(initialised(producer, None));
            return Ok(Initialised { ending, changes, producer });
        }
        let changes = vec![initialised(newer, expected.map(|it| it.epoch))];
        Ok(Initialised { ending, changes, producer: newer })
    }

    /// Adds partitions to the transaction of a producer, which begins with the first.
    pub(crate) fn add_partitions(
        &self,
        id: &str,
        producer: Producer,
        partitions: BTreeSet<TopicPartition>,
    ) -> Result<Option<Change>, ResponseError> {
        self.join(id, producer, partitions, BTreeSet::new())
    }

    /// Lets the transaction of a producer commit offsets of a group.
    pub(crate) fn add_group(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
    ) -> Result<Option<Change>, ResponseError> {
        self.join(id, producer, BTreeSet::new(), BTreeSet::from([group.to_owned()]))
    }

    fn join(
        &self,
        id: &str,
        producer: Producer,
        partitions: BTreeSet<TopicPartition>,
        groups: BTreeSet<String>,
    ) -> Result<Option<Change>, ResponseError> {
        match &self.checked(id, producer)?.state {
            State::Ending { .. } => return Err(ResponseError::ConcurrentTransactions),
            State::Ongoing { partitions: known, groups: known_groups, .. }
                if partitions.is_subset(known) && groups.is_subset(known_groups) =>
            {
                return Ok(None);
            }
            State::Empty | State::Ongoing { .. } | State::Ended { .. } => {}
        }
        Ok(Some(Change::Joined { id: id.to_owned(), partitions, groups }))
    }

    /// Whether this producer may commit offsets of that group within its transaction.
    pub(crate) fn check_group(&self, id: &str, producer: Producer, group: &str) -> Result<(), ResponseError> {
        match &self.checked(id, producer)?.state {
            State::Ongoing { groups, .. } if groups.contains(group) => Ok(()),
            State::Empty | State::Ongoing { .. } | State::Ending { .. } | State::Ended { .. } => {
                Err(ResponseError::InvalidTxnState)
            }
        }
    }

    /// Decides a transaction. `None` when it ended so already: the answer to the first request was lost.
    pub(crate) fn end(
        &self,
        id: &str,
        producer: Producer,
        commit: bool,
    ) -> Result<Option<(Change, Ending)>, ResponseError> {
        match &self.checked(id, producer)?.state {
            State::Ongoing { partitions, .. } => Ok(Some(decide(id, producer, commit, partitions))),
            State::Ended { commit: before } if *before == commit => Ok(None),
            State::Ending { .. } => Err(ResponseError::ConcurrentTransactions),
            State::Empty | State::Ended { .. } => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Transactions that took longer than their producer said. They are aborted, and the producer is fenced.
    pub(crate) fn overdue(&self, now: Duration) -> Vec<(Change, Ending)> {
        let is_overdue = |it: &Transaction| match it.state {
            State::Ongoing { since, .. } => now >= since.saturating_add(it.timeout),
            State::Empty | State::Ending { .. } | State::Ended { .. } => false,
        };
        self.by_id.iter().filter(|it| is_overdue(it.1)).filter_map(|it| self.fence(it.0)).collect()
    }

    /// When [`Self::overdue`] will have one.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let deadline = |it: &Transaction| match it.state {
            State::Ongoing { since, .. } => Some(since.saturating_add(it.timeout)),
            State::Empty | State::Ending { .. } | State::Ended { .. } => None,
        };
        self.by_id.values().filter_map(deadline).min()
    }

    /// Transactional ids that nobody has used for long.
    pub(crate) fn unused(&self, now_ms: i64) -> Vec<Change> {
        let is_unused = |it: &Transaction| {
            matches!(it.state, State::Empty | State::Ended { .. })
                && now_ms.saturating_sub(it.used_at_ms) > FORGOTTEN_AFTER_MS
        };
        let unused = self.by_id.iter().filter(|it| is_unused(it.1));
        unused.map(|it| Change::Forgotten { id: it.0.clone() }).collect()
    }

    /// What was decided before a crash and is to be written now.
    pub(crate) fn unfinished(&self) -> Vec<Ending> {
        let ending = |(id, it): (&String, &Transaction)| match &it.state {
            State::Ending { commit, partitions, .. } => Some(Ending {
                id: id.clone(),
                producer: it.producer,
                commit: *commit,
                partitions: partitions.clone(),
            }),
            State::Empty | State::Ongoing { .. } | State::Ended { .. } => None,
        };
        self.by_id.iter().filter_map(ending).collect()
    }

    /// All of them, by id.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Transaction)> {
        self.by_id.iter()
    }

    /// One of them.
    pub(crate) fn get(&self, id: &str) -> Option<&Transaction> {
        self.by_id.get(id)
    }

    /// Folds a change in. `now` is when a transaction that begins with it has begun.
    pub(crate) fn apply(&mut self, change: &Change, now: Duration) {
        match change {
            Change::ProducerIdsReserved { below } => {
                // After a start all reserved ids count as given out.
                self.next_producer_id = self.next_producer_id.max(*below - PRODUCER_IDS_RESERVED);
                self.reserved_below = *below;
            }
            Change::Initialised { id, producer_id, epoch, previous_epoch, timeout_ms, at_ms } => {
                let transaction = Transaction {
                    producer: Producer { id: *producer_id, epoch: *epoch },
                    previous_epoch: *previous_epoch,
                    timeout: Duration::from_millis(*timeout_ms),
                    state: State::Empty,
                    used_at_ms: *at_ms,
                };
                self.by_id.insert(id.clone(), transaction);
            }
            Change::Joined { id, partitions, groups } => {
                let Some(it) = self.by_id.get_mut(id) else { return };
                if !matches!(it.state, State::Ongoing { .. }) {
                    it.state =
                        State::Ongoing { partitions: BTreeSet::new(), groups: BTreeSet::new(), since: now };
                }
                if let State::Ongoing { partitions: all, groups: all_groups, .. } = &mut it.state {
                    all.extend(partitions.iter().cloned());
                    all_groups.extend(groups.iter().cloned());
                }
            }
            Change::Decided { id, epoch, commit } => {
                let Some(it) = self.by_id.get_mut(id) else { return };
                if *epoch != it.producer.epoch {
                    it.producer.epoch = *epoch;
                    it.previous_epoch = None;
                }
                if let State::Ongoing { partitions, groups, .. } = &mut it.state {
                    let (partitions, groups) = (std::mem::take(partitions), std::mem::take(groups));
                    it.state = State::Ending { commit: *commit, partitions, groups };
                }
            }
            Change::Ended { id } => {
                let Some(it) = self.by_id.get_mut(id) else { return };
                if let State::Ending { commit, .. } = it.state {
                    it.state = State::Ended { commit };
                }
                it.used_at_ms = it.used_at_ms.max(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
            }
            Change::Forgotten { id } => {
                self.by_id.remove(id);
            }
        }
    }

    /// The changes that lead to what there is.
    pub(crate) fn snapshot(&self) -> Vec<Change> {
        let mut changes = vec![Change::ProducerIdsReserved { below: self.reserved_below }];
        for (id, it) in &self.by_id {
            changes.push(Change::Initialised {
                id: id.clone(),
                producer_id: it.producer.id,
                epoch: it.producer.epoch,
                previous_epoch: it.previous_epoch,
                timeout_ms: it.timeout.as_millis() as u64,
                at_ms: it.used_at_ms,
            });
            let joined = |partitions: &BTreeSet<TopicPartition>, groups: &BTreeSet<String>| Change::Joined {
                id: id.clone(),
                partitions: partitions.clone(),
                groups: groups.clone(),
            };
            let decided = |commit| Change::Decided { id: id.clone(), epoch: it.producer.epoch, commit };
            match &it.state {
                State::Empty => {}
                State::Ongoing { partitions, groups, .. } => changes.push(joined(partitions, groups)),
                State::Ending { commit, partitions, groups } => {
                    changes.extend([joined(partitions, groups), decided(*commit)]);
                }
                State::Ended { commit } => changes.extend([
                    joined(&BTreeSet::new(), &BTreeSet::new()),
                    decided(*commit),
                    Change::Ended { id: id.clone() },
                ]),
            }
        }
        changes
    }

    /// After the journal was read: ids that were reserved may have been given out, unwritten.
    pub(crate) fn skip_reserved(&mut self) {
        self.next_producer_id = self.reserved_below;
    }

    fn fresh_producer(&mut self) -> (Producer, Vec<Change>) {
        let id = self.next_producer_id;
        self.next_producer_id += 1;
        let mut changes = Vec::new();
        if id >= self.reserved_below {
            // Reserved once it is written down: `apply` says so.
            changes.push(Change::ProducerIdsReserved { below: id + PRODUCER_IDS_RESERVED });
        }
        (Producer { id, epoch: 0 }, changes)
    }

    /// Aborts what is open, with an epoch above that of its producer.
    fn fence(&self, id: &str) -> Option<(Change, Ending)> {
        let it = self.by_id.get(id)?;
        match &it.state {
            State::Ongoing { partitions, .. } => {
                let fenced = Producer { epoch: it.producer.epoch.saturating_add(1), ..it.producer };
                Some(decide(id, fenced, false, partitions))
            }
            State::Empty | State::Ending { .. } | State::Ended { .. } => None,
        }
    }

    fn checked(&self, id: &str, producer: Producer) -> Result<&Transaction, ResponseError> {
        let known = self.by_id.get(id).filter(|it| it.producer.id == producer.id);
        let known = known.ok_or(ResponseError::InvalidProducerIdMapping)?;
        if known.producer.epoch != producer.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(known)
    }
}

fn decide(
    id: &str,
    producer: Producer,
    commit: bool,
    partitions: &BTreeSet<TopicPartition>,
) -> (Change, Ending) {
    let change = Change::Decided { id: id.to_owned(), epoch: producer.epoch, commit };
    (change, Ending { id: id.to_owned(), producer, commit, partitions: partitions.clone() })
}
