//! What became of one event for the inbox, as the lifecycle topic and the dead letters tell it. Only the partitions that the instance's
//! key goes to are read, from where they ended before the event was sent.

use std::time::Duration;

use clap::Args;
use millrace_placement::{Topics, home, key_group};
use millrace_schemas::cloud_event::{CloudEvent, InboxRecord, types, with_answer};
use millrace_schemas::codec::Codec;
use millrace_schemas::command::Answer;
use millrace_schemas::dead_letter::DeadLetter;
use millrace_schemas::{EventId, InstanceId};
use serde::Serialize;

use crate::clients::{self, Kafka, Record, Sent, Tail};
use crate::config::{Global, parse_duration};
use crate::exit::Exit;
use crate::output::Output;

/// `--wait`, `--timeout`
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Wait until the event is accepted or rejected, and say so
    #[arg(long)]
    pub(crate) wait: bool,

    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, requires = "wait")]
    pub(crate) timeout: Duration,
}

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

/// Sends an event and waits for what becomes of it.
pub(crate) async fn send(
    global: &Global,
    output: Output,
    id: &InstanceId,
    event: CloudEvent,
    answer: Answer,
    timeout: Duration,
) -> anyhow::Result<(Sent, Outcome)> {
    let (kafka, topics, cause) = (Kafka::new(global), global.topics(), event.event_id.clone());
    let begin = async {
        let codec = clients::codec(global).await?;
        // Before the event is sent, so that nothing of what follows is missed.
        let tail = kafka.tail_from_end(&sources(&kafka, &topics, id).await?).await?;
        anyhow::Ok((codec, tail))
    };
    let (codec, mut tail) = output.patiently("looking for the ends of the topics", begin).await?;
    let sent = kafka.send_event(with_answer(event, answer)).await?;
    let until_told = next(&mut tail, |record| told(record, &topics, &codec, &cause, &sent));
    let waiting = tokio::time::timeout(timeout, until_told);
    let outcome = output.patiently(&format!("waiting for the answer of {id}"), waiting).await;
    let outcome = outcome.unwrap_or(Ok(Outcome::TimedOut))?;
    if outcome == Outcome::TimedOut {
        output.note(&format!(
            "no answer within {} s. The event is in {}/{} at offset {}, and is decided as soon as its partition is served: see \
             millrace doctor, and what came of it by millrace get {id}",
            timeout.as_secs_f32(),
            topics.events(),
            sent.partition,
            sent.offset,
        ));
    }
    Ok((sent, outcome))
}

async fn next<T>(tail: &mut Tail, wanted: impl Fn(&Record) -> Option<T>) -> anyhow::Result<T> {
    loop {
        if let Some(found) = wanted(&tail.next().await?) {
            return Ok(found);
        }
    }
}

/// What a command that sends an event shows.
#[derive(Serialize)]
struct Document<'a> {
    id: &'a InstanceId,
    #[serde(flatten)]
    sent: &'a Sent,
    #[serde(flatten)]
    outcome: Option<&'a Outcome>,
}

/// Sends an event, and waits for what becomes of it if that is wanted; says what was sent, or what became of it. `text` is for people
/// who do not wait.
pub(crate) async fn run(
    global: &Global,
    output: Output,
    id: &InstanceId,
    event: CloudEvent,
    answer: Answer,
    (timeout, text): (Duration, String),
) -> anyhow::Result<Exit> {
    if answer == Answer::Refusal {
        let sent = output.patiently("sending the event", Kafka::new(global).send_event(event)).await?;
        output.show(&Document { id, sent: &sent, outcome: None }, || text)?;
        return Ok(Exit::Success);
    }
    let (sent, outcome) = send(global, output, id, event, answer, timeout).await?;
    output.show(&Document { id, sent: &sent, outcome: Some(&outcome) }, || outcome.text(id))?;
    Ok(outcome.exit())
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
