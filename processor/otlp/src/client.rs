//! The HTTP client that spans are sent by.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// Remembers why a request got no answer: whoever asks for the export is only told that it did not.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    client: reqwest::Client,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Client {
    pub(crate) fn new(timeout: Duration) -> reqwest::Result<Self> {
        // A collector has no business to send us elsewhere.
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, trouble: Arc::default() })
    }

    /// Why the last request got no answer, if it got none.
    pub(crate) fn take_trouble(&self) -> Option<String> {
        self.trouble.lock().expect("no holder panics").take()
    }

    async fn send(&self, request: Request<Bytes>) -> reqwest::Result<(reqwest::StatusCode, Bytes)> {
        // The address may have a password in it.
        let response = self.client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
        Ok((response.status(), response.bytes().await.map_err(reqwest::Error::without_url)?))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.send(request).await {
            Ok((status, body)) => Ok(Response::builder().status(status).body(body)?),
            Err(error) => {
                *self.trouble.lock().expect("no holder panics") = Some(chain(&error));
                Err(error.into())
            }
        }
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |it| it.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
