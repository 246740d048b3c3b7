//! One writer at a time for each partition, whatever the group does: members that come, go and hang while all of them commit.

#![allow(clippy::print_stdout)] // What the load met.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{
    Member, PATIENCE, aborted, committed, fleet_by, member, publish, read_changelog, share, stable_offset,
    with_both_group_protocols,
};
use millrace_kafka_log::{GroupProtocol, KafkaConfig, KafkaLane, KafkaLog, Publisher};
use millrace_partition::Source;
use millrace_placement::PartitionIndex;
use millrace_runtime::log::{CommitOutcome, Incarnation, Lane, Log, LogError, LogEvent};
use millrace_schemas::Offset;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

with_both_group_protocols!(transactions_of_two_owners_never_interleave, a_member_that_hangs_cannot_commit,);

const PARTITIONS: u32 = 4;

/// Members that come and go in the load.
const ROUNDS: u32 = 6;

/// What an owner read when it got a partition, and what it knows to be committed of what it wrote.
struct Reign {
    partition: PartitionIndex,
    target: Offset,
    prefix: Vec<(i64, String)>,
    committed: Vec<(i64, String)>,
}

/// What all members know together, by the name of the reign. It begins every value that was written in it.
#[derive(Default)]
struct Ledger {
    reigns: BTreeMap<String, Reign>,
    /// Values that will never be visible: their last try was aborted.
    aborted: BTreeSet<String>,
    transactions: usize,
    retried: usize,
    dropped: usize,
    unknown: usize,
}

/// A partition as a member of the load has it.
struct Owned {
    incarnation: Incarnation,
    name: String,
    /// Whether the restore is done, and it may write.
    is_restored: bool,
    /// Nothing more is written: it is being drained.
    is_draining: bool,
    /// The next value. It goes up when one is committed, so an aborted one is tried again.
    number: u32,
}

struct Restored {
    incarnation: Incarnation,
    target: Offset,
    prefix: Vec<(i64, String)>,
}

/// What is being committed: for each share its incarnation, its reign and its value.
type Batch = Vec<(Incarnation, String, String)>;
type Committing = Pin<Box<dyn Future<Output = (KafkaLane, CommitOutcome, Batch)> + Send>>;

/// A member that owns what it gets, restores it and then commits without a pause.
struct Worker {
    /// No two have the same, though a later one may have the ordinal of an earlier one.
    name: String,
    config: KafkaConfig,
    log: KafkaLog,
    ledger: Arc<Mutex<Ledger>>,
    owned: BTreeMap<PartitionIndex, Owned>,
    restored: mpsc::UnboundedSender<Restored>,
    /// Answers to revocations that are still owed.
    draining: Vec<(Vec<PartitionIndex>, oneshot::Sender<()>)>,
    in_flight: BTreeSet<PartitionIndex>,
    reigns: u32,
    revocations: u32,
}

impl Worker {
    /// Works until it is told to stop, and leaves.
    async fn run(name: String, config: KafkaConfig, ledger: Arc<Mutex<Ledger>>, stop: oneshot::Receiver<()>) {
        let Member { log, mut events } = Member::join(&config).await;
        let mut idle = Some(log.lane(0).await.unwrap());
        let (restored, mut restores) = mpsc::unbounded_channel();
        let mut this = Self {
            name,
            config,
            log,
            ledger,
            owned: BTreeMap::new(),
            restored,
            draining: Vec::new(),
            in_flight: BTreeSet::new(),
            reigns: 0,
            revocations: 0,
        };
        let mut committing: Option<Committing> = None;
        let leaving = this.log.clone();
        let leave = tokio::spawn(async move {
            let _ = stop.await;
            leaving.leave().await;
        });
        loop {
            if let Some(lane) = idle.take() {
                match this.next_batch(lane) {
                    Ok(next) => committing = Some(next),
                    Err(lane) => idle = Some(lane),
                }
            }
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => this.take(event),
                    None => break,
                },
                Some(restored) = restores.recv() => this.reign(restored),
                (lane, outcome, batch) = async { committing.as_mut().unwrap().await }, if committing.is_some() => {
                    committing = None;
                    idle = Some(lane);
                    this.note(outcome, batch);
                }
            }
        }
        if let Some(last) = committing {
            let (_, outcome, batch) = last.await;
            this.note(outcome, batch);
        }
        leave.await.unwrap();
    }

    fn take(&mut self, event: LogEvent) {
        match event {
            LogEvent::Assigned(incarnations) => {
                incarnations.into_iter().for_each(|it| self.acquire(it));
            }
            LogEvent::Revoking { incarnations, done } => {
                self.revocations += 1;
                if self.revocations.is_multiple_of(2) {
                    // Does not care: goes on committing, and says that it has drained.
                    return;
                }
                for incarnation in &incarnations {
                    if let Some(owned) = self.owned.get_mut(&incarnation.partition()) {
                        owned.is_draining = true;
                    }
                }
                let partitions = incarnations.iter().map(Incarnation::partition).collect();
                self.draining.push((partitions, done));
                self.answer();
            }
            LogEvent::Lost(partitions) => {
                for partition in partitions {
                    self.owned.remove(&partition);
                }
            }
            other => panic!("not an event of the group: {other:?}"),
        }
    }

    /// State protocol 2.3: the stable offset, then the high watermark, then everything below it.
    fn acquire(&mut self, incarnation: Incarnation) {
        self.reigns += 1;
        let name = format!("{}.{}.{}", self.name, incarnation.partition().0, self.reigns);
        let owned = Owned {
            incarnation: incarnation.clone(),
            name,
            is_restored: false,
            is_draining: false,
            number: 0,
        };
        self.owned.insert(incarnation.partition(), owned);
        let (log, restored) = (self.log.clone(), self.restored.clone());
        tokio::spawn(async move {
            let partition = incarnation.partition();
            stable_offset(&log, partition.0).await;
            let (_, target) = log.changelog_bounds(partition).await.unwrap();
            let prefix = read_changelog(&log, partition.0, 0, target.0).await;
            // The worker may have ended.
            let _ = restored.send(Restored { incarnation, target, prefix });
        });
    }

    fn reign(&mut self, Restored { incarnation, target, prefix }: Restored) {
        let partition = incarnation.partition();
        let Some(owned) = self.owned.get_mut(&partition).filter(|it| it.incarnation.is_same(&incarnation))
        else {
            return;
        };
        owned.is_restored = true;
        let reign = Reign { partition, target, prefix, committed: Vec::new() };
        self.ledger.lock().unwrap().reigns.insert(owned.name.clone(), reign);
    }

    /// Everything that may write, in one transaction.
    fn next_batch(&mut self, mut lane: KafkaLane) -> Result<Committing, KafkaLane> {
        let writers = || self.owned.values().filter(|it| it.is_restored && !it.is_draining);
        let batch: Batch = writers()
            .map(|it| (it.incarnation.clone(), it.name.clone(), format!("{} {}", it.name, it.number)))
            .collect();
        if batch.is_empty() {
            return Err(lane);
        }
        self.in_flight = batch.iter().map(|it| it.0.partition()).collect();
        let shares = batch
            .iter()
            .map(|(incarnation, _, value)| share(&self.config, incarnation, &[value.as_str()]))
            .collect();
        Ok(Box::pin(async move {
            let outcome = lane.commit(shares).await;
            (lane, outcome, batch)
        }))
    }

    fn note(&mut self, outcome: CommitOutcome, batch: Batch) {
        self.in_flight.clear();
        let mut unknown = Vec::new();
        {
            let mut ledger = self.ledger.lock().unwrap();
            ledger.transactions += 1;
            match outcome {
                CommitOutcome::Committed(offsets) => {
                    for ((incarnation, name, value), offsets) in batch.into_iter().zip(offsets) {
                        ledger.aborted.remove(&value);
                        let reign = ledger.reigns.get_mut(&name).unwrap();
                        reign.committed.push((offsets[0].0, value));
                        let owned = self.owned.get_mut(&incarnation.partition());
                        if let Some(owned) = owned.filter(|it| it.name == name) {
                            owned.number += 1;
                        }
                    }
                }
                CommitOutcome::Aborted(_) => {
                    for (incarnation, _, value) in batch {
                        if incarnation.is_alive() {
                            ledger.retried += 1
                        } else {
                            ledger.dropped += 1
                        }
                        ledger.aborted.insert(value);
                    }
                }
                CommitOutcome::Unknown(_) => {
                    ledger.unknown += 1;
                    for (_, _, value) in &batch {
                        ledger.aborted.remove(value);
                    }
                    unknown = batch;
                }
            }
        }
        for (incarnation, _, _) in unknown {
            let partition = incarnation.partition();
            if self.owned.get(&partition).is_some_and(|it| it.incarnation.is_same(&incarnation)) {
                self.owned.remove(&partition);
                if let Some(renewed) = self.log.renew(partition) {
                    self.acquire(renewed);
                }
            }
        }
        self.answer();
    }

    /// Answers the revocations whose partitions have nothing in flight.
    fn answer(&mut self) {
        let in_flight = &self.in_flight;
        self.draining.retain(|(partitions, _)| partitions.iter().any(|it| in_flight.contains(it)));
    }
}

/// I1 of the state protocol, under load: the reigns of a partition follow each other, and each of them has read all that those
/// before it will ever have written.
async fn transactions_of_two_owners_never_interleave(protocol: GroupProtocol) {
    let protocol = match protocol {
        // A member hears of a rebalance with its next heartbeat, which is a third of this.
        GroupProtocol::Classic { .. } => {
            GroupProtocol::Classic { session_timeout: Duration::from_millis(1_500) }
        }
        GroupProtocol::Consumer => GroupProtocol::Consumer,
    };
    let config = fleet_by(protocol, PARTITIONS).await;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let start = |name: String, ordinal| {
        let (stop, stopping) = oneshot::channel();
        let worker = Worker::run(name, member(&config, ordinal), Arc::clone(&ledger), stopping);
        (stop, tokio::spawn(worker))
    };
    let first = start("first".to_owned(), 0);
    sleep(Duration::from_secs(2)).await;
    for round in 0..ROUNDS {
        let second = start(format!("round-{round}"), 1 + round % 2);
        sleep(Duration::from_millis(2_500 + u64::from(round) * 137)).await;
        let _ = second.0.send(());
        timeout(PATIENCE, second.1).await.expect("a member leaves").unwrap();
        sleep(Duration::from_millis(700)).await;
    }
    let _ = first.0.send(());
    timeout(PATIENCE, first.1).await.expect("a member leaves").unwrap();

    let log = KafkaLog::connect(config.clone()).await.unwrap();
    let ledger = std::mem::take(&mut *ledger.lock().unwrap());
    let mut entries = 0;
    for index in 0..PARTITIONS {
        stable_offset(&log, index).await;
        let (_, end) = log.changelog_bounds(PartitionIndex(index)).await.unwrap();
        let all = read_changelog(&log, index, 0, end.0).await;
        entries += all.len();
        check_partition(PartitionIndex(index), &all, &ledger);
    }
    println!(
        "{entries} entries in {} transactions, {} reigns; aborted and tried again {}, aborted for a lost partition {}, unknown {}",
        ledger.transactions,
        ledger.reigns.len(),
        ledger.retried,
        ledger.dropped,
        ledger.unknown
    );
    assert!(ledger.reigns.len() > PARTITIONS as usize * 2, "partitions must have moved");
    assert!(entries > 200, "members must have worked");
}

fn check_partition(index: PartitionIndex, all: &[(i64, String)], ledger: &Ledger) {
    let name = |value: &str| value.split(' ').next().unwrap().to_owned();
    // Each reign is one piece of the log.
    let mut order: Vec<String> = all.iter().map(|(_, value)| name(value)).collect();
    order.dedup();
    let distinct: BTreeSet<&String> = order.iter().collect();
    assert_eq!(distinct.len(), order.len(), "two owners of {index:?} interleave: {order:?}");
    for (name_of, reign) in ledger.reigns.iter().filter(|(_, it)| it.partition == index) {
        // It has read all that came before what it wrote, and nothing came afterwards.
        let before: Vec<_> = match all.iter().position(|(_, value)| name(value) == *name_of) {
            Some(first) => all[..first].to_vec(),
            None => all.iter().filter(|(offset, _)| *offset < reign.target.0).cloned().collect(),
        };
        assert_eq!(reign.prefix, before, "{name_of} restored something else, up to {:?}", reign.target);
        // What was reported as committed is there, where it was said to be, in that order.
        let written: Vec<_> = all.iter().filter(|(_, value)| name(value) == *name_of).cloned().collect();
        assert!(written.starts_with(&reign.committed), "{name_of}: {written:?} and {:?}", reign.committed);
        assert!(
            written.iter().all(|(_, value)| !ledger.aborted.contains(value)),
            "an aborted value of {name_of}"
        );
        let values: BTreeSet<_> = written.iter().map(|it| &it.1).collect();
        assert_eq!(values.len(), written.len(), "{name_of} wrote a value twice");
    }
}

/// F1 alone: the callback that would kill the incarnations does not come through, so they look alive while the group has given their
/// partitions away.
async fn a_member_that_hangs_cannot_commit(protocol: GroupProtocol) {
    let config = fleet_by(protocol, 2).await;
    let mut hanging = KafkaConfig {
        settings: vec![("max.poll.interval.ms".to_owned(), "6000".to_owned())],
        ..member(&config, 0)
    };
    hanging.app_id.push_str("-hanging");
    let mut old = Member::join(&hanging).await;
    let incarnations = old.assigned().await;
    let mut old_lane = old.log.lane(0).await.unwrap();
    let both = |values| incarnations.iter().map(|it| share(&config, it, values)).collect::<Vec<_>>();
    committed(&mut old_lane, both(&["before"])).await;

    // Nobody takes its events any more. When they are many, the thread of the group waits for room, within the next callback.
    let sources = (0..2).map(|it| (Source::Events(it), Offset(0)));
    for (incarnation, source) in incarnations.iter().zip(sources) {
        old.log.follow(incarnation, vec![source]).await.unwrap();
    }
    let publisher = Publisher::new(&config).unwrap();
    let full = async {
        while old.events.len() < old.events.max_capacity() {
            publish(&publisher, &config.topics.events(), &old.events.len().to_string(), "value").await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, full).await.expect("events pile up");

    let mut new = Member::join(&member(&config, 1)).await;
    let mut successors = Vec::new();
    while successors.len() < 2 {
        successors.extend(new.assigned().await);
    }
    assert!(incarnations.iter().all(Incarnation::is_alive), "it does not know yet");
    for incarnation in &incarnations {
        aborted(&mut old_lane, vec![share(&config, incarnation, &["zombie"])]).await;
    }
    let mut new_lane = new.log.lane(0).await.unwrap();
    let shares = successors.iter().map(|it| share(&config, it, &["after"])).collect();
    committed(&mut new_lane, shares).await;
    for incarnation in &incarnations {
        aborted(&mut old_lane, vec![share(&config, incarnation, &["zombie"])]).await;
    }

    // Now it takes its events again, and learns that it has lost what it had.
    let back = async {
        loop {
            tokio::select! {
                event = old.events.recv() => match event {
                    Some(LogEvent::Assigned(mut got)) if !got.is_empty() => break Some(got.remove(0)),
                    Some(
                        LogEvent::Assigned(_)
                        | LogEvent::Records { .. }
                        | LogEvent::Revoking { .. }
                        | LogEvent::Lost(_),
                    ) => {}
                    Some(LogEvent::Fatal(_)) => assert_eq!(protocol, GroupProtocol::Consumer),
                    None => break None,
                },
                // Dropping a revocation answers it.
                event = new.events.recv() => drop(event.expect("the log is there")),
            }
        }
    };
    let regained = timeout(PATIENCE, back).await.expect("it goes on, or ends");
    let Some(regained) = regained else {
        // With KIP-848, librdkafka 2.12 goes on with heartbeats after it has left the group for want of polls, and until the callback
        // has run. The broker finds them invalid (INVALID_REQUEST), which is fatal to the client: the process is started anew.
        assert_eq!(protocol, GroupProtocol::Consumer);
        assert!(incarnations.iter().all(|it| !it.is_alive()));
        return new.leave().await;
    };
    assert!(
        matches!(protocol, GroupProtocol::Classic { .. }),
        "librdkafka mended: see above, and join these branches"
    );
    // It has joined anew, and gets a share.
    assert!(incarnations.iter().all(|it| !it.is_alive()));
    let error = aborted(&mut old_lane, both(&["zombie"])).await;
    assert!(matches!(error, LogError::Fenced { .. }), "{error:?}");
    let index = regained.partition().0;
    stable_offset(&old.log, index).await;
    let offsets = committed(&mut old_lane, vec![share(&config, &regained, &["again"])]).await;
    let all = read_changelog(&old.log, index, 0, offsets[0][0].0 + 1).await;
    assert_eq!(all.into_iter().map(|it| it.1).collect::<Vec<_>>(), ["before", "after", "again"]);
    old.leave().await;
    new.leave().await;
}
