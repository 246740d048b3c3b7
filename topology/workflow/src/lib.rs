//! The workflow language: definitions, their admission, expressions, and the compiled program that the engine runs.
//!
//! Pure: no clock, no network, no files, no randomness. The same text always compiles to the same program.
//!
//! Reading order: [`program`], what the engine runs; [`expression`], jq with guards; [`admission`], from text to program;
//! [`schema`], JSON Schemas of data; [`bundle`], what a definition refers to elsewhere; [`data_uri`], contents within a definition;
//! `describe`, a program as text; [`graph`], as a picture's nodes and edges.

pub mod admission;
pub mod bundle;
pub mod data_uri;
mod describe;
pub mod expression;
pub mod graph;
pub mod program;
pub mod schedule;
pub mod schema;
mod walk;
