//! Key-groups: the unit in which keys move between partitions (state protocol 2.1).

pub use millrace_schemas::key_groups::{KEY_GROUPS, KeyGroup, KeyGroups, PartitionIndex};
use serde::{Deserialize, Serialize};

/// Number of timer buckets: the timer index is partitioned by these and by hour. Divides [`KEY_GROUPS`].
/// For partition counts up to it, each bucket has one owner.
pub const TIMER_BUCKETS: u16 = 256;

/// A bucket of the timer index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerBucket(pub u16);

/// The key-group of a key. Kafka's own murmur2 (as Java's default partitioner), made positive, modulo [`KEY_GROUPS`]: so a
/// Java-style producer's partition is the key's home.
#[must_use]
pub fn key_group(key: &[u8]) -> KeyGroup {
    KeyGroup(keyed_partition(key, u32::from(KEY_GROUPS)) as u16)
}

/// The partition that a Java-style producer sends a record with this key to, of `partitions` in all.
#[must_use]
pub fn keyed_partition(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// The partition that owns a key-group, of `partitions` in all.
#[must_use]
pub fn home(group: KeyGroup, partitions: u32) -> PartitionIndex {
    PartitionIndex(u32::from(group.0) % partitions)
}

impl TimerBucket {
    /// The bucket of a key-group.
    #[must_use]
    pub fn of(group: KeyGroup) -> Self {
        Self(group.0 % TIMER_BUCKETS)
    }

    /// The buckets that hold timers of `index`, of `partitions` in all. With more partitions than buckets a bucket is shared.
    pub fn owned_by(index: PartitionIndex, partitions: u32) -> impl Iterator<Item = Self> {
        let step = partitions.min(u32::from(TIMER_BUCKETS)) as usize;
        let first = u16::try_from(index.0 % u32::from(TIMER_BUCKETS)).expect("less than TIMER_BUCKETS");
        (first..TIMER_BUCKETS).step_by(step).map(Self)
    }
}

/// MurmurHash2, 32 bits, as in `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ u32::try_from(data.len()).expect("keys are short");
    let chunks = data.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().expect("chunks of four"));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_the_java_client() {
        for (text, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn the_set_of_an_index_holds_what_is_at_home_there() {
        for partitions in [1, 2, 8, 4096] {
            for group in (0..KEY_GROUPS).map(KeyGroup) {
                let set = KeyGroups::of(home(group, partitions), partitions).expect("a home is an index");
                assert!(set.contains(group), "{group:?} of {partitions}");
            }
            let sets = (0..partitions).map(|it| KeyGroups::of(PartitionIndex(it), partitions));
            assert_eq!(sets.map(|it| it.expect("an index").len()).sum::<u32>(), u32::from(KEY_GROUPS));
            assert!(KeyGroups::of(PartitionIndex(partitions), partitions).is_err());
        }
    }

    #[test]
    fn every_bucket_is_owned_and_only_by_its_home() {
        for partitions in [1, 2, 8, 64, 256] {
            let mut owners = vec![0; TIMER_BUCKETS as usize];
            for index in 0..partitions {
                for bucket in TimerBucket::owned_by(PartitionIndex(index), partitions) {
                    owners[bucket.0 as usize] += 1;
                }
            }
            assert!(owners.iter().all(|n| *n == 1), "{partitions}");
        }
        for group in (0..KEY_GROUPS).map(KeyGroup) {
            for partitions in [1, 8, 512] {
                let owner = home(group, partitions);
                assert!(TimerBucket::owned_by(owner, partitions).any(|it| it == TimerBucket::of(group)));
            }
        }
    }
}
