//! Whatever clients do, in whatever order: no panic, every ticket answered once, and a journal that says what is true.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crate::group::phase::Phase;
use crate::group::*;

const CLIENTS: usize = 3;
const PROTOCOLS: [&[&str]; 4] = [&["range"], &["range", "sticky"], &["sticky", "range"], &["other"]];

#[derive(Clone, Debug)]
enum Step {
    Join {
        client: usize,
        as_new: bool,
        instance: Option<u8>,
        version: i16,
        protocols: usize,
    },
    Sync {
        client: usize,
        assigns: bool,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Remove {
        instances: Vec<u8>,
    },
    /// The connection of the n-th waiting request ends.
    Gone {
        nth: usize,
    },
    Commit {
        client: Option<usize>,
        partition: i32,
    },
    Tell {
        client: Option<usize>,
        producer: i64,
        partition: i32,
    },
    EndTransaction {
        producer: i64,
        committed: bool,
    },
    DeleteGroup,
    DeleteOffset {
        partition: i32,
    },
    DeleteTopic,
    Wait {
        ms: u64,
    },
    Restart {
        from_snapshot: bool,
    },
}

/// What a client remembers; clients are not asked to be consistent.
#[derive(Clone, Debug, Default)]
struct Client {
    member: Option<MemberId>,
    instance: Option<InstanceId>,
    generation: i32,
}

#[derive(Debug)]
struct Run {
    groups: Groups,
    config: GroupConfig,
    journal: Vec<Change>,
    clients: Vec<Client>,
    waiting: BTreeMap<Ticket, usize>,
    /// The latest that was written down.
    generation: i32,
    now: Duration,
    names_given: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    let instance = || 0..2_u8;
    // Mostly the same, so that clients agree.
    let protocols = prop_oneof![6 => Just(1), 1 => 0..PROTOCOLS.len()];
    let new = prop::bool::weighted(0.3);
    let join = (client(), new, prop::option::weighted(0.5, instance()), 3..10_i16, protocols);
    let tell = (prop::option::of(client()), 0..2_i64, 0..3);
    prop_oneof![
        8 => join.prop_map(|(client, as_new, instance, version, protocols)| {
            Step::Join { client, as_new, instance, version, protocols }
        }),
        8 => (client(), any::<bool>()).prop_map(|(client, assigns)| Step::Sync { client, assigns }),
        4 => client().prop_map(|client| Step::Heartbeat { client }),
        1 => client().prop_map(|client| Step::Leave { client }),
        1 => prop::collection::vec(instance(), 0..3).prop_map(|instances| Step::Remove { instances }),
        2 => (0..CLIENTS).prop_map(|nth| Step::Gone { nth }),
        3 => (prop::option::of(client()), 0..3).prop_map(|(client, partition)| Step::Commit { client, partition }),
        3 => tell.prop_map(|(client, producer, partition)| Step::Tell { client, producer, partition }),
        1 => (0..2_i64, any::<bool>()).prop_map(|(producer, committed)| {
            Step::EndTransaction { producer, committed }
        }),
        1 => Just(Step::DeleteGroup),
        1 => (0..3).prop_map(|partition| Step::DeleteOffset { partition }),
        1 => Just(Step::DeleteTopic),
        4 => (0..20_000_u64).prop_map(|ms| Step::Wait { ms }),
        1 => any::<bool>().prop_map(|from_snapshot| Step::Restart { from_snapshot }),
    ]
}

proptest! {
    #[test]
    fn any_sequence_of_requests(steps in prop::collection::vec(step(), 1..80), gathers in any::<bool>()) {
        let initial_rebalance_delay = Duration::from_millis(if gathers { 3_000 } else { 0 });
        let mut run = Run::new(GroupConfig { group_size_max: 3, initial_rebalance_delay, ..Default::default() });
        for step in steps {
            run.take(step);
            run.check();
        }
        run.check_journal();
        run.settles();
        run.check_journal();
    }
}

impl Run {
    fn new(config: GroupConfig) -> Self {
        Self {
            groups: Groups::new(config.clone()),
            config,
            journal: Vec::new(),
            clients: vec![Client::default(); CLIENTS],
            waiting: BTreeMap::new(),
            generation: 0,
            now: Duration::from_secs(1_000_000),
            names_given: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join { client, as_new, instance, version, protocols } => {
                let join = self.join(client, as_new, instance, version, protocols);
                let ticket = self.ticket(client);
                let outcome = self.groups.join(join, ticket, self.now);
                self.absorb(outcome);
            }
            Step::Sync { client, assigns } => {
                let members = self.clients.iter().filter_map(|it| it.member.clone());
                let assignments =
                    members.filter(|_| assigns).map(|it| (it, Bytes::from_static(b"x"))).collect();
                let claim = self.claim(Some(client));
                let sync = Sync { group: group(), claim, protocol_type: None, protocol: None, assignments };
                let ticket = self.ticket(client);
                let outcome = self.groups.sync(sync, ticket, self.now);
                self.absorb(outcome);
            }
            Step::Heartbeat { client } => {
                let _ = self.groups.heartbeat(&group(), &self.claim(Some(client)), self.now);
            }
            Step::Leave { client } => {
                let Claim { member, instance, .. } = self.claim(Some(client));
                let (_, outcome) = self.groups.leave(&group(), vec![Leaving { member, instance }], self.now);
                self.absorb(outcome);
            }
            Step::Remove { instances } => {
                let leaving = |it: u8| Leaving { member: None, instance: Some(InstanceId(it.to_string())) };
                let leaving = instances.into_iter().map(leaving).collect();
                let (_, outcome) = self.groups.leave(&group(), leaving, self.now);
                self.absorb(outcome);
            }
            Step::Gone { nth } => {
                if let Some(ticket) = self.waiting.keys().nth(nth).copied() {
                    self.waiting.remove(&ticket);
                    let outcome = self.groups.disconnected(ticket, self.now);
                    self.absorb(outcome);
                }
            }
            Step::Commit { client, partition } => {
                let offsets = self.new_offset(partition);
                let claim = self.claim(client);
                let (_, changes) = self.groups.commit_offsets(&group(), &claim, offsets, self.now);
                self.write_down(changes);
            }
            Step::Tell { client, producer, partition } => {
                let offsets = self.new_offset(partition);
                let (claim, producer) = (self.claim(client), ProducerId(producer));
                let (_, changes) = self.groups.add_pending(&group(), producer, &claim, offsets, self.now);
                self.write_down(changes);
            }
            Step::EndTransaction { producer, committed } => {
                let changes = self.groups.end_transaction(ProducerId(producer), committed);
                self.write_down(changes);
            }
            Step::DeleteGroup => {
                let changes = self.groups.delete_group(&group()).unwrap_or_default();
                self.write_down(changes);
            }
            Step::DeleteOffset { partition } => {
                let deleted = self.groups.delete_offsets(&group(), vec![topic_partition(partition)]);
                self.write_down(deleted.map(|(_, changes)| changes).unwrap_or_default());
            }
            Step::DeleteTopic => {
                let changes = self.groups.topic_deleted("t");
                self.write_down(changes);
            }
            Step::Wait { ms } => {
                let end = self.now + Duration::from_millis(ms);
                while self.groups.next_deadline().is_some_and(|it| it <= end) {
                    self.tick();
                }
                self.now = end;
            }
            Step::Restart { from_snapshot } => {
                if from_snapshot {
                    self.journal = self.groups.snapshot();
                }
                self.waiting.clear();
                self.groups = Groups::restore(self.config.clone(), &self.journal, self.now);
            }
        }
    }

    /// Goes to the next deadline, of which something must come.
    fn tick(&mut self) {
        let deadline = self.groups.next_deadline().expect("the caller has looked");
        // The end of a transaction can make an offset overdue; nothing else leaves a deadline behind.
        self.now = self.now.max(deadline);
        let outcome = self.groups.tick(self.now);
        self.absorb(outcome);
        assert!(self.groups.next_deadline().is_none_or(|it| it > self.now), "time stands still");
    }

    fn join(
        &mut self,
        client: usize,
        as_new: bool,
        instance: Option<u8>,
        version: i16,
        protocols: usize,
    ) -> Join {
        self.names_given += 1;
        let remembered = &mut self.clients[client];
        if as_new {
            *remembered = Client::default();
            remembered.instance = instance.map(|it| InstanceId(it.to_string()));
        }
        let protocols = PROTOCOLS[protocols].iter();
        let protocols = protocols.map(|it| Protocol { name: it.to_string(), metadata: Bytes::new() });
        Join {
            group: group(),
            member: remembered.member.clone(),
            instance: remembered.instance.clone(),
            fresh_member: MemberId(format!("{client}-{}", self.names_given)),
            client_id: String::new(),
            client_host: String::new(),
            session_timeout: Duration::from_millis(6_000),
            rebalance_timeout: Duration::from_millis(7_000 * client as u64),
            protocol_type: "consumer".to_owned(),
            protocols: protocols.collect(),
            requires_member_id: version >= 4,
            can_skip_assignment: version >= 9,
        }
    }

    fn new_offset(&mut self, partition: i32) -> Vec<NewOffset> {
        self.names_given += 1;
        vec![NewOffset {
            partition: topic_partition(partition),
            // No two commits are alike, so that a wrong one shows.
            offset: self.names_given as i64,
            leader_epoch: -1,
            metadata: String::new(),
        }]
    }

    fn ticket(&mut self, client: usize) -> Ticket {
        self.names_given += 1;
        let ticket = Ticket(self.names_given);
        self.waiting.insert(ticket, client);
        ticket
    }

    fn claim(&self, client: Option<usize>) -> Claim {
        match client.map(|it| self.clients[it].clone()) {
            Some(Client { member, instance, generation }) => {
                Claim { member, instance, generation: Some(generation) }
            }
            None => Claim::new("", None, -1),
        }
    }

    fn write_down(&mut self, changes: Vec<Change>) {
        for change in &changes {
            match change {
                Change::GenerationStarted { generation, .. } | Change::GroupEmptied { generation, .. } => {
                    assert!(*generation > self.generation, "a generation came again");
                    self.generation = *generation;
                }
                // Another group of that name begins anew; the members of this one are unknown to it.
                Change::GroupDeleted { .. } => self.generation = 0,
                Change::OffsetCommitted { .. }
                | Change::OffsetPending { .. }
                | Change::TransactionEnded { .. }
                | Change::OffsetDeleted { .. } => {}
            }
        }
        self.journal.extend(changes);
    }

    fn absorb(&mut self, outcome: Outcome) {
        self.write_down(outcome.changes);
        for answer in outcome.answers {
            let client = self.waiting.remove(&answer.ticket()).expect("only who waits is answered");
            if let Answer::Join { result, .. } = answer {
                match result {
                    Ok(it) => {
                        let client = &mut self.clients[client];
                        (client.member, client.generation) = (Some(it.member), it.generation);
                    }
                    Err(it) => self.clients[client].member = it.member,
                }
            }
        }
    }

    fn check(&mut self) {
        let mut held: BTreeSet<Ticket> = BTreeSet::new();
        for group in self.groups.groups.values() {
            for member in group.members.values() {
                held.extend(self.waiting.keys().filter(|it| member.waits_with(**it)));
                assert_eq!(member.assignment.is_some(), matches!(group.phase, Phase::Stable(_)));
            }
            let instances: Vec<_> = group.members.values().filter_map(|it| it.instance.as_ref()).collect();
            assert_eq!(instances.len(), instances.iter().collect::<BTreeSet<_>>().len());
            match &group.leader {
                Some(leader) => assert!(group.members.contains_key(leader)),
                None => assert!(group.members.is_empty()),
            }
            match &group.phase {
                Phase::Empty => assert!(group.members.is_empty()),
                Phase::Gathering { .. } | Phase::Preparing { .. } => {}
                Phase::Completing(unsynced) | Phase::Stable(unsynced) => {
                    assert!(!group.members.is_empty());
                    assert!(unsynced.members.iter().all(|it| group.members.contains_key(it)));
                    assert!(group.members.values().all(|it| !it.is_joining()));
                }
            }
            assert!(group.record.pending.values().all(|it| !it.is_empty()));
            assert_eq!(group.record.generation, self.generation);
        }
        assert!(held.iter().eq(self.waiting.keys()), "{held:?} of {:?}", self.waiting);
    }

    fn check_journal(&self) {
        let replay = |journal: &[Change]| {
            let mut groups = Groups::new(self.config.clone());
            journal.iter().for_each(|it| groups.apply(it));
            groups
        };
        let live = self.groups.snapshot();
        let mut replayed = replay(&self.journal);
        assert_eq!(without_emptiness(replayed.snapshot()), without_emptiness(live.clone()));
        // A snapshot says the same, also about transactions that end only later.
        let mut again = replay(&live);
        for producer in 0..2 {
            replayed.end_transaction(ProducerId(producer), true);
            again.end_transaction(ProducerId(producer), true);
        }
        let fetch = |it: &Groups| it.fetch_offsets(&group(), None, false);
        assert_eq!(fetch(&replayed), fetch(&again));
    }

    /// Everybody falls silent: all tickets are answered, and in the end nothing is left.
    fn settles(&mut self) {
        for producer in 0..2 {
            let changes = self.groups.end_transaction(ProducerId(producer), true);
            self.write_down(changes);
        }
        let mut ticks = 0;
        while self.groups.next_deadline().is_some() {
            self.tick();
            self.check();
            ticks += 1;
            assert!(ticks < 100, "no end in sight");
        }
        assert!(self.waiting.is_empty());
        assert!(self.groups.list().is_empty());
    }
}

/// Since when a group is empty is not said while the process lives, if it only lost its members with the process before.
fn without_emptiness(changes: Vec<Change>) -> Vec<Change> {
    changes.into_iter().filter(|it| !matches!(it, Change::GroupEmptied { .. })).collect()
}

fn group() -> GroupId {
    GroupId("g".to_owned())
}

fn topic_partition(partition: i32) -> TopicPartition {
    TopicPartition { topic: if partition == 2 { "u" } else { "t" }.to_owned(), partition }
}
