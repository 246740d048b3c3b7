//! The protocol holds in the simulated fleet, a run is a function of its seed, and the checks see each way to break the protocol.
//!
//! More seeds, faster: `cargo xtask sim --seeds 100000`; all mutants: `cargo xtask sim --mutants`. One seed, step by step:
//! `cargo run --release -p millrace-sim -- --from SEED --seeds 1 --show`.

use millrace_sim::fleet::{Checks, Mutant, run};

/// Seeds of this test; unoptimised, they are slow.
const SEEDS: u64 = 400;

#[test]
fn nothing_is_lost_doubled_or_reordered_whatever_fails() {
    for seed in 0..SEEDS {
        let outcome = run(seed, None, Checks::All, false);
        assert_eq!(
            outcome.violation, None,
            "run it again with: cargo run --release -p millrace-sim -- --from {seed} --seeds 1 --show"
        );
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in 0..20 {
        let (first, second) = (run(seed, None, Checks::All, true), run(seed, None, Checks::All, true));
        assert_eq!(first.lines, second.lines, "seed {seed}");
        assert_eq!(first.digest, second.digest, "seed {seed}");
    }
}

/// The others need more seeds: `cargo xtask sim --mutants`, which is part of `cargo xtask ci`.
#[test]
fn mutants_that_do_harm_often_are_seen_at_once() {
    for mutant in [
        Mutant::CheckpointIgnoresDirty,
        Mutant::CheckpointAtLastDirty,
        Mutant::HistoryNotWritten,
        Mutant::TimersNotIndexed,
        Mutant::NoOffsetGuard,
        Mutant::RecordsOutliveIncarnation,
    ] {
        let is_seen = (0..SEEDS).any(|seed| run(seed, Some(mutant), Checks::All, false).violation.is_some());
        assert!(is_seen, "{mutant:?}: nothing was noticed in {SEEDS} seeds");
    }
}
