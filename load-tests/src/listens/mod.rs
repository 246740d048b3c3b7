//! Correlation: instances that each listen for one event, and events that find them by a value, not by an id. Opens many, or publishes
//! events to some of those that are open, and measures. A harness measures around that what a fleet pays for an event, by how many listen.

mod open;
mod publish;

use std::path::PathBuf;

use anyhow::ensure;
use millrace_placement::Topics;

/// The type of the events.
const EVENT_TYPE: &str = "load.listens.paid";

/// Opens listens, or publishes events for them.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// The fleet's topic prefix.
    #[arg(long, default_value = Topics::DEFAULT_PREFIX)]
    pub prefix: String,
    /// The workflow, as namespace/name: that of `load-tests/workflows/listens.yaml`.
    #[arg(long, default_value = "load/listens")]
    pub workflow: String,
    /// Orders from this one on are meant.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// So many of them.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Instead of opening them: so many events, each for another one of them, in an order that is none.
    #[arg(long)]
    pub events: Option<u64>,
    /// Leaves out so many of that order: those who got theirs before.
    #[arg(long, default_value_t = 0, requires = "events")]
    pub skip: u64,
    /// Events a second; without it, all at once.
    #[arg(long, requires = "events")]
    pub rate: Option<f64>,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Opens listens, or publishes events. True when all were opened, or all events were delivered and their instances have completed.
///
/// # Errors
/// When Kafka is not there, topics are missing, or a record cannot be read.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    match settings.events {
        Some(events) => {
            let taken = settings.skip.checked_add(events);
            ensure!(
                taken.is_some_and(|it| it <= settings.count),
                "--skip and --events are more than --count"
            );
            ensure!(settings.rate.is_none_or(|rate| rate > 0.0), "--rate must be more than 0");
            publish::run(&settings, events).await
        }
        None => open::run(&settings).await,
    }
}

fn id_of(order: u64) -> String {
    format!("order-{order}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_admitted() {
        let text = include_str!("../../workflows/listens.yaml");
        let admitted =
            millrace_workflow::admission::admit("listens.yaml", text).expect("is a good definition");
        // What it waits for is the load test, which may take as long as it likes.
        let is_waiting =
            |it: &millrace_workflow::admission::Finding| it.message.ends_with("there is no `timeout`");
        assert!(admitted.warnings.iter().all(is_waiting), "{:?}", admitted.warnings);
    }
}
