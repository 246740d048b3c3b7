//! `millrace schedule`: what starts instances by the clock.

use clap::{Args, Subcommand};
use millrace_schemas::WorkflowName;
use millrace_schemas::command::Answer;
use millrace_schemas::schedule::schedule_id;

use crate::cli::asking::{self, Waiting};
use crate::clients::{self, ApiClient};
use crate::config::{Global, parse_workflow};
use crate::exit::Exit;
use crate::output::Output;
use crate::requests::commands::ScheduleCommand;
use crate::view::{ScheduleView, SchedulesView};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show all schedules, with their next and their last start; asks the processor that --api names
    List,
    /// Show one schedule; asks the processor that --api names
    Show(Which),
    /// Start nothing by the clock until it is resumed; what comes meanwhile is not made up for
    Pause(WhichAndWhy),
    /// Let a schedule go on
    Resume(WhichAndWhy),
    /// Start an instance now, also of a schedule that is paused
    Trigger(Trigger),
}

#[derive(Args, Debug)]
pub(crate) struct Which {
    /// namespace/name of the workflow
    #[arg(value_parser = parse_workflow)]
    workflow: WorkflowName,
}

#[derive(Args, Debug)]
pub(crate) struct WhichAndWhy {
    /// namespace/name of the workflow
    #[arg(value_parser = parse_workflow)]
    workflow: WorkflowName,

    /// For people: why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,

    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Args, Debug)]
pub(crate) struct Trigger {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    waiting: Waiting,
}

pub(crate) async fn run(global: &Global, output: Output, command: Command) -> anyhow::Result<Exit> {
    let (workflow, command, waiting, done) = match command {
        Command::List => return list(global, output).await,
        Command::Show(Which { workflow }) => return show(global, output, &workflow).await,
        Command::Pause(WhichAndWhy { workflow, reason, waiting }) => {
            (workflow, ScheduleCommand::Pause { reason }, waiting, "to pause")
        }
        Command::Resume(WhichAndWhy { workflow, reason, waiting }) => {
            (workflow, ScheduleCommand::Resume { reason }, waiting, "to resume")
        }
        Command::Trigger(Trigger { which: Which { workflow }, waiting }) => {
            (workflow, ScheduleCommand::Trigger, waiting, "to start an instance")
        }
    };
    let answer = if waiting.wait { Answer::Outcome } else { Answer::Refusal };
    let text = format!("asked the schedule of {workflow} {done}; see: millrace schedule show {workflow}");
    let event = command.event(clients::event_id(), &workflow);
    asking::run(global, output, &schedule_id(&workflow), event, answer, (waiting.timeout, text)).await
}

async fn list(global: &Global, output: Output) -> anyhow::Result<Exit> {
    let view: SchedulesView =
        output.patiently("listing", ApiClient::new(global)?.get(&["v1", "schedules"], &[])).await?;
    for schedule in &view.schedules {
        if let Some(note) = &schedule.note {
            output.note(&format!("note: {}: {note}", schedule.workflow));
        }
    }
    output.show(&view, || view.text())?;
    Ok(Exit::Success)
}

async fn show(global: &Global, output: Output, workflow: &WorkflowName) -> anyhow::Result<Exit> {
    let path = ["v1", "schedules", &workflow.namespace, &workflow.name];
    let client = ApiClient::new(global)?;
    let doing = format!("looking for the schedule of {workflow}");
    let view: ScheduleView = output.patiently(&doing, client.get(&path, &[])).await?;
    if let Some(note) = &view.note {
        output.note(&format!("note: {note}"));
    }
    output.show(&view, || view.text())?;
    Ok(Exit::Success)
}
