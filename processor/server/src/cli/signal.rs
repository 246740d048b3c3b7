//! `millrace signal ID --type TYPE`

use clap::Args;
use millrace_schemas::command::Answer;
use millrace_schemas::{EventId, InstanceId};

use crate::cli::asking::{self, Waiting};
use crate::cli::data;
use crate::clients;
use crate::config::{Global, parse_instance};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::requests::events::{Event, is_attribute_name};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The instance
    #[arg(value_parser = parse_instance)]
    id: InstanceId,

    /// CloudEvents type, such as shop.courier.delivered
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,

    /// CloudEvents source, a URI reference
    #[arg(long, value_name = "URI", default_value = clients::SOURCE)]
    source: String,

    /// Data: JSON, @file, or - for stdin
    #[arg(long, value_name = "JSON")]
    data: Option<String>,

    /// An extension attribute; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attribute: Vec<(String, String)>,

    /// CloudEvents id; an event that is sent again under the same source and id is a copy, and refused [default: a new UUID]
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,

    /// Refuse the event unless a `listen` takes it at once, instead of letting it wait for one
    #[arg(long, requires = "wait")]
    now: bool,

    #[command(flatten)]
    waiting: Waiting,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: Arguments) -> anyhow::Result<Exit> {
    let data = arguments.data.as_deref().map(|it| data::read("--data", it)).transpose()?;
    let new = clients::event_id();
    let event_id = EventId { source: arguments.source, id: arguments.event_id.unwrap_or(new.id) };
    let event =
        Event { event_id, event_type: arguments.event_type.clone(), data, attributes: arguments.attribute };
    let event = event.into_event_for(&arguments.id, true).map_err(|error| {
        Failure::refused("the event cannot be sent", "check its type and its attributes").because(error)
    })?;
    let answer = match (arguments.waiting.wait, arguments.now) {
        (_, true) => Answer::AtOnce,
        (true, false) => Answer::Outcome,
        (false, false) => Answer::Refusal,
    };
    let text = format!("sent {} to {}", arguments.event_type, arguments.id);
    asking::run(global, output, &arguments.id, event, answer, (arguments.waiting.timeout, text)).await
}

/// CloudEvents 1.0, "Naming conventions": lower-case letters and digits.
pub(crate) fn parse_attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if is_attribute_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value, the name in lower-case letters and digits".to_owned()),
    }
}
