//! What definitions refer to and do not contain: scripts, descriptions of services. It is got by HTTP, from where calls may go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

use super::client::{chain, connections};
use super::targets::{Refused, Targets};
use crate::TaskFailure;
use crate::worker::WorkerError;

/// Longest time to get one.
const TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most redirects on the way to one.
const HOPS_MAX: u32 = 5;
/// Most resources that are kept. Each is asked for again before it is used, with the name of what is kept, so nothing gets stale.
const KEPT_MAX: usize = 64;

/// Gets external resources, and keeps those that have a name for their content (`ETag`). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Resources {
    client: Client,
    targets: Targets,
    bytes_max: usize,
    kept: Arc<Mutex<BTreeMap<Url, Kept>>>,
}

#[derive(Clone, Debug)]
struct Kept {
    tag: HeaderValue,
    content: Bytes,
}

impl Resources {
    /// Resources of up to `bytes_max` bytes, from `targets`.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(targets: Targets, bytes_max: usize) -> Result<Self, WorkerError> {
        let client =
            connections(targets, |it| it.http1_only().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT))?;
        Ok(Self { client, targets, bytes_max, kept: Arc::default() })
    }

    /// The content of an external resource: `{ endpoint }`, where the endpoint is a URI or `{ uri }`.
    ///
    /// # Errors
    /// When it cannot be got. A permanent failure, unless it may pass.
    pub(super) async fn get(&self, resource: &Value) -> Result<Bytes, TaskFailure> {
        let mut url = url(resource)?;
        for _ in 0..=HOPS_MAX {
            self.targets.check_url(&url).map_err(|it| refused(&url, it))?;
            let kept = self.lock().get(&url).cloned();
            let mut request = self.client.get(url.clone());
            if let Some(kept) = &kept {
                request = request.header(IF_NONE_MATCH, &kept.tag);
            }
            let response = request.send().await.map_err(|error| failed(&url, error))?;
            let status = response.status();
            if let Some(kept) = kept
                && status == StatusCode::NOT_MODIFIED
            {
                return Ok(kept.content);
            }
            if status.is_redirection()
                && let Some(next) = redirected(&url, &response)
            {
                url = next;
                continue;
            }
            if !status.is_success() {
                let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
                let title = format!("{} answered {status}", name(&url));
                return Err(TaskFailure::communication(title, status.as_u16(), passes));
            }
            let tag = response.headers().get(ETAG).cloned();
            let content = self.read(&url, response).await?;
            if let Some(tag) = tag {
                self.keep(url, Kept { tag, content: content.clone() });
            }
            return Ok(content);
        }
        let title = format!("{} was redirected more than {HOPS_MAX} times", name(&url));
        Err(TaskFailure::communication(title, 502, false))
    }

    async fn read(&self, url: &Url, mut response: Response) -> Result<Bytes, TaskFailure> {
        let mut content = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(url, error))? {
            if content.len() + chunk.len() > self.bytes_max {
                let title = format!("{} has more than {} bytes", name(url), self.bytes_max);
                return Err(TaskFailure::communication(title, 502, false));
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }

    fn keep(&self, url: Url, content: Kept) {
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX && !kept.contains_key(&url) {
            // Whichever it is: it is got again when it is needed.
            kept.pop_first();
        }
        kept.insert(url, content);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Url, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn url(resource: &Value) -> Result<Url, TaskFailure> {
    let endpoint = &resource["endpoint"];
    if endpoint.get("authentication").is_some_and(|it| !it.is_null()) {
        let title = "a resource that needs authentication is not supported yet".to_owned();
        return Err(TaskFailure::validation(title));
    }
    let text = endpoint.as_str().or_else(|| endpoint["uri"].as_str());
    let text = text.ok_or_else(|| TaskFailure::validation("the resource has no URI".to_owned()))?;
    let url = Url::parse(text)
        .map_err(|error| TaskFailure::validation(format!("the resource's URI is none: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TaskFailure::validation(format!("`{}` is no scheme of HTTP", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TaskFailure::validation(
            "a URI with credentials in it is not supported: everybody could read them".to_owned(),
        ));
    }
    Ok(url)
}

/// Where it is instead. Never from https to http.
fn redirected(url: &Url, response: &Response) -> Option<Url> {
    let location = std::str::from_utf8(response.headers().get(LOCATION)?.as_bytes()).ok()?;
    let next = url.join(location).ok()?;
    let is_as_safe = next.scheme() == "https" || (next.scheme() == "http" && url.scheme() == "http");
    is_as_safe.then_some(next)
}

fn failed(url: &Url, error: reqwest::Error) -> TaskFailure {
    if let Some(it) = refusal(&error) {
        return refused(url, it);
    }
    let status = if error.is_timeout() { 504 } else { 503 };
    TaskFailure::communication(format!("{} cannot be got", name(url)), status, true)
        .with_detail(chain(&error.without_url()))
}

/// Why the error is one, if it is that its target is none that calls may reach.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Refused> {
    let mut causes = std::iter::successors(Some(error), |&it| it.source());
    causes.find_map(|it| it.downcast_ref::<Refused>()).copied()
}

fn refused(url: &Url, refused: Refused) -> TaskFailure {
    let host = url.host_str().unwrap_or_default();
    TaskFailure::authorization(format!("{}: {host} has {refused}, and calls may not go there", name(url)))
        .with_detail(refused.fix())
}

/// Without the query, which may hold what is nobody's business.
fn name(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}
