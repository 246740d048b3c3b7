//! The `millrace` binary: the command line, and a member of the fleet with its HTTP API.
//!
//! Reading order: [`cli`], one file a command; [`member`], a processor and its API; [`http`], what it answers; [`requests`], what both ask of the fleet;
//! [`reading`], how an instance is found from outside; [`clients`], connections; [`view`], how things look; [`traces`], spans; [`config`], [`output`], [`exit`], [`logging`].
//!
//! It decides nothing about workflows. It names neither rdkafka nor scylla.

mod bundling;
mod cli;
mod clients;
mod config;
mod exit;
mod http;
mod key_values;
mod logging;
mod member;
mod output;
mod reading;
mod requests;
mod traces;
mod view;

use std::process::ExitCode;

use crate::cli::Cli;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::traces::Traces;

/// Gives back what instances have left behind. Those that come and go leave holes, and glibc returns only what lies beyond the last
/// of them: 200,000 instances that had left memory kept 335 MB, of which 15 were in use (`malloc_stats`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let mut cli = Cli::from_command_line();
    logging::start(cli.global.log, cli.global.verbose, cli.speaker());
    let output = Output::new(cli.global.output);
    let traces = match Traces::start(&cli.global.traces_arguments, cli.speaker()) {
        Ok(traces) => traces,
        Err(failure) => return ended(&output, Err(failure.into())),
    };
    cli.global.traces = traces.clone();
    let ran = Box::pin(cli.run()).await;
    traces.end().await;
    ended(&output, ran)
}

fn ended(output: &Output, ran: anyhow::Result<Exit>) -> ExitCode {
    match ran {
        Ok(exit) => exit.into(),
        Err(error) => {
            let problem = Problem::of(&error);
            output.problem(&problem);
            ExitCode::from(problem.exit_code)
        }
    }
}
