//! What happens because time passes: members die, rebalances end, offsets of abandoned groups are dropped.

use std::time::Duration;

use super::Groups;
use super::change::Change;
use super::config::GroupConfig;
use super::names::{MemberId, TopicPartition};
use super::one_group::Group;
use super::outcome::Outcome;
use super::phase::Phase;

impl Groups {
    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        for group in self.groups.values_mut() {
            group.tick(&self.config, now, &mut outcome);
        }
        let forgotten =
            self.groups.values().filter(|it| it.forgotten_at(&self.config).is_some_and(|at| at <= now));
        let forgotten: Vec<Change> =
            forgotten.map(|it| Change::GroupDeleted { group: it.id.clone() }).collect();
        for change in forgotten {
            self.apply(&change);
            outcome.changes.push(change);
        }
        outcome
    }

    /// When [`Groups::tick`] will have something to do. Looks at every member and every offset of a group without members.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.groups.values().filter_map(|it| it.next_deadline(&self.config)).min()
    }
}

impl Group {
    fn tick(&mut self, config: &GroupConfig, now: Duration, outcome: &mut Outcome) {
        self.pending_ids.retain(|_, until| *until > now);
        let dead = self.members.iter().filter(|(_, it)| it.dies_at().is_some_and(|at| at <= now));
        let dead: Vec<MemberId> = dead.map(|(id, _)| id.clone()).collect();
        for id in dead {
            self.remove_and_rebalance(&id, config, now, outcome);
        }
        if let Some(unsynced) = self.phase.unsynced_mut()
            && unsynced.until <= now
        {
            for id in std::mem::take(&mut unsynced.members) {
                self.remove_and_rebalance(&id, config, now, outcome);
            }
        }
        self.proceed(config, now, outcome);
        for partition in self.expired_offsets(config, now) {
            let change = Change::OffsetDeleted { group: self.id.clone(), partition };
            self.change(change, outcome);
        }
    }

    fn next_deadline(&self, config: &GroupConfig) -> Option<Duration> {
        let pending_ids = self.pending_ids.values().copied();
        let members = self.members.values().filter_map(|it| it.dies_at());
        let offsets = self.record.offsets.keys().filter_map(|it| self.offset_expires_at(it, config));
        let others = [self.phase.deadline(), self.forgotten_at(config)].into_iter().flatten();
        pending_ids.chain(members).chain(offsets).chain(others).min()
    }

    fn expired_offsets(&self, config: &GroupConfig, now: Duration) -> Vec<TopicPartition> {
        let partitions = self.record.offsets.keys();
        let is_expired =
            |it: &&TopicPartition| self.offset_expires_at(it, config).is_some_and(|at| at <= now);
        partitions.filter(is_expired).cloned().collect()
    }

    /// Offsets are kept while there are members, and then for a while (KIP-211). An offset that was committed after the last member
    /// had gone, as by an administrator, counts from there.
    fn offset_expires_at(&self, partition: &TopicPartition, config: &GroupConfig) -> Option<Duration> {
        let empty_since_ms = self.empty_since_ms()?;
        if self.record.has_pending(partition) {
            return None;
        }
        let committed_ms = self.record.offsets.get(partition)?.offset.at_ms;
        Some(Duration::from_millis(committed_ms.max(empty_since_ms)) + config.offsets_retention)
    }

    /// A group without members and offsets is of no use to anybody.
    fn forgotten_at(&self, config: &GroupConfig) -> Option<Duration> {
        let is_unused = self.pending_ids.is_empty() && !self.record.has_offsets();
        let empty_since_ms = self.empty_since_ms().filter(|_| is_unused)?;
        Some(Duration::from_millis(empty_since_ms) + config.empty_group_retention)
    }

    fn empty_since_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Empty => self.record.empty_since_ms,
            Phase::Gathering { .. } | Phase::Preparing { .. } | Phase::Completing(_) | Phase::Stable(_) => {
                None
            }
        }
    }
}
