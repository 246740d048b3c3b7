//! The hand-over of key-groups holds under faults, and the checks see each way to break it.
//!
//! `SIM_SEED=42 cargo test -p millrace-sim --test repartition` runs that seed alone and prints its history.
#![allow(clippy::print_stderr)]

use millrace_sim::repartition::{Mode, Mutant, run};

/// Seeds for each mode.
const SEEDS: u64 = 2_000;
/// Within so many seeds each mutant must be seen.
const SEEDS_OF_A_MUTANT: u64 = 400;

fn the_protocol_holds(mode: Mode) {
    let one = std::env::var("SIM_SEED").ok().map(|it| it.parse().expect("SIM_SEED is a number"));
    for seed in one.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let outcome = run(seed, mode, None);
        if one.is_some() || outcome.violation.is_some() {
            eprintln!("{}", outcome.history.join("\n"));
        }
        assert_eq!(
            outcome.violation, None,
            "{mode:?}: run it again with SIM_SEED={seed} cargo test -p millrace-sim --test repartition"
        );
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered_when_the_window_is_waited_for() {
    the_protocol_holds(Mode::Window);
}

#[test]
fn nothing_is_lost_doubled_or_reordered_when_it_is_urgent() {
    the_protocol_holds(Mode::Urgent);
}

#[test]
fn every_mutant_is_seen_in_each_mode_that_it_changes() {
    for mutant in Mutant::ALL {
        for mode in mutant.modes() {
            let is_seen =
                (0..SEEDS_OF_A_MUTANT).any(|seed| run(seed, *mode, Some(mutant)).violation.is_some());
            assert!(is_seen, "{mutant:?} in {mode:?}: nothing was noticed in {SEEDS_OF_A_MUTANT} seeds");
        }
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in 0..20 {
        for mode in Mode::ALL {
            let (first, second) = (run(seed, mode, None), run(seed, mode, None));
            assert_eq!(first.history.join("\n"), second.history.join("\n"), "seed {seed}, {mode:?}");
            assert_eq!(first, second);
        }
    }
}
