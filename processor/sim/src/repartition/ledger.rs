//! What is true, and whether the world keeps to it.

use std::collections::{BTreeMap, BTreeSet};

use millrace_schemas::Offset;
use millrace_schemas::internal::InternalRecord;

use super::broker::{Cause, Key, LogRecord};
use super::coordinator::moving;
use super::owner::{CHILD, INBOX_OF_CHILD, PARENT};
use super::producers::Keys;
use super::store::{Row, Store, Write};

/// The committed history, folded by somebody who sees everything.
#[derive(Debug)]
pub(crate) struct Ledger {
    truth: BTreeMap<Key, Vec<Cause>>,
    /// For each partition: whether it holds the half that stays, and the half that moves.
    holds: [BTreeSet<Half>; 2],
    positions: [BTreeMap<usize, Offset>; 2],
    has_adopted: bool,
    has_released: bool,
    has_installed: bool,
    violation: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Half {
    Stays,
    Moves,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            truth: BTreeMap::new(),
            holds: [BTreeSet::from([Half::Stays, Half::Moves]), BTreeSet::new()],
            positions: [BTreeMap::new(), BTreeMap::new()],
            has_adopted: false,
            has_released: false,
            has_installed: false,
            violation: None,
        }
    }

    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(crate) fn report(&mut self, violation: String) {
        self.violation.get_or_insert(violation);
    }

    pub(crate) fn has_adopted(&self) -> bool {
        self.has_adopted
    }

    pub(crate) fn has_released(&self) -> bool {
        self.has_released
    }

    pub(crate) fn has_installed(&self) -> bool {
        self.has_installed
    }

    /// How far `index` has read a partition of the inbox, by its changelog.
    pub(crate) fn position(&self, index: usize, partition: usize) -> Offset {
        self.positions[index].get(&partition).copied().unwrap_or_default()
    }

    /// All that was applied to a key.
    pub(crate) fn truth(&self, key: Key) -> &[Cause] {
        self.truth.get(&key).map_or(&[], Vec::as_slice)
    }

    /// A transaction of `index` was committed; `states` are what its owner believes now.
    pub(crate) fn committed(
        &mut self,
        index: usize,
        (changelog, internal): (&[LogRecord], &[InternalRecord]),
        states: &BTreeMap<Key, Vec<Cause>>,
        store: &Store,
        keys: &Keys,
    ) {
        for record in changelog {
            match record {
                LogRecord::Entry(event) => self.applied(index, event.key, event.cause, keys),
                LogRecord::Positions(positions) => {
                    let positions = positions.sources.iter().map(|it| (it.partition as usize, it.offset));
                    self.positions[index] = positions.collect();
                }
                LogRecord::Claim(claim) => {
                    let says = claim.key_groups.iter().any(|it| it.key_groups == moving());
                    if says != (index == CHILD && self.holds[index].contains(&Half::Moves)) {
                        self.report(format!("home: the claim of {index} is wrong about what was installed"));
                    }
                }
                LogRecord::Adopted(adopted) => {
                    self.has_adopted |= adopted.partition as usize == INBOX_OF_CHILD;
                }
                LogRecord::Released(_) => {
                    self.has_released = true;
                    self.holds[index].remove(&Half::Moves);
                }
                LogRecord::Installed(_) => {
                    self.has_installed = true;
                    self.holds[index].insert(Half::Moves);
                    if self.holds[PARENT].contains(&Half::Moves) {
                        self.report(format!("home: {CHILD} has installed what {PARENT} still holds"));
                    }
                }
            }
        }
        for (key, state) in states {
            if state != self.truth(*key) {
                let truth = self.truth(*key).len();
                self.report(format!(
                    "loss: {index} went on from a state of key {} that lacks something: {} applied, {truth} committed",
                    key.0,
                    state.len()
                ));
            }
        }
        if internal.iter().any(|it| matches!(it, InternalRecord::HandedOver(_))) {
            for key in keys.all().filter(|key| moving().contains(keys.group(*key))) {
                let stored = store.snapshot(key).map_or(0, |(_, state)| state.len());
                let truth = self.truth(key).len();
                if stored != truth {
                    self.report(format!(
                        "loss: key {} was handed over with {stored} of {truth} in the store",
                        key.0
                    ));
                }
            }
        }
    }

    fn applied(&mut self, index: usize, key: Key, cause: Cause, keys: &Keys) {
        let half = if moving().contains(keys.group(key)) { Half::Moves } else { Half::Stays };
        if !self.holds[index].contains(&half) {
            self.report(format!(
                "home: {index} has applied a record of key {}, which it does not hold",
                key.0
            ));
        }
        let truth = self.truth.entry(key).or_default();
        let number = truth.iter().filter(|it| it.producer == cause.producer).count();
        truth.push(cause);
        let Cause { producer, number: found } = cause;
        if usize::from(found) != number {
            let kind = if usize::from(found) < number { "duplicate" } else { "order" };
            self.report(format!(
                "{kind}: {index} has applied record {found} of producer {producer} to key {}, expected {number}",
                key.0
            ));
        }
    }

    /// A write has arrived; `before` is how long the row was.
    pub(crate) fn written(&mut self, write: &Write, before: usize, store: &Store) {
        let Row::Snapshot { key, state } = &write.row else { return };
        let visible = store.snapshot(*key).map_or(&[][..], |(_, state)| state);
        if visible.len() < before.max(state.len()) {
            self.report(format!(
                "newer: {} of key {} are visible, {before} were, and {} were acknowledged just now",
                visible.len(),
                key.0,
                state.len()
            ));
        }
        if !self.truth(*key).starts_with(visible) {
            self.report(format!("newer: the row of key {} is not what was committed", key.0));
        }
    }
}
