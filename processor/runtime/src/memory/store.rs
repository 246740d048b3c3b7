//! A snapshot store in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millrace_partition::{
    Attributes, FlushRequest, SnapshotRow, SnapshotWrite, TimerEntry, TimerPage, TimerSlice,
};
use millrace_placement::{PartitionIndex, TimerBucket};
use millrace_schemas::{InstanceId, Stamp, TimerId, Timestamp, WorkflowName, WorkflowVersion};
use tokio::time::Instant;

use crate::store::{
    HistoryEntry, ListPage, ListQuery, ListRow, LoadedSnapshot, OwnerRow, SnapshotStore, StoreError,
};

/// Keeps all rows in memory; clones share them. Nothing in it waits, fails or depends on chance. Rows with a time to live end by
/// tokio's clock, so a test that pauses the clock decides when. What expires leaves its stamp behind, as in CQL: a late, older
/// write does not bring it back. Rows of the timer index stay.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    rows: Arc<Mutex<Rows>>,
}

#[derive(Debug, Default)]
struct Rows {
    snapshots: BTreeMap<InstanceId, SnapshotCell>,
    checkpoints: BTreeMap<PartitionIndex, (Stamp, Bytes)>,
    owners: BTreeMap<PartitionIndex, OwnerRow>,
    /// And whether they were written after their hour had ended.
    timers: BTreeMap<(TimerBucket, Timestamp), BTreeMap<(InstanceId, TimerId), bool>>,
    history: BTreeMap<(InstanceId, Stamp), HistoryCell>,
    listing: BTreeMap<WorkflowName, BTreeMap<(Timestamp, InstanceId), ListingCell>>,
}

#[derive(Debug)]
struct SnapshotCell {
    row: SnapshotRow,
    expires_at: Option<Instant>,
}

#[derive(Debug)]
struct HistoryCell {
    entry: Bytes,
    expires_at: Option<Instant>,
}

#[derive(Debug)]
struct ListingCell {
    stamp: Stamp,
    workflow: WorkflowVersion,
    status: &'static str,
    updated_at: Timestamp,
    attributes: Attributes,
    expires_at: Option<Instant>,
}

const HOUR_MS: i64 = 3_600_000;

/// When a row that is written now ends.
fn expiry(ttl: Option<Duration>) -> Option<Instant> {
    ttl.map(|it| Instant::now() + it)
}

/// By the clock of the server that this stands for.
fn now() -> Timestamp {
    Timestamp(0).plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn is_alive(expires_at: Option<Instant>) -> bool {
    expires_at.is_none_or(|at| at > Instant::now())
}

impl MemoryStore {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect("a test that panicked while it held the rows has failed already")
    }
}

impl Rows {
    fn write_snapshot(&mut self, write: &SnapshotWrite) {
        let cell = SnapshotCell {
            row: SnapshotRow { stamp: write.stamp, value: write.value.clone() },
            expires_at: expiry(write.ttl),
        };
        match self.snapshots.get(&write.instance) {
            Some(old) if old.row.stamp > write.stamp => {}
            Some(old) if old.row.stamp == write.stamp && old.row.value != write.value => {
                // Both rows are folds of the same prefix of the log (state protocol 2.7, I3): a difference is a bug of the writers.
                panic!("{:?}: two different snapshots at {:?}", write.instance, write.stamp);
            }
            _ => {
                self.snapshots.insert(write.instance.clone(), cell);
            }
        }
        if let Some(listing) = &write.listing {
            let of_workflow = self.listing.entry(listing.workflow.workflow.clone()).or_default();
            let key = (listing.started_at, write.instance.clone());
            if of_workflow.get(&key).is_none_or(|it| it.stamp <= write.stamp) {
                let cell = ListingCell {
                    stamp: write.stamp,
                    workflow: listing.workflow.clone(),
                    status: listing.status,
                    updated_at: listing.updated_at,
                    attributes: listing.attributes.clone(),
                    expires_at: expiry(listing.ttl),
                };
                of_workflow.insert(key, cell);
            }
        }
    }
}

impl SnapshotStore for MemoryStore {
    async fn load_snapshots(&self, instances: &[InstanceId]) -> Result<Vec<LoadedSnapshot>, StoreError> {
        let rows = self.rows();
        let alive = |id| rows.snapshots.get(id).filter(|it| is_alive(it.expires_at));
        Ok(instances.iter().map(|id| Ok(alive(id).map(|it| it.row.clone()))).collect())
    }

    async fn flush(&self, request: &FlushRequest) -> Result<(), StoreError> {
        let mut rows = self.rows();
        let hour = Timestamp(now().0.div_euclid(HOUR_MS) * HOUR_MS);
        for timer in &request.timers {
            let is_late = timer.due < hour;
            let due = rows.timers.entry((timer.bucket, timer.due)).or_default();
            due.insert((timer.instance.clone(), timer.timer), is_late);
        }
        for entry in &request.history {
            let cell = HistoryCell { entry: entry.entry.clone(), expires_at: expiry(entry.ttl) };
            rows.history.insert((entry.instance.clone(), entry.stamp), cell);
        }
        for snapshot in &request.snapshots {
            rows.write_snapshot(snapshot);
        }
        Ok(())
    }

    async fn load_checkpoint(&self, partition: PartitionIndex) -> Result<Option<(Stamp, Bytes)>, StoreError> {
        Ok(self.rows().checkpoints.get(&partition).cloned())
    }

    async fn save_checkpoint(
        &self,
        partition: PartitionIndex,
        stamp: Stamp,
        value: Bytes,
    ) -> Result<(), StoreError> {
        let mut rows = self.rows();
        let row = (stamp, value);
        // Between equal stamps a CQL server keeps the greater bytes; so does this.
        if rows.checkpoints.get(&partition).is_none_or(|old| *old < row) {
            rows.checkpoints.insert(partition, row);
        }
        Ok(())
    }

    async fn load_owner(&self, partition: PartitionIndex) -> Result<Option<OwnerRow>, StoreError> {
        Ok(self.rows().owners.get(&partition).cloned())
    }

    async fn save_owner(&self, partition: PartitionIndex, owner: &OwnerRow) -> Result<(), StoreError> {
        let mut rows = self.rows();
        if rows.owners.get(&partition).is_none_or(|old| old.stamp <= owner.stamp) {
            rows.owners.insert(partition, owner.clone());
        }
        Ok(())
    }

    async fn load_timers(
        &self,
        buckets: &[TimerBucket],
        slice: &TimerSlice,
    ) -> Result<TimerPage, StoreError> {
        let rows = self.rows();
        let from = slice.from.due();
        let mut timers = Vec::new();
        for bucket in buckets.iter().filter(|_| from < slice.until) {
            for ((_, due), entries) in rows.timers.range((*bucket, from)..(*bucket, slice.until)) {
                let entry = |(instance, timer): &(InstanceId, TimerId)| TimerEntry {
                    due: *due,
                    instance: instance.clone(),
                    timer: *timer,
                };
                timers.extend(entries.keys().map(entry).filter(|it| slice.contains(it)));
            }
        }
        timers.sort_unstable();
        Ok(slice.page(timers, true))
    }

    async fn drop_timers(
        &self,
        buckets: &[TimerBucket],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.rows().timers.retain(|(bucket, due), entries| {
            if buckets.contains(bucket) && from <= *due && *due < until {
                entries.retain(|_, is_late| *is_late);
            }
            !entries.is_empty()
        });
        Ok(())
    }

    async fn load_history(
        &self,
        instance: &InstanceId,
        after: Option<Stamp>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let rows = self.rows();
        let entries =
            rows.history.range((instance.clone(), Stamp(i64::MIN))..=(instance.clone(), Stamp(i64::MAX)));
        Ok(entries
            .filter(|((_, stamp), cell)| after.is_none_or(|it| *stamp > it) && is_alive(cell.expires_at))
            .take(limit as usize)
            .map(|((_, stamp), cell)| HistoryEntry { stamp: *stamp, entry: cell.entry.clone() })
            .collect())
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let rows = self.rows();
        let Some(of_workflow) = rows.listing.get(&query.workflow) else { return Ok(ListPage::default()) };
        let limit = query.limit as usize;
        let mut matching = of_workflow
            .iter()
            .rev()
            .filter(|(_, cell)| is_alive(cell.expires_at))
            .filter(|((started_at, _), _)| (query.from..query.until).contains(started_at))
            .filter(|(key, _)| query.after.as_ref().is_none_or(|after| *key < after))
            .filter(|(_, cell)| query.status.as_deref().is_none_or(|it| it == cell.status))
            .filter(|(_, cell)| cell.attributes.have(&query.conditions))
            .map(|((started_at, instance), cell)| ListRow {
                instance: instance.clone(),
                workflow: cell.workflow.clone(),
                started_at: *started_at,
                updated_at: cell.updated_at,
                status: cell.status.to_owned(),
                attributes: cell.attributes.clone(),
            });
        let rows = matching.by_ref().take(limit).collect();
        Ok(ListPage { rows, has_more: matching.next().is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store_suite;

    #[tokio::test(start_paused = true)]
    async fn keeps_what_every_store_must_keep() {
        store_suite::all(&MemoryStore::default()).await;
    }
}
