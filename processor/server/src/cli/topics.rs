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
    /// How many partitions a new fleet has: a power of two, up to 4096
    #[arg(long, default_value_t = 8)]
    partitions: u32,

    /// A queue that workers read; may be repeated (`deploy` creates those of its definitions)
    #[arg(long, value_name = "NAME", value_parser = parse_queue)]
    queue: Vec<String>,

    /// Leave the snapshot store alone
    #[arg(long)]
    no_store: bool,

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
    let specs = global
        .topics()
        .specs(arguments.partitions, &arguments.queue)
        .map_err(|error| Failure::refused(error.to_string(), "give --partitions 1, 2, 4, 8, …, 4096"))?;
    let kafka = Kafka::new(global);
    let mut views = output.patiently("comparing the topics", kafka.compare_topics(&specs)).await?;
    if is_applied {
        let missing = views.iter().zip(&specs).filter(|(view, _)| view.state == "missing");
        let missing: Vec<TopicSpec> = missing.map(|(_, spec)| spec.clone()).collect();
        output.patiently("creating the topics", kafka.create_topics(&missing)).await?;
        for view in views.iter_mut().filter(|it| it.state == "missing") {
            view.state = "created";
        }
        if !arguments.no_store {
            output.patiently("creating the tables", clients::create_store(global, &arguments.store)).await?;
        }
    }
    let store = if is_applied { "created" } else { "planned" };
    let store = (!arguments.no_store).then_some(store);
    let document = Document { topics: views, store, keyspace: global.keyspace() };
    output.show(&document, || document.text())?;
    Ok(Exit::Success)
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
            let differing = count(differing, "topic");
            text.push_str(&format!(
                "{differing} as above left as found: change it by Kafka's own tools if it is not meant\n"
            ));
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
