//! `millrace dead-letters`

use clap::{Args, Subcommand};
use millrace_schemas::Offset;
use serde::Serialize;

use crate::cli::user;
use crate::config::Global;
use crate::exit::Exit;
use crate::output::{Output, shorten, table};
use crate::requests::Fleet;
use crate::requests::dead_letters::{self, LetterView};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the newest dead letters
    List(ListArguments),
    /// Produce the record of a dead letter again to where it came from, when what was wrong is mended; the dead letter stays
    Redrive(RedriveArguments),
}

#[derive(Args, Debug)]
pub(crate) struct RedriveArguments {
    /// Where the dead letter stands, as the list says it
    #[arg(value_name = "PARTITION/OFFSET", value_parser = parse_place)]
    place: (i32, i64),

    /// For people: who [default: the name of the user]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ListArguments {
    /// At most so many, the newest last
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Serialize)]
struct Document {
    dead_letters: Vec<LetterView>,
}

pub(crate) async fn run(global: &Global, output: Output, command: &Command) -> anyhow::Result<Exit> {
    let fleet = Fleet::connect(global).await?;
    match command {
        Command::List(arguments) => list(&fleet, output, arguments).await,
        Command::Redrive(arguments) => redrive(&fleet, output, arguments).await,
    }
}

async fn list(fleet: &Fleet, output: Output, arguments: &ListArguments) -> anyhow::Result<Exit> {
    let read = dead_letters::page(fleet, None, arguments.limit as usize);
    let page = output.patiently("reading the dead letters", read).await?;
    let has_older = page.next.is_some();
    let document = Document { dead_letters: page.letters.into_iter().rev().collect() };
    output.show(&document, || text(&document.dead_letters, has_older))?;
    Ok(Exit::Success)
}

async fn redrive(fleet: &Fleet, output: Output, arguments: &RedriveArguments) -> anyhow::Result<Exit> {
    let by = arguments.by.clone().unwrap_or_else(user);
    let (partition, offset) = arguments.place;
    let sending = dead_letters::redrive(fleet, partition, Offset(offset), &by);
    let view = output.patiently("producing the record again", sending).await?;
    output
        .show(&view, || format!("produced to {}/{} at offset {}", view.topic, view.partition, view.offset))?;
    Ok(Exit::Success)
}

fn parse_place(text: &str) -> Result<(i32, i64), String> {
    let place = text.split_once('/').and_then(|(it, offset)| Some((it.parse().ok()?, offset.parse().ok()?)));
    place.ok_or_else(|| "write it as PARTITION/OFFSET, such as 0/17".to_owned())
}

fn text(letters: &[LetterView], has_older: bool) -> String {
    const DETAIL_CHARS_MAX: usize = 100;
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let row = |it: &LetterView| {
        vec![
            it.at.clone(),
            it.reason.clone(),
            format!("{}/{}", it.dead_letter_partition, it.dead_letter_offset),
            format!("{}/{}@{}", it.topic, it.partition, it.offset),
            shorten(it.key.as_deref().unwrap_or("-"), 40),
            shorten(&it.detail, DETAIL_CHARS_MAX),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    let mut text = table(&["AT", "REASON", "LETTER", "RECORD", "KEY", "DETAIL"], &rows);
    if has_older {
        text.push_str("older ones were left out: raise --limit\n");
    }
    text
}
