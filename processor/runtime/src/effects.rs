//! The outputs that take time: each runs as a task of its own, and what comes of it goes back into the lane's mailbox. Slow or absent
//! dependencies are tried again for as long as the incarnation lives.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use millrace_partition::{ChangelogRecord, Config, FlushRequest, Input, Locate, Source, TimerSlice};
use millrace_placement::{PartitionIndex, TimerBucket, home, key_group};
use millrace_schemas::codec::Codec;
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::registry::Registry;
use millrace_schemas::{InstanceId, Offset, Stamp, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::lane::Message;
use crate::log::{Incarnation, Log, LogError, backoff};
use crate::metrics::{Metrics, Operation};
use crate::programs::CatchUp;
use crate::pulse::Pulse;
use crate::store::{LoadedSnapshot, OwnerRow, SnapshotStore, StoreError};
use crate::topics::Told;

/// Snapshots that are asked for together, and how many such requests are on their way at the same time (state protocol 2.4).
const LOADED_AT_ONCE: usize = 120;
const LOADS_IN_FLIGHT: usize = 8;

/// Performs outputs.
#[derive(Clone, Debug)]
pub(crate) struct Effects<L, S> {
    pub(crate) log: L,
    pub(crate) store: S,
    pub(crate) codec: Codec,
    pub(crate) schemas: Option<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) catch_up: CatchUp<L>,
    pub(crate) topics: watch::Receiver<Told>,
    pub(crate) mailbox: mpsc::Sender<Message>,
    pub(crate) config: Arc<Config>,
    /// Transactional ids of this processor.
    pub(crate) own_ids: Arc<[String]>,
    /// Of the lane.
    pub(crate) pulse: Pulse,
}

/// The incarnation died: nobody waits any more.
struct Gone;

/// A restore that waits for somebody's transaction.
#[derive(Debug, Default)]
struct HoldUp {
    /// The last owner's was ended. If that did not help, it is another one's.
    was_ended: bool,
}

impl<L: Log, S: SnapshotStore> Effects<L, S> {
    /// State protocol 2.3, steps 2 to 4: the stable offset first, and only then the high watermark.
    pub(crate) fn acquire(&self, incarnation: &Incarnation) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let partition = incarnation.partition();
            let acquired: Result<Input, Gone> = async {
                let internal_offset = this.stable_internal_offset(&incarnation).await?;
                debug!(partition = partition.0, offset = ?internal_offset, "the group's offset is stable");
                let (changelog_start, changelog_end) =
                    this.log_retrying(&incarnation, || this.log.changelog_bounds(partition)).await?;
                debug!(
                    partition = partition.0,
                    start = changelog_start.0,
                    end = changelog_end.0,
                    "the changelog's bounds are known"
                );
                let row = this
                    .store_retrying(&incarnation, Operation::LoadCheckpoint, || {
                        this.store.load_checkpoint(partition)
                    })
                    .await?;
                let checkpoint = row.and_then(|(_, value)| this.checkpoint(partition, &value));
                debug!(
                    partition = partition.0,
                    offset = ?checkpoint.as_ref().map(|it| it.changelog_offset),
                    "the checkpoint is read"
                );
                Ok(Input::Acquired { checkpoint, changelog_start, changelog_end, internal_offset })
            }
            .await;
            if let Ok(input) = acquired {
                this.send(incarnation, input).await;
            }
        });
    }

    /// F3.
    async fn stable_internal_offset(&self, incarnation: &Incarnation) -> Result<Option<Offset>, Gone> {
        let mut holdup = HoldUp::default();
        loop {
            let stable = || async {
                match self.log.stable_internal_offset(incarnation.partition()).await {
                    Err(error @ LogError::HeldUp { .. }) => Ok(Err(error)),
                    other => other.map(Ok),
                }
            };
            match self.log_retrying(incarnation, stable).await? {
                Ok(offset) => return Ok(offset),
                Err(error) => self.held_up(incarnation, &error, &mut holdup).await,
            }
        }
    }

    /// A transaction that the last owner left open is in the way. Ends it, once: the group has given the partition to us, so its
    /// owner can commit nothing more, but the broker would keep the transaction open until it times out.
    async fn held_up(&self, incarnation: &Incarnation, error: &LogError, holdup: &mut HoldUp) {
        let partition = incarnation.partition();
        warn!(partition = partition.0, error = error as &dyn std::error::Error, "the restore is held up");
        if std::mem::replace(&mut holdup.was_ended, true) {
            return;
        }
        let owner =
            self.store_retrying(incarnation, Operation::LoadOwner, || self.store.load_owner(partition)).await;
        let Ok(Some(OwnerRow { transactional_id, .. })) = owner else { return };
        if self.own_ids.contains(&transactional_id) || !incarnation.is_alive() {
            return;
        }
        // Nobody waits for it: the client hears that it has succeeded up to a second after the transaction has ended.
        let log = self.log.clone();
        tokio::spawn(async move {
            match log.end_transaction_of(&transactional_id).await {
                Ok(()) => {
                    info!(partition = partition.0, transactional_id, "ended the last owner's transaction")
                }
                Err(error) => warn!(
                    partition = partition.0,
                    transactional_id,
                    error = &error as &dyn std::error::Error,
                    "cannot end the last owner's transaction; waiting for its time-out"
                ),
            }
        });
    }

    /// A checkpoint that cannot be read costs a longer replay, and more of the log than is left if it was trimmed: then the
    /// partition says so and stops.
    fn checkpoint(&self, partition: PartitionIndex, value: &[u8]) -> Option<Checkpoint> {
        match self.codec.decode_checkpoint(value) {
            Ok(checkpoint) => Some(checkpoint),
            Err(error) => {
                warn!(
                    partition = partition.0,
                    error = &error as &dyn std::error::Error,
                    "the checkpoint row cannot be read, and counts as missing"
                );
                None
            }
        }
    }

    pub(crate) fn read_changelog(
        &self,
        incarnation: &Incarnation,
        from: Offset,
        until: Offset,
        bytes_max: usize,
    ) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let mut holdup = HoldUp::default();
            while incarnation.is_alive() {
                let (sink, mut records) = mpsc::channel::<Vec<ChangelogRecord>>(16);
                let reading = this.log.read_changelog(incarnation.partition(), from, until, bytes_max, sink);
                let forwarding = async {
                    while let Some(records) = records.recv().await {
                        this.send(incarnation.clone(), Input::ChangelogRecords(records)).await;
                    }
                };
                let (read, ()) = futures_util::join!(reading, forwarding);
                match read {
                    Ok(position) => {
                        debug!(
                            partition = incarnation.partition().0,
                            from = from.0,
                            position = position.0,
                            until = until.0,
                            "a stretch of the changelog is read"
                        );
                        return this.send(incarnation, Input::ChangelogRead { position }).await;
                    }
                    // Nothing was sent.
                    Err(error @ LogError::HeldUp { .. }) => {
                        this.held_up(&incarnation, &error, &mut holdup).await;
                    }
                    Err(error) => {
                        return this.acquire_again(&incarnation, chain(&error), Duration::from_secs(1));
                    }
                }
            }
        });
    }

    /// Makes the incarnation anew, after a while.
    pub(crate) fn acquire_again(&self, incarnation: &Incarnation, error: String, after: Duration) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // The lane outlives its effects, but for the end of the process.
            let _ = this.mailbox.send(Message::Failed { incarnation, error }).await;
        });
    }

    pub(crate) fn follow(&self, incarnation: &Incarnation, sources: Vec<(Source, Offset)>) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let follow = || async {
                match this.log.follow(&incarnation, sources.clone()).await {
                    Err(error @ LogError::Fatal { .. }) => Ok(Err(error)),
                    other => other.map(Ok),
                }
            };
            match this.log_retrying(&incarnation, follow).await {
                Ok(Ok(())) => {
                    debug!(partition = incarnation.partition().0, ?sources, "the sources are followed");
                }
                Ok(Err(error)) => {
                    let detail = chain(&error);
                    // The lane outlives its effects, but for the end of the process.
                    let _ = this
                        .mailbox
                        .send(Message::Stopped { incarnation: incarnation.clone(), detail })
                        .await;
                }
                // The incarnation is gone.
                Err(Gone) => {}
            }
        });
    }

    pub(crate) fn unfollow(&self, incarnation: &Incarnation, sources: Vec<Source>) {
        self.log.unfollow(incarnation, sources);
    }

    /// Asks again for as long as definitions name the topic and the brokers know the partition; then nobody waits for it any more.
    pub(crate) fn locate(&self, incarnation: &Incarnation, Locate { source, since }: Locate) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let mut attempt = 0;
            while incarnation.is_alive() && this.is_named(&source) {
                match this.log.locate(&source, since).await {
                    Ok(located) => return this.send(incarnation, Input::Located(located)).await,
                    Err(error) => {
                        warn!(
                            partition = incarnation.partition().0,
                            ?source,
                            error = &error as &dyn std::error::Error,
                            "cannot find the bounds of a topic; trying again"
                        );
                        tokio::time::sleep(backoff(attempt)).await;
                        attempt += 1;
                    }
                }
            }
        });
    }

    fn is_named(&self, source: &Source) -> bool {
        let Source::Topic(topic, partition) = source else { return true };
        let told = self.topics.borrow();
        let named = told.iter().flat_map(|it| it.iter()).find(|it| it.topic == *topic);
        named.is_some_and(|it| i64::from(*partition) < i64::from(it.partitions))
    }

    pub(crate) fn load_snapshots(&self, incarnation: &Incarnation, ids: Vec<InstanceId>) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            // In slices: what fails is asked for again, and not all that was asked for with it.
            let slices: Vec<_> = ids.chunks(LOADED_AT_ONCE).map(|ids| this.load(&incarnation, ids)).collect();
            let loaded = stream::iter(slices).buffered(LOADS_IN_FLIGHT).try_concat().await;
            if let Ok(rows) = loaded {
                // A row that can never be read is the trouble of one instance, not of all that wait for this answer.
                let rows = rows.into_iter().map(|row| row.map_err(|error| chain(&error)));
                let rows = ids.iter().cloned().zip(rows).collect();
                this.send(incarnation, Input::SnapshotsLoaded(rows)).await;
            }
        });
    }

    async fn load(&self, incarnation: &Incarnation, ids: &[InstanceId]) -> Result<Vec<LoadedSnapshot>, Gone> {
        let load = || self.load_or_tell(ids);
        self.store_retrying(incarnation, Operation::LoadSnapshots, load).await
    }

    /// Where the whole request can never succeed, it is asked which of the rows cannot be read.
    async fn load_or_tell(&self, ids: &[InstanceId]) -> Result<Vec<LoadedSnapshot>, StoreError> {
        match self.store.load_snapshots(ids).await {
            Err(error) if error.is_permanent => {
                let error = &error as &dyn std::error::Error;
                warn!(error, snapshots = ids.len(), "cannot read these together; trying one by one");
            }
            other => return other,
        }
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            rows.push(match self.store.load_snapshot(id).await {
                Err(error) if !error.is_permanent => return Err(error),
                row => row,
            });
        }
        Ok(rows)
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
            let flushed =
                this.store_retrying(&incarnation, Operation::Flush, || this.store.flush(&request)).await;
            if flushed.is_ok() {
                this.metrics.store.flushed(&request);
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
            let _ = this.store_retrying(&incarnation, Operation::SaveCheckpoint, save).await;
        })
    }

    pub(crate) fn save_owner(&self, incarnation: &Incarnation, owner: OwnerRow) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let save = || this.store.save_owner(incarnation.partition(), &owner);
            // Only one error leaves the loop: that the incarnation is gone.
            let _ = this.store_retrying(&incarnation, Operation::SaveOwner, save).await;
        });
    }

    pub(crate) fn read_checkpoint(&self, incarnation: &Incarnation) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let partition = incarnation.partition();
            let load = || this.store.load_checkpoint(partition);
            if let Ok(row) = this.store_retrying(&incarnation, Operation::LoadCheckpoint, load).await {
                let checkpoint = row.and_then(|(_, value)| this.checkpoint(partition, &value));
                this.send(incarnation, Input::CheckpointRead(checkpoint)).await;
            }
        });
    }

    /// Once: the next checkpoint brings another chance.
    pub(crate) fn trim_changelog(&self, incarnation: &Incarnation, before: Offset, keep_since: Timestamp) {
        let (this, partition) = (self.clone(), incarnation.partition());
        tokio::spawn(async move {
            match this.log.trim_changelog(partition, before, keep_since).await {
                Ok(start) => debug!(partition = partition.0, start = start.0, "changelog trimmed"),
                Err(error) => warn!(
                    partition = partition.0,
                    error = &error as &dyn std::error::Error,
                    "cannot trim the changelog; trying again after a later checkpoint"
                ),
            }
        });
    }

    pub(crate) fn load_timers(&self, incarnation: &Incarnation, slice: TimerSlice) {
        let (this, incarnation) = (self.clone(), incarnation.clone());
        tokio::spawn(async move {
            let index = incarnation.partition();
            let partitions = this.config.partitions;
            let buckets: Vec<TimerBucket> = TimerBucket::owned_by(index, partitions).collect();
            let load = || this.store.load_timers(&buckets, &slice);
            if let Ok(mut page) = this.store_retrying(&incarnation, Operation::LoadTimers, load).await {
                // With more partitions than buckets, a bucket is shared.
                page.timers
                    .retain(|it| home(key_group(it.instance.as_str().as_bytes()), partitions) == index);
                this.metrics.timer_page();
                this.send(incarnation, Input::TimersLoaded { from: slice.from, page }).await;
            }
        });
    }

    /// Once: what stays is removed by the store in time.
    pub(crate) fn drop_timers(&self, incarnation: &Incarnation, from: Timestamp, until: Timestamp) {
        let (this, index) = (self.clone(), incarnation.partition());
        tokio::spawn(async move {
            let buckets: Vec<TimerBucket> = TimerBucket::owned_by(index, this.config.partitions).collect();
            match this.store.drop_timers(&buckets, from, until).await {
                Ok(()) => {
                    debug!(partition = index.0, until = until.0, "old hours of the timer index dropped")
                }
                Err(error) => warn!(
                    partition = index.0,
                    error = &error as &dyn std::error::Error,
                    "cannot drop old hours of the timer index; they stay until they expire"
                ),
            }
        });
    }

    async fn send(&self, incarnation: Incarnation, input: Input) {
        // The lane outlives its effects, but for the end of the process.
        let _ = self.mailbox.send(Message::Input { incarnation, input }).await;
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
        operation: Operation,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Gone>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempt = 0;
        while incarnation.is_alive() && !self.pulse.has_stopped() {
            let began = Instant::now();
            let result = call().await;
            self.metrics.store.did(operation, began.elapsed(), result.is_ok());
            match result {
                Ok(value) => return Ok(value),
                Err(error) => {
                    warn!(
                        partition = incarnation.partition().0,
                        operation = operation.name(),
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
