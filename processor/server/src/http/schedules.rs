//! Schedules: one as it is, and all that are deployed. Whichever processor is asked answers for all.

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_runtime::QueryError;
use millrace_runtime::store::SnapshotStore;
use millrace_schemas::schedule::schedule_id;
use millrace_schemas::{InstanceId, WorkflowName, WorkflowVersion};
use tokio::task::JoinSet;

use super::instances::Routing;
use super::{Api, ApiError, code};
use crate::reading;
use crate::view::{ReadFrom, ScheduleView, SchedulesView};

/// How many are looked at side by side. An owner that does not answer takes seconds.
const AT_ONCE: usize = 64;

/// The committed state, from the partition that owns the schedule.
pub(crate) async fn one<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Path((namespace, name)): Path<(String, String)>,
    Query(Routing { routed }): Query<Routing>,
) -> Result<Json<ScheduleView>, ApiError> {
    let workflow = WorkflowName { namespace: namespace.as_str().into(), name: name.as_str().into() };
    match find(&api, &schedule_id(&workflow), routed).await? {
        Some(view) => Ok(Json(view)),
        None => Err(ApiError::new(code::NOT_FOUND, format!("there is no schedule of {workflow}"))),
    }
}

async fn find<S: SnapshotStore>(
    api: &Api<S>,
    id: &InstanceId,
    routed: bool,
) -> Result<Option<ScheduleView>, ApiError> {
    match api.processor.query_schedule(id.clone()).await {
        Ok(state) => Ok(state.map(|it| ScheduleView::new(id, &it, ReadFrom::Owner))),
        Err(QueryError::NotOwner { partition }) if !routed => {
            let found = reading::schedule(&api.store, &api.codec, partition, id).await;
            found.map_err(|error| ApiError::new(code::STORE, format!("{error:#}")))
        }
        Err(error @ QueryError::NotOwner { partition }) => {
            Err(ApiError::at(code::NOT_OWNER, partition.0, error.to_string()))
        }
        Err(error @ QueryError::NoAnswer { partition }) => {
            Err(ApiError::at(code::NO_ANSWER, partition.0, error.to_string()))
        }
    }
}

/// All workflows that have a schedule, or had one in an earlier version. One that cannot be looked at now is in the list all the same.
pub(crate) async fn all<S: SnapshotStore>(State(api): State<Api<S>>) -> Json<SchedulesView> {
    let mut schedules = Vec::new();
    for some in api.processor.schedules().chunks(AT_ONCE) {
        let mut looking = JoinSet::new();
        for (id, version) in some {
            let (api, id, version) = (api.clone(), id.clone(), version.clone());
            looking.spawn(async move { listed(&api, &id, &version).await });
        }
        schedules.extend(looking.join_all().await);
    }
    schedules.sort_by(|a, b| a.workflow.cmp(&b.workflow));
    Json(SchedulesView { schedules })
}

async fn listed<S: SnapshotStore>(api: &Api<S>, id: &InstanceId, version: &WorkflowVersion) -> ScheduleView {
    match find(api, id, false).await {
        Ok(Some(view)) => view,
        Ok(None) => ScheduleView::without_state(version, "pending", None),
        Err(error) => ScheduleView::without_state(version, "unknown", Some(error.message)),
    }
}
