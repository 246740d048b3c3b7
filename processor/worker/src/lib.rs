//! The worker SDK: functions that workflows call.
//!
//! A worker reads tasks from `<prefix>.commands.<queue>`, runs a [`Handler`] for each, and answers with a CloudEvent into
//! `<prefix>.events`. It knows the record contract and nothing of the engine; any Kafka client can do the same
//! (`examples/python/worker.py`).
//!
//! Delivery is at least once: a task is committed only after the broker has acknowledged its answer, so after a crash or a
//! rebalance a task may run again. [`Task::idempotency_key`] is the same then, and on every retry: make effects depend on it.
//!
//! Whatever a handler calls should be given [`Task::traceparent`] and [`Task::tracestate`]; the answer has them. With
//! [`WorkerBuilder::tracer`] each task has a span of its own, and these are its: [`traces::Tracer`] hands it, as data, to a
//! [`traces::Sink`] of yours.
//!
//! ```no_run
//! use millrace_worker::{Task, TaskFailure, Worker};
//! use serde_json::{Value, json};
//!
//! async fn charge(task: Task) -> Result<Value, TaskFailure> {
//!     let amount: u64 = task.argument("amount")?;
//!     if amount == 0 {
//!         return Err(TaskFailure::permanent("there is nothing to charge").with_status(400));
//!     }
//!     Ok(json!({ "charged": amount, "by": task.idempotency_key() }))
//! }
//!
//! # async fn run() -> Result<(), millrace_worker::WorkerError> {
//! let worker = Worker::builder("localhost:9092").queue("orders").function("charge-payment", charge).concurrency(64).build()?;
//! worker.run(async { let _ = tokio::signal::ctrl_c().await; }).await
//! # }
//! ```

mod answer;
mod builder;
pub mod builtin;
mod execute;
mod failure;
mod handler;
mod kafka;
mod lag;
mod metrics;
mod offsets;
mod router;
mod span;
mod status;
mod task;
mod worker;

pub use builder::WorkerBuilder;
pub use failure::TaskFailure;
pub use handler::Handler;
pub use metrics::{QueueMetrics, WorkerCounts, WorkerMetrics};
pub use millrace_traces as traces;
pub use status::WorkerStatus;
pub use task::Task;
pub use worker::{Worker, WorkerError};
