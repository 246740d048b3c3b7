//! Where documents come from. Each is fetched once, kept as long as its server says, and asked for again with what it was known by.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, CACHE_CONTROL, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use tokio::time::Instant;

use super::document::Document;
use crate::TaskFailure;
use crate::builtin::authentication::Policy;
use crate::builtin::caller::{Caller, Exchange};
use crate::builtin::http::{Request, Wanted, endpoint_url, judge};
use crate::builtin::secrets::Redaction;
use crate::builtin::shelf::{self, Shelf};

/// Documents that are kept.
const COUNT_MAX: usize = 64;
/// Their texts in all, in bytes. As data a document takes several times that.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a document is used whose server does not say.
const FRESH_UNSAID: Duration = Duration::from_secs(60);
/// How long at most, whatever its server says.
const FRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// JSON is read faster.
const ACCEPTED: &str = "application/json, application/yaml;q=0.9, */*;q=0.8";

/// The documents that calls have needed.
#[derive(Debug)]
pub(in crate::builtin) struct Documents(Shelf<Slot>);

impl Default for Documents {
    fn default() -> Self {
        Self(Shelf::new(COUNT_MAX, BYTES_MAX))
    }
}

/// What is known of one document.
#[derive(Debug, Default)]
struct Slot {
    held: Option<Held>,
    failed: Option<(TaskFailure, Instant)>,
}

#[derive(Debug)]
struct Held {
    document: Arc<Document>,
    fresh_until: Instant,
    validators: Vec<(HeaderName, HeaderValue)>,
    /// In bytes of its text.
    weight: usize,
}

/// The document at an endpoint.
///
/// # Errors
/// When it cannot be had, or is none.
pub(super) async fn get(
    caller: &Caller,
    endpoint: &Value,
    authentication: Option<&Value>,
    redaction: &mut Redaction,
) -> Result<Arc<Document>, TaskFailure> {
    let asked = Instant::now();
    let url = endpoint_url(endpoint)?;
    let policy = caller.policy(authentication, redaction).await?;
    // What one may see with its credentials is not shown to those without.
    let credentials = policy.as_ref().map(Policy::key).unwrap_or_default();
    let shelf = &caller.documents().0;
    let key = shelf::key(&[url.as_str().as_bytes(), &credentials]);
    let slot = shelf.slot(key);
    let mut slot = slot.lock().await;
    if let Some(held) = slot.held.as_ref().filter(|it| Instant::now() < it.fresh_until) {
        return Ok(Arc::clone(&held.document));
    }
    // Who waited while another one asked in vain need not ask again.
    if let Some((failure, _)) = slot.failed.as_ref().filter(|it| it.1 > asked) {
        return Err(failure.clone());
    }
    match fetch(caller, url, policy.as_ref(), &mut slot.held, redaction).await {
        Ok(document) => {
            slot.failed = None;
            shelf.weigh(key, slot.held.as_ref().map_or(0, |it| it.weight));
            Ok(document)
        }
        Err(failure) => {
            let failure = redaction.failure(failure);
            slot.failed = Some((failure.clone(), Instant::now()));
            Err(failure)
        }
    }
}

/// Fetches a document, or finds that the one at hand still is the same.
async fn fetch(
    caller: &Caller,
    url: Url,
    policy: Option<&Policy>,
    held: &mut Option<Held>,
    redaction: &mut Redaction,
) -> Result<Arc<Document>, TaskFailure> {
    let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(ACCEPTED))]);
    headers.extend(held.iter().flat_map(|it| it.validators.iter().cloned()));
    let request = Request { method: Method::GET, url, headers, body: None };
    let bytes_max = caller.settings().document_bytes_max;
    let Exchange { request, response } = caller.exchange(request, policy, true, bytes_max, redaction).await?;
    let fresh = freshness(&response.headers);
    let fresh_until = Instant::now() + fresh.unwrap_or_default();
    if response.status == StatusCode::NOT_MODIFIED
        && let Some(held) = held
    {
        held.fresh_until = fresh_until;
        return Ok(Arc::clone(&held.document));
    }
    if response.status != StatusCode::OK {
        judge(&request, &response, Wanted::default(), redaction)?;
        // Another good status brings no document.
        let title = format!("{} answered {}, and no document", request.name(), response.status);
        return Err(TaskFailure::communication(title, 502, false));
    }
    let (url, body) = (request.url.clone(), response.body.clone());
    // Reading a large one takes a while, for which other calls need not wait.
    let read = tokio::task::spawn_blocking(move || Document::read(&body, url)).await;
    let document = match read {
        Ok(Ok(document)) => Arc::new(document),
        Ok(Err(problem)) => {
            return Err(TaskFailure::configuration(format!("{}: {problem}", request.name())));
        }
        Err(_) => return Err(TaskFailure::retriable("the document was not read: the worker ends")),
    };
    *held = fresh.map(|_| Held {
        document: Arc::clone(&document),
        fresh_until,
        validators: validators(&response.headers),
        weight: response.body.len(),
    });
    Ok(document)
}

/// What the server is asked with whether it still is the same.
fn validators(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)]
        .into_iter()
        .filter_map(|(theirs, ours)| Some((ours, headers.get(theirs)?.clone())))
        .collect()
}

/// How long it may be used without asking. None if it may not be kept at all.
fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let mut fresh = FRESH_UNSAID;
    let said = headers.get_all(CACHE_CONTROL).iter().filter_map(|it| it.to_str().ok());
    for directive in said.flat_map(|it| it.split(',')).map(|it| it.trim().to_ascii_lowercase()) {
        match directive.split_once('=').map(|(name, value)| (name, value.trim_matches('"'))) {
            None if directive == "no-store" => return None,
            None if directive == "no-cache" => return Some(Duration::ZERO),
            Some(("max-age", seconds)) => {
                fresh = seconds.parse().map_or(Duration::ZERO, Duration::from_secs).min(FRESH_MAX);
            }
            _ => {}
        }
    }
    Some(fresh)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_server_says_how_long_a_document_is_fresh() {
        for (said, seconds) in [
            ("", Some(60)),
            ("public, max-age=5", Some(5)),
            ("max-age=99999999", Some(86_400)),
            ("max-age=x", Some(0)),
            ("max-age=5, no-cache", Some(0)),
            ("max-age=5, no-store", None),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, said.parse().unwrap())]);
            assert_eq!(freshness(&headers), seconds.map(Duration::from_secs), "{said}");
        }
    }
}
