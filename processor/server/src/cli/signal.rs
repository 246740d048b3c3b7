//! `millrace signal ID --type TYPE`

use clap::Args;
use millrace_schemas::cloud_event::{signal_event, types};
use millrace_schemas::command::Answer;
use millrace_schemas::{EventId, InstanceId};

use crate::cli::data;
use crate::cli::outcome::{self, Waiting};
use crate::clients;
use crate::config::{Global, parse_instance};
use crate::exit::{Exit, Failure};
use crate::output::Output;

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
    if arguments.event_type.starts_with(types::PREFIX) && !KNOWN.contains(&arguments.event_type.as_str()) {
        let what = format!("{} is none of Millrace's types", arguments.event_type);
        let fix = format!("use a type of your own, or one of {}", KNOWN.join(", "));
        return Err(Failure::refused(what, fix).into());
    }
    let data = arguments.data.as_deref().map(|it| data::read("--data", it)).transpose()?;
    let new = clients::event_id();
    let event_id = EventId { source: arguments.source, id: arguments.event_id.unwrap_or(new.id) };
    let mut event = signal_event(event_id, &arguments.id, &arguments.event_type, data);
    for (name, value) in arguments.attribute {
        event = event.with_extension(&name, value);
    }
    let answer = match (arguments.waiting.wait, arguments.now) {
        (_, true) => Answer::AtOnce,
        (true, false) => Answer::Outcome,
        (false, false) => Answer::Refusal,
    };
    let text = format!("sent {} to {}", arguments.event_type, arguments.id);
    outcome::run(global, output, &arguments.id, event, answer, (arguments.waiting.timeout, text)).await
}

/// What the inbox understands besides signals.
const KNOWN: [&str; 11] = [
    types::START,
    types::CANCEL,
    types::SUSPEND,
    types::RESUME,
    types::RETRY,
    types::EDIT,
    types::SKIP,
    types::RESTART,
    types::TASK_COMPLETED,
    types::TASK_FAILED,
    types::TASK_HEARTBEAT,
];

/// CloudEvents 1.0, "Naming conventions": lower-case letters and digits.
pub(crate) fn parse_attribute(text: &str) -> Result<(String, String), String> {
    let is_legal = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit();
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && name.chars().all(is_legal) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write it as name=value, the name in lower-case letters and digits".to_owned()),
    }
}
