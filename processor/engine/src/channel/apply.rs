//! Folding entries into a channel.

use millrace_schemas::Timestamp;
use millrace_schemas::channel::{ChannelEvent, ChannelState, SeenEvent, Subscription, WaitingEvent};

use super::Channel;
use crate::size::payload_bytes;

impl Channel {
    /// Folds the events of one entry.
    pub(super) fn apply(&mut self, events: &[ChannelEvent], at: Timestamp) {
        self.forget(at);
        for event in events {
            self.fold(event);
        }
        self.state.updated_at = at;
    }

    fn fold(&mut self, event: &ChannelEvent) {
        let state = &mut self.state;
        match event {
            ChannelEvent::SubscriptionOpened { id, subscription } => {
                self.payload_bytes += subscription_bytes(subscription);
                if let Some(before) = state.subscriptions.insert(id.clone(), subscription.clone()) {
                    self.payload_bytes -= subscription_bytes(&before);
                }
            }
            ChannelEvent::SubscriptionClosed { id } => {
                if let Some(closed) = state.subscriptions.remove(id) {
                    self.payload_bytes -= subscription_bytes(&closed);
                }
            }
            ChannelEvent::EventPublished { digest, until, forgotten } => {
                let forgotten = (*forgotten as usize).min(state.seen.len());
                state.seen.drain(..forgotten);
                state.seen.push_back(SeenEvent { digest: *digest, until: *until });
            }
            ChannelEvent::EventKept { cause, event, filter, until } => {
                self.payload_bytes += payload_bytes(event);
                state.waiting.push_back(WaitingEvent {
                    cause: cause.clone(),
                    event: event.clone(),
                    filter: *filter,
                    until: *until,
                });
            }
            ChannelEvent::EventTaken { cause } => {
                if let Some(place) = state.waiting.iter().position(|it| it.cause == *cause)
                    && let Some(taken) = state.waiting.remove(place)
                {
                    self.payload_bytes -= payload_bytes(&taken.event);
                }
            }
        }
    }

    /// What is over at the time of an entry is forgotten with it.
    fn forget(&mut self, at: Timestamp) {
        let Self { state, payload_bytes: bytes, .. } = self;
        state.waiting.retain(|it| {
            let stays = it.until > at;
            if !stays {
                *bytes -= payload_bytes(&it.event);
            }
            stays
        });
        // In the order in which they came, which is that of their times but for clocks that differ: looked at no more than needed.
        let over = state.seen.iter().take_while(|it| it.until <= at).count();
        state.seen.drain(..over);
    }
}

fn subscription_bytes(subscription: &Subscription) -> usize {
    subscription.variables.as_ref().map_or(0, payload_bytes)
}

pub(super) fn payload_bytes_of(state: &ChannelState) -> usize {
    let subscriptions: usize = state.subscriptions.values().map(subscription_bytes).sum();
    subscriptions + state.waiting.iter().map(|it| payload_bytes(&it.event)).sum::<usize>()
}
