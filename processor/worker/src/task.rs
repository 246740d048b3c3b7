//! What a handler is given.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_schemas::event::SecretMarker;
use millrace_schemas::task::TaskCommand;
use millrace_schemas::trace::TraceContext;
use millrace_schemas::{InstanceId, Payload, TaskToken, Timestamp, WorkflowVersion};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::TaskFailure;

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Where a running task reports that it is still running.
pub(crate) trait Pulse: Send + Sync {
    /// Sends a heartbeat; does not wait for it to arrive.
    fn beat(&self, task: &Task);
}

/// W3C trace context: what something was caused by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) parent: Option<Arc<str>>,
    pub(crate) state: Option<Arc<str>>,
}

/// One delivery of one task. Cheap to clone.
#[derive(Clone)]
pub struct Task {
    command: Arc<TaskCommand>,
    trace: Trace,
    /// Partition and offset of its record.
    place: Option<(i32, i64)>,
    pulse: Option<Arc<dyn Pulse>>,
    /// The arguments before secrets were put in.
    unfilled: Option<Payload>,
}

impl Task {
    /// A task that came from nowhere, for tests of handlers. Its heartbeats go nowhere.
    #[must_use]
    pub fn detached(command: TaskCommand) -> Self {
        let (command, trace) = (Arc::new(command), Trace::default());
        Self { command, trace, place: None, pulse: None, unfilled: None }
    }

    pub(crate) fn new(command: TaskCommand, trace: Trace, pulse: Arc<dyn Pulse>) -> Self {
        Self { command: Arc::new(command), trace, place: None, pulse: Some(pulse), unfilled: None }
    }

    /// The same, read from this partition, at this offset.
    pub(crate) fn read_at(self, partition: i32, offset: i64) -> Self {
        Self { place: Some((partition, offset)), ..self }
    }

    pub(crate) fn place(&self) -> Option<(i32, i64)> {
        self.place
    }

    /// The same, as what this has caused.
    pub(crate) fn with_traceparent(mut self, context: &TraceContext) -> Self {
        self.trace.parent = Some(context.to_string().into());
        self
    }

    /// The same, with secrets in its arguments.
    pub(crate) fn with_arguments(mut self, arguments: Value) -> Self {
        let command = Arc::make_mut(&mut self.command);
        self.unfilled = Some(std::mem::replace(&mut command.arguments, arguments.into()));
        self
    }

    /// The arguments as they are in the record: without secrets.
    pub(crate) fn unfilled_arguments(&self) -> &Value {
        self.unfilled.as_ref().unwrap_or(&self.command.arguments).value()
    }

    /// The instance that waits for the answer.
    #[must_use]
    pub fn instance(&self) -> &InstanceId {
        &self.command.instance
    }

    /// The version of its workflow.
    #[must_use]
    pub fn workflow(&self) -> &WorkflowVersion {
        &self.command.workflow
    }

    /// JSON pointer of the task in the definition.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.command.task
    }

    /// What the answer is addressed to, within the instance.
    #[must_use]
    pub fn token(&self) -> TaskToken {
        self.command.token
    }

    /// The function to run.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.command.function
    }

    /// The arguments, as they are.
    #[must_use]
    pub fn raw_arguments(&self) -> &Value {
        self.command.arguments.value()
    }

    /// Texts in the arguments that stand for secrets. Whoever has the secrets puts them in; nobody else can.
    #[must_use]
    pub fn secrets(&self) -> &[SecretMarker] {
        &self.command.secrets
    }

    /// The arguments, as a type of yours.
    ///
    /// # Errors
    /// A permanent failure that says what does not fit: another try would bring the same arguments.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, TaskFailure> {
        T::deserialize(self.raw_arguments()).map_err(|error| {
            TaskFailure::validation(format!("the arguments of {} do not fit: {error}", self.function()))
        })
    }

    /// One argument by its name, as a type of yours. An absent one is read as `null`.
    ///
    /// # Errors
    /// As for [`Self::arguments`].
    pub fn argument<T: DeserializeOwned>(&self, name: &str) -> Result<T, TaskFailure> {
        T::deserialize(self.raw_arguments().get(name).unwrap_or(&Value::Null)).map_err(|error| {
            TaskFailure::validation(format!("argument {name:?} of {} does not fit: {error}", self.function()))
        })
    }

    /// Which attempt of a surrounding `try` this is; the first is 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.command.attempt.0
    }

    /// The same for every delivery and every attempt of this step of this instance, and for no other.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.command.idempotency_key
    }

    /// After this, nobody waits for the answer. The handler is cancelled then.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.command.deadline
    }

    /// The time until the deadline, by this machine's clock; zero when it is over, none when there is no deadline.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = self.command.deadline?;
        Some(deadline.since(now()))
    }

    /// How often a sign of life is wanted. The SDK sends one three times as often while the handler runs.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Option<Duration> {
        self.command.heartbeat_ms.map(Duration::from_millis)
    }

    /// W3C trace context of the task: that of its span, if the worker records spans, else that of its record. Give it to whatever is
    /// called for the task; answers have it.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.trace.parent.as_deref()
    }

    /// What goes with [`Self::traceparent`].
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.trace.state.as_deref()
    }

    /// Both, for those that pass them on.
    pub(crate) fn trace(&self) -> (Option<&str>, Option<&str>) {
        (self.traceparent(), self.tracestate())
    }

    /// Sends a sign of life now, beside those that the SDK sends on its own. Returns at once.
    pub fn heartbeat(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.beat(self);
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No arguments: they may hold what must not be logged.
        f.debug_struct("Task")
            .field("instance", &self.command.instance)
            .field("token", &self.command.token)
            .field("function", &self.command.function)
            .field("attempt", &self.command.attempt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use millrace_schemas::{Attempt, ExecutionId, Payload};
    use serde_json::json;

    use super::*;

    /// A task for `function`, with these arguments.
    pub(crate) fn command(function: &str, arguments: Value) -> TaskCommand {
        TaskCommand {
            instance: InstanceId::new("order-1").unwrap(),
            token: TaskToken { execution: ExecutionId(3), dispatch: 1 },
            workflow: "shop/order/1.0.0".parse().unwrap(),
            task: "/do/0/charge".into(),
            iteration: "".into(),
            attempt: Attempt::FIRST,
            idempotency_key: "order-1/do/0/charge".to_owned(),
            function: function.into(),
            arguments: Payload::from(arguments),
            deadline: None,
            heartbeat_ms: None,
            secrets: Vec::new(),
        }
    }

    /// Waits until `is_so`, and fails the test if it never is.
    pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "waited in vain: {what}");
    }

    #[test]
    fn arguments_that_do_not_fit_are_a_permanent_failure_that_says_why() {
        let task = Task::detached(command("charge", json!({ "amount": "ten" })));
        let failure = task.argument::<u64>("amount").unwrap_err();
        assert!(!failure.retriable);
        assert_eq!(
            failure.error.title.unwrap(),
            "argument \"amount\" of charge does not fit: invalid type: string \"ten\", expected u64"
        );
        assert_eq!(task.argument::<Option<u64>>("discount"), Ok(None));
    }

    #[test]
    fn the_arguments_stay_out_of_logs() {
        assert!(
            !format!("{:?}", Task::detached(command("charge", json!({ "card": "4242" })))).contains("4242")
        );
    }
}
