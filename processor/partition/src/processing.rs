//! Batches: read, prepared, decided, one on top of the other, committed or undone together (state protocol 2.4).

use std::collections::{BTreeMap, BTreeSet};

use millrace_engine::{Effect, Entity, Instance, Moment, Rejection, refused_start};
use millrace_placement::{PartitionIndex, home, key_group};
use millrace_schemas::channel::ChannelCommand;
use millrace_schemas::command::{AddressedCommand, Answer, Command};
use millrace_schemas::event::{ChangelogEntry, Event};
use millrace_schemas::instance::{InstanceState, Status};
use millrace_schemas::{InstanceId, Offset, Timestamp, WorkflowVersion};
use millrace_workflow::program::Program;
use std::sync::Arc;

use crate::batch::{Batch, Definitions, Missing, Request};
use crate::by_id::ById;
use crate::history::Retention;
use crate::input::{InboundRecord, Source};
use crate::open::{Committing, Entry, Open};
use crate::open_tasks::Asked;
use crate::output::{Observation, Output};
use crate::partition::{Partition, Phase, Programs};
use crate::processed::Processed;
use crate::quarantine::WAKE;
use crate::scheduling;
use crate::timer_index::TimerEntry;
use crate::transaction::{OutgoingRecord, Transaction, TransactionId};

/// Why records become dead letters.
pub const DEAD_LETTER_REASONS: [&str; 18] = [
    "invalid-argument",
    "invalid-attribute",
    "invalid-instance-id",
    "invalid-token",
    LISTENER_GONE,
    "missing-attribute",
    "nobody-listens",
    "not-a-cloudevent",
    "own-type",
    "quarantined",
    "too-large",
    "too-many-hops",
    "too-many-waiting",
    "unknown-schema",
    "unknown-type",
    "unknown-workflow",
    "unreadable-data",
    "unreadable-internal",
];

/// Reason of dead letters: an event found a listener that was gone when it came.
const LISTENER_GONE: &str = "listener-gone";

/// A record that was forwarded so often circles between owners that disagree on the partition count.
const HOPS_MAX: u32 = 8;

impl Missing {
    fn nothing() -> Self {
        Self { snapshots: BTreeSet::new(), schemas: BTreeSet::new(), definitions: Definitions::AsTheyAre }
    }
}

impl Partition {
    pub(crate) fn own_source(&self) -> Source {
        Source::Internal(i32::try_from(self.index.0).expect("at most 4,096 partitions"))
    }

    /// Whether a batch may begin: there is none, and it may become part of what is open.
    pub(crate) fn takes_batch(&self) -> bool {
        self.batch.is_none() && self.room() > 0 && !self.tail_meter.reaches(self.config.unflushed, 1)
    }

    /// How much what is open may grow by.
    fn room(&self) -> usize {
        match &self.open {
            None => self.config.batch_records_max,
            Some(open) if open.is_sealed => 0,
            Some(open) => self.config.batch_records_max.saturating_sub(open.len()),
        }
    }

    /// Takes the next records, and the timers that are due.
    pub(crate) fn start_batch(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if !self.takes_batch() {
            return;
        }
        let count = self.inbox.len().min(self.room());
        // Each of them comes back as a record: while others wait, a quarter of a batch is enough.
        let share = if count == 0 { 1 } else { 4 };
        let due_max = (self.config.batch_records_max / share).max(1).min(self.room());
        let due = self.timers.take_due(now, due_max);
        if count == 0 && due.is_empty() && !self.scheduling.wants_batch() && !self.topics.has_found() {
            return;
        }
        let found = self.topics.take_found();
        let mut next = self.open.as_ref().map_or(&self.positions, |it| &it.work.positions).clone();
        let (mut records, mut requests) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let Some((record, request)) = self.inbox.pop() else { break };
            // A source that was moved back delivers some records again.
            let position = next.entry(record.source.clone()).or_default();
            if record.offset >= *position && self.topics.takes(&record.source) {
                *position = Offset(record.offset.0 + 1);
                requests.push(request.unwrap_or_else(|| self.read(&record)));
                records.push(record);
            }
        }
        for (record, request) in records.iter().zip(&requests) {
            if let Request::Stop { detail } = request {
                let (index, offset) = (self.index.0, record.offset.0);
                return self.fail(
                    format!("record {offset} of {:?} stops partition {index}: {detail}", record.source),
                    out,
                );
            }
        }
        let definitions = self.scheduling.take_wanted();
        let missing = Missing::nothing();
        self.batch = Some(Batch { records, requests, due, definitions, found, missing, started_at: now });
        self.ask_for_schemas(out);
    }

    /// While what came before is on its way: what the next batch needs is asked for.
    pub(crate) fn read_ahead(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.batch.is_none() && self.open.is_none() {
            return;
        }
        let mut load = Vec::new();
        while let Some(record) = self.inbox.next_ahead(self.config.batch_records_max) {
            let request = self.read(record);
            if let Some(id) = request.key()
                && !self.quarantine.contains(id)
                && !self.newcomers.admits(id, &mut self.cache, &self.loading, now)
                && self.loading.insert(id.clone())
            {
                load.push(id.clone());
            }
            self.inbox.push_ahead(request);
        }
        if !load.is_empty() {
            self.misses += load.len() as u64;
            out.push(Output::LoadSnapshots(load));
        }
    }

    fn read(&self, record: &InboundRecord) -> Request {
        let decodings = match &record.source {
            Source::Internal(_) | Source::Events(_) => &[],
            Source::Topic(topic, _) => self.topics.decodings(topic),
        };
        let request = self.records.read(record, decodings);
        let Some(key) = request.key() else { return request };
        let owner = home(key_group(key.as_str().as_bytes()), self.config.partitions);
        if owner == self.index { request } else { self.forward(record, request, owner) }
    }

    fn forward(&self, record: &InboundRecord, request: Request, home: PartitionIndex) -> Request {
        let hops = self.records.hops(record) + 1;
        if hops > HOPS_MAX {
            let detail =
                format!("forwarded {HOPS_MAX} times; do all processors run with the same partition count?");
            return Request::DeadLetter { reason: "too-many-hops", detail };
        }
        let (traceparent, tracestate) = match request {
            Request::Decide(it) => (it.traceparent, it.tracestate),
            Request::Channel(it) => (it.traceparent, it.tracestate),
            Request::Schedule(it) => (it.traceparent, it.tracestate),
            // They have no key.
            Request::Publish(_)
            | Request::Hear(_)
            | Request::Forward { .. }
            | Request::DeadLetter { .. }
            | Request::NeedsSchema(_)
            | Request::Stop { .. } => (None, None),
        };
        Request::Forward { home, hops, traceparent, tracestate }
    }

    /// Collects the schemas that the batch needs, and asks for them.
    fn ask_for_schemas(&mut self, out: &mut Vec<Output>) {
        let Some(Batch { requests, missing: Missing { schemas, .. }, .. }) = &mut self.batch else { return };
        let needed = requests.iter().filter_map(|it| match it {
            Request::NeedsSchema(id) => Some(*id),
            Request::Decide(_)
            | Request::Channel(_)
            | Request::Schedule(_)
            | Request::Publish(_)
            | Request::Hear(_)
            | Request::Forward { .. }
            | Request::DeadLetter { .. }
            | Request::Stop { .. } => None,
        });
        for id in needed {
            if schemas.insert(id) {
                out.push(Output::LoadSchema(id));
            }
        }
    }

    pub(crate) fn schema_loaded(&mut self, id: u32, now: Timestamp, out: &mut Vec<Output>) {
        self.read_backlog(now, out);
        let Some(mut batch) = self.batch.take() else { return };
        batch.missing.schemas.remove(&id);
        for (record, request) in batch.records.iter().zip(&mut batch.requests) {
            if matches!(request, Request::NeedsSchema(it) if *it == id) {
                *request = match self.read(record) {
                    // Fetched and still not usable: the codec knows now that there is no such schema.
                    Request::NeedsSchema(again) if again == id => Request::DeadLetter {
                        reason: "unknown-schema",
                        detail: format!("the schema registry has no schema with id {id}"),
                    },
                    other => other,
                };
            }
        }
        self.batch = Some(batch);
        self.ask_for_schemas(out);
    }

    pub(crate) fn definitions_caught_up(&mut self) {
        if self.scheduling.definitions_caught_up() {
            return;
        }
        // One that was put back may have asked before this one did: the last answer is not older than the last question.
        self.catching_up = self.catching_up.saturating_sub(1);
        if self.catching_up == 0
            && let Some(batch) = &mut self.batch
            && batch.missing.definitions == Definitions::CatchingUp
        {
            batch.missing.definitions = Definitions::CaughtUp;
        }
    }

    /// Asks for what is missing; when nothing is, decides the batch and hands over what comes of it. Whether it did.
    pub(crate) fn advance_batch(
        &mut self,
        moment: Moment,
        programs: &impl Programs,
        out: &mut Vec<Output>,
    ) -> bool {
        // One that is prepared while what came before it is being committed waits for that.
        let may_decide = self.open.as_ref().is_none_or(|it| !it.is_sealed);
        if !may_decide || self.is_missing_something(moment.at, programs, out) {
            return false;
        }
        let Some(batch) = self.batch.take() else { return false };
        self.decide(batch, moment, programs, out);
        true
    }

    fn is_missing_something(
        &mut self,
        now: Timestamp,
        programs: &impl Programs,
        out: &mut Vec<Output>,
    ) -> bool {
        let Self { batch, open, cache, catching_up, .. } = self;
        let Some(Batch { requests, missing: Missing { snapshots, schemas, definitions }, .. }) = batch else {
            return true;
        };
        if !schemas.is_empty() || !snapshots.is_empty() {
            return true;
        }
        let mut load = Vec::new();
        for request in requests.iter() {
            let Some(id) = request.key() else { continue };
            if self.quarantine.contains(id)
                || self.newcomers.admits(id, cache, &self.loading, now)
                || !snapshots.insert(id.clone())
            {
                continue;
            }
            if self.loading.insert(id.clone()) {
                load.push(id.clone());
            }
        }
        if !load.is_empty() {
            self.misses += load.len() as u64;
            out.push(Output::LoadSnapshots(load));
        }
        if !snapshots.is_empty() {
            return true;
        }
        match definitions {
            Definitions::CaughtUp => false,
            Definitions::CatchingUp => true,
            Definitions::AsTheyAre => {
                let known = |id: &InstanceId| {
                    let decided = open.as_ref().and_then(|it| it.work.entities.get(id));
                    decided.or_else(|| cache.get(id).map(|it| &it.entity))
                };
                let unknown = requests.iter().any(|request| match request {
                    Request::Decide(command) => {
                        let instance = known(&command.instance).and_then(Entity::as_instance);
                        matches!(resolve(command, instance, programs), Resolved::Unknown(_))
                    }
                    Request::Publish(published) => {
                        published.business_key.is_none() && !programs.routes().hears(&published.event)
                    }
                    Request::Schedule(command) => {
                        scheduling::is_unknown(command, known(&command.instance), programs)
                    }
                    // Whoever has deployed a definition may count on it from then on.
                    Request::Hear(events) => events.iter().any(|it| !programs.routes().hears(&it.event)),
                    // Its filter is evaluated here from now on.
                    Request::Channel(command) => match &command.command {
                        ChannelCommand::Subscribe { subscription, .. } => {
                            programs.version(&subscription.workflow).is_none()
                        }
                        ChannelCommand::Unsubscribe { .. } | ChannelCommand::Publish { .. } => false,
                    },
                    Request::Forward { .. }
                    | Request::DeadLetter { .. }
                    | Request::NeedsSchema(_)
                    | Request::Stop { .. } => false,
                });
                if unknown {
                    *definitions = Definitions::CatchingUp;
                    *catching_up += 1;
                    out.push(Output::CatchUpDefinitions);
                }
                unknown
            }
        }
    }

    fn decide(&mut self, batch: Batch, moment: Moment, programs: &impl Programs, out: &mut Vec<Output>) {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::begin(self.next_transaction(), self.positions.clone(), batch.started_at),
        };
        let work = &mut open.work;
        work.lookups += batch.requests.iter().filter_map(Request::key).count() as u64;
        work.misses += std::mem::take(&mut self.misses);
        work.positions.retain(|source, _| !self.topics.is_forgotten(source, moment.at));
        work.positions.extend(batch.found.clone());
        let mut passed_over = 0;
        let mut changelog = Vec::new();
        let mut records = Vec::new();
        let mut described = Vec::new();
        let decided_before = open.records.len();
        for (number, (record, request)) in batch.records.iter().zip(&batch.requests).enumerate() {
            work.positions.insert(record.source.clone(), Offset(record.offset.0 + 1));
            let begun = self.describe(record, request, work, records.len());
            let decided = match request {
                Request::Decide(command) => {
                    let moment = Moment { random: draw(moment.random, decided_before + number), ..moment };
                    self.decide_one(record, command, moment, programs, work, &mut records)
                }
                Request::Channel(command) => {
                    self.decide_channel(record, command, moment, programs, work, &mut records)
                }
                Request::Schedule(command) => {
                    self.decide_schedule(record, command, moment, programs, work, &mut records)
                }
                Request::Publish(published) => {
                    self.publish(record, published, moment.at, programs, work, &mut records);
                    None
                }
                Request::Hear(events) => {
                    if !self.hear(record, events, moment.at, programs, work, &mut records) {
                        passed_over += 1;
                    }
                    None
                }
                Request::Forward { home, hops, .. } => {
                    records.push(self.records.forward(record, *home, *hops));
                    work.observations.push(Observation::Forwarded);
                    None
                }
                Request::DeadLetter { reason, detail } => {
                    self.dead_letter(record, reason, detail.clone(), moment.at, work, &mut records);
                    None
                }
                Request::NeedsSchema(_) => unreachable!("a batch is decided once its schemas are known"),
                Request::Stop { .. } => unreachable!("such a record begins no batch"),
            };
            let processed = begun
                .and_then(|it| self.described(it, record, request, work, records.len(), batch.started_at));
            described.extend(processed);
            if let Some((outgoing, row)) = decided {
                changelog.push(outgoing);
                work.changelog.push(Some(row));
            }
        }
        if passed_over > 0 {
            work.observations.push(Observation::RecordsPassedOver { count: passed_over });
        }
        for timer in &batch.due {
            // One that is in memory can be asked; another is asked when its record is read back.
            let entity = work
                .entities
                .get(&timer.instance)
                .or_else(|| self.cache.get(&timer.instance).map(|it| &it.entity));
            if entity.is_none_or(|it| it.timers().any(|it| it == (timer.timer, timer.due))) {
                records.push(self.records.timer_fired(timer, self.index));
                self.timers.proposed(timer.clone());
            }
        }
        let proposed = batch.definitions.iter().cloned();
        records.extend(proposed.map(|version| self.records.schedule_proposed(version, self.index)));
        out.push(Output::Append(self.share(&open, changelog, records, described)));
        open.add(batch);
        self.open = Some(open);
    }

    pub(crate) fn next_transaction(&mut self) -> TransactionId {
        self.transactions += 1;
        TransactionId(self.transactions)
    }

    pub(crate) fn share(
        &self,
        open: &Open,
        changelog: Vec<OutgoingRecord>,
        records: Vec<OutgoingRecord>,
        processed: Vec<Processed>,
    ) -> Transaction {
        let internal_offset = open.work.positions[&self.own_source()];
        Transaction { id: open.id, changelog, records, processed, internal_offset }
    }

    /// Whether nothing goes on here before what is open is committed.
    #[must_use]
    pub fn waits_for_commit(&self) -> bool {
        self.open.is_some() && (!matches!(self.phase, Phase::Active) || self.room() == 0)
    }

    /// The lane commits: what is open ends with its positions.
    pub(crate) fn seal(&mut self, out: &mut Vec<Output>) {
        let Some(mut open) = self.open.take() else { return };
        if !open.is_sealed {
            open.is_sealed = true;
            open.work.changelog.push(None);
            let positions = self.records.positions(&open.work.positions);
            out.push(Output::Commit(self.share(&open, vec![positions], Vec::new(), Vec::new())));
        }
        self.open = Some(open);
    }

    fn decide_one(
        &self,
        record: &InboundRecord,
        command: &AddressedCommand,
        moment: Moment,
        programs: &impl Programs,
        work: &mut Committing,
        records: &mut Vec<OutgoingRecord>,
    ) -> Option<(OutgoingRecord, Entry)> {
        let id = &command.instance;
        let moment = Moment { at: self.not_before(command, moment.at, work), ..moment };
        if let Some(why) = self.quarantine.reason(id) {
            if let Command::FireTimer { .. } = &command.command {
                // Nothing is lost: what is set aside has its timers with it.
                work.wakes.insert(id.clone());
                return None;
            }
            let detail = format!("instance {id} is quarantined: {why}");
            self.tell_parent(command, &detail, moment.at, records);
            self.tell_asker(command, "quarantined", &detail, moment.at, records);
            self.dead_letter(record, "quarantined", detail, moment.at, work, records);
            return None;
        }
        if matches!(&command.command, Command::FireTimer { timer, .. } if *timer == WAKE) {
            // It was set aside, and is back.
            return None;
        }
        let known = work.entities.get(id).or_else(|| self.cache.get(id).map(|it| &it.entity));
        let known = known.and_then(Entity::as_instance);
        let program = match resolve(command, known, programs) {
            Resolved::Program(program) => program,
            Resolved::NoInstance => {
                let rejection = Rejection::NotFound { instance: id.clone() };
                self.reject(command, &rejection, moment.at, work, records);
                if let Command::DeliverEvent { .. } = command.command {
                    let detail = rejection.to_string();
                    self.dead_letter(record, LISTENER_GONE, detail, moment.at, work, records);
                }
                return None;
            }
            Resolved::Unknown(workflow) => {
                let detail =
                    format!("workflow {workflow} is not deployed; deploy it, then send the event again");
                self.tell_parent(
                    command,
                    &format!("workflow {workflow} is not deployed"),
                    moment.at,
                    records,
                );
                self.tell_asker(command, "unknown_workflow", &detail, moment.at, records);
                self.dead_letter(record, "unknown-workflow", detail, moment.at, work, records);
                return None;
            }
        };
        let mut instance =
            self.take(id, work).into_instance().unwrap_or_else(|| Instance::absent(id.clone()));
        let was_touched = instance.state().is_some();
        let steps_before = instance.state().map_or(0, |it| it.steps);
        let asked = Asked::of(instance.state(), &command.command);
        let decision = instance.step(&program, command, moment, &self.config.bounds);
        let decided = match decision {
            Ok(decision) => {
                let entry = ChangelogEntry {
                    at: moment.at,
                    cause: command.cause.clone(),
                    traceparent: command.traceparent.clone(),
                    events: decision.events,
                };
                for (number, effect) in decision.effects.iter().enumerate() {
                    if let Effect::DispatchTask { queue, .. } = effect {
                        work.observations.push(Observation::TaskDispatched { queue: Arc::clone(queue) });
                    }
                    records.push(self.records.effect(command, number, effect, moment.at));
                }
                if let (Answer::Outcome | Answer::AtOnce, Some(state)) = (command.answer, instance.state()) {
                    let status = state.status.name();
                    let name = command.command.name();
                    records.push(self.records.accepted(command, name, &decision.outcome, status, moment.at));
                }
                if let Some(asked) = asked.filter(|it| it.has_ended(&entry.events)) {
                    let took = since(asked.started_at, moment.at);
                    let Asked { queue, outcome, .. } = asked;
                    work.observations.push(Observation::TaskEnded { queue, outcome, took });
                }
                observe(command, &entry, &instance, steps_before, moment.at, &mut work.observations);
                let outgoing = self.records.entry(id, &entry);
                let bytes = outgoing.value.clone().expect("an entry has a value");
                let history = Retention::by(Some(&program), &self.config).history;
                Some((outgoing, Entry { instance: id.clone(), value: bytes, history }))
            }
            Err(rejection @ Rejection::InvalidArgument { .. }) => {
                let (reason, detail) = (rejection.reason(), rejection.to_string());
                self.tell_parent(command, &detail, moment.at, records);
                self.tell_asker(command, reason, &detail, moment.at, records);
                self.dead_letter(record, "invalid-argument", detail, moment.at, work, records);
                None
            }
            Err(
                rejection @ (Rejection::NotFound { .. }
                | Rejection::NoSchedule { .. }
                | Rejection::AlreadyExists { .. }
                | Rejection::Duplicate { .. }
                | Rejection::NotTaken { .. }
                | Rejection::InvalidState { .. }),
            ) => {
                self.tell_parent_of(instance.state(), command, &rejection.to_string(), moment.at, records);
                self.reject(command, &rejection, moment.at, work, records);
                let is_copy = matches!(rejection, Rejection::Duplicate { .. });
                if matches!(command.command, Command::DeliverEvent { .. }) && !is_copy {
                    // It was matched, and nobody else has it.
                    let detail = rejection.to_string();
                    self.dead_letter(record, LISTENER_GONE, detail, moment.at, work, records);
                }
                None
            }
        };
        if decided.is_some() || was_touched {
            work.entities.insert(id.clone(), Entity::Instance(instance));
        }
        decided
    }

    /// The entity as it is by now in this transaction, taken out of it, so that a rejected command leaves what was there.
    pub(crate) fn take(&self, id: &InstanceId, work: &mut Committing) -> Entity {
        let cached = || self.cache.get(id).map(|it| it.entity.clone());
        work.entities.remove(id).or_else(cached).unwrap_or_else(|| Entity::absent(id.clone()))
    }

    /// What becomes a dead letter is a refusal for those who wait for the outcome.
    fn tell_asker(
        &self,
        command: &AddressedCommand,
        reason: &str,
        detail: &str,
        at: Timestamp,
        records: &mut Vec<OutgoingRecord>,
    ) {
        if command.answer != Answer::Refusal {
            let name = command.command.name();
            records.push(self.records.rejected(command, name, reason, detail, at));
        }
    }

    /// The time of a decision: now, but never before the last one about the same instance, which an owner may have made whose clock
    /// was ahead.
    fn not_before(&self, command: &AddressedCommand, now: Timestamp, work: &Committing) -> Timestamp {
        let id = &command.instance;
        let known = work.entities.get(id).or_else(|| self.cache.get(id).map(|it| &it.entity));
        let last = known.and_then(Entity::as_instance).and_then(Instance::state).map(|it| it.updated_at);
        [due(command), last].into_iter().flatten().fold(now, Timestamp::max)
    }

    /// A start that another instance has sent cannot be done: the task that waits fails.
    fn tell_parent(
        &self,
        command: &AddressedCommand,
        detail: &str,
        at: Timestamp,
        records: &mut Vec<OutgoingRecord>,
    ) {
        self.tell_parent_of(None, command, detail, at, records);
    }

    fn tell_parent_of(
        &self,
        state: Option<&InstanceState>,
        command: &AddressedCommand,
        detail: &str,
        at: Timestamp,
        records: &mut Vec<OutgoingRecord>,
    ) {
        let told = refused_start(&command.instance, &command.command, state, detail);
        records.extend(told.map(|it| self.records.effect(command, 0, &it, at)));
    }

    fn reject(
        &self,
        command: &AddressedCommand,
        rejection: &Rejection,
        at: Timestamp,
        work: &mut Committing,
        records: &mut Vec<OutgoingRecord>,
    ) {
        let reason = rejection.reason();
        let name = command.command.name();
        records.push(self.records.rejected(command, name, reason, &rejection.to_string(), at));
        work.observations.push(Observation::CommandRejected { command: name, reason });
    }

    pub(crate) fn dead_letter(
        &self,
        record: &InboundRecord,
        reason: &'static str,
        detail: String,
        at: Timestamp,
        work: &mut Committing,
        records: &mut Vec<OutgoingRecord>,
    ) {
        debug_assert!(DEAD_LETTER_REASONS.contains(&reason), "{reason} is not among the known reasons");
        records.push(self.records.dead_letter(record, reason, &detail, at));
        work.observations.push(Observation::DeadLettered {
            source: record.source.clone(),
            offset: record.offset,
            reason,
            detail,
        });
    }

    /// The transaction is committed: what it said is true now.
    pub(crate) fn committed(
        &mut self,
        transaction: TransactionId,
        changelog_offsets: &[Offset],
        at: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let Some(open) = self.open.take() else { return };
        let Open { id, records, requests, mut found, started_at, mut work, .. } = open;
        assert_eq!(id, transaction, "one transaction at a time");
        assert_eq!(work.changelog.len(), changelog_offsets.len(), "each changelog record has an offset");
        let mut has_other_work = false;
        for request in &requests {
            match request.timer() {
                Some(timer) => self.timers.handled(&timer),
                None => has_other_work = true,
            }
        }
        if has_other_work {
            self.timers.other_work_took(since(started_at, at), at);
        }
        if changelog_offsets.first().is_some_and(|it| *it < self.changelog_end) {
            // Snapshots of what was committed there would be stamped as if they were old.
            let index = self.index.0;
            return self.fail(format!("the changelog of partition {index} was made anew while the partition was served. Stop the processors, and accept the snapshots as they are: millrace era open --partition {index}"), out);
        }
        if let Some(last) = changelog_offsets.last() {
            self.changelog_end = Offset(last.0 + 1);
        }
        self.positions = std::mem::take(&mut work.positions);
        // One that was found anew since is set by the batch that follows.
        found.retain(|source, _| self.batch.as_ref().is_none_or(|it| !it.found.contains_key(source)));
        self.topics.found_is(found, true);
        let mut last_offsets = ById::default();
        let (mut entries, mut bytes) = (0, 0);
        for (row, offset) in work.changelog.into_iter().zip(changelog_offsets) {
            if let Some(Entry { instance, value, history }) = row {
                self.dirty.mark(&instance, *offset, at);
                self.hot_keys.count(&instance);
                self.newcomers.committed(&instance);
                entries += 1;
                bytes += value.len();
                last_offsets.insert(instance.clone(), *offset);
                if let Some(ttl) = history {
                    self.push_history(&instance, *offset, value, ttl, at);
                }
            }
        }
        if entries > 0 {
            self.tail_meter.add(self.changelog_end, entries, bytes);
        }
        for (id, entity) in work.entities {
            let Some(offset) = last_offsets.get(&id) else {
                // It has only refused commands, and is as it was.
                self.cache.touch(&id, at);
                continue;
            };
            let before = self.cache.get(&id).map(|it| &it.entity);
            self.timers.changed(before, &entity);
            self.open_tasks.changed(before, &entity);
            if entity.is_at_rest() {
                self.dirty.rests(&id);
            }
            self.cache.put(entity, Some(*offset), true, at);
        }
        for id in &work.wakes {
            self.quarantine.wake_later(id);
        }
        out.extend(work.observations.into_iter().map(Output::Observe));
        if work.is_claim {
            // It may have been told to drain since.
            return if matches!(self.phase, Phase::Claiming) {
                self.claimed(at, out)
            };
        }
        out.push(Output::Observe(Observation::BatchCommitted {
            latencies: records.iter().map(|it| (it.source.kind(), since(it.timestamp, at))).collect(),
            lookups: work.lookups,
            misses: work.misses,
        }));
    }

    /// Nothing of the transaction is visible: its batches go back to where they came from, with the one that was to follow.
    pub(crate) fn aborted(&mut self, transaction: TransactionId, now: Timestamp, out: &mut Vec<Output>) {
        let Some(open) = self.open.take() else { return };
        assert_eq!(open.id, transaction, "one transaction at a time");
        if let Some(batch) = self.batch.take() {
            self.put_back(batch.records, batch.due, !batch.definitions.is_empty(), batch.found);
        }
        self.put_back(open.records, open.due, open.proposes_definitions, open.found);
        if matches!(self.phase, Phase::Claiming) {
            self.claim(now, out);
        }
    }

    fn put_back(
        &mut self,
        records: Vec<InboundRecord>,
        due: Vec<TimerEntry>,
        has_definitions: bool,
        found: BTreeMap<Source, Offset>,
    ) {
        self.timers.put_back(due);
        if has_definitions {
            self.scheduling.put_back();
        }
        self.topics.found_is(found, false);
        if matches!(self.phase, Phase::Active) {
            self.inbox.put_back(records);
        }
    }
}

/// When a timer was due, if the command fires one: it is not decided before. An owner whose clock was ahead has proposed it; to refuse
/// it because ours is behind would be to lose it, for nobody proposes it again (state protocol 4.3).
fn due(command: &AddressedCommand) -> Option<Timestamp> {
    match &command.command {
        Command::FireTimer { due, .. } => Some(*due),
        Command::Start { .. }
        | Command::CompleteTask { .. }
        | Command::FailTask { .. }
        | Command::RecordHeartbeat { .. }
        | Command::DeliverSignal { .. }
        | Command::Cancel { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. }
        | Command::DeliverEvent { .. }
        | Command::Retry { .. }
        | Command::Edit { .. }
        | Command::Skip { .. }
        | Command::Restart { .. } => None,
    }
}

/// Which program a command runs on.
enum Resolved {
    Program(Arc<Program>),
    /// A command for an instance that does not exist.
    NoInstance,
    /// Not deployed, as far as is known.
    Unknown(String),
}

fn resolve(command: &AddressedCommand, instance: Option<&Instance>, programs: &impl Programs) -> Resolved {
    let state = instance.and_then(Instance::state);
    let version = |it: &WorkflowVersion| {
        programs.version(it).map_or_else(|| Resolved::Unknown(it.to_string()), Resolved::Program)
    };
    match (state, &command.command) {
        (Some(state), _) => version(&state.workflow),
        (None, Command::Start { workflow, version: None, .. }) => programs
            .newest(workflow)
            .map_or_else(|| Resolved::Unknown(workflow.to_string()), Resolved::Program),
        (None, Command::Start { workflow, version: Some(of), .. }) => {
            version(&WorkflowVersion { workflow: workflow.clone(), version: Arc::clone(of) })
        }
        (None, _) => Resolved::NoInstance,
    }
}

fn observe(
    command: &AddressedCommand,
    entry: &ChangelogEntry,
    instance: &Instance,
    steps_before: u64,
    now: Timestamp,
    observations: &mut Vec<Observation>,
) {
    observations.push(Observation::CommandDecided {
        command: command.command.name(),
        events: entry.events.len(),
        steps: instance.state().map_or(0, |it| it.steps.saturating_sub(steps_before)),
    });
    if let Command::FireTimer { due, .. } = &command.command {
        observations.push(Observation::TimerFired { lateness: since(*due, now) });
    }
    let Some(state) = instance.state() else { return };
    for event in &entry.events {
        if let Event::InstanceStarted { workflow, .. } = event {
            observations.push(Observation::InstanceStarted { workflow: workflow.clone() });
        }
        if let Event::IncidentRaised { incident } = event {
            let kind = incident.kind.clone();
            observations.push(Observation::IncidentRaised { instance: instance.id().clone(), kind });
        }
    }
    match &state.status {
        status @ (Status::Completed { .. } | Status::Faulted { .. } | Status::Cancelled { .. }) => {
            observations.push(Observation::InstanceEnded {
                workflow: state.workflow.clone(),
                status: status.name(),
                started_at: state.started_at,
            });
        }
        Status::Running | Status::Suspended { .. } | Status::Incident { .. } => {}
    }
}

pub(crate) fn since(earlier: Timestamp, later: Timestamp) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(later.0 - earlier.0).unwrap_or(0))
}

/// Random bits of one command, from those of the batch (SplitMix64, Steele et al. 2014).
fn draw(random: u64, number: usize) -> u64 {
    let mut z = random.wrapping_add((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
