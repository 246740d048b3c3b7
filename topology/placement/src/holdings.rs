//! Which key-groups a partition holds, once some were handed over: the fold of `Released` and `Installed`.

use millrace_schemas::Offset;
use millrace_schemas::handover::{Installed, Released};
use millrace_schemas::key_groups::{KeyGroupEra, KeyGroupRoute};

use crate::{KeyGroup, KeyGroups, PartitionIndex, home};

/// What one partition holds, and where the rest is.
///
/// Of the entries in `installed` and `released` the most specific one holds; they never have the same set. Without an entry the
/// partition holds what it was born with, and all else is at its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// What it was born with: nothing, for a partition that a plan has added.
    base: Option<KeyGroups>,
    /// The era of its log, and where that began.
    log_era: (u32, Offset),
    installed: Vec<KeyGroupEra>,
    released: Vec<KeyGroupRoute>,
}

/// Where a key-group is, as far as one partition knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here.
    Here {
        /// Its era.
        era: u32,
        /// Where that began in this partition's changelog.
        era_base: Offset,
    },
    /// At another partition; its records are forwarded.
    At(PartitionIndex),
}

impl Holdings {
    /// What `index` holds, given that the first partitions were `partitions_born`, the era of its log, and the lists of its checkpoint.
    #[must_use]
    pub fn new(
        index: PartitionIndex,
        partitions_born: u32,
        log_era: (u32, Offset),
        installed: Vec<KeyGroupEra>,
        released: Vec<KeyGroupRoute>,
    ) -> Self {
        Self { base: KeyGroups::of(index, partitions_born).ok(), log_era, installed, released }
    }

    /// Key-groups with an era of their own, for the checkpoint and the claim.
    #[must_use]
    pub fn installed(&self) -> &[KeyGroupEra] {
        &self.installed
    }

    /// Key-groups that were given away, for the checkpoint.
    #[must_use]
    pub fn released(&self) -> &[KeyGroupRoute] {
        &self.released
    }

    /// Key-groups were given away.
    pub fn release(&mut self, released: &Released) {
        self.forget(released.key_groups);
        self.released.push(KeyGroupRoute { key_groups: released.key_groups, to: released.to });
    }

    /// Key-groups were taken over.
    pub fn install(&mut self, installed: &Installed) {
        let Installed { key_groups, era, era_base, .. } = *installed;
        self.forget(key_groups);
        self.installed.push(KeyGroupEra { key_groups, era, era_base });
    }

    /// Entries of exactly these; a part of them that has gone elsewhere stays there.
    fn forget(&mut self, key_groups: KeyGroups) {
        self.installed.retain(|it| it.key_groups != key_groups);
        self.released.retain(|it| it.key_groups != key_groups);
    }

    /// Where `group` is, when there are `partitions` in all.
    #[must_use]
    pub fn place(&self, group: KeyGroup, partitions: u32) -> Place {
        let installed = self.installed.iter().filter(|it| it.key_groups.contains(group));
        let released = self.released.iter().filter(|it| it.key_groups.contains(group));
        let here = installed.max_by_key(|it| it.key_groups.modulus());
        let away = released.max_by_key(|it| it.key_groups.modulus());
        match (here, away) {
            (Some(here), Some(away)) if away.key_groups.modulus() > here.key_groups.modulus() => {
                Place::At(away.to)
            }
            (Some(here), _) => Place::Here { era: here.era, era_base: here.era_base },
            (None, Some(away)) => Place::At(away.to),
            (None, None) if self.base.is_some_and(|it| it.contains(group)) => {
                Place::Here { era: self.log_era.0, era_base: self.log_era.1 }
            }
            (None, None) => Place::At(home(group, partitions)),
        }
    }

    /// The era of all of `key_groups`, if they are held here and have been in one piece.
    #[must_use]
    pub fn era_of(&self, key_groups: KeyGroups) -> Option<u32> {
        let covering = self.installed.iter().filter(|it| it.key_groups.includes(key_groups));
        match covering.max_by_key(|it| it.key_groups.modulus()) {
            Some(entry) => Some(entry.era),
            None if self.base.is_some_and(|it| it.includes(key_groups)) => Some(self.log_era.0),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::{PlanId, Timestamp};

    use super::*;

    fn set(modulus: u32, residue: u32) -> KeyGroups {
        KeyGroups::new(modulus, residue).expect("a set")
    }

    fn released(key_groups: KeyGroups, to: u32) -> Released {
        Released { plan: PlanId(1), key_groups, to: PartitionIndex(to), sources: Vec::new() }
    }

    fn installed(key_groups: KeyGroups, era: u32, base: i64) -> Installed {
        Installed {
            plan: PlanId(1),
            key_groups,
            era,
            era_base: Offset(base),
            from: PartitionIndex(0),
            sources: Vec::new(),
            timers_low_watermark: Timestamp(0),
        }
    }

    const LOG: Place = Place::Here { era: 0, era_base: Offset(0) };

    fn parent() -> Holdings {
        Holdings::new(PartitionIndex(0), 1, (0, Offset(0)), Vec::new(), Vec::new())
    }

    #[test]
    fn a_split_moves_one_half_and_a_hand_back_brings_it_home_in_a_new_era() {
        let mut parent = parent();
        let mut child = Holdings::new(PartitionIndex(1), 1, (0, Offset(0)), Vec::new(), Vec::new());
        assert_eq!((parent.place(KeyGroup(5), 2), parent.place(KeyGroup(4), 2)), (LOG, LOG));
        assert_eq!(child.place(KeyGroup(4), 2), Place::At(PartitionIndex(0)));
        parent.release(&released(set(2, 1), 1));
        child.install(&installed(set(2, 1), 1, 7));
        assert_eq!(
            (parent.place(KeyGroup(5), 2), parent.place(KeyGroup(4), 2)),
            (Place::At(PartitionIndex(1)), LOG)
        );
        assert_eq!(child.place(KeyGroup(5), 2), Place::Here { era: 1, era_base: Offset(7) });
        assert_eq!(child.place(KeyGroup(4), 2), Place::At(PartitionIndex(0)));
        child.release(&released(set(2, 1), 0));
        parent.install(&installed(set(2, 1), 2, 90));
        assert_eq!(child.place(KeyGroup(5), 2), Place::At(PartitionIndex(0)));
        assert_eq!(parent.place(KeyGroup(5), 2), Place::Here { era: 2, era_base: Offset(90) });
        assert!(parent.released().is_empty() && child.installed().is_empty());
    }

    #[test]
    fn a_hot_key_group_that_was_handed_over_alone_stays_away_from_its_set() {
        let hot = KeyGroups::single(KeyGroup(5));
        let mut parent = parent();
        parent.release(&released(hot, 7));
        assert_eq!(parent.place(KeyGroup(5), 2), Place::At(PartitionIndex(7)));
        parent.release(&released(set(2, 1), 1));
        parent.install(&installed(set(2, 1), 2, 90));
        assert_eq!(parent.place(KeyGroup(5), 2), Place::At(PartitionIndex(7)));
        assert_eq!(parent.place(KeyGroup(7), 2), Place::Here { era: 2, era_base: Offset(90) });
        assert_eq!(parent.era_of(set(4, 1)), Some(2));
        assert_eq!(parent.era_of(set(4, 0)), Some(0));
    }
}
