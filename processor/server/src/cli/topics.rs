//! `millrace topics plan|apply`: the topics and the tables of a fleet.

use clap::{Args, Subcommand};
use millrace_placement::TopicSpec;
use serde::Serialize;

use crate::clients::{self, Kafka, TopicView};
use crate::config::Global;
use crate::exit::{Exit, Failure};
use crate::output::{Output, count, table};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what `apply` would do
    Plan(Arguments),
    /// Create what is missing; leave what exists as it is
    Apply(Arguments),
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// How many partitions the fleet has: a power of two, up to 4096 [default: as it has, 8 for a new one]
    #[arg(long)]
    partitions: Option<u32>,

    /// A queue that workers read; may be repeated (`deploy` creates those of its definitions)
    #[arg(long, value_name = "NAME", value_parser = parse_queue)]
    queue: Vec<String>,

    /// Leave the snapshot store alone
    #[arg(long)]
    no_store: bool,

    #[command(flatten)]
    patience: clients::Patience,

    #[command(flatten)]
    store: clients::StoreSettings,
}

#[derive(Serialize)]
struct Document {
    topics: Vec<TopicView>,
    /// `created`, `planned`, or absent with --no-store. Tables that exist are left as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'static str>,
    keyspace: String,
}

pub(crate) async fn run(global: &Global, output: Output, command: &Command) -> anyhow::Result<Exit> {
    let (Command::Plan(arguments) | Command::Apply(arguments)) = command;
    let is_applied = matches!(command, Command::Apply(_));
    let specs = |partitions| {
        let specs = global.topics().specs(partitions, &arguments.queue);
        specs.map_err(|error| Failure::refused(error.to_string(), "give --partitions 1, 2, 4, 8, …, 4096"))
    };
    // Checked before any server is asked.
    let wanted = arguments.partitions.map(|it| specs(it).map(|_| it)).transpose()?;
    let kafka = Kafka::new(global);
    let internal = global.topics().internal();
    let waiting = arguments.patience.begin(output);
    let found = async || kafka.partitions_if_any(&internal).await;
    let found = waiting.until("looking for the fleet", found).await?;
    let specs = specs(partitions(wanted, found, NEW)?)?;
    let mut views = output.patiently("comparing the topics", kafka.compare_topics(&specs)).await?;
    if is_applied {
        let missing = views.iter().zip(&specs).filter(|(view, _)| view.state == "missing");
        let missing: Vec<TopicSpec> = missing.map(|(_, spec)| spec.clone()).collect();
        output.patiently("creating the topics", kafka.create_topics(&missing)).await?;
        for view in views.iter_mut().filter(|it| it.state == "missing") {
            view.state = "created";
        }
        if !arguments.no_store {
            let create = async || clients::create_store(global, &arguments.store).await;
            waiting.until("creating the tables", create).await?;
        }
    }
    let store = if is_applied { "created" } else { "planned" };
    let store = (!arguments.no_store).then_some(store);
    let document = Document { topics: views, store, keyspace: global.keyspace() };
    output.show(&document, || document.text())?;
    Ok(Exit::Success)
}

/// Creates what a fleet lacks, and answers its partition count: one that exists keeps its own, a new one has `new` unless `wanted`.
pub(crate) async fn ensure(
    global: &Global,
    kafka: &Kafka,
    wanted: Option<u32>,
    new: u32,
) -> anyhow::Result<u32> {
    let found = kafka.partitions_if_any(&global.topics().internal()).await?;
    let partitions = partitions(wanted, found, new)?;
    let specs = global.topics().specs(partitions, &[]);
    let specs = specs
        .map_err(|error| Failure::refused(error.to_string(), "give --partitions 1, 2, 4, 8, …, 4096"))?;
    kafka.create_topics(&specs).await?;
    Ok(partitions)
}

/// What to do about a topic that differs. Nobody should add partitions to `.events` and the like without Millrace.
pub(crate) const DIFFERENCES: &str =
    "change settings by Kafka's own tools if they are not meant, but never a partition count";

/// Partitions of a new fleet, unless it is said how many.
const NEW: u32 = 8;

/// A fleet's count is never changed here: a key would find itself at a partition that does not know it.
fn partitions(wanted: Option<u32>, found: Option<u32>, new: u32) -> Result<u32, Failure> {
    match (wanted, found) {
        (Some(wanted), Some(found)) if wanted != found => {
            let what = format!("this fleet has {found} partitions, not {wanted}");
            Err(Failure::refused(
                what,
                format!("give --partitions {found}, or another --prefix for another fleet"),
            ))
        }
        (wanted, found) => Ok(wanted.or(found).unwrap_or(new)),
    }
}

impl Document {
    fn text(&self) -> String {
        let row = |it: &TopicView| {
            vec![
                it.topic.clone(),
                it.partitions.to_string(),
                it.state.replace('_', " "),
                it.differences.join("; "),
            ]
        };
        let rows: Vec<_> = self.topics.iter().map(row).collect();
        let mut text = table(&["TOPIC", "PARTITIONS", "STATE", "DIFFERENCES"], &rows);
        match self.store {
            Some("created") => text.push_str(&format!("keyspace {} has its tables\n", self.keyspace)),
            Some(_) => {
                text.push_str(&format!("keyspace {} would get the tables that it lacks\n", self.keyspace))
            }
            None => {}
        }
        let differing = self.topics.iter().filter(|it| it.state == "differs").count();
        if differing > 0 {
            text.push_str(&format!("{} left as found: {DIFFERENCES}\n", count(differing, "topic")));
        }
        text
    }
}

fn parse_queue(text: &str) -> Result<String, String> {
    let is_legal = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    if text.is_empty() || text.len() > 80 || !text.chars().all(is_legal) {
        return Err("a queue has 1 to 80 letters, digits, dots, underscores and hyphens".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_keeps_its_partition_count() {
        assert_eq!(partitions(None, None, NEW).ok(), Some(8));
        assert_eq!(partitions(None, Some(4), NEW).ok(), Some(4));
        assert_eq!(partitions(Some(4), Some(4), NEW).ok(), Some(4));
        let refused = partitions(Some(8), Some(4), NEW).expect_err("another count");
        assert_eq!(
            (refused.exit, refused.what.as_str()),
            (Exit::Refused, "this fleet has 4 partitions, not 8")
        );
    }
}
