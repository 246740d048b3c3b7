//! The command line: one file a command. This file is the table of contents.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cli::control::Verb;
use crate::clients;
use crate::config::Global;
use crate::exit::{EXIT_CODES, Exit};
use crate::key_values::KeyValues;
use crate::logging::Speaker;
use crate::output::Output;

mod asking;
mod control;
mod ctk;
mod data;
mod dead_letters;
mod deploy;
mod describe;
mod dev;
mod doctor;
mod era;
mod get;
mod history;
mod list;
#[cfg(test)]
mod pages;
pub(crate) mod processor;
mod programs;
mod publish;
mod query;
mod schedule;
mod signal;
mod start;
pub(crate) mod topics;
mod worker;
mod worker_endpoint;

/// Runs event-sourced workflows on Kafka.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, about, after_help = EXIT_CODES, propagate_version = true)]
#[command(disable_help_subcommand = true, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process: broker, store, processor, built-in worker; for development
    Dev(Box<dev::Arguments>),
    /// Create the topics and the tables of a fleet
    #[command(subcommand)]
    Topics(topics::Command),
    /// Fetch what workflow definitions refer to, admit them and publish them to the fleet
    Deploy(deploy::Arguments),
    /// Print how a definition is understood
    Describe(describe::Arguments),
    /// Start an instance of a workflow
    Start(start::Arguments),
    /// Send an event to an instance
    Signal(signal::Arguments),
    /// Send an event to whoever listens for it
    Publish(publish::Arguments),
    /// End an instance: now, or after what it has done is undone
    Cancel(control::CancelArguments),
    /// Let an instance stand still
    Suspend(control::Arguments),
    /// Let an instance go on, after a suspension or an incident
    Resume(control::Arguments),
    /// Begin failed tasks again, of an instance that stands still with them
    Retry(control::RetryArguments),
    /// Give a task another input while its instance stands still
    Edit(control::EditArguments),
    /// Leave a failed task out, and say what it gives
    Skip(control::SkipArguments),
    /// Run an instance again from a task on, whether it has ended or not
    #[command(visible_alias = "replay")]
    Restart(control::RestartArguments),
    /// Show one instance
    Get(get::Arguments),
    /// Ask one instance by an expression, or by a query of its definition
    Query(query::Arguments),
    /// Show the instances of a workflow
    List(list::Arguments),
    /// Show what happened to one instance
    History(history::Arguments),
    /// Look at schedules, pause and trigger them
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Look at records that could not be read or admitted
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Let partitions begin again whose changelog was lost
    #[command(subcommand)]
    Era(era::Command),
    /// Check the servers, the topics and the fleet
    Doctor,
    /// Run one member of the fleet
    Processor(Box<processor::Arguments>),
    /// Run the built-in worker: calls by HTTP and OpenAPI of workflows
    Worker(worker::Arguments),
    /// Run one scenario of the language's conformance kit; without --bootstrap, in a `millrace dev` of its own
    Ctk(ctk::Arguments),
}

impl Cli {
    /// What was asked for. Ends the process if that cannot be meant.
    pub(crate) fn from_command_line() -> Self {
        let matches = Self::command().get_matches();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.global.kafka_environment = KeyValues::from_environment(std::env::vars_os())
            .unwrap_or_else(|error| Self::command().error(ErrorKind::InvalidValue, error).exit());
        cli.global.names_cluster = matches.value_source("bootstrap") != Some(ValueSource::DefaultValue);
        cli
    }

    /// Who will log.
    pub(crate) fn speaker(&self) -> Speaker {
        match self.command {
            Command::Processor(_) => Speaker::Processor,
            Command::Worker(_) => Speaker::Worker,
            Command::Dev(_) | Command::Ctk(_) => Speaker::Dev,
            _ => Speaker::Command,
        }
    }

    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let Self { global, command } = self;
        let output = Output::new(global.output);
        match command {
            Command::Dev(arguments) => Box::pin(dev::run(&global, output, &arguments)).await,
            Command::Topics(command) => Box::pin(topics::run(&global, output, &command)).await,
            Command::Deploy(arguments) => Box::pin(deploy::run(&global, output, &arguments)).await,
            Command::Describe(arguments) => Box::pin(describe::run(output, &arguments)).await,
            Command::Start(arguments) => Box::pin(start::run(&global, output, arguments)).await,
            Command::Signal(arguments) => Box::pin(signal::run(&global, output, arguments)).await,
            Command::Publish(arguments) => Box::pin(publish::run(&global, output, arguments)).await,
            Command::Cancel(it) => Box::pin(control::run(&global, output, Verb::Cancel(it))).await,
            Command::Suspend(it) => Box::pin(control::run(&global, output, Verb::Suspend(it))).await,
            Command::Resume(it) => Box::pin(control::run(&global, output, Verb::Resume(it))).await,
            Command::Retry(it) => Box::pin(control::run(&global, output, Verb::Retry(it))).await,
            Command::Edit(it) => Box::pin(control::run(&global, output, Verb::Edit(it))).await,
            Command::Skip(it) => Box::pin(control::run(&global, output, Verb::Skip(it))).await,
            Command::Restart(it) => Box::pin(control::run(&global, output, Verb::Restart(it))).await,
            Command::Get(arguments) => Box::pin(get::run(&global, output, &arguments)).await,
            Command::Query(arguments) => Box::pin(query::run(&global, output, &arguments)).await,
            Command::List(arguments) => Box::pin(list::run(&global, output, &arguments)).await,
            Command::History(arguments) => Box::pin(history::run(&global, output, &arguments)).await,
            Command::Schedule(command) => Box::pin(schedule::run(&global, output, command)).await,
            Command::DeadLetters(command) => Box::pin(dead_letters::run(&global, output, &command)).await,
            Command::Era(command) => Box::pin(era::run(&global, output, command)).await,
            Command::Doctor => Box::pin(doctor::run(&global, output)).await,
            Command::Processor(arguments) => Box::pin(processor::run(&global, output, &arguments)).await,
            Command::Worker(arguments) => Box::pin(worker::run(&global, output, &arguments)).await,
            Command::Ctk(arguments) => Box::pin(ctk::run(&global, output, &arguments)).await,
        }
    }
}

/// The name of whoever runs this.
fn user() -> String {
    let name = |variable| std::env::var(variable).ok().filter(|it| !it.is_empty());
    ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(name).unwrap_or_else(|| clients::SOURCE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
