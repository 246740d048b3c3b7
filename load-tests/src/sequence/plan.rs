//! Names, and what is drawn: a function of the seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `source` of all that the generator sends.
pub const SOURCE: &str = "/load-tests/sequence";
/// Type of a numbered signal.
pub const NUMBER_TYPE: &str = "load.sequence.number";

/// Numbers of which the workflow does something more than to tell them; as in `sequence.yaml`.
#[derive(Clone, Copy, Debug)]
pub struct Every {
    of: u32,
    remainder: u32,
}

/// Numbers that a worker must answer first.
pub const ANSWERED_BY_WORKER: Every = Every { of: 10, remainder: 9 };
/// Numbers that wait for a timer first.
pub const WAITS_FOR_TIMER: Every = Every { of: 25, remainder: 12 };

impl Every {
    /// Whether `number` is one of them.
    #[must_use]
    pub fn holds(self, number: u32) -> bool {
        number % self.of == self.remainder
    }
}

/// How the records of a key get to their partition. A key sticks to one way: order is kept for each partition of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To its home, as Java's partitioner does.
    Home,
    /// To where librdkafka's own partitioner (CRC32) puts it; in one of P cases that is its home.
    Misrouted,
    /// To one partition that is not its home.
    Wrong,
}

/// Extra copies that are sent along with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// None.
    None,
    /// The same record twice.
    AtOnce,
    /// A copy of something older, before it: the start (none) or a number.
    Before(Option<u32>),
    /// The same, after it.
    After(Option<u32>),
}

/// What is drawn for one key.
#[derive(Debug)]
pub struct KeyPlan {
    /// Its way.
    pub way: Way,
    rng: ChaCha8Rng,
}

/// Of 100 numbers, so many are sent twice at once, and so many are accompanied by something older.
const AT_ONCE_PERCENT: u32 = 4;
const OLDER_PERCENT: u32 = 4;

impl KeyPlan {
    /// Of the key with this number. Each key has a random stream of its own.
    #[must_use]
    pub fn new(seed: u64, key: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(key as u64);
        let way = match rng.random_range(0..4) {
            0 | 1 => Way::Home,
            2 => Way::Misrouted,
            _ => Way::Wrong,
        };
        Self { way, rng }
    }

    /// What goes along with `number`.
    pub fn extra(&mut self, number: u32) -> Extra {
        let drawn = self.rng.random_range(0..100);
        if drawn < AT_ONCE_PERCENT {
            return Extra::AtOnce;
        }
        if drawn >= AT_ONCE_PERCENT + OLDER_PERCENT {
            return Extra::None;
        }
        let older = self.rng.random_range(0..=number).checked_sub(1);
        if drawn % 2 == 0 { Extra::Before(older) } else { Extra::After(older) }
    }
}

/// The partition that a key of the way `Wrong` is sent to: never its home, always the same.
#[must_use]
pub fn wrong_partition(key: usize, home: u32, partitions: u32) -> u32 {
    let others = partitions.saturating_sub(1).max(1);
    (home + 1 + (key as u32) % others) % partitions
}

/// The instance id of a key.
#[must_use]
pub fn id_of(run: &str, key: usize) -> String {
    format!("sequence-{run}-{key}")
}

/// The number of a key of this run, from its id.
#[must_use]
pub fn key_of(run: &str, id: &str) -> Option<usize> {
    id.strip_prefix("sequence-")?.strip_prefix(run)?.strip_prefix('-')?.parse().ok()
}

/// The id of an event: the start (none) or a number.
#[must_use]
pub fn event_id(instance: &str, number: Option<u32>) -> String {
    number.map_or_else(|| instance.to_owned(), |number| format!("{instance}/{number}"))
}

/// The number in the id of an event of `instance`; none for its start.
#[must_use]
pub fn number_of_event(instance: &str, id: &str) -> Option<u32> {
    id.strip_prefix(instance)?.strip_prefix('/')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_can_be_read_back() {
        let id = id_of("run", 42);
        assert_eq!((key_of("run", &id), key_of("nur", &id)), (Some(42), None));
        assert_eq!(number_of_event(&id, &event_id(&id, Some(7))), Some(7));
        assert_eq!(number_of_event(&id, &event_id(&id, None)), None);
    }

    #[test]
    fn a_key_is_a_function_of_the_seed_and_its_number() {
        let drawn = |seed, key| {
            let mut plan = KeyPlan::new(seed, key);
            (plan.way, (0..200).map(|number| plan.extra(number)).collect::<Vec<_>>())
        };
        assert_eq!(drawn(1, 5), drawn(1, 5));
        assert_ne!(drawn(1, 5), drawn(2, 5));
        let all: Vec<Extra> = (0..50).flat_map(|key| drawn(1, key).1).collect();
        let share = |is: fn(&Extra) -> bool| all.iter().filter(|it| is(it)).count() as f64 / all.len() as f64;
        assert!((0.03..0.05).contains(&share(|it| *it == Extra::AtOnce)));
        assert!((0.015..0.025).contains(&share(|it| matches!(it, Extra::Before(_)))));
        assert!((0.015..0.025).contains(&share(|it| matches!(it, Extra::After(_)))));
    }

    #[test]
    fn what_goes_along_is_older() {
        let mut plan = KeyPlan::new(1, 1);
        for number in (0..50).cycle().take(5_000) {
            if let Extra::Before(Some(older)) | Extra::After(Some(older)) = plan.extra(number) {
                assert!(older < number);
            }
        }
    }

    #[test]
    fn wrong_is_never_home() {
        for key in 0..100 {
            for home in 0..8 {
                let wrong = wrong_partition(key, home, 8);
                assert!(wrong != home && wrong < 8);
            }
        }
    }
}
