//! What one seed is made of: the size of its world, and how likely each fault is. Several of them are impossible in any one seed
//! (swarm testing, Groce et al. 2012): a fault that hides another one is then missing in some.

use rand::{Rng, RngExt};

/// The plan of a run, drawn from its seed.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) nodes: usize,
    pub(crate) lanes: usize,
    pub(crate) partitions: usize,
    /// Of the public topic: as many, or twice as many.
    pub(crate) event_partitions: usize,
    /// Of the users' topic: any number.
    pub(crate) topic_partitions: usize,
    pub(crate) instances: usize,
    /// Of ten instances: so many gather signals, so many call workers; the rest wait for timers.
    pub(crate) collect_of_ten: u32,
    pub(crate) call_of_ten: u32,
    /// Those that wait do so for many timers that are due at once.
    pub(crate) is_herd: bool,
    /// Of ten instances, how many have a producer that hashes with something else than murmur2.
    pub(crate) misrouted_of_ten: usize,
    /// Steps with faults, before they end.
    pub(crate) steps: usize,
    /// Most milliseconds that a node's clock is off.
    pub(crate) skew_ms: i64,
    /// Workers begin tasks that are not committed.
    pub(crate) speculates: bool,
    pub(crate) weights: Weights,
}

/// How often the world does something, against the 100 of ordinary progress.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weights {
    pub(crate) crash: u32,
    pub(crate) freeze: u32,
    pub(crate) leave: u32,
    pub(crate) rebalance: u32,
    /// The producer's requests fail, or their answers are lost.
    pub(crate) produce_fails: u32,
    pub(crate) end_lost: u32,
    pub(crate) end_answer_lost: u32,
    /// Store writes that time out, in percent of those that are looked at.
    pub(crate) store_timeout: u32,
    /// Of those, how many were lost, in percent.
    pub(crate) store_loses: u32,
    /// The store answers nobody for a while.
    pub(crate) store_outage: u32,
    pub(crate) duplicate: u32,
    pub(crate) time: u32,
    pub(crate) cancel: u32,
    /// Of the records that users send, how many are nonsense, in percent.
    pub(crate) poison: u32,
    /// A clock is set, within the skew.
    pub(crate) clock_jump: u32,
    /// A timer that was proposed once is proposed again by a later transaction, maybe of a later owner, in percent.
    pub(crate) timer_echo: u32,
}

impl Swarm {
    pub(crate) fn draw(rng: &mut impl Rng) -> Self {
        let partitions = 1 << rng.random_range(0..3_usize);
        let mut weight = |max: u32| if rng.random_bool(0.4) { 0 } else { rng.random_range(1..=max) };
        let weights = Weights {
            crash: weight(6),
            freeze: weight(6),
            leave: weight(4),
            rebalance: weight(8),
            produce_fails: weight(8),
            end_lost: weight(8),
            end_answer_lost: weight(8),
            store_timeout: weight(40),
            store_loses: weight(60),
            store_outage: weight(3),
            duplicate: weight(30),
            time: 1 + weight(30),
            cancel: weight(10),
            poison: weight(10),
            clock_jump: weight(6),
            timer_echo: weight(40),
        };
        let collect_of_ten = rng.random_range(0..=8);
        Self {
            collect_of_ten,
            call_of_ten: rng.random_range(0..=10 - collect_of_ten),
            is_herd: rng.random_bool(0.3),
            nodes: rng.random_range(1..=3),
            lanes: rng.random_range(1..=2),
            partitions,
            event_partitions: partitions << rng.random_range(0..2),
            topic_partitions: rng.random_range(1..=5),
            instances: rng.random_range(2..=7),
            misrouted_of_ten: if rng.random_bool(0.5) { 0 } else { rng.random_range(1..=8) },
            steps: rng.random_range(100..=700),
            skew_ms: if rng.random_bool(0.7) { 0 } else { rng.random_range(1..=400) },
            speculates: rng.random_bool(0.5),
            weights,
        }
    }
}
