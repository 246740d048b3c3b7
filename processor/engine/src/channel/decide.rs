//! What follows from each command for a channel.

use millrace_schemas::channel::{
    ChannelCommand, ChannelEvent, Gather, Subscription, SubscriptionId, WaitingEvent,
};
use millrace_schemas::command::{Addressed, Command};
use millrace_schemas::{EventId, InstanceId, Payload, Timestamp};
use millrace_workflow::admission::canonical;
use serde_json::{Value, json};

use super::{Channel, ChannelDecision, FindProgram, event_digest, filter};
use crate::{Bounds, Effect, Moment, Rejection};

pub(super) fn decide(
    channel: &Channel,
    addressed: &Addressed<ChannelCommand>,
    find: FindProgram<'_>,
    moment: Moment,
    bounds: &Bounds,
) -> Result<ChannelDecision, Rejection> {
    match &addressed.command {
        ChannelCommand::Subscribe { id, subscription } => {
            subscribe(channel, id, subscription, find, moment, bounds)
        }
        ChannelCommand::Unsubscribe { id } => Ok(unsubscribe(channel, id)),
        ChannelCommand::Publish { event, gather } => {
            let published = Published::of(event, &addressed.cause, moment.at, bounds);
            if channel.state.seen.iter().any(|it| it.digest == published.digest && it.until > moment.at) {
                return Ok(ChannelDecision { is_duplicate: true, ..ChannelDecision::default() });
            }
            match gather {
                Some(gather) => gathered(channel, &published, gather, moment.at, bounds),
                None => publish(channel, &published, find, moment.at, bounds),
            }
        }
    }
}

/// Whoever listens gets the events that wait for it: the first one only, if it wants no more.
fn subscribe(
    channel: &Channel,
    id: &SubscriptionId,
    subscription: &Subscription,
    find: FindProgram<'_>,
    moment: Moment,
    bounds: &Bounds,
) -> Result<ChannelDecision, Rejection> {
    let state = &channel.state;
    let max = bounds.subscriptions_max;
    if state.subscriptions.len() >= max && !state.subscriptions.contains_key(id) {
        let detail = format!(
            "{max} listeners wait already in {}, the most that may (subscriptions_max); give the `listen` a `correlate` with `expect`, so that each has a channel of its own",
            channel.id
        );
        return Err(Rejection::InvalidState { detail });
    }
    let program = find(&subscription.workflow);
    let mut decision = ChannelDecision::default();
    for waiting in state.waiting.iter().filter(|it| it.until > moment.at) {
        if !filter::wants(program.as_deref(), subscription, id.filter, &waiting.event, moment.at) {
            continue;
        }
        decision.events.push(ChannelEvent::EventTaken { cause: waiting.cause.clone() });
        decision.effects.push(deliver(&channel.id, id, &waiting.event, &waiting.cause));
        if subscription.is_once {
            return Ok(decision);
        }
    }
    let (id, subscription) = (id.clone(), subscription.clone());
    decision.events.push(ChannelEvent::SubscriptionOpened { id, subscription });
    Ok(decision)
}

/// What got its one event is gone already.
fn unsubscribe(channel: &Channel, id: &SubscriptionId) -> ChannelDecision {
    let is_open = channel.state.subscriptions.contains_key(id);
    let closed = is_open.then(|| ChannelEvent::SubscriptionClosed { id: id.clone() });
    ChannelDecision { events: closed.into_iter().collect(), ..ChannelDecision::default() }
}

/// An event, and what is noted of it.
struct Published<'e> {
    event: &'e Payload,
    cause: EventId,
    digest: i64,
    remembered_until: Timestamp,
}

impl<'e> Published<'e> {
    fn of(event: &'e Payload, sent: &EventId, at: Timestamp, bounds: &Bounds) -> Self {
        let text = |name: &str| event.value().get(name).and_then(Value::as_str).map(str::to_owned);
        let named = text("source").zip(text("id")).map(|(source, id)| EventId { source, id });
        let cause = named.unwrap_or_else(|| sent.clone());
        let digest = event_digest(&cause);
        Self { event, cause, digest, remembered_until: at.plus(bounds.duplicate_window) }
    }

    fn noted(&self) -> ChannelEvent {
        ChannelEvent::EventPublished { digest: self.digest, until: self.remembered_until }
    }

    fn kept(&self, filter: u32, at: Timestamp, bounds: &Bounds) -> ChannelEvent {
        ChannelEvent::EventKept {
            cause: self.cause.clone(),
            event: self.event.clone(),
            filter,
            until: at.plus(bounds.event_wait),
        }
    }
}

/// Everybody who listens gets it. If nobody does, it waits.
fn publish(
    channel: &Channel,
    published: &Published<'_>,
    find: FindProgram<'_>,
    at: Timestamp,
    bounds: &Bounds,
) -> Result<ChannelDecision, Rejection> {
    let mut decision = ChannelDecision { events: vec![published.noted()], ..ChannelDecision::default() };
    for (id, subscription) in &channel.state.subscriptions {
        let program = find(&subscription.workflow);
        if !filter::wants(program.as_deref(), subscription, id.filter, published.event, at) {
            continue;
        }
        decision.effects.push(deliver(&channel.id, id, published.event, &published.cause));
        if subscription.is_once {
            decision.events.push(ChannelEvent::SubscriptionClosed { id: id.clone() });
        }
    }
    if decision.effects.is_empty() && !bounds.event_wait.is_zero() {
        check_room(channel, at, bounds)?;
        decision.events.push(published.kept(0, at, bounds));
    }
    Ok(decision)
}

/// An instance starts once there is an event for each filter.
fn gathered(
    channel: &Channel,
    published: &Published<'_>,
    gather: &Gather,
    at: Timestamp,
    bounds: &Bounds,
) -> Result<ChannelDecision, Rejection> {
    let waiting: Vec<&WaitingEvent> = channel.state.waiting.iter().filter(|it| it.until > at).collect();
    let found = (0..gather.filters).map(|filter| {
        let waiting = waiting.iter().find(|it| it.filter == filter).map(|it| (&it.event, &it.cause));
        if filter == gather.filter { Some((published.event, &published.cause)) } else { waiting }
    });
    let mut events = vec![published.noted()];
    let Some(found) = found.collect::<Option<Vec<_>>>() else {
        check_room(channel, at, bounds)?;
        events.push(published.kept(gather.filter, at, bounds));
        return Ok(ChannelDecision { events, ..ChannelDecision::default() });
    };
    let taken = found.iter().map(|(_, cause)| *cause).filter(|it| **it != published.cause);
    events.extend(taken.map(|it| ChannelEvent::EventTaken { cause: it.clone() }));
    let input = found.iter().map(|(event, _)| (*event).clone());
    let start = start(&gather.workflow, &published.cause, input);
    Ok(ChannelDecision { events, effects: vec![start], is_duplicate: false })
}

fn check_room(channel: &Channel, at: Timestamp, bounds: &Bounds) -> Result<(), Rejection> {
    let max = bounds.waiting_events_max;
    if channel.state.waiting.iter().filter(|it| it.until > at).count() < max {
        return Ok(());
    }
    let detail = format!(
        "{max} events wait already in {} for somebody to listen, the most that may (waiting_events_max): nobody listens to what is published, or too late",
        channel.id
    );
    Err(Rejection::InvalidState { detail })
}

fn deliver(channel: &InstanceId, to: &SubscriptionId, event: &Payload, cause: &EventId) -> Effect {
    let SubscriptionId { instance, execution, filter } = to;
    Effect::SendCommand {
        to: instance.clone(),
        id: format!("{channel}/{}.{filter}/{} {}", execution.0, cause.source, cause.id),
        command: Box::new(Command::DeliverEvent {
            listener: *execution,
            filter: *filter,
            event: event.clone(),
        }),
    }
}

/// Starts an instance by events. It is called after the last of them, so one set of events starts one instance, however often it comes.
pub(super) fn start(
    workflow: &millrace_schemas::WorkflowVersion,
    cause: &EventId,
    events: impl Iterator<Item = Payload>,
) -> Effect {
    let digest = canonical::digest(&json!([cause.source, cause.id]));
    let name = &workflow.workflow.name;
    let id = format!("{name}-{}", &digest[..24]);
    let to = InstanceId::new(&id).expect("a name is a DNS label, at most 63 bytes");
    let input = Value::Array(events.map(|it| it.value().clone()).collect());
    Effect::SendCommand {
        id: format!("{id}/start"),
        to,
        command: Box::new(Command::Start {
            workflow: workflow.workflow.clone(),
            version: Some(workflow.version.clone()),
            input: input.into(),
            parent: None,
        }),
    }
}
