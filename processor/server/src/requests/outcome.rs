//! What became of one event for the inbox, as the lifecycle topic and the dead letters tell it. Only the partitions that the instance's
//! key goes to are read, from where they ended before the event was sent.

use std::time::Duration;

use bytes::Bytes;
use millrace_placement::{Topics, home, key_group};
use millrace_schemas::cloud_event::{CloudEvent, InboxRecord, types, with_answer};
use millrace_schemas::codec::Codec;
use millrace_schemas::command::Answer;
use millrace_schemas::dead_letter::DeadLetter;
use millrace_schemas::{EventId, InstanceId};
use serde::Serialize;

use super::{Feed, Fleet};
use crate::clients::{Kafka, Record, Sent};
use crate::exit::Exit;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It was done, or will be: `outcome` is `done`, `taken`, `waits`, `deferred` or `dropped`.
    Accepted {
        outcome: String,
        /// JSON pointer of the `listen` that has taken it.
        #[serde(skip_serializing_if = "Option::is_none")]
        task: Option<String>,
        /// Of the instance, after it.
        instance_status: String,
    },
    /// It was refused, or is a dead letter.
    Rejected { reason: String, detail: String },
    /// Nothing was told in time.
    TimedOut,
}

impl Outcome {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Accepted { .. } => Exit::Success,
            Self::Rejected { .. } => Exit::Rejected,
            Self::TimedOut => Exit::Timeout,
        }
    }

    /// For people.
    pub(crate) fn text(&self, id: &InstanceId) -> String {
        match self {
            Self::Accepted { outcome, task, instance_status } => {
                let what = match (outcome.as_str(), task) {
                    ("taken", Some(task)) => format!("accepted: taken by {task}"),
                    ("waits", _) => "accepted: it waits for a `listen`".to_owned(),
                    ("deferred", _) => "accepted: it waits for the instance to be resumed".to_owned(),
                    ("dropped", _) => {
                        "the answer was dropped, since it was too large; the incident says more".to_owned()
                    }
                    _ => "accepted".to_owned(),
                };
                format!("{what}; {id} is {instance_status}")
            }
            Self::Rejected { reason, detail } => format!("rejected ({reason}): {detail}"),
            Self::TimedOut => "no answer".to_owned(),
        }
    }
}

/// Where records about an instance are: in the lifecycle topic and among the dead letters.
pub(crate) async fn sources(
    kafka: &Kafka,
    topics: &Topics,
    id: &InstanceId,
) -> anyhow::Result<Vec<(String, i32)>> {
    let mut sources = Vec::new();
    for topic in [topics.lifecycle(), topics.dead_letters()] {
        let partitions = kafka.partitions(&topic).await?;
        // A key-group tells the partition of its keys only where the number of partitions divides that of the key-groups.
        let theirs = match partitions.is_power_of_two() {
            true => {
                let one = home(key_group(id.as_str().as_bytes()), partitions).0;
                one..one + 1
            }
            false => 0..partitions,
        };
        sources.extend(
            theirs.map(|it| (topic.clone(), i32::try_from(it).expect("Kafka counts partitions in i32"))),
        );
    }
    Ok(sources)
}

/// What a record of these topics says about the event `cause`, which was sent as `sent`.
pub(crate) fn told(
    record: &Record,
    topics: &Topics,
    codec: &Codec,
    cause: &EventId,
    sent: &Sent,
) -> Option<Outcome> {
    if record.topic == topics.dead_letters() {
        let letter = DeadLetter::parse(&record.headers).ok()?;
        let is_ours = letter.source.topic == topics.events()
            && letter.source.partition == sent.partition
            && letter.source.offset.0 == sent.offset;
        // Whichever of the two topics is read first: one spelling.
        let reason = letter.reason.replace('-', "_");
        return is_ours.then_some(Outcome::Rejected { reason, detail: letter.detail });
    }
    let inbox = InboxRecord {
        key: record.key.as_deref(),
        headers: &record.headers,
        value: record.value.as_deref(),
        timestamp: record.timestamp,
    };
    outcome(CloudEvent::read(&inbox, codec).ok()?, cause)
}

fn outcome(event: CloudEvent, cause: &EventId) -> Option<Outcome> {
    let event_type = event.event_type.clone();
    let data = event.into_json()["data"].take();
    let is_ours = data["cause"]["source"] == *cause.source && data["cause"]["id"] == *cause.id;
    let text = |name: &str| data[name].as_str().map(str::to_owned);
    match event_type.as_str() {
        types::COMMAND_REJECTED if is_ours => Some(Outcome::Rejected {
            reason: text("reason").unwrap_or_default(),
            detail: text("detail").unwrap_or_default(),
        }),
        types::COMMAND_ACCEPTED if is_ours => Some(Outcome::Accepted {
            outcome: text("outcome").unwrap_or_default(),
            task: text("task"),
            instance_status: text("status").unwrap_or_default(),
        }),
        _ => None,
    }
}

/// What a follower of an instance asks for: its records have its id as their key.
pub(crate) fn key(id: &InstanceId) -> Bytes {
    Bytes::copy_from_slice(id.as_str().as_bytes())
}

/// Readers that stand where the topics ended when the watch began: nothing of what follows is missed.
#[derive(Debug)]
pub(crate) struct Listening<'f> {
    fleet: &'f Fleet,
    feed: Feed,
}

impl<'f> Listening<'f> {
    /// For what will be told about `id`.
    pub(crate) async fn begin(fleet: &'f Fleet, id: &InstanceId) -> anyhow::Result<Self> {
        let sources = sources(&fleet.kafka, fleet.topics(), id).await?;
        Ok(Self { fleet, feed: fleet.follow(sources, Some(key(id))).await? })
    }

    /// Sends the event.
    pub(crate) async fn send(self, event: CloudEvent, answer: Answer) -> anyhow::Result<Asked<'f>> {
        let Self { fleet, feed } = self;
        let cause = event.event_id.clone();
        let sent = fleet.kafka.send_event(with_answer(event, answer)).await?;
        Ok(Asked { fleet, feed, cause, sent })
    }
}

/// An event that was sent, and whose outcome will be told.
#[derive(Debug)]
pub(crate) struct Asked<'f> {
    fleet: &'f Fleet,
    feed: Feed,
    cause: EventId,
    pub(crate) sent: Sent,
}

impl Asked<'_> {
    /// Waits at most `timeout` for what becomes of it.
    pub(crate) async fn outcome(mut self, timeout: Duration) -> anyhow::Result<(Sent, Outcome)> {
        let deadline = tokio::time::Instant::now() + timeout;
        let (topics, codec) = (self.fleet.topics(), &self.fleet.codec);
        loop {
            let record = match tokio::time::timeout_at(deadline, self.feed.next()).await {
                Err(_) => return Ok((self.sent, Outcome::TimedOut)),
                Ok(record) => record?,
            };
            if let Some(outcome) = told(&record, topics, codec, &self.cause, &self.sent) {
                return Ok((self.sent, outcome));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::cloud_event::{acceptance_event, rejection_event};

    use super::*;

    fn event_id(id: &str) -> EventId {
        EventId { source: "/millrace/cli".to_owned(), id: id.to_owned() }
    }

    #[test]
    fn an_answer_is_ours_only_if_our_event_caused_it() {
        let id = InstanceId::new("order-17").expect("is legal");
        let rejected =
            || rejection_event(event_id("r"), &id, "start", &event_id("a"), "already_exists", "it runs");
        assert_eq!(outcome(rejected(), &event_id("b")), None);
        let ours = Outcome::Rejected { reason: "already_exists".to_owned(), detail: "it runs".to_owned() };
        assert_eq!(outcome(rejected(), &event_id("a")), Some(ours));
        let task = Some("/do/0/a");
        let accepted = || {
            acceptance_event(event_id("r"), &id, "deliver_signal", &event_id("a"), "taken", task, "running")
        };
        assert_eq!(outcome(accepted(), &event_id("b")), None);
        let ours = outcome(accepted(), &event_id("a")).expect("it is");
        assert_eq!(ours.text(&id), "accepted: taken by /do/0/a; order-17 is running");
        expect_test::expect![[
            r#"{"answer":"accepted","outcome":"taken","task":"/do/0/a","instance_status":"running"}"#
        ]]
        .assert_eq(&serde_json::to_string(&ours).expect("is plain data"));
        assert_eq!(outcome(CloudEvent::new(event_id("a"), "other"), &event_id("a")), None);
    }

    #[test]
    fn each_outcome_has_its_exit_code() {
        let accepted = |outcome: &str| Outcome::Accepted {
            outcome: outcome.to_owned(),
            task: None,
            instance_status: "running".to_owned(),
        };
        let rejected = Outcome::Rejected { reason: "duplicate".to_owned(), detail: String::new() };
        let codes = [(accepted("done"), 0), (accepted("waits"), 0), (rejected, 5), (Outcome::TimedOut, 6)];
        for (outcome, code) in codes {
            assert_eq!(outcome.exit().code(), code, "{outcome:?}");
        }
    }
}
