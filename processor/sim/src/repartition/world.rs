//! The steps of a run: first with faults, then without, until everything has settled.

use millrace_placement::Topics;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::broker::{Broker, Key};
use super::coordinator::Coordinator;
use super::ledger::Ledger;
use super::owner::{Draft, Owner, Rules, Step, Surroundings};
use super::producers::{Keys, Producers};
use super::store::{Row, Store, Write};
use super::swarm::{Choice, Fate, Swarm};
use super::{Mode, Mutant, Outcome};

/// Records of one source in a batch, at most.
const BATCH_RECORDS_MAX: u32 = 4;
/// Writes on their way, at most; beyond, owners send only what a hand-over waits for.
const IN_FLIGHT_MAX: usize = 40;
/// Dead owners that linger, at most.
const ZOMBIES_MAX: usize = 4;
/// Faults end after so many ticks, even when nothing has moved by then: there may be too many of them.
const FAULTY_TICKS_MAX: u32 = 2_500;
/// Rounds without faults within which everything must settle.
const SETTLING_ROUNDS_MAX: u32 = 400;
/// How much time passes in such a round, in ticks.
const ROUND_TICKS: u64 = 5;

pub(crate) struct World {
    rules: Rules,
    swarm: Swarm,
    /// Chooses what happens next. The parts draw from generators of their own, so that a draw more in one leaves the others as they were.
    schedule: ChaCha8Rng,
    batches: ChaCha8Rng,
    faults: ChaCha8Rng,
    now: u64,
    steps: u64,
    keys: Keys,
    broker: Broker,
    store: Store,
    producers: Producers,
    coordinator: Coordinator,
    owners: [Option<Owner>; 2],
    zombies: Vec<Owner>,
    ledger: Ledger,
    history: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, mode: Mode, mutant: Option<Mutant>) -> Self {
        let mut root = ChaCha8Rng::seed_from_u64(seed);
        let mut child = || ChaCha8Rng::seed_from_u64(root.next_u64());
        let swarm = Swarm::draw(&mut child());
        let keys = Keys::new(&mut child());
        let producers = Producers::new(child());
        Self {
            rules: Rules { mode, mutant, window: swarm.window, topics: Topics::default() },
            coordinator: Coordinator::new(mode, swarm.window, swarm.starts_at),
            swarm,
            schedule: child(),
            batches: child(),
            faults: child(),
            now: 0,
            steps: 0,
            keys,
            broker: Broker::new(),
            store: Store::default(),
            producers,
            owners: [None, None],
            zombies: Vec::new(),
            ledger: Ledger::new(),
            history: Vec::new(),
        }
    }

    pub(crate) fn run(mut self) -> Outcome {
        let mut ticks_left = self.swarm.ticks_after;
        for _ in 0..FAULTY_TICKS_MAX {
            self.tick();
            if self.ledger.violation().is_some() {
                return self.outcome();
            }
            if self.ledger.has_installed() {
                if ticks_left == 0 {
                    break;
                }
                ticks_left -= 1;
            }
        }
        self.settle();
        if self.ledger.violation().is_none() {
            self.read_everything_back();
        }
        self.outcome()
    }

    fn outcome(self) -> Outcome {
        Outcome {
            violation: self.ledger.violation().map(str::to_owned),
            steps: self.steps,
            history: self.history,
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        let choice = self.swarm.choice(&mut self.schedule);
        self.act(choice);
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        self.steps += 1;
        self.history.push(format!("{} {what}", self.now));
    }

    fn act(&mut self, choice: Choice) {
        match choice {
            Choice::Produce => {
                let has_moved = self.ledger.has_released();
                let Self { producers, broker, keys, now, .. } = self;
                if let Some(what) = producers.produce(broker, keys, *now, has_moved) {
                    self.note(format_args!("producer {what}"));
                }
            }
            Choice::PassTime => self.now += self.schedule.random_range(0..=10),
            Choice::Coordinate => {
                let Self { broker, ledger, producers, now, .. } = self;
                if let Some(what) = self.coordinator.step(broker, ledger, producers, *now) {
                    self.note(what);
                }
            }
            Choice::CoordinatorForgets => self.coordinator.forget(),
            Choice::Acquire(index) => self.acquire(index),
            Choice::Fetch(index) => {
                if let Some(owner) = &mut self.owners[index]
                    && owner.fetch(&self.broker)
                {
                    self.note(format_args!("{index} fetches"));
                }
            }
            Choice::Work(index) => self.work(index, BATCH_RECORDS_MAX),
            Choice::Advance(index) => self.advance(index),
            Choice::Idle(index) => {
                if let Some(draft) = self.owners[index].as_ref().and_then(|it| it.idle(&self.broker)) {
                    self.commit(index, "tells its progress", draft);
                }
            }
            Choice::Flush(index) => {
                let dirty = self.owners[index].as_ref().map(Owner::dirty).unwrap_or_default();
                let some: Vec<_> = dirty.into_iter().filter(|_| self.batches.random_bool(0.5)).collect();
                if self.store.in_flight.len() < IN_FLIGHT_MAX {
                    self.flush(index, &some);
                }
            }
            Choice::Checkpoint(index) => {
                if let Some(owner) = &self.owners[index]
                    && self.store.in_flight.len() < IN_FLIGHT_MAX
                {
                    owner.checkpoint(&mut self.store);
                    self.note(format_args!("{index} sends a checkpoint"));
                }
            }
            Choice::Deliver => {
                if let Some(write) = self.take_write() {
                    self.deliver(&write);
                    self.answer(&write);
                }
            }
            Choice::LoseAnswer => {
                if let Some(write) = self.take_write() {
                    self.deliver(&write);
                }
            }
            Choice::Duplicate => {
                if let Some(write) = self.take_write() {
                    self.deliver(&write);
                    self.answer(&write);
                    self.store.in_flight.push(write);
                }
            }
            Choice::LoseWrite => {
                if let Some(write) = self.take_write() {
                    self.note(format_args!("a write of {} is lost", write.index));
                }
            }
            Choice::Evict(index) => {
                if let Some(owner) = &mut self.owners[index] {
                    owner.evict();
                    self.note(format_args!("{index} evicts"));
                }
            }
            Choice::Crash(index) => self.crash(index),
            Choice::Zombie => self.zombie(),
        }
    }

    fn acquire(&mut self, index: usize) {
        if self.owners[index].is_none() && index < self.broker.internal.len() {
            let owner = Owner::acquire(index, &self.rules, &mut self.broker, &self.store, &self.keys);
            self.note(format_args!("{} is acquired", owner.summary()));
            self.owners[index] = Some(owner);
        }
    }

    fn work(&mut self, index: usize, records_max: u32) {
        let Some(owner) = &self.owners[index] else { return };
        let surroundings =
            Surroundings { broker: &self.broker, store: &self.store, keys: &self.keys, now: self.now };
        if let Some(draft) = owner.work(surroundings, &mut self.batches, records_max) {
            self.commit(index, "works", draft);
        }
    }

    fn advance(&mut self, index: usize) {
        let Some(owner) = &mut self.owners[index] else { return };
        match owner.advance(&self.broker, &self.keys) {
            Step::Nothing => {}
            Step::Made(what) => self.note(format_args!("{index} {what}")),
            Step::Flush(keys) => self.flush(index, &keys),
            Step::Commit(what, draft) => self.commit(index, what, *draft),
        }
    }

    /// The transaction meets its fate.
    fn commit(&mut self, index: usize, what: &str, draft: Draft) {
        let Some(owner) = &mut self.owners[index] else { return };
        let transaction = owner.transaction(&draft);
        let fate = self.swarm.fate(&mut self.faults);
        let line = format!("{index} {what}: {fate:?}{draft}");
        match fate {
            Fate::Committed | Fate::AppliedButUnknown => {
                let internal: Vec<_> = draft.internal.iter().map(|(_, record)| record.clone()).collect();
                let records = (&draft.changelog[..], &internal[..]);
                self.ledger.committed(index, records, &draft.states, &self.store, &self.keys);
                let offsets = self.broker.commit(transaction).expect("an owner that lives is not fenced");
                if fate == Fate::Committed {
                    owner.committed(draft, &offsets, &self.keys);
                }
            }
            Fate::Aborted | Fate::NotAppliedAndUnknown => {
                self.broker.abort(&transaction);
                owner.aborted();
            }
        }
        self.note(line);
        if matches!(fate, Fate::AppliedButUnknown | Fate::NotAppliedAndUnknown) {
            // An outcome that is not known is not to be built on: the incarnation ends.
            self.crash(index);
        }
    }

    fn crash(&mut self, index: usize) {
        let Some(owner) = self.owners[index].take() else { return };
        self.note(format_args!("{index} dies"));
        if self.faults.random_range(0..100) < self.swarm.lingers && self.zombies.len() < ZOMBIES_MAX {
            self.zombies.push(owner);
        }
    }

    /// A dead owner does what it can still do: write what it knew, or try to commit.
    fn zombie(&mut self) {
        if self.zombies.is_empty() {
            return;
        }
        let number = self.faults.random_range(0..self.zombies.len());
        let zombie = &mut self.zombies[number];
        let index = zombie.index;
        let dirty = zombie.dirty();
        match self.faults.random_range(0..4) {
            0 => zombie.checkpoint(&mut self.store),
            1 if self.owners[index].is_some() => {
                let (broker, store, keys, now) = (&self.broker, &self.store, &self.keys, self.now);
                let surroundings = Surroundings { broker, store, keys, now };
                if let Some(draft) = zombie.work(surroundings, &mut self.faults, BATCH_RECORDS_MAX) {
                    let transaction = zombie.transaction(&draft);
                    let is_fenced = self.broker.commit(transaction).is_err();
                    assert!(is_fenced, "an owner with a successor is fenced");
                }
            }
            _ if self.store.in_flight.len() < IN_FLIGHT_MAX => {
                for key in dirty {
                    zombie.flush(key, &mut self.store);
                }
            }
            _ => {}
        }
        self.note(format_args!("a zombie of {index} acts"));
    }

    fn flush(&mut self, index: usize, keys: &[Key]) {
        let Some(owner) = &mut self.owners[index] else { return };
        for key in keys {
            owner.flush(*key, &mut self.store);
        }
        if !keys.is_empty() {
            self.note(format_args!("{index} flushes {keys:?}"));
        }
    }

    fn take_write(&mut self) -> Option<Write> {
        let count = self.store.in_flight.len();
        (count > 0).then(|| self.store.in_flight.swap_remove(self.faults.random_range(0..count)))
    }

    fn deliver(&mut self, write: &Write) {
        let before = match &write.row {
            Row::Snapshot { key, .. } => self.store.snapshot(*key).map_or(0, |(_, state)| state.len()),
            Row::Checkpoint(_) => 0,
        };
        self.store.apply(write);
        self.ledger.written(write, before, &self.store);
        let what = match &write.row {
            Row::Snapshot { key, state } => format!("{} of key {}", state.len(), key.0),
            Row::Checkpoint(row) => format!("the checkpoint {}", row.changelog_offset.0),
        };
        self.note(format_args!("a write of {} arrives: {what}, stamp {}", write.index, write.stamp.0));
    }

    fn answer(&mut self, write: &Write) {
        if let Some(owner) = self.owners[write.index].as_mut().filter(|it| it.generation == write.generation)
        {
            owner.acknowledged(write);
        }
    }

    /// No faults any more: within a bound, all that was written is applied and flushed, and the plan is done. Writes of dead owners
    /// still do not arrive.
    fn settle(&mut self) {
        self.swarm.spare();
        self.zombies.clear();
        for _ in 0..SETTLING_ROUNDS_MAX {
            self.now += ROUND_TICKS;
            self.act(Choice::Produce);
            self.act(Choice::Coordinate);
            for index in 0..self.owners.len() {
                self.acquire(index);
                self.act(Choice::Fetch(index));
                self.work(index, 4 * BATCH_RECORDS_MAX);
                self.advance(index);
                self.act(Choice::Idle(index));
                let dirty = self.owners[index].as_ref().map(Owner::dirty).unwrap_or_default();
                self.flush(index, &dirty);
            }
            self.deliver_of_the_living();
            if self.ledger.violation().is_some() || self.is_settled() {
                return;
            }
        }
        let owners: Vec<_> = self.owners.iter().flatten().map(Owner::summary).collect();
        self.ledger.report(format!(
            "stuck: after {SETTLING_ROUNDS_MAX} rounds without faults: {}; plan {:?}",
            owners.join(", "),
            self.broker.plan.map(|it| it.state)
        ));
    }

    fn deliver_of_the_living(&mut self) {
        let writes = std::mem::take(&mut self.store.in_flight);
        for write in writes {
            let is_of_living =
                self.owners[write.index].as_ref().is_some_and(|it| it.generation == write.generation);
            if is_of_living {
                self.deliver(&write);
                self.answer(&write);
            } else {
                self.store.in_flight.push(write);
            }
        }
    }

    fn is_settled(&self) -> bool {
        let is_done =
            self.broker.plan.is_some_and(|it| it.state == millrace_schemas::handover::PlanState::Done);
        let is_read = |partition| self.owners.iter().flatten().filter(|it| it.reads(partition)).count() == 1;
        is_done
            && self.producers.are_done()
            && (0..self.broker.events.len()).all(is_read)
            && self.owners.iter().all(|it| it.as_ref().is_some_and(|it| it.is_settled(&self.broker)))
    }

    /// At the very end the late writes arrive; then the store, and new owners, must know everything.
    fn read_everything_back(&mut self) {
        let mut late = std::mem::take(&mut self.store.in_flight);
        late.shuffle(&mut self.faults);
        for write in &late {
            self.deliver(write);
        }
        for (producer, key, count) in self.producers.written() {
            let applied = self.ledger.truth(key).iter().filter(|it| it.producer == producer).count();
            if applied != usize::from(count) {
                let text = format!(
                    "loss: {applied} of {count} records of producer {producer} and key {} applied",
                    key.0
                );
                self.ledger.report(text);
            }
        }
        for index in 0..self.owners.len() {
            self.owners[index] = None;
            self.acquire(index);
        }
        for key in self.keys.all() {
            let truth = self.ledger.truth(key).to_vec();
            let holders: Vec<_> =
                self.owners.iter().flatten().filter(|it| it.holds(key, &self.keys)).collect();
            let stored = self.store.snapshot(key).map_or(&[][..], |(_, state)| state);
            if holders.len() != 1 {
                self.ledger.report(format!("home: {} partitions hold key {}", holders.len(), key.0));
            } else if holders[0].restored(key, &self.store) != truth || stored != truth {
                self.ledger.report(format!("loss: a new owner does not find all of key {}", key.0));
            }
        }
    }
}
