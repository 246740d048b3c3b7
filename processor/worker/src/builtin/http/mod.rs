//! `call: http`. What to send and what an answer means is decided without I/O, in `request`, `redirect` and `response`.

pub(super) mod redirect;
mod request;
mod response;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::caller::Caller;
use super::secrets::Redaction;
use crate::{Handler, Task, TaskFailure};

pub(super) use request::{
    FORM, Output, Request, Wanted, check, endpoint_uri, endpoint_url, header_value, idempotency_header,
    idempotent, is_json, media_type,
};
pub(super) use response::{Response, error_status, is_deeper_than, judge, shortened, too_large};

use request::Arguments;

/// The function `http`.
#[derive(Clone, Debug)]
pub struct Http(Caller);

impl Http {
    /// The name of the function.
    pub const FUNCTION: &str = "http";

    /// With what all calls share.
    #[must_use]
    pub fn new(caller: &Caller) -> Self {
        Self(caller.clone())
    }

    async fn call(&self, task: &Task, redaction: &mut Redaction) -> Result<Value, TaskFailure> {
        let caller = &self.0;
        let arguments: Arguments = caller.arguments(task, redaction).await?;
        let policy = caller.policy(arguments.authentication.as_ref(), redaction).await?;
        let request = Request::new(&arguments, task.idempotency_key(), task.trace())?;
        let wanted = arguments.wanted();
        let bytes_max = caller.settings().response_bytes_max;
        let exchange =
            caller.exchange(request, policy.as_ref(), wanted.redirect, bytes_max, redaction).await?;
        judge(&exchange.request, &exchange.response, wanted, redaction)
    }
}

impl Handler for Http {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        self.0.run(&task, async |redaction| self.call(&task, redaction).await).await
    }
}
