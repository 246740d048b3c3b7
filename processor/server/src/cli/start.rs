//! `millrace start WORKFLOW`

use std::time::Duration;

use clap::Args;
use millrace_schemas::InstanceId;
use millrace_schemas::cloud_event::start_event;
use millrace_schemas::command::Answer;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::{asking, data};
use crate::clients::{self, Sent};
use crate::config::{Global, WorkflowReference, parse_duration, parse_instance};
use crate::exit::Exit;
use crate::output::Output;
use crate::requests::Fleet;
use crate::requests::ending::{Ending, Watch};
use crate::requests::outcome::Outcome;
use crate::view::error_text;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// namespace/name, or namespace/name/version; without a version the newest one that is deployed
    workflow: WorkflowReference,

    /// Id of the instance; a start of an id that exists does nothing [default: a new UUID]
    #[arg(long, value_parser = parse_instance)]
    id: Option<InstanceId>,

    /// Input: JSON, @file, or - for stdin [default: {}]
    #[arg(long, value_name = "JSON")]
    input: Option<String>,

    /// Wait until the instance ends, and print its output
    #[arg(long, group = "until")]
    wait: bool,

    /// Wait until the start is accepted or rejected, and say so
    #[arg(long, group = "until")]
    accepted: bool,

    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration, requires = "until")]
    timeout: Duration,
}

#[derive(Serialize)]
struct Document<'a> {
    id: &'a InstanceId,
    workflow: String,
    #[serde(flatten)]
    sent: &'a Sent,
    #[serde(flatten)]
    ending: Option<&'a Ending>,
}

/// With `--accepted`.
#[derive(Serialize)]
struct Accepted<'a> {
    id: &'a InstanceId,
    workflow: String,
    #[serde(flatten)]
    sent: &'a Sent,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: Arguments) -> anyhow::Result<Exit> {
    let input = arguments.input.as_deref().map_or_else(|| Ok(json!({})), |it| data::read("--input", it))?;
    let id = arguments.id.map_or_else(new_id, Ok)?;
    let workflow = &arguments.workflow;
    let event = start_event(clients::event_id(), &id, &workflow.workflow, workflow.version.as_deref(), input);
    let cause = event.event_id.clone();
    let show = |sent: &Sent, ending: Option<&Ending>, text: &str| {
        output.show(&Document { id: &id, workflow: workflow.to_string(), sent, ending }, || text.to_owned())
    };
    if arguments.accepted {
        let timeout = arguments.timeout;
        let (sent, outcome) = asking::send(global, output, &id, event, Answer::Outcome, timeout).await?;
        let document = Accepted { id: &id, workflow: workflow.to_string(), sent: &sent, outcome: &outcome };
        output.show(&document, || outcome.text(&id))?;
        return Ok(outcome.exit());
    }
    let fleet = Fleet::connect(global).await?;
    if !arguments.wait {
        let sent = output.patiently("sending the event", fleet.kafka.send_event(event)).await?;
        show(&sent, None, id.as_str())?;
        return Ok(Exit::Success);
    }
    // Before the event is sent, so that nothing of what follows is missed.
    let watch = output.patiently("looking for the ends of the topics", Watch::begin(&fleet, &id)).await?;
    let sent = fleet.kafka.send_event(event).await?;
    output.note(&format!("started {id}"));
    let waiting = watch.until_the_end(&cause, &sent, arguments.timeout, |it| output.note(it));
    let ending = output.patiently(&format!("waiting for {id} to end"), waiting).await?;
    if let Ending::TimedOut { .. } = &ending {
        output.note(&format!("{id} has not ended yet; see: millrace get {id}"));
    }
    show(&sent, Some(&ending), &text(&ending))?;
    Ok(ending.exit())
}

/// What people see on stdout: the output itself, so that it can be piped on.
fn text(ending: &Ending) -> String {
    match ending {
        Ending::Completed { output } => pretty(output),
        Ending::Faulted { error } => format!("faulted: {}", error_text(error)),
        Ending::Cancelled { reason } if reason.is_empty() => "cancelled".to_owned(),
        Ending::Cancelled { reason } => format!("cancelled: {reason}"),
        Ending::Rejected { reason, detail } => format!("rejected ({reason}): {detail}"),
        Ending::TimedOut { incident: Some(detail) } => format!("waits for an operator, incident: {detail}"),
        Ending::TimedOut { incident: None } => "running".to_owned(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is JSON")
}

/// Ordered by time, which is kind to those who read lists of them.
fn new_id() -> anyhow::Result<InstanceId> {
    Ok(InstanceId::new(Uuid::now_v7().to_string())?)
}
