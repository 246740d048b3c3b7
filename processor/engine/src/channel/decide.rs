//! What follows from each command for a channel.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_schemas::channel::{
    ChannelCommand, ChannelEvent, Gather, Subscription, SubscriptionId, WaitingEvent,
};
use millrace_schemas::command::{Addressed, Command};
use millrace_schemas::{EventId, InstanceId, Payload, Timestamp, WorkflowName, WorkflowVersion};
use millrace_workflow::expression;
use serde_json::Value;

use super::key::event_hex;
use super::{Channel, ChannelDecision, FindProgram, event_digest, event_name, filter};
use crate::journal::EFFECTS_MAX;
use crate::size::payload_bytes;
use crate::{Bounds, Effect, Moment, Rejection};

/// How long events wait for others that start an instance with them, at least.
const GATHERING_WAIT_MIN: Duration = Duration::from_secs(60);

pub(super) fn decide(
    channel: &Channel,
    addressed: &Addressed<ChannelCommand>,
    find: FindProgram<'_>,
    moment: Moment,
    bounds: &Bounds,
) -> Result<ChannelDecision, Rejection> {
    match &addressed.command {
        // Many slow filters hold up no more than one slow command does.
        ChannelCommand::Subscribe { id, subscription } => {
            expression::for_command(|| subscribe(channel, id, subscription, find, moment, bounds))
        }
        ChannelCommand::Unsubscribe { id } => Ok(unsubscribe(channel, id)),
        ChannelCommand::Publish { event, gather } => {
            let published = Published::of(event, &addressed.cause, moment.at, bounds);
            if channel.state.seen.iter().any(|it| it.digest == published.digest && it.until > moment.at) {
                return Ok(ChannelDecision { is_duplicate: true, ..ChannelDecision::default() });
            }
            match gather {
                Some(gather) => gathered(channel, &published, gather, moment.at, bounds),
                None => expression::for_command(|| publish(channel, &published, find, moment.at, bounds)),
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
    check_bytes(channel, subscription.variables.as_ref().map_or(0, payload_bytes), bounds)?;
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
        let cause = event_name(event).unwrap_or_else(|| sent.clone());
        let digest = event_digest(&cause);
        Self { event, cause, digest, remembered_until: at.plus(bounds.duplicate_window) }
    }

    /// Those that are forgotten for it are in the fact, so a replay needs no bounds.
    fn noted(&self, channel: &Channel, at: Timestamp, bounds: &Bounds) -> ChannelEvent {
        let seen = &channel.state.seen;
        let left = seen.len() - seen.iter().take_while(|it| it.until <= at).count();
        let forgotten = (left + 1).saturating_sub(bounds.published_remembered_max.max(1));
        ChannelEvent::EventPublished {
            digest: self.digest,
            until: self.remembered_until,
            forgotten: u32::try_from(forgotten).expect("a state is bounded"),
        }
    }

    fn kept(&self, filter: u32, at: Timestamp, wait: Duration) -> ChannelEvent {
        ChannelEvent::EventKept {
            cause: self.cause.clone(),
            event: self.event.clone(),
            filter,
            until: at.plus(wait),
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
    let mut decision =
        ChannelDecision { events: vec![published.noted(channel, at, bounds)], ..ChannelDecision::default() };
    // Those who look at no variables of their own all want it, or none does.
    let mut judged = BTreeMap::new();
    for (id, subscription) in &channel.state.subscriptions {
        let Subscription { workflow, task, variables, .. } = subscription;
        let judge = || filter::wants(find(workflow).as_deref(), subscription, id.filter, published.event, at);
        let is_wanted = match variables {
            Some(_) => judge(),
            None => *judged.entry((workflow, task, id.filter)).or_insert_with(judge),
        };
        if !is_wanted {
            continue;
        }
        decision.effects.push(deliver(&channel.id, id, published.event, &published.cause));
        if subscription.is_once {
            decision.events.push(ChannelEvent::SubscriptionClosed { id: id.clone() });
        }
    }
    if decision.effects.is_empty() && !bounds.event_wait.is_zero() {
        check_room(channel, published, at, bounds)?;
        decision.events.push(published.kept(0, at, bounds.event_wait));
    }
    let (listeners, bytes) = (decision.effects.len(), payload_bytes(published.event));
    if listeners * bytes > EFFECTS_MAX * bounds.record_bytes_max {
        let detail = format!(
            "{listeners} wait in {} for the event, and {bytes} bytes for each are more than one transaction takes; send a reference to the data, or correlate the listeners",
            channel.id
        );
        return Err(Rejection::InvalidState { detail });
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
    let mut events = vec![published.noted(channel, at, bounds)];
    let Some(found) = found.collect::<Option<Vec<_>>>() else {
        check_room(channel, published, at, bounds)?;
        events.push(published.kept(gather.filter, at, bounds.event_wait.max(GATHERING_WAIT_MIN)));
        return Ok(ChannelDecision { events, ..ChannelDecision::default() });
    };
    let taken = found.iter().map(|(_, cause)| *cause).filter(|it| **it != published.cause);
    events.extend(taken.map(|it| ChannelEvent::EventTaken { cause: it.clone() }));
    let bytes: usize = found.iter().map(|(event, _)| payload_bytes(event)).sum();
    if bytes > bounds.record_bytes_max {
        let detail = format!(
            "the events that start an instance together have {bytes} bytes, and {} are allowed (record_bytes_max); send references to the data",
            bounds.record_bytes_max
        );
        return Err(Rejection::InvalidState { detail });
    }
    let input = found.iter().map(|(event, _)| (*event).clone());
    let (_, start) = start(&gather.workflow, &published.cause, input)?;
    Ok(ChannelDecision { events, effects: vec![start], is_duplicate: false })
}

fn check_room(
    channel: &Channel,
    published: &Published<'_>,
    at: Timestamp,
    bounds: &Bounds,
) -> Result<(), Rejection> {
    check_bytes(channel, payload_bytes(published.event), bounds)?;
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

/// A channel holds as much as an instance may.
fn check_bytes(channel: &Channel, more: usize, bounds: &Bounds) -> Result<(), Rejection> {
    let (bytes, max) = (channel.payload_bytes + more, bounds.state_bytes_max);
    if bytes <= max {
        return Ok(());
    }
    let detail = format!(
        "{} would hold {bytes} bytes of data, and {max} are allowed (state_bytes_max): nobody listens to what is published, or filters look at too much",
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
    workflow: &WorkflowVersion,
    cause: &EventId,
    events: impl Iterator<Item = Payload>,
) -> Result<(InstanceId, Effect), Rejection> {
    let WorkflowName { namespace, name } = &workflow.workflow;
    let id = format!("{namespace}.{name}-{}", &event_hex(cause)[..24]);
    // Names of a definition are short; a forged record may say anything.
    let to = InstanceId::new(&id).map_err(|it| Rejection::InvalidArgument { detail: it.to_string() })?;
    let input = Value::Array(events.map(|it| it.value().clone()).collect());
    let effect = Effect::SendCommand {
        id: format!("{id}/start"),
        to: to.clone(),
        command: Box::new(Command::Start {
            workflow: workflow.workflow.clone(),
            version: Some(workflow.version.clone()),
            input: input.into(),
            parent: None,
        }),
    };
    Ok((to, effect))
}
