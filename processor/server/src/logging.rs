//! Structured logs on stderr.

use clap::ValueEnum;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::http::AUDIT;

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
    /// So does a worker of the fleet.
    Worker,
    /// Everything in one process, or in a process of ours: as a command, and without what the Kafka client says of connections to ourselves, which ends in
    /// complaints whenever the broker stops.
    Dev,
}

/// Starts logging.
pub(crate) fn start(format: LogFormat, verbosity: u8, speaker: Speaker) {
    let serves = matches!(speaker, Speaker::Processor | Speaker::Worker);
    let level = match verbosity + u8::from(serves) {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // The drivers' own chatter is only of use to those who ask for it by name.
    let client = if speaker == Speaker::Dev { "off" } else { level };
    let usual = format!("{level},librdkafka={client},scylla=warn,rdkafka=warn,hyper=warn,reqwest=warn");
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(usual));
    // What was asked of the API is written in one form, whatever the rest looks like: by those that serve others, and by the others if it is
    // asked for.
    let is_audited = serves || std::env::var(FILTER).is_ok_and(|it| it.contains(AUDIT));
    let audit = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_filter(filter_fn(move |it| is_audited && it.target() == AUDIT));
    let rest = filter_fn(|it| it.target() != AUDIT).and(filter);
    let registry = tracing_subscriber::registry().with(audit);
    match format {
        LogFormat::Human => {
            use std::io::IsTerminal as _;
            let layer = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
            registry.with(layer.with_filter(rest)).init();
        }
        LogFormat::Json => {
            registry.with(fmt::layer().json().with_writer(std::io::stderr).with_filter(rest)).init();
        }
    }
}
