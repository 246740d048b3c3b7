//! The shell's dependencies in memory: deterministic, for tests on a paused clock. Never part of the product.

mod store;

pub use store::MemoryStore;
