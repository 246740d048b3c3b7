//! What runs a task.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::{Task, TaskFailure};

/// A function that workflows can call. Every `async fn(Task) -> Result<Value, TaskFailure>`, and every such closure, is one.
///
/// It runs on the tokio runtime beside many others: move work that blocks a thread to `tokio::task::spawn_blocking`. It may be
/// dropped at any `await`: at the task's deadline, and when the worker is stopped for good.
pub trait Handler: Send + Sync + 'static {
    /// Does the task; gives its output.
    fn handle(&self, task: Task) -> impl Future<Output = Result<Value, TaskFailure>> + Send;
}

impl<F, R> Handler for F
where
    F: Fn(Task) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Value, TaskFailure>> + Send,
{
    fn handle(&self, task: Task) -> impl Future<Output = Result<Value, TaskFailure>> + Send {
        self(task)
    }
}

/// A [`Handler`] whose type is forgotten, so that handlers of several functions stand in one table.
pub(crate) trait AnyHandler: Send + Sync {
    fn handle_boxed(&self, task: Task) -> BoxFuture<'_, Result<Value, TaskFailure>>;
}

impl<H: Handler> AnyHandler for H {
    fn handle_boxed(&self, task: Task) -> BoxFuture<'_, Result<Value, TaskFailure>> {
        self.handle(task).boxed()
    }
}
