//! When work is due: fixed before the run, so that a fleet which stands still makes nobody wait with asking.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How the arrivals of a rate are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// At equal distances.
    Even,
    /// As of many who do not know of each other: distances are exponential.
    Poisson,
}

/// Times since the start, ascending, without an end.
#[derive(Debug)]
pub(super) struct Arrivals {
    rate: f64,
    spread: Spread,
    rng: ChaCha8Rng,
    number: u64,
    last_s: f64,
}

impl Arrivals {
    pub(super) fn new(rate: f64, spread: Spread, seed: u64) -> Self {
        Self { rate, spread, rng: ChaCha8Rng::seed_from_u64(seed), number: 0, last_s: 0.0 }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at_s = match self.spread {
            Spread::Even => self.number as f64 / self.rate,
            Spread::Poisson => {
                let uniform: f64 = self.rng.random();
                self.last_s - (1.0 - uniform).ln() / self.rate
            }
        };
        self.number += 1;
        self.last_s = at_s;
        Some(Duration::from_secs_f64(at_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spreads_have_the_rate_and_ascend() {
        for spread in [Spread::Even, Spread::Poisson] {
            let all: Vec<Duration> = Arrivals::new(200.0, spread, 7).take(20_000).collect();
            assert!(all.is_sorted());
            let last = all.last().unwrap().as_secs_f64();
            assert!((97.0..103.0).contains(&last), "{spread:?}: {last}");
        }
    }
}
