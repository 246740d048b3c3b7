//! Events that are addressed to nobody: where they are read, they are sent to the channels where somebody may listen; there they are
//! decided as any command is.

use millrace_engine::{
    ChannelDecision, Destination, Effect, Entity, INSTANCE_SOURCE, Moment, business_key_channel,
    payload_bytes,
};
use millrace_schemas::channel::{ChannelCommand, ChannelEntry, ChannelEvent};
use millrace_schemas::cloud_event::PublishedEvent;
use millrace_schemas::command::{Addressed, Answer};
use millrace_schemas::{EventId, Timestamp};

use crate::input::InboundRecord;
use crate::open::{Committing, Entry};
use crate::output::Observation;
use crate::partition::{Partition, Programs};
use crate::transaction::OutgoingRecord;

fn observe(decision: &ChannelDecision, observations: &mut Vec<Observation>) {
    let is_delivery = |it: &&Effect| matches!(it, Effect::SendCommand { .. });
    let listeners = decision.effects.iter().filter(is_delivery).count();
    if listeners > 0 {
        observations.push(Observation::EventDelivered { listeners });
    }
    if decision.events.iter().any(|it| matches!(it, ChannelEvent::EventKept { .. })) {
        observations.push(Observation::EventKept);
    }
}

impl Partition {
    /// Sends an event to whoever listens.
    pub(crate) fn publish(
        &self,
        record: &InboundRecord,
        published: &PublishedEvent,
        at: Timestamp,
        programs: &impl Programs,
        work: &mut Committing,
        records: &mut Vec<OutgoingRecord>,
    ) {
        let PublishedEvent { cause, event, business_key, .. } = published;
        let destinations = match business_key {
            Some((workflow, key)) => {
                vec![Destination::Channel { id: business_key_channel(workflow, key), gather: None }]
            }
            None => programs.routes().of_event(event, cause, at),
        };
        if destinations.is_empty() {
            let detail = "no `listen` and no `schedule.on` of a deployed definition wants such an event, or what it is correlated by is not in it; check its type, deploy the definition, then send it again".to_owned();
            return self.dead_letter(record, "nobody-listens", detail, at, work, records);
        }
        if let Err(detail) = self.check_size(published) {
            return self.dead_letter(record, "too-large", detail, at, work, records);
        }
        self.send_out(published, destinations, at, records);
        work.observations.push(Observation::EventPublished);
    }

    /// Whether an event fits the records that it is wrapped in on its way, of which headers have its name again.
    fn check_size(&self, published: &PublishedEvent) -> Result<(), String> {
        let PublishedEvent { cause, event, .. } = published;
        let bytes = payload_bytes(event) + cause.source.len() + cause.id.len();
        let bytes_max = self.config.bounds.record_bytes_max;
        if bytes <= bytes_max {
            return Ok(());
        }
        Err(format!(
            "the event has {bytes} bytes, and {bytes_max} are allowed (record_bytes_max); send a reference to the data"
        ))
    }

    /// Sends what a record of a topic holds to whoever listens. False if nobody does: such a topic has many that are for others.
    pub(crate) fn hear(
        &self,
        record: &InboundRecord,
        events: &[PublishedEvent],
        at: Timestamp,
        programs: &impl Programs,
        work: &mut Committing,
        records: &mut Vec<OutgoingRecord>,
    ) -> bool {
        let routes = programs.routes();
        let mut is_heard = false;
        for published in events {
            let destinations = routes.of_event(&published.event, &published.cause, at);
            if destinations.is_empty() {
                continue;
            }
            is_heard = true;
            if let Err(detail) = self.check_size(published) {
                self.dead_letter(record, "too-large", detail, at, work, records);
                continue;
            }
            self.send_out(published, destinations, at, records);
            work.observations.push(Observation::EventPublished);
        }
        is_heard
    }

    fn send_out(
        &self,
        published: &PublishedEvent,
        destinations: Vec<Destination>,
        at: Timestamp,
        records: &mut Vec<OutgoingRecord>,
    ) {
        let PublishedEvent { cause, traceparent, tracestate, event, business_key: _ } = published;
        for (number, destination) in destinations.into_iter().enumerate() {
            match destination {
                Destination::Channel { id, gather } => {
                    let name = EventId {
                        source: INSTANCE_SOURCE.to_owned(),
                        id: format!("publish/{} {}", cause.source, cause.id),
                    };
                    let command = ChannelCommand::Publish { event: event.clone(), gather };
                    let trace = (traceparent.as_deref(), tracestate.as_deref());
                    records.push(self.records.to_channel(&id, name, &command, trace));
                }
                Destination::Start { instance, effect } => {
                    let (cause, traceparent, tracestate) =
                        (cause.clone(), traceparent.clone(), tracestate.clone());
                    let answer = Answer::Refusal;
                    let context = Addressed { instance, cause, traceparent, tracestate, answer, command: () };
                    records.push(self.records.effect(&context, number, &effect, at));
                }
            }
        }
    }

    /// A command for a channel.
    pub(crate) fn decide_channel(
        &self,
        record: &InboundRecord,
        addressed: &Addressed<ChannelCommand>,
        moment: Moment,
        programs: &impl Programs,
        work: &mut Committing,
        records: &mut Vec<OutgoingRecord>,
    ) -> Option<(OutgoingRecord, Entry)> {
        let id = &addressed.instance;
        let name = addressed.command.name();
        if let Some(why) = self.quarantine.reason(id) {
            let detail = format!("channel {id} is quarantined: {why}");
            self.dead_letter(record, "quarantined", detail, moment.at, work, records);
            return None;
        }
        let mut channel = self.take(id, work).into_channel()?;
        let find = |version: &_| programs.version(version);
        let decided = channel.step(addressed, &find, moment, &self.config.bounds);
        work.entities.insert(id.clone(), Entity::Channel(channel));
        match decided {
            Ok(decision) => {
                if decision.is_duplicate {
                    let rejected = Observation::CommandRejected { command: name, reason: "duplicate" };
                    work.observations.push(rejected);
                }
                for (number, effect) in decision.effects.iter().enumerate() {
                    records.push(self.records.effect(addressed, number, effect, moment.at));
                }
                if decision.events.is_empty() {
                    return None;
                }
                observe(&decision, &mut work.observations);
                let events = decision.events.len();
                work.observations.push(Observation::CommandDecided { command: name, events, steps: 0 });
                let outgoing = self.records.channel_entry(
                    id,
                    ChannelEntry {
                        at: moment.at,
                        cause: addressed.cause.clone(),
                        traceparent: addressed.traceparent.clone(),
                        events: decision.events,
                    },
                );
                let value = outgoing.value.clone().expect("an entry has a value");
                Some((outgoing, Entry { instance: id.clone(), value, history: None }))
            }
            Err(rejection) => {
                let (reason, detail) = (rejection.reason(), rejection.to_string());
                if let ChannelCommand::Publish { .. } = &addressed.command {
                    // Nobody has it yet: it can be sent again.
                    self.dead_letter(record, "too-many-waiting", detail, moment.at, work, records);
                    return None;
                }
                records.push(self.records.rejected(addressed, name, reason, &detail, moment.at));
                work.observations.push(Observation::CommandRejected { command: name, reason });
                None
            }
        }
    }
}
