//! The snapshot store of a member of the fleet, whichever it is: what answers requests need not be written for each.

use bytes::Bytes;
use millrace_local_store::LocalStore;
use millrace_partition::{FlushRequest, TimerPage, TimerSlice};
use millrace_placement::{PartitionIndex, TimerBucket};
use millrace_runtime::store::{
    HistoryEntry, ListPage, ListQuery, LoadedSnapshot, OwnerRow, SnapshotStore, StoreError,
};
use millrace_schemas::{InstanceId, Stamp, Timestamp};
use millrace_scylla_store::ScyllaStore;

#[derive(Clone, Debug)]
pub(crate) enum AnyStore {
    /// That of `millrace dev`.
    Local(LocalStore),
    Cql(ScyllaStore),
}

impl From<LocalStore> for AnyStore {
    fn from(store: LocalStore) -> Self {
        Self::Local(store)
    }
}

impl From<ScyllaStore> for AnyStore {
    fn from(store: ScyllaStore) -> Self {
        Self::Cql(store)
    }
}

/// Hands a call on.
macro_rules! on {
    ($store:expr, $it:ident => $call:expr) => {
        match $store {
            AnyStore::Local($it) => $call.await,
            AnyStore::Cql($it) => $call.await,
        }
    };
}

impl SnapshotStore for AnyStore {
    async fn load_snapshots(&self, instances: &[InstanceId]) -> Result<Vec<LoadedSnapshot>, StoreError> {
        on!(self, it => it.load_snapshots(instances))
    }

    async fn flush(&self, request: &FlushRequest) -> Result<(), StoreError> {
        on!(self, it => it.flush(request))
    }

    async fn load_checkpoint(&self, partition: PartitionIndex) -> Result<Option<(Stamp, Bytes)>, StoreError> {
        on!(self, it => it.load_checkpoint(partition))
    }

    async fn save_checkpoint(
        &self,
        partition: PartitionIndex,
        stamp: Stamp,
        value: Bytes,
    ) -> Result<(), StoreError> {
        on!(self, it => it.save_checkpoint(partition, stamp, value))
    }

    async fn load_owner(&self, partition: PartitionIndex) -> Result<Option<OwnerRow>, StoreError> {
        on!(self, it => it.load_owner(partition))
    }

    async fn save_owner(&self, partition: PartitionIndex, owner: &OwnerRow) -> Result<(), StoreError> {
        on!(self, it => it.save_owner(partition, owner))
    }

    async fn load_timers(
        &self,
        buckets: &[TimerBucket],
        slice: &TimerSlice,
    ) -> Result<TimerPage, StoreError> {
        on!(self, it => it.load_timers(buckets, slice))
    }

    async fn drop_timers(
        &self,
        buckets: &[TimerBucket],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, it => it.drop_timers(buckets, from, until))
    }

    async fn load_history(
        &self,
        instance: &InstanceId,
        after: Option<Stamp>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        on!(self, it => it.load_history(instance, after, limit))
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        on!(self, it => it.list(query))
    }
}
