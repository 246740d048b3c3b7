//! What commands that send an event have in common: `--wait` and what is shown of it.

use std::time::Duration;

use clap::Args;
use millrace_schemas::InstanceId;
use millrace_schemas::cloud_event::CloudEvent;
use millrace_schemas::command::Answer;
use serde::Serialize;

use crate::clients::{Kafka, Sent};
use crate::config::{Global, parse_duration};
use crate::exit::Exit;
use crate::output::Output;
use crate::requests::Fleet;
use crate::requests::outcome::{Listening, Outcome};

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

/// What a command that sends an event shows.
#[derive(Serialize)]
struct Document<'a> {
    id: &'a InstanceId,
    #[serde(flatten)]
    sent: &'a Sent,
    #[serde(flatten)]
    outcome: Option<&'a Outcome>,
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
    let fleet = Fleet::connect(global).await?;
    let begin = Listening::begin(&fleet, id);
    let listening = output.patiently("looking for the ends of the topics", begin).await?;
    let asked = listening.send(event, answer).await?;
    let waiting = asked.outcome(timeout);
    let (sent, outcome) = output.patiently(&format!("waiting for the answer of {id}"), waiting).await?;
    if outcome == Outcome::TimedOut {
        output.note(&format!(
            "no answer within {} s. The event is in {}/{} at offset {}, and is decided as soon as its partition is served: see \
             millrace doctor, and what came of it by millrace get {id}",
            timeout.as_secs_f32(),
            fleet.topics().events(),
            sent.partition,
            sent.offset,
        ));
    }
    Ok((sent, outcome))
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
