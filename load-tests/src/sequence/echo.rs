//! The worker: it answers what it is asked, and now and then answers twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_schemas::EventId;
use millrace_schemas::cloud_event::complete_event;
use millrace_worker::{Task, TaskFailure};
use serde_json::Value;

use crate::publish::Publisher;

/// One of so many answers is given twice.
const TWICE_ONE_OF: u64 = 5;

/// Shared by all tasks.
pub(crate) struct Echo {
    answers: Publisher,
    asked: AtomicU64,
    /// Answers that were given twice.
    pub(crate) twice: AtomicU64,
}

impl Echo {
    /// Its second answers go out through `answers`.
    pub(crate) fn new(answers: Publisher) -> Self {
        Self { answers, asked: AtomicU64::new(0), twice: AtomicU64::new(0) }
    }

    /// Answers with the arguments. The copy is an answer of its own to the same dispatch: whichever comes second must be refused.
    pub(crate) async fn answer(self: Arc<Self>, task: Task) -> Result<Value, TaskFailure> {
        let output = task.raw_arguments().clone();
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(TWICE_ONE_OF) {
            let twice = self.twice.fetch_add(1, Ordering::Relaxed);
            let id = EventId {
                source: "/load-tests/sequence/echo".to_owned(),
                id: format!("{}-{twice}", task.idempotency_key()),
            };
            let copy = complete_event(id, task.instance(), task.token(), output.clone());
            if let Err(error) = self.answers.send(&copy).await {
                eprintln!("echo: {error:#}");
            }
        }
        Ok(output)
    }
}
