//! The owner of one partition: an incarnation, with what it has in memory. In reading order: [`acquire`], [`work`] (a batch),
//! [`handover`] (the steps of a plan), [`flush`] (snapshots and checkpoints).

mod acquire;
mod draft;
mod flush;
mod handover;
mod work;

use std::collections::BTreeMap;

use millrace_placement::{Holdings, Place, Topics};
use millrace_schemas::handover::PlanState;
use millrace_schemas::{Offset, Stamp};

use super::broker::{Broker, Cause, Key};
use super::producers::Keys;
use super::store::Store;
use super::{Mode, Mutant};

pub(crate) use draft::Draft;
pub(crate) use handover::Step;
pub(crate) use work::Surroundings;

/// The partition that there was before.
pub(crate) const PARENT: usize = 0;
/// The one that the plan adds.
pub(crate) const CHILD: usize = 1;
/// The public partition of the parent.
pub(crate) const INBOX_OF_PARENT: usize = 0;
/// That of the child. The parent reads it until the hand-over.
pub(crate) const INBOX_OF_CHILD: usize = 1;

/// What all owners go by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) mode: Mode,
    pub(crate) mutant: Option<Mutant>,
    /// Within this many ticks producers learn of a new partition.
    pub(crate) window: u64,
    pub(crate) topics: Topics,
}

impl Rules {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// One incarnation.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) index: usize,
    pub(crate) generation: u32,
    rules: Rules,
    has_claimed: bool,
    holdings: Holdings,
    /// Next offset to read of each public partition that it reads.
    positions: BTreeMap<usize, Offset>,
    /// Next offset to read of `.internal`.
    internal: Offset,
    changelog_end: Offset,
    cache: BTreeMap<Key, Cached>,
    /// The changelog after the checkpoint, as it was when this incarnation began.
    tail: BTreeMap<Key, Vec<(Stamp, Cause)>>,
    /// Keys whose state is not in the store, with the first changelog offset that is missing there.
    dirty: BTreeMap<Key, Offset>,
    /// What was fetched from the child's public partition.
    held: Option<Held>,
    /// Child: how far the parent has read its public partition, as it said.
    progress: Offset,
    releasing: Option<handover::Releasing>,
}

#[derive(Clone, Debug)]
struct Cached {
    state: Vec<Cause>,
    stamp: Stamp,
}

/// A batch of the child's public partition. It may be released once the parent's was read up to `gate`: its high watermark, sampled
/// after the batch was fetched. So whatever any producer had written there before it wrote any of these comes first.
#[derive(Clone, Copy, Debug)]
struct Held {
    until: Offset,
    gate: Offset,
}

impl Owner {
    /// The state of a key: the row, and then what the tail has beyond it.
    fn load(&self, key: Key, store: &Store) -> Cached {
        let (mut stamp, mut state) =
            store.snapshot(key).map_or((None, Vec::new()), |(stamp, state)| (Some(stamp), state.to_vec()));
        for (at, cause) in self.tail.get(&key).into_iter().flatten() {
            if stamp.is_none_or(|stamp| *at > stamp) {
                state.push(*cause);
                stamp = Some(*at);
            }
        }
        Cached { state, stamp: stamp.unwrap_or_default() }
    }

    fn state(&self, key: Key, store: &Store) -> Vec<Cause> {
        self.cache.get(&key).map_or_else(|| self.load(key, store).state, |it| it.state.clone())
    }

    /// What a new owner would go on from.
    pub(crate) fn restored(&self, key: Key, store: &Store) -> Vec<Cause> {
        self.load(key, store).state
    }

    pub(crate) fn holds(&self, key: Key, keys: &Keys) -> bool {
        matches!(self.holdings.place(keys.group(key), 2), Place::Here { .. })
    }

    fn stamp(&self, place: Place, offset: Offset) -> Stamp {
        match place {
            Place::Here { era, era_base } if !self.rules.is(Mutant::StampWithoutEra) => {
                Stamp::new(era, era_base, offset)
            }
            // Only a broken owner stamps what it does not hold.
            Place::Here { .. } | Place::At(_) => Stamp::new(0, Offset(0), offset),
        }
    }

    /// Fetches from the child's public partition, if it reads that one.
    pub(crate) fn fetch(&mut self, broker: &Broker) -> bool {
        let Some(position) = self.positions.get(&INBOX_OF_CHILD) else { return false };
        let Some(log) = broker.events.get(INBOX_OF_CHILD) else { return false };
        if self.held.is_some() || *position >= log.end() {
            return false;
        }
        // In this order: the gate is sampled after the batch was fetched.
        let until = log.end();
        self.held = Some(Held { until, gate: broker.events[INBOX_OF_PARENT].end() });
        true
    }

    /// Whether there is nothing left to read or to write.
    pub(crate) fn is_settled(&self, broker: &Broker) -> bool {
        self.has_claimed
            && self.dirty.is_empty()
            && self.releasing.is_none()
            && self.internal == broker.internal[self.index].end()
            && self.positions.iter().all(|(partition, at)| *at == broker.events[*partition].end())
    }

    pub(crate) fn reads(&self, partition: usize) -> bool {
        self.positions.contains_key(&partition)
    }

    /// For people.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} (inbox {:?}, internal {}, {} dirty, held {:?}, progress {}, releasing {:?})",
            self.index,
            self.positions,
            self.internal.0,
            self.dirty.len(),
            self.held,
            self.progress.0,
            self.releasing
        )
    }
}

fn is_done(broker: &Broker) -> bool {
    broker.plan.is_some_and(|it| matches!(it.state, PlanState::Done | PlanState::Abandoned))
}

fn partitions(broker: &Broker) -> u32 {
    broker.plan.map_or(1, |it| it.partitions_to)
}
