//! `millrace cancel|suspend|resume|retry|edit|skip|restart ID`: they send a record, and wait for what comes of it if that is
//! wanted.

use clap::Args;
use millrace_schemas::InstanceId;
use millrace_schemas::cloud_event::CloudEvent;
use millrace_schemas::command::{Answer, Command};
use serde_json::Value;

use crate::cli::asking::{self, Waiting};
use crate::cli::{data, user};
use crate::clients::{self, ApiClient};
use crate::config::{Global, parse_instance};
use crate::exit::{Exit, Failure};
use crate::output::{Output, shorten};
use crate::reading::{self, RewindError};
use crate::requests::Fleet;
use crate::requests::commands;
use crate::requests::restart::Restart;
use crate::view::RewoundView;

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

#[derive(Args, Debug)]
pub(crate) struct CancelArguments {
    #[command(flatten)]
    common: Arguments,

    /// Undo first what it has done: run `compensate` of the tasks that have ended, the last one first
    #[arg(long)]
    compensate: bool,
}

/// What is recorded with what an operator changes.
#[derive(Args, Debug)]
pub(crate) struct Operator {
    #[command(flatten)]
    common: Arguments,

    /// For people: who [default: the name of the user]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct RetryArguments {
    #[command(flatten)]
    operator: Operator,

    /// The failed task, by its JSON pointer, such as /do/2/charge [default: all that have failed]
    #[arg(long, value_name = "TASK")]
    task: Option<String>,

    /// Another input than what has flowed to it: JSON, @file, or - for stdin
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct EditArguments {
    #[command(flatten)]
    operator: Operator,

    /// The task, by its JSON pointer, such as /do/2/charge
    #[arg(long, value_name = "TASK")]
    task: String,

    /// What it is given instead of what has flowed to it, before its `input.from`: JSON, @file, or - for stdin
    #[arg(long, value_name = "JSON")]
    input: String,
}

#[derive(Args, Debug)]
pub(crate) struct SkipArguments {
    #[command(flatten)]
    operator: Operator,

    /// The failed task, by its JSON pointer, such as /do/2/charge [default: the only one that has failed]
    #[arg(long, value_name = "TASK")]
    task: Option<String>,

    /// What it gives: JSON, @file, or - for stdin
    #[arg(long, value_name = "JSON")]
    task_output: String,
}

#[derive(Args, Debug)]
pub(crate) struct RestartArguments {
    #[command(flatten)]
    operator: Operator,

    /// The task from which on all runs again, by its JSON pointer, such as /do/2/charge
    #[arg(long, value_name = "TASK")]
    from: String,

    /// Another input than what flowed to it last time: JSON, @file, or - for stdin
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
}

/// What is asked of the instance.
#[derive(Debug)]
pub(crate) enum Verb {
    Cancel(CancelArguments),
    Suspend(Arguments),
    Resume(Arguments),
    Retry(RetryArguments),
    Edit(EditArguments),
    Skip(SkipArguments),
    Restart(RestartArguments),
}

pub(crate) async fn run(global: &Global, output: Output, verb: Verb) -> anyhow::Result<Exit> {
    let asked = match verb {
        Verb::Cancel(CancelArguments { common, compensate }) => {
            let what = if compensate { "undo what it has done, then to end" } else { "cancel" };
            let command = Command::Cancel { reason: common.reason.clone(), compensate };
            let text = format!("asked {id} to {what}; see: millrace get {id}", id = common.id);
            asked(common, &command, text)
        }
        Verb::Suspend(common) => {
            let text = format!("asked {id} to suspend; see: millrace get {id}", id = common.id);
            let command = Command::Suspend { reason: common.reason.clone() };
            asked(common, &command, text)
        }
        Verb::Resume(common) => {
            let text = format!("asked {id} to resume; see: millrace get {id}", id = common.id);
            let command = Command::Resume { reason: common.reason.clone() };
            asked(common, &command, text)
        }
        Verb::Retry(arguments) => retry(arguments)?,
        Verb::Edit(arguments) => edit(arguments)?,
        Verb::Skip(arguments) => skip(arguments)?,
        Verb::Restart(arguments) => restart(global, output, arguments).await?,
    };
    let Asked { id, waiting, event, text } = asked;
    let answer = if waiting.wait { Answer::Outcome } else { Answer::Refusal };
    asking::run(global, output, &id, event, answer, (waiting.timeout, text)).await
}

/// What is sent, and what is said about it.
struct Asked {
    id: InstanceId,
    waiting: Waiting,
    event: CloudEvent,
    text: String,
}

fn retry(arguments: RetryArguments) -> anyhow::Result<Asked> {
    let RetryArguments { operator, task, input } = arguments;
    let (common, by) = operator.taken();
    let (id, reason) = (&common.id, common.reason.clone());
    let input = input.as_deref().map(|it| data::read("--input", it)).transpose()?.map(Into::into);
    let what = task.as_ref().map_or_else(|| "what has failed".to_owned(), |it| format!("task {it}"));
    let with = if input.is_some() { ", with another input" } else { "" };
    let text = format!("asked {id} to begin {what} again{with}, and to go on; see: millrace get {id}");
    let command = Command::Retry { task: task.map(Into::into), input, by, reason };
    Ok(asked(common, &command, text))
}

fn edit(arguments: EditArguments) -> anyhow::Result<Asked> {
    let EditArguments { operator, task, input } = arguments;
    let (common, by) = operator.taken();
    let (id, reason) = (&common.id, common.reason.clone());
    let input = data::read("--input", &input)?.into();
    let text = format!(
        "asked {id} to give task {task} another input; it begins again when the instance goes on: millrace resume {id}"
    );
    Ok(asked(common, &Command::Edit { task: task.into(), input, by, reason }, text))
}

fn skip(arguments: SkipArguments) -> anyhow::Result<Asked> {
    let SkipArguments { operator, task, task_output } = arguments;
    let (common, by) = operator.taken();
    let (id, reason) = (&common.id, common.reason.clone());
    let output = data::read("--task-output", &task_output)?.into();
    let what = task.as_ref().map_or_else(|| "the failed task".to_owned(), |it| format!("task {it}"));
    let text = format!("asked {id} to leave {what} out, and to go on behind it; see: millrace get {id}");
    Ok(asked(common, &Command::Skip { task: task.map(Into::into), output, by, reason }, text))
}

/// What the engine does not keep is read from the history, and sent with the command.
async fn restart(global: &Global, output: Output, arguments: RestartArguments) -> anyhow::Result<Asked> {
    let RestartArguments { operator, from, input } = arguments;
    let (common, by) = operator.taken();
    let (id, reason) = (&common.id, common.reason.clone());
    let input = input.as_deref().map(|it| data::read("--input", it)).transpose()?.map(Into::into);
    let reading = output.patiently(&format!("reading the history of {id}"), rewound(global, id, &from)).await;
    let rewound = match reading {
        Ok(rewound) => Some(rewound),
        Err(error) if input.is_some() && is_not_found(&error) => {
            output
                .note(&format!("{error:#}; this works if the instance has not ended, and `$context` stays"));
            None
        }
        Err(error) => return Err(error),
    };
    let is_ended = rewound.as_ref().is_some_and(|it| it.ended.is_some());
    let restart = Restart { from: from.clone(), input, by, reason };
    let command = restart.command(id, rewound).map_err(|error| {
        let fix = format!("check the task in: millrace history {id}; or say by --input what flows to it");
        Failure::refused(error.to_string(), fix)
    })?;
    let input = if let Command::Restart { input, .. } = &command { input.value() } else { &Value::Null };
    let opened = if is_ended { ", though it has ended" } else { "" };
    let text = format!(
        "asked {id} to run again from task {from}{opened}, with {}; see: millrace get {id}",
        shorten(&input.to_string(), 80)
    );
    Ok(asked(common, &command, text))
}

async fn rewound(global: &Global, id: &InstanceId, task: &str) -> anyhow::Result<RewoundView> {
    if !global.names_store() {
        let asked = [("task", task.to_owned())];
        return ApiClient::new(global)?.get(&["v1", "instances", id.as_str(), "rewound"], &asked).await;
    }
    let (fleet, store) = (Fleet::connect(global).await?, clients::store(global).await?);
    let rewound = reading::rewound(&fleet, &store, id, task).await;
    Ok(rewound?.into())
}

/// Whether there is nothing to be read, rather than nobody who reads it.
fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<RewindError>().is_some()
        || error.downcast_ref::<Failure>().is_some_and(|it| it.exit == Exit::NotFound)
}

impl Operator {
    fn taken(self) -> (Arguments, String) {
        (self.common, self.by.unwrap_or_else(user))
    }
}

fn asked(common: Arguments, command: &Command, text: String) -> Asked {
    let Arguments { id, waiting, .. } = common;
    let event = commands::event(clients::event_id(), &id, command);
    Asked { id, waiting, event, text }
}
