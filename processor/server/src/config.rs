//! What all commands share: where the servers are, and how to speak.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use millrace_placement::Topics;
use millrace_schemas::ids::InvalidId;
use millrace_schemas::{InstanceId, WorkflowName, WorkflowVersion};
use millrace_scylla_store::{CertificateCheck, Credentials, Identity, Tls};

use crate::exit::Failure;
use crate::key_values::KeyValues;
use crate::logging::LogFormat;
use crate::output::Format;
use crate::traces::{self, Traces};

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Kafka brokers, comma-separated
    #[arg(
        long,
        global = true,
        env = "MILLRACE_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT"
    )]
    #[arg(help_heading = "Connection")]
    pub(crate) bootstrap: String,

    /// Whether somebody has said which brokers.
    #[arg(skip)]
    pub(crate) names_cluster: bool,

    /// Prefix of all topics of the fleet
    #[arg(long, global = true, env = "MILLRACE_PREFIX", default_value = Topics::DEFAULT_PREFIX)]
    #[arg(help_heading = "Connection", value_parser = parse_prefix)]
    pub(crate) prefix: String,

    /// HTTP API of any processor of the fleet: what get, list and history ask, unless --cql names the store
    #[arg(
        long,
        global = true,
        env = "MILLRACE_API",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    #[arg(help_heading = "Connection")]
    pub(crate) api: String,

    /// File with the bearer token for that API, if it wants one; MILLRACE_API_TOKEN has the token itself
    #[arg(long, global = true, env = "MILLRACE_API_TOKEN_FILE", value_name = "FILE")]
    #[arg(help_heading = "Connection")]
    pub(crate) api_token_file: Option<PathBuf>,

    /// File with the certificates (PEM) of the authorities that the processors' APIs are trusted by, besides those of this machine
    #[arg(long, global = true, env = "MILLRACE_API_CA", value_name = "FILE", help_heading = "Connection")]
    pub(crate) api_ca: Option<PathBuf>,

    /// ScyllaDB (or other CQL) nodes, comma-separated [default: for what needs the store itself, 127.0.0.1:9042]
    #[arg(long, global = true, env = "MILLRACE_CQL", value_name = "HOST:PORT")]
    #[arg(help_heading = "Connection", value_delimiter = ',')]
    pub(crate) cql: Vec<String>,

    /// CQL keyspace [default: the prefix, with every character but letters, digits and _ replaced by _]
    #[arg(long, global = true, env = "MILLRACE_KEYSPACE", help_heading = "Connection", value_parser = parse_keyspace)]
    pub(crate) keyspace: Option<String>,

    /// CQL user; the password is read from MILLRACE_CQL_PASSWORD, or both from --cql-login
    #[arg(long, global = true, env = "MILLRACE_CQL_USER", help_heading = "Connection")]
    pub(crate) cql_user: Option<String>,

    /// A file with the lines user=… and password=…, for the CQL nodes
    #[arg(long, global = true, env = "MILLRACE_CQL_LOGIN", value_name = "FILE", help_heading = "Connection")]
    #[arg(value_parser = parse_login)]
    pub(crate) cql_login: Option<Login>,

    /// Speak TLS with the CQL nodes, and check their certificates: in full, by authority and IP address, or the authority alone
    #[arg(
        long,
        global = true,
        env = "MILLRACE_CQL_TLS",
        value_name = "full|authority",
        help_heading = "Connection"
    )]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "full")]
    pub(crate) cql_tls: Option<CertificateCheck>,

    /// Certificates of the authorities that sign for the CQL nodes, as PEM; turns TLS on [default: those of this system]
    #[arg(long, global = true, env = "MILLRACE_CQL_CA", value_name = "FILE", help_heading = "Connection")]
    pub(crate) cql_ca: Option<PathBuf>,

    /// Our own certificate for the CQL nodes, as PEM; turns TLS on
    #[arg(
        long,
        global = true,
        env = "MILLRACE_CQL_CERTIFICATE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) cql_certificate: Option<PathBuf>,

    /// The key of that certificate, as PEM
    #[arg(long, global = true, env = "MILLRACE_CQL_KEY", value_name = "FILE", help_heading = "Connection")]
    pub(crate) cql_key: Option<PathBuf>,

    /// CQL datacenter that is ours, if there are several
    #[arg(long, global = true, env = "MILLRACE_CQL_DATACENTER", help_heading = "Connection")]
    pub(crate) cql_datacenter: Option<String>,

    /// Schema registry; records carry its schema ids then [default: none, records carry schema fingerprints]
    #[arg(long, global = true, env = "MILLRACE_REGISTRY", value_name = "URL", help_heading = "Connection")]
    pub(crate) registry: Option<String>,

    /// A file of settings of the Kafka client (librdkafka), a line of key=value each, such as sasl.password=…; may be repeated
    #[arg(
        long,
        global = true,
        env = "MILLRACE_KAFKA_CONFIG",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    #[arg(value_delimiter = ',', value_parser = KeyValues::from_file)]
    pub(crate) kafka_config: Vec<KeyValues>,

    /// Those of the environment; set once the command line is read.
    #[arg(skip)]
    pub(crate) kafka_environment: KeyValues,

    /// A setting of the Kafka client, such as security.protocol=SASL_SSL; may be repeated. A variable
    /// MILLRACE_KAFKA_SET_SASL_PASSWORD sets sasl.password, and so on. This wins over variables, and these over files
    #[arg(long, global = true, value_name = "KEY=VALUE", help_heading = "Connection", value_parser = parse_setting)]
    pub(crate) kafka_set: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) traces_arguments: traces::Arguments,

    /// Set once the command line is read.
    #[arg(skip)]
    pub(crate) traces: Traces,

    /// How answers are printed on stdout
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Output")]
    pub(crate) output: Format,

    /// How logs are printed on stderr; MILLRACE_LOG filters them, as in MILLRACE_LOG=millrace_runtime=debug
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "MILLRACE_LOG_FORMAT",
        help_heading = "Output"
    )]
    pub(crate) log: LogFormat,

    /// Log more; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

impl Global {
    /// Whether the store is to be asked itself, and not a processor.
    pub(crate) fn names_store(&self) -> bool {
        !self.cql.is_empty()
    }

    /// Where the store is.
    pub(crate) fn contact_points(&self) -> Vec<String> {
        match &self.cql[..] {
            [] => vec!["127.0.0.1:9042".to_owned()],
            given => given.to_vec(),
        }
    }

    /// Settings of the Kafka client: of two for one key the later wins.
    pub(crate) fn kafka_settings(&self) -> Vec<(String, String)> {
        let files = self.kafka_config.iter().flat_map(KeyValues::iter);
        files.chain(self.kafka_environment.iter()).chain(&self.kafka_set).cloned().collect()
    }

    /// Who we are to the CQL nodes.
    pub(crate) fn cql_credentials(&self) -> Result<Option<Credentials>, Failure> {
        match (&self.cql_login, &self.cql_user) {
            (Some(_), Some(_)) => Err(Failure::refused(
                "a CQL user is given twice, by --cql-login and by --cql-user",
                "leave one of them out (MILLRACE_CQL_LOGIN and MILLRACE_CQL_USER say the same)",
            )),
            (Some(Login(login)), None) => Ok(Some(login.clone())),
            (None, Some(user)) => {
                let password = std::env::var("MILLRACE_CQL_PASSWORD").unwrap_or_default();
                Ok(Some(Credentials { user: user.clone(), password }))
            }
            (None, None) => Ok(None),
        }
    }

    /// TLS to the CQL nodes, if any of its options is given.
    pub(crate) fn tls_to_cql(&self) -> Result<Option<Tls>, Failure> {
        let identity = match (&self.cql_certificate, &self.cql_key) {
            (Some(certificate), Some(key)) => {
                Some(Identity { certificate: certificate.clone(), key: key.clone() })
            }
            (None, None) => None,
            _ => {
                let fix = "give both, or neither";
                return Err(Failure::refused("--cql-certificate and --cql-key belong together", fix));
            }
        };
        if self.cql_tls.is_none() && self.cql_ca.is_none() && identity.is_none() {
            return Ok(None);
        }
        let check = self.cql_tls.unwrap_or_default();
        Ok(Some(Tls { authorities: self.cql_ca.clone(), identity, check }))
    }

    pub(crate) fn topics(&self) -> Topics {
        Topics::new(&self.prefix)
    }

    /// The keyspace, derived from the prefix unless given.
    pub(crate) fn keyspace(&self) -> String {
        self.keyspace.clone().unwrap_or_else(|| keyspace_of(&self.prefix))
    }
}

/// Longest name of a keyspace.
const KEYSPACE_CHARS_MAX: usize = 48;

/// A legal keyspace for a prefix. Prefixes that differ in punctuation only share one: then `--keyspace` tells them apart.
fn keyspace_of(prefix: &str) -> String {
    let clean =
        prefix.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '_' });
    let lead = if prefix.starts_with(|it: char| it.is_ascii_alphabetic()) { "" } else { "m" };
    lead.chars().chain(clean).take(KEYSPACE_CHARS_MAX).collect()
}

fn parse_prefix(text: &str) -> Result<String, String> {
    // Kafka allows 249 characters for a topic's name; the rest is for `.commands.<queue>`.
    const CHARS_MAX: usize = 150;
    let is_legal = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    if text.is_empty() || text.len() > CHARS_MAX || !text.chars().all(is_legal) {
        return Err(format!("a prefix has 1 to {CHARS_MAX} letters, digits, dots, underscores and hyphens"));
    }
    Ok(text.to_owned())
}

fn parse_keyspace(text: &str) -> Result<String, String> {
    let is_legal = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
    if !text.starts_with(|it: char| it.is_ascii_lowercase())
        || text.len() > KEYSPACE_CHARS_MAX
        || !text.chars().all(is_legal)
    {
        return Err(format!(
            "a keyspace has up to {KEYSPACE_CHARS_MAX} lower-case letters, digits and underscores, a letter first"
        ));
    }
    Ok(text.to_owned())
}

/// A user and a password.
#[derive(Clone, Debug)]
pub(crate) struct Login(Credentials);

fn parse_login(file: &str) -> Result<Login, String> {
    let mut settings = KeyValues::from_file(file)?;
    let user = settings.take("user").ok_or_else(|| "it has no line user=…".to_owned())?;
    let password = settings.take("password").ok_or_else(|| "it has no line password=…".to_owned())?;
    match settings.keys().next() {
        Some(key) => Err(format!("it has a line {key}=…: only user and password belong there")),
        None => Ok(Login(Credentials { user, password })),
    }
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value, such as security.protocol=SSL".to_owned()),
    }
}

/// All versions of a workflow.
pub(crate) fn parse_workflow(text: &str) -> Result<WorkflowName, String> {
    let reference: WorkflowReference = text.parse().map_err(|_| "write it as namespace/name".to_owned())?;
    match reference.version {
        None => Ok(reference.workflow),
        Some(_) => Err(format!("leave the version out: write {}", reference.workflow)),
    }
}

/// `namespace/name` or `namespace/name/version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkflowReference {
    /// Which workflow.
    pub(crate) workflow: WorkflowName,
    /// Which version; the newest one when absent.
    pub(crate) version: Option<String>,
}

impl FromStr for WorkflowReference {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, name, version) = match parts[..] {
            [namespace, name] => (namespace, name, None),
            [namespace, name, version] if !version.is_empty() => (namespace, name, Some(version.to_owned())),
            _ => return Err(invalid_workflow(text, "namespace/name or namespace/name/version")),
        };
        if namespace.is_empty() || name.is_empty() {
            return Err(invalid_workflow(text, "namespace/name or namespace/name/version"));
        }
        Ok(Self { workflow: WorkflowName { namespace: namespace.into(), name: name.into() }, version })
    }
}

impl std::fmt::Display for WorkflowReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some(version) => {
                WorkflowVersion { workflow: self.workflow.clone(), version: version.as_str().into() }.fmt(f)
            }
            None => self.workflow.fmt(f),
        }
    }
}

fn invalid_workflow(text: &str, rule: &'static str) -> InvalidId {
    InvalidId { what: "workflow", text: text.chars().take(64).collect(), rule }
}

/// An instance id.
pub(crate) fn parse_instance(text: &str) -> Result<InstanceId, InvalidId> {
    InstanceId::new(text)
}

/// A length of time as people write it: `30s`, `5m`, `1h 30m`, or ISO 8601 (`PT30S`).
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write 500ms, 30s, 5m, 2h, 7d, or ISO 8601 (PT30S)");
    // jiff has no days in a plain duration, since a civil day may have 23 hours. Here a day has 24.
    if let Some(days) = text.strip_suffix('d').and_then(|it| it.trim().parse::<u32>().ok()) {
        return Ok(Duration::from_secs(u64::from(days) * 86_400));
    }
    let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_is_legal_whatever_the_prefix() {
        for (prefix, keyspace) in
            [("millrace", "millrace"), ("Shop.Orders-1", "shop_orders_1"), ("7up", "m7up")]
        {
            assert_eq!(keyspace_of(prefix), keyspace);
            assert_eq!(parse_keyspace(keyspace).as_deref(), Ok(keyspace));
        }
        assert_eq!(keyspace_of(&"x".repeat(150)).len(), KEYSPACE_CHARS_MAX);
    }

    fn global(arguments: &[&str]) -> Global {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            global: Global,
        }
        let line = std::iter::once(&"millrace").chain(arguments);
        <Line as clap::Parser>::try_parse_from(line).expect("is a command line").global
    }

    #[test]
    fn settings_of_kafka_come_from_files_variables_and_options_in_this_order() {
        let file = std::env::temp_dir().join(format!("millrace-settings-{}", std::process::id()));
        std::fs::write(&file, "sasl.password=of the file\nclient.rack=a\n").expect("can be written");
        let given = ["--kafka-config", file.to_str().expect("is UTF-8"), "--kafka-set", "client.rack=b"];
        let mut global = global(&given);
        std::fs::remove_file(&file).expect("is there");
        global.kafka_environment = KeyValues::from_environment(
            [("MILLRACE_KAFKA_SET_SASL_PASSWORD".into(), "of the environment".into())].into_iter(),
        )
        .expect("are legal");
        let last =
            |key: &str| global.kafka_settings().into_iter().rfind(|it| it.0 == key).map(|(_, value)| value);
        assert_eq!(last("sasl.password").as_deref(), Some("of the environment"));
        assert_eq!(last("client.rack").as_deref(), Some("b"));
    }

    #[test]
    fn any_option_of_tls_turns_it_on() {
        let of = |arguments: &[&str]| global(arguments).tls_to_cql();
        let check = |arguments: &[&str]| of(arguments).expect("is legal").map(|it| it.check);
        assert_eq!(check(&[]), None);
        assert_eq!(check(&["--cql-tls"]), Some(CertificateCheck::Full));
        assert_eq!(check(&["--cql-tls=authority"]), Some(CertificateCheck::Authority));
        assert_eq!(check(&["--cql-ca", "ca.crt"]), Some(CertificateCheck::Full));
        let refused = of(&["--cql-certificate", "tls.crt"]).expect_err("has no key");
        assert_eq!(refused.what, "--cql-certificate and --cql-key belong together");
    }

    #[test]
    fn a_login_is_a_file_of_two_lines() {
        let file = std::env::temp_dir().join(format!("millrace-login-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&file, text).expect("can be written");
            parse_login(file.to_str().expect("is UTF-8")).map(|it| (it.0.user, it.0.password))
        };
        let good = read("user=ada\npassword=s=e\n");
        let bad: Vec<_> = ["user=ada", "password=s", "user=a\npassword=b\npasword=c"]
            .into_iter()
            .map(|it| read(it).expect_err("is not a login"))
            .collect();
        std::fs::remove_file(&file).expect("is there");
        assert_eq!(good, Ok(("ada".to_owned(), "s=e".to_owned())));
        assert_eq!(
            bad,
            [
                "it has no line password=…",
                "it has no line user=…",
                "it has a line pasword=…: only user and password belong there"
            ]
        );
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("PT30S"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        assert!(parse_duration("-3s").is_err());
        assert!(parse_duration("soon").is_err());
    }

    #[test]
    fn a_workflow_may_name_its_version() {
        let reference: WorkflowReference = "shop/order/1.2.0".parse().expect("is legal");
        assert_eq!(
            (reference.version.as_deref(), reference.to_string().as_str()),
            (Some("1.2.0"), "shop/order/1.2.0")
        );
        assert_eq!("shop/order".parse::<WorkflowReference>().expect("is legal").version, None);
        for wrong in ["order", "shop/", "/order", "shop/order/", "a/b/c/d"] {
            assert!(wrong.parse::<WorkflowReference>().is_err(), "{wrong}");
        }
    }
}
