//! A transaction that is being put together, and what becomes true with its commit.

use std::collections::BTreeMap;
use std::fmt;

use millrace_placement::{Holdings, PartitionIndex};
use millrace_schemas::handover::{Progressed, ReleaseRequested};
use millrace_schemas::internal::InternalRecord;
use millrace_schemas::partition::{Claim, Positions, SourcePosition};
use millrace_schemas::{Offset, Timestamp};

use super::{CHILD, Cached, Cause, INBOX_OF_PARENT, Key, Owner, PARENT, is_done};
use crate::repartition::broker::{Broker, LogRecord, Transaction};
use crate::repartition::coordinator::moving;
use crate::repartition::producers::Keys;
use crate::repartition::{Mode, Mutant};

/// See the module.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) changelog: Vec<LogRecord>,
    pub(crate) internal: Vec<(PartitionIndex, InternalRecord)>,
    pub(crate) states: BTreeMap<Key, Vec<Cause>>,
    pub(super) positions: BTreeMap<usize, Offset>,
    pub(super) internal_offset: Offset,
    pub(super) holdings: Holdings,
    pub(super) progress: Offset,
    pub(super) requested: Option<ReleaseRequested>,
    pub(super) gives_away: bool,
    /// Only in a broken hand-over: the marker has left, and the rest follows.
    pub(super) is_marker_only: bool,
}

/// What it says, in short.
impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for record in &self.changelog {
            match record {
                LogRecord::Entry(event) => write!(f, ", applies {event}")?,
                LogRecord::Claim(claim) => write!(f, ", claims as {}", claim.incarnation)?,
                LogRecord::Adopted(adopted) => write!(f, ", adopts {}", adopted.partition)?,
                LogRecord::Released(released) => write!(f, ", releases {}", released.key_groups)?,
                LogRecord::Installed(it) => write!(f, ", installs {} in era {}", it.key_groups, it.era)?,
                LogRecord::Positions(positions) => {
                    for source in &positions.sources {
                        write!(f, ", read {}@{}", source.partition, source.offset.0)?;
                    }
                }
            }
        }
        for (to, record) in &self.internal {
            match record {
                InternalRecord::Forwarded(it) => {
                    write!(f, ", forwards {}@{} to {}", it.source.partition, it.source.offset.0, to.0)?;
                }
                InternalRecord::HandedOver(it) => write!(f, ", hands over {} to {}", it.key_groups, to.0)?,
                InternalRecord::Progressed(it) => write!(f, ", progress {}", it.source.offset.0)?,
                InternalRecord::ReleaseRequested(_)
                | InternalRecord::TimerFired(_)
                | InternalRecord::ScheduleProposed(_) => {
                    unreachable!("no owner sends one here")
                }
            }
        }
        write!(f, ", internal@{}", self.internal_offset.0)
    }
}

impl Owner {
    /// A transaction that says nothing yet, except for the claim of a new incarnation.
    pub(super) fn draft(&self) -> Draft {
        let mut draft = Draft {
            changelog: Vec::new(),
            internal: Vec::new(),
            states: BTreeMap::new(),
            positions: self.positions.clone(),
            internal_offset: self.internal,
            holdings: self.holdings.clone(),
            progress: self.progress,
            requested: None,
            gives_away: false,
            is_marker_only: false,
        };
        if !self.has_claimed {
            draft.changelog.push(LogRecord::Claim(Claim {
                incarnation: format!("{}-{}", self.index, self.generation),
                transactional_id: String::new(),
                api_url: None,
                at: Timestamp(0),
                era: 0,
                era_base: Offset(0),
                key_groups: self.holdings.installed().to_vec(),
            }));
        }
        draft
    }

    pub(super) fn changes_nothing(&self, draft: &Draft) -> bool {
        draft.changelog.is_empty()
            && draft.internal.is_empty()
            && draft.positions == self.positions
            && draft.internal_offset == self.internal
    }

    /// Appends what stands at the end of every transaction: the positions, and, in urgent mode, how far the parent is. That one
    /// comes behind the forwards, in the same partition.
    pub(super) fn finish(&self, mut draft: Draft, broker: &Broker) -> Draft {
        let positions = Positions { sources: self.sources(&draft.positions) };
        draft.changelog.push(LogRecord::Positions(positions));
        if self.tells_progress(&draft, broker) {
            let position = draft.positions[&INBOX_OF_PARENT];
            let source = self.source(INBOX_OF_PARENT, position);
            let record = InternalRecord::Progressed(Progressed { source });
            draft.internal.push((PartitionIndex(CHILD as u32), record));
        }
        draft
    }

    pub(super) fn tells_progress(&self, draft: &Draft, broker: &Broker) -> bool {
        let has_released = !draft.holdings.released().is_empty();
        self.rules.mode == Mode::Urgent && self.index == PARENT && has_released && !is_done(broker)
    }

    pub(super) fn source(&self, partition: usize, offset: Offset) -> SourcePosition {
        let partition = i32::try_from(partition).expect("two at most");
        SourcePosition { topic: self.rules.topics.events(), partition, offset }
    }

    pub(super) fn sources(&self, positions: &BTreeMap<usize, Offset>) -> Vec<SourcePosition> {
        positions.iter().map(|(partition, offset)| self.source(*partition, *offset)).collect()
    }

    /// What the broker is asked to commit.
    pub(crate) fn transaction(&self, draft: &Draft) -> Transaction {
        Transaction {
            index: self.index,
            generation: self.generation,
            changelog: draft.changelog.clone(),
            internal: draft.internal.clone(),
            internal_offset: draft.internal_offset,
        }
    }

    /// The transaction is committed: what it said is true now.
    pub(crate) fn committed(&mut self, draft: Draft, offsets: &[Offset], keys: &Keys) {
        self.has_claimed |= !draft.changelog.is_empty();
        self.positions = draft.positions;
        self.internal = draft.internal_offset;
        self.holdings = draft.holdings;
        self.progress = draft.progress;
        let mut stamps = BTreeMap::new();
        for (record, offset) in draft.changelog.iter().zip(offsets) {
            self.changelog_end = Offset(offset.0 + 1);
            if let LogRecord::Entry(event) = record {
                let place = self.holdings.place(keys.group(event.key), 2);
                stamps.insert(event.key, self.stamp(place, *offset));
                self.dirty.entry(event.key).or_insert(*offset);
            }
        }
        for (key, state) in draft.states {
            self.cache.insert(key, Cached { state, stamp: stamps[&key] });
        }
        if self
            .held
            .is_some_and(|it| self.positions.get(&super::INBOX_OF_CHILD).is_none_or(|at| *at >= it.until))
        {
            self.held = None;
        }
        if let Some(requested) = draft.requested {
            self.release_requested(requested);
        }
        if draft.is_marker_only {
            self.marker_has_left();
        }
        if draft.gives_away {
            // It is all in the store, or, in a broken hand-over, lost.
            let stays = |key: &Key| !moving().contains(keys.group(*key));
            self.cache.retain(|key, _| stays(key));
            self.tail.retain(|key, _| stays(key));
            self.dirty.retain(|key, _| stays(key));
            self.releasing = None;
        }
    }

    /// Nothing of it is visible: what was fetched is fetched again.
    pub(crate) fn aborted(&mut self) {
        self.held = None;
    }

    pub(super) fn is_broken(&self, mutant: Mutant) -> bool {
        self.rules.is(mutant)
    }
}
