//! The HTTP API of a processor, as the command line asks it.

use std::time::Duration;

use reqwest::Url;
use serde::de::DeserializeOwned;

use super::Bearer;
use crate::config::Global;
use crate::exit::{Exit, Failure};
use crate::http::{ApiError, ErrorBody, code};

/// One processor. It answers for the whole fleet.
#[derive(Debug)]
pub(crate) struct ApiClient {
    url: Url,
    client: reqwest::Client,
    token: Option<Bearer>,
}

impl ApiClient {
    /// The one that the options name.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        // Longer than a processor takes to ask another one.
        const TIMEOUT: Duration = Duration::from_secs(20);
        let wrong = || {
            Failure::refused(format!("--api {} is no address", global.api), "write it as http://HOST:PORT")
        };
        let url = Url::parse(&global.api).map_err(|error| wrong().because(error))?;
        if url.cannot_be_a_base() {
            return Err(wrong().into());
        }
        Ok(Self { url, client: super::http(global, TIMEOUT)?, token: super::api_token(global)? })
    }

    /// What the API has at `path`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> anyhow::Result<T> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.get(url);
        if let Some(Bearer(token)) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| {
            let fix =
                "say where a processor or `millrace dev` is with --api, or where the store is with --cql";
            Failure::new(format!("no processor answers at {}", self.url), fix).because(error)
        })?;
        let status = response.status();
        let foreign = |what: String| Failure::new(what, "check --api: something else listens there");
        if status.is_success() {
            let read = response.json().await;
            return read.map_err(|error| {
                foreign(format!("{} answered what no processor does", self.url)).because(error).into()
            });
        }
        match response.json::<ErrorBody>().await {
            Ok(ErrorBody { error }) => Err(refusal(self.url.as_str(), error).into()),
            Err(_) => Err(foreign(format!("{} answered {status}, which no processor does", self.url)).into()),
        }
    }
}

/// What the processor at `url` has said instead of an answer.
pub(crate) fn refusal(url: &str, error: ApiError) -> Failure {
    let fix = match error.code.as_str() {
        code::NOT_FOUND => "check the id; what has just started is seen a moment later",
        code::NO_ANSWER | code::NOT_OWNER => "wait until the partition has an owner; see: millrace doctor",
        code::INVALID => "check the arguments",
        code::EXPRESSION => "check the expression against what `millrace get ID --output json` shows",
        code::NO_SUCH_QUERY => "check the name; queries are in metadata.millrace.queries of the definition",
        code::NOT_DEPLOYED => "deploy that version: millrace deploy FILE",
        code::UNAUTHENTICATED => "give a token: --api-token-file FILE, or MILLRACE_API_TOKEN",
        code::FORBIDDEN => "use a token of another role",
        code::NO_SUCH_PATH => "check --api: that processor is of another release",
        _ => "see the log of that processor",
    };
    let exit = if error.code == code::NOT_FOUND { Exit::NotFound } else { Exit::Failure };
    let what = match error.code.as_str() {
        code::NOT_FOUND | code::NO_SUCH_QUERY | code::NOT_DEPLOYED | code::EXPRESSION => error.message,
        _ => format!("{url}: {}", error.message),
    };
    Failure { exit, ..Failure::new(what, fix) }
}
