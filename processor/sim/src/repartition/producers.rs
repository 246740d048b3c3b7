//! Those who write to the inbox: each waits for every acknowledgement, and learns of a new partition once, within the window.

use millrace_placement::{KeyGroup, home, key_group};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::broker::{Broker, Cause, Event, Key};

/// Keys of a world: half of them move.
pub(crate) const KEYS: usize = 6;
const PRODUCERS: u8 = 4;
/// Records of one producer, at most.
const RECORDS_MAX: u32 = 20;

/// The keys, with their real key-groups.
#[derive(Debug)]
pub(crate) struct Keys(Vec<(String, KeyGroup)>);

impl Keys {
    pub(crate) fn new(rng: &mut ChaCha8Rng) -> Self {
        let first: u32 = rng.random_range(0..1_000_000);
        let candidates = (first..).map(|number| {
            let name = format!("order-{number}");
            let group = key_group(name.as_bytes());
            (name, group)
        });
        let mut keys: Vec<(String, KeyGroup)> = Vec::with_capacity(KEYS);
        for (name, group) in candidates {
            let same = keys.iter().filter(|(_, it)| it.0 % 2 == group.0 % 2).count();
            if same < KEYS / 2 {
                keys.push((name, group));
            }
            if keys.len() == KEYS {
                break;
            }
        }
        Self(keys)
    }

    pub(crate) fn name(&self, key: Key) -> &str {
        &self.0[usize::from(key.0)].0
    }

    pub(crate) fn group(&self, key: Key) -> KeyGroup {
        self.0[usize::from(key.0)].1
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Key> + use<> {
        (0..u8::try_from(self.0.len()).expect("few keys")).map(Key)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partitioner {
    /// Java's: the partition is the key's home.
    Murmur2,
    /// Any other hash of the key, modulo the partitions that it knows.
    Other,
}

#[derive(Debug)]
struct Producer {
    partitioner: Partitioner,
    /// How many records it still writes.
    left: u32,
    /// How many of those it keeps until the keys have moved.
    kept: u32,
    /// How many it has written of each key.
    written: Vec<u8>,
    /// When it learns of the new partition.
    switches_at: Option<u64>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Producers {
    all: Vec<Producer>,
    rng: ChaCha8Rng,
}

impl Producers {
    pub(crate) fn new(mut rng: ChaCha8Rng) -> Self {
        let all = (0..PRODUCERS).map(|_| {
            let left = rng.random_range(8..=RECORDS_MAX);
            Producer {
                partitioner: if rng.random_bool(0.6) { Partitioner::Murmur2 } else { Partitioner::Other },
                left,
                kept: rng.random_range(0..=left / 2),
                written: vec![0; KEYS],
                switches_at: None,
            }
        });
        Self { all: all.collect(), rng }
    }

    /// The inbox has a new partition: each producer will notice within `window`.
    pub(crate) fn grown(&mut self, now: u64, window: u64) {
        for producer in &mut self.all {
            producer.switches_at = Some(now + self.rng.random_range(0..=window));
        }
    }

    pub(crate) fn are_done(&self) -> bool {
        self.all.iter().all(|it| it.left == 0)
    }

    /// How many records of `producer` and `key` were written.
    pub(crate) fn written(&self) -> impl Iterator<Item = (u8, Key, u8)> {
        (0..).zip(&self.all).flat_map(|(producer, it)| {
            (0..).zip(&it.written).map(move |(key, count)| (producer, Key(key), *count))
        })
    }

    /// One of them writes a record.
    pub(crate) fn produce(
        &mut self,
        broker: &mut Broker,
        keys: &Keys,
        now: u64,
        have_keys_moved: bool,
    ) -> Option<String> {
        let is_ready = |it: &Producer| it.left > if have_keys_moved { 0 } else { it.kept };
        let ready: Vec<u8> =
            (0..PRODUCERS).filter(|number| is_ready(&self.all[usize::from(*number)])).collect();
        let number = *ready.get(self.rng.random_range(0..ready.len().max(1)))?;
        let key = Key(self.rng.random_range(0..u8::try_from(KEYS).expect("few keys")));
        let producer = &mut self.all[usize::from(number)];
        let known = if producer.switches_at.is_some_and(|at| now >= at) { broker.events.len() } else { 1 };
        let partitions = u32::try_from(known).expect("two at most");
        let partition = match producer.partitioner {
            Partitioner::Murmur2 => home(keys.group(key), partitions).0,
            Partitioner::Other => other_hash(keys.name(key)) % partitions,
        };
        let written = &mut producer.written[usize::from(key.0)];
        let cause = Cause { producer: number, number: *written };
        *written += 1;
        producer.left -= 1;
        let offset = broker.events[partition as usize].append(Event { key, cause });
        Some(format!("{number} writes {} of key {} to {partition}@{}", cause.number, key.0, offset.0))
    }
}

/// FNV-1a, folded so that its lowest bit depends on all of it.
fn other_hash(text: &str) -> u32 {
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash ^ (hash >> 16)
}
