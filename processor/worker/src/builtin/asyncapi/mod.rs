//! `call: asyncapi`: publishes a message, or consumes some, as an AsyncAPI document (2.x or 3.0) describes it.
//!
//! Reading order: `arguments`; `document`, from which follow server and channel; `subscription`, which messages are consumed, and when
//! it is enough, without I/O; `kafka`, with `brokers`, and `http`, where messages really go.

mod arguments;
mod brokers;
mod document;
mod http;
mod kafka;
mod subscription;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;

use super::caller::Caller;
use super::resources;
use super::secrets::Redaction;
use crate::{Handler, Task, TaskFailure};

use arguments::Arguments;
use brokers::Topic;
use document::{Document, Protocol};
use subscription::Subscription;

/// Longest time of a call whose task has a later deadline: a place in the worker is not held for ever.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);
/// Beside the time that a subscription consumes for, so much is left to get there.
const TIMEOUT_SLACK: Duration = Duration::from_secs(30);

/// The function `asyncapi`.
#[derive(Debug)]
pub struct AsyncApi {
    caller: Caller,
    own_topics: String,
}

impl AsyncApi {
    /// The name of the function.
    pub const FUNCTION: &str = "asyncapi";

    /// With what all calls share. Messages that are published, and all that a call consumes, are as large as answers may be. Topics
    /// that begin with `own_topics` are Millrace's own: no definition publishes there.
    #[must_use]
    pub fn new(caller: &Caller, own_topics: impl Into<String>) -> Self {
        Self { caller: caller.clone(), own_topics: own_topics.into() }
    }

    async fn call(
        &self,
        task: &Task,
        arguments: &Arguments,
        limit: Duration,
        redaction: &mut Redaction,
    ) -> Result<Value, TaskFailure> {
        let caller = &self.caller;
        let policy = caller.policy(arguments.authentication.as_ref(), redaction).await?;
        let document = resources::get::<Document>(caller, &arguments.document, redaction).await?;
        let place = document.place(arguments)?;
        let policy = policy.as_ref();
        let targets = caller.settings().targets;
        let bytes_max = caller.settings().response_bytes_max;
        match (&arguments.message, &arguments.subscription) {
            (Some(message), None) => match place.protocol {
                Protocol::Kafka => {
                    let topic = Topic::new(&place, targets, policy)?;
                    topic.check_foreign(&self.own_topics)?;
                    kafka::publish(&topic, message, task, limit, bytes_max).await
                }
                Protocol::Http => http::publish(caller, &place, message, policy, task, redaction).await,
            },
            (None, Some(subscription)) => {
                let subscription = Subscription::new(subscription, bytes_max)?;
                match place.protocol {
                    Protocol::Kafka => {
                        kafka::consume(&Topic::new(&place, targets, policy)?, subscription, task).await
                    }
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
        let usual = consumes.map_or_else(|| self.caller.settings().timeout, |it| it + TIMEOUT_SLACK);
        let limit = task.time_left().map_or(usual, |it| it.min(TIMEOUT_MAX));
        let mut redaction = Redaction::default();
        let call = self.call(&task, &arguments, limit, &mut redaction);
        let called = tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            let what = if arguments.message.is_some() {
                "the message was not published"
            } else {
                "the messages did not come"
            };
            Err(TaskFailure::timeout(format!("{what} within {limit:?}")))
        });
        called.map_err(|it| redaction.failure(it))
    }
}
