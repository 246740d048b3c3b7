//! The workflow language: definitions, their admission, expressions, and the compiled program that the engine runs.
//!
//! Pure: no clock, no network, no files, no randomness. The same text always compiles to the same program.
//!
//! Reading order: [`program`], what the engine runs; [`expression`], jq with guards; [`admission`], from text to program;
//! [`bundle`], what a definition refers to elsewhere; [`schema`], JSON Schemas of data; `describe`, a program as text.

pub mod admission;
pub mod bundle;
mod describe;
pub mod expression;
pub mod program;
pub mod schema;
mod walk;
