//! One instance: how it is, and what happened to it.

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_runtime::QueryError;
use millrace_runtime::store::SnapshotStore;
use millrace_schemas::{InstanceId, Stamp};
use serde::Deserialize;

use super::{Api, ApiError, code};
use crate::reading;
use crate::view::{HistoryView, InstanceView};

/// The committed state, from the partition that owns the instance.
pub(crate) async fn one<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Path(id): Path<String>,
) -> Result<Json<InstanceView>, ApiError> {
    let id = instance_id(&id)?;
    let answer = api.processor.query(id.clone()).await.map_err(|error| match error {
        QueryError::NotOwner { partition } => ApiError::at(code::NOT_OWNER, partition.0, error.to_string()),
        QueryError::NoAnswer { partition } => ApiError::at(code::NO_ANSWER, partition.0, error.to_string()),
    })?;
    match answer {
        Some(state) => Ok(Json(InstanceView::new(&id, &state))),
        None => Err(ApiError::new(
            code::NOT_FOUND,
            format!("there is no instance {id}; start it, or check the id"),
        )),
    }
}

/// `?after=STAMP&limit=N`
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    after: Option<i64>,
    limit: Option<u32>,
}

/// Most entries of one page.
const ENTRIES_MAX: u32 = 1_000;

/// What happened, from the store: the last few seconds may be missing.
pub(crate) async fn history<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<HistoryView>, ApiError> {
    let id = instance_id(&id)?;
    let limit = page.limit.unwrap_or(ENTRIES_MAX).clamp(1, ENTRIES_MAX);
    let read = reading::stored_history(&api.store, &api.codec, &id, page.after.map(Stamp), limit).await;
    let (entries, has_more) = read.map_err(|error| match error {
        reading::HistoryError::Store(error) => ApiError::new(code::STORE, with_source(&error)),
        reading::HistoryError::Damaged(error) => ApiError::new(code::DAMAGED, error.to_string()),
    })?;
    if entries.is_empty() && page.after.is_none() {
        let message = format!(
            "the store has no history of {id}; an instance appears in it a few seconds after its start"
        );
        return Err(ApiError::new(code::NOT_FOUND, message));
    }
    Ok(Json(HistoryView::new(&id, &entries, has_more)))
}

fn instance_id(text: &str) -> Result<InstanceId, ApiError> {
    InstanceId::new(text).map_err(|error| ApiError::new(code::INVALID, error.to_string()))
}

fn with_source(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
