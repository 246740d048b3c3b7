//! What the command line and the environment say about traces.

use clap::Args;
use millrace_otlp::Settings;
use millrace_traces::{SAMPLERS, Sampler};

use crate::exit::Failure;

/// Options of every command. The variables are OpenTelemetry's own, so that what a platform sets for all its programs is heard.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// Collector of traces: OTLP, protobuf over HTTP, such as http://localhost:4318. Without it no spans are recorded; the trace
    /// context of records is passed on in any case
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "URL",
        help_heading = "Traces"
    )]
    otlp: Option<String>,

    /// Which traces are recorded, as OpenTelemetry names it: always_on, always_off, traceidratio, and each of them with
    /// parentbased_ before it, which goes by what the cause says, if there is one [default: parentbased_always_on]
    #[arg(long, global = true, env = "OTEL_TRACES_SAMPLER", value_name = "NAME", help_heading = "Traces")]
    traces_sampler: Option<String>,

    /// How many of them with a sampler that is called after a ratio: 0.01 is one of a hundred [default: 1]
    #[arg(
        long,
        global = true,
        env = "OTEL_TRACES_SAMPLER_ARG",
        value_name = "RATIO",
        help_heading = "Traces"
    )]
    traces_sampler_arg: Option<String>,

    /// What this process is called in traces [default: millrace-processor, millrace-worker, millrace-dev or millrace]
    #[arg(long, global = true, env = "OTEL_SERVICE_NAME", value_name = "NAME", help_heading = "Traces")]
    pub(super) service_name: Option<String>,
}

impl Arguments {
    /// None: nothing is recorded.
    pub(super) fn settings(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Settings>, Failure> {
        let base = said(&self.otlp);
        // Is it to be at all? Whatever else is set may be for other programs.
        let Some(settings) = Settings::new(base, Sampler::default(), variable).map_err(|error| {
            let fix =
                "correct it, or leave --otlp (OTEL_EXPORTER_OTLP_ENDPOINT) out: then no traces are recorded";
            Failure::refused("traces cannot be recorded as it is set", fix).because(error)
        })?
        else {
            return Ok(None);
        };
        Ok(Some(Settings { sampler: self.sampler()?, ..settings }))
    }

    fn sampler(&self) -> Result<Sampler, Failure> {
        let Some(name) = said(&self.traces_sampler) else { return Ok(Sampler::default()) };
        let refused = |why: String| {
            let fix =
                format!("give one of {} as --traces-sampler (OTEL_TRACES_SAMPLER)", SAMPLERS.join(", "));
            Failure::refused(format!("traces cannot be sampled so: {why}"), fix)
        };
        let ratio = match said(&self.traces_sampler_arg).filter(|_| name.ends_with("traceidratio")) {
            None => None,
            Some(text) => match text.parse() {
                Ok(ratio) => Some(ratio),
                Err(_) => return Err(refused(format!("{text:?} is no ratio, such as 0.01"))),
            },
        };
        Sampler::named(name, ratio).map_err(refused)
    }

    /// Whether the address may have come from the environment, and not from whoever gave the command.
    pub(super) fn is_of_environment(&self) -> bool {
        let of_environment = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
        self.otlp.is_none() || self.otlp == of_environment
    }
}

/// What is empty is not said.
fn said(option: &Option<String>) -> Option<&str> {
    option.as_deref().map(str::trim).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(otlp: &str, sampler: &str, ratio: &str) -> Result<Option<Settings>, Failure> {
        let arguments = Arguments {
            otlp: Some(otlp.to_owned()),
            traces_sampler: Some(sampler.to_owned()),
            traces_sampler_arg: Some(ratio.to_owned()),
            service_name: None,
        };
        arguments.settings(|_| None)
    }

    #[test]
    fn without_a_collector_nothing_else_is_looked_at() {
        assert!(settings("", "jaeger_remote", "endpoint=http://j").expect("is off").is_none());
    }

    #[test]
    fn a_sampler_is_named_as_opentelemetry_does() {
        let sampler = |name: &str, ratio: &str| {
            settings("http://c", name, ratio).expect("is possible").map(|it| it.sampler)
        };
        assert_eq!(sampler("", ""), Some(Sampler::default()));
        assert_eq!(
            sampler("parentbased_traceidratio", "0.1"),
            Sampler::named("parentbased_traceidratio", Some(0.1)).ok()
        );
        // What it means is for another sampler.
        assert_eq!(sampler("always_off", "endpoint=x"), Sampler::named("always_off", None).ok());
        let refused = settings("http://c", "traceidratio", "many").expect_err("is no ratio");
        assert!(
            refused.what.contains("\"many\"") && refused.fix.contains("traceidratio"),
            "{}",
            refused.what
        );
        assert!(settings("http://c", "xray", "").is_err());
    }
}
