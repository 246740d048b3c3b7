//! A lane's transaction, a request at a time: what `runtime`'s committer and `kafka-log`'s lane do.

use millrace_partition::{Input, OutgoingRecord, Source};
use millrace_placement::key_group;
use millrace_schemas::Offset;
use millrace_schemas::cloud_event::types;
use millrace_schemas::codec::ChangelogRecord;
use millrace_schemas::internal::{InternalRecord, TimerFired};
use rand::RngExt;

use super::World;
use crate::fleet::broker::group::{Commit, Metadata};
use crate::fleet::broker::transactions::Epoch;
use crate::fleet::broker::{Place, Record};
use crate::fleet::catalog::TOPIC;
use crate::fleet::mutant::Mutant;
use crate::fleet::node::{Outcome, Share, Stage, whole_shares};

/// A producer's request that was refused, or not answered.
enum Failed {
    /// The transaction can be aborted by its producer.
    Abortable,
    /// The producer is of no more use.
    Fatal,
}

impl World {
    pub(super) fn can_commit(&self, number: usize, lane: usize) -> bool {
        let lane = &self.nodes[number].lanes[lane];
        match lane.stage {
            Stage::Idle(_) => !lane.ready.is_empty() && self.broker.transactions.is_ready(lane.id()),
            _ => true,
        }
    }

    /// One request of the lane's producer.
    pub(super) fn advance_lane(&mut self, number: usize, lane: usize) {
        let id = self.nodes[number].lanes[lane].id().to_owned();
        let placeholder = Stage::Initialising { shares: Vec::new(), outcome: Outcome::Aborted };
        let stage = std::mem::replace(&mut self.nodes[number].lanes[lane].stage, placeholder);
        let next = match stage {
            Stage::Initialising { shares, outcome } => match self.broker.transactions.init(&id) {
                Some(epoch) => {
                    let lane = &mut self.nodes[number].lanes[lane];
                    lane.producers[lane.turn].epoch = Some(epoch);
                    if lane.producers.iter().any(|it| it.epoch.is_none()) {
                        lane.turn();
                        lane.stage = Stage::Initialising { shares, outcome };
                        return;
                    }
                    lane.stage = Stage::Idle(epoch);
                    return self.conclude(number, shares, outcome);
                }
                None => Stage::Initialising { shares, outcome },
            },
            Stage::Idle(epoch) => {
                let shares = std::mem::take(&mut self.nodes[number].lanes[lane].ready);
                Stage::Open { epoch, shares, done: 0 }
            }
            Stage::Open { epoch, mut shares, mut done } => {
                shares.append(&mut self.nodes[number].lanes[lane].ready);
                let mut failed = None;
                if done < shares.len() && self.dice.network.random_bool(0.75) {
                    failed = self.produce_share(number, &id, epoch, &mut shares[done]).err();
                    done += 1;
                }
                if failed.is_none() && self.dice.network.random_bool(0.5) {
                    Stage::Open { epoch, shares, done }
                } else {
                    self.seal(number, lane, &mut shares);
                    match failed {
                        None => Stage::Producing { epoch, shares, done, offsets_sent: false },
                        Some(Failed::Abortable) => Stage::Aborting { epoch, shares },
                        Some(Failed::Fatal) => Stage::Initialising { shares, outcome: Outcome::Aborted },
                    }
                }
            }
            Stage::Producing { epoch, mut shares, done, offsets_sent } => {
                let sends_offsets =
                    !offsets_sent && (done == shares.len() || self.dice.network.random_bool(0.5));
                let result = if sends_offsets {
                    self.send_offsets(number, &id, epoch, &shares)
                } else if done < shares.len() {
                    self.produce_share(number, &id, epoch, &mut shares[done])
                } else {
                    Ok(())
                };
                let offsets_sent = offsets_sent || sends_offsets;
                let done = if sends_offsets { done } else { shares.len().min(done + 1) };
                match result {
                    Ok(()) if offsets_sent && done == shares.len() => {
                        if self.has(Mutant::SnapshotBeforeCommit) {
                            self.tell_committed(number, &shares);
                        }
                        Stage::Committing { epoch, shares }
                    }
                    Ok(()) => Stage::Producing { epoch, shares, done, offsets_sent },
                    Err(Failed::Abortable) => Stage::Aborting { epoch, shares },
                    Err(Failed::Fatal) => Stage::Initialising { shares, outcome: Outcome::Aborted },
                }
            }
            Stage::Committing { epoch, shares } => self.end_transaction(number, lane, &id, epoch, shares),
            Stage::Aborting { epoch, shares } => match self.broker.transactions.end(&id, epoch, false) {
                Ok(()) => {
                    self.nodes[number].lanes[lane].stage = Stage::Idle(epoch);
                    return self.conclude(number, shares, Outcome::Aborted);
                }
                Err(_) => Stage::Initialising { shares, outcome: Outcome::Aborted },
            },
        };
        self.nodes[number].lanes[lane].stage = next;
    }

    /// Nothing is added any more but the last part of each share.
    fn seal(&mut self, number: usize, lane: usize, shares: &mut Vec<Share>) {
        for share in whole_shares(shares) {
            self.input(number, &share.incarnation, Input::Seal);
        }
        shares.append(&mut self.nodes[number].lanes[lane].ready);
    }

    /// F2: whether every incarnation is alive that has a part in the transaction.
    fn are_alive(&self, shares: &[Share]) -> bool {
        if self.has(Mutant::FreshMetadataForStaleIncarnation) {
            return true;
        }
        let mut alive = shares.iter().map(|it| it.incarnation.is_alive());
        match self.has(Mutant::PartsOfTheDeadCommitted) {
            true => alive.next_back() == Some(true),
            false => alive.all(|it| it),
        }
    }

    fn produce_share(
        &mut self,
        number: usize,
        id: &str,
        epoch: Epoch,
        share: &mut Share,
    ) -> Result<(), Failed> {
        if self.happens(self.swarm.weights.produce_fails) {
            return Err(Failed::Abortable);
        }
        let writer = share.incarnation.number;
        for outgoing in share.transaction.changelog.clone() {
            self.handle_early(&outgoing);
            let place = Place::Changelog(share.incarnation.index);
            let record = self.record(outgoing, writer);
            let offset = self.broker.produce_in_transaction(id, epoch, &place, record);
            share.offsets.push(offset.map_err(|_| Failed::Fatal)?);
        }
        let mut records = share.transaction.records.clone();
        self.echo_timers(share.incarnation.index, &mut records);
        // The last part has none.
        if self.has(Mutant::ProposalInNextTransaction) && !records.is_empty() {
            let (proposals, mut rest): (Vec<_>, Vec<_>) =
                records.into_iter().partition(|it| self.proposal(it).is_some());
            if let Some(owned) = self.nodes[number].owned(&share.incarnation) {
                rest.extend(std::mem::replace(&mut owned.late_proposals, proposals));
            }
            records = rest;
        }
        for outgoing in records {
            let place = self.place_of(&outgoing);
            let outgoing = self.other_proposal(outgoing);
            if self.leaves_late(&outgoing, &place) {
                continue;
            }
            let is_delivery = asks_for(&outgoing) == Some(Asked::Delivery);
            let record = self.record(outgoing, writer);
            let is_forwarded = matches!(place, Place::Internal(to) if to != share.incarnation.index);
            if is_forwarded && self.has(Mutant::ForwardOutsideTransaction)
                || is_delivery && self.has(Mutant::DeliveryOutsideTransaction)
            {
                self.broker.produce(&place, record);
                continue;
            }
            self.broker.produce_in_transaction(id, epoch, &place, record).map_err(|_| Failed::Fatal)?;
        }
        Ok(())
    }

    /// What the mutant of the topics' positions does: whatever is produced counts as handled.
    fn handle_early(&mut self, outgoing: &OutgoingRecord) {
        if !self.has(Mutant::TopicPositionsOutsideTransaction) {
            return;
        }
        let value = outgoing.value.as_deref().unwrap_or_default();
        let Ok(ChangelogRecord::Positions(positions)) = self.codec.decode_changelog(value) else { return };
        for it in positions.sources.into_iter().filter(|it| it.topic == TOPIC) {
            let handled = self.handled.entry(Source::Topic(TOPIC.into(), it.partition)).or_default();
            *handled = it.offset.max(*handled);
        }
    }

    /// Whether a mutant sends it once the transaction is known to be committed.
    fn leaves_late(&self, outgoing: &OutgoingRecord, place: &Place) -> bool {
        let asked = asks_for(outgoing);
        match self.mutant {
            Some(Mutant::CommandAfterTransaction) => matches!(place, Place::Events(_)),
            Some(Mutant::DeliveryAfterTransaction) => asked == Some(Asked::Delivery),
            Some(Mutant::PublishAfterTransaction) => asked == Some(Asked::Publish),
            Some(Mutant::SubscribeAfterTransaction) => asked == Some(Asked::Subscribe),
            _ => false,
        }
    }

    /// The timer that a record proposes to fire.
    fn proposal(&self, outgoing: &OutgoingRecord) -> Option<TimerFired> {
        if *outgoing.topic != self.config.topics.internal() {
            return None;
        }
        match self.codec.decode_internal(outgoing.value.as_deref()?) {
            Ok(InternalRecord::TimerFired(fired)) => Some(fired),
            Ok(_) | Err(_) => None,
        }
    }

    /// An owner that has read its index twice proposes again what an earlier one has proposed.
    fn echo_timers(&mut self, index: usize, records: &mut Vec<OutgoingRecord>) {
        let proposals: Vec<OutgoingRecord> =
            records.iter().filter(|it| self.proposal(it).is_some()).cloned().collect();
        let echoes = self.echoes.entry(index).or_default();
        echoes.extend(proposals);
        let count = echoes.len();
        if count > 0 && self.happens(self.swarm.weights.timer_echo) {
            let choice = self.dice.faults.random_range(0..count);
            records.push(self.echoes[&index][choice].clone());
        }
    }

    /// A mutant's: the first timer of the instance instead of the one that is due.
    fn other_proposal(&self, outgoing: OutgoingRecord) -> OutgoingRecord {
        if !self.has(Mutant::ProposalForAnyTimer) {
            return outgoing;
        }
        let Some(fired) = self.proposal(&outgoing) else { return outgoing };
        let state = self.truth.keys().get(&fired.instance).and_then(|it| it.state());
        let Some((timer, pending)) = state.and_then(|it| it.timers.last_key_value()) else { return outgoing };
        let fired = TimerFired { timer: *timer, due: pending.due, ..fired };
        let value = self.codec.encode_internal(&InternalRecord::TimerFired(fired));
        OutgoingRecord { value: Some(value.into()), ..outgoing }
    }

    fn record(&self, outgoing: OutgoingRecord, writer: u64) -> Record {
        let OutgoingRecord { key, headers, value, .. } = outgoing;
        Record { key, headers, value, at: self.now, writer: Some(writer) }
    }

    fn place_of(&self, outgoing: &OutgoingRecord) -> Place {
        match outgoing.partition {
            Some(partition) => {
                assert_eq!(
                    *outgoing.topic,
                    self.config.topics.internal(),
                    "only .internal is addressed by partition"
                );
                Place::Internal(usize::try_from(partition).expect("partitions count from 0"))
            }
            // The shell's producer partitions as everybody's does.
            None if *outgoing.topic == self.config.topics.events() => {
                let group = outgoing.key.as_deref().map_or(0, |it| key_group(it).0);
                Place::Events(usize::from(group) % self.swarm.event_partitions)
            }
            None => Place::Other(outgoing.topic.to_string()),
        }
    }

    /// F1. Metadata first, then the incarnations.
    fn send_offsets(
        &mut self,
        number: usize,
        id: &str,
        epoch: Epoch,
        shares: &[Share],
    ) -> Result<(), Failed> {
        let metadata = match self.mutant {
            Some(Mutant::FreshMetadataForStaleIncarnation) => self.fresh_metadata(number),
            _ => self.nodes[number].metadata,
        };
        let Some(metadata) = metadata else { return Err(Failed::Abortable) };
        if !self.are_alive(shares) {
            return Err(Failed::Abortable);
        }
        let whole = whole_shares(shares);
        let of_share = |it: &Share| (it.incarnation.index, it.transaction.internal_offset);
        let offsets: Vec<(usize, Offset)> = whole.iter().map(of_share).collect();
        let metadata = (!self.has(Mutant::NoGroupFence)).then_some(metadata);
        let commit = Commit { metadata, offsets };
        match self.broker.commit_offsets(id, epoch, &commit, self.now) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Failed::Abortable),
            Err(_) => Err(Failed::Fatal),
        }
    }

    fn fresh_metadata(&mut self, number: usize) -> Option<Metadata> {
        let member = self.nodes[number].member?;
        self.broker.group.metadata(member)
    }

    fn end_transaction(
        &mut self,
        number: usize,
        lane: usize,
        id: &str,
        epoch: Epoch,
        shares: Vec<Share>,
    ) -> Stage {
        if !self.are_alive(&shares) {
            return Stage::Aborting { epoch, shares };
        }
        let is_lost = self.happens(self.swarm.weights.end_lost);
        let is_unanswered = self.happens(self.swarm.weights.end_answer_lost);
        if !is_lost && self.broker.transactions.end(id, epoch, true).is_ok() && !is_unanswered {
            let next = self.nodes[number].lanes[lane]
                .turn()
                .expect("both are initialised before the first transaction");
            self.nodes[number].lanes[lane].stage = Stage::Idle(next);
            self.conclude(number, shares, Outcome::Committed);
            // Concluding gives the lane nothing but ready shares.
            return Stage::Idle(next);
        }
        if self.has(Mutant::OtherProducerGoesOn) {
            let next = self.nodes[number].lanes[lane]
                .turn()
                .expect("both are initialised before the first transaction");
            self.conclude(number, shares, Outcome::Aborted);
            return Stage::Idle(next);
        }
        if self.has(Mutant::UnknownCommitRetried) {
            return Stage::Initialising { shares, outcome: Outcome::Aborted };
        }
        // Before anything else: what they hold in memory may be behind the log.
        for share in &shares {
            share.incarnation.kill();
        }
        Stage::Initialising { shares, outcome: Outcome::Unknown }
    }

    fn tell_committed(&mut self, number: usize, parts: &[Share]) {
        for share in parts {
            if let Some(owned) = self.nodes[number].owned(&share.incarnation) {
                for (outgoing, offset) in share.transaction.changelog.iter().zip(&share.offsets) {
                    if let Some(key) = outgoing.key.as_deref().and_then(|it| std::str::from_utf8(it).ok()) {
                        let id = millrace_schemas::InstanceId::new(key).expect("it was one");
                        owned.last_dirty.insert(id, *offset);
                    }
                }
            }
        }
        for share in &whole_shares(parts) {
            let committed =
                Input::Committed { transaction: share.id(), changelog_offsets: share.offsets.clone() };
            self.input(number, &share.incarnation, committed);
        }
    }

    fn send_late(&mut self, shares: &[Share]) {
        for share in shares {
            for outgoing in share.transaction.records.clone() {
                let place = self.place_of(&outgoing);
                if self.leaves_late(&outgoing, &place) {
                    let record = self.record(outgoing, share.incarnation.number);
                    self.broker.produce(&place, record);
                }
            }
        }
    }

    /// The outcome of a transaction reaches the partitions.
    fn conclude(&mut self, number: usize, shares: Vec<Share>, outcome: Outcome) {
        let was_told = self.has(Mutant::SnapshotBeforeCommit);
        let whole = whole_shares(&shares);
        match outcome {
            Outcome::Committed if was_told => {}
            Outcome::Committed => {
                self.send_late(&shares);
                self.tell_committed(number, &shares);
            }
            Outcome::Aborted if was_told => {
                for share in &whole {
                    self.renew(number, &share.incarnation);
                }
            }
            Outcome::Aborted => {
                for share in whole.iter().filter(|it| it.incarnation.is_alive()) {
                    self.input(number, &share.incarnation, Input::Aborted { transaction: share.id() });
                }
            }
            Outcome::Unknown => {
                for share in &whole {
                    self.renew(number, &share.incarnation);
                }
            }
        }
    }
}

/// What is asked for between channels and those who listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Delivery,
    Publish,
    Subscribe,
}

fn asks_for(outgoing: &OutgoingRecord) -> Option<Asked> {
    let event_type = outgoing.headers.iter().find(|it| it.0 == "ce_type").map(|it| &it.1[..])?;
    let says = |what: &str| outgoing.value.as_ref().is_some_and(|it| it.starts_with(what.as_bytes()));
    if event_type == types::DELIVER.as_bytes() {
        Some(Asked::Delivery)
    } else if event_type != types::CHANNEL.as_bytes() {
        None
    } else if says("{\"publish\"") {
        Some(Asked::Publish)
    } else {
        says("{\"subscribe\"").then_some(Asked::Subscribe)
    }
}
