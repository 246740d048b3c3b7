//! `cargo xtask …`: one name for each check of this repository. Each prints its verdict as the last line and exits with 0 only
//! when it holds.
//!
//! Reading order: [`cli`], the checks; [`ci`], [`orders`], [`ctk`], [`faults`], [`fuzz`], [`api_fuzz`], [`dev_kill`], [`console`], [`dashboards`], [`bench`], [`operations`], [`quickstart`], [`setup`], what each does;
//! [`fleet`], processors with their topics on servers; [`cluster`], those servers; [`dev`], all of it in one process; [`processes`] and
//! [`steps`], what all of them run; [`report`] and [`page`], what is printed and what is kept.
//!
//! It knows the programs it starts by their command lines only, and ends no process that it did not start.

mod api_fuzz;
mod bench;
mod ci;
mod cli;
mod cluster;
mod console;
mod ctk;
mod dashboards;
mod dev;
mod dev_kill;
mod faults;
mod fleet;
mod fuzz;
mod http_client;
mod instructions;
mod operations;
mod orders;
mod page;
mod processes;
mod quickstart;
mod report;
mod setup;
mod sim;
mod steps;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
