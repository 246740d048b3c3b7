//! How a worker is put together.

use std::sync::Arc;
use std::time::Duration;

use millrace_schemas::codec::Codec;
use millrace_traces::Tracer;
use rdkafka::ClientConfig;

use crate::handler::Handler;
use crate::kafka;
use crate::metrics::WorkerMetrics;
use crate::router::Router;
use crate::span::Spans;
use crate::status::WorkerStatus;
use crate::worker::{Settings, Worker, WorkerError};

/// Builds a [`Worker`]: see [`Worker::builder`].
#[derive(Debug)]
pub struct WorkerBuilder {
    bootstrap: String,
    prefix: String,
    queue: Option<String>,
    group: Option<String>,
    concurrency: usize,
    speculative: bool,
    shutdown_limit: Duration,
    codec: Codec,
    router: Router,
    twice: Option<String>,
    kafka_options: Vec<(String, String)>,
    metrics: WorkerMetrics,
    tracer: Tracer,
}

impl WorkerBuilder {
    pub(crate) fn new(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            prefix: "millrace".to_owned(),
            queue: None,
            group: None,
            concurrency: 64,
            speculative: false,
            shutdown_limit: Duration::from_secs(30),
            codec: Codec::single_object(),
            router: Router::default(),
            twice: None,
            kafka_options: Vec::new(),
            metrics: WorkerMetrics::default(),
            tracer: Tracer::off(),
        }
    }

    /// The fleet's topic prefix. `millrace`, unless set.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// The queue to serve: the topic `<prefix>.commands.<queue>`. Required.
    #[must_use]
    pub fn queue(mut self, queue: &str) -> Self {
        self.queue = Some(queue.to_owned());
        self
    }

    /// The consumer group. `<prefix>.worker.<queue>`, unless set: all workers of a queue share its tasks.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Runs `handler` for tasks that name this function. At least one is required.
    #[must_use]
    pub fn function(mut self, name: &str, handler: impl Handler) -> Self {
        if !self.router.add(name.to_owned(), handler) {
            self.twice.get_or_insert_with(|| name.to_owned());
        }
        self
    }

    /// How many handlers run side by side at most. 64, unless set.
    #[must_use]
    pub fn concurrency(mut self, tasks: usize) -> Self {
        self.concurrency = tasks;
        self
    }

    /// Whether tasks are begun before the transaction that sends them out is committed. Off, unless set.
    ///
    /// It spares each task most of a transaction's time. The price: should that transaction be aborted, as it is when a processor dies or is
    /// replaced, the task was done for nothing, with arguments that may never have been. It is sent out again, with the same
    /// idempotency key and another token, and the answer to the first is refused. So it is for handlers that do no harm then. A service
    /// that is given the idempotency key answers the second call as the first, even if the arguments were others by then: give it the
    /// token, too, or do not speculate, where that matters.
    #[must_use]
    pub fn speculative(mut self, speculative: bool) -> Self {
        self.speculative = speculative;
        self
    }

    /// How long running handlers may take after a shutdown began; they are dropped then, and their tasks run again elsewhere.
    /// 30 seconds, unless set.
    #[must_use]
    pub fn shutdown_limit(mut self, limit: Duration) -> Self {
        self.shutdown_limit = limit;
        self
    }

    /// How records are read. Needed for a fleet that writes in the Confluent wire format; see `Codec::with_registry`.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Sets an option of the Kafka clients (librdkafka's `CONFIGURATION.md`), such as `security.protocol`. Options that the
    /// delivery guarantee rests on cannot be changed.
    #[must_use]
    pub fn kafka_option(mut self, name: &str, value: &str) -> Self {
        self.kafka_options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where the worker counts. Those of [`WorkerMetrics::registered`] are shown by the registry; workers of several queues share them.
    #[must_use]
    pub fn metrics(mut self, metrics: &WorkerMetrics) -> Self {
        self.metrics = metrics.clone();
        self
    }

    /// Records a span for each task. Off, unless set: then tasks and answers carry the context of their records as it is.
    #[must_use]
    pub fn tracer(mut self, tracer: &Tracer) -> Self {
        self.tracer = tracer.clone();
        self
    }

    /// # Errors
    /// When something required is missing, or a setting is not possible. Kafka is not asked yet.
    pub fn build(self) -> Result<Worker, WorkerError> {
        let setting = |problem: String| Err(WorkerError::Setting { problem });
        let Some(queue) = self.queue else {
            return setting("there is no queue: call queue(\"...\")".to_owned());
        };
        if self.router.is_empty() {
            return setting("there is no function: call function(\"...\", handler)".to_owned());
        }
        if let Some(name) = self.twice {
            return setting(format!("function {name:?} has two handlers: give it one"));
        }
        if !(1..=tokio::sync::Semaphore::MAX_PERMITS).contains(&self.concurrency) {
            return setting("the concurrency must be 1 or more".to_owned());
        }
        if let Some((name, _)) =
            self.kafka_options.iter().find(|(name, _)| kafka::RESERVED.contains(&name.as_str()))
        {
            return setting(format!(
                "the Kafka option {name:?} is set by the worker, since its delivery guarantee rests on it"
            ));
        }
        let mut common = ClientConfig::new();
        common.set("bootstrap.servers", &self.bootstrap);
        // With TLS, and unless told otherwise: the authorities of this system, wherever it keeps them.
        common.set("ssl.ca.location", "probe");
        for (name, value) in &self.kafka_options {
            common.set(name, value);
        }
        let metrics = self.metrics.of(&queue, self.router.functions(), self.concurrency);
        let group = self.group.unwrap_or_else(|| format!("{}.worker.{queue}", self.prefix));
        let commands = format!("{}.commands.{queue}", self.prefix);
        Ok(Worker {
            spans: Spans { tracer: self.tracer, topic: commands.clone(), group: group.clone() },
            settings: Settings {
                commands,
                events: format!("{}.events", self.prefix),
                consumer: kafka::consumer_config(&common, &group, self.speculative),
                producer: kafka::producer_config(&common),
                concurrency: self.concurrency,
                shutdown_limit: self.shutdown_limit,
                queue,
            },
            codec: self.codec,
            router: Arc::new(self.router),
            status: WorkerStatus::new(metrics.ready.clone()),
            metrics: Arc::new(metrics),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;

    use super::*;
    use crate::{Task, TaskFailure};

    async fn nothing(_: Task) -> Result<Value, TaskFailure> {
        Ok(Value::Null)
    }

    fn problem(builder: WorkerBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn what_is_missing_or_impossible_is_named() {
        let complete = || Worker::builder("localhost:9092").queue("orders").function("charge", nothing);
        assert!(complete().build().is_ok());
        assert!(problem(Worker::builder("localhost:9092").function("charge", nothing)).contains("queue"));
        assert!(problem(Worker::builder("localhost:9092").queue("orders")).contains("function"));
        assert!(problem(complete().function("charge", nothing)).contains("\"charge\" has two handlers"));
        assert!(problem(complete().concurrency(0)).contains("concurrency"));
        assert!(
            problem(complete().kafka_option("enable.auto.commit", "true")).contains("enable.auto.commit")
        );
    }
}
