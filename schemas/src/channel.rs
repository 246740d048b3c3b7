//! Channels: where events that are addressed to nobody meet those who listen for them.
//!
//! A channel is a key of the log as an instance is: its entries stand in the changelog, its snapshots in the store, and whoever owns its
//! partition decides in the order of the log. So subscribing and publishing have one order for each channel, and an event meets a
//! subscription exactly once. Its id is made of what is listened for ([`crate::InstanceId::CHANNEL_PREFIX`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{EventId, ExecutionId, InstanceId, Offset, Payload, Timestamp, WorkflowVersion};

/// What a channel may be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ChannelCommand {
    /// A `listen` was entered.
    Subscribe {
        /// Whose.
        id: SubscriptionId,
        /// What it wants.
        subscription: Subscription,
    },
    /// A `listen` has ended.
    Unsubscribe {
        /// Whose.
        id: SubscriptionId,
    },
    /// An event came that belongs here.
    Publish {
        /// The whole CloudEvent as a JSON object in the structured form.
        event: Payload,
        /// It is gathered to start an instance (`schedule.on.all`).
        gather: Option<Gather>,
    },
}

impl ChannelCommand {
    /// The command's name, as metrics, logs and rejections show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Publish { .. } => "publish",
        }
    }
}

/// One filter of one `listen` of one instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriptionId {
    /// Who listens.
    pub instance: InstanceId,
    /// The `listen`.
    pub execution: ExecutionId,
    /// Which of its filters, from 0.
    pub filter: u32,
}

/// What a subscription wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// The definition that the filter is in.
    pub workflow: WorkflowVersion,
    /// JSON pointer of the `listen`.
    pub task: Arc<str>,
    /// The variables that the filter's expressions name, as an object; none if they name none.
    pub variables: Option<Payload>,
    /// Whether it ends with the first event that it gets.
    pub is_once: bool,
}

/// An event is one of several that start an instance together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gather {
    /// What is started.
    pub workflow: WorkflowVersion,
    /// The filter that the event passed, from 0.
    pub filter: u32,
    /// How many filters there are: one event is needed for each.
    pub filters: u32,
}

/// One changelog record: what one command did to one channel. The record's key is the channel's id.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelEntry {
    /// When it was decided: the owner's clock.
    pub at: Timestamp,
    /// The event that caused it.
    pub cause: EventId,
    /// W3C trace context of the cause.
    pub traceparent: Option<String>,
    /// What happened, in order. Never empty.
    pub events: Vec<ChannelEvent>,
}

/// One fact about one channel. Applying an entry also forgets what its time has passed.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelEvent {
    /// Somebody listens from now on.
    SubscriptionOpened {
        /// Whose.
        id: SubscriptionId,
        /// What it wants.
        subscription: Subscription,
    },
    /// Somebody listens no more: the `listen` has ended, or it has got the one event that it wanted.
    SubscriptionClosed {
        /// Whose.
        id: SubscriptionId,
    },
    /// An event came. Another one of the same name is a duplicate for a while.
    EventPublished {
        /// Stands for its `source` and `id`.
        digest: i64,
        /// Until when it is remembered.
        until: Timestamp,
        /// How many of the oldest are forgotten for it.
        forgotten: u32,
    },
    /// Nobody listened for an event: it waits.
    EventKept {
        /// Names the event.
        cause: EventId,
        /// The whole CloudEvent.
        event: Payload,
        /// As in [`Gather::filter`]; 0 where nothing is gathered.
        filter: u32,
        /// How long it waits.
        until: Timestamp,
    },
    /// An event waits no more: somebody got it.
    EventTaken {
        /// Names the event.
        cause: EventId,
    },
}

/// The fold of a channel's events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelState {
    /// When the last entry was applied.
    pub updated_at: Timestamp,
    /// Who listens.
    pub subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Events that nobody has got yet, oldest first.
    pub waiting: VecDeque<WaitingEvent>,
    /// Events that came, oldest first.
    pub seen: VecDeque<SeenEvent>,
}

/// An event that nobody has got yet.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingEvent {
    /// Names the event.
    pub cause: EventId,
    /// The whole CloudEvent.
    pub event: Payload,
    /// As in [`Gather::filter`].
    pub filter: u32,
    /// How long it waits.
    pub until: Timestamp,
}

/// An event that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenEvent {
    /// As in [`ChannelEvent::EventPublished`].
    pub digest: i64,
    /// Until when it is remembered.
    pub until: Timestamp,
}

/// A row of the snapshot table: the folded prefix of one channel's events, with the place where it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSnapshot {
    /// Era of the key-group when it was taken (state protocol 2.6).
    pub era: u32,
    /// Changelog offset of the last entry that is in it.
    pub offset: Offset,
    /// The state.
    pub state: ChannelState,
}
