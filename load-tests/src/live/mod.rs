//! Instances that live: makes many, and keeps a trickle of signals to some of them going. A harness measures around that what a fleet
//! pays for instances that do nothing: in memory, and in the time that a partition takes to change hands.

mod create;
mod trickle;

use std::path::PathBuf;

use millrace_placement::Topics;

/// Makes live instances, or signals them.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Kafka brokers, host:port, with commas between them.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub bootstrap: String,
    /// The fleet's topic prefix.
    #[arg(long, default_value = Topics::DEFAULT_PREFIX)]
    pub prefix: String,
    /// The workflow, as namespace/name: that of `load-tests/workflows/live.yaml`.
    #[arg(long, default_value = "load/live")]
    pub workflow: String,
    /// Instances `live-0`, `live-1`, … up to this one are meant.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Those below this one exist already.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// Instead of making instances: so many signals a second, each to any one of them, until this is ended. A line on stdout for each
    /// partition's new owner, and for what it writes: `{"at_unix_ms", "partition", "owner"}`, the owner with its claim only.
    #[arg(long)]
    pub trickle: Option<f64>,
    /// Where the report goes.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Makes the instances, or signals them. True when all that were asked for have started.
///
/// # Errors
/// When Kafka is not there, topics are missing, or a record cannot be read.
pub async fn run(settings: Settings) -> anyhow::Result<bool> {
    match settings.trickle {
        Some(rate) => trickle::run(&settings, rate).await,
        None => create::run(&settings).await,
    }
}

fn id_of(number: u64) -> String {
    format!("live-{number}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_admitted() {
        let text = include_str!("../../workflows/live.yaml");
        let admitted = millrace_workflow::admission::admit("live.yaml", text).expect("is a good definition");
        // What it waits for is the load test, which may take as long as it likes.
        let is_waiting =
            |it: &millrace_workflow::admission::Finding| it.message.ends_with("there is no `timeout`");
        assert!(admitted.warnings.iter().all(is_waiting), "{:?}", admitted.warnings);
    }
}
