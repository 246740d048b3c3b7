//! One member of the fleet: a processor and its API, started and stopped together. `processor` and `dev` differ in what they hand it.

use std::net::SocketAddr;
use std::sync::Arc;

use millrace_kafka_log::KafkaLog;
use millrace_metrics::Catalogue;
use millrace_otlp::Counters;
use millrace_runtime::store::SnapshotStore;
use millrace_runtime::{Metrics, Processor, ProcessorConfig, ProcessorHandle};
use millrace_schemas::codec::Codec;
use millrace_schemas::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clients::{AnyStore, Kafka};
use crate::exit::{Exit, Failure};
use crate::http::{self, Api, Security};
use crate::reading::Peers;
use crate::requests::Fleet;

/// What a member is made of.
pub(crate) struct Parts<S> {
    pub(crate) config: ProcessorConfig,
    pub(crate) log: KafkaLog,
    pub(crate) store: S,
    pub(crate) codec: Codec,
    pub(crate) registry: Option<Registry>,
    pub(crate) kafka: Kafka,
    /// How the other members are asked.
    pub(crate) peers: Peers,
    /// Who may ask this one.
    pub(crate) security: Security,
    /// Ends what goes on beside the requests.
    pub(crate) closing: CancellationToken,
    pub(crate) listener: TcpListener,
    /// Where others reach the API.
    pub(crate) url: String,
}

/// A member that has not begun yet.
pub(crate) struct Member<S> {
    processor: Processor<KafkaLog, S>,
    listener: TcpListener,
    api: Api,
    security: Security,
}

impl<S: SnapshotStore + Into<AnyStore>> Member<S> {
    pub(crate) fn new(parts: Parts<S>) -> Self {
        let Parts { config, log, store, codec, registry, kafka, peers, security, closing, listener, url } =
            parts;
        let metrics = prometheus::Registry::new();
        let mut catalogue = Catalogue::new(&metrics);
        let own = Metrics::new(&mut catalogue);
        kafka.traces().count_in(Counters::new(&mut catalogue));
        catalogue.process(env!("CARGO_PKG_VERSION"));
        let processor = Processor::new(config, log, store.clone(), codec.clone(), registry, own);
        let api = Api {
            url: url.into(),
            processor: processor.handle(),
            fleet: Fleet::of_a_member(Arc::new(kafka), codec),
            store: store.into(),
            peers,
            metrics,
            turns: Arc::default(),
            closing,
            is_open: security.is_open(),
        };
        Self { processor, listener, api, security }
    }

    /// What it shows to Prometheus.
    pub(crate) fn metrics(&self) -> &prometheus::Registry {
        &self.api.metrics
    }

    /// How it does.
    pub(crate) fn handle(&self) -> ProcessorHandle {
        self.api.processor.clone()
    }

    /// Until `shutdown`; then the partitions are handed over in good order.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { processor, listener, api, security } = self;
        // The API outlives the processor: health checks and scrapes go on while the partitions are handed over.
        let api_shutdown = CancellationToken::new();
        let api = tokio::spawn(http::serve(listener, api, security, api_shutdown.clone()));
        info!("processor started");
        let ended = Box::pin(processor.run(shutdown)).await;
        api_shutdown.cancel();
        api.await??;
        ended.map_err(|error| {
            let fix =
                "see the log; when that is mended, start the processor again: it takes up where it stopped";
            Failure::new("the processor cannot go on", fix).because(error)
        })?;
        info!("processor stopped");
        Ok(())
    }
}

/// Where others reach an API that listens at `address`.
pub(crate) fn url_of(address: SocketAddr, settings: &http::Settings) -> String {
    let scheme = if settings.speaks_tls() { "https" } else { "http" };
    if address.ip().is_unspecified() {
        return format!("{scheme}://localhost:{}", address.port());
    }
    format!("{scheme}://{address}")
}

/// SIGTERM and SIGINT end the process in good order; a second one ends it at once.
pub(crate) fn stop_on_signals(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for attempt in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if attempt > 0 {
                warn!(
                    "a second signal: stopping at once; what is not handed over is restored by whoever comes next"
                );
                std::process::exit(i32::from(Exit::Failure.code()));
            }
            shutdown.cancel();
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests;
