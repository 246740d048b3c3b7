//! Structured logs on stderr.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// `--log`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line an event.
    #[default]
    Human,
    /// One JSON object an event.
    Json,
}

/// The variable that overrides `-v`, in the syntax of `tracing_subscriber::EnvFilter`.
const FILTER: &str = "MILLRACE_LOG";

/// Who logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// A command: silent unless something is wrong.
    Command,
    /// A member of the fleet: says what it does.
    Processor,
    /// Everything in one process, or in a process of ours: as a command, and without what the Kafka client says of connections to ourselves, which ends in
    /// complaints whenever the broker stops.
    Dev,
}

/// Starts logging.
pub(crate) fn start(format: LogFormat, verbosity: u8, speaker: Speaker) {
    let level = match verbosity + u8::from(speaker == Speaker::Processor) {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // The drivers' own chatter is only of use to those who ask for it by name.
    let client = if speaker == Speaker::Dev { "off" } else { level };
    let usual = format!("{level},librdkafka={client},scylla=warn,rdkafka=warn,hyper=warn,reqwest=warn");
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(usual));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Human => {
            use std::io::IsTerminal as _;
            builder.with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => builder.json().init(),
    }
}
