//! Collects spans and sends them, beside everything else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millrace_traces::{Sink, Span, Tracer};
use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{ExporterBuildError, RetryPolicy, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::client::Client;
use crate::convert;
use crate::counters::{Counters, Dropped};
use crate::settings::{Identity, Settings};

/// How often there is a line about a collector that takes nothing.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// The pause before a batch that was not taken is sent once more.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no client.
    #[error("the client for the collector of traces cannot be made")]
    Client(#[source] reqwest::Error),
    /// A setting is not possible.
    #[error("the exporter of traces cannot be made")]
    Exporter(#[source] ExporterBuildError),
}

/// Sends spans to a collector. Cheap to clone. When the last clone is dropped, what waits is not sent any more: see [`Self::flush`].
#[derive(Clone, Debug)]
pub struct Exporter {
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    figures: Arc<Figures>,
}

/// What is counted, before and after there is somebody who shows it.
#[derive(Debug, Default)]
struct Figures {
    counters: OnceLock<Counters>,
    /// Since the last line about it.
    untold: AtomicU64,
}

impl Figures {
    fn dropped(&self, why: Dropped, count: usize) {
        self.untold.fetch_add(count as u64, Ordering::Relaxed);
        if let Some(counters) = self.counters.get() {
            counters.dropped(why, count);
        }
    }
}

/// The way into the queue.
#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<Span>,
    figures: Arc<Figures>,
}

impl Sink for Queue {
    fn take(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.figures.dropped(Dropped::QueueFull, 1);
        }
    }
}

impl Exporter {
    /// Starts to send what the tracer records, on the runtime that this is called on. Whether there is a collector is not asked.
    ///
    /// # Errors
    /// When a setting is not possible.
    pub fn start(settings: &Settings, identity: &Identity) -> Result<(Tracer, Self), StartError> {
        let client = Client::new(settings.timeout).map_err(StartError::Client)?;
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_endpoint(settings.endpoint.clone())
            .with_timeout(settings.timeout)
            // Its own pauses would block a thread of the runtime.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(StartError::Exporter)?;
        exporter.set_resource(&convert::resource(identity));
        let (spans, waiting) = mpsc::channel(settings.queue_max);
        let (flushes, asked) = mpsc::channel(1);
        let figures = Arc::new(Figures::default());
        let sender = Sender {
            exporter,
            client,
            scope: convert::scope(identity.version),
            endpoint: settings.shown_endpoint(),
            batch_max: settings.batch_max,
            delay: settings.delay,
            figures: Arc::clone(&figures),
            complained_at: None,
            is_broken: false,
        };
        tokio::spawn(sender.run(waiting, asked));
        let queue = Queue { spans, figures: Arc::clone(&figures) };
        Ok((Tracer::new(settings.sampler, Arc::new(queue)), Self { flushes, figures }))
    }

    /// Shows what becomes of spans from now on.
    pub fn count_in(&self, counters: Counters) {
        // A process with two pages of metrics shows them on the first.
        let _ = self.figures.counters.set(counters);
    }

    /// Sends what waits, for as long as that may take at most.
    pub async fn flush(&self, limit: Duration) {
        let flushed = async {
            let (done, is_done) = oneshot::channel();
            if self.flushes.send(done).await.is_ok() {
                let _ = is_done.await;
            }
        };
        if tokio::time::timeout(limit, flushed).await.is_err() {
            warn!("the collector of traces does not take the last spans in time; they are lost");
        }
    }
}

/// The task that sends.
struct Sender {
    exporter: opentelemetry_otlp::SpanExporter,
    client: Client,
    scope: InstrumentationScope,
    /// For people.
    endpoint: String,
    batch_max: usize,
    delay: Duration,
    figures: Arc<Figures>,
    complained_at: Option<Instant>,
    /// The last batch was not taken.
    is_broken: bool,
}

impl Sender {
    async fn run(
        mut self,
        mut waiting: mpsc::Receiver<Span>,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let mut batch = Vec::new();
        let mut due = Instant::now();
        loop {
            let room = self.batch_max - batch.len();
            let is_first = batch.is_empty();
            tokio::select! {
                biased; // Whoever asks for the rest waits for it.
                Some(done) = asked.recv() => {
                    while let Ok(span) = waiting.try_recv() {
                        batch.push(span);
                        if batch.len() == self.batch_max {
                            self.send(&mut batch, false).await;
                        }
                    }
                    self.send(&mut batch, false).await;
                    // Whoever has asked may have gone.
                    let _ = done.send(());
                }
                count = waiting.recv_many(&mut batch, room) => {
                    if count == 0 {
                        // Nobody records any more.
                        return self.send(&mut batch, false).await;
                    }
                    if is_first {
                        due = Instant::now() + self.delay;
                    }
                    if batch.len() == self.batch_max {
                        self.send(&mut batch, true).await;
                    }
                }
                () = tokio::time::sleep_until(due), if !is_first => self.send(&mut batch, true).await,
            }
        }
    }

    /// Sends the batch, which is empty then, whatever became of it. `again`: once more, if it is not taken.
    async fn send(&mut self, batch: &mut Vec<Span>, again: bool) {
        if batch.is_empty() {
            return;
        }
        let spans: Vec<_> = batch.drain(..).map(|it| convert::span(it, &self.scope)).collect();
        let count = spans.len();
        let mut sent = self.exporter.export(spans.clone()).await;
        // One that is away for long is not asked twice: others are waiting.
        if sent.is_err() && again && !self.is_broken {
            tokio::time::sleep(AGAIN_AFTER).await;
            sent = self.exporter.export(spans).await;
        }
        match sent {
            Ok(()) => {
                if std::mem::take(&mut self.is_broken) {
                    info!(endpoint = self.endpoint, "the collector of traces takes spans again");
                }
                if let Some(counters) = self.figures.counters.get() {
                    counters.exported.inc_by(count as u64);
                }
            }
            Err(error) => {
                self.is_broken = true;
                self.figures.dropped(Dropped::ExportFailed, count);
                self.complain(&self.client.take_trouble().unwrap_or_else(|| error.to_string()));
                return;
            }
        }
        if self.figures.untold.load(Ordering::Relaxed) > 0 {
            self.complain("spans come faster than it takes them");
        }
    }

    /// Not more than now and then.
    fn complain(&mut self, why: &str) {
        if self.complained_at.is_some_and(|it| it.elapsed() < COMPLAIN_EVERY) {
            return;
        }
        self.complained_at = Some(Instant::now());
        let dropped = self.figures.untold.swap(0, Ordering::Relaxed);
        warn!(
            endpoint = self.endpoint,
            dropped,
            why,
            "spans are dropped, for the collector of traces does not take them; nothing else suffers from it"
        );
    }
}
