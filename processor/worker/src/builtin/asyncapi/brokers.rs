//! The brokers that a topic is at: which they are, and whether calls may go there.
//!
//! The client connects to whatever its brokers name, and cannot be told what it may reach. So its first brokers are addresses that
//! were judged, and all that they name is judged before anything is sent or read. A broker that lies later could make the client
//! connect elsewhere, where it would say no more than that it speaks Kafka, and log in, if it has a login.
//!
//! There is no TLS, so SASL/PLAIN is all that there is to log in by.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;

use super::document::Place;
use crate::TaskFailure;
use crate::builtin::Targets;
use crate::builtin::authentication::{Login, Policy};

/// Longest wait for one answer of a broker.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The port of Kafka, where the document names none.
const PORT: u16 = 9092;
/// Longest name of a topic, in bytes.
const TOPIC_BYTES_MAX: usize = 249;

/// A topic, where it is, and who the call is there.
#[derive(Clone, Copy)]
pub(super) struct Topic<'c> {
    pub(super) name: &'c str,
    /// `host:port`, with commas between several.
    servers: &'c str,
    targets: Targets,
    login: Option<&'c Login>,
}

impl<'c> Topic<'c> {
    /// The topic of a channel: its address, unless its bindings say otherwise.
    ///
    /// # Errors
    /// When it cannot be the name of one, or when a broker cannot be shown such credentials.
    pub(super) fn new(
        place: &'c Place,
        targets: Targets,
        policy: Option<&'c Policy>,
    ) -> Result<Self, TaskFailure> {
        let login = match policy {
            None => None,
            Some(Policy::Basic(login)) => Some(login),
            Some(other) => {
                let title = format!("a Kafka broker cannot be shown {other:?} credentials");
                return Err(TaskFailure::configuration(title)
                    .with_detail("use `basic`, which is SASL/PLAIN, or let a worker of yours do it"));
            }
        };
        let name = place.address.as_str();
        let is_good = (1..=TOPIC_BYTES_MAX).contains(&name.len())
            && name != "."
            && name != ".."
            && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it));
        if is_good {
            return Ok(Self { name, servers: &place.server, targets, login });
        }
        Err(TaskFailure::configuration(format!("{name:?} is no name of a topic"))
            .with_detail("name the topic in the channel's `bindings: { kafka: { topic } }`"))
    }

    /// # Errors
    /// When it is one of those that are Millrace's own, and begin with `own`.
    pub(super) fn check_foreign(&self, own: &str) -> Result<(), TaskFailure> {
        if !self.name.starts_with(own) {
            return Ok(());
        }
        let title = format!("the topic {} is Millrace's own", self.name);
        Err(TaskFailure::authorization(title)
            .with_detail("`emit` events, or publish to a topic that does not begin so"))
    }

    /// What all clients have: the brokers of the document, by addresses that may be called.
    pub(super) async fn config(&self) -> Result<ClientConfig, TaskFailure> {
        let mut addresses = Vec::new();
        for server in self.servers.split(',') {
            let server = server.trim();
            let authority = server.split_once("://").map_or(server, |it| it.1).trim_end_matches('/');
            let (host, port) = match authority.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().ok()),
                None => (authority, Some(PORT)),
            };
            let port = port.filter(|_| !host.is_empty()).ok_or_else(|| {
                TaskFailure::configuration(format!("{server:?} is no address of a Kafka broker"))
            })?;
            for address in self.targets.resolve(host.trim_matches(['[', ']']), port).await? {
                addresses.push(address.to_string());
            }
        }
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", addresses.join(","))
            .set("client.id", "millrace")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("allow.auto.create.topics", "false");
        if let Some(Login { username, password }) = self.login {
            config
                .set("security.protocol", "sasl_plaintext")
                .set("sasl.mechanism", "PLAIN")
                .set("sasl.username", username)
                .set("sasl.password", password);
        }
        Ok(config)
    }

    /// The partitions of a topic, whose brokers have all been judged. A client of no group asks for them: one of a group would look for
    /// its coordinator at once, wherever that is.
    pub(super) async fn judged_partitions(&self, config: &ClientConfig) -> Result<Vec<i32>, TaskFailure> {
        let reader = Closing::new(config.create_with_context::<_, StreamConsumer<Quiet>>(Quiet)?);
        let name = self.name.to_owned();
        let asked = reader.blocking(move |it| {
            let metadata = it.fetch_metadata(Some(&name), ANSWER_MAX)?;
            let brokers: Vec<(String, u16)> = metadata
                .brokers()
                .iter()
                .map(|it| (it.host().to_owned(), u16::try_from(it.port()).unwrap_or_default()))
                .collect();
            let partitions: Vec<i32> =
                metadata.topics().iter().flat_map(|it| it.partitions()).map(|it| it.id()).collect();
            Ok((brokers, partitions))
        });
        let (brokers, partitions) = tokio::select! {
            asked = asked => asked?,
            // The client would go on until its time is over.
            failure = rejection(&reader) => return Err(failure),
        };
        for (host, port) in brokers {
            self.targets.resolve(&host, port).await?;
        }
        if partitions.is_empty() {
            return Err(TaskFailure::configuration(format!("there is no topic {:?}", self.name)));
        }
        Ok(partitions)
    }
}

/// Waits until a broker does not take the credentials, or wants some.
async fn rejection(client: &Closing<StreamConsumer<Quiet>>) -> TaskFailure {
    use RDKafkaErrorCode::{Authentication, SaslAuthenticationFailed};
    loop {
        let Err(error) = client.get().recv().await else { continue };
        if let Some(Authentication | SaslAuthenticationFailed) = error.rdkafka_error_code() {
            return failed("the brokers do not take the credentials", error);
        }
    }
}

/// What went wrong with a broker.
pub(super) fn failed(doing: &str, error: KafkaError) -> TaskFailure {
    use RDKafkaErrorCode as Code;
    let title = doing.to_owned();
    let failure = match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => TaskFailure::validation(title),
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed,
        ) => TaskFailure::authorization(title),
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => TaskFailure::authentication(title),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => TaskFailure::configuration(title),
        Some(Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut) => {
            TaskFailure::communication(title, 504, true)
        }
        _ => TaskFailure::communication(title, 503, true),
    };
    failure.with_detail(error.to_string())
}

/// A client. Closing it may block its thread for a while, so another one does that.
pub(super) struct Closing<T: Send + Sync + 'static>(Option<Arc<T>>);

impl<T: Send + Sync + 'static> Closing<T> {
    pub(super) fn new(client: T) -> Self {
        Self(Some(Arc::new(client)))
    }

    pub(super) fn get(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }

    /// Asks the broker something, which blocks a thread.
    pub(super) async fn blocking<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&T) -> Result<R, KafkaError> + Send + 'static,
    ) -> Result<R, TaskFailure> {
        let client = Arc::clone(self.0.as_ref().expect("it is there until it is dropped"));
        let asked = tokio::task::spawn_blocking(move || ask(&client)).await?;
        asked.map_err(|error| failed("the brokers do not answer", error))
    }
}

impl<T: Send + Sync + 'static> Drop for Closing<T> {
    fn drop(&mut self) {
        if let Ok(runtime) = Handle::try_current() {
            let client = self.0.take();
            runtime.spawn_blocking(move || drop(client));
        }
    }
}

/// What clients say is about brokers of others: it is for the task's failure, and not for the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "a Kafka client of a call reports an error");
    }
}

impl ConsumerContext for Quiet {}
