//! Messages that are published by HTTP.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::arguments::Message;
use super::document::Place;
use crate::builtin::authentication::Policy;
use crate::builtin::caller::Caller;
use crate::builtin::http::{Request, check, header_value, idempotent};
use crate::builtin::process::text;
use crate::builtin::secrets::Redaction;
use crate::{Task, TaskFailure};

/// Sends the message's payload as JSON; says what the server answered.
pub(super) async fn publish(
    caller: &Caller,
    place: &Place,
    message: &Message,
    policy: Option<&Policy>,
    task: &Task,
    redaction: &mut Redaction,
) -> Result<Value, TaskFailure> {
    let text = format!("{}/{}", place.server.trim_end_matches('/'), place.address.trim_start_matches('/'));
    let url = Url::parse(&text).ok().filter(|it| check(it).is_ok());
    let url = url.ok_or_else(|| TaskFailure::configuration(format!("{text:?} is no address of HTTP")))?;
    let method = Method::from_bytes(place.method.to_ascii_uppercase().as_bytes())
        .map_err(|_| TaskFailure::configuration(format!("{:?} is no method of HTTP", place.method)))?;
    let mut headers = headers(message)?;
    if policy.is_some() && headers.contains_key(AUTHORIZATION) {
        let problem = "the header `Authorization` is what `authentication` is for: keep one of the two";
        return Err(TaskFailure::validation(problem.to_owned()));
    }
    idempotent(&mut headers, task.idempotency_key(), task.trace());
    let body = serde_json::to_vec(&message.payload)?;
    let request = Request { method, url, headers, body: Some(body.into()) };
    let response = caller.send(&request, policy, redaction).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(caller.refused(&request, response).await);
    }
    Ok(json!({ "statusCode": status.as_u16() }))
}

fn headers(message: &Message) -> Result<HeaderMap, TaskFailure> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in message.headers.iter().filter(|it| !it.1.is_null()) {
        let (name, value) = header_value(name, &text(value))?;
        headers.insert(name, value);
    }
    Ok(headers)
}
