//! Where spans go, and how many of them may wait: OpenTelemetry's standard variables, as far as they make sense here.

use std::str::FromStr;
use std::time::Duration;

use millrace_traces::Sampler;

/// How spans are collected and sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where traces are sent, in full.
    pub endpoint: String,
    /// Which are recorded.
    pub sampler: Sampler,
    /// Longest time of one request.
    pub timeout: Duration,
    /// Most spans that wait.
    pub queue_max: usize,
    /// Most spans of one request.
    pub batch_max: usize,
    /// How long a span may wait for others.
    pub delay: Duration,
}

/// Who the spans are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As somebody has named it.
    pub service: Option<String>,
    /// What it is called otherwise.
    pub service_default: &'static str,
    /// Its release.
    pub version: &'static str,
    /// Tells it from others of its kind.
    pub instance: String,
}

/// A setting that is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value:?}: {rule}")]
pub struct InvalidSetting {
    /// The variable.
    pub name: &'static str,
    /// What it is.
    pub value: String,
    /// What it must be.
    pub rule: &'static str,
}

/// The standard says 2,048. A batch of records is committed at once, and so are the spans of all of them: 500 of each partition.
const QUEUE_MAX: usize = 8_192;
const BATCH_MAX: usize = 512;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The standard says 5 s. Whoever follows a request does so while it is on its way.
const DELAY: Duration = Duration::from_secs(1);

impl Settings {
    /// The address for logs: without user, password and query.
    #[must_use]
    pub fn shown_endpoint(&self) -> String {
        shown(&self.endpoint)
    }

    /// By the collector's address, which traces are sent to a path of, and the environment. None if the environment says that nothing is
    /// to be sent, or nobody says where to.
    ///
    /// # Errors
    /// When a variable has no possible value.
    pub fn new(
        base: Option<&str>,
        sampler: Sampler,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, InvalidSetting> {
        let variable = |name: &str| variable(name).filter(|it| !it.trim().is_empty());
        let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        if is_disabled || variable("OTEL_TRACES_EXPORTER").is_some_and(|it| it == "none") {
            return Ok(None);
        }
        let whole = variable(WHOLE);
        // Of two variables the one for traces wins; what is said on the command line wins over both.
        let base_is_of_environment = base.is_some_and(|it| variable(BASE).is_some_and(|of| of == *it));
        let (name, endpoint) = match (base, whole) {
            (None, None) => return Ok(None),
            (None, Some(whole)) => (WHOLE, whole),
            (Some(_), Some(whole)) if base_is_of_environment => (WHOLE, whole),
            (Some(base), _) => (BASE, format!("{}/v1/traces", base.trim_end_matches('/'))),
        };
        if !["http://", "https://"].iter().any(|it| endpoint.starts_with(it)) {
            let rule = "it must be the URL of an OTLP receiver for HTTP, such as http://localhost:4318";
            return Err(InvalidSetting { name, value: shown(&endpoint), rule });
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            if let Some(value) = variable(name).filter(|it| it != "http/protobuf") {
                let rule = "only http/protobuf is spoken here; receivers listen for it on port 4318";
                return Err(InvalidSetting { name, value, rule });
            }
        }
        let timeout = [
            number(&variable, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")?,
            number(&variable, "OTEL_EXPORTER_OTLP_TIMEOUT")?,
        ];
        let millis = |it: usize| Duration::from_millis(it as u64);
        let queue_max = number(&variable, "OTEL_BSP_MAX_QUEUE_SIZE")?.unwrap_or(QUEUE_MAX);
        Ok(Some(Self {
            endpoint,
            sampler,
            timeout: timeout.into_iter().flatten().next().map_or(TIMEOUT, millis),
            queue_max,
            batch_max: number(&variable, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")?
                .unwrap_or(BATCH_MAX)
                .min(queue_max),
            delay: number(&variable, "OTEL_BSP_SCHEDULE_DELAY")?.map_or(DELAY, millis),
        }))
    }
}

const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const WHOLE: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// A URL without what may be secret: who asks, and what is said in the query.
fn shown(endpoint: &str) -> String {
    let rest = endpoint.split_once("://").map_or(endpoint, |it| it.1);
    let scheme = &endpoint[..endpoint.len() - rest.len()];
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |it| it.1);
    format!("{scheme}{host}{}", path.split(['?', '#']).next().unwrap_or_default())
}

fn number(
    variable: &impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Option<usize>, InvalidSetting> {
    let Some(value) = variable(name) else { return Ok(None) };
    match usize::from_str(value.trim()) {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(InvalidSetting { name, value, rule: "it must be a whole number, 1 or more" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(base: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<Settings>, InvalidSetting> {
        let variable = |name: &str| variables.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        Settings::new(base, Sampler::default(), variable)
    }

    fn endpoint(base: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        of(base, variables).expect("is possible").map(|it| it.endpoint)
    }

    #[test]
    fn without_an_address_nothing_is_sent() {
        assert_eq!(endpoint(None, &[]), None);
        assert_eq!(endpoint(Some("http://c:4318"), &[("OTEL_SDK_DISABLED", "true")]), None);
        assert_eq!(endpoint(Some("http://c:4318"), &[("OTEL_TRACES_EXPORTER", "none")]), None);
    }

    #[test]
    fn an_address_is_completed_and_one_for_traces_is_taken_as_it_is() {
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/any");
        assert_eq!(endpoint(Some("http://c:4318/"), &[]).as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(endpoint(None, &[whole]).as_deref(), Some("http://t/any"));
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        assert_eq!(endpoint(Some("http://c:4318"), &[base, whole]).as_deref(), Some("http://t/any"));
        assert_eq!(endpoint(Some("http://other"), &[base, whole]).as_deref(), Some("http://other/v1/traces"));
    }

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        assert_eq!(shown("https://me:pass@c:4318/a/b?key=1#x"), "https://c:4318/a/b");
        assert_eq!(shown("me:pass@c:4317/v1/traces"), "c:4317/v1/traces");
        assert_eq!(shown("http://c?key=1"), "http://c");
        let whole = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "me:pass@c:4317")];
        let told = of(None, &whole).expect_err("is not possible").to_string();
        assert!(told.starts_with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is \"c:4317\""), "{told}");
    }

    #[test]
    fn what_is_not_possible_is_refused_with_what_would_be() {
        let refused = |base, variables: &[_]| of(base, variables).expect_err("is not possible").to_string();
        assert!(refused(Some("collector:4317"), &[]).contains("http://localhost:4318"));
        assert!(
            refused(Some("http://c"), &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).contains("http/protobuf")
        );
        assert!(refused(Some("http://c"), &[("OTEL_BSP_MAX_QUEUE_SIZE", "0")]).contains("1 or more"));
    }

    #[test]
    fn the_standard_variables_are_heard() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ];
        let settings = of(Some("http://c"), &variables).expect("is possible").expect("has an address");
        assert_eq!((settings.queue_max, settings.batch_max), (100, 100));
        assert_eq!(
            (settings.timeout, settings.delay),
            (Duration::from_millis(250), Duration::from_millis(50))
        );
    }
}
