//! From text to program.

pub mod errors;
