//! Records in and out: what a record of a source asks for, and how what was decided looks on the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millrace_engine::{Effect, INSTANCE_SOURCE, Outcome};
use millrace_placement::PartitionIndex;
use millrace_placement::topics::WRAPPING_BYTES_MAX;
use millrace_schemas::channel::{ChannelCommand, ChannelEntry};
use millrace_schemas::cloud_event::{
    CloudEvent, EventRecord, InboxError, InboxRecord, InboxRequest, PlainValue, TRACEPARENT, TRACESTATE,
    acceptance_event, channel_event, command_event, read_inbox, read_plain, read_published, rejection_event,
};
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::command::{Addressed, AddressedCommand, Answer, Command};
use millrace_schemas::dead_letter::DeadLetter;
use millrace_schemas::event::ChangelogEntry;
use millrace_schemas::internal::{
    ForwardedRecord, InternalRecord, RecordPosition, ScheduleProposed, TimerFired,
};
use millrace_schemas::partition::{Claim, Positions, SourcePosition};
use millrace_schemas::schedule::{ScheduleCommand, ScheduleEntry, schedule_id};
use millrace_schemas::{EventId, InstanceId, Offset, TimerId, Timestamp, WorkflowVersion};
use millrace_workflow::program::Decoding;

use crate::batch::Request;
use crate::config::Config;
use crate::input::{InboundRecord, Source};
use crate::timer_index::TimerEntry;
use crate::transaction::OutgoingRecord;

/// `source` of commands that come from timers.
const TIMER_SOURCE: &str = "millrace:timer";

/// Most bytes of a record that becomes a dead letter with all that it has; the letter's own headers fit beside it.
const LETTER_BYTES_MAX: usize = WRAPPING_BYTES_MAX as usize - 65_536;

/// Reads and builds the records of one partition.
#[derive(Debug)]
pub(crate) struct Records {
    codec: Codec,
    index: i32,
    /// `source` of the events that the processor itself writes.
    source: String,
    topics: Names,
}

/// Topic names, made once.
#[derive(Debug)]
struct Names {
    all: millrace_placement::Topics,
    events: Arc<str>,
    internal: Arc<str>,
    changelog: Arc<str>,
    emitted: Arc<str>,
    lifecycle: Arc<str>,
    dead_letters: Arc<str>,
}

impl Records {
    pub(crate) fn new(config: &Config, index: PartitionIndex, codec: Codec) -> Self {
        let topics = &config.topics;
        Self {
            codec,
            index: kafka(index),
            source: format!("millrace:processor/{}", topics.changelog()),
            topics: Names {
                events: topics.events().into(),
                internal: topics.internal().into(),
                changelog: topics.changelog().into(),
                emitted: topics.emitted().into(),
                lifecycle: topics.lifecycle().into(),
                dead_letters: topics.dead_letters().into(),
                all: topics.clone(),
            },
        }
    }

    /// What a record asks for, whoever owns its key. `decodings` are those of its topic.
    pub(crate) fn read(&self, record: &InboundRecord, decodings: &[Decoding]) -> Request {
        match record.source {
            Source::Topic(..) => self.heard(record, decodings),
            Source::Events(_) => {
                let inbox = InboxRecord {
                    key: record.key.as_deref(),
                    headers: &record.headers,
                    value: record.value.as_deref(),
                    timestamp: record.timestamp,
                };
                request(read_inbox(&inbox, &self.codec))
            }
            Source::Internal(_) => match self.internal(record) {
                Ok(InternalRecord::TimerFired(fired)) => fire(fired),
                Ok(InternalRecord::ScheduleProposed(proposed)) => {
                    Request::Schedule(Box::new(definition(proposed.version, &self.source)))
                }
                Ok(InternalRecord::Forwarded(forwarded)) => {
                    let inbox = InboxRecord {
                        key: forwarded.key.as_deref(),
                        headers: &forwarded.headers,
                        value: forwarded.value.as_deref(),
                        timestamp: forwarded.timestamp,
                    };
                    request(read_inbox(&inbox, &self.codec))
                }
                Ok(
                    InternalRecord::ReleaseRequested(_)
                    | InternalRecord::HandedOver(_)
                    | InternalRecord::Progressed(_),
                ) => Request::Stop {
                    detail: "it was written by a newer release that repartitions: upgrade this processor",
                },
                Err(request) => request,
            },
        }
    }

    /// The events in a record of a topic. One that cannot be read in any way is a dead letter.
    fn heard(&self, record: &InboundRecord, decodings: &[Decoding]) -> Request {
        let inbox = InboxRecord {
            key: record.key.as_deref(),
            headers: &record.headers,
            value: record.value.as_deref(),
            timestamp: record.timestamp,
        };
        let plain = |value, event_type: &str| {
            read_plain(&inbox, &self.position(record), value, event_type, &self.codec).map(Some)
        };
        let mut events = Vec::new();
        let (mut is_readable, mut failure) = (decodings.is_empty(), None);
        for decoding in decodings {
            let read = match decoding {
                Decoding::CloudEvents => read_published(&inbox, &self.codec),
                Decoding::Json { event_type } => plain(PlainValue::Json, event_type),
                Decoding::Avro { event_type } => plain(PlainValue::Avro, event_type),
            };
            match read {
                Ok(event) => {
                    is_readable = true;
                    events.extend(event);
                }
                Err(error) => {
                    if let Some(id) = error.schema_to_fetch() {
                        return Request::NeedsSchema(id);
                    }
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(error) if !is_readable => {
                Request::DeadLetter { reason: error.reason(), detail: error.to_string() }
            }
            Some(_) | None => Request::Hear(events),
        }
    }

    fn internal(&self, record: &InboundRecord) -> Result<InternalRecord, Request> {
        let value = record.value.as_deref().unwrap_or_default();
        self.codec.decode_internal(value).map_err(|error| match error {
            millrace_schemas::codec::DecodeError::UnknownSchemaId(id) => Request::NeedsSchema(id),
            other => Request::DeadLetter { reason: "unreadable-internal", detail: other.to_string() },
        })
    }

    /// How often a record has been sent on already.
    pub(crate) fn hops(&self, record: &InboundRecord) -> u32 {
        self.forwarded(record).map_or(0, |it| it.hops)
    }

    /// The record as it came, on its way to its home.
    pub(crate) fn forward(&self, record: &InboundRecord, home: PartitionIndex, hops: u32) -> OutgoingRecord {
        let forwarded = match self.forwarded(record) {
            Some(forwarded) => ForwardedRecord { hops, ..forwarded },
            None => ForwardedRecord {
                source: self.position(record),
                hops,
                timestamp: record.timestamp,
                key: record.key.clone(),
                headers: record.headers.clone(),
                value: record.value.clone(),
            },
        };
        self.to_internal(record.key.clone(), &InternalRecord::Forwarded(forwarded), home)
    }

    fn forwarded(&self, record: &InboundRecord) -> Option<ForwardedRecord> {
        match record.source {
            Source::Internal(_) => match self.internal(record) {
                Ok(InternalRecord::Forwarded(forwarded)) => Some(forwarded),
                Ok(_) | Err(_) => None,
            },
            Source::Events(_) | Source::Topic(..) => None,
        }
    }

    fn to_internal(
        &self,
        key: Option<Bytes>,
        record: &InternalRecord,
        home: PartitionIndex,
    ) -> OutgoingRecord {
        OutgoingRecord {
            topic: Arc::clone(&self.topics.internal),
            partition: Some(kafka(home)),
            key,
            headers: Vec::new(),
            value: Some(self.codec.encode_internal(record).into()),
        }
    }

    /// Proposes to fire a timer of this partition.
    pub(crate) fn timer_fired(&self, timer: &TimerEntry, home: PartitionIndex) -> OutgoingRecord {
        let fired = TimerFired { instance: timer.instance.clone(), timer: timer.timer, due: timer.due };
        self.to_internal(Some(key(&timer.instance)), &InternalRecord::TimerFired(fired), home)
    }

    /// Proposes that a schedule of this partition follows a version.
    pub(crate) fn schedule_proposed(&self, version: WorkflowVersion, home: PartitionIndex) -> OutgoingRecord {
        let key = key(&schedule_id(&version.workflow));
        let proposed = ScheduleProposed { version };
        self.to_internal(Some(key), &InternalRecord::ScheduleProposed(proposed), home)
    }

    fn to_changelog(&self, key: Option<Bytes>, value: Vec<u8>) -> OutgoingRecord {
        OutgoingRecord {
            topic: Arc::clone(&self.topics.changelog),
            partition: Some(self.index),
            key,
            headers: Vec::new(),
            value: Some(value.into()),
        }
    }

    pub(crate) fn entry(&self, instance: &InstanceId, entry: &ChangelogEntry) -> OutgoingRecord {
        self.to_changelog(Some(key(instance)), self.codec.encode_changelog_entry(entry))
    }

    pub(crate) fn channel_entry(&self, channel: &InstanceId, entry: ChannelEntry) -> OutgoingRecord {
        let value = self.codec.encode_changelog(&ChangelogRecord::Channel(entry));
        self.to_changelog(Some(key(channel)), value)
    }

    pub(crate) fn schedule_entry(&self, schedule: &InstanceId, entry: ScheduleEntry) -> OutgoingRecord {
        let value = self.codec.encode_changelog(&ChangelogRecord::Schedule(entry));
        self.to_changelog(Some(key(schedule)), value)
    }

    pub(crate) fn claim(&self, claim: &Claim) -> OutgoingRecord {
        self.to_changelog(None, self.codec.encode_changelog(&ChangelogRecord::Claim(claim.clone())))
    }

    pub(crate) fn positions(&self, positions: &BTreeMap<Source, Offset>) -> OutgoingRecord {
        let positions = Positions { sources: self.source_positions(positions) };
        self.to_changelog(None, self.codec.encode_changelog(&ChangelogRecord::Positions(positions)))
    }

    pub(crate) fn source_positions(&self, positions: &BTreeMap<Source, Offset>) -> Vec<SourcePosition> {
        let mut sources: Vec<_> = positions
            .iter()
            .map(|(source, offset)| {
                let (topic, partition) = self.place(source);
                SourcePosition { topic: topic.to_string(), partition, offset: *offset }
            })
            .collect();
        sources.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        sources
    }

    /// What `known` says about a source.
    pub(crate) fn position_of(&self, source: &Source, known: &[SourcePosition]) -> Option<Offset> {
        let (topic, partition) = self.place(source);
        known.iter().find(|it| *it.topic == **topic && it.partition == partition).map(|it| it.offset)
    }

    /// What `known` says about topics of the users.
    pub(crate) fn topic_positions(&self, known: &[SourcePosition]) -> Vec<(Source, Offset)> {
        let own = [&self.topics.internal, &self.topics.events];
        known
            .iter()
            .filter(|it| own.iter().all(|own| ***own != *it.topic))
            .map(|it| (Source::Topic(it.topic.as_str().into(), it.partition), it.offset))
            .collect()
    }

    fn place<'s>(&'s self, source: &'s Source) -> (&'s Arc<str>, i32) {
        match source {
            Source::Internal(partition) => (&self.topics.internal, *partition),
            Source::Events(partition) => (&self.topics.events, *partition),
            Source::Topic(topic, partition) => (topic, *partition),
        }
    }

    fn position(&self, record: &InboundRecord) -> RecordPosition {
        let (topic, partition) = self.place(&record.source);
        RecordPosition { topic: topic.to_string(), partition, offset: record.offset }
    }

    /// A consequence of `command`, its `number`-th.
    pub(crate) fn effect<C>(
        &self,
        command: &Addressed<C>,
        number: usize,
        effect: &Effect,
        at: Timestamp,
    ) -> OutgoingRecord {
        let instance = &command.instance;
        let (traceparent, tracestate) = (command.traceparent.as_deref(), command.tracestate.as_deref());
        match effect {
            Effect::DispatchTask { queue, task } => OutgoingRecord {
                topic: self.topics.all.commands(queue).into(),
                partition: None,
                key: Some(key(instance)),
                headers: [(TRACEPARENT, traceparent), (TRACESTATE, tracestate)]
                    .into_iter()
                    .filter_map(|(name, it)| Some((name.to_owned(), Bytes::copy_from_slice(it?.as_bytes()))))
                    .collect(),
                value: Some(self.codec.encode_task(task).into()),
            },
            Effect::EmitEvent { topic, event } => {
                let topic = topic.as_ref().unwrap_or(&self.topics.emitted);
                // The engine has made it from the definition; what is no CloudEvent in every detail still goes out as it is.
                let record = match CloudEvent::from_json(event.value().clone()) {
                    Ok(event) => event.with_trace(traceparent, tracestate).to_binary(),
                    Err(_) => EventRecord::structured(event.value()),
                };
                outgoing(topic, Some(key(instance)), record)
            }
            Effect::PublishLifecycle { event_type, data } => {
                let EventId { source, id } = &command.cause;
                let id =
                    EventId { source: self.source.clone(), id: format!("{instance}/{source}/{id}/{number}") };
                let event = CloudEvent::new(id, event_type)
                    .with_subject(instance.as_str())
                    .with_time(at)
                    .with_data(data.clone())
                    .with_trace(traceparent, tracestate);
                outgoing(&self.topics.lifecycle, Some(key(instance)), event.to_binary())
            }
            Effect::SendCommand { to, id, command } => {
                let id = EventId { source: INSTANCE_SOURCE.to_owned(), id: id.clone() };
                let event = command_event(id, to, command).expect("one of those that entities send");
                let record = event.with_trace(traceparent, tracestate).to_binary();
                outgoing(&self.topics.events, Some(key(to)), record)
            }
            Effect::SendToChannel { channel, id, command } => {
                let id = EventId { source: INSTANCE_SOURCE.to_owned(), id: id.clone() };
                self.to_channel(channel, id, command, (traceparent, tracestate))
            }
        }
    }

    /// A command for a channel.
    pub(crate) fn to_channel(
        &self,
        channel: &InstanceId,
        id: EventId,
        command: &ChannelCommand,
        (traceparent, tracestate): (Option<&str>, Option<&str>),
    ) -> OutgoingRecord {
        let event = channel_event(id, channel, command).with_trace(traceparent, tracestate);
        outgoing(&self.topics.events, Some(key(channel)), event.to_binary())
    }

    pub(crate) fn rejected<C>(
        &self,
        command: &Addressed<C>,
        name: &str,
        reason: &str,
        detail: &str,
        at: Timestamp,
    ) -> OutgoingRecord {
        let id = EventId {
            source: self.source.clone(),
            id: format!("rejected/{}/{}/{}", command.instance, command.cause.source, command.cause.id),
        };
        let event = rejection_event(id, &command.instance, name, &command.cause, reason, detail)
            .with_time(at)
            .with_trace(command.traceparent.as_deref(), command.tracestate.as_deref());
        outgoing(&self.topics.lifecycle, Some(key(&command.instance)), event.to_binary())
    }

    /// What a sender is told that has asked for the outcome of its command.
    pub(crate) fn accepted<C>(
        &self,
        command: &Addressed<C>,
        name: &str,
        outcome: &Outcome,
        status: &str,
        at: Timestamp,
    ) -> OutgoingRecord {
        let Addressed { instance, cause, .. } = command;
        let id = EventId {
            source: self.source.clone(),
            id: format!("accepted/{instance}/{}/{}", cause.source, cause.id),
        };
        let event = acceptance_event(id, instance, name, cause, outcome.name(), outcome.task(), status)
            .with_time(at)
            .with_trace(command.traceparent.as_deref(), command.tracestate.as_deref());
        outgoing(&self.topics.lifecycle, Some(key(instance)), event.to_binary())
    }

    /// The record as it first came, with headers that say why it is here.
    pub(crate) fn dead_letter(
        &self,
        record: &InboundRecord,
        reason: &str,
        detail: &str,
        at: Timestamp,
    ) -> OutgoingRecord {
        let forwarded = self.forwarded(record);
        let source = forwarded.as_ref().map_or_else(|| self.position(record), |it| it.source.clone());
        let letter = DeadLetter { reason: reason.to_owned(), detail: detail.to_owned(), source, at };
        let (key, headers, value) = match forwarded {
            Some(it) => (it.key, it.headers, it.value),
            None => (record.key.clone(), record.headers.clone(), record.value.clone()),
        };
        // A topic of somebody else may have larger records than ours: the letter says where this one can be read.
        let bytes = headers.iter().map(|it| it.0.len() + it.1.len()).sum::<usize>()
            + [&key, &value].into_iter().flatten().map(Bytes::len).sum::<usize>();
        let (key, headers, value) =
            if bytes <= LETTER_BYTES_MAX { (key, headers, value) } else { (None, Vec::new(), None) };
        OutgoingRecord {
            topic: Arc::clone(&self.topics.dead_letters),
            partition: None,
            key,
            headers: letter.headers(&headers),
            value,
        }
    }
}

fn outgoing(topic: &Arc<str>, key: Option<Bytes>, record: EventRecord) -> OutgoingRecord {
    OutgoingRecord {
        topic: Arc::clone(topic),
        partition: None,
        key,
        headers: record.headers,
        value: record.value,
    }
}

fn key(instance: &InstanceId) -> Bytes {
    Bytes::copy_from_slice(instance.as_str().as_bytes())
}

fn kafka(index: PartitionIndex) -> i32 {
    i32::try_from(index.0).expect("at most 4,096 partitions")
}

fn request(read: Result<InboxRequest, InboxError>) -> Request {
    match read {
        Ok(InboxRequest::Instance(command)) => Request::Decide(Box::new(command)),
        Ok(InboxRequest::Channel(command)) => Request::Channel(Box::new(command)),
        Ok(InboxRequest::Schedule(command)) => Request::Schedule(Box::new(command)),
        Ok(InboxRequest::Publish(event)) => Request::Publish(Box::new(event)),
        Err(error) => match error.schema_to_fetch() {
            Some(id) => Request::NeedsSchema(id),
            None => Request::DeadLetter { reason: error.reason(), detail: error.to_string() },
        },
    }
}

/// The timer of an instance that was the cause of something.
pub(crate) fn timer_of(cause: &EventId, instance: &InstanceId) -> Option<TimerEntry> {
    if cause.source != TIMER_SOURCE {
        return None;
    }
    let mut parts = cause.id.rsplit('/');
    let due = Timestamp(parts.next()?.parse().ok()?);
    let timer = TimerId(parts.next()?.parse().ok()?);
    Some(TimerEntry { due, instance: instance.clone(), timer })
}

fn fire(fired: TimerFired) -> Request {
    let TimerFired { instance, timer, due } = fired;
    let cause = EventId { source: TIMER_SOURCE.to_owned(), id: format!("{instance}/{}/{}", timer.0, due.0) };
    if instance.is_schedule() {
        let command = ScheduleCommand::FireTimer { timer, due };
        return Request::Schedule(Box::new(Addressed {
            instance,
            cause,
            traceparent: None,
            tracestate: None,
            answer: Answer::Refusal,
            command,
        }));
    }
    let (answer, command) = (Answer::Refusal, Command::FireTimer { timer, due });
    Request::Decide(Box::new(AddressedCommand {
        instance,
        cause,
        traceparent: None,
        tracestate: None,
        answer,
        command,
    }))
}

/// What a proposal asks the schedule for.
fn definition(version: WorkflowVersion, source: &str) -> Addressed<ScheduleCommand> {
    let instance = schedule_id(&version.workflow);
    let cause = EventId { source: source.to_owned(), id: format!("{instance}/{}", version.version) };
    let (answer, command) = (Answer::Refusal, ScheduleCommand::Define { version });
    Addressed { instance, cause, traceparent: None, tracestate: None, answer, command }
}
