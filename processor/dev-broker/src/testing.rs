//! A broker for the tests of other crates, so that one suite runs on both: on Apache Kafka where `KAFKA_BOOTSTRAP` names one, and on
//! this broker otherwise.

use std::sync::OnceLock;
use std::time::Duration;

use crate::{Config, DevBroker};

/// Whether the tests run on Apache Kafka. What this broker does not have, such as KIP-848 groups, is left out otherwise.
#[must_use]
pub fn is_apache_kafka() -> bool {
    std::env::var_os("KAFKA_BOOTSTRAP").is_some()
}

/// `bootstrap.servers` for this process: those of `KAFKA_BOOTSTRAP`, or a broker of our own that ends with the process.
///
/// # Panics
/// When the broker does not start.
#[must_use]
pub fn bootstrap() -> String {
    static EMBEDDED: OnceLock<String> = OnceLock::new();
    if let Ok(given) = std::env::var("KAFKA_BOOTSTRAP") {
        return given;
    }
    EMBEDDED.get_or_init(embedded).clone()
}

/// On threads of its own: each test has a runtime that ends with it.
fn embedded() -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("dev-broker".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
            runtime.block_on(async {
                let folder = tempfile::tempdir().expect("there is room for a folder");
                let config = Config {
                    maintenance_interval: Duration::from_millis(500),
                    // As `ops/cluster` sets Apache Kafka for the other half of the suite.
                    auto_create_topics: false,
                    group_session_timeout_min: Duration::from_secs(1),
                    ..Config::new(folder.path())
                };
                let broker = DevBroker::start(config).await.expect("the broker starts");
                sender.send(broker.bootstrap()).expect("a test waits for it");
                std::future::pending::<()>().await;
            });
        })
        .expect("a thread starts");
    receiver.recv().expect("the broker says where it is")
}
