//! One run: a seed's world, stepped until its faults have ended and everything has come to rest.
//!
//! A run has two phases (TigerBeetle's *safety* and *liveness*). In the first anything in the seed's swarm may fail. Then faults end,
//! every process is up, and within a bound all that was sent must have had its effect, once.

mod acquire;
mod act;
mod effects;
mod lanes;
mod membership;
mod perform;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_engine::{Bounds, Entity, Moment};
use millrace_partition::{Config, Described, Input, OutgoingRecord, Source, TailLimit, UserTopic};
use millrace_placement::Topics;
use millrace_schemas::codec::Codec;
use millrace_schemas::dead_letter::REASON;
use millrace_schemas::snapshot::SnapshotRecord;
use millrace_schemas::{Offset, Timestamp};
use millrace_workflow::program::Decoding;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fleet::broker::{Broker, Place};
use crate::fleet::catalog::{Catalog, TOPIC, TOPIC_TYPE, catalog};
use crate::fleet::check::{Checks, Truth};
use crate::fleet::clients::Clients;
use crate::fleet::mutant::Mutant;
use crate::fleet::node::{Incarnation, Node};
use crate::fleet::store::{Store, Token};
use crate::fleet::swarm::Swarm;
use crate::fleet::trace::Trace;

/// Steps without faults in which everything must have settled.
const SETTLE_STEPS_MAX: usize = 10_000;

/// When the world begins.
pub(crate) const EPOCH_MS: i64 = 1_800_000_000_000;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What went wrong, if anything did.
    pub violation: Option<String>,
    /// Steps taken.
    pub steps: u64,
    /// Of everything that happened: equal for equal seeds.
    pub digest: u64,
    /// What happened, a line a step, if it was asked for.
    pub lines: Vec<String>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, mutant: Option<Mutant>, checks: Checks, keeps_lines: bool) -> Outcome {
    let mut world = World::new(seed, mutant, checks, keeps_lines);
    let result = world.run();
    Outcome {
        violation: result.err(),
        steps: world.steps,
        digest: world.trace.digest(),
        lines: world.trace.into_lines(),
    }
}

/// A child generator for each part, so that one more draw in one part leaves the others alone.
#[derive(Debug)]
struct Dice {
    schedule: ChaCha8Rng,
    faults: ChaCha8Rng,
    clients: ChaCha8Rng,
    network: ChaCha8Rng,
    moments: ChaCha8Rng,
}

impl Dice {
    fn new(root: &mut ChaCha8Rng) -> Self {
        let mut child = || ChaCha8Rng::from_rng(root);
        Self { schedule: child(), faults: child(), clients: child(), network: child(), moments: child() }
    }
}

#[derive(Debug)]
struct World {
    swarm: Swarm,
    dice: Dice,
    mutant: Option<Mutant>,
    config: Arc<Config>,
    catalog: &'static Catalog,
    codec: Codec,
    now: i64,
    broker: Broker,
    store: Store,
    /// Nobody reaches the store until then.
    store_out_until: i64,
    nodes: Vec<Node>,
    clients: Clients,
    truth: Truth,
    trace: Trace,
    steps: u64,
    faults_are_on: bool,
    /// The next number of an incarnation, an effect, a token.
    next: u64,
    /// Who sent which write to the store: node, incarnation, effect.
    senders: BTreeMap<Token, (usize, Incarnation, u64)>,
    /// `EndTxn` requests of processes that have died since.
    orphans: Vec<(String, crate::fleet::broker::transactions::Epoch)>,
    violation: Option<String>,
    /// Mutant: where partitions of the users' topic were handled to, transaction or not.
    handled: BTreeMap<Source, Offset>,
    /// Restores that failed since the faults have ended.
    failures: u32,
    /// Timers that were proposed, by partition: they may be proposed again.
    echoes: BTreeMap<usize, Vec<OutgoingRecord>>,
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>, checks: Checks, keeps_lines: bool) -> Self {
        let mut root = ChaCha8Rng::seed_from_u64(seed);
        let swarm = Swarm::draw(&mut root);
        let mut dice = Dice::new(&mut root);
        let codec = Codec::single_object();
        let topics = Topics::default();
        let config = Config {
            partitions: u32::try_from(swarm.partitions).expect("few"),
            event_partitions: u32::try_from(swarm.event_partitions).expect("few"),
            bounds: Bounds {
                event_wait: Duration::from_secs(86_400),
                // Where nobody sends twice, whatever is doubled shall be seen.
                duplicate_window: match swarm.weights.duplicate {
                    0 => Duration::ZERO,
                    _ => Duration::from_secs(86_400),
                },
                ..Bounds::default()
            },
            batch_records_max: root.random_range(1..=6),
            inbox_records_max: root.random_range(4..=30),
            flush_interval: Duration::from_millis(root.random_range(200..=6_000)),
            flush_rows_max: root.random_range(1..=5),
            tail: TailLimit { entries: root.random_range(4..=60), bytes: 1_000_000 },
            restore_bytes_max: root.random_range(200..=6_000),
            unflushed: TailLimit { entries: 80, bytes: 1_000_000 },
            trim_interval: Duration::from_millis(root.random_range(500..=8_000)),
            changelog_retention: Duration::ZERO,
            cache_bytes_max: root.random_range(0..=8_000),
            cache_idle: Duration::from_millis(root.random_range(100..=20_000)),
            stub_ttl: Duration::from_secs(7 * 86_400),
            history_retention: None,
            timer_horizon: Duration::from_secs(root.random_range(1..=60)),
            timers_near_max: root.random_range(4..=24),
            timer_fires_per_second: [3, 30, 1_000][root.random_range(0..3)],
            api_url: None,
            // Nothing may depend on it: the histories of the seeds are those without it.
            described: Described::Everything,
            topics: topics.clone(),
        };
        let mut skew =
            || if swarm.skew_ms == 0 { 0 } else { root.random_range(-swarm.skew_ms..=swarm.skew_ms) };
        let nodes = (0..swarm.nodes).map(|number| Node::new(number, swarm.lanes, skew())).collect();
        let clients = Clients::new(&swarm, codec.clone(), topics.commands("default"), &mut dice.clients);
        let store = Store {
            ignores_snapshot_stamps: mutant == Some(Mutant::WallClockSnapshots),
            expires_early: mutant == Some(Mutant::RowsExpireEarly),
            ignores_checkpoint_stamps: mutant == Some(Mutant::WallClockCheckpoints),
            ..Store::default()
        };
        let mut trace = Trace::new(keeps_lines);
        // By a generator of its own, so that seeds are what they were before there were schedules.
        let has_schedules = ChaCha8Rng::seed_from_u64(!seed).random_bool(0.25);
        trace.note(format_args!("{swarm:?}, schedules: {has_schedules}"));
        Self {
            dice,
            mutant,
            config: Arc::new(config),
            catalog: catalog(has_schedules),
            now: EPOCH_MS,
            broker: Broker::new(swarm.partitions),
            store,
            store_out_until: 0,
            nodes,
            clients,
            truth: Truth::new(codec.clone(), swarm.partitions, swarm.skew_ms, checks),
            codec,
            trace,
            steps: 0,
            faults_are_on: true,
            next: 0,
            senders: BTreeMap::new(),
            orphans: Vec::new(),
            violation: None,
            handled: BTreeMap::new(),
            failures: 0,
            echoes: BTreeMap::new(),
            swarm,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.swarm.steps {
            self.step()?;
        }
        self.end_faults();
        for _ in 0..SETTLE_STEPS_MAX {
            self.step()?;
            if self.steps.is_multiple_of(16) && self.is_at_rest() {
                return self.check_rest();
            }
        }
        let why = self.unrest();
        Err(format!("not settled within {SETTLE_STEPS_MAX} steps: {why}"))
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        self.now += 1;
        self.act();
        self.truth.advance(&mut self.broker, self.now, &mut self.trace)?;
        self.clients.read_tasks(&mut self.broker)?;
        match self.violation.take() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn store_answers(&self) -> bool {
        self.store_out_until <= self.now
    }

    /// An input for a partition. One for an incarnation that is gone is dropped.
    fn input(&mut self, node: usize, incarnation: &Incarnation, input: Input) {
        let ahead_ms = if self.has(Mutant::ClockFarAhead) { 20_000 } else { 0 };
        let moment = Moment {
            at: Timestamp(self.now + self.nodes[node].skew_ms + ahead_ms),
            random: if self.has(Mutant::TokensComeAgain) { 0 } else { self.dice.moments.next_u64() },
        };
        let Some(owned) = self.nodes[node].owned(incarnation) else { return };
        for output in owned.partition.handle(input, moment, self.catalog) {
            self.perform(node, incarnation, output);
        }
    }

    /// The users' topic, which holds plain JSON.
    fn users_topic(&self) -> UserTopic {
        UserTopic {
            topic: TOPIC.into(),
            partitions: u32::try_from(self.swarm.topic_partitions).expect("few"),
            decodings: vec![Decoding::Json { event_type: TOPIC_TYPE.into() }],
            since: None,
        }
    }

    /// The first one stays.
    fn violate(&mut self, result: Result<(), String>) {
        if let Err(violation) = result {
            self.violation.get_or_insert(violation);
        }
    }

    fn end_faults(&mut self) {
        self.faults_are_on = false;
        self.store_out_until = 0;
        self.trace.note(format_args!("{} faults end", self.now));
        for number in 0..self.nodes.len() {
            self.wake(number);
        }
    }

    /// Everything that was sent has had its effect, and all of it is in the store.
    fn is_at_rest(&mut self) -> bool {
        self.rest().is_none()
    }

    fn unrest(&mut self) -> String {
        self.rest().unwrap_or_else(|| "it rests now".to_owned())
    }

    /// What is still under way.
    fn rest(&mut self) -> Option<String> {
        if self.clients.has_more_to_send() || self.clients.has_open_tasks() || !self.store.network.is_empty()
        {
            return Some("events, tasks or writes are under way".to_owned());
        }
        if self.broker.transactions.has_markers() || !self.orphans.is_empty() || !self.broker.is_stable() {
            return Some("transactions are ending".to_owned());
        }
        for partition in 0..self.swarm.partitions {
            let owners: Vec<&Node> =
                self.nodes.iter().filter(|it| it.owned.contains_key(&partition)).collect();
            let [owner] = owners[..] else {
                return Some(format!("partition {partition} has {} owners", owners.len()));
            };
            let owned = &owner.owned[&partition];
            let gauges = owned.partition.gauges();
            if !gauges.is_active || gauges.instances_dirty > 0 || gauges.inbox_records > 0 {
                return Some(format!("partition {partition} works: {gauges:?}"));
            }
            if gauges.checkpoint_offset < gauges.changelog_end && gauges.tail_entries > 0 {
                return Some(format!("partition {partition} has a tail: {gauges:?}"));
            }
            for (source, position) in owned.partition.positions().clone() {
                let log = self.broker.log(&place(&source));
                let unread = log.fetch(position, usize::MAX).is_none_or(|(records, _)| !records.is_empty());
                if unread || log.stable() < log.end() {
                    return Some(format!("{source:?} is read to {}", position.0));
                }
            }
        }
        self.clients.check(self.truth.keys()).and_then(|()| self.truth.check_schedules(self.catalog)).err()
    }

    /// What must be true in the end.
    fn check_rest(&mut self) -> Result<(), String> {
        self.clients.check(self.truth.keys())?;
        self.clients.check_answers(&mut self.broker, self.truth.answered())?;
        self.truth.check_children()?;
        self.truth.check_schedules(self.catalog)?;
        // Each nonsense has become one dead letter, and nothing else has.
        let letters = Place::Other(self.config.topics.dead_letters());
        let (mut letters, _) = self.broker.log(&letters).committed(Offset(0), usize::MAX);
        // Nor an event whose listener has gone on meanwhile.
        let is_late = |it: &(String, bytes::Bytes)| it.0 == REASON && &it.1[..] == b"listener-gone";
        letters.retain(|it| !it.1.headers.iter().any(is_late));
        if letters.len() != self.clients.poisoned() {
            let headers = letters.iter().map(|it| &it.1.headers).next_back();
            let (told, poisoned) = (letters.len(), self.clients.poisoned());
            return Err(format!(
                "{told} dead letters for {poisoned} unreadable records; the last: {headers:?}"
            ));
        }
        for (id, key) in self.truth.keys() {
            let row = self.store.snapshots.get(id).ok_or_else(|| format!("{id} has no snapshot"))?;
            let row_at = row.stamp.offset(Offset(0));
            let row = match self.codec.decode_snapshot_record(&row.value).map_err(|it| it.to_string())? {
                SnapshotRecord::Snapshot(row) => Entity::of_snapshot(id.clone(), *row),
                SnapshotRecord::Channel(row) => Entity::of_channel_snapshot(id.clone(), *row),
                SnapshotRecord::Schedule(row) => Entity::of_schedule_snapshot(id.clone(), *row),
                SnapshotRecord::Parked(parked) => return Err(format!("{id} is parked: {}", parked.reason)),
            };
            if Some(row_at) != key.last_offset() || row != *key.entity() {
                return Err(format!("the row of {id} is not its last state"));
            }
            if let Entity::Channel(channel) = &row
                && let Some(left) = channel.state().subscriptions.keys().next()
            {
                return Err(format!("{id} still knows {left:?}, and all instances have ended"));
            }
            let Some(state) = key.state() else { continue };
            let told = self.store.history.keys().filter(|it| it.0 == *id).count();
            if told != key.versions().len() {
                return Err(format!("the history of {id} has {told} of {} entries", key.versions().len()));
            }
            let listed = self.store.listing.get(id).map(|it| it.1.status);
            if listed != Some(state.status.name()) {
                return Err(format!("{id} is listed as {listed:?} and is {}", state.status.name()));
            }
        }
        Ok(())
    }
}

/// Where a source is read.
fn place(source: &Source) -> Place {
    let number = |it: &i32| usize::try_from(*it).expect("partitions count from 0");
    match source {
        Source::Internal(partition) => Place::Internal(number(partition)),
        Source::Events(partition) => Place::Events(number(partition)),
        Source::Topic(_, partition) => Place::Topic(number(partition)),
    }
}
