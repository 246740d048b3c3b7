//! Events that a request sends, and what becomes of them: the part that all requests that change something share.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use millrace_schemas::cloud_event::CloudEvent;
use millrace_schemas::command::Answer;
use millrace_schemas::{EventId, InstanceId};
use serde::{Deserialize, Serialize};
use tokio::sync::SemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::extract::duration;
use super::{Api, ApiError, code};
use crate::clients::{Sent, SentEvent};
use crate::reading;
use crate::requests::outcome::{Listening, Outcome};

/// Longest time that a request may wait for.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(300);

/// `?wait=accepted&timeout=10s`
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Waiting {
    /// Wait until what was asked for is accepted or refused. Without it, the answer says only that the event is durable.
    #[serde(default)]
    #[param(inline, nullable = false)]
    pub(crate) wait: Option<Until>,
    /// How long to wait, such as `500ms`, `30s` or `PT1M`; 10 seconds unless said, 300 at most.
    #[serde(default)]
    #[param(nullable = false, example = "10s")]
    pub(crate) timeout: Option<String>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Until {
    Accepted,
}

impl Waiting {
    fn timeout(&self) -> Result<Duration, ApiError> {
        bounded(self.timeout.as_deref(), Duration::from_secs(10))
    }
}

/// A time to wait for, which has a bound.
pub(crate) fn bounded(text: Option<&str>, usual: Duration) -> Result<Duration, ApiError> {
    let timeout = duration("timeout", text)?.unwrap_or(usual);
    if timeout > WAIT_MAX {
        let message = format!("timeout: {} s at most; ask again for longer", WAIT_MAX.as_secs());
        return Err(ApiError::invalid(message));
    }
    Ok(timeout)
}

/// What was sent, and what became of it if that was waited for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CommandView {
    /// The instance, or the schedule.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) sent: SentView,
    /// Whether it was accepted: with `wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) answer: Option<AnswerName>,
    /// What was done with what was accepted: `done`, `taken`, `waits`, `deferred` or `dropped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) outcome: Option<String>,
    /// JSON pointer of the `listen` that has taken the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) task: Option<String>,
    /// Of the instance, after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) instance_status: Option<String>,
    /// An earlier request of the same name had done it already; nothing was done again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) is_replayed: bool,
}

/// An event in the inbox.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SentView {
    /// Its name.
    pub(crate) event: EventView,
    /// Of the inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) offset: Option<i64>,
}

/// What names an event.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EventView {
    pub(crate) source: String,
    pub(crate) id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerName {
    Accepted,
    /// Not answered in time: it is decided as soon as its partition is served.
    TimedOut,
}

impl AnswerName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::TimedOut => "timed_out",
        }
    }
}

impl From<&Sent> for SentView {
    fn from(sent: &Sent) -> Self {
        let SentEvent { source, id } = sent.event.clone();
        Self { event: EventView { source, id }, partition: Some(sent.partition), offset: Some(sent.offset) }
    }
}

impl CommandView {
    pub(crate) fn new(id: &InstanceId, sent: &Sent) -> Self {
        Self::of(id, sent.into())
    }

    /// Of an event that was sent earlier, and whose place is not known any more.
    pub(crate) fn done_before(id: &InstanceId, cause: &EventId) -> Self {
        let event = EventView { source: cause.source.clone(), id: cause.id.clone() };
        Self::of(id, SentView { event, partition: None, offset: None }).replayed()
    }

    fn of(id: &InstanceId, sent: SentView) -> Self {
        Self {
            id: id.to_string(),
            sent,
            answer: None,
            outcome: None,
            task: None,
            instance_status: None,
            is_replayed: false,
        }
    }

    /// The same, with what became of it.
    pub(crate) fn with(self, outcome: Outcome) -> Result<Self, ApiError> {
        match outcome {
            Outcome::Accepted { outcome, task, instance_status } => Ok(Self {
                answer: Some(AnswerName::Accepted),
                outcome: Some(outcome),
                task,
                instance_status: Some(instance_status),
                ..self
            }),
            Outcome::TimedOut => Ok(Self { answer: Some(AnswerName::TimedOut), ..self }),
            Outcome::Rejected { reason, detail } => Err(ApiError::new(&reason, detail)),
        }
    }

    pub(crate) fn replayed(self) -> Self {
        Self { answer: Some(AnswerName::Accepted), is_replayed: true, ..self }
    }

    fn status(&self) -> StatusCode {
        match self.answer {
            Some(AnswerName::Accepted) => StatusCode::OK,
            Some(AnswerName::TimedOut) | None => StatusCode::ACCEPTED,
        }
    }
}

impl IntoResponse for CommandView {
    fn into_response(self) -> Response {
        (self.status(), Json(self)).into_response()
    }
}

/// Whether a request bears a name that its sender has given it: then it may be one that was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    Named,
    Anonymous,
}

impl Naming {
    pub(crate) fn of<T>(name: Option<&T>) -> Self {
        if name.is_some() { Self::Named } else { Self::Anonymous }
    }
}

/// Sends an event to `id`, and waits for what becomes of it if that is wanted.
pub(crate) async fn ask(
    api: &Api,
    caller: &Caller,
    id: &InstanceId,
    event: CloudEvent,
    naming: Naming,
    (answer, waiting): (Answer, &Waiting),
) -> Result<CommandView, ApiError> {
    let timeout = waiting.timeout()?;
    let cause = event.event_id.clone();
    note_event(caller, id, &cause);
    if waiting.wait.is_none() {
        let sent = api.fleet.kafka.send_event(event).await.map_err(ApiError::of_fleet)?;
        return Ok(CommandView::new(id, &sent));
    }
    let _turn = wait_turn(api)?;
    let listening = Listening::begin(&api.fleet, id).await.map_err(ApiError::of_fleet)?;
    let asked = listening.send(event, answer).await.map_err(ApiError::of_fleet)?;
    let (sent, outcome) = asked.outcome(timeout).await.map_err(ApiError::of_fleet)?;
    let view = CommandView::new(id, &sent);
    match view.clone().with(outcome) {
        Ok(view) => Ok(view),
        Err(refusal) if was_done(api, id, &cause, naming, &refusal).await => Ok(view.replayed()),
        Err(refusal) => Err(refusal),
    }
}

/// For the audit log.
pub(crate) fn note_event(caller: &Caller, id: &InstanceId, cause: &EventId) {
    caller.about(|it| {
        it.subject = Some(id.to_string());
        it.event = Some(format!("{} {}", cause.source, cause.id));
    });
}

/// A place among those who wait, of which there is a bounded number.
pub(crate) fn wait_turn(api: &Api) -> Result<SemaphorePermit<'_>, ApiError> {
    api.turns.waiting.try_acquire().map_err(|_| {
        let message = "too many requests wait already; try again, or ask without wait";
        ApiError::new(code::BUSY, message)
    })
}

/// Whether what was refused had been done before, for a request of the same name.
pub(crate) async fn was_done(
    api: &Api,
    id: &InstanceId,
    cause: &EventId,
    naming: Naming,
    refusal: &ApiError,
) -> bool {
    if naming == Naming::Anonymous {
        return false;
    }
    match refusal.code.as_str() {
        "duplicate" => true,
        "already_exists" | "invalid_state" => {
            // What cannot be looked up now was refused, and no more is known.
            let Ok(_turn) = api.turns.reading.acquire().await else { return false };
            reading::has_done(&api.fleet, &api.store, id, cause).await.unwrap_or(false)
        }
        _ => false,
    }
}
