//! What a key of the log can be.

use millrace_schemas::channel::{ChannelEntry, ChannelSnapshot};
use millrace_schemas::event::ChangelogEntry;
use millrace_schemas::schedule::{ScheduleEntry, ScheduleSnapshot};
use millrace_schemas::snapshot::Snapshot;
use millrace_schemas::{InstanceId, TimerId, Timestamp};

use crate::{Channel, Corrupt, Instance, Schedule};

/// One key of the log, and what it stands for: the id tells. A partition restores, caches, flushes and shows all of them alike.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all keys are instances: a box would cost each of them an allocation"
)]
pub enum Entity {
    /// A run of a workflow.
    Instance(Instance),
    /// Where events meet those who listen.
    Channel(Channel),
    /// What starts instances by the clock.
    Schedule(Schedule),
}

/// An entry of the changelog.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityEntry {
    /// Of an instance.
    Instance(ChangelogEntry),
    /// Of a channel.
    Channel(ChannelEntry),
    /// Of a schedule.
    Schedule(ScheduleEntry),
}

impl EntityEntry {
    /// When it was decided.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Instance(it) => it.at,
            Self::Channel(it) => it.at,
            Self::Schedule(it) => it.at,
        }
    }
}

impl Entity {
    /// An id that nothing is known of.
    #[must_use]
    pub fn absent(id: InstanceId) -> Self {
        if id.is_channel() {
            Self::Channel(Channel::absent(id))
        } else if id.is_schedule() {
            Self::Schedule(Schedule::absent(id))
        } else {
            Self::Instance(Instance::absent(id))
        }
    }

    /// From a row of the snapshot table.
    #[must_use]
    pub fn of_snapshot(id: InstanceId, snapshot: Snapshot) -> Self {
        Self::Instance(Instance::from_state(id, snapshot.state))
    }

    /// From a row of the snapshot table.
    #[must_use]
    pub fn of_channel_snapshot(id: InstanceId, snapshot: ChannelSnapshot) -> Self {
        Self::Channel(Channel::from_state(id, snapshot.state))
    }

    /// From a row of the snapshot table.
    #[must_use]
    pub fn of_schedule_snapshot(id: InstanceId, snapshot: ScheduleSnapshot) -> Self {
        Self::Schedule(Schedule::from_state(id, snapshot.state))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        match self {
            Self::Instance(it) => it.id(),
            Self::Channel(it) => it.id(),
            Self::Schedule(it) => it.id(),
        }
    }

    /// As an instance, if it is one.
    #[must_use]
    pub fn as_instance(&self) -> Option<&Instance> {
        match self {
            Self::Instance(it) => Some(it),
            Self::Channel(_) | Self::Schedule(_) => None,
        }
    }

    /// As an instance, if it is one.
    #[must_use]
    pub fn into_instance(self) -> Option<Instance> {
        match self {
            Self::Instance(it) => Some(it),
            Self::Channel(_) | Self::Schedule(_) => None,
        }
    }

    /// As a channel, if it is one.
    #[must_use]
    pub fn into_channel(self) -> Option<Channel> {
        match self {
            Self::Instance(_) | Self::Schedule(_) => None,
            Self::Channel(it) => Some(it),
        }
    }

    /// As a schedule, if it is one.
    #[must_use]
    pub fn into_schedule(self) -> Option<Schedule> {
        match self {
            Self::Instance(_) | Self::Channel(_) => None,
            Self::Schedule(it) => Some(it),
        }
    }

    /// Its pending timers, and when each is due.
    pub fn timers(&self) -> impl Iterator<Item = (TimerId, Timestamp)> {
        let (timers, next) = match self {
            Self::Instance(it) => (it.state().map(|it| &it.timers), None),
            Self::Channel(_) => (None, None),
            Self::Schedule(it) => (None, it.timers().next()),
        };
        timers.into_iter().flatten().map(|(id, it)| (*id, it.due)).chain(next)
    }

    /// Whether it need not be kept in memory once it is durable: nothing goes on in it.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        match self {
            Self::Instance(it) => it.state().is_some_and(|it| it.status.is_terminal()),
            Self::Channel(it) => it.needed_until().is_some(),
            Self::Schedule(_) => false,
        }
    }

    /// Folds a whole entry of the changelog.
    ///
    /// # Errors
    /// When it cannot follow the state, or is of another kind. The entity is then of no use: part of the entry may be in it.
    pub fn apply_entry(&mut self, entry: &EntityEntry) -> Result<(), Corrupt> {
        match (self, entry) {
            (Self::Instance(instance), EntityEntry::Instance(entry)) => instance.apply_entry(entry),
            (Self::Channel(channel), EntityEntry::Channel(entry)) => {
                channel.apply_entry(entry);
                Ok(())
            }
            (Self::Schedule(schedule), EntityEntry::Schedule(entry)) => schedule.apply_entry(entry),
            (it, EntityEntry::Instance(_) | EntityEntry::Channel(_) | EntityEntry::Schedule(_)) => {
                Err(Corrupt {
                    instance: it.id().clone(),
                    event: "entry".to_owned(),
                    detail: "it is of another kind than its key says".to_owned(),
                })
            }
        }
    }

    /// Approximate memory, in bytes. Cheap: nothing is counted anew.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Instance(it) => it.size_bytes(),
            Self::Channel(it) => it.size_bytes(),
            Self::Schedule(it) => it.size_bytes(),
        }
    }
}
