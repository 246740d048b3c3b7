//! Errors of librdkafka as errors of the log.

use std::error::Error;

use millrace_runtime::log::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Worth another try.
pub(crate) fn retriable(
    doing: impl Into<String>,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> LogError {
    LogError::Retriable { doing: doing.into(), source: source.into() }
}

/// Not worth another try; there was no error to begin with.
pub(crate) fn fatal(doing: impl Into<String>, fix: impl Into<String>) -> LogError {
    LogError::Fatal { doing: doing.into(), fix: fix.into(), source: None }
}

/// What trying again cannot mend is fatal, and says what can.
pub(crate) fn from_kafka(doing: impl Into<String>, error: KafkaError) -> LogError {
    match fix(&error) {
        Some(fix) => {
            LogError::Fatal { doing: doing.into(), fix: fix.to_owned(), source: Some(Box::new(error)) }
        }
        None => retriable(doing, error),
    }
}

fn fix(error: &KafkaError) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) {
        return Some("check the Kafka settings");
    }
    match error.rdkafka_error_code()? {
        Code::SaslAuthenticationFailed | Code::Authentication | Code::UnsupportedSASLMechanism => {
            Some("check the user, the password and the mechanism in the Kafka settings")
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => Some("grant this user the ACLs of a processor"),
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
            Some("create the topics with `millrace topics apply`")
        }
        Code::MessageSizeTooLarge => {
            Some("send less, such as a reference to the data; or raise max.message.bytes of the topic")
        }
        Code::UnsupportedFeature | Code::UnsupportedVersion => Some("use brokers of Kafka 2.5 or newer"),
        _ => None,
    }
}

/// The result of work that blocks, done where it may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => {
            unreachable!(
                "blocking work that has begun is not cancelled, and the runtime that awaits it is alive"
            )
        }
    }
}
