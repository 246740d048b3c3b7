//! `millrace dead-letters list`

use bytes::Bytes;
use clap::{Args, Subcommand};
use millrace_schemas::dead_letter::{DeadLetter, original_headers};
use serde::Serialize;

use crate::clients::{Kafka, Record};
use crate::config::Global;
use crate::exit::Exit;
use crate::output::{Output, count, shorten, table};
use crate::view::time;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the newest dead letters
    List(ListArguments),
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

#[derive(Serialize)]
struct LetterView {
    at: String,
    reason: String,
    detail: String,
    /// Where the record was read.
    topic: String,
    partition: i32,
    offset: i64,
    /// The record's key, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The record's own headers, as text.
    headers: Vec<(String, String)>,
    /// The record's value, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Where the dead letter stands in the topic of dead letters.
    dead_letter_offset: i64,
}

pub(crate) async fn run(global: &Global, output: Output, command: &Command) -> anyhow::Result<Exit> {
    let Command::List(arguments) = command;
    let topic = global.topics().dead_letters();
    let kafka = Kafka::new(global);
    let read = async {
        let mut records = Vec::new();
        for partition in 0..i32::try_from(kafka.partitions(&topic).await?)? {
            records.extend(kafka.read(&topic, partition, None).await?);
        }
        anyhow::Ok(records)
    };
    let records = output.patiently("reading the dead letters", read).await?;
    let mut letters: Vec<_> = records.iter().filter_map(LetterView::new).collect();
    letters.sort_by(|a, b| a.at.cmp(&b.at));
    let surplus = letters.len().saturating_sub(arguments.limit as usize);
    let document = Document { dead_letters: letters.split_off(surplus) };
    output.show(&document, || text(&document.dead_letters, surplus))?;
    Ok(Exit::Success)
}

fn text(letters: &[LetterView], older: usize) -> String {
    const DETAIL_CHARS_MAX: usize = 100;
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let row = |it: &LetterView| {
        vec![
            it.at.clone(),
            it.reason.clone(),
            format!("{}/{}@{}", it.topic, it.partition, it.offset),
            shorten(it.key.as_deref().unwrap_or("-"), 40),
            shorten(&it.detail, DETAIL_CHARS_MAX),
        ]
    };
    let rows: Vec<_> = letters.iter().map(row).collect();
    let mut text = table(&["AT", "REASON", "RECORD", "KEY", "DETAIL"], &rows);
    if older > 0 {
        text.push_str(&format!("{} left out: raise --limit\n", count(older, "older one")));
    }
    text
}

impl LetterView {
    /// None for a record that no processor has written.
    fn new(record: &Record) -> Option<Self> {
        let letter = DeadLetter::parse(&record.headers).ok()?;
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let headers = original_headers(&record.headers).into_iter().map(|(name, value)| (name, text(&value)));
        Some(Self {
            at: time(letter.at),
            reason: letter.reason,
            detail: letter.detail,
            topic: letter.source.topic,
            partition: letter.source.partition,
            offset: letter.source.offset.0,
            key: record.key.as_ref().map(text),
            headers: headers.collect(),
            value: record.value.as_ref().map(text),
            dead_letter_offset: record.offset.0,
        })
    }
}
