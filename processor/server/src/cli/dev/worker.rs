//! The built-in worker, within `dev`.

use millrace_schemas::codec::Codec;
use millrace_worker::builtin::{Rewrite, Secrets, Targets};
use millrace_worker::{Worker, WorkerMetrics};

use crate::cli::programs;
use crate::cli::worker::{self, Settings};
use crate::config::Global;

/// The built-in worker of a development's fleet. What is being developed runs on this machine, so calls may go there, besides
/// public addresses.
pub(crate) fn builtin(
    global: &Global,
    codec: Codec,
    secrets: Secrets,
    programs: programs::Settings,
    rewrites: &[Rewrite],
    metrics: &WorkerMetrics,
) -> anyhow::Result<Worker> {
    let settings = Settings::to(Targets::PUBLIC.and_loopback(), secrets, programs);
    worker::build(global, codec, Settings { rewrites: rewrites.to_vec(), ..settings }, metrics)
}
