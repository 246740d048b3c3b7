//! Follows an instance from the moment it is started until it ends: the changelog says how it goes, the lifecycle topic and the
//! dead letters say that the start was refused. Neither a processor's API nor the store is asked.

use std::time::Duration;

use millrace_placement::{Topics, home, key_group};
use millrace_schemas::cloud_event::{CloudEvent, InboxRecord, types};
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::dead_letter::DeadLetter;
use millrace_schemas::event::{Event, TaskError};
use millrace_schemas::{EventId, InstanceId};
use serde::Serialize;
use serde_json::Value;

use crate::clients::{self, Kafka, Record, Sent, Tail};
use crate::config::Global;
use crate::exit::Exit;
use crate::output::Output;

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
    tail: Tail,
}

impl Watch {
    pub(crate) async fn begin(global: &Global, kafka: &Kafka, id: &InstanceId) -> anyhow::Result<Self> {
        let topics = global.topics();
        let codec = clients::codec(global).await?;
        let partitions = kafka.partitions(&topics.changelog()).await?;
        let home = i32::try_from(home(key_group(id.as_str().as_bytes()), partitions).0)?;
        let mut sources = vec![(topics.changelog(), home)];
        for topic in [topics.lifecycle(), topics.dead_letters()] {
            let partitions = i32::try_from(kafka.partitions(&topic).await?)?;
            sources.extend((0..partitions).map(|partition| (topic.clone(), partition)));
        }
        let tail = kafka.tail_from_end(&sources).await?;
        Ok(Self { id: id.clone(), topics, codec, tail })
    }

    /// Waits at most `timeout` for the end of what the event `cause`, sent as `sent`, has started.
    pub(crate) async fn until_the_end(
        mut self,
        output: Output,
        cause: &EventId,
        sent: &Sent,
        timeout: Duration,
    ) -> anyhow::Result<Ending> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut incident = None;
        loop {
            let record = match tokio::time::timeout_at(deadline, self.tail.next()).await {
                Err(_) => return Ok(Ending::TimedOut { incident }),
                Ok(record) => record?,
            };
            if record.topic == self.topics.changelog() {
                for event in self.events(&record)? {
                    match event {
                        Event::IncidentRaised { incident: it } => {
                            output.note(&format!("{} stands still: {}: {}", self.id, it.kind, it.detail));
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
            } else if let Some(ending) = self.refusal(&record, cause, sent) {
                return Ok(ending);
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

    /// Whether a record of the lifecycle topic or of the dead letters is about our event.
    fn refusal(&self, record: &Record, cause: &EventId, sent: &Sent) -> Option<Ending> {
        if record.topic == self.topics.dead_letters() {
            let letter = DeadLetter::parse(&record.headers).ok()?;
            let is_ours = letter.source.topic == self.topics.events()
                && letter.source.partition == sent.partition
                && letter.source.offset.0 == sent.offset;
            return is_ours.then(|| Ending::Rejected { reason: letter.reason, detail: letter.detail });
        }
        let inbox = InboxRecord {
            key: record.key.as_deref(),
            headers: &record.headers,
            value: record.value.as_deref(),
            timestamp: record.timestamp,
        };
        let event = CloudEvent::read(&inbox, &self.codec).ok()?;
        if event.event_type != types::COMMAND_REJECTED {
            return None;
        }
        rejection(&event.into_json(), cause)
    }
}

fn rejection(event: &Value, cause: &EventId) -> Option<Ending> {
    let data = &event["data"];
    let is_ours = data["cause"]["source"] == *cause.source && data["cause"]["id"] == *cause.id;
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    is_ours.then(|| Ending::Rejected { reason: text("reason"), detail: text("detail") })
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
    use millrace_schemas::cloud_event::rejection_event;

    use super::*;

    #[test]
    fn a_rejection_is_ours_only_if_our_event_caused_it() {
        let event_id = |id: &str| EventId { source: "/millrace/cli".to_owned(), id: id.to_owned() };
        let id = InstanceId::new("order-17").expect("is legal");
        let event = rejection_event(event_id("r"), &id, "start", &event_id("a"), "already_exists", "it runs")
            .into_json();
        assert_eq!(rejection(&event, &event_id("b")), None);
        let ours = Ending::Rejected { reason: "already_exists".to_owned(), detail: "it runs".to_owned() };
        assert_eq!(rejection(&event, &event_id("a")), Some(ours));
    }

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
