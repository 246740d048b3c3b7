//! Partitions: what this processor owns, and who owns what in the whole fleet.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use millrace_placement::PartitionIndex;
use millrace_runtime::PartitionStatus;
use millrace_runtime::store::SnapshotStore as _;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use utoipa::ToSchema;

use super::caller::Caller;
use super::document::Failed;
use super::{Api, ApiError};
use crate::reading;

/// The partitions of one processor.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct PartitionsView {
    pub(crate) partitions: Vec<PartitionView>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
    /// How many records wait for it, as the brokers last told; nothing while it does not serve. `millrace_partition_backlog_records`
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    lag_records: Option<u64>,
    /// How old the next of them is; 0 if none waits. `millrace_partition_backlog_seconds`
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    lag_seconds: Option<f64>,
}

/// What this processor owns
#[utoipa::path(
    get, path = "/v1/partitions", tag = "fleet", operation_id = "listOwnPartitions",
    responses((status = 200, description = "Its partitions", body = PartitionsView), Failed)
)]
pub(crate) async fn all(State(api): State<Api>) -> Json<PartitionsView> {
    Json(own(&api))
}

fn own(api: &Api) -> PartitionsView {
    PartitionsView { partitions: api.processor.partitions().iter().map(PartitionView::from).collect() }
}

/// All partitions and all processors that own some.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FleetView {
    partitions: Vec<OwnedView>,
    processors: Vec<ProcessorView>,
}

/// A partition, and its owner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OwnedView {
    partition: u32,
    /// Where its owner has told that it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    owner_url: Option<String>,
    /// Of the producer that writes for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    transactional_id: Option<String>,
    /// As its owner says it; nothing if nobody could be asked who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<PartitionView>,
}

/// A member of the fleet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProcessorView {
    url: String,
    /// The one that answers.
    is_this: bool,
    /// Whether it could be asked.
    is_reached: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    note: Option<String>,
    /// How many it has.
    partitions: usize,
}

/// Who owns what
///
/// All partitions of the fleet with their owners, who are asked how their partitions do.
#[utoipa::path(
    get, path = "/v1/fleet", tag = "fleet", operation_id = "getFleet",
    responses((status = 200, description = "Partitions and processors", body = FleetView), Failed)
)]
pub(crate) async fn fleet(State(api): State<Api>, caller: Caller) -> Result<Json<FleetView>, ApiError> {
    let mut owners = Vec::new();
    for partition in 0..api.processor.partition_count() {
        owners.push(api.store.load_owner(PartitionIndex(partition)).await.map_err(ApiError::of_store)?);
    }
    let others: BTreeSet<String> =
        owners.iter().flatten().filter_map(|it| it.api_url.clone()).filter(|it| **it != *api.url).collect();
    let mut asking = JoinSet::new();
    for url in others {
        let peers = api.peers(&caller);
        asking.spawn(async move {
            let asked =
                reading::ask_processor::<PartitionsView>(&peers, &url, &["v1", "partitions"], &[]).await;
            let said = match asked {
                Ok(Ok(view)) => Ok(view.partitions),
                Ok(Err(error)) => Err(error.message),
                Err(error) => Err(format!("{error:#}")),
            };
            (url, said)
        });
    }
    let mut said: BTreeMap<String, Result<Vec<PartitionView>, String>> =
        asking.join_all().await.into_iter().collect();
    said.insert(api.url.to_string(), Ok(own(&api).partitions));
    let states: BTreeMap<u32, (&String, &PartitionView)> = said
        .iter()
        .flat_map(|(url, said)| said.iter().flatten().map(move |it| (it.partition, (url, it))))
        .collect();
    let partitions = (0..).zip(owners).map(|(partition, owner)| {
        let state = states.get(&partition);
        OwnedView {
            partition,
            // Who says that it has it is right, if it and the store differ: the row is written a moment later.
            owner_url: state.map(|it| it.0.clone()).or_else(|| owner.as_ref()?.api_url.clone()),
            transactional_id: owner.map(|it| it.transactional_id),
            state: state.map(|it| it.1.clone()),
        }
    });
    let partitions = partitions.collect();
    let processors = said.iter().map(|(url, said)| ProcessorView {
        url: url.clone(),
        is_this: **url == *api.url,
        is_reached: said.is_ok(),
        note: said.as_ref().err().cloned(),
        partitions: said.as_ref().map_or(0, Vec::len),
    });
    Ok(Json(FleetView { processors: processors.collect(), partitions }))
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
            lag_records: status.backlog.map(|it| it.records),
            lag_seconds: status.backlog.map(|it| it.age.as_secs_f64()),
        }
    }
}
