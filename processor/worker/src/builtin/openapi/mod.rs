//! `call: openapi`: a call by HTTP, as a document describes it: Swagger 2.0, OpenAPI 3.0 or 3.1.
//!
//! Reading order: `document`, what is in one; `operation`, what an operation takes, of whatever version; `request`, from parameters
//! to a request, with `style` and `body`, how they are written. All of them are without I/O.

mod body;
mod document;
mod operation;
mod request;
mod style;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::caller::Caller;
use super::http::{Output, Wanted, judge};
use super::resources::{self, Resource};
use super::secrets::Redaction;
use crate::{Handler, Task, TaskFailure};

use document::Document;

/// `with` of `call: openapi`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
struct Arguments {
    document: Resource,
    operation_id: String,
    parameters: Option<Map<String, Value>>,
    authentication: Option<Value>,
    #[serde(default)]
    output: Output,
    #[serde(default)]
    redirect: bool,
}

/// The function `openapi`.
#[derive(Clone, Debug)]
pub struct OpenApi(Caller);

impl OpenApi {
    /// The name of the function.
    pub const FUNCTION: &str = "openapi";

    /// With what all calls share.
    #[must_use]
    pub fn new(caller: &Caller) -> Self {
        Self(caller.clone())
    }

    async fn call(&self, task: &Task, redaction: &mut Redaction) -> Result<Value, TaskFailure> {
        let caller = &self.0;
        let arguments: Arguments = caller.arguments(task, redaction).await?;
        let Arguments { document, operation_id, parameters, authentication, output, redirect } = arguments;
        let policy = caller.policy(authentication.as_ref(), redaction).await?;
        let document = resources::get::<Document>(caller, &document, redaction).await?;
        let operation = document.operation(&operation_id)?;
        let mut request = request::request(&operation, parameters.unwrap_or_default())?;
        super::http::idempotent(&mut request.headers, task.idempotency_key(), task.trace());
        let wanted = Wanted { output, redirect };
        let bytes_max = caller.settings().response_bytes_max;
        let exchange = caller.exchange(request, policy.as_ref(), redirect, bytes_max, redaction).await?;
        judge(&exchange.request, &exchange.response, wanted, redaction)
    }
}

impl Handler for OpenApi {
    async fn handle(&self, task: Task) -> Result<Value, TaskFailure> {
        self.0.run(&task, async |redaction| self.call(&task, redaction).await).await
    }
}
