//! What librdkafka has to say goes to the log.

use std::sync::{Arc, Mutex};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
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

/// The same, and remembers why there is no connection: a request does not tell, to it no broker has answered in time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembering {
    /// What librdkafka said last of a connection that failed.
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
        if facility == FAILED_CONNECTION {
            *self.failure.lock().expect("nothing panics while it is held") = Some(reason(message).to_owned());
        }
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug_error(&error, reason);
    }
}

/// librdkafka's word for it in its log. Its error events would tell the same, but only whoever polls.
const FAILED_CONNECTION: &str = "FAIL";

/// Without the name of the thread.
fn reason(message: &str) -> &str {
    message.strip_prefix("[thrd:").and_then(|it| it.split_once("]: ")).map_or(message, |it| it.1)
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
        let said =
            "[thrd:sasl_ssl://b:9093/bootstrap]: sasl_ssl://b:9093/bootstrap: SASL authentication error: no";
        context.log(RDKafkaLogLevel::Error, "FAIL", said);
        context.log(RDKafkaLogLevel::Info, "OTHER", "nothing of interest");
        let wanted = "sasl_ssl://b:9093/bootstrap: SASL authentication error: no";
        assert_eq!(context.failure().as_deref(), Some(wanted));
        context.forget();
        assert_eq!(context.failure(), None);
    }
}
