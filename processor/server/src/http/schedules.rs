//! Schedules: one as it is, all that are deployed, and what may be asked of them. Whichever processor is asked answers for all.

use axum::Json;
use axum::extract::State;
use millrace_runtime::QueryError;
use millrace_schemas::command::Answer;
use millrace_schemas::schedule::schedule_id;
use millrace_schemas::{InstanceId, WorkflowName, WorkflowVersion};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::asking::{self, CommandView, Naming, Waiting};
use super::caller::Caller;
use super::document::{Commanded, Failed, KeyHeader, WorkflowParams};
use super::extract::{IdempotencyKey, OptionalBody, Params, Segments};
use super::instances::{Routing, unanswered};
use super::verbs::Reason;
use super::{Api, ApiError, code};
use crate::reading;
use crate::requests::commands::ScheduleCommand;
use crate::view::{ReadFrom, ScheduleView, SchedulesView};

/// How many are looked at side by side. An owner that does not answer takes seconds, but all of the list together look for owners no longer than one does.
const AT_ONCE: usize = 64;

/// One schedule
///
/// Its committed state, from the processor that owns it, whichever that is.
#[utoipa::path(
    get, path = "/v1/schedules/{namespace}/{name}", tag = "schedules", operation_id = "getSchedule",
    params(WorkflowParams, Routing), responses((status = 200, description = "The schedule", body = ScheduleView), Failed)
)]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Segments((namespace, name)): Segments<(String, String)>,
    Params(Routing { routed }): Params<Routing>,
) -> Result<Json<ScheduleView>, ApiError> {
    let (workflow, id) = schedule(&namespace, &name)?;
    let seat = api.seat();
    match find(&api, &caller, &id, routed, seat.until).await? {
        Some(view) => Ok(Json(view)),
        None => Err(ApiError::new(code::NOT_FOUND, format!("there is no schedule of {workflow}"))),
    }
}

/// A workflow, and the id of its schedule.
fn schedule(namespace: &str, name: &str) -> Result<(WorkflowName, InstanceId), ApiError> {
    let workflow = WorkflowName { namespace: namespace.into(), name: name.into() };
    let is_name = |it: &str| !it.is_empty() && !it.contains('/');
    // Longer ones cannot be the id of anything.
    let fits = InstanceId::SCHEDULE_PREFIX.len() + namespace.len() + name.len() < InstanceId::BYTES_MAX;
    if !is_name(namespace) || !is_name(name) || !fits {
        return Err(ApiError::invalid(format!("{workflow} is no workflow: write it as namespace/name")));
    }
    let id = schedule_id(&workflow);
    Ok((workflow, id))
}

async fn find(
    api: &Api,
    caller: &Caller,
    id: &InstanceId,
    routed: bool,
    until: Instant,
) -> Result<Option<ScheduleView>, ApiError> {
    match api.processor.query_schedule(id.clone()).await {
        Ok(state) => Ok(state.map(|it| ScheduleView::new(id, &it, ReadFrom::Owner))),
        Err(QueryError::NotOwner { partition }) if !routed => {
            let peers = api.peers(caller);
            let found = reading::schedule(&peers, &api.store, &api.fleet.codec, partition, id, until).await;
            found.map_err(ApiError::of_store)
        }
        Err(error) => Err(unanswered(&error)),
    }
}

/// All schedules
///
/// Of all workflows that have one, or had one in an earlier version. One that cannot be looked at now is in the list all the same.
#[utoipa::path(
    get, path = "/v1/schedules", tag = "schedules", operation_id = "listSchedules",
    responses((status = 200, description = "All of them", body = SchedulesView), Failed)
)]
pub(crate) async fn all(State(api): State<Api>, caller: Caller) -> Json<SchedulesView> {
    let mut schedules = Vec::new();
    let seat = api.seat();
    for some in api.processor.schedules().chunks(AT_ONCE) {
        let mut looking = JoinSet::new();
        for (id, version) in some {
            let (api, caller, id, version) = (api.clone(), caller.clone(), id.clone(), version.clone());
            let until = seat.until;
            looking.spawn(async move { listed(&api, &caller, &id, &version, until).await });
        }
        schedules.extend(looking.join_all().await);
    }
    schedules.sort_by(|a, b| a.workflow.cmp(&b.workflow));
    Json(SchedulesView { schedules })
}

async fn listed(
    api: &Api,
    caller: &Caller,
    id: &InstanceId,
    version: &WorkflowVersion,
    until: Instant,
) -> ScheduleView {
    match find(api, caller, id, false, until).await {
        Ok(Some(view)) => view,
        Ok(None) => ScheduleView::without_state(version, "pending", None),
        Err(error) => ScheduleView::without_state(version, "unknown", Some(error.message)),
    }
}

/// What comes with each of the requests that change a schedule, besides its body.
type Asked = (State<Api>, Caller, Option<IdempotencyKey>, Segments<(String, String)>, Params<Waiting>);

/// Pause a schedule
///
/// It starts nothing by the clock until it is resumed; what comes meanwhile is not made up for.
#[utoipa::path(
    post, path = "/v1/schedules/{namespace}/{name}/pause", tag = "schedules", operation_id = "pauseSchedule",
    params(WorkflowParams, Waiting, KeyHeader), request_body = Option<Reason>, responses(Commanded)
)]
pub(crate) async fn pause(
    asked: Asked,
    OptionalBody(Reason { reason }): OptionalBody<Reason>,
) -> Result<CommandView, ApiError> {
    send(asked, ScheduleCommand::Pause { reason }).await
}

/// Resume a schedule
#[utoipa::path(
    post, path = "/v1/schedules/{namespace}/{name}/resume", tag = "schedules", operation_id = "resumeSchedule",
    params(WorkflowParams, Waiting, KeyHeader), request_body = Option<Reason>, responses(Commanded)
)]
pub(crate) async fn resume(
    asked: Asked,
    OptionalBody(Reason { reason }): OptionalBody<Reason>,
) -> Result<CommandView, ApiError> {
    send(asked, ScheduleCommand::Resume { reason }).await
}

/// Start an instance now
///
/// As the schedule would, also of one that is paused.
#[utoipa::path(
    post,
    path = "/v1/schedules/{namespace}/{name}/trigger",
    tag = "schedules",
    operation_id = "triggerSchedule",
    params(WorkflowParams, Waiting, KeyHeader),
    responses(Commanded)
)]
pub(crate) async fn trigger(asked: Asked) -> Result<CommandView, ApiError> {
    send(asked, ScheduleCommand::Trigger).await
}

async fn send(asked: Asked, command: ScheduleCommand) -> Result<CommandView, ApiError> {
    let (State(api), caller, key, Segments((namespace, name)), Params(waiting)) = asked;
    let (workflow, id) = schedule(&namespace, &name)?;
    if let ScheduleCommand::Pause { reason } | ScheduleCommand::Resume { reason } = &command {
        caller.about(|it| it.reason = Some(reason.clone()).filter(|it| !it.is_empty()));
    }
    let event = command.event(caller.event_id(key.as_ref()), &workflow);
    let naming = Naming::of(key.as_ref());
    asking::ask(&api, &caller, &id, event, naming, (Answer::Outcome, &waiting)).await
}
