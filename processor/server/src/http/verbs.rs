//! What an operator does with an instance: who and why is recorded with it.

use axum::extract::State;
use millrace_schemas::InstanceId;
use millrace_schemas::command::{Answer, Command};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::asking::{self, CommandView, Naming, Waiting};
use super::caller::Caller;
use super::document::{Commanded, InstanceParam, KeyHeader};
use super::extract::{Body, IdempotencyKey, OptionalBody, Params, Segments, present};
use super::instances::own_instance_id;
use super::{Api, ApiError, code};
use crate::reading;
use crate::requests::commands;
use crate::requests::restart::Restart;

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// For people.
    #[serde(default)]
    #[schema(required = false)]
    pub(super) reason: String,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// For people.
    #[serde(default)]
    #[schema(required = false)]
    reason: String,
    /// Undo first what it has done: run `compensate` of the tasks that have ended, the last one first.
    #[serde(default)]
    #[schema(required = false)]
    compensate: bool,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryRequest {
    /// The failed task, by its JSON pointer; all that have failed, unless said.
    #[serde(default)]
    #[schema(example = "/do/2/charge")]
    task: Option<String>,
    /// Another input than what has flowed to it.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false)]
    input: Option<Value>,
    /// Who asks; behind a token, whoever the caller acts for.
    #[serde(default)]
    by: Option<String>,
    /// For people.
    #[serde(default)]
    #[schema(required = false)]
    reason: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditRequest {
    /// The task, by its JSON pointer.
    #[schema(example = "/do/2/charge")]
    task: String,
    /// What it is given instead of what has flowed to it, before its `input.from`.
    input: Value,
    /// Who asks; behind a token, whoever the caller acts for.
    #[serde(default)]
    by: Option<String>,
    /// For people.
    #[serde(default)]
    #[schema(required = false)]
    reason: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkipRequest {
    /// The failed task, by its JSON pointer; the only one that has failed, unless said.
    #[serde(default)]
    #[schema(example = "/do/2/charge")]
    task: Option<String>,
    /// What it gives.
    output: Value,
    /// Who asks; behind a token, whoever the caller acts for.
    #[serde(default)]
    by: Option<String>,
    /// For people.
    #[serde(default)]
    #[schema(required = false)]
    reason: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestartRequest {
    /// The task from which on all runs again, by its JSON pointer.
    #[schema(example = "/do/2/charge")]
    from: String,
    /// Another input than what flowed to it last time.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false)]
    input: Option<Value>,
    /// Who asks; behind a token, whoever the caller acts for.
    #[serde(default)]
    by: Option<String>,
    /// For people.
    #[serde(default)]
    #[schema(required = false)]
    reason: String,
}

/// What comes with each of these requests besides its body.
type Asked = (State<Api>, Caller, Option<IdempotencyKey>, Segments<String>, Params<Waiting>);

/// Cancel an instance
///
/// Ends it now, or after what it has done is undone.
#[utoipa::path(
    post, path = "/v1/instances/{id}/cancel", tag = "instances", operation_id = "cancelInstance",
    params(InstanceParam, Waiting, KeyHeader),
    request_body = Option<CancelRequest>,
    responses(Commanded)
)]
pub(crate) async fn cancel(
    asked: Asked,
    OptionalBody(CancelRequest { reason, compensate }): OptionalBody<CancelRequest>,
) -> Result<CommandView, ApiError> {
    send(asked, Command::Cancel { reason, compensate }).await
}

/// Suspend an instance
///
/// Holds it until it is resumed.
#[utoipa::path(
    post, path = "/v1/instances/{id}/suspend", tag = "instances", operation_id = "suspendInstance",
    params(InstanceParam, Waiting, KeyHeader),
    request_body = Option<Reason>,
    responses(Commanded)
)]
pub(crate) async fn suspend(
    asked: Asked,
    OptionalBody(Reason { reason }): OptionalBody<Reason>,
) -> Result<CommandView, ApiError> {
    send(asked, Command::Suspend { reason }).await
}

/// Resume an instance
///
/// Lets it go on, after a suspension or an incident.
#[utoipa::path(
    post, path = "/v1/instances/{id}/resume", tag = "instances", operation_id = "resumeInstance",
    params(InstanceParam, Waiting, KeyHeader),
    request_body = Option<Reason>,
    responses(Commanded)
)]
pub(crate) async fn resume(
    asked: Asked,
    OptionalBody(Reason { reason }): OptionalBody<Reason>,
) -> Result<CommandView, ApiError> {
    send(asked, Command::Resume { reason }).await
}

/// Retry failed tasks
///
/// Begins them again, of an instance that stands still with them, and lets it go on.
#[utoipa::path(
    post, path = "/v1/instances/{id}/retry", tag = "instances", operation_id = "retryInstance",
    params(InstanceParam, Waiting, KeyHeader),
    request_body = Option<RetryRequest>,
    responses(Commanded)
)]
pub(crate) async fn retry(
    asked: Asked,
    OptionalBody(RetryRequest { task, input, by, reason }): OptionalBody<RetryRequest>,
) -> Result<CommandView, ApiError> {
    let by = asked.1.by(by.as_deref());
    let command = Command::Retry { task: task.map(Into::into), input: input.map(Into::into), by, reason };
    send(asked, command).await
}

/// Give a task another input
///
/// Of an instance that stands still; the task begins again when the instance goes on.
#[utoipa::path(
    post, path = "/v1/instances/{id}/edit", tag = "instances", operation_id = "editInstance",
    params(InstanceParam, Waiting, KeyHeader),
    request_body = EditRequest,
    responses(Commanded)
)]
pub(crate) async fn edit(
    asked: Asked,
    Body(EditRequest { task, input, by, reason }): Body<EditRequest>,
) -> Result<CommandView, ApiError> {
    let by = asked.1.by(by.as_deref());
    send(asked, Command::Edit { task: task.into(), input: input.into(), by, reason }).await
}

/// Leave a failed task out
///
/// Says what it gives, and lets the instance go on behind it.
#[utoipa::path(
    post, path = "/v1/instances/{id}/skip", tag = "instances", operation_id = "skipInstance",
    params(InstanceParam, Waiting, KeyHeader),
    request_body = SkipRequest,
    responses(Commanded)
)]
pub(crate) async fn skip(
    asked: Asked,
    Body(SkipRequest { task, output, by, reason }): Body<SkipRequest>,
) -> Result<CommandView, ApiError> {
    let by = asked.1.by(by.as_deref());
    send(asked, Command::Skip { task: task.map(Into::into), output: output.into(), by, reason }).await
}

/// Run an instance again from a task on
///
/// Whether it has ended or not. What the engine does not keep is read from the history first.
#[utoipa::path(
    post, path = "/v1/instances/{id}/restart", tag = "instances", operation_id = "restartInstance",
    params(InstanceParam, Waiting, KeyHeader),
    request_body = RestartRequest,
    responses(Commanded)
)]
pub(crate) async fn restart(
    asked: Asked,
    Body(RestartRequest { from, input, by, reason }): Body<RestartRequest>,
) -> Result<CommandView, ApiError> {
    let (State(api), caller, key, Segments(id), _) = &asked;
    let id = own_instance_id(id)?;
    let by = caller.by(by.as_deref());
    // It must be one that the history has not done yet: the command would say another number of restarts.
    if let Some(key) = key
        && let Some(view) = restarted(api, caller, &id, key).await?
    {
        return Ok(view);
    }
    let reading = async {
        let _turn = api.reading_turn().await;
        reading::rewound(&api.fleet, &api.store, &id, &from).await
    };
    let rewound = match reading.await {
        Ok(rewound) => Some(rewound.into()),
        Err(error) if error.downcast_ref::<reading::RewindError>().is_some() => match input {
            Some(_) => None,
            None => return Err(ApiError::new(code::NO_HISTORY, format!("{error:#}"))),
        },
        Err(error) => return Err(ApiError::of_store(error)),
    };
    let restart = Restart { from, input: input.map(Into::into), by, reason };
    let command = restart.command(&id, rewound);
    let command = command.map_err(|error| ApiError::new(code::NEVER_ENTERED, error.to_string()))?;
    send(asked, command).await
}

/// What is answered to a restart that was done before.
async fn restarted(
    api: &Api,
    caller: &Caller,
    id: &InstanceId,
    key: &IdempotencyKey,
) -> Result<Option<CommandView>, ApiError> {
    let _turn = api.reading_turn().await;
    let cause = caller.event_id(Some(key));
    let done = reading::has_done(&api.fleet, &api.store, id, &cause).await;
    Ok(done.map_err(ApiError::of_store)?.then(|| CommandView::done_before(id, &cause)))
}

async fn send(asked: Asked, command: Command) -> Result<CommandView, ApiError> {
    let (State(api), caller, key, Segments(id), Params(waiting)) = asked;
    let id = own_instance_id(&id)?;
    note_reason(&caller, &command);
    let event = commands::event(caller.event_id(key.as_ref()), &id, &command);
    let naming = Naming::of(key.as_ref());
    asking::ask(&api, &caller, &id, event, naming, (Answer::Outcome, &waiting)).await
}

pub(super) fn note_reason(caller: &Caller, command: &Command) {
    let (Command::Cancel { reason, .. }
    | Command::Suspend { reason }
    | Command::Resume { reason }
    | Command::Retry { reason, .. }
    | Command::Edit { reason, .. }
    | Command::Skip { reason, .. }
    | Command::Restart { reason, .. }) = command
    else {
        return;
    };
    caller.about(|it| it.reason = Some(reason.clone()).filter(|it| !it.is_empty()));
}
