//! What definitions refer to and do not contain: scripts, descriptions of services. Each is got by HTTP, from where calls may go and
//! by its own credentials; kept, as what it was read as, as long as its server says; and asked for again with what it was known by.
//! Or it stands in the definition after all, as a `data:` URI.

mod freshness;
#[cfg(test)]
mod tests;

use std::any::{Any, type_name};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_workflow::data_uri;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::authentication::Policy;
use super::caller::{Caller, Exchange};
use super::http::{Request, Wanted, endpoint_uri, endpoint_url, judge};
use super::secrets::Redaction;
use super::shelf::{self, Shelf};
use crate::TaskFailure;

use freshness::{FRESH_MAX, freshness, validators};

/// Longest time to get one.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Resources that are kept.
const COUNT_MAX: usize = 64;
/// Their texts in all, in bytes. As what they are read as they take several times that.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// JSON is read faster.
const ACCEPTED: &str = "application/json, application/yaml;q=0.9, */*;q=0.8";

/// An external resource, as a task's arguments have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    /// For people.
    #[serde(rename = "name")]
    _name: Option<String>,
    /// A URI, or `{ uri }`.
    endpoint: Value,
    /// A whole policy. It is no part of `endpoint`, where data could put one.
    authentication: Option<Value>,
}

/// What a resource is read as.
pub(super) trait Content: Sized + Send + Sync + 'static {
    /// Reads a resource that is at `url`. It may take a while: it has a thread of its own.
    ///
    /// # Errors
    /// A permanent failure of the type `configuration` that says what is wrong with it.
    fn read(bytes: Bytes, url: Url) -> Result<Self, TaskFailure>;
}

/// As it is.
impl Content for Bytes {
    fn read(bytes: Bytes, _: Url) -> Result<Self, TaskFailure> {
        Ok(bytes)
    }
}

/// The resources that calls have needed.
#[derive(Debug)]
pub(super) struct Resources(Shelf<Slot>);

impl Default for Resources {
    fn default() -> Self {
        Self(Shelf::new(COUNT_MAX, BYTES_MAX))
    }
}

/// What is known of one resource.
#[derive(Debug, Default)]
struct Slot {
    held: Option<Held>,
    failed: Option<(TaskFailure, Instant)>,
}

#[derive(Debug)]
struct Held {
    /// Of the type that is a part of the slot's key.
    content: Arc<dyn Any + Send + Sync>,
    fresh_until: Instant,
    validators: Vec<(HeaderName, HeaderValue)>,
    /// In bytes of its text.
    weight: usize,
}

impl Held {
    fn content<T: Content>(&self) -> Arc<T> {
        Arc::clone(&self.content).downcast().expect("a slot has one type")
    }
}

/// The content of a resource.
///
/// # Errors
/// When it cannot be had, or is not what it should be. A permanent failure, unless it may pass.
pub(super) async fn get<T: Content>(
    caller: &Caller,
    resource: &Resource,
    redaction: &mut Redaction,
) -> Result<Arc<T>, TaskFailure> {
    let got = tokio::time::timeout(TIMEOUT, kept(caller, resource, redaction)).await;
    got.unwrap_or_else(|_| {
        let title = format!("a resource was not there within {TIMEOUT:?}");
        Err(TaskFailure::communication(title, 504, true))
    })
}

async fn kept<T: Content>(
    caller: &Caller,
    resource: &Resource,
    redaction: &mut Redaction,
) -> Result<Arc<T>, TaskFailure> {
    let asked = Instant::now();
    let policy = caller.policy(resource.authentication.as_ref(), redaction).await?;
    // What one may see with its credentials is not shown to those without.
    let credentials = policy.as_ref().map(Policy::key).unwrap_or_default();
    let shelf = &caller.resources().0;
    let uri = endpoint_uri(&resource.endpoint)?;
    let key = shelf::key(&[type_name::<T>().as_bytes(), uri.as_bytes(), &credentials]);
    let slot = shelf.slot(key);
    let mut slot = slot.lock().await;
    if let Some(held) = slot.held.as_ref().filter(|it| Instant::now() < it.fresh_until) {
        return Ok(held.content());
    }
    // Who waited while another one asked in vain need not ask again.
    if let Some((failure, _)) = slot.failed.as_ref().filter(|it| it.1 > asked) {
        return Err(failure.clone());
    }
    let got = if data_uri::content(uri).is_some() {
        contained(caller, uri, &mut slot.held).await
    } else {
        fetch(caller, endpoint_url(&resource.endpoint)?, policy.as_ref(), &mut slot.held, redaction).await
    };
    match got {
        Ok(content) => {
            slot.failed = None;
            shelf.weigh(key, slot.held.as_ref().map_or(0, |it| it.weight));
            Ok(content)
        }
        Err(failure) => {
            let failure = redaction.failure(failure);
            slot.failed = Some((failure.clone(), Instant::now()));
            Err(failure)
        }
    }
}

/// Reads what stands in the definition.
async fn contained<T: Content>(
    caller: &Caller,
    uri: &str,
    held: &mut Option<Held>,
) -> Result<Arc<T>, TaskFailure> {
    let bytes = data_uri::decode(uri, caller.settings().resource_bytes_max).map_err(|problem| {
        TaskFailure::validation(format!("the resource's `data:` URI cannot be used: {problem}"))
    })?;
    let weight = bytes.len();
    // Nothing is relative to it.
    let url = Url::parse("data:,").expect("this is a URI");
    let content = read::<T>(bytes.into(), url).await?;
    let fresh_until = Instant::now() + FRESH_MAX;
    *held = Some(Held { content: content.clone(), fresh_until, validators: Vec::new(), weight });
    Ok(content)
}

/// Fetches a resource, or finds that the one at hand still is the same.
async fn fetch<T: Content>(
    caller: &Caller,
    url: Url,
    policy: Option<&Policy>,
    held: &mut Option<Held>,
    redaction: &mut Redaction,
) -> Result<Arc<T>, TaskFailure> {
    let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(ACCEPTED))]);
    headers.extend(held.iter().flat_map(|it| it.validators.iter().cloned()));
    let request = Request { method: Method::GET, url, headers, body: None };
    let bytes_max = caller.settings().resource_bytes_max;
    let Exchange { request, response } = caller.exchange(request, policy, true, bytes_max, redaction).await?;
    let fresh = freshness(&response.headers);
    let fresh_until = Instant::now() + fresh.unwrap_or_default();
    if response.status == StatusCode::NOT_MODIFIED
        && let Some(held) = held
    {
        held.fresh_until = fresh_until;
        return Ok(held.content());
    }
    if response.status != StatusCode::OK {
        judge(&request, &response, Wanted::default(), redaction)?;
        // Another good status brings no content.
        let title = format!("{} answered {}, and no content", request.name(), response.status);
        return Err(TaskFailure::communication(title, 502, false));
    }
    let content = read::<T>(response.body.clone(), request.url).await?;
    *held = fresh.map(|_| Held {
        content: content.clone(),
        fresh_until,
        validators: validators(&response.headers),
        weight: response.body.len(),
    });
    Ok(content)
}

/// Reading a large one takes a while, for which other calls need not wait.
async fn read<T: Content>(bytes: Bytes, url: Url) -> Result<Arc<T>, TaskFailure> {
    match tokio::task::spawn_blocking(move || T::read(bytes, url)).await {
        Ok(content) => content.map(Arc::new),
        Err(_) => Err(TaskFailure::retriable("the resource was not read: the worker ends")),
    }
}

/// Where a resource is, in a message: without the query, which may hold what is nobody's business.
pub(super) fn shown(url: &Url) -> String {
    match url.scheme() {
        "data" => "in a `data:` URI".to_owned(),
        _ => format!("{}{}", url.origin().ascii_serialization(), url.path()),
    }
}
