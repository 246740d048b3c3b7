//! Group membership of a process, and its life: what `kafka-log`'s rebalance callbacks do.

use millrace_partition::{Input, Owner, Partition};
use millrace_placement::PartitionIndex;
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::World;
use crate::fleet::node::{Acquiring, Effect, Incarnation, Node, Owned, Stage, State};

/// How long a revocation waits for the partition to be drained.
const DRAIN_MS: i64 = 2_000;

impl World {
    pub(super) fn can_poll(&self, number: usize) -> bool {
        let node = &self.nodes[number];
        let Some(member) = node.member else { return true };
        if !node.revoking.is_empty() {
            let is_over = |(index, until): (&usize, &i64)| {
                *until <= self.now || node.owned.get(index).is_none_or(|it| it.is_drained)
            };
            return !self.broker.group.knows(member) || node.revoking.iter().any(is_over);
        }
        node.is_leaving || self.broker.group.has_news(member)
    }

    pub(super) fn poll(&mut self, number: usize) {
        let Some(member) = self.nodes[number].member else {
            self.nodes[number].member = Some(self.broker.group.join(self.now));
            return;
        };
        if !self.broker.group.knows(member) {
            return self.lose_everything(number);
        }
        if self.nodes[number].revoking.is_empty() {
            if self.nodes[number].is_leaving {
                let all: Vec<usize> = self.nodes[number].assigned.keys().copied().collect();
                if all.is_empty() {
                    return self.leave(number);
                }
                return self.revoke(number, all);
            }
            let Some((metadata, news)) = self.broker.group.poll(member) else { return };
            self.nodes[number].metadata = Some(metadata);
            self.revoke(number, news.revoked);
            for index in news.assigned {
                self.assign(number, index);
            }
        } else {
            self.finish_revocations(number);
        }
    }

    /// In good order: the partition may drain first.
    fn revoke(&mut self, number: usize, partitions: Vec<usize>) {
        for index in partitions {
            self.nodes[number].revoking.insert(index, self.now + DRAIN_MS);
            let incarnation = self.nodes[number].owned.get(&index).map(|it| it.incarnation.clone());
            if let Some(incarnation) = incarnation {
                self.input(number, &incarnation, Input::Drain);
            }
        }
    }

    fn finish_revocations(&mut self, number: usize) {
        let now = self.now;
        let node = &mut self.nodes[number];
        let over: Vec<usize> = node
            .revoking
            .iter()
            .filter(|(index, until)| **until <= now || node.owned.get(index).is_none_or(|it| it.is_drained))
            .map(|it| *it.0)
            .collect();
        let member = node.member;
        for index in over {
            let node = &mut self.nodes[number];
            node.revoking.remove(&index);
            if let Some(incarnation) = node.assigned.remove(&index) {
                incarnation.kill();
            }
            node.drop_partition(index);
            if let Some(member) = member {
                self.broker.group.release(member, index);
            }
        }
    }

    /// Thrown out: what was assigned is lost already.
    fn lose_everything(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.member = None;
        node.metadata = None;
        node.revoking.clear();
        for incarnation in std::mem::take(&mut node.assigned).into_values() {
            incarnation.kill();
            node.drop_partition(incarnation.index);
        }
    }

    fn leave(&mut self, number: usize) {
        if let Some(member) = self.nodes[number].member {
            self.broker.group.leave(member);
        }
        self.end_process(number);
    }

    fn assign(&mut self, number: usize, index: usize) {
        let incarnation = Incarnation::new(self.number(), index);
        if let Some(old) = self.nodes[number].assigned.insert(index, incarnation.clone()) {
            old.kill();
        }
        self.acquire(number, incarnation);
    }

    /// What `Log::renew` does: another incarnation, if the partition is still assigned as far as this process knows.
    pub(super) fn renew(&mut self, number: usize, old: &Incarnation) {
        if self.nodes[number].owned(old).is_none() {
            return;
        }
        self.nodes[number].drop_partition(old.index);
        if !self.nodes[number].assigned.contains_key(&old.index) {
            return;
        }
        let next = Incarnation::new(self.number(), old.index);
        if let Some(old) = self.nodes[number].assigned.insert(old.index, next.clone()) {
            old.kill();
        }
        self.acquire(number, next);
        if self.nodes[number].revoking.contains_key(&old.index) {
            // It is being taken away: there is nothing to drain that the log does not hold.
            let incarnation = self.nodes[number].assigned[&old.index].clone();
            self.input(number, &incarnation, Input::Drain);
        }
    }

    fn acquire(&mut self, number: usize, incarnation: Incarnation) {
        let index = incarnation.index;
        let lane = index % self.nodes[number].lanes.len();
        let owner = Owner {
            incarnation: incarnation.number.to_string(),
            transactional_id: self.nodes[number].lanes[lane].producers[0].id.clone(),
        };
        let partition = Partition::new(
            PartitionIndex(u32::try_from(index).expect("few")),
            Arc::clone(&self.config),
            self.codec.clone(),
            owner,
        );
        let effect = self.number();
        let begin = Effect::Acquire(Acquiring::StableOffset { early_end: None });
        // Whenever the brokers have answered.
        let topics = Effect::Answer(Box::new(Input::Topics(vec![self.users_topic()])));
        let told = self.number();
        self.nodes[number].owned.insert(
            index,
            Owned {
                incarnation,
                partition,
                is_paused: false,
                is_drained: false,
                reads: BTreeMap::new(),
                effects: BTreeMap::from([(effect, begin), (told, topics)]),
                last_dirty: BTreeMap::new(),
                late_timers: Vec::new(),
                late_proposals: Vec::new(),
                checkpoint: None,
            },
        );
    }

    /// SIGKILL. What was on the network stays there.
    pub(super) fn crash(&mut self, number: usize) {
        for lane in 0..self.nodes[number].lanes.len() {
            if let Stage::Committing { epoch, shares } = &self.nodes[number].lanes[lane].stage
                && shares.iter().all(|it| it.incarnation.is_alive())
                && self.dice.faults.random_bool(0.5)
            {
                let orphan = (self.nodes[number].lanes[lane].id().to_owned(), *epoch);
                self.orphans.push(orphan);
            }
        }
        self.end_process(number);
    }

    fn end_process(&mut self, number: usize) {
        for incarnation in self.nodes[number].assigned.values() {
            incarnation.kill();
        }
        let skew_ms = self.nodes[number].skew_ms;
        let until = self.now + self.dice.faults.random_range(10..15_000);
        self.nodes[number] =
            Node { state: State::Down { until }, ..Node::new(number, self.swarm.lanes, skew_ms) };
        // What it was about to send again is never sent; of what it has sent, some is lost with its connections.
        let loses = self.faults_are_on && self.swarm.weights.store_loses > 0;
        let Self { store, senders, dice, .. } = self;
        store.network.retain(|it| {
            let is_its = it.token.is_some_and(|it| senders.get(&it).is_some_and(|sender| sender.0 == number));
            !(is_its && loses && dice.faults.random_bool(0.5))
        });
        self.senders.retain(|_, sender| sender.0 != number);
    }

    /// A process that was down starts; one that was stopped goes on.
    pub(super) fn wake(&mut self, number: usize) {
        self.nodes[number].state = State::Up;
    }
}
