//! Which messages are consumed, and when it is enough.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_schemas::Timestamp;
use millrace_workflow::expression::{Expression, GLOBALS, Variables};
use serde_json::{Map, Value};

use super::arguments::Subscribe;
use crate::TaskFailure;

/// Most messages that one call consumes.
const MESSAGES_MAX: usize = 10_000;

/// A subscription, and what it has consumed.
#[derive(Debug)]
pub(super) struct Subscription {
    filter: Option<Expression>,
    amount: Option<usize>,
    continues: Option<Expression>,
    until: Option<Expression>,
    /// Messages are consumed for so long at most.
    pub(super) duration: Option<Duration>,
    given: Given,
    bytes_max: usize,
    bytes: usize,
    consumed: Vec<Value>,
}

impl Subscription {
    /// # Errors
    /// A permanent failure, when an expression is none.
    pub(super) fn new(subscribe: &Subscribe, bytes_max: usize) -> Result<Self, TaskFailure> {
        let locals = subscribe.variables.keys().filter(|it| !GLOBALS.contains(&it.as_str()));
        let locals: Vec<Arc<str>> = locals.map(|it| it.as_str().into()).collect();
        let compile = |text: &Option<String>| {
            let compiled = text.as_ref().map(|it| Expression::compile(it, &locals)).transpose();
            compiled.map_err(|it| TaskFailure::expression(it.to_string()))
        };
        Ok(Self {
            filter: compile(&subscribe.filter)?,
            amount: subscribe.consume.amount,
            continues: compile(&subscribe.consume.continues)?,
            until: compile(&subscribe.consume.until)?,
            duration: subscribe.consume.duration(),
            given: Given(subscribe.variables.clone()),
            bytes_max,
            bytes: 0,
            consumed: Vec::new(),
        })
    }

    /// Whether there is enough before any (other) message has come.
    ///
    /// # Errors
    /// When an expression fails.
    pub(super) fn is_enough(&self) -> Result<bool, TaskFailure> {
        if self.amount.is_some_and(|it| self.consumed.len() >= it) {
            return Ok(true);
        }
        self.until.as_ref().map_or(Ok(false), |it| self.holds(it, &self.so_far()))
    }

    /// Takes a message, if it is wanted; says whether there is enough then.
    ///
    /// # Errors
    /// When an expression fails, or when it is too much.
    pub(super) fn take(&mut self, message: Value, bytes: usize) -> Result<bool, TaskFailure> {
        if let Some(filter) = &self.filter
            && !self.holds(filter, &message)?
        {
            return Ok(false);
        }
        self.bytes += bytes;
        if self.bytes > self.bytes_max || self.consumed.len() >= MESSAGES_MAX {
            let title = format!(
                "more came than a call consumes, {} bytes in {MESSAGES_MAX} messages",
                self.bytes_max
            );
            return Err(TaskFailure::communication(title, 502, false));
        }
        self.consumed.push(message);
        if let Some(continues) = &self.continues
            && !self.holds(continues, &self.so_far())?
        {
            return Ok(true);
        }
        self.is_enough()
    }

    /// The task's output.
    pub(super) fn output(self) -> Value {
        Value::Array(self.consumed)
    }

    fn so_far(&self) -> Value {
        Value::Array(self.consumed.clone())
    }

    fn holds(&self, condition: &Expression, input: &Value) -> Result<bool, TaskFailure> {
        condition.is_true(input, &self.given).map_err(|it| TaskFailure::expression(it.to_string()))
    }
}

/// Values that came with the task.
#[derive(Debug)]
struct Given(Map<String, Value>);

impl Variables for Given {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.0.get(name).map(Cow::Borrowed)
    }

    fn at(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde::Deserialize as _;
    use serde_json::json;

    use super::*;

    /// What is consumed of the numbers from 1.
    fn consumed(subscribe: Value) -> Result<Value, TaskFailure> {
        let mut subscription = Subscription::new(&Subscribe::deserialize(&subscribe).unwrap(), 100)?;
        let mut is_enough = subscription.is_enough()?;
        for number in 1.. {
            if is_enough {
                break;
            }
            is_enough = subscription.take(json!({ "payload": number }), 10)?;
        }
        let output = subscription.output();
        Ok(output.as_array().unwrap().iter().map(|it| it["payload"].clone()).collect())
    }

    #[test]
    fn it_is_enough_when_the_definition_says_so() {
        for (subscribe, expected) in [
            (json!({ "consume": { "amount": 2 } }), json!([1, 2])),
            (json!({ "consume": { "amount": 0 } }), json!([])),
            (json!({ "filter": ".payload % 2 == 0", "consume": { "amount": 2 } }), json!([2, 4])),
            (json!({ "consume": { "while": "length < 3" } }), json!([1, 2, 3])),
            (json!({ "consume": { "until": ".[-1].payload == 2" } }), json!([1, 2])),
            (json!({ "consume": { "until": "true" } }), json!([])),
            (
                json!({
                    "filter": ".payload == $context.wanted or .payload == $item",
                    "consume": { "amount": 2 },
                    "variables": { "context": { "wanted": 3 }, "item": 5 },
                }),
                json!([3, 5]),
            ),
        ] {
            assert_eq!(consumed(subscribe).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_too_much_or_fails_is_a_failure() {
        let kind = |subscribe: Value| {
            let failure = consumed(subscribe).unwrap_err();
            (failure.error.error_type.rsplit('/').next().unwrap().to_owned(), failure.error.status)
        };
        assert_eq!(kind(json!({ "consume": { "amount": 11 } })), ("communication".to_owned(), 502));
        assert_eq!(kind(json!({ "consume": { "while": ".[" } })), ("expression".to_owned(), 400));
        assert_eq!(kind(json!({ "consume": { "while": "1" } })), ("expression".to_owned(), 400));
        assert_eq!(kind(json!({ "filter": ".payload.x", "consume": {} })), ("expression".to_owned(), 400));
    }
}
