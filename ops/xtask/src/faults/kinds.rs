//! The faults, and when which one comes: a function of the seed.

use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// What is done to the fleet and its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `kill -9` of a processor, and a new one after a pause.
    KillProcessor,
    /// SIGSTOP of a processor for longer than its session lasts: it wakes up as a zombie.
    FreezeProcessor,
    /// `kill -9` of one broker of three, and its restart.
    KillBroker,
    /// SIGSTOP of the store.
    FreezeStore,
    /// A processor leaves in good order.
    Leave,
    /// A processor joins.
    Join,
}

/// One of each: what the bag is filled with.
pub(crate) const KINDS: [Kind; 6] = [
    Kind::KillProcessor,
    Kind::FreezeProcessor,
    Kind::KillBroker,
    Kind::FreezeStore,
    Kind::Leave,
    Kind::Join,
];

impl Kind {
    /// For people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::KillProcessor => "kill -9 of a processor",
            Self::FreezeProcessor => "processor stopped (SIGSTOP) for longer than its session",
            Self::KillBroker => "kill -9 of a broker",
            Self::FreezeStore => "store stopped (SIGSTOP)",
            Self::Leave => "processor leaves in good order",
            Self::Join => "processor joins",
        }
    }
}

/// How long faults last, and the pauses between their beginnings: ranges in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) between: (f64, f64),
    pub(crate) processor_dead: (f64, f64),
    pub(crate) processor_frozen: (f64, f64),
    pub(crate) broker_dead: (f64, f64),
    pub(crate) store_frozen: (f64, f64),
    /// At least so many processors are neither frozen nor dead nor leaving.
    pub(crate) sound_min: usize,
}

impl Pace {
    /// For runs of minutes.
    pub(crate) const LONG: Self = Self {
        between: (6.0, 20.0),
        processor_dead: (0.5, 8.0),
        processor_frozen: (8.0, 20.0),
        broker_dead: (2.0, 15.0),
        store_frozen: (5.0, 30.0),
        sound_min: 1,
    };
    /// One of each within a minute.
    pub(crate) const SHORT: Self = Self {
        between: (5.0, 9.0),
        processor_dead: (0.5, 3.0),
        processor_frozen: (8.0, 10.0),
        broker_dead: (2.0, 5.0),
        store_frozen: (5.0, 7.0),
        sound_min: 2,
    };
}

/// Draws kinds from a bag that holds one of each and is filled again when it is empty, so that none is left out.
#[derive(Debug)]
pub(crate) struct Dice {
    rng: ChaCha8Rng,
    bag: Vec<Kind>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), bag: Vec::new() }
    }

    /// The next kind that is possible now. Those that are not stay in the bag for later.
    pub(crate) fn kind(&mut self, is_possible: impl Fn(Kind) -> bool) -> Option<Kind> {
        if self.bag.is_empty() {
            self.bag = KINDS.to_vec();
            self.bag.shuffle(&mut self.rng);
        }
        let found = self.bag.iter().position(|it| is_possible(*it))?;
        Some(self.bag.remove(found))
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.rng.random_range(0..from.len())]) }
    }

    /// A time of that range.
    pub(crate) fn time(&mut self, (from, to): (f64, f64)) -> Duration {
        Duration::from_secs_f64(self.rng.random_range(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_a_function_of_the_seed() {
        let drawn = |seed| {
            let mut dice = Dice::new(seed);
            (0..30).map(|_| (dice.kind(|_| true), dice.time(Pace::LONG.between))).collect::<Vec<_>>()
        };
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), drawn(4));
    }

    #[test]
    fn every_kind_comes_before_one_comes_again_and_what_is_impossible_waits() {
        let mut dice = Dice::new(1);
        let first: Vec<Kind> =
            (0..KINDS.len() - 1).filter_map(|_| dice.kind(|it| it != Kind::Join)).collect();
        assert_eq!(first.len(), KINDS.len() - 1);
        assert_eq!(dice.kind(|it| it != Kind::Join), None);
        assert_eq!(dice.kind(|_| true), Some(Kind::Join));
        let mut all: Vec<Kind> = (0..KINDS.len()).filter_map(|_| dice.kind(|_| true)).collect();
        all.sort_unstable();
        assert_eq!(all, KINDS);
    }
}
