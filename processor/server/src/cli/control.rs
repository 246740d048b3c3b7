//! `millrace cancel|suspend|resume ID`: they send a record, and wait for what comes of it if that is wanted.

use clap::Args;
use millrace_schemas::InstanceId;
use millrace_schemas::cloud_event::{cancel_event, resume_event, suspend_event};
use millrace_schemas::command::Answer;

use crate::cli::outcome::{self, Waiting};
use crate::clients;
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

    #[command(flatten)]
    waiting: Waiting,
}

/// What is asked of the instance.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Cancel,
    Suspend,
    Resume,
}

pub(crate) async fn run(
    global: &Global,
    output: Output,
    verb: Verb,
    arguments: Arguments,
) -> anyhow::Result<Exit> {
    let Arguments { id, reason, waiting } = arguments;
    let (event, name) = match verb {
        Verb::Cancel => (cancel_event(clients::event_id(), &id, &reason), "cancel"),
        Verb::Suspend => (suspend_event(clients::event_id(), &id, &reason), "suspend"),
        Verb::Resume => (resume_event(clients::event_id(), &id, &reason), "resume"),
    };
    let answer = if waiting.wait { Answer::Outcome } else { Answer::Refusal };
    let text = format!("asked {id} to {name}; see: millrace get {id}");
    outcome::run(global, output, &id, event, answer, (waiting.timeout, text)).await
}
