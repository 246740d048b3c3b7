//! Follows an instance from the moment it is started until it ends: the changelog says how it goes, the lifecycle topic and the
//! dead letters say that the start was refused. Neither a processor's API nor the store is asked.

use std::time::Duration;

use millrace_placement::Topics;
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::event::{Event, TaskError};
use millrace_schemas::{EventId, InstanceId};
use serde::Serialize;
use serde_json::Value;

use super::outcome::{self, Outcome};
use super::{Feed, Fleet};
use crate::clients::{self, Record, Sent};
use crate::exit::Exit;
use crate::reading::home_of;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum Ending {
    /// Well.
    Completed { output: Value },
    /// With an error.
    Faulted { error: TaskError },
    /// From outside.
    Cancelled { reason: String },
    /// It did not start: the start was refused, or cannot be read or admitted.
    Rejected { reason: String, detail: String },
    /// Not at all, in this time. `incident` says what it stands still for, if it does.
    TimedOut {
        #[serde(skip_serializing_if = "Option::is_none")]
        incident: Option<String>,
    },
}

impl Ending {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Completed { .. } => Exit::Success,
            Self::Faulted { .. } => Exit::Faulted,
            Self::Cancelled { .. } => Exit::Cancelled,
            Self::Rejected { .. } => Exit::Rejected,
            Self::TimedOut { .. } => Exit::Timeout,
        }
    }
}

/// Readers that stand where the topics ended when the watch began.
pub(crate) struct Watch {
    id: InstanceId,
    topics: Topics,
    codec: Codec,
    feed: Feed,
}

impl Watch {
    pub(crate) async fn begin(fleet: &Fleet, id: &InstanceId) -> anyhow::Result<Self> {
        let topics = fleet.topics().clone();
        let home = home_of(id, fleet.kafka.partitions(&topics.changelog()).await?);
        let mut sources = vec![(topics.changelog(), i32::try_from(home.0)?)];
        sources.extend(outcome::sources(&fleet.kafka, &topics, id).await?);
        let feed = fleet.follow(sources, Some(outcome::key(id))).await?;
        Ok(Self { id: id.clone(), topics, codec: fleet.codec.clone(), feed })
    }

    /// Waits at most `timeout` for the end of what the event `cause`, sent as `sent`, has started. Standstills meanwhile are `told`.
    pub(crate) async fn until_the_end(
        mut self,
        cause: &EventId,
        sent: &Sent,
        timeout: Duration,
        told: impl Fn(&str),
    ) -> anyhow::Result<Ending> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut incident = None;
        loop {
            let record = match tokio::time::timeout_at(deadline, self.feed.next()).await {
                Err(_) => return Ok(Ending::TimedOut { incident }),
                Ok(record) => record?,
            };
            if record.topic == self.topics.changelog() {
                for event in self.events(&record)? {
                    match event {
                        Event::IncidentRaised { incident: it } => {
                            told(&format!("{} stands still: {}: {}", self.id, it.kind, it.detail));
                            incident = Some(format!("{}: {}", it.kind, it.detail));
                        }
                        Event::InstanceResumed { .. } => incident = None,
                        other => {
                            if let Some(ending) = ending(other) {
                                return Ok(ending);
                            }
                        }
                    }
                }
            } else if let Some(Outcome::Rejected { reason, detail }) =
                outcome::told(&record, &self.topics, &self.codec, cause, sent)
            {
                return Ok(Ending::Rejected { reason, detail });
            }
        }
    }

    /// What a record of the changelog says about our instance.
    fn events(&self, record: &Record) -> anyhow::Result<Vec<Event>> {
        let (Some(key), Some(value)) = (&record.key, &record.value) else { return Ok(Vec::new()) };
        if key != self.id.as_str().as_bytes() {
            return Ok(Vec::new());
        }
        match self.codec.decode_changelog(value) {
            Ok(ChangelogRecord::Entry(entry)) => Ok(entry.events),
            Ok(
                ChangelogRecord::Positions(_)
                | ChangelogRecord::Claim(_)
                | ChangelogRecord::Adopted(_)
                | ChangelogRecord::Released(_)
                | ChangelogRecord::Installed(_)
                | ChangelogRecord::Channel(_)
                | ChangelogRecord::Schedule(_),
            ) => Ok(Vec::new()),
            Err(error) => Err(clients::undecodable(record, error).into()),
        }
    }
}

fn ending(event: Event) -> Option<Ending> {
    match event {
        Event::InstanceCompleted { output } => Some(Ending::Completed { output: output.value().clone() }),
        Event::InstanceFaulted { error } => Some(Ending::Faulted { error }),
        Event::InstanceCancelled { reason } => Some(Ending::Cancelled { reason }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_has_its_exit_code() {
        let codes = [
            (Ending::Completed { output: Value::Null }, 0),
            (Ending::Cancelled { reason: String::new() }, 4),
            (Ending::Rejected { reason: String::new(), detail: String::new() }, 5),
            (Ending::TimedOut { incident: None }, 6),
        ];
        for (ending, code) in codes {
            assert_eq!(ending.exit().code(), code, "{ending:?}");
        }
    }
}
