//! Questions to running instances: an expression, or a query of their definition, evaluated by their owner on what is committed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use millrace_engine::Looked;
use millrace_placement::PartitionIndex;
use millrace_runtime::QueryError;
use millrace_schemas::InstanceId;
use millrace_schemas::instance::InstanceState;
use millrace_workflow::expression::{Expression, Template};
use millrace_workflow::program::Program;
use serde::Deserialize;
use utoipa::IntoParams;

use super::caller::Caller;
use super::document::{Failed, InstanceParam};
use super::extract::{Params, Segments};
use super::instances::{Routing, instance_id, not_found, unanswered};
use super::{Api, ApiError, code};
use crate::clients;
use crate::reading::{self, OwnerSaid, Question};
use crate::view::{InstanceView, QueryView};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// In jq: `.` is what `GET /v1/instances/{id}` shows, `$context` and `$input` are the workflow's.
    #[param(example = ".status")]
    expression: String,
    /// Another processor asks: the answer is this one's, or none (421).
    #[serde(default)]
    #[param(required = false)]
    routed: bool,
}

/// Ask an instance
///
/// Its owner evaluates the expression on what is committed. 422 if the expression fails or takes too much.
#[utoipa::path(
    get, path = "/v1/instances/{id}/query", tag = "instances", operation_id = "queryInstance",
    params(InstanceParam, Asked), responses((status = 200, description = "What the expression gives", body = QueryView), Failed)
)]
pub(crate) async fn expression(
    State(api): State<Api>,
    caller: Caller,
    Segments(id): Segments<String>,
    Params(Asked { expression, routed }): Params<Asked>,
) -> Result<Json<QueryView>, ApiError> {
    answer(&api, &caller, &instance_id(&id)?, Question::Expression(expression), routed).await
}

/// Ask an instance by a query of its definition
#[utoipa::path(
    get, path = "/v1/instances/{id}/queries/{name}", tag = "instances", operation_id = "namedQueryOfInstance",
    params(InstanceParam, ("name" = String, Path, description = "Of the query"), Routing),
    responses((status = 200, description = "What the expression gives", body = QueryView), Failed)
)]
pub(crate) async fn named(
    State(api): State<Api>,
    caller: Caller,
    Segments((id, name)): Segments<(String, String)>,
    Params(Routing { routed }): Params<Routing>,
) -> Result<Json<QueryView>, ApiError> {
    answer(&api, &caller, &instance_id(&id)?, Question::Named(name), routed).await
}

async fn answer(
    api: &Api,
    caller: &Caller,
    id: &InstanceId,
    question: Question,
    routed: bool,
) -> Result<Json<QueryView>, ApiError> {
    match api.processor.query(id.clone()).await {
        Ok(Some(state)) => evaluate(api, id, state, question).await.map(Json),
        Ok(None) => Err(not_found(id)),
        Err(QueryError::NotOwner { partition }) if !routed => {
            elsewhere(api, caller, partition, id, &question).await.map(Json)
        }
        Err(error) => Err(unanswered(&error)),
    }
}

async fn evaluate(
    api: &Api,
    id: &InstanceId,
    state: InstanceState,
    question: Question,
) -> Result<QueryView, ApiError> {
    let version = &state.workflow;
    let program = api.processor.program(version).ok_or_else(|| {
        ApiError::new(
            code::NOT_DEPLOYED,
            format!("workflow {version} is not deployed any more; deploy it again"),
        )
    })?;
    let template = template(&program, &question)?;
    let _turn = api.turns.evaluating.acquire().await.expect("it is never closed");
    let (asked, at) = (id.clone(), clients::now());
    // It may take most of a second, so it is not for where other futures wait.
    let evaluating = tokio::task::spawn_blocking(move || {
        let shown = serde_json::to_value(InstanceView::new(&asked, &state)).expect("is plain data");
        Looked { id: &asked, state: &state, program: &program, at }.ask(&template, &shown)
    });
    let result = evaluating.await.expect("an expression does not panic");
    let result = result.map_err(|error| ApiError::new(code::EXPRESSION, error.to_string()))?;
    Ok(QueryView { id: id.to_string(), result, owner_url: Some(api.url.to_string()) })
}

fn template(program: &Arc<Program>, question: &Question) -> Result<Template, ApiError> {
    match question {
        Question::Expression(text) => Expression::compile(text, &[])
            .map(Template::of_expression)
            .map_err(|error| ApiError::new(code::INVALID, error.to_string())),
        Question::Named(name) => program.queries.get(name.as_str()).cloned().ok_or_else(|| {
            let names: Vec<_> = program.queries.keys().map(|it| &**it).collect();
            let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let workflow = &program.workflow;
            ApiError::new(code::NO_SUCH_QUERY, format!("{workflow} has no query {name}; it has {has}"))
        }),
    }
}

/// Asks the owner, which alone knows what is committed.
async fn elsewhere(
    api: &Api,
    caller: &Caller,
    partition: PartitionIndex,
    id: &InstanceId,
    question: &Question,
) -> Result<QueryView, ApiError> {
    let (path, parameters) = (question.path(id), question.parameters());
    let (peers, seat) = (api.peers(caller), api.seat());
    let asked = reading::ask_owner(&peers, &api.store, partition, &path, &parameters, seat.until).await;
    match asked.map_err(ApiError::of_store)? {
        OwnerSaid::Answered { answer, .. } => Ok(answer),
        OwnerSaid::Refused { error, .. } => Err(error),
        OwnerSaid::Unreached { why } => Err(ApiError::at(code::NO_ANSWER, partition.0, why)),
    }
}
