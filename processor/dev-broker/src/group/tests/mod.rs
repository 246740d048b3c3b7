//! Conversations with the coordinator.
#![allow(clippy::unwrap_used)]

mod world;

mod membership;
mod offsets;
mod property;
mod restart;
mod static_members;
mod table;
mod timeouts;
mod transactions;

use expect_test::Expect;

use world::World;

/// Runs a script, and compares the conversation.
#[track_caller]
fn check(script: &str, expect: Expect) {
    let mut world = World::default();
    expect.assert_eq(&world.run(script));
}
