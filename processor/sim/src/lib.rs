//! Simulated worlds: the protocols of the processor under crashes, zombies and lost answers, many times a second. A run is a
//! function of its seed; nothing in here reads a clock or does I/O.

pub mod repartition;
