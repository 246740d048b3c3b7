//! Looking at an instance by an expression. Reads only, and records nothing.

use std::borrow::Cow;

use millrace_schemas::instance::InstanceState;
use millrace_schemas::{InstanceId, Timestamp};
use millrace_workflow::expression::{ExpressionError, Template, Variables};
use millrace_workflow::program::Program;
use serde_json::Value;

use crate::variables;

/// An instance to look at, as it is committed.
#[derive(Clone, Copy, Debug)]
pub struct Looked<'l> {
    /// Its id.
    pub id: &'l InstanceId,
    /// Its state.
    pub state: &'l InstanceState,
    /// The version that it runs.
    pub program: &'l Program,
    /// What `now` is.
    pub at: Timestamp,
}

impl Looked<'_> {
    /// What `query` gives on `shown`, the instance as people are shown it. Its variables are `$context` and `$input`, which are null once
    /// the instance has ended, `$workflow` and `$runtime`; the others are null.
    ///
    /// # Errors
    /// When an expression fails, or takes more than one may take.
    pub fn ask(&self, query: &Template, shown: &Value) -> Result<Value, ExpressionError> {
        query.evaluate(shown, self)
    }
}

impl Variables for Looked<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        match name {
            "context" => Some(Cow::Borrowed(self.state.context.value())),
            "input" => Some(Cow::Borrowed(self.state.input.value())),
            "workflow" => Some(Cow::Owned(variables::workflow(
                self.id,
                self.program,
                Some(&self.state.raw_input),
                self.state.started_at,
            ))),
            "runtime" => Some(Cow::Owned(variables::runtime())),
            _ => None,
        }
    }

    fn at(&self) -> Timestamp {
        self.at
    }
}
