//! Definitions as graphs, and instances on them.

use axum::Json;
use axum::extract::State;
use millrace_engine::Progress;
use millrace_schemas::WorkflowVersion;

use super::caller::Caller;
use super::definitions::version_of;
use super::document::{Failed, InstanceParam, WorkflowParams};
use super::extract::Segments;
use super::instances::{find, instance_id};
use super::{Api, ApiError, code};
use crate::reading;
use crate::view::GraphView;

/// Most entries of the history that are folded.
const ENTRIES_MAX: u32 = 20_000;

/// A definition as a graph
///
/// Its tasks as nodes, and where the flow can go as edges.
#[utoipa::path(
    get, path = "/v1/definitions/{namespace}/{name}/{version}/graph", tag = "definitions", operation_id = "getDefinitionGraph",
    params(WorkflowParams, ("version" = String, Path, description = "Such as `1.0.0`")),
    responses((status = 200, description = "The graph", body = GraphView), Failed)
)]
pub(crate) async fn of_definition(
    State(api): State<Api>,
    Segments((namespace, name, version)): Segments<(String, String, String)>,
) -> Result<Json<GraphView>, ApiError> {
    let version = version_of(namespace, name, version);
    let missing = || ApiError::new(code::NOT_FOUND, format!("{version} is not deployed"));
    let program = api.processor.program(&version).ok_or_else(missing)?;
    Ok(Json(GraphView::new(version.to_string(), &program.graph())))
}

/// An instance on the graph of its definition
///
/// Each task with how it stands, and how often it was entered and how that went.
#[utoipa::path(
    get, path = "/v1/instances/{id}/graph", tag = "instances", operation_id = "getInstanceGraph",
    params(InstanceParam), responses((status = 200, description = "The graph", body = GraphView), Failed)
)]
pub(crate) async fn of_instance(
    State(api): State<Api>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Json<GraphView>, ApiError> {
    let id = instance_id(&id)?;
    let seat = api.seat();
    let instance = find(&api, &caller, &id, false, seat.until).await?.instance;
    let program = instance.workflow.parse().ok().and_then(|it: WorkflowVersion| api.processor.program(&it));
    let program = program.ok_or_else(|| {
        let message = format!("workflow {} is not deployed any more; deploy it again", instance.workflow);
        ApiError::new(code::NOT_DEPLOYED, message)
    })?;
    let _turn = api.reading_turn().await;
    let read = reading::full_history(&api.fleet, &api.store, &id, None, ENTRIES_MAX).await;
    let (entries, has_more) = read.map_err(ApiError::of_store)?;
    let mut progress = Progress::of(entries.iter().map(|it| &it.1));
    progress.is_whole &= !has_more;
    Ok(Json(GraphView::new(instance.workflow.clone(), &program.graph()).with(&instance, &progress)))
}
