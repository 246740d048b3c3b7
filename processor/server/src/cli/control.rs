//! `millrace cancel|suspend|resume ID`: they send a record and do not wait for what comes of it.

use clap::Args;
use millrace_schemas::InstanceId;
use millrace_schemas::cloud_event::{cancel_event, resume_event, suspend_event};
use serde::Serialize;

use crate::clients::{self, Kafka, Sent};
use crate::config::{Global, parse_instance};
use crate::exit::Exit;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The instance
    #[arg(value_parser = parse_instance)]
    id: InstanceId,

    /// For people: why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// What is asked of the instance.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Cancel,
    Suspend,
    Resume,
}

#[derive(Serialize)]
struct Document<'a> {
    id: &'a InstanceId,
    #[serde(flatten)]
    sent: &'a Sent,
}

pub(crate) async fn run(
    global: &Global,
    output: Output,
    verb: Verb,
    arguments: Arguments,
) -> anyhow::Result<Exit> {
    let Arguments { id, reason } = arguments;
    let (event, name) = match verb {
        Verb::Cancel => (cancel_event(clients::event_id(), &id, &reason), "cancel"),
        Verb::Suspend => (suspend_event(clients::event_id(), &id, &reason), "suspend"),
        Verb::Resume => (resume_event(clients::event_id(), &id, &reason), "resume"),
    };
    let sent = output.patiently("sending the event", Kafka::new(global).send_event(event)).await?;
    report(output, &id, &sent, &format!("asked {id} to {name}; see: millrace get {id}"))?;
    Ok(Exit::Success)
}

/// Says what was sent, and where it stands.
pub(crate) fn report(output: Output, id: &InstanceId, sent: &Sent, text: &str) -> anyhow::Result<()> {
    output.show(&Document { id, sent }, || text.to_owned())
}
