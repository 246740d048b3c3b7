//! One step: something that can happen, chosen by chance.

use millrace_partition::{Input, QueryId, Source};
use millrace_placement::{home, key_group};
use rand::{Rng, RngExt};

use super::{World, place};
use crate::fleet::broker::group::SESSION_MS;
use crate::fleet::broker::transactions::TIMEOUT_MS;
use crate::fleet::node::{Lane, State};

#[derive(Clone, Debug)]
enum Action {
    Send,
    Answer,
    Poll(usize),
    Fetch(usize, usize, Source),
    Effect(usize, usize, u64),
    Lane(usize, usize),
    Tick(usize),
    StoreDelivers,
    Marker,
    OrphanArrives,
    Time,
    Crash(usize),
    Freeze(usize),
    Leave(usize),
    Shuffle,
    ClockJump(usize),
    /// Somebody asks a node for an instance.
    Query(usize),
    StoreTimeout,
    StoreOutage,
}

/// What all ordinary actions weigh together.
const PROGRESS: u32 = 100;

impl World {
    pub(super) fn act(&mut self) {
        let progress = self.possible();
        let faults = if self.faults_are_on { self.faults() } else { Vec::new() };
        let weights = &self.swarm.weights;
        let time = if progress.is_empty() {
            PROGRESS
        } else if self.faults_are_on {
            weights.time
        } else {
            1
        };
        let total =
            time + if progress.is_empty() { 0 } else { PROGRESS } + faults.iter().map(|it| it.1).sum::<u32>();
        let mut drawn = self.dice.schedule.random_range(0..total);
        let action = 'chosen: {
            if drawn < time {
                break 'chosen Action::Time;
            }
            drawn -= time;
            for (action, weight) in faults {
                if drawn < weight {
                    break 'chosen action;
                }
                drawn -= weight;
            }
            let choice = self.dice.schedule.random_range(0..progress.len());
            progress[choice].clone()
        };
        self.trace.note(format_args!("{} {action:?}", self.now));
        self.perform_action(action);
    }

    /// What can go on now.
    fn possible(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.clients.has_more_to_send() {
            actions.push(Action::Send);
        }
        if self.clients.has_open_tasks() {
            actions.push(Action::Answer);
        }
        if self.broker.transactions.has_markers() {
            actions.push(Action::Marker);
        }
        if !self.orphans.is_empty() {
            actions.push(Action::OrphanArrives);
        }
        if self.store_answers() && !self.store.network.is_empty() {
            actions.push(Action::StoreDelivers);
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_up() {
                self.possible_on(node, &mut actions);
            }
        }
        actions
    }

    fn possible_on(&mut self, number: usize, actions: &mut Vec<Action>) {
        if self.can_poll(number) {
            actions.push(Action::Poll(number));
        }
        for lane in 0..self.nodes[number].lanes.len() {
            if self.can_commit(number, lane) {
                actions.push(Action::Lane(number, lane));
            }
        }
        let now = self.now + self.nodes[number].skew_ms;
        let deadlines = self.nodes[number].owned.values().filter_map(|it| it.partition.next_deadline());
        if deadlines.min().is_some_and(|it| it.0 <= now) {
            actions.push(Action::Tick(number));
        }
        for index in self.nodes[number].indexes() {
            let owned = &self.nodes[number].owned[&index];
            if !owned.is_paused {
                for (source, next) in &owned.reads {
                    if self.broker.log(&place(source)).stable() > *next {
                        actions.push(Action::Fetch(number, index, source.clone()));
                    }
                }
            }
            let effects: Vec<u64> = self.nodes[number].owned[&index].effects.keys().copied().collect();
            for effect in effects {
                if self.can_progress(number, index, effect) {
                    actions.push(Action::Effect(number, index, effect));
                }
            }
        }
    }

    fn faults(&self) -> Vec<(Action, u32)> {
        let weights = &self.swarm.weights;
        let mut faults =
            vec![(Action::Shuffle, weights.rebalance), (Action::StoreOutage, weights.store_outage)];
        if self.store.network.iter().any(|it| it.token.is_some()) {
            faults.push((Action::StoreTimeout, weights.store_timeout));
        }
        for node in self.nodes.iter().filter(|it| it.is_up()) {
            // The moments that matter are short: between the fence and the end of a transaction.
            let factor = node.lanes.iter().map(Lane::danger).max().unwrap_or(1);
            faults.push((Action::Crash(node.number), weights.crash * factor));
            faults.push((Action::Freeze(node.number), weights.freeze * factor));
            faults.push((Action::Leave(node.number), weights.leave));
            faults.push((Action::ClockJump(node.number), weights.clock_jump));
            // As often as somebody says something twice.
            faults.push((Action::Query(node.number), weights.duplicate));
        }
        faults
    }

    fn perform_action(&mut self, action: Action) {
        match action {
            Action::Send => {
                if self.happens(self.swarm.weights.poison) {
                    self.clients.poison(&mut self.broker, &self.swarm, self.now, &mut self.dice.clients);
                }
                self.clients.send(&mut self.broker, self.now, &mut self.dice.clients);
            }
            Action::Answer => {
                let duplicates = self.faults_are_on
                    && self.dice.clients.random_range(0..100) < self.swarm.weights.duplicate;
                self.clients.answer(&mut self.broker, self.now, duplicates, &mut self.dice.clients);
            }
            Action::Poll(node) => self.poll(node),
            Action::Fetch(node, index, source) => self.fetch(node, index, source),
            Action::Effect(node, index, effect) => self.progress(node, index, effect),
            Action::Lane(node, lane) => self.advance_lane(node, lane),
            Action::Tick(node) => self.tick(node),
            Action::StoreDelivers => self.store_delivers(),
            Action::Marker => {
                let choice = self.dice.network.random_range(0..1_000);
                self.broker.write_marker(choice);
            }
            Action::OrphanArrives => {
                let choice = self.dice.network.random_range(0..self.orphans.len());
                let (id, epoch) = self.orphans.swap_remove(choice);
                // Nobody hears what came of it.
                let _ = self.broker.transactions.end(&id, epoch, true);
            }
            Action::Time => self.pass_time(),
            Action::Crash(node) => self.crash(node),
            Action::Freeze(node) => {
                // Shorter than the session; long enough to be thrown out but not for the transaction to time out; longer than both.
                let bounds = [0, SESSION_MS, TIMEOUT_MS, 3 * SESSION_MS];
                let choice = self.dice.faults.random_range(1..bounds.len());
                let until = self.now + self.dice.faults.random_range(bounds[choice - 1]..bounds[choice]);
                self.nodes[node].state = State::Frozen { until };
            }
            Action::Leave(node) => self.nodes[node].is_leaving = true,
            Action::Shuffle => {
                let partition = self.dice.faults.random_range(0..self.swarm.partitions);
                let choice = self.dice.faults.random_range(0..self.swarm.nodes);
                self.broker.group.shuffle(partition, choice);
            }
            Action::ClockJump(node) => {
                let skew_ms = self.swarm.skew_ms;
                self.nodes[node].skew_ms = self.dice.faults.random_range(-skew_ms..=skew_ms);
            }
            Action::Query(node) => self.query(node),
            Action::StoreTimeout => self.store_times_out(),
            Action::StoreOutage => {
                self.store_out_until = self.now + self.dice.faults.random_range(1_000..20_000);
            }
        }
    }

    /// Time passes: to the next deadline at most, so that nothing is skipped.
    fn pass_time(&mut self) {
        let longest = if self.faults_are_on { 3_000 } else { 60_000 };
        let mut next = self.now + self.dice.schedule.random_range(1..=longest);
        let deadlines = self.nodes.iter().filter(|it| it.is_up()).flat_map(|node| {
            node.owned.values().filter_map(|it| it.partition.next_deadline()).map(|it| it.0 - node.skew_ms)
        });
        if let Some(deadline) = deadlines.min() {
            next = next.min(deadline.max(self.now + 1));
        }
        self.now = next;
        for node in 0..self.nodes.len() {
            match self.nodes[node].state {
                State::Down { until } | State::Frozen { until } if until <= self.now => self.wake(node),
                State::Down { .. } | State::Frozen { .. } => {}
                // Heartbeats are sent by a thread of the client's own.
                State::Up => {
                    if let Some(member) = self.nodes[node].member {
                        self.broker.group.heartbeat(member, self.now);
                    }
                }
            }
        }
        self.broker.group.expire(self.now);
        self.broker.transactions.expire(self.now);
    }

    fn tick(&mut self, number: usize) {
        let now = self.now + self.nodes[number].skew_ms;
        let node = &self.nodes[number];
        let due: Vec<_> = node
            .owned
            .values()
            .filter(|it| it.partition.next_deadline().is_some_and(|it| it.0 <= now))
            .map(|it| it.incarnation.clone())
            .collect();
        for incarnation in due {
            self.input(number, &incarnation, Input::Tick);
        }
    }

    /// Whoever owns it answers; the others have nothing to say.
    fn query(&mut self, number: usize) {
        let instance = self.clients.any_instance(&mut self.dice.clients);
        let index = home(key_group(instance.as_str().as_bytes()), self.config.partitions).0 as usize;
        let owned = self.nodes[number].owned.get(&index).map(|it| it.incarnation.clone());
        if let Some(incarnation) = owned {
            self.input(number, &incarnation, Input::Query { query: QueryId(0), instance });
        }
    }

    /// Chance, in percent.
    pub(super) fn happens(&mut self, percent: u32) -> bool {
        self.faults_are_on && u64::from(percent) > self.dice.faults.next_u64() % 100
    }
}
