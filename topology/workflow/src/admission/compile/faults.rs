//! `try` with its `catch` and `retry`, and `raise`.

use std::sync::Arc;

use serde_json::Value;

use super::{Compiler, Scope};
use crate::admission::errors::canonical_type;
use crate::expression::Template;
use crate::program::{Backoff, Catch, ErrorFilter, ErrorModel, Kind, Retry, TaskIndex, Try};

impl Compiler<'_, '_> {
    pub(super) fn try_(&mut self, task: &Value, scope: &Scope, index: TaskIndex) -> Kind {
        let body = self.block(task.get("try").unwrap_or(&Value::Null), &scope.below("try"), Some(index));
        let catch = task.get("catch").unwrap_or(&Value::Null);
        let here = scope.below("catch");
        let as_ = self.variable(catch, "as", "error", &here);
        let inner = here.with_locals([&as_]);
        let when = self.expression(catch, "when", &inner);
        let except_when = self.expression(catch, "exceptWhen", &inner);
        let retry = self.retry(catch, &inner);
        let handler = self.block(catch.get("do").unwrap_or(&Value::Null), &inner.below("do"), Some(index));
        let with = error_filter(catch.get("errors").and_then(|it| it.get("with")).unwrap_or(&Value::Null));
        Kind::Try(Try { body, catch: Box::new(Catch { with, as_, when, except_when, retry, body: handler }) })
    }

    fn retry(&mut self, catch: &Value, scope: &Scope) -> Option<Retry> {
        let pointer = scope.at("retry");
        let (policy, pointer) = match catch.get("retry")? {
            Value::String(name) => self.used("retries", name, &pointer)?,
            policy => (policy.clone(), pointer),
        };
        let scope = Scope { pointer, ..scope.clone() };
        let limit = policy.get("limit").unwrap_or(&Value::Null);
        let attempt = limit.get("attempt").unwrap_or(&Value::Null);
        let limit_scope = scope.below("limit");
        let count = attempt.get("count").and_then(Value::as_i64);
        let count_max = count.and_then(|it| u32::try_from(it).ok());
        if count.is_some() && count_max.is_none() {
            let message = "the number of retries must be from 0 to 4,294,967,295";
            self.report.error(
                &limit_scope.below("attempt").at("count"),
                message,
                "write how often to retry at most",
            );
        }
        let duration_max = self.duration(limit, "duration", &limit_scope);
        if count_max.is_none() && duration_max.is_none() && policy.get("when").is_none() {
            let message = "this retries for ever, as long as the error can be retried";
            self.report.warning(&scope.pointer, message, "set `limit.attempt.count` or `limit.duration`");
        }
        Some(Retry {
            when: self.expression(&policy, "when", &scope),
            except_when: self.expression(&policy, "exceptWhen", &scope),
            delay: self.duration(&policy, "delay", &scope),
            backoff: backoff(&policy),
            count_max,
            attempt_duration_max: self.duration(attempt, "duration", &limit_scope.below("attempt")),
            duration_max,
            jitter: self.jitter(&policy, &scope),
        })
    }

    fn jitter(
        &mut self,
        policy: &Value,
        scope: &Scope,
    ) -> Option<(crate::program::DurationSource, crate::program::DurationSource)> {
        let jitter = policy.get("jitter")?;
        let scope = scope.below("jitter");
        let (from, to) = (self.duration(jitter, "from", &scope), self.duration(jitter, "to", &scope));
        Some((from?, to?))
    }

    pub(super) fn raise(&mut self, task: &Value, scope: &Scope) -> Kind {
        let scope = scope.below("raise");
        let pointer = scope.at("error");
        let error = match task.get("raise").and_then(|it| it.get("error")) {
            Some(Value::String(name)) => self.used("errors", name, &pointer),
            Some(error) => Some((error.clone(), pointer)),
            None => None,
        };
        let template = match error {
            Some((error, pointer)) => self.template(&error, &Scope { pointer, ..scope }),
            None => Template::of_constant(Value::Null),
        };
        Kind::Raise { error: ErrorModel { template } }
    }

    /// The name of a variable that a task introduces.
    pub(super) fn variable(&mut self, holder: &Value, key: &str, default: &str, scope: &Scope) -> Arc<str> {
        let Some(name) = holder.get(key).and_then(Value::as_str) else { return default.into() };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            let message = format!("`{name}` cannot be the name of a variable");
            self.report.error(&scope.at(key), message, "use letters, digits and `_`, without `$`");
            return default.into();
        }
        if crate::expression::GLOBALS.contains(&name) {
            let message = format!("`${name}` is a variable of the language");
            self.report.error(&scope.at(key), message, "choose another name");
        }
        name.into()
    }
}

fn error_filter(with: &Value) -> ErrorFilter {
    let text = |key: &str| with.get(key).and_then(Value::as_str).map(str::to_owned);
    ErrorFilter {
        error_type: text("type").map(|it| canonical_type(&it)),
        status: with.get("status").and_then(Value::as_u64).map(|it| u16::try_from(it).unwrap_or(u16::MAX)),
        instance: text("instance"),
        title: text("title"),
        // The published schema calls it `details` in a filter and `detail` in an error.
        detail: text("detail").or_else(|| text("details")),
    }
}

fn backoff(policy: &Value) -> Backoff {
    let has = |key: &str| policy.get("backoff").is_some_and(|it| it.get(key).is_some());
    if has("exponential") {
        Backoff::Exponential
    } else if has("linear") {
        Backoff::Linear
    } else {
        Backoff::Constant
    }
}
