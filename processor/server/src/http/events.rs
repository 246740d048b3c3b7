//! Events from outside: signals to one instance, and events for whoever listens.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use millrace_schemas::EventId;
use millrace_schemas::command::Answer;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::asking::{self, CommandView, Naming, SentView, Waiting};
use super::caller::Caller;
use super::document::{Commanded, Failed, InstanceParam, KeyHeader};
use super::extract::{Body, IdempotencyKey, Params, Segments, present};
use super::filter::workflow_name;
use super::instances::own_instance_id;
use super::{Api, ApiError};
use crate::requests::events::{BusinessKey, Event};

/// A signal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignalRequest {
    /// CloudEvents type of your own, such as `shop.courier.delivered`.
    #[schema(min_length = 1)]
    r#type: String,
    /// Any JSON.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false)]
    data: Option<Value>,
    /// CloudEvents source, a URI reference. The API's and the caller's name unless said.
    #[serde(default)]
    #[schema(min_length = 1)]
    source: Option<String>,
    /// CloudEvents id: a copy of the same source and id is not taken again. `Idempotency-Key`, or a new one, unless said.
    #[serde(default)]
    #[schema(min_length = 1)]
    event_id: Option<String>,
    /// Extension attributes: names of lower-case letters and digits.
    #[serde(default)]
    #[schema(required = false)]
    attributes: BTreeMap<String, String>,
    /// Refuse the event unless a `listen` takes it at once, instead of letting it wait for one. With `wait`.
    #[serde(default)]
    #[schema(required = false)]
    now: bool,
}

/// Send an event to an instance
#[utoipa::path(
    post, path = "/v1/instances/{id}/signals", tag = "instances", operation_id = "signalInstance",
    params(InstanceParam, Waiting, KeyHeader),
    request_body = SignalRequest,
    responses(Commanded)
)]
pub(crate) async fn signal(
    State(api): State<Api>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Segments(id): Segments<String>,
    Params(waiting): Params<Waiting>,
    Body(request): Body<SignalRequest>,
) -> Result<CommandView, ApiError> {
    let id = own_instance_id(&id)?;
    let SignalRequest { r#type, data, source, event_id, attributes, now } = request;
    if now && waiting.wait.is_none() {
        return Err(ApiError::invalid("`now` says nothing without wait=accepted"));
    }
    let naming = if event_id.is_some() { Naming::Named } else { Naming::of(key.as_ref()) };
    let event = Event {
        event_id: named(&caller, key.as_ref(), source, event_id)?,
        event_type: r#type,
        data,
        attributes: attributes.into_iter().collect(),
    };
    let event = event.into_event_for(&id, false).map_err(|error| ApiError::invalid(error.to_string()))?;
    let answer = if now { Answer::AtOnce } else { Answer::Outcome };
    asking::ask(&api, &caller, &id, event, naming, (answer, &waiting)).await
}

/// An event for whoever listens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishRequest {
    /// CloudEvents type of your own, such as `shop.order.paid`.
    #[schema(min_length = 1)]
    r#type: String,
    /// Any JSON.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false)]
    data: Option<Value>,
    /// CloudEvents source, a URI reference. The API's and the caller's name unless said.
    #[serde(default)]
    #[schema(min_length = 1)]
    source: Option<String>,
    /// CloudEvents id: a copy of the same source and id is dropped. `Idempotency-Key`, or a new one, unless said.
    #[serde(default)]
    #[schema(min_length = 1)]
    event_id: Option<String>,
    /// `namespace/name`: only for the instances of this workflow that are known by `business_key`.
    #[serde(default)]
    workflow: Option<String>,
    /// Only for the instances of `workflow` that are known by this key.
    #[serde(default)]
    #[schema(min_length = 1)]
    business_key: Option<String>,
    /// Extension attributes: names of lower-case letters and digits.
    #[serde(default)]
    #[schema(required = false)]
    attributes: BTreeMap<String, String>,
}

/// Publish an event for whoever listens
///
/// It finds the instances that listen by what it says, or starts one; nothing is told of what becomes of it.
#[utoipa::path(
    post, path = "/v1/events", tag = "events", operation_id = "publishEvent",
    params(KeyHeader),
    request_body = PublishRequest,
    responses(
        (status = 202, description = "The event is durable", body = SentView),
        Failed,
    )
)]
pub(crate) async fn publish(
    State(api): State<Api>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    Body(request): Body<PublishRequest>,
) -> Result<(StatusCode, Json<SentView>), ApiError> {
    let PublishRequest { r#type, data, source, event_id, workflow, business_key, attributes } = request;
    let known_by = match (workflow, business_key) {
        (Some(workflow), Some(key)) => {
            Some(BusinessKey { workflow: workflow_name("workflow", &workflow)?, key })
        }
        (None, None) => None,
        _ => return Err(ApiError::invalid("workflow and business_key are given together, or not at all")),
    };
    let event = Event {
        event_id: named(&caller, key.as_ref(), source, event_id)?,
        event_type: r#type.clone(),
        data,
        attributes: attributes.into_iter().collect(),
    };
    let event =
        event.into_event_for_listeners(known_by).map_err(|error| ApiError::invalid(error.to_string()))?;
    caller.about(|it| {
        it.subject = Some(r#type);
        it.event = Some(format!("{} {}", event.event_id.source, event.event_id.id));
    });
    let sent = api.fleet.kafka.send_event(event).await.map_err(ApiError::of_fleet)?;
    Ok((StatusCode::ACCEPTED, Json((&sent).into())))
}

fn named(
    caller: &Caller,
    key: Option<&IdempotencyKey>,
    source: Option<String>,
    id: Option<String>,
) -> Result<EventId, ApiError> {
    let own = caller.event_id(key);
    if let (Some(key), Some(id)) = (key, &id)
        && key.0 != *id
    {
        return Err(ApiError::invalid("Idempotency-Key and event_id differ; one of them is enough"));
    }
    Ok(EventId { source: source.unwrap_or(own.source), id: id.unwrap_or(own.id) })
}
