//! What the shell needs of a snapshot store (ScyllaDB, or any CQL server), as a trait.

use std::future::Future;

use bytes::Bytes;
use millrace_partition::{Attributes, FlushRequest, SnapshotRow, Term, TimerPage, TimerSlice};
use millrace_placement::{PartitionIndex, TimerBucket};
use millrace_schemas::{InstanceId, Stamp, Timestamp, WorkflowName, WorkflowVersion};

/// Errors of the store. All of them are worth another try, by the caller's back-off, unless `is_permanent`.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}")]
pub struct StoreError {
    /// What was tried.
    pub doing: String,
    /// Whether trying again is pointless (a missing table, a wrong password).
    pub is_permanent: bool,
    /// Why not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The store as the processor and the command line see it. Cheap to clone.
pub trait SnapshotStore: Clone + Send + Sync + 'static {
    /// The rows of these instances, in their order, at a quorum.
    fn load_snapshots(
        &self,
        instances: &[InstanceId],
    ) -> impl Future<Output = Result<Vec<LoadedSnapshot>, StoreError>> + Send;

    /// One of them. Its error is that of the row, or of the whole request.
    fn load_snapshot(&self, instance: &InstanceId) -> impl Future<Output = LoadedSnapshot> + Send {
        async move {
            let mut rows = self.load_snapshots(std::slice::from_ref(instance)).await?;
            rows.pop().expect("one answer for each instance")
        }
    }

    /// Writes all rows of a flush. Idempotent. On an error, any part may have been written.
    fn flush(&self, request: &FlushRequest) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The checkpoint row of a partition.
    fn load_checkpoint(
        &self,
        partition: PartitionIndex,
    ) -> impl Future<Output = Result<Option<(Stamp, Bytes)>, StoreError>> + Send;

    /// Writes the checkpoint row; an older stamp loses.
    fn save_checkpoint(
        &self,
        partition: PartitionIndex,
        stamp: Stamp,
        value: Bytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Who owns a partition, as the owner itself has told last; none if none has.
    fn load_owner(
        &self,
        partition: PartitionIndex,
    ) -> impl Future<Output = Result<Option<OwnerRow>, StoreError>> + Send;

    /// Tells who owns a partition. Its stamp is that of the owner's claim, so of two owners the later one stays.
    fn save_owner(
        &self,
        partition: PartitionIndex,
        owner: &OwnerRow,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// A page of timers of these buckets, in the order of the entries, whichever bucket they are in. What was written before the call is
    /// in it, if it lies before the page's end; what is written meanwhile may be. A page may hold fewer entries than asked for and yet
    /// not be the last one, but it always comes further than the one before.
    fn load_timers(
        &self,
        buckets: &[TimerBucket],
        slice: &TimerSlice,
    ) -> impl Future<Output = Result<TimerPage, StoreError>> + Send;

    /// Drops what these buckets hold of the hours in `[from, until)`, but for timers that were written after their hour had ended: those
    /// were set for a time that was past. Both ends are whole hours.
    fn drop_timers(
        &self,
        buckets: &[TimerBucket],
        from: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// History of an instance, oldest first, after `after`, at most `limit` rows.
    fn load_history(
        &self,
        instance: &InstanceId,
        after: Option<Stamp>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<HistoryEntry>, StoreError>> + Send;

    /// Instances of a workflow, newest start first.
    fn list(&self, query: &ListQuery) -> impl Future<Output = Result<ListPage, StoreError>> + Send;
}

/// The row of one instance; none if nobody wrote it, or it has expired. An error of this kind is that of the row alone, which can
/// never be read: one of the whole request stands outside of these.
pub type LoadedSnapshot = Result<Option<SnapshotRow>, StoreError>;

/// The owner of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerRow {
    /// Of its claim.
    pub stamp: Stamp,
    /// `transactional.id` of the lane that writes for it.
    pub transactional_id: String,
    /// Where its HTTP API is reached.
    pub api_url: Option<String>,
}

/// A row of the history of one instance, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its place among the others.
    pub stamp: Stamp,
    /// The changelog entry, encoded.
    pub entry: Bytes,
}

/// What to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// All versions of it.
    pub workflow: WorkflowName,
    /// Only this status.
    pub status: Option<String>,
    /// Only those that are found by all of these.
    pub conditions: Vec<Term>,
    /// Started at or after.
    pub from: Timestamp,
    /// Started before (the cursor of the next page is the last row's `started_at` and `instance`).
    pub until: Timestamp,
    /// Where the page before ended.
    pub after: Option<(Timestamp, InstanceId)>,
    /// At most so many.
    pub limit: u32,
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Newest start first.
    pub rows: Vec<ListRow>,
    /// Whether more may follow.
    pub has_more: bool,
}

/// A row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRow {
    /// Which instance.
    pub instance: InstanceId,
    /// Which version.
    pub workflow: WorkflowVersion,
    /// When it started.
    pub started_at: Timestamp,
    /// When it last changed, up to the flush.
    pub updated_at: Timestamp,
    /// `running`, `completed`, …
    pub status: String,
    /// What it is found by.
    pub attributes: Attributes,
}
