//! What librdkafka has to say goes to the log.

use std::sync::{Arc, Mutex};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, info, warn};

/// Passes librdkafka's log lines on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug_error(&error, reason);
    }
}

impl ConsumerContext for Logging {}

/// The same, and remembers why there is no connection: a request does not tell, to it no broker has answered in time. librdkafka tells whoever
/// polls the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembering {
    /// What was said last of a connection that failed.
    failure: Arc<Mutex<Option<String>>>,
}

impl Remembering {
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().expect("nothing panics while it is held").clone()
    }

    /// There is a connection.
    pub(crate) fn forget(&self) {
        *self.failure.lock().expect("nothing panics while it is held") = None;
    }
}

impl ClientContext for Remembering {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug_error(&error, reason);
        // That all brokers are down says nothing of why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.failure.lock().expect("nothing panics while it is held") = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Remembering {}

pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            error!(target: "librdkafka", facility, "{message}");
        }
        // A transaction that fails in a rebalance is an error to librdkafka, and daily business to us.
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            warn!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => info!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Connections that break are mended by librdkafka; what does not mend fails a call, and is reported there.
pub(crate) fn debug_error(error: &KafkaError, reason: &str) {
    debug!(target: "librdkafka", error = error as &dyn std::error::Error, "{reason}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_connection_failed_is_remembered_until_there_is_one() {
        let context = Remembering::default();
        let error = |code: RDKafkaErrorCode| KafkaError::Global(code);
        context.error(error(RDKafkaErrorCode::Authentication), "b:9093: SASL authentication error: no");
        context.error(error(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(context.failure().as_deref(), Some("b:9093: SASL authentication error: no"));
        context.forget();
        assert_eq!(context.failure(), None);
    }
}
