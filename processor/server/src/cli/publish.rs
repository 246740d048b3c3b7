//! `millrace publish TYPE`

use clap::Args;
use serde::Serialize;

use crate::cli::{data, signal};
use crate::clients::{self, Kafka, Sent};
use crate::config::{Global, WorkflowReference};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::requests::events::{BusinessKey, Event};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// CloudEvents type, such as shop.order.paid
    event_type: String,

    /// Data: JSON, @file, or - for stdin
    #[arg(long, value_name = "JSON")]
    data: Option<String>,

    /// CloudEvents source, a URI reference
    #[arg(long, value_name = "URI", default_value = clients::SOURCE)]
    source: String,

    /// CloudEvents id: another event of the same source and id is a duplicate, and dropped [default: a random one]
    #[arg(long = "event-id", value_name = "ID")]
    event_id: Option<String>,

    /// Only for the instances of this workflow with --business-key
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "business_key")]
    workflow: Option<WorkflowReference>,

    /// Only for the instances of --workflow that are known by this key
    #[arg(long, value_name = "KEY", requires = "workflow")]
    business_key: Option<String>,

    /// An extension attribute; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = signal::parse_attribute)]
    attribute: Vec<(String, String)>,
}

/// What was sent.
#[derive(Debug, Serialize)]
struct Document {
    #[serde(flatten)]
    sent: Sent,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { event_type, data, source, event_id, workflow, business_key, attribute } = arguments;
    let data = data.as_deref().map(|it| data::read("--data", it)).transpose()?;
    let mut id = clients::event_id();
    id.source = source;
    if let Some(event_id) = event_id {
        id.id = event_id;
    }
    let known_by = workflow.zip(business_key);
    let known_by = known_by.map(|(it, key)| BusinessKey { workflow: it.workflow, key });
    let to = known_by.as_ref().map_or_else(
        || "whoever listens".to_owned(),
        |it| format!("the instances of {} that are known by {}", it.workflow, it.key),
    );
    let event = Event { event_id: id, event_type: event_type.clone(), data, attributes: attribute };
    let event = event.into_event_for_listeners(known_by).map_err(|error| {
        Failure::refused("the event cannot be sent", "check its type and its attributes; or: millrace signal")
            .because(error)
    })?;
    let sent = output.patiently("sending the event", Kafka::new(global).send_event(event)).await?;
    output.show(&Document { sent }, || format!("sent {event_type} to {to}"))?;
    Ok(Exit::Success)
}
