//! Instances: one as it is, what happened to it, and those of a workflow. Whichever processor is asked answers for all.

use axum::Json;
use axum::extract::State;
use millrace_placement::PartitionIndex;
use millrace_runtime::QueryError;
use millrace_runtime::store::ListPage;
use millrace_schemas::{InstanceId, Stamp};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::document::{Failed, InstanceParam};
use super::extract::{Params, Segments};
use super::filter::Filter;
use super::{Api, ApiError, code, cursor};
use crate::reading;
use crate::requests::selection::{Place, place_after};
use crate::view::{FoundView, HistoryView, InstanceView, ListView, ReadFrom, RewoundView};

/// `?routed=true`
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Routing {
    /// Another processor asks: the answer is this one's, or none (421).
    #[serde(default)]
    #[param(required = false)]
    pub(super) routed: bool,
}

/// One instance
///
/// Its committed state, from the processor that owns it, whichever that is. If that does not answer within two seconds, as it was last flushed
/// to the store: then `read_from` is `store`, and `note` says why.
#[utoipa::path(
    get, path = "/v1/instances/{id}", tag = "instances", operation_id = "getInstance",
    params(InstanceParam, Routing),
    responses((status = 200, description = "The instance", body = FoundView), Failed)
)]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Segments(id): Segments<String>,
    Params(Routing { routed }): Params<Routing>,
) -> Result<Json<FoundView>, ApiError> {
    let seat = api.seat();
    find(&api, &caller, &instance_id(&id)?, routed, seat.until).await.map(Json)
}

/// An instance as it is, from its owner, whichever that is; that is looked for until `until`.
pub(super) async fn find(
    api: &Api,
    caller: &Caller,
    id: &InstanceId,
    routed: bool,
    until: Instant,
) -> Result<FoundView, ApiError> {
    match api.processor.query(id.clone()).await {
        Ok(Some(state)) => Ok(FoundView {
            instance: InstanceView::new(id, &state),
            read_from: ReadFrom::Owner,
            owner_url: Some(api.url.to_string()),
            complete_until: None,
            note: None,
        }),
        Ok(None) => Err(not_found(id)),
        Err(QueryError::NotOwner { partition }) if !routed => {
            elsewhere(api, caller, partition, id, until).await
        }
        Err(error) => Err(unanswered(&error)),
    }
}

/// From its owner, or from the store if that cannot be asked.
async fn elsewhere(
    api: &Api,
    caller: &Caller,
    partition: PartitionIndex,
    id: &InstanceId,
    until: Instant,
) -> Result<FoundView, ApiError> {
    let (peers, codec) = (api.peers(caller), &api.fleet.codec);
    let answer = reading::instance(&peers, &api.store, codec, partition, id, until).await;
    answer.map_err(ApiError::of_store)?.found().map_err(|_| not_found(id))
}

/// Why the owner has not said.
pub(super) fn unanswered(error: &QueryError) -> ApiError {
    match error {
        QueryError::NotOwner { partition } => ApiError::at(code::NOT_OWNER, partition.0, error.to_string()),
        QueryError::NoAnswer { partition } => ApiError::at(code::NO_ANSWER, partition.0, error.to_string()),
    }
}

pub(super) fn not_found(id: &InstanceId) -> ApiError {
    ApiError::new(code::NOT_FOUND, format!("there is no instance {id}"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryPage {
    /// Only entries behind the one with this stamp.
    #[param(nullable = false)]
    after: Option<i64>,
    /// At most so many entries, the oldest first; an entry is what one command did. 1,000 at most, and unless said.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Most entries of one page.
const ENTRIES_MAX: u32 = 1_000;

/// What happened to an instance
///
/// Up to now: from the store, and beyond that from the changelog. The next page is behind the stamp of the last entry.
#[utoipa::path(
    get, path = "/v1/instances/{id}/history", tag = "instances", operation_id = "getHistory",
    params(InstanceParam, HistoryPage),
    responses((status = 200, description = "What happened, oldest first", body = HistoryView), Failed)
)]
pub(crate) async fn history(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    Params(page): Params<HistoryPage>,
) -> Result<Json<HistoryView>, ApiError> {
    let id = instance_id(&id)?;
    let limit = at_most("limit", page.limit, ENTRIES_MAX, ENTRIES_MAX)?;
    let _turn = api.reading_turn().await;
    let read = reading::full_history(&api.fleet, &api.store, &id, page.after.map(Stamp), limit).await;
    let (entries, has_more) = read.map_err(history_error)?;
    if entries.is_empty() && page.after.is_none() {
        return Err(ApiError::new(code::NOT_FOUND, reading::RewindError::Absent { id }.to_string()));
    }
    Ok(Json(HistoryView::new(&id, &entries, has_more)))
}

fn history_error(error: anyhow::Error) -> ApiError {
    let is_damaged = matches!(error.downcast_ref(), Some(reading::HistoryError::Damaged(_)));
    ApiError::new(if is_damaged { code::DAMAGED } else { code::STORE }, format!("{error:#}"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Rewinding {
    /// JSON pointer of the task, such as `/do/2/charge`.
    task: String,
}

/// What a restart from a task brings with it
///
/// The data that flowed to the task when it was entered last, and what an instance that has ended needs to be open again.
#[utoipa::path(
    get, path = "/v1/instances/{id}/rewound", tag = "instances", operation_id = "getRewound",
    params(InstanceParam, Rewinding),
    responses((status = 200, description = "What a restart would bring with it", body = RewoundView), Failed)
)]
pub(crate) async fn rewound(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    Params(Rewinding { task }): Params<Rewinding>,
) -> Result<Json<RewoundView>, ApiError> {
    let id = instance_id(&id)?;
    let _turn = api.reading_turn().await;
    let rewound = reading::rewound(&api.fleet, &api.store, &id, &task).await;
    let rewound = rewound.map_err(|error| {
        let is_gone = error.downcast_ref::<reading::RewindError>().is_some();
        ApiError::new(if is_gone { code::NOT_FOUND } else { code::STORE }, format!("{error:#}"))
    })?;
    Ok(Json(rewound.into()))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// `namespace/name`: only its instances, of all versions. Without it, of all workflows that are deployed.
    #[param(nullable = false, example = "shop/order")]
    workflow: Option<String>,
    /// Only those that are like this.
    #[param(nullable = false, value_type = Option<StatusSchema>, inline)]
    status: Option<String>,
    /// Only those started at this time or after it (RFC 3339).
    #[param(nullable = false, example = "2026-01-31T08:00:00Z")]
    since: Option<String>,
    /// Only those started before this time (RFC 3339).
    #[param(nullable = false)]
    until: Option<String>,
    /// `NAME=VALUE`: only those that are found by this search attribute. May be repeated; then all must hold.
    #[serde(default, rename = "where")]
    #[param(required = false, max_items = 16)]
    conditions: Vec<String>,
    /// At most so many; 50 unless said.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the one before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// How an instance may stand.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it says how a parameter looks")]
pub(crate) enum StatusSchema {
    Running,
    Suspended,
    Incident,
    Completed,
    Faulted,
    Cancelled,
}

/// Most instances of one page.
const INSTANCES_MAX: u32 = 1_000;

/// Instances, the newest start first
///
/// As of their last snapshots, a few seconds ago.
#[utoipa::path(
    get, path = "/v1/instances", tag = "instances", operation_id = "listInstances", params(Listing),
    responses((status = 200, description = "A page of them", body = ListView), Failed)
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(asked): Params<Listing>,
) -> Result<Json<ListView>, ApiError> {
    let filter = Filter {
        workflow: asked.workflow.as_deref(),
        status: asked.status.as_deref(),
        since: asked.since.as_deref(),
        until: asked.until.as_deref(),
        conditions: &asked.conditions,
    };
    let selection = filter.selection(&api)?;
    let limit = at_most("limit", asked.limit, 50, INSTANCES_MAX)?;
    let after = asked.cursor.as_deref().map(cursor::decode::<Place>).transpose()?;
    let page = selection.page(&api.store, after, limit).await.map_err(ApiError::of_store)?;
    Ok(Json(listed(&page)))
}

pub(super) fn listed(page: &ListPage) -> ListView {
    let next = place_after(page).map(|it| cursor::encode(&it));
    ListView { next, ..ListView::new(page) }
}

/// A number that has a bound.
pub(super) fn at_most(name: &str, asked: Option<u32>, usual: u32, max: u32) -> Result<u32, ApiError> {
    match asked {
        None => Ok(usual),
        Some(number) if (1..=max).contains(&number) => Ok(number),
        Some(number) => Err(ApiError::invalid(format!("{name}={number} is not between 1 and {max}"))),
    }
}

pub(super) fn instance_id(text: &str) -> Result<InstanceId, ApiError> {
    InstanceId::new(text).map_err(|error| ApiError::invalid(error.to_string()))
}

/// One that may be written to.
pub(super) fn own_instance_id(text: &str) -> Result<InstanceId, ApiError> {
    let id = instance_id(text)?;
    if id.is_reserved() {
        return Err(ApiError::invalid(format!("{id} is no instance: ids that begin with millrace: are not")));
    }
    Ok(id)
}
