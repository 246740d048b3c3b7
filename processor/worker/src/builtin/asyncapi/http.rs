//! Messages that are published by HTTP.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};

use super::AsyncApiSettings;
use super::arguments::Message;
use super::document::Place;
use crate::builtin::client::chain;
use crate::builtin::http::idempotency_header;
use crate::builtin::process::text;
use crate::builtin::resources::refusal;
use crate::{Task, TaskFailure};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Sends the message's payload as JSON; says what the server answered.
pub(super) async fn publish(
    client: &Client,
    settings: &AsyncApiSettings,
    place: &Place,
    message: &Message,
    task: &Task,
) -> Result<Value, TaskFailure> {
    let text = format!("{}/{}", place.server.trim_end_matches('/'), place.address.trim_start_matches('/'));
    let url = Url::parse(&text).ok().filter(|it| matches!(it.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| TaskFailure::configuration(format!("{text:?} is no address of HTTP")))?;
    let name = format!("{} {}{}", place.method, url.origin().ascii_serialization(), url.path());
    let refused = |it: crate::builtin::targets::Refused| {
        let host = url.host_str().unwrap_or_default();
        TaskFailure::authorization(format!("{name}: {host} has {it}, and calls may not go there"))
            .with_detail(it.fix())
    };
    settings.targets.check_url(&url).map_err(refused)?;
    let method = Method::from_bytes(place.method.to_ascii_uppercase().as_bytes())
        .map_err(|_| TaskFailure::configuration(format!("{:?} is no method of HTTP", place.method)))?;
    let request = client.request(method, url.clone()).headers(headers(message, task)?);
    let sent = request.body(serde_json::to_vec(&message.payload)?).send().await;
    let response = sent.map_err(|error| match refusal(&error) {
        Some(it) => refused(it),
        None => TaskFailure::communication(format!("{name}: no answer"), 503, true)
            .with_detail(chain(&error.without_url())),
    })?;
    let status = response.status();
    if !status.is_success() {
        let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        return Err(TaskFailure::communication(format!("{name} answered {status}"), status.as_u16(), passes));
    }
    Ok(json!({ "statusCode": status.as_u16() }))
}

fn headers(message: &Message, task: &Task) -> Result<HeaderMap, TaskFailure> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(IDEMPOTENCY_KEY, idempotency_header(task.idempotency_key()));
    for (name, value) in message.headers.iter().filter(|it| !it.1.is_null()) {
        let header = name.parse::<HeaderName>().ok().zip(text(value).parse::<HeaderValue>().ok());
        let (name, value) =
            header.ok_or_else(|| TaskFailure::validation(format!("{name:?} cannot be a header")))?;
        if ["host", "content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            return Err(TaskFailure::validation(format!("the header {name} is set by the client itself")));
        }
        headers.insert(name, value);
    }
    Ok(headers)
}
