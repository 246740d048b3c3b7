//! Dead letters: looked at, and produced again.

use axum::Json;
use axum::extract::State;
use millrace_schemas::Offset;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Admin;
use super::document::Failed;
use super::extract::{Params, Segments};
use super::instances::at_most;
use super::{Api, ApiError, code, cursor};
use crate::requests::dead_letters::{self, LetterView, RedrivenView};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// At most so many; 50 unless said.
    #[param(nullable = false, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the next page begins: `next` of the one before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// A page of dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LettersView {
    dead_letters: Vec<LetterView>,
    /// The cursor of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// Which dead letter.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it says how parameters look")]
struct LetterParams {
    /// Of the topic of dead letters: `dead_letter_partition`.
    #[param(minimum = 0)]
    partition: i32,
    /// There: `dead_letter_offset`.
    #[param(minimum = 0)]
    offset: i64,
}

/// Most of one page.
const LETTERS_MAX: u32 = 500;

/// Dead letters, newest first
///
/// Records that could not be read or admitted. Long values are cut.
#[utoipa::path(
    get, path = "/v1/dead-letters", tag = "dead letters", operation_id = "listDeadLetters", params(Listing),
    responses((status = 200, description = "A page of them", body = LettersView), Failed)
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(asked): Params<Listing>,
) -> Result<Json<LettersView>, ApiError> {
    let limit = at_most("limit", asked.limit, 50, LETTERS_MAX)?;
    let place = asked.cursor.as_deref().map(cursor::decode).transpose()?;
    let _turn = api.reading_turn().await;
    let page = dead_letters::page(&api.fleet, place.as_ref(), limit as usize).await;
    let page = page.map_err(ApiError::of_fleet)?;
    let next = page.next.map(|it| cursor::encode(&it));
    Ok(Json(LettersView { dead_letters: page.letters, next }))
}

/// One dead letter, whole
#[utoipa::path(
    get, path = "/v1/dead-letters/{partition}/{offset}", tag = "dead letters", operation_id = "getDeadLetter",
    params(LetterParams), responses((status = 200, description = "The dead letter", body = LetterView), Failed)
)]
pub(crate) async fn one(
    State(api): State<Api>,
    Segments((partition, offset)): Segments<(i32, i64)>,
) -> Result<Json<LetterView>, ApiError> {
    let _turn = api.reading_turn().await;
    let found = dead_letters::one(&api.fleet, partition, Offset(offset)).await.map_err(ApiError::of_fleet)?;
    let missing = || {
        let message = format!("there is no dead letter at partition {partition}, offset {offset}");
        ApiError::new(code::NOT_FOUND, message)
    };
    found.map(|(view, ..)| Json(view)).ok_or_else(missing)
}

/// Produce a record again
///
/// To where it came from, with its key and its headers, and with headers that say so. The dead letter stays.
#[utoipa::path(
    post, path = "/v1/dead-letters/{partition}/{offset}/redrive", tag = "dead letters", operation_id = "redriveDeadLetter",
    params(LetterParams), responses((status = 200, description = "Where the record stands now", body = RedrivenView), Failed)
)]
pub(crate) async fn redrive(
    State(api): State<Api>,
    Admin(caller): Admin,
    Segments((partition, offset)): Segments<(i32, i64)>,
) -> Result<Json<RedrivenView>, ApiError> {
    caller.about(|it| it.subject = Some(format!("{partition}/{offset}")));
    let _turn = api.reading_turn().await;
    let redriven = dead_letters::redrive(&api.fleet, partition, Offset(offset), &caller.by(None)).await;
    redriven.map(Json).map_err(ApiError::of_fleet)
}
