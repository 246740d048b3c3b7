//! What this processor owns.

use axum::Json;
use axum::extract::State;
use millrace_runtime::PartitionStatus;
use millrace_runtime::store::SnapshotStore;
use serde::{Deserialize, Serialize};

use super::Api;

/// The partitions of one processor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PartitionsView {
    pub(crate) partitions: Vec<PartitionView>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PartitionView {
    pub(crate) partition: u32,
    /// `restoring`, `active`, or `failed`: it cannot be restored, and is tried again every few seconds; the log says why.
    pub(crate) status: String,
    instances_cached: usize,
    /// Instances whose snapshot is behind.
    instances_dirty: usize,
    /// One past the last committed changelog record.
    changelog_end: i64,
    /// Where a restore would begin.
    checkpoint_offset: i64,
}

pub(crate) async fn all<S: SnapshotStore>(State(api): State<Api<S>>) -> Json<PartitionsView> {
    Json(PartitionsView { partitions: api.processor.partitions().iter().map(PartitionView::from).collect() })
}

impl From<&PartitionStatus> for PartitionView {
    fn from(status: &PartitionStatus) -> Self {
        Self {
            partition: status.partition.0,
            status: match (status.is_active, status.has_failed) {
                (true, _) => "active",
                (false, true) => "failed",
                (false, false) => "restoring",
            }
            .to_owned(),
            instances_cached: status.instances_cached,
            instances_dirty: status.instances_dirty,
            changelog_end: status.changelog_end.0,
            checkpoint_offset: status.checkpoint_offset.0,
        }
    }
}
