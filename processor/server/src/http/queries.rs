//! Questions to running instances: an expression, or a query of their definition, evaluated by their owner on what is committed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_engine::Looked;
use millrace_placement::PartitionIndex;
use millrace_runtime::QueryError;
use millrace_runtime::store::SnapshotStore;
use millrace_schemas::InstanceId;
use millrace_schemas::instance::InstanceState;
use millrace_workflow::expression::{Expression, Template};
use millrace_workflow::program::Program;
use serde::Deserialize;

use super::instances::{instance_id, not_found};
use super::{Api, ApiError, code};
use crate::clients;
use crate::reading::{self, Question};
use crate::view::{InstanceView, QueryView};

/// `?expression=JQ&routed=true`
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    expression: Option<String>,
    #[serde(default)]
    routed: bool,
}

/// What an expression gives.
pub(crate) async fn expression<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Path(id): Path<String>,
    Query(Asked { expression, routed }): Query<Asked>,
) -> Result<Json<QueryView>, ApiError> {
    let missing = "say what to ask: expression=JQ, such as expression=.status";
    let expression = expression.ok_or_else(|| ApiError::new(code::INVALID, missing))?;
    answer(&api, &instance_id(&id)?, Question::Expression(expression), routed).await
}

/// What a query of the definition gives.
pub(crate) async fn named<S: SnapshotStore>(
    State(api): State<Api<S>>,
    Path((id, name)): Path<(String, String)>,
    Query(Asked { routed, .. }): Query<Asked>,
) -> Result<Json<QueryView>, ApiError> {
    answer(&api, &instance_id(&id)?, Question::Named(name), routed).await
}

async fn answer<S: SnapshotStore>(
    api: &Api<S>,
    id: &InstanceId,
    question: Question,
    routed: bool,
) -> Result<Json<QueryView>, ApiError> {
    match api.processor.query(id.clone()).await {
        Ok(Some(state)) => evaluate(api, id, state, question).await.map(Json),
        Ok(None) => Err(not_found(id)),
        Err(QueryError::NotOwner { partition }) if !routed => {
            elsewhere(api, partition, id, &question).await.map(Json)
        }
        Err(error @ QueryError::NotOwner { partition }) => {
            Err(ApiError::at(code::NOT_OWNER, partition.0, error.to_string()))
        }
        Err(error @ QueryError::NoAnswer { partition }) => {
            Err(ApiError::at(code::NO_ANSWER, partition.0, error.to_string()))
        }
    }
}

async fn evaluate<S: SnapshotStore>(
    api: &Api<S>,
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
    let _turn = api.evaluating.acquire().await.expect("it is never closed");
    let (asked, at) = (id.clone(), clients::now());
    // It may take most of a second, so it is not for where other futures wait.
    let evaluating = tokio::task::spawn_blocking(move || {
        let shown = serde_json::to_value(InstanceView::new(&asked, &state)).expect("is plain data");
        Looked { id: &asked, state: &state, program: &program, at }.ask(&template, &shown)
    });
    let result = evaluating.await.expect("an expression does not panic");
    let result = result.map_err(|error| ApiError::new(code::EXPRESSION, error.to_string()))?;
    Ok(QueryView { id: id.to_string(), result, owner_url: Some(api.url.clone()) })
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
async fn elsewhere<S: SnapshotStore>(
    api: &Api<S>,
    partition: PartitionIndex,
    id: &InstanceId,
    question: &Question,
) -> Result<QueryView, ApiError> {
    let no_answer = |why: String| ApiError::at(code::NO_ANSWER, partition.0, why);
    let owner = reading::owner(&api.store, partition).await;
    let owner = owner.map_err(|error| ApiError::new(code::STORE, format!("{error:#}")))?;
    let url = owner.map_err(no_answer)?;
    let asked = reading::ask_owner(&url, &question.path(id), &question.parameters()).await;
    asked.map_err(|error| no_answer(format!("the owner of partition {} at {url}: {error:#}", partition.0)))?
}
