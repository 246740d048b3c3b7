//! What one seed is made of: how fast each part runs, and how likely each fault is. Several faults are impossible in any one seed
//! (swarm testing, Groce et al. 2012): a fault that hides another one is then missing in some.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// One thing that the world may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Produce,
    PassTime,
    Coordinate,
    /// A partition without an owner gets one.
    Acquire(usize),
    /// The owner of the parent fetches from the child's public partition, or the child does.
    Fetch(usize),
    /// A batch.
    Work(usize),
    /// The next step of a plan in this owner.
    Advance(usize),
    /// An owner that has nothing to do says how far it is.
    Idle(usize),
    Flush(usize),
    Checkpoint(usize),
    /// A write arrives, and so does its answer.
    Deliver,

    Evict(usize),
    Crash(usize),
    /// A dead owner does something.
    Zombie,
    CoordinatorForgets,
    /// A write arrives; its answer is lost.
    LoseAnswer,
    /// A write arrives, and will again.
    Duplicate,
    LoseWrite,
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    Aborted,
    /// It is in the log, and the owner does not know.
    AppliedButUnknown,
    NotAppliedAndUnknown,
}

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Swarm {
    choices: Vec<(Choice, u32)>,
    fates: [(Fate, u32); 4],
    /// Chance that a dead owner lingers, in percent.
    pub(crate) lingers: u32,
    /// Ticks with faults after the key-groups have moved.
    pub(crate) ticks_after: u32,
    /// How long producers may take to learn of a new partition, in ticks.
    pub(crate) window: u64,
    /// When the plan is made.
    pub(crate) starts_at: u64,
}

impl Swarm {
    pub(crate) fn draw(rng: &mut ChaCha8Rng) -> Self {
        // Relative speeds: every part runs, some slowly.
        let speed = |rng: &mut ChaCha8Rng, max: u32| rng.random_range(1..=max);
        let mut choices = vec![
            (Choice::Produce, 2 + speed(rng, 12)),
            (Choice::PassTime, speed(rng, 4)),
            (Choice::Coordinate, speed(rng, 6)),
            (Choice::Deliver, speed(rng, 16)),
        ];
        for index in 0..2 {
            choices.extend([
                (Choice::Acquire(index), speed(rng, 8)),
                (Choice::Fetch(index), speed(rng, 8)),
                (Choice::Work(index), speed(rng, 12)),
                (Choice::Advance(index), speed(rng, 6)),
                (Choice::Idle(index), speed(rng, 2)),
                (Choice::Flush(index), speed(rng, 8)),
                (Choice::Checkpoint(index), speed(rng, 4)),
            ]);
        }
        let fault = |rng: &mut ChaCha8Rng, max: u32| {
            if rng.random_bool(0.4) { 0 } else { rng.random_range(1..=max) }
        };
        for index in 0..2 {
            choices.extend([(Choice::Evict(index), fault(rng, 6)), (Choice::Crash(index), fault(rng, 2))]);
        }
        choices.extend([
            (Choice::Zombie, fault(rng, 8)),
            (Choice::CoordinatorForgets, fault(rng, 2)),
            (Choice::LoseAnswer, fault(rng, 4)),
            (Choice::Duplicate, fault(rng, 4)),
            (Choice::LoseWrite, fault(rng, 4)),
        ]);
        let fates = [
            (Fate::Committed, 40),
            (Fate::Aborted, fault(rng, 8)),
            (Fate::AppliedButUnknown, fault(rng, 3)),
            (Fate::NotAppliedAndUnknown, fault(rng, 3)),
        ];
        Self {
            choices,
            fates,
            lingers: fault(rng, 100),
            ticks_after: rng.random_range(0..=400),
            window: rng.random_range(10..=150),
            starts_at: rng.random_range(0..=120),
        }
    }

    /// From now on every commit succeeds, and nobody lingers.
    pub(crate) fn spare(&mut self) {
        self.lingers = 0;
        for (fate, weight) in &mut self.fates {
            *weight = u32::from(*fate == Fate::Committed);
        }
    }

    pub(crate) fn choice(&self, rng: &mut ChaCha8Rng) -> Choice {
        weighted(&self.choices, rng)
    }

    pub(crate) fn fate(&self, rng: &mut ChaCha8Rng) -> Fate {
        weighted(&self.fates, rng)
    }
}

fn weighted<T: Copy>(choices: &[(T, u32)], rng: &mut ChaCha8Rng) -> T {
    let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
    let mut drawn = rng.random_range(0..total);
    for (choice, weight) in choices {
        if drawn < *weight {
            return *choice;
        }
        drawn -= weight;
    }
    unreachable!("what is drawn is less than the sum of the weights")
}
