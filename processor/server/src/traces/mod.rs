//! Spans of this process: whether they are recorded, where they go, and what a record that is sent is caused by.
//!
//! Reading order: [`Arguments`], what can be said about it; [`Traces`], what the rest of the program is given; [`requests`], spans of the
//! HTTP API; [`sending`], spans of records that are sent.

mod arguments;
pub(crate) mod requests;
mod sending;

use std::time::Duration;

use millrace_otlp::{Counters, Exporter, Identity, Settings};
use millrace_schemas::trace::{self, TraceContext};
use millrace_traces::Tracer;
use tracing::{info, warn};

pub(crate) use arguments::Arguments;

use crate::exit::Failure;
use crate::logging::Speaker;

/// How long the end of a process waits for the collector.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Records spans, if somebody has asked for that. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    tracer: Tracer,
    exporter: Option<Exporter>,
    /// Of a command: what it is called by.
    cause: Option<Cause>,
}

/// What something is caused by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) context: TraceContext,
    pub(crate) tracestate: Option<String>,
}

impl Cause {
    /// As [`trace::read`] has it.
    fn read<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let (context, tracestate) = trace::read(text)?;
        Some(Self { context, tracestate: tracestate.map(str::to_owned) })
    }
}

impl Traces {
    /// Starts to record spans, if the command line or the environment says where to.
    pub(crate) fn start(arguments: &Arguments, speaker: Speaker) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        // Scripts that are traced tell it so (OpenTelemetry: environment variables as context propagation carriers).
        let around =
            [trace::TRACEPARENT, trace::TRACESTATE].map(|name| (name, variable(&name.to_uppercase())));
        let called_by = || Cause::read(|name| around.iter().find(|it| it.0 == name)?.1.as_deref());
        let cause = if speaker == Speaker::Command { called_by() } else { None };
        let untraced = Self { cause, ..Self::default() };
        let started = match arguments.settings(variable) {
            Ok(None) => return Ok(untraced),
            Ok(Some(settings)) => untraced.clone().exporting(arguments, &settings, speaker),
            Err(failure) => Err(failure),
        };
        match started {
            // What a platform sets for all its programs may be meant for others, and must not keep a fleet from starting.
            Err(failure) if arguments.is_of_environment() => {
                warn!(
                    error = &failure as &dyn std::error::Error,
                    fix = failure.fix,
                    "traces are not recorded"
                );
                Ok(untraced)
            }
            started => started,
        }
    }

    fn exporting(
        self,
        arguments: &Arguments,
        settings: &Settings,
        speaker: Speaker,
    ) -> Result<Self, Failure> {
        let identity = Identity {
            service: arguments.service_name.clone().filter(|it| !it.is_empty()),
            service_default: match speaker {
                Speaker::Command => "millrace",
                Speaker::Processor => "millrace-processor",
                Speaker::Worker => "millrace-worker",
                Speaker::Dev => "millrace-dev",
            },
            version: env!("CARGO_PKG_VERSION"),
            instance: uuid::Uuid::new_v4().to_string(),
        };
        let (tracer, exporter) = Exporter::start(settings, &identity).map_err(|error| {
            Failure::refused("traces cannot be recorded", "correct --otlp, or leave it out").because(error)
        })?;
        info!(endpoint = settings.shown_endpoint(), sampler = ?settings.sampler, "traces are recorded");
        Ok(Self { tracer, exporter: Some(exporter), ..self })
    }

    pub(crate) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Shows what becomes of spans.
    pub(crate) fn count_in(&self, counters: Counters) {
        if let Some(exporter) = &self.exporter {
            exporter.count_in(counters);
        }
    }

    /// Sends what waits. Not for long: a collector that is down holds up nobody.
    pub(crate) async fn end(&self) {
        if let Some(exporter) = &self.exporter {
            exporter.flush(FLUSH_MAX).await;
        }
    }
}
