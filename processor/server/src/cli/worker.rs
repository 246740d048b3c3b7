//! `millrace worker`: the built-in worker, which does the calls that the language defines.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;

use clap::Args;
use millrace_metrics::Catalogue;
use millrace_otlp::Counters;
use millrace_schemas::codec::Codec;
use millrace_worker::builtin::{
    AsyncApi, Caller, Container, Grpc, Http, HttpSettings, OpenApi, ProcessSettings, Processes, QUEUE,
    Rewrite, Script, Secrets, Shell, Targets,
};
use millrace_worker::{Worker, WorkerError, WorkerMetrics};
use prometheus::Registry;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::programs;
use super::worker_endpoint::Bound;
use crate::clients;
use crate::config::Global;
use crate::exit::{Exit, Failure};
use crate::member;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Let calls go to this machine and to private networks, too. Without it they go to public addresses only, since whoever may
    /// deploy a workflow chooses where they go. Link-local addresses, where clouds serve credentials, are never called
    #[arg(long, env = "MILLRACE_ALLOW_PRIVATE_NETWORKS")]
    allow_private_networks: bool,

    /// Begin calls before the transaction that asks for them is committed: sooner, but what an aborted transaction has asked for is called, too,
    /// and then again with what comes in its place
    #[arg(long, env = "MILLRACE_SPECULATIVE")]
    speculative: bool,

    /// How many calls are made side by side at most
    #[arg(long, default_value = "64", env = "MILLRACE_CONCURRENCY", value_name = "CALLS")]
    concurrency: NonZeroUsize,

    /// Largest content of a response, in bytes; a call that brings more fails. Kafka must take it as a record: by default, 1 MiB
    #[arg(long, default_value = "1048576", env = "MILLRACE_RESPONSE_BYTES_MAX", value_name = "BYTES")]
    response_bytes_max: NonZeroU32,

    /// Folder of the secrets that definitions may name: a file for each, as Kubernetes mounts them. They are read when they are used
    #[arg(long, env = "MILLRACE_SECRETS", value_name = "FOLDER", value_parser = parse_secrets)]
    secrets: Option<Secrets>,

    /// Where `/livez`, `/readyz` and `/metrics` are served; port 0 for any free one, which is printed. Not at all, unless given
    #[arg(long, env = "MILLRACE_WORKER_HTTP", value_name = "IP:PORT")]
    http: Option<SocketAddr>,

    #[command(flatten)]
    programs: programs::ProgramArguments,
}

impl Arguments {
    fn settings(&self) -> Settings {
        let targets = match self.allow_private_networks {
            true => Targets::PUBLIC.and_loopback().and_private(),
            false => Targets::PUBLIC,
        };
        Settings {
            targets,
            speculative: self.speculative,
            concurrency: self.concurrency.get(),
            response_bytes_max: usize::try_from(self.response_bytes_max.get()).unwrap_or(usize::MAX),
            secrets: self.secrets.clone().unwrap_or_default(),
            rewrites: Vec::new(),
            programs: self.programs.settings(),
        }
    }
}

/// The secrets in a folder. What is in it may change, and it may be empty; it must be there.
pub(crate) fn parse_secrets(folder: &str) -> Result<Secrets, String> {
    if Path::new(folder).is_dir() {
        Ok(Secrets::in_folder(folder))
    } else {
        Err("there is no such folder".to_owned())
    }
}

/// What the built-in worker may do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) targets: Targets,
    /// Calls are begun before they are committed.
    pub(crate) speculative: bool,
    pub(crate) concurrency: usize,
    /// Also the most that a program may write, and that messages have.
    pub(crate) response_bytes_max: usize,
    pub(crate) secrets: Secrets,
    pub(crate) programs: programs::Settings,
    /// For tests.
    pub(crate) rewrites: Vec<Rewrite>,
}

impl Settings {
    /// The usual, with calls to `targets`, by these secrets, and these programs.
    pub(crate) fn to(targets: Targets, secrets: Secrets, programs: programs::Settings) -> Self {
        let response_bytes_max = HttpSettings::default().response_bytes_max;
        let rewrites = Vec::new();
        Self { targets, speculative: false, concurrency: 64, response_bytes_max, secrets, programs, rewrites }
    }
}

/// The built-in worker of the fleet.
pub(crate) fn build(
    global: &Global,
    codec: Codec,
    settings: Settings,
    metrics: &WorkerMetrics,
) -> anyhow::Result<Worker> {
    let Settings { targets, speculative, concurrency, response_bytes_max, secrets, programs, rewrites } =
        settings;
    let build = || -> Result<Worker, WorkerError> {
        let processes =
            Processes::new(ProcessSettings { output_bytes_max: response_bytes_max, ..programs.processes });
        let settings = HttpSettings {
            targets,
            response_bytes_max,
            secrets: secrets.clone(),
            rewrites,
            ..HttpSettings::default()
        };
        let caller = Caller::new(settings)?;
        let async_api = AsyncApi::new(&caller, format!("{}.", global.prefix));
        let mut builder = Worker::builder(&global.bootstrap)
            .prefix(&global.prefix)
            .queue(QUEUE)
            .codec(codec)
            .concurrency(concurrency)
            .speculative(speculative)
            .metrics(metrics)
            .tracer(global.traces.tracer())
            .function(Http::FUNCTION, Http::new(&caller))
            .function(OpenApi::FUNCTION, OpenApi::new(&caller))
            .function(Script::FUNCTION, secrets.fill(Script::new(&processes, &caller)))
            .function(Shell::FUNCTION, secrets.fill(Shell::new(&processes)))
            .function(Container::FUNCTION, secrets.fill(Container::new(&processes, programs.containers)))
            .function(Grpc::FUNCTION, Grpc::new(&caller)?)
            .function(AsyncApi::FUNCTION, secrets.fill(async_api));
        for (name, value) in global.kafka_settings() {
            builder = builder.kafka_option(&name, &value);
        }
        builder.build()
    };
    build().map_err(|error| {
        Failure::refused("the built-in worker cannot be made", "correct the setting").because(error).into()
    })
}

const FUNCTIONS: [&str; 7] = [
    Http::FUNCTION,
    OpenApi::FUNCTION,
    Script::FUNCTION,
    Shell::FUNCTION,
    Container::FUNCTION,
    Grpc::FUNCTION,
    AsyncApi::FUNCTION,
];

/// Printed at the start.
#[derive(Serialize)]
struct Document {
    queue: String,
    functions: [&'static str; FUNCTIONS.len()],
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<String>,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let shutdown = CancellationToken::new();
    member::stop_on_signals(shutdown.clone())?;
    let registry = Registry::new();
    let mut catalogue = Catalogue::new(&registry);
    let metrics = WorkerMetrics::new(&mut catalogue);
    global.traces.count_in(Counters::new(&mut catalogue));
    catalogue.process(env!("CARGO_PKG_VERSION"));
    let endpoint = match arguments.http {
        Some(address) => Some(Bound::to(address).await?),
        None => None,
    };
    let worker = build(global, clients::codec(global).await?, arguments.settings(), &metrics)?;
    let http = endpoint.as_ref().map(Bound::url).transpose()?;
    let document = Document { queue: global.topics().commands(QUEUE), functions: FUNCTIONS, http };
    output.show(&document, || {
        let at = document.http.as_ref().map(|it| format!(", metrics at {it}")).unwrap_or_default();
        format!("millrace worker: {}{at}", document.queue)
    })?;
    // The endpoint outlives the worker: health checks and scrapes go on while running tasks end.
    let ended = CancellationToken::new();
    let serving = endpoint.map(|it| tokio::spawn(it.serve(worker.status(), registry, ended.clone())));
    let ran = Box::pin(worker.run(async move { shutdown.cancelled().await })).await;
    ended.cancel();
    if let Some(serving) = serving {
        serving.await??;
    }
    ran.map_err(|error| {
        let fix = "see the log; when that is mended, start it again: unfinished tasks run again";
        Failure::new("the built-in worker cannot go on", fix).because(error)
    })?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_and_the_worker_mean_the_same_queue() {
        assert_eq!(QUEUE, millrace_workflow::program::BUILT_IN_QUEUE);
    }
}
