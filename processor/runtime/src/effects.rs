//! The outputs that take time: each runs as a task of its own, and what comes of it goes back into the lane's mailbox. Slow or absent
//! dependencies are tried again for as long as the incarnation lives.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use millrace_partition::{ChangelogRecord, Config, FlushRequest, Input, Source};
use millrace_placement::{PartitionIndex, TimerBucket, home, key_group};
use millrace_schemas::codec::Codec;
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::registry::Registry;
use millrace_schemas::{InstanceId, Offset, Stamp, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::lane::Message;
use crate::log::{Incarnation, Log, LogError, backoff};
use crate::metrics::Metrics;
use crate::programs::CatchUp;
use crate::store::{SnapshotStore, StoreError};

/// Snapshot reads of one request that are on their way at the same time (state protocol 2.4).
const LOADS_IN_FLIGHT: usize = 128;

/// Performs outputs.
#[derive(Clone, Debug)]
pub(crate) struct Effects<L, S> {
    pub(crate) log: L,
    pub(crate) store: S,
    pub(crate) codec: Codec,
    pub(crate) schemas: Option<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) catch_up: CatchUp<L>,
    pub(crate) mailbox: mpsc::Sender<Message>,
    pub(crate) config: Arc<Config>,
}

/// The incarnation died: nobody waits any more.
struct Gone;

impl<L: Log, S: SnapshotStore> Effects<L, S> {
    /// State protocol 2.3, steps 2 to 4: the stable offset first, and only then the high watermark.
    pub(crate) fn acquire(&self, incarnation: &Incarnation) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let partition = incarnation.partition();
            let acquired: Result<Input, Gone> = async {
                let internal_offset =
                    this.log_retrying(&incarnation, || this.log.stable_internal_offset(partition)).await?;
                let (changelog_start, changelog_end) =
                    this.log_retrying(&incarnation, || this.log.changelog_bounds(partition)).await?;
                let row = this
                    .store_retrying(&incarnation, "load_checkpoint", || this.store.load_checkpoint(partition))
                    .await?;
                let checkpoint = row.and_then(|(_, value)| this.checkpoint(partition, &value));
                Ok(Input::Acquired { checkpoint, changelog_start, changelog_end, internal_offset })
            }
            .await;
            if let Ok(input) = acquired {
                this.send(incarnation, input).await;
            }
        });
    }

    /// A checkpoint that cannot be read costs a longer replay, nothing else: the log is not trimmed yet.
    fn checkpoint(&self, partition: PartitionIndex, value: &[u8]) -> Option<Checkpoint> {
        match self.codec.decode_checkpoint(value) {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                warn!(
                    partition = partition.0,
                    error = &error as &dyn std::error::Error,
                    "the checkpoint row cannot be read; restoring from the beginning of the changelog"
                );
                None
            }
        }
    }

    pub(crate) fn read_changelog(&self, incarnation: &Incarnation, from: Offset, until: Offset) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let (sink, mut records) = mpsc::channel::<Vec<ChangelogRecord>>(16);
            let reading = this.log.read_changelog(incarnation.partition(), from, until, sink);
            let forwarding = async {
                while let Some(records) = records.recv().await {
                    this.send(incarnation.clone(), Input::ChangelogRecords(records)).await;
                }
            };
            let (read, ()) = futures_util::join!(reading, forwarding);
            match read {
                Ok(()) => this.send(incarnation, Input::ChangelogRead).await,
                Err(error) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    this.failed(incarnation, &error).await;
                }
            }
        });
    }

    pub(crate) fn follow(&self, incarnation: &Incarnation, sources: Vec<(Source, Offset)>) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            // Only one error leaves the loop: that the incarnation is gone.
            let _ = this.log_retrying(&incarnation, || this.log.follow(&incarnation, sources.clone())).await;
        });
    }

    pub(crate) fn pause(&self, incarnation: &Incarnation) {
        self.log.pause(&self.config.sources(incarnation.partition()).collect::<Vec<_>>());
    }

    pub(crate) fn resume(&self, incarnation: &Incarnation) {
        self.log.resume(&self.config.sources(incarnation.partition()).collect::<Vec<_>>());
    }

    pub(crate) fn load_snapshots(&self, incarnation: &Incarnation, ids: Vec<InstanceId>) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let loads = futures_util::stream::iter(ids)
                .map(|id| {
                    let (this, incarnation) = (&this, &incarnation);
                    async move {
                        let row = this
                            .store_retrying(incarnation, "load_snapshot", || this.store.load_snapshot(&id))
                            .await?;
                        Ok::<_, Gone>((id, row))
                    }
                })
                .buffer_unordered(LOADS_IN_FLIGHT)
                .collect::<Vec<_>>()
                .await;
            if let Ok(rows) = loads.into_iter().collect::<Result<Vec<_>, Gone>>() {
                this.send(incarnation, Input::SnapshotsLoaded(rows)).await;
            }
        });
    }

    pub(crate) fn catch_up_definitions(&self, incarnation: &Incarnation) {
        let (mut this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            this.catch_up.now().await;
            this.send(incarnation, Input::DefinitionsCaughtUp).await;
        });
    }

    pub(crate) fn load_schema(&self, incarnation: &Incarnation, id: u32) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let Some(registry) = &this.schemas else {
                this.codec.forget_as_unknown(id);
                return this.send(incarnation, Input::SchemaLoaded(id)).await;
            };
            let mut attempt = 0;
            while incarnation.is_alive() {
                match registry.schema(id).await {
                    Ok(Some(schema)) => {
                        if let Err(error) = this.codec.learn(id, &schema.text) {
                            warn!(
                                id,
                                error = &error as &dyn std::error::Error,
                                "a schema of the registry cannot be used"
                            );
                            this.codec.forget_as_unknown(id);
                        }
                        break;
                    }
                    Ok(None) => {
                        this.codec.forget_as_unknown(id);
                        break;
                    }
                    Err(error) => {
                        warn!(
                            id,
                            error = &error as &dyn std::error::Error,
                            "cannot fetch a schema; trying again"
                        );
                        tokio::time::sleep(backoff(attempt)).await;
                        attempt += 1;
                    }
                }
            }
            this.send(incarnation, Input::SchemaLoaded(id)).await;
        });
    }

    pub(crate) fn flush(&self, incarnation: &Incarnation, request: FlushRequest) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let flushed = this.store_retrying(&incarnation, "flush", || this.store.flush(&request)).await;
            if flushed.is_ok() {
                this.send(incarnation, Input::Flushed(request.id)).await;
            }
        });
    }

    /// Ends when the row is written, or the incarnation is gone.
    pub(crate) fn save_checkpoint(
        &self,
        incarnation: &Incarnation,
        stamp: Stamp,
        value: Bytes,
    ) -> JoinHandle<()> {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let save = || this.store.save_checkpoint(incarnation.partition(), stamp, value.clone());
            // Only one error leaves the loop: that the incarnation is gone.
            let _ = this.store_retrying(&incarnation, "save_checkpoint", save).await;
        })
    }

    pub(crate) fn load_timers(&self, incarnation: &Incarnation, from: Timestamp, until: Timestamp) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let index = incarnation.partition();
            let partitions = this.config.partitions;
            let buckets: Vec<TimerBucket> = TimerBucket::owned_by(index, partitions).collect();
            let load = || this.store.load_timers(&buckets, from, until);
            if let Ok(mut timers) = this.store_retrying(&incarnation, "load_timers", load).await {
                // With more partitions than buckets, a bucket is shared.
                timers.retain(|it| home(key_group(it.instance.as_str().as_bytes()), partitions) == index);
                this.send(incarnation, Input::TimersLoaded { from, until, timers }).await;
            }
        });
    }

    async fn send(&self, incarnation: Incarnation, input: Input) {
        // The lane outlives its effects, but for the end of the process.
        let _ = self.mailbox.send(Message::Input { incarnation, input }).await;
    }

    async fn failed(&self, incarnation: Incarnation, error: &LogError) {
        let error = chain(error);
        let _ = self.mailbox.send(Message::Failed { incarnation, error }).await;
    }

    async fn log_retrying<T, F>(
        &self,
        incarnation: &Incarnation,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Gone>
    where
        F: Future<Output = Result<T, LogError>>,
    {
        let mut attempt = 0;
        while incarnation.is_alive() {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    warn!(
                        partition = incarnation.partition().0,
                        error = &error as &dyn std::error::Error,
                        "the log does not answer; trying again"
                    );
                    tokio::time::sleep(backoff(attempt)).await;
                    attempt += 1;
                }
            }
        }
        Err(Gone)
    }

    async fn store_retrying<T, F>(
        &self,
        incarnation: &Incarnation,
        operation: &'static str,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Gone>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempt = 0;
        while incarnation.is_alive() {
            let began = Instant::now();
            let result = call().await;
            self.metrics
                .store_duration
                .with_label_values(&[operation])
                .observe(began.elapsed().as_secs_f64());
            match result {
                Ok(value) => return Ok(value),
                Err(error) => {
                    self.metrics.store_errors.with_label_values(&[operation]).inc();
                    warn!(
                        partition = incarnation.partition().0,
                        operation,
                        error = &error as &dyn std::error::Error,
                        "the store does not answer; trying again"
                    );
                    tokio::time::sleep(backoff(attempt)).await;
                    attempt += 1;
                }
            }
        }
        Err(Gone)
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
