//! Live repartitioning as a model: one partition grows to two while producers write (state protocol, section 3).
//!
//! The placement of keys, the holdings, the stamps and the records of the hand-over are the real ones; the owner of a partition
//! is a model of `millrace-partition` with the steps that this one does not have yet. States are the sequence of what was applied.
//!
//! **What may fail.** An owner at any point: between any two steps, and in a commit, which may be aborted, or applied or not and
//! reported as unknown; both kill the incarnation. A dead owner may linger as a zombie and go on writing snapshots and checkpoints.
//! Writes to the store arrive late, in any order, twice, or never; their answers may be lost. The coordinator forgets all that
//! is not in a topic. Clean keys are evicted at any time. Owners, producers and the coordinator run at any relative speed.
//!
//! **What may not.** The broker loses nothing that was committed. A transaction is atomic, its control record and aborted records
//! take up offsets, and a commit of an older generation is refused (fences F1 to F4 are the subject of the model of one partition, not
//! of this one). A row of the store is one register, read and written atomically. A producer waits for each acknowledgement and
//! learns of the new partition within the window (assumption A1). There is one hand-over, from parent to child.
//!
//! **What is checked.** At each commit: per producer and key the records are applied as 0, 1, 2, … (order, nothing twice); the state that
//! the owner went on from is all that was committed for the key (nothing lost); the committing partition is the key's only home
//! (R1). At the hand-over: the store has the whole state of each key that moves (R3). At each write: what was acknowledged is
//! visible, or something newer is, and a row is always a prefix of the truth (R4). Then faults stop: within a bound, all records
//! must be applied, everything flushed and the plan done; late writes still arrive, and new owners must read back the truth.
//!
//! **Where it says more than the design.** The child's gate goes off when the plan is done, not at the end of the window: records that
//! stale producers wrote within it may still be unread (`GateOffAtWindowEnd`). So an urgent plan is done only once the parent has
//! read all of its public partition that was there after the window, and the child all of its `.internal` that was there after that.
//! A parent without input repeats its progress, or a child that died after it had read it would wait until then. The checkpoint
//! has to say what was given away (`CheckpointWithoutReleased`). What a partition was born with follows from the oldest plan, since the
//! topics grow before anything moves. A replay passes over entries of keys that are given away further on: the store has them.
//!
//! Reading order: [`mutant`], what the checks must see; [`world`], the steps and the two phases; [`owner`], the protocol;
//! [`coordinator`], the plan; [`ledger`], the checks; [`broker`], [`store`], [`producers`] and [`swarm`], the surroundings.

mod broker;
mod coordinator;
mod ledger;
mod mutant;
mod owner;
mod producers;
mod store;
mod swarm;
mod world;

pub use mutant::Mutant;

/// When the child's key-groups are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Once every producer knows the new partition (protocol B).
    Window,
    /// As soon as the new partition exists; the child waits for the parent instead (protocol B').
    Urgent,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Window, Self::Urgent];
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was wrong first: the kind in one word, a colon, and what was seen.
    pub violation: Option<String>,
    /// How many steps were made.
    pub steps: u64,
    /// Each step, in order.
    pub history: Vec<String>,
}

/// Runs one world. The same arguments give the same outcome.
#[must_use]
pub fn run(seed: u64, mode: Mode, mutant: Option<Mutant>) -> Outcome {
    world::World::new(seed, mode, mutant).run()
}
