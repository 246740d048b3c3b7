//! Instances: one as it is, what happened to it, and those of a workflow. Whichever processor is asked answers for all.

use axum::Json;
use axum::extract::{Path, Query, State};
use clap::ValueEnum as _;
use millrace_partition::Term;
use millrace_placement::PartitionIndex;
use millrace_runtime::QueryError;
use millrace_runtime::store::{ListQuery, SnapshotStore};
use millrace_schemas::{InstanceId, Stamp, Timestamp};
use millrace_workflow::program::ATTRIBUTES_MAX;
use serde::Deserialize;

use super::{Api, ApiError, code};
use crate::clients;
use crate::config::WorkflowReference;
use crate::reading;
use crate::view::{FoundView, HistoryView, InstanceView, ListView, ReadFrom, RewoundView, StatusName};

/// `?routed=true`: another processor asks, so the answer is ours or none.
#[derive(Debug, Deserialize)]
pub(crate) struct Routing {
    #[serde(default)]
    pub(super) routed: bool,
}

/// The committed state, from the partition that owns the instance: ours, or that of the processor that owns it.
pub(crate) async fn one<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Path(id): Path<String>,
    Query(Routing { routed }): Query<Routing>,
) -> Result<Json<FoundView>, ApiError> {
    let id = instance_id(&id)?;
    match api.processor.query(id.clone()).await {
        Ok(Some(state)) => Ok(Json(FoundView {
            instance: InstanceView::new(&id, &state),
            read_from: ReadFrom::Owner,
            owner_url: Some(api.url),
            complete_until: None,
            note: None,
        })),
        Ok(None) => Err(not_found(&id)),
        Err(QueryError::NotOwner { partition }) if !routed => elsewhere(&api, partition, &id).await.map(Json),
        Err(error @ QueryError::NotOwner { partition }) => {
            Err(ApiError::at(code::NOT_OWNER, partition.0, error.to_string()))
        }
        Err(error @ QueryError::NoAnswer { partition }) => {
            Err(ApiError::at(code::NO_ANSWER, partition.0, error.to_string()))
        }
    }
}

/// From its owner, or from the store if that cannot be asked.
async fn elsewhere<S: SnapshotStore>(
    api: &Api<S>,
    partition: PartitionIndex,
    id: &InstanceId,
) -> Result<FoundView, ApiError> {
    let answer = reading::instance(&api.store, &api.codec, partition, id).await;
    let answer = answer.map_err(|error| ApiError::new(code::STORE, format!("{error:#}")))?;
    answer.found().map_err(|_| not_found(id))
}

pub(super) fn not_found(id: &InstanceId) -> ApiError {
    ApiError::new(code::NOT_FOUND, format!("there is no instance {id}"))
}

/// `?limit=N`, `?after=STAMP`
#[derive(Debug, Deserialize)]
pub(crate) struct HistoryPage {
    after: Option<i64>,
    limit: Option<u32>,
}

/// Most entries of one page.
const ENTRIES_MAX: u32 = 1_000;

/// What happened up to now, from the store and the changelog. Later pages come from the store alone, so their last few seconds may
/// be missing.
pub(crate) async fn history<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Path(id): Path<String>,
    Query(page): Query<HistoryPage>,
) -> Result<Json<HistoryView>, ApiError> {
    let id = instance_id(&id)?;
    let limit = page.limit.unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX);
    let (entries, has_more) = match page.after {
        None => {
            let (kafka, topics) = (&api.kafka, api.kafka.topics());
            let read = reading::full_history(kafka, &api.store, &api.codec, topics, &id, limit).await;
            read.map_err(|error| ApiError::new(code::STORE, format!("{error:#}")))?
        }
        Some(after) => {
            let read = reading::stored_history(&api.store, &api.codec, &id, Some(Stamp(after)), limit).await;
            read.map_err(|error| match error {
                reading::HistoryError::Store(error) => ApiError::new(code::STORE, with_source(&error)),
                reading::HistoryError::Damaged(error) => ApiError::new(code::DAMAGED, error.to_string()),
            })?
        }
    };
    if entries.is_empty() && page.after.is_none() {
        return Err(ApiError::new(code::NOT_FOUND, reading::RewindError::Absent { id }.to_string()));
    }
    Ok(Json(HistoryView::new(&id, &entries, has_more)))
}

/// `?task=REFERENCE`
#[derive(Debug, Deserialize)]
pub(crate) struct Rewinding {
    task: String,
}

/// What a restart from a task brings with it: the data that flowed to it when it was entered last.
pub(crate) async fn rewound<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Path(id): Path<String>,
    Query(Rewinding { task }): Query<Rewinding>,
) -> Result<Json<RewoundView>, ApiError> {
    let id = instance_id(&id)?;
    let (kafka, topics) = (&api.kafka, api.kafka.topics());
    let rewound = reading::rewound(kafka, &api.store, &api.codec, topics, &id, &task).await;
    let rewound = rewound.map_err(|error| {
        let is_gone = error.downcast_ref::<reading::RewindError>().is_some();
        ApiError::new(if is_gone { code::NOT_FOUND } else { code::STORE }, format!("{error:#}"))
    })?;
    Ok(Json(rewound.into()))
}

/// `?workflow=NAMESPACE/NAME&status=STATUS&since=TIME&where=NAME=VALUE&where=…&limit=N`
#[derive(Debug, Deserialize)]
pub(crate) struct ListPage {
    workflow: String,
    status: Option<String>,
    since: Option<String>,
    limit: Option<u32>,
}

/// Most conditions of a list: as many as there may be attributes.
const CONDITIONS_MAX: usize = ATTRIBUTES_MAX;

/// Most instances of one page.
const INSTANCES_MAX: u32 = 1_000;

/// Instances of a workflow, newest start first, as of their last snapshots.
pub(crate) async fn list<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Query(page): Query<ListPage>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<ListView>, ApiError> {
    let invalid = |message: String| ApiError::new(code::INVALID, message);
    let workflow: WorkflowReference = page
        .workflow
        .parse()
        .map_err(|_| invalid(format!("workflow={} is not namespace/name", page.workflow)))?;
    if workflow.version.is_some() {
        return Err(invalid(format!(
            "workflow={} names a version; instances are listed of all",
            page.workflow
        )));
    }
    let status = page.status.as_deref().map(|it| StatusName::from_str(it, false)).transpose();
    let status = status.map_err(|_| {
        let names: Vec<_> = StatusName::value_variants().iter().map(|it| it.name()).collect();
        invalid(format!("status={} is none of {}", page.status.unwrap_or_default(), names.join(", ")))
    })?;
    let conditions = parameters.iter().filter(|(name, _)| name == "where").map(|(_, condition)| {
        Term::parse(condition).ok_or_else(|| invalid(format!("where={condition} is not NAME=VALUE")))
    });
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    if conditions.len() > CONDITIONS_MAX {
        return Err(invalid(format!("{} conditions, and {CONDITIONS_MAX} are allowed", conditions.len())));
    }
    let from = match &page.since {
        None => Timestamp(0),
        Some(text) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => Timestamp(time.as_millisecond()),
            Err(_) => return Err(invalid(format!("since={text} is no time such as 2026-01-31T08:00:00Z"))),
        },
    };
    let query = ListQuery {
        workflow: workflow.workflow,
        status: status.map(|it| it.name().to_owned()),
        conditions,
        from,
        until: clients::soon(),
        after: None,
        limit: page.limit.unwrap_or(50).clamp(1, INSTANCES_MAX),
    };
    let listed = api.store.list(&query).await;
    let page = listed.map_err(|error| ApiError::new(code::STORE, with_source(&error)))?;
    Ok(Json(ListView::new(&page)))
}

pub(super) fn instance_id(text: &str) -> Result<InstanceId, ApiError> {
    InstanceId::new(text).map_err(|error| ApiError::new(code::INVALID, error.to_string()))
}

fn with_source(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
