//! The group coordinator, as with the cooperative protocol: a partition goes to its next owner when the last one has given it up or
//! was thrown out.

use std::collections::BTreeMap;

use millrace_schemas::Offset;

use super::log::TransactionNumber;

/// `session.timeout.ms`.
pub(crate) const SESSION_MS: i64 = 6_000;

/// One membership: a process that joins again is another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(u64);

/// What a member knows of the group; goes into transactions as the fence F1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) member: MemberId,
    pub(crate) generation: u64,
}

/// Offsets of `.internal` in a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// None: unfenced, as old clients did it.
    pub(crate) metadata: Option<Metadata>,
    pub(crate) offsets: Vec<(usize, Offset)>,
}

/// ILLEGAL_GENERATION or UNKNOWN_MEMBER_ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitRefused;

#[derive(Debug)]
struct Member {
    heard_at: i64,
    /// The generation that it has been told.
    told: u64,
}

#[derive(Debug)]
pub(crate) struct Group {
    generation: u64,
    members: BTreeMap<MemberId, Member>,
    next_member: u64,
    partitions: Vec<Assignment>,
}

#[derive(Debug, Default)]
struct Assignment {
    owner: Option<MemberId>,
    /// Who is to have it.
    target: Option<MemberId>,
    committed: Option<Offset>,
    /// Which of the offsets that were appended is the committed one.
    committed_as: u64,
    pending: BTreeMap<TransactionNumber, (u64, Offset)>,
    appended: u64,
}

/// What a member hears when it polls.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) revoked: Vec<usize>,
    pub(crate) assigned: Vec<usize>,
}

impl Group {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            generation: 0,
            members: BTreeMap::new(),
            next_member: 0,
            partitions: (0..partitions).map(|_| Assignment::default()).collect(),
        }
    }

    pub(crate) fn join(&mut self, now: i64) -> MemberId {
        self.next_member += 1;
        let member = MemberId(self.next_member);
        self.members.insert(member, Member { heard_at: now, told: 0 });
        self.rebalance();
        member
    }

    pub(crate) fn leave(&mut self, member: MemberId) {
        if self.members.remove(&member).is_some() {
            for it in &mut self.partitions {
                it.owner = it.owner.filter(|owner| *owner != member);
            }
            self.rebalance();
        }
    }

    /// Throws out members that have not been heard of. The world calls this whenever time has passed.
    pub(crate) fn expire(&mut self, now: i64) -> bool {
        let gone: Vec<MemberId> =
            self.members.iter().filter(|(_, it)| it.heard_at + SESSION_MS <= now).map(|it| *it.0).collect();
        for member in &gone {
            self.leave(*member);
        }
        !gone.is_empty()
    }

    pub(crate) fn heartbeat(&mut self, member: MemberId, now: i64) {
        if let Some(it) = self.members.get_mut(&member) {
            it.heard_at = now;
        }
    }

    /// What a member would be told now.
    pub(crate) fn metadata(&self, member: MemberId) -> Option<Metadata> {
        self.members.contains_key(&member).then_some(Metadata { member, generation: self.generation })
    }

    pub(crate) fn knows(&self, member: MemberId) -> bool {
        self.members.contains_key(&member)
    }

    /// Deals the partitions out anew, each to the member that has it if that keeps the balance.
    pub(crate) fn rebalance(&mut self) {
        self.generation += 1;
        let members: Vec<MemberId> = self.members.keys().copied().collect();
        for it in &mut self.partitions {
            it.target = None;
        }
        if members.is_empty() {
            return;
        }
        let share = self.partitions.len().div_ceil(members.len());
        let mut load: BTreeMap<MemberId, usize> = members.iter().map(|it| (*it, 0)).collect();
        for it in &mut self.partitions {
            if let Some(owner) = it.owner
                && let Some(count) = load.get_mut(&owner)
                && *count < share
            {
                *count += 1;
                it.target = Some(owner);
            }
        }
        for it in self.partitions.iter_mut().filter(|it| it.target.is_none()) {
            let (member, count) = load.iter_mut().min_by_key(|it| *it.1).expect("there are members");
            *count += 1;
            it.target = Some(*member);
        }
    }

    /// Moves a partition to another member, as an assignor may at any rebalance.
    pub(crate) fn shuffle(&mut self, partition: usize, choice: usize) {
        let members: Vec<MemberId> = self.members.keys().copied().collect();
        if !members.is_empty() {
            self.generation += 1;
            self.partitions[partition].target = Some(members[choice % members.len()]);
        }
    }

    /// Whether `poll` would say something new.
    pub(crate) fn has_news(&self, member: MemberId) -> bool {
        let Some(it) = self.members.get(&member) else { return true };
        it.told != self.generation
            || self.partitions.iter().any(|it| {
                (it.owner == Some(member)) != (it.target == Some(member))
                    && (it.owner.is_none() || it.owner == Some(member))
            })
    }

    /// What the member gives up and gets; None if it is no member any more. It gives up for good by `release`.
    pub(crate) fn poll(&mut self, member: MemberId) -> Option<(Metadata, News)> {
        let generation = self.generation;
        self.members.get_mut(&member)?.told = generation;
        let mut news = News::default();
        for (index, it) in self.partitions.iter_mut().enumerate() {
            match (it.owner, it.target) {
                (Some(owner), target) if owner == member && target != Some(member) => {
                    news.revoked.push(index)
                }
                (None, Some(target)) if target == member => {
                    it.owner = Some(member);
                    news.assigned.push(index);
                }
                _ => {}
            }
        }
        Some((Metadata { member, generation }, news))
    }

    /// A revoked partition is free; its next owner gets it in a new generation.
    pub(crate) fn release(&mut self, member: MemberId, partition: usize) {
        let it = &mut self.partitions[partition];
        if it.owner == Some(member) {
            it.owner = None;
            self.generation += 1;
        }
    }

    /// F1: the member and its generation, not the partitions.
    pub(super) fn check(&self, commit: &Commit) -> Result<(), CommitRefused> {
        match commit.metadata {
            None => Ok(()),
            Some(it) if self.members.contains_key(&it.member) && it.generation == self.generation => Ok(()),
            Some(_) => Err(CommitRefused),
        }
    }

    pub(super) fn pend(&mut self, transaction: TransactionNumber, commit: &Commit) {
        for (partition, offset) in &commit.offsets {
            let it = &mut self.partitions[*partition];
            it.appended += 1;
            it.pending.insert(transaction, (it.appended, *offset));
        }
    }

    /// Of two that are committed, that stands which was appended last, whichever marker comes first.
    pub(super) fn mark(&mut self, transaction: TransactionNumber, is_commit: bool) {
        for it in &mut self.partitions {
            if let Some((number, offset)) = it.pending.remove(&transaction)
                && is_commit
                && number > it.committed_as
            {
                it.committed = Some(offset);
                it.committed_as = number;
            }
        }
    }

    /// `OffsetFetch`, `require_stable` (KIP-447): Err while a transaction has a pending offset here.
    pub(crate) fn stable_offset(&self, partition: usize) -> Result<Option<Offset>, Pending> {
        let it = &self.partitions[partition];
        if it.pending.is_empty() { Ok(it.committed) } else { Err(Pending) }
    }

    /// `OffsetFetch` without `require_stable`.
    pub(crate) fn any_offset(&self, partition: usize) -> Option<Offset> {
        self.partitions[partition].committed
    }
}

/// UNSTABLE_OFFSET_COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending;
