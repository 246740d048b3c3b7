//! Key-groups: the unit in which keys move between partitions (state protocol 2.1). Which key is in which group, and which
//! partition is its home, is for `millrace-placement` to say.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Offset;

/// Number of key-groups, fixed for ever. Partition counts must divide it, so they are powers of two up to it.
pub const KEY_GROUPS: u16 = 4096;

/// A key-group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyGroup(pub u16);

/// An index of ownership: partition i of `.internal` and `.changelog`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionIndex(pub u32);

/// The key-groups `g` with `g mod modulus == residue`. Every set that a plan can move is one of these: the groups of one of
/// `modulus` partitions, down to a single hot group (`modulus` = [`KEY_GROUPS`]). Two of them are either nested or disjoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct KeyGroups {
    /// A power of two up to [`KEY_GROUPS`].
    modulus: u32,
    /// Less than `modulus`.
    residue: u32,
}

impl KeyGroups {
    /// All of them.
    pub const ALL: Self = Self { modulus: 1, residue: 0 };

    /// # Errors
    /// When `modulus` is no power of two up to [`KEY_GROUPS`], or `residue` is not less than it.
    pub fn new(modulus: u32, residue: u32) -> Result<Self, InvalidKeyGroups> {
        if modulus.is_power_of_two() && modulus <= u32::from(KEY_GROUPS) && residue < modulus {
            Ok(Self { modulus, residue })
        } else {
            Err(InvalidKeyGroups { modulus, residue })
        }
    }

    /// Those whose home is `index` when there are `partitions` in all, and nothing was handed over.
    ///
    /// # Errors
    /// When there are no such partitions, or no such index.
    pub fn of(index: PartitionIndex, partitions: u32) -> Result<Self, InvalidKeyGroups> {
        Self::new(partitions, index.0)
    }

    /// Only this one.
    #[must_use]
    pub fn single(group: KeyGroup) -> Self {
        Self { modulus: u32::from(KEY_GROUPS), residue: u32::from(group.0 % KEY_GROUPS) }
    }

    /// See the type.
    #[must_use]
    pub fn modulus(self) -> u32 {
        self.modulus
    }

    /// See the type.
    #[must_use]
    pub fn residue(self) -> u32 {
        self.residue
    }

    /// Whether `group` is one of them.
    #[must_use]
    pub fn contains(self, group: KeyGroup) -> bool {
        u32::from(group.0) % self.modulus == self.residue
    }

    /// Whether all of `others` are among them.
    #[must_use]
    pub fn includes(self, others: Self) -> bool {
        self.modulus <= others.modulus && others.residue % self.modulus == self.residue
    }

    /// What becomes of them when every partition is split into `parts`: `parts` sets that have nothing in common and are
    /// together this one. The first is what stays with the parent.
    ///
    /// # Errors
    /// When `parts` is no power of two, or larger than [`Self::len`].
    pub fn split(self, parts: u32) -> Result<impl Iterator<Item = Self>, InvalidKeyGroups> {
        let modulus = self.modulus.saturating_mul(parts);
        Self::new(modulus, self.residue)?;
        Ok((0..parts).map(move |part| Self { modulus, residue: self.residue + part * self.modulus }))
    }

    /// How many.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no such set is empty")]
    pub fn len(self) -> u32 {
        u32::from(KEY_GROUPS) / self.modulus
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = KeyGroup> {
        let first = u16::try_from(self.residue).expect("less than the number of key-groups");
        (first..KEY_GROUPS).step_by(self.modulus as usize).map(KeyGroup)
    }
}

impl fmt::Display for KeyGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mod {}", self.residue, self.modulus)
    }
}

/// What was read, before it is known to be a set.
#[derive(Deserialize)]
struct Unchecked {
    modulus: u32,
    residue: u32,
}

impl TryFrom<Unchecked> for KeyGroups {
    type Error = InvalidKeyGroups;

    fn try_from(read: Unchecked) -> Result<Self, InvalidKeyGroups> {
        Self::new(read.modulus, read.residue)
    }
}

/// Numbers that name no set of key-groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{residue} mod {modulus} is no set of key-groups: the modulus must be a power of two from 1 to 4096, and the residue less than it"
)]
pub struct InvalidKeyGroups {
    modulus: u32,
    residue: u32,
}

/// The era of key-groups that came to a partition by a hand-over: their stamps count from here (state protocol 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGroupEra {
    /// Which.
    pub key_groups: KeyGroups,
    /// One more than the era that they had at their old home.
    pub era: u32,
    /// An offset of this partition's changelog, not after the first record of the era.
    pub era_base: Offset,
}

/// Key-groups that a partition has given away, and where their records are forwarded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGroupRoute {
    /// Which.
    pub key_groups: KeyGroups,
    /// To whom they were released. They may have moved on since; then they are forwarded again from there.
    pub to: PartitionIndex,
}

impl KeyGroupEra {
    /// The entry that holds for `group`: the most specific one. With none, the era of the log itself holds.
    #[must_use]
    pub fn of(entries: &[Self], group: KeyGroup) -> Option<Self> {
        let holding = entries.iter().filter(|entry| entry.key_groups.contains(group));
        holding.max_by_key(|entry| (entry.key_groups.modulus, entry.era)).copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn any_key_groups() -> impl Strategy<Value = KeyGroups> {
        (0..=12u32, 0..u32::from(KEY_GROUPS))
            .prop_map(|(bits, residue)| KeyGroups::new(1 << bits, residue % (1 << bits)).unwrap())
    }

    proptest! {
        #[test]
        fn a_split_leaves_nothing_out_and_nothing_twice(set in any_key_groups(), bits in 0..=12u32) {
            let parts = 1 << bits;
            if parts > set.len() {
                prop_assert!(set.split(parts).is_err());
                return Ok(());
            }
            let mut groups: Vec<_> = set.split(parts).unwrap().flat_map(KeyGroups::iter).collect();
            groups.sort();
            prop_assert_eq!(groups, set.iter().collect::<Vec<_>>());
            prop_assert!(set.split(parts).unwrap().all(|part| set.includes(part)));
        }

        #[test]
        fn two_sets_are_nested_or_disjoint(a in any_key_groups(), b in any_key_groups()) {
            let common = a.iter().filter(|group| b.contains(*group)).count() as u32;
            let expected = if a.includes(b) { b.len() } else if b.includes(a) { a.len() } else { 0 };
            prop_assert_eq!(common, expected);
        }
    }

    #[test]
    fn what_is_no_set_is_refused_wherever_it_comes_from() {
        for (modulus, residue) in [(0, 0), (3, 1), (8192, 0), (4, 4), (u32::MAX, 0)] {
            assert!(KeyGroups::new(modulus, residue).is_err(), "{residue} mod {modulus}");
            let json = serde_json::json!({"modulus": modulus, "residue": residue});
            assert!(serde_json::from_value::<KeyGroups>(json).is_err(), "{residue} mod {modulus}");
        }
        assert!(KeyGroups::ALL.split(3).is_err() && KeyGroups::ALL.split(0).is_err());
        let set = KeyGroups::new(8, 3).unwrap();
        assert_eq!(serde_json::from_value::<KeyGroups>(serde_json::to_value(set).unwrap()).unwrap(), set);
        assert_eq!(KeyGroups::single(KeyGroup(4095)).iter().collect::<Vec<_>>(), [KeyGroup(4095)]);
    }

    #[test]
    fn the_most_specific_era_holds() {
        let entry = |key_groups, era, base| KeyGroupEra { key_groups, era, era_base: Offset(base) };
        let entries = [
            entry(KeyGroups::single(KeyGroup(5)), 2, 90),
            entry(KeyGroups::new(4, 1).unwrap(), 1, 10),
            // Handed over, handed back, and handed over again: the later one holds.
            entry(KeyGroups::new(4, 1).unwrap(), 3, 120),
        ];
        let era = |group| KeyGroupEra::of(&entries, KeyGroup(group)).map(|it| (it.era, it.era_base.0));
        assert_eq!([era(5), era(9), era(2)], [Some((2, 90)), Some((3, 120)), None]);
    }
}
