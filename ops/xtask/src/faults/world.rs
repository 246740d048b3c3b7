//! The fleet and its servers under faults: what is up, what is down, and what ends when.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::journal::Journal;
use super::kinds::{Dice, Kind, Pace};
use crate::cluster::BROKERS_TO_FAIL;
use crate::fleet::{Ended, Fleet};
use crate::processes::{POLL, Process, Signal};
use crate::report::{rounded, say};
use crate::steps;

/// Processors that a run begins with, and the fewest and the most that a fleet is let have.
pub(crate) const PROCESSORS: u32 = 3;
const PROCESSORS_MIN: usize = 2;
const PROCESSORS_MAX: u32 = 4;
/// So often in a row may a broker fail to start.
const BROKER_STARTS_FAILED_MAX: u32 = 3;
/// After a server is back, so long passes before it fails again: a broker must be in sync, or its neighbour's death would leave one copy.
const SERVER_REST: Duration = Duration::from_secs(10);
/// A processor that is told to leave must be gone within this; the store may stand still for as long as half of that.
const LEAVE_WITHIN: Duration = Duration::from_secs(60);
/// A processor that ended by itself is started again after this, as whatever runs a fleet does.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// When faults are over, all must be up again within this.
const HEAL_WITHIN: Duration = Duration::from_secs(60);

/// How a processor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Processor {
    Up,
    Frozen { until: Instant },
    Dead { until: Instant },
    Leaving { since: Instant },
}

#[derive(Debug)]
enum Broker {
    Dead { number: u32, until: Instant },
    Starting { number: u32, process: Process },
}

/// Everything that faults happen to.
#[derive(Debug)]
pub(crate) struct World {
    fleet: Fleet,
    pub(crate) journal: Journal,
    dice: Dice,
    pace: Pace,
    processors: BTreeMap<u32, Processor>,
    broker: Option<Broker>,
    broker_rests_until: Instant,
    store_frozen_until: Option<Instant>,
    store_rests_until: Instant,
    /// In a row.
    broker_starts_failed: u32,
    brokers_started: u32,
    next_fault: Instant,
    /// Processors that ended though nobody told them to, and the logs of them.
    pub(crate) ended_by_themselves: Vec<String>,
}

impl World {
    /// With so many processors running, and no faults yet.
    pub(crate) fn new(mut fleet: Fleet, seed: u64, pace: Pace) -> anyhow::Result<Self> {
        for ordinal in 0..PROCESSORS {
            fleet.start(ordinal)?;
        }
        let now = Instant::now();
        Ok(Self {
            journal: Journal::create(&fleet.folder.join("faults.jsonl"))?,
            fleet,
            dice: Dice::new(seed),
            pace,
            processors: (0..PROCESSORS).map(|it| (it, Processor::Up)).collect(),
            broker: None,
            broker_rests_until: now,
            store_frozen_until: None,
            store_rests_until: now,
            broker_starts_failed: 0,
            brokers_started: 0,
            next_fault: now,
            ended_by_themselves: Vec::new(),
        })
    }

    /// The folder of the run.
    pub(crate) fn folder(&self) -> &Path {
        &self.fleet.folder
    }

    /// Begins a fault if one is due, and ends those whose time is over.
    pub(crate) fn step(&mut self) -> anyhow::Result<()> {
        self.tend(Instant::now())?;
        if Instant::now() < self.next_fault {
            return Ok(());
        }
        let possible = self.possible();
        if let Some(kind) = self.dice.kind(|it| possible.contains(&it)) {
            self.begin(kind)?;
            self.next_fault = Instant::now() + self.dice.time(self.pace.between);
        }
        Ok(())
    }

    /// Looks after what runs, without any new fault.
    pub(crate) fn watch(&mut self) -> anyhow::Result<()> {
        self.tend(Instant::now())
    }

    /// Ends all faults now, and waits until everything is up.
    pub(crate) fn heal(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        for state in self.processors.values_mut() {
            if let Processor::Frozen { until } | Processor::Dead { until } = state {
                *until = begun;
            }
        }
        if let Some(Broker::Dead { until, .. }) = &mut self.broker {
            *until = begun;
        }
        if let Some(until) = &mut self.store_frozen_until {
            *until = begun;
        }
        self.journal.note("faults are over", "everything")?;
        loop {
            self.tend(Instant::now())?;
            let all_up = self.processors.values().all(|it| *it == Processor::Up);
            if all_up && self.broker.is_none() && self.store_frozen_until.is_none() {
                return Ok(());
            }
            if begun.elapsed() > HEAL_WITHIN + LEAVE_WITHIN {
                bail!(
                    "not everything is up again after the faults: {:?}, {:?}",
                    self.processors,
                    self.broker
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends all processors in good order.
    pub(crate) fn stop(mut self) -> anyhow::Result<Journal> {
        let ordinals: Vec<u32> = self.processors.keys().copied().collect();
        ordinals.into_iter().try_for_each(|it| self.fleet.stop(it))?;
        Ok(self.journal)
    }

    /// Ends faults whose time is over, and starts again what has ended.
    fn tend(&mut self, now: Instant) -> anyhow::Result<()> {
        for ended in self.fleet.ended()? {
            self.has_ended(ended, now)?;
        }
        let states: Vec<(u32, Processor)> = self.processors.iter().map(|(it, state)| (*it, *state)).collect();
        for (ordinal, state) in states {
            let name = format!("processor {ordinal}");
            match state {
                Processor::Frozen { until } if until <= now => {
                    self.fleet.signal(ordinal, Signal::Thaw)?;
                    self.processors.insert(ordinal, Processor::Up);
                    self.journal.note("goes on", &name)?;
                }
                Processor::Dead { until } if until <= now => {
                    self.fleet.launch(ordinal)?;
                    self.processors.insert(ordinal, Processor::Up);
                    self.journal.note("started", &name)?;
                }
                Processor::Leaving { since } if since + LEAVE_WITHIN < now => {
                    bail!(
                        "{name} did not leave within {} s; logs: {}",
                        LEAVE_WITHIN.as_secs(),
                        self.folder().display()
                    );
                }
                _ => {}
            }
        }
        if self.store_frozen_until.is_some_and(|it| it <= now) {
            self.fleet.servers.signal_store(Signal::Thaw)?;
            self.store_frozen_until = None;
            self.store_rests_until = now + SERVER_REST;
            self.journal.note("goes on", "store")?;
        }
        self.tend_broker(now)
    }

    fn tend_broker(&mut self, now: Instant) -> anyhow::Result<()> {
        self.broker = match self.broker.take() {
            Some(Broker::Dead { number, until }) if until <= now => {
                self.brokers_started += 1;
                let name = format!("broker-{number}-start-{}", self.brokers_started);
                let process = self.fleet.servers.start_broker(number, &name, &self.fleet.folder)?;
                Some(Broker::Starting { number, process })
            }
            Some(Broker::Starting { number, mut process }) => match process.ended()? {
                None => Some(Broker::Starting { number, process }),
                Some(status) if status.success() => {
                    self.journal.note("serves again", &format!("broker {number}"))?;
                    self.broker_starts_failed = 0;
                    self.broker_rests_until = now + SERVER_REST;
                    None
                }
                Some(status) => {
                    steps::show_tail(&process.log)?;
                    self.broker_starts_failed += 1;
                    if self.broker_starts_failed == BROKER_STARTS_FAILED_MAX {
                        bail!("broker {number} does not start again ({status})");
                    }
                    // A JVM on a starved machine may end while it starts. What runs brokers starts them once more, and so do we.
                    self.journal.note("did not start, once more", &format!("broker {number}"))?;
                    Some(Broker::Dead { number, until: now })
                }
            },
            other => other,
        };
        Ok(())
    }

    fn has_ended(&mut self, ended: Ended, now: Instant) -> anyhow::Result<()> {
        let Ended { ordinal, status, log } = ended;
        let name = format!("processor {ordinal}");
        let state = self.processors.remove(&ordinal).with_context(|| format!("{name} is known"))?;
        if let Processor::Leaving { since } = state {
            if !status.success() {
                bail!("{name} left with {status}; log: {}", log.display());
            }
            return self.journal.note(&format!("gone after {} s", rounded(now - since)), &name);
        }
        say!("{name} ended by itself ({status}); log: {}", log.display());
        self.journal.note(&format!("ended by itself ({status})"), &name)?;
        self.ended_by_themselves.push(format!("{status}: {}", log.display()));
        self.processors.insert(ordinal, Processor::Dead { until: now + RESTART_AFTER });
        Ok(())
    }

    fn sound(&self) -> Vec<u32> {
        self.processors.iter().filter(|(_, it)| **it == Processor::Up).map(|(ordinal, _)| *ordinal).collect()
    }

    fn possible(&self) -> Vec<Kind> {
        let now = Instant::now();
        let sound = self.sound().len();
        let is_leaving = self.processors.values().any(|it| matches!(it, Processor::Leaving { .. }));
        let mut possible = Vec::new();
        if sound > self.pace.sound_min {
            possible.extend([Kind::KillProcessor, Kind::FreezeProcessor]);
            if self.processors.len() > PROCESSORS_MIN && !is_leaving {
                possible.push(Kind::Leave);
            }
        }
        if self.processors.len() < PROCESSORS_MAX as usize {
            possible.push(Kind::Join);
        }
        if self.broker.is_none() && self.broker_rests_until <= now {
            possible.push(Kind::KillBroker);
        }
        if self.store_frozen_until.is_none() && self.store_rests_until <= now {
            possible.push(Kind::FreezeStore);
        }
        possible
    }

    fn begin(&mut self, kind: Kind) -> anyhow::Result<()> {
        let now = Instant::now();
        match kind {
            Kind::KillProcessor | Kind::FreezeProcessor | Kind::Leave => {
                let sound = self.sound();
                let ordinal = self.dice.pick(&sound).context("a sound processor is left")?;
                self.journal.fault(kind, &format!("processor {ordinal}"))?;
                let state = match kind {
                    Kind::KillProcessor => {
                        self.fleet.kill(ordinal)?;
                        Processor::Dead { until: now + self.dice.time(self.pace.processor_dead) }
                    }
                    Kind::FreezeProcessor => {
                        self.fleet.signal(ordinal, Signal::Freeze)?;
                        Processor::Frozen { until: now + self.dice.time(self.pace.processor_frozen) }
                    }
                    _ => {
                        self.fleet.signal(ordinal, Signal::Terminate)?;
                        Processor::Leaving { since: now }
                    }
                };
                self.processors.insert(ordinal, state);
            }
            Kind::Join => {
                let free = (0..PROCESSORS_MAX).find(|it| !self.processors.contains_key(it));
                let ordinal = free.context("a member is missing")?;
                self.journal.fault(kind, &format!("processor {ordinal}"))?;
                self.fleet.launch(ordinal)?;
                self.processors.insert(ordinal, Processor::Up);
            }
            Kind::KillBroker => {
                let brokers: Vec<u32> = (1..=BROKERS_TO_FAIL).collect();
                let number = self.dice.pick(&brokers).context("there are brokers")?;
                self.journal.fault(kind, &format!("broker {number}"))?;
                self.fleet.servers.signal_broker(number, Signal::Kill)?;
                self.broker =
                    Some(Broker::Dead { number, until: now + self.dice.time(self.pace.broker_dead) });
            }
            Kind::FreezeStore => {
                self.journal.fault(kind, "store")?;
                self.fleet.servers.signal_store(Signal::Freeze)?;
                self.store_frozen_until = Some(now + self.dice.time(self.pace.store_frozen));
            }
        }
        Ok(())
    }

    /// Leaves in the folder of the run what tells why it does not hold: what the processors say of themselves, and the histories of
    /// instances. The servers will be gone.
    pub(crate) fn diagnose(&self, instances: &[String]) -> anyhow::Result<()> {
        for ordinal in self.processors.keys() {
            for (path, file) in [("/v1/partitions", "partitions.json"), ("/metrics", "metrics.txt")] {
                let answer = self.fleet.ask(*ordinal, path).map(|it| it.body);
                let answer = answer.unwrap_or_else(|error| format!("{error:#}\n"));
                std::fs::write(self.folder().join(format!("processor-{ordinal}-{file}")), answer)?;
            }
        }
        for instance in instances {
            for command in ["get", "history"] {
                let output = self.fleet.millrace(&[command, instance, "--output", "json"]).output();
                let output = output.context("could not run millrace")?;
                let file = self.folder().join(format!("{command}-{instance}.json"));
                std::fs::write(file, [output.stdout, output.stderr].concat())?;
            }
        }
        Ok(())
    }

    /// The load test, told where the fleet is.
    pub(crate) fn load_test(&self, name: &str, report: &Path) -> std::process::Command {
        self.fleet.load_test(name, report)
    }
}
