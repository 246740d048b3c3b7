//! `call: asyncapi`: publishes a message, or consumes some, as an AsyncAPI document (2.x or 3.0) describes it.
//!
//! Reading order: `arguments`; `document`, from which follow server and channel; `subscription`, which messages are consumed, and when
//! it is enough, without I/O; `kafka` and `http`, where messages really go.

mod arguments;
mod document;
mod http;
mod kafka;
mod subscription;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;

use super::client::connections;
use super::resources::Resources;
use super::targets::Targets;
use crate::worker::WorkerError;
use crate::{Handler, Task, TaskFailure};

use arguments::Arguments;
use document::{Document, Protocol};
use subscription::Subscription;

/// Longest time of a call whose task has a later deadline: a place in the worker is not held for ever.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);
/// Beside the time that a subscription consumes for, so much is left to get there.
const TIMEOUT_SLACK: Duration = Duration::from_secs(30);

/// How calls are made.
#[derive(Clone, Debug)]
pub struct AsyncApiSettings {
    /// Where they may go.
    pub targets: Targets,
    /// Largest message that is published, and most bytes that are consumed by one call.
    pub bytes_max: usize,
    /// Longest time of a call whose task has no timeout.
    pub timeout: Duration,
    /// Topics that begin so are Millrace's own: no definition publishes there.
    pub own_topics: String,
}

/// The function `asyncapi`.
#[derive(Debug)]
pub struct AsyncApi {
    settings: AsyncApiSettings,
    resources: Resources,
    http: reqwest::Client,
}

impl AsyncApi {
    /// The name of the function.
    pub const FUNCTION: &str = "asyncapi";

    /// Calls that the documents among `resources` describe.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(settings: AsyncApiSettings, resources: &Resources) -> Result<Self, WorkerError> {
        let http = connections(settings.targets, reqwest::ClientBuilder::http1_only)?;
        Ok(Self { settings, resources: resources.clone(), http })
    }

    async fn call(&self, task: &Task, arguments: &Arguments, limit: Duration) -> Result<Value, TaskFailure> {
        let document = Document::read(&self.resources.get(&arguments.document).await?)?;
        let place = document.place(arguments)?;
        match (&arguments.message, &arguments.subscription) {
            (Some(message), None) => match place.protocol {
                Protocol::Kafka => kafka::publish(&self.settings, &place, message, task, limit).await,
                Protocol::Http => http::publish(&self.http, &self.settings, &place, message, task).await,
            },
            (None, Some(subscription)) => {
                let subscription = Subscription::new(subscription, self.settings.bytes_max)?;
                match place.protocol {
                    Protocol::Kafka => kafka::consume(&self.settings, &place, subscription, task).await,
                    Protocol::Http => Err(TaskFailure::configuration(
                        "messages can be published by HTTP, and not consumed".to_owned(),
                    )),
                }
            }
            _ => Err(TaskFailure::validation(
                "a call has either a `message` to publish or a `subscription`".to_owned(),
            )),
        }
    }
}

impl Handler for AsyncApi {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        let arguments: Arguments = task.arguments()?;
        let consumes = arguments.subscription.as_ref().and_then(|it| it.consume.duration());
        if consumes.is_some_and(|it| it > TIMEOUT_MAX) {
            return Err(TaskFailure::validation(format!(
                "a subscription consumes for {TIMEOUT_MAX:?} at most"
            )));
        }
        let usual = consumes.map_or(self.settings.timeout, |it| it + TIMEOUT_SLACK);
        let limit = task.time_left().map_or(usual, |it| it.min(TIMEOUT_MAX));
        tokio::time::timeout(limit, self.call(&task, &arguments, limit)).await.unwrap_or_else(|_| {
            let what = if arguments.message.is_some() {
                "the message was not published"
            } else {
                "the messages did not come"
            };
            Err(TaskFailure::timeout(format!("{what} within {limit:?}")))
        })
    }
}
