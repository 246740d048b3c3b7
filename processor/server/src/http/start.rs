//! Starting instances.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace_schemas::InstanceId;
use millrace_schemas::cloud_event::{CloudEvent, start_event};
use millrace_schemas::command::Answer;
use millrace_schemas::event::TaskError;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::asking::{self, AnswerName, CommandView, Naming, bounded};
use super::caller::{Caller, new_instance_id};
use super::document::{Failed, KeyHeader};
use super::extract::{Body, IdempotencyKey, Params, present};
use super::instances::own_instance_id;
use super::{Api, ApiError};
use crate::config::WorkflowReference;
use crate::requests::ending::{Ending, Watch};
use crate::view::TaskErrorSchema;

/// An instance to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRequest {
    /// `namespace/name`, or `namespace/name/version`; without a version the newest one that is deployed.
    #[schema(example = "shop/order")]
    workflow: String,
    /// Of the instance; a start of an id that exists is refused. Without it, a new one: the same for the same `Idempotency-Key`.
    #[serde(default)]
    #[schema(max_length = 256, min_length = 1)]
    id: Option<String>,
    /// The input of the workflow; `{}` unless said.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false)]
    input: Option<Value>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StartWaiting {
    /// Wait until the start is accepted or refused, or until the instance has ended. Without it, the answer says only that the event is
    /// durable.
    #[serde(default)]
    #[param(inline, nullable = false)]
    wait: Option<Until>,
    /// How long to wait, such as `500ms`, `30s` or `PT1M`; 10 seconds for `accepted` and 30 for `end` unless said, 300 at most.
    #[serde(default)]
    #[param(nullable = false, example = "30s")]
    timeout: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Until {
    Accepted,
    End,
}

/// A start, and how the instance has ended if that was waited for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StartedView {
    /// As it was asked for.
    workflow: String,
    #[serde(flatten)]
    command: CommandView,
    /// With `wait=end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status: Option<EndName>,
    /// Of an instance that has completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    /// Of an instance that has faulted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = TaskErrorSchema, required = false)]
    error: Option<TaskError>,
    /// Of an instance that was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// What an instance stands still for that has not ended in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    incident: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndName {
    Completed,
    Faulted,
    Cancelled,
    /// It goes on.
    TimedOut,
}

/// Start an instance
///
/// Starting is idempotent by the instance's id. A request that is sent again with the same `Idempotency-Key` is answered as the first one
/// was, and starts nothing again.
#[utoipa::path(
    post, path = "/v1/instances", tag = "instances", operation_id = "startInstance",
    params(
        StartWaiting,
        KeyHeader
    ),
    request_body = StartRequest,
    responses(
        (status = 200, description = "It was accepted, or has ended", body = StartedView),
        (status = 202, description = "The event is durable; nothing more was waited for, or told in time", body = StartedView),
        Failed,
    )
)]
pub(crate) async fn start(
    State(api): State<Api>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Params(waiting): Params<StartWaiting>,
    Body(request): Body<StartRequest>,
) -> Result<Response, ApiError> {
    let StartRequest { workflow, id, input } = request;
    let reference: WorkflowReference =
        workflow.parse().map_err(|error| ApiError::invalid(format!("workflow: {error}")))?;
    let event_id = caller.event_id(key.as_ref());
    let id = match id {
        Some(id) => own_instance_id(&id)?,
        None => new_instance_id(&event_id, key.as_ref()),
    };
    let version = reference.version.as_deref();
    let event = start_event(event_id, &id, &reference.workflow, version, input.unwrap_or_else(|| json!({})));
    let naming = Naming::of(key.as_ref());
    let view = match waiting.wait {
        Some(Until::End) => {
            let timeout = bounded(waiting.timeout.as_deref(), Duration::from_secs(30))?;
            to_the_end(&api, &caller, &id, event, naming, (workflow, timeout)).await?
        }
        Some(Until::Accepted) | None => {
            let wait = waiting.wait.map(|_| asking::Until::Accepted);
            let waiting = asking::Waiting { wait, timeout: waiting.timeout };
            let asked = asking::ask(&api, &caller, &id, event, naming, (Answer::Outcome, &waiting)).await?;
            StartedView::new(workflow, asked)
        }
    };
    Ok(view.respond(&id))
}

async fn to_the_end(
    api: &Api,
    caller: &Caller,
    id: &InstanceId,
    event: CloudEvent,
    naming: Naming,
    (workflow, timeout): (String, Duration),
) -> Result<StartedView, ApiError> {
    let cause = event.event_id.clone();
    asking::note_event(caller, id, &cause);
    let _turn = asking::wait_turn(api)?;
    let watch = Watch::begin(&api.fleet, id).await.map_err(ApiError::of_fleet)?;
    let sent = api.fleet.kafka.send_event(event).await.map_err(ApiError::of_fleet)?;
    let ending = watch.until_the_end(&cause, &sent, timeout, |_| {}).await.map_err(ApiError::of_fleet)?;
    let view = StartedView::new(workflow, CommandView::new(id, &sent));
    match ending {
        Ending::Completed { output } => {
            Ok(StartedView { status: Some(EndName::Completed), output: Some(output), ..view })
        }
        Ending::Faulted { error } => {
            Ok(StartedView { status: Some(EndName::Faulted), error: Some(error), ..view })
        }
        Ending::Cancelled { reason } => {
            Ok(StartedView { status: Some(EndName::Cancelled), reason: Some(reason), ..view })
        }
        Ending::TimedOut { incident } => {
            Ok(StartedView { status: Some(EndName::TimedOut), incident, ..view })
        }
        Ending::Rejected { reason, detail } => {
            let refusal = ApiError::new(&reason, detail);
            if asking::was_done(api, id, &cause, naming, &refusal).await {
                let StartedView { workflow, command, .. } = view;
                return Ok(StartedView::new(workflow, command.replayed()));
            }
            Err(refusal)
        }
    }
}

impl StartedView {
    fn new(workflow: String, command: CommandView) -> Self {
        Self { workflow, command, status: None, output: None, error: None, reason: None, incident: None }
    }

    fn respond(self, id: &InstanceId) -> Response {
        let has_ended = self.status.is_some_and(|it| it != EndName::TimedOut);
        let is_accepted = self.command.answer == Some(AnswerName::Accepted);
        let status = if has_ended || is_accepted { StatusCode::OK } else { StatusCode::ACCEPTED };
        let place = format!("/v1/instances/{}", utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC));
        let place = HeaderValue::from_str(&place).expect("percent-encoded text is ASCII");
        (status, [(header::LOCATION, place)], Json(self)).into_response()
    }
}
