//! A script, its clients, and the conversation that they have with one group, `g`.
//!
//! | line | means |
//! |---|---|
//! | `a join`, `a join v3 static=x session=10 rebalance=60 protocols=range:topics,sticky:topics` | joins; if an id is required, comes back with it at once. What is said once stays |
//! | `a ask` | joins, and does not come back |
//! | `a sync a=0,1 b=2` | asks for its assignment; a leader assigns |
//! | `a beat`, `a beat generation=1` | a heartbeat |
//! | `a leave`, `a gone` | leaves; its connection ends while it waits |
//! | `a commit t/0=5`, `a tell 7 t/0=5` | commits; commits within the transaction of producer 7 |
//! | `admin ...` | somebody who is no member |
//! | `wait 10` | seconds pass |
//! | `restart` | the broker restarts |

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use crate::group::*;

const START: Duration = Duration::from_secs(1_000_000);

#[derive(Debug)]
pub(super) struct World {
    pub(super) groups: Groups,
    pub(super) journal: Vec<Change>,
    config: GroupConfig,
    clients: BTreeMap<String, Client>,
    /// Who waits, with which ticket.
    waiting: BTreeMap<Ticket, String>,
    now: Duration,
    names_given: usize,
}

#[derive(Clone, Debug)]
struct Client {
    member: Option<MemberId>,
    generation: i32,
    instance: Option<InstanceId>,
    version: i16,
    session_s: u64,
    rebalance_s: u64,
    protocols: Vec<Protocol>,
}

impl Default for World {
    fn default() -> Self {
        Self::with(GroupConfig::default())
    }
}

impl World {
    pub(super) fn with(config: GroupConfig) -> Self {
        Self {
            groups: Groups::new(config.clone()),
            journal: Vec::new(),
            config,
            clients: BTreeMap::new(),
            waiting: BTreeMap::new(),
            now: START,
            names_given: 0,
        }
    }

    /// The conversation of a script.
    pub(super) fn run(&mut self, script: &str) -> String {
        let mut said = String::new();
        for line in script.lines().map(str::trim).filter(|it| !it.is_empty()) {
            writeln!(said, "> {line}").unwrap();
            for reply in self.say(line) {
                writeln!(said, "    {reply}").unwrap();
            }
        }
        said
    }

    /// What comes of one line.
    pub(super) fn say(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["wait", seconds] => self.wait(Duration::from_secs(seconds.parse().unwrap())),
            ["restart"] => self.restart(),
            ["admin", verb, ref arguments @ ..] => self.admin(verb, arguments),
            [client, verb, ref arguments @ ..] => self.client(client, verb, arguments),
            _ => panic!("{line}"),
        }
    }

    fn client(&mut self, name: &str, verb: &str, arguments: &[&str]) -> Vec<String> {
        let claim = self.claim(name, arguments);
        match verb {
            "join" | "ask" => self.join(name, verb == "join", arguments),
            "sync" => self.sync(name, claim, arguments),
            "beat" => vec![verdict(name, self.groups.heartbeat(&g(), &claim, self.now))],
            "leave" => {
                let leaving = Leaving { member: claim.member, instance: claim.instance };
                self.leave(vec![leaving])
            }
            "gone" => {
                let waiting = self.waiting.iter().find(|(_, it)| *it == name);
                let (ticket, _) = waiting.unwrap_or_else(|| panic!("{name} does not wait"));
                let ticket = *ticket;
                self.waiting.remove(&ticket);
                let outcome = self.groups.disconnected(ticket, self.now);
                self.tell(outcome)
            }
            "commit" => self.commit(&claim, arguments),
            "tell" => self.add_pending(&claim, arguments),
            _ => panic!("{verb}"),
        }
    }

    fn admin(&mut self, verb: &str, arguments: &[&str]) -> Vec<String> {
        let nobody = Claim::new("", None, -1);
        match verb {
            "remove" => {
                let leaving =
                    |it: &&str| Leaving { member: None, instance: Some(InstanceId(it.to_string())) };
                self.leave(arguments.iter().map(leaving).collect())
            }
            "commit" => self.commit(&nobody, arguments),
            "tell" => self.add_pending(&nobody, arguments),
            "end" => {
                let producer = ProducerId(arguments[0].parse().unwrap());
                let changes = self.groups.end_transaction(producer, arguments[1] == "commit");
                self.write_down(changes)
            }
            "fetch" => self.fetch(arguments),
            "delete" => match self.groups.delete_group(&g()) {
                Ok(changes) => self.write_down(changes),
                Err(error) => vec![error.to_string()],
            },
            "delete-offsets" => {
                let partitions = arguments.iter().map(|it| partition(it)).collect();
                match self.groups.delete_offsets(&g(), partitions) {
                    Ok((results, changes)) => self.results(results, changes),
                    Err(error) => vec![error.to_string()],
                }
            }
            "drop-topic" => {
                let changes = self.groups.topic_deleted(arguments[0]);
                self.write_down(changes)
            }
            "list" => {
                let list = self.groups.list().into_iter();
                list.map(|it| format!("{} {:?} {}", it.group.0, it.protocol_type, it.state.name())).collect()
            }
            "describe" => self.describe(),
            _ => panic!("{verb}"),
        }
    }

    fn join(&mut self, name: &str, comes_back: bool, arguments: &[&str]) -> Vec<String> {
        let protocols = vec![Protocol { name: "range".to_owned(), metadata: Bytes::from(name.to_owned()) }];
        let client = self.clients.entry(name.to_owned()).or_insert(Client {
            member: None,
            generation: -1,
            instance: None,
            version: 5,
            session_s: 10,
            rebalance_s: 60,
            protocols,
        });
        for argument in arguments {
            match argument.split_once('=') {
                None => client.version = argument.strip_prefix('v').unwrap().parse().unwrap(),
                Some(("static", it)) => client.instance = Some(InstanceId(it.to_owned())),
                Some(("session", it)) => client.session_s = it.parse().unwrap(),
                Some(("rebalance", it)) => client.rebalance_s = it.parse().unwrap(),
                Some(("protocols", it)) => client.protocols = it.split(',').map(protocol).collect(),
                Some(_) => panic!("{argument}"),
            }
        }
        let client = client.clone();
        self.names_given += 1;
        let join = Join {
            group: g(),
            member: client.member,
            instance: client.instance,
            fresh_member: MemberId(format!("{name}-{}", self.names_given)),
            client_id: name.to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: Duration::from_secs(client.session_s),
            rebalance_timeout: Duration::from_secs(client.rebalance_s),
            protocol_type: "consumer".to_owned(),
            protocols: client.protocols,
            requires_member_id: client.version >= 4,
            can_skip_assignment: client.version >= 9,
        };
        let ticket = self.ticket(name);
        let outcome = self.groups.join(join, ticket, self.now);
        let id_required = |it: &&str| it.contains("MemberIdRequired");
        let mut said = self.tell(outcome);
        if comes_back && said.iter().any(|it| id_required(&it.as_str())) {
            said = self.join(name, true, &[]);
        }
        self.or_waits(said, name, ticket)
    }

    fn sync(&mut self, name: &str, claim: Claim, arguments: &[&str]) -> Vec<String> {
        let shares = arguments.iter().filter_map(|it| it.split_once('='));
        let assignments = shares.filter_map(|(client, share)| {
            Some((self.clients.get(client)?.member.clone()?, Bytes::from(share.to_owned())))
        });
        let assignments = assignments.collect();
        let sync = Sync {
            group: g(),
            claim,
            protocol_type: Some("consumer".to_owned()),
            protocol: arguments.iter().find_map(|it| it.strip_prefix("protocol:")).map(str::to_owned),
            assignments,
        };
        let ticket = self.ticket(name);
        let outcome = self.groups.sync(sync, ticket, self.now);
        let said = self.tell(outcome);
        self.or_waits(said, name, ticket)
    }

    fn leave(&mut self, leaving: Vec<Leaving>) -> Vec<String> {
        let (results, outcome) = self.groups.leave(&g(), leaving, self.now);
        let mut said = Vec::new();
        for (leaving, result) in results.unwrap() {
            let who = leaving.member.map(|it| it.0).or_else(|| leaving.instance.map(|it| it.0));
            said.push(verdict(&who.unwrap_or_default(), result));
        }
        said.extend(self.tell(outcome));
        said
    }

    fn commit(&mut self, claim: &Claim, arguments: &[&str]) -> Vec<String> {
        let offsets = new_offsets(arguments);
        let (results, changes) = self.groups.commit_offsets(&g(), claim, offsets, self.now);
        self.results(results, changes)
    }

    fn add_pending(&mut self, claim: &Claim, arguments: &[&str]) -> Vec<String> {
        let producer = ProducerId(arguments[0].parse().unwrap());
        let offsets = new_offsets(&arguments[1..]);
        let (results, changes) = self.groups.add_pending(&g(), producer, claim, offsets, self.now);
        self.results(results, changes)
    }

    fn fetch(&self, arguments: &[&str]) -> Vec<String> {
        let partitions: Vec<TopicPartition> =
            arguments.iter().filter(|it| **it != "stable").map(|it| partition(it)).collect();
        let partitions = (!partitions.is_empty()).then_some(partitions);
        let fetched = self.groups.fetch_offsets(&g(), partitions, arguments.contains(&"stable"));
        let shown = fetched.into_iter().map(|(partition, result)| match result {
            Ok(Some(it)) => {
                format!("{}={} {}", show(&partition), it.offset, it.metadata).trim_end().to_owned()
            }
            Ok(None) => format!("{}=none", show(&partition)),
            Err(error) => format!("{}: {error}", show(&partition)),
        });
        shown.collect()
    }

    fn describe(&self) -> Vec<String> {
        let it = self.groups.describe(&g());
        let mut said =
            vec![format!("{} {} {}", it.state.name(), it.protocol_type, it.protocol).trim().to_owned()];
        for member in it.members {
            let instance = member.instance.map(|it| format!(" ({})", it.0)).unwrap_or_default();
            let (metadata, assignment) = (text(&member.metadata), text(&member.assignment));
            let client = format!("{} at {}", member.client_id, member.client_host);
            said.push(format!("{}{instance} of {client}: {metadata:?} {assignment:?}", member.member.0));
        }
        said
    }

    /// Time passes, deadline by deadline.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut said = Vec::new();
        while let Some(deadline) = self.groups.next_deadline().filter(|it| *it <= end) {
            self.now = self.now.max(deadline);
            let outcome = self.groups.tick(self.now);
            assert!(self.groups.next_deadline().is_none_or(|it| it > self.now), "time stands still");
            let at_s = (self.now - START).as_secs_f64();
            said.extend(self.tell(outcome).into_iter().map(|it| format!("[{at_s} s] {it}")));
        }
        self.now = end;
        said
    }

    fn restart(&mut self) -> Vec<String> {
        self.waiting.clear();
        self.groups = Groups::restore(self.config.clone(), &self.journal, self.now);
        Vec::new()
    }

    fn ticket(&mut self, name: &str) -> Ticket {
        self.names_given += 1;
        let ticket = Ticket(self.names_given as u64);
        self.waiting.insert(ticket, name.to_owned());
        ticket
    }

    fn or_waits(&self, mut said: Vec<String>, name: &str, ticket: Ticket) -> Vec<String> {
        if self.waiting.contains_key(&ticket) {
            said.push(format!("{name} waits"));
        }
        said
    }

    fn claim(&self, name: &str, arguments: &[&str]) -> Claim {
        let client = self.clients.get(name);
        let said =
            arguments.iter().find_map(|it| it.strip_prefix("generation=")).map(|it| it.parse().unwrap());
        Claim {
            member: client.and_then(|it| it.member.clone()),
            instance: client.and_then(|it| it.instance.clone()),
            generation: said.or_else(|| client.map(|it| it.generation)).filter(|it| *it >= 0),
        }
    }

    fn results(&mut self, results: PartitionResults, changes: Vec<Change>) -> Vec<String> {
        let refused = results.into_iter().filter_map(|(partition, result)| Some((partition, result.err()?)));
        let mut said: Vec<String> =
            refused.map(|(partition, error)| format!("{}: {error}", show(&partition))).collect();
        said.extend(self.write_down(changes));
        said
    }

    fn tell(&mut self, outcome: Outcome) -> Vec<String> {
        let mut said = self.write_down(outcome.changes);
        for answer in outcome.answers {
            let name = self.waiting.remove(&answer.ticket()).expect("a ticket is answered once");
            said.push(match answer {
                Answer::Join { result: Ok(it), .. } => {
                    let client = self.clients.get_mut(&name).unwrap();
                    client.member = Some(it.member.clone());
                    client.generation = it.generation;
                    let skip = if it.skip_assignment { ", nothing to assign" } else { "" };
                    let (id, protocol, role) = (&it.member.0, &it.protocol, role(&it));
                    format!("{name}: joined {} as {id}, {protocol}, {role}{skip}", it.generation)
                }
                Answer::Join { result: Err(it), .. } => {
                    let client = self.clients.get_mut(&name).unwrap();
                    client.member = match it.error {
                        ResponseError::UnknownMemberId => None,
                        _ => it.member.clone(),
                    };
                    let id = it.member.map(|it| it.0).unwrap_or_default();
                    format!("{name}: {} {id}", it.error).trim_end().to_owned()
                }
                Answer::Sync { result: Ok(it), .. } => format!("{name}: synced {:?}", text(&it.assignment)),
                Answer::Sync { result: Err(error), .. } => format!("{name}: sync {error}"),
            });
        }
        said
    }

    fn write_down(&mut self, changes: Vec<Change>) -> Vec<String> {
        let said = changes.iter().map(written).collect();
        self.journal.extend(changes);
        said
    }
}

fn role(it: &Joined) -> String {
    if it.leader != it.member {
        assert!(it.members.is_empty());
        return format!("led by {}", it.leader.0);
    }
    let members = it.members.iter().map(|it| {
        let instance = it.instance.as_ref().map(|it| format!("({})", it.0)).unwrap_or_default();
        format!("{}{instance}:{}", it.member.0, text(&it.metadata))
    });
    format!("leads {}", members.collect::<Vec<_>>().join(" "))
}

fn written(change: &Change) -> String {
    match change {
        Change::GenerationStarted { generation, protocol_type, .. } => {
            format!("+ generation {generation} ({protocol_type})")
        }
        Change::GroupEmptied { generation, .. } => format!("+ empty, generation {generation}"),
        Change::OffsetCommitted { partition, offset, .. } => {
            format!("+ offset {}={}", show(partition), offset.offset)
        }
        Change::OffsetPending { producer, partition, offset, .. } => {
            format!("+ pending of {}: {}={}", producer.0, show(partition), offset.offset)
        }
        Change::TransactionEnded { producer, committed } => {
            format!("+ end of {}: {}", producer.0, if *committed { "committed" } else { "aborted" })
        }
        Change::OffsetDeleted { partition, .. } => format!("+ no offset {}", show(partition)),
        Change::GroupDeleted { .. } => "+ no group".to_owned(),
    }
}

pub(super) fn g() -> GroupId {
    GroupId("g".to_owned())
}

fn protocol(it: &str) -> Protocol {
    let (name, metadata) = it.split_once(':').unwrap();
    Protocol { name: name.to_owned(), metadata: Bytes::from(metadata.to_owned()) }
}

fn partition(it: &str) -> TopicPartition {
    let (topic, partition) = it.split_once('/').unwrap();
    TopicPartition { topic: topic.to_owned(), partition: partition.parse().unwrap() }
}

fn show(it: &TopicPartition) -> String {
    format!("{}/{}", it.topic, it.partition)
}

/// From `t/0=5` or `t/0=5:metadata`.
fn new_offsets(arguments: &[&str]) -> Vec<NewOffset> {
    let offsets = arguments.iter().filter_map(|it| it.split_once('=')).filter(|(it, _)| it.contains('/'));
    let offsets = offsets.map(|(it, offset)| {
        let (offset, metadata) = offset.split_once(':').unwrap_or((offset, ""));
        NewOffset {
            partition: partition(it),
            offset: offset.parse().unwrap(),
            leader_epoch: -1,
            metadata: metadata.to_owned(),
        }
    });
    offsets.collect()
}

fn verdict(who: &str, result: Result<(), ResponseError>) -> String {
    match result {
        Ok(()) => format!("{who}: ok"),
        Err(error) => format!("{who}: {error}"),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
