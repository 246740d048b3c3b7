//! What goes back to the instance.

use std::sync::atomic::{AtomicU64, Ordering};

use millrace_schemas::EventId;
use millrace_schemas::cloud_event::{CloudEvent, complete_event, fail_event, heartbeat_event};
use serde_json::Value;

use crate::{Task, TaskFailure};

/// What a worker says about a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// It is done.
    Completed(Value),
    /// It could not be done.
    Failed(TaskFailure),
    /// It is being done.
    Heartbeat,
}

/// Writes answers as CloudEvents, each with a name of its own.
#[derive(Debug)]
pub(crate) struct Letterhead {
    source: String,
    /// Tells apart the workers of one queue, and the runs of one worker.
    run: String,
    next: AtomicU64,
}

impl Letterhead {
    /// For a worker of `queue`; `run` is unique.
    pub(crate) fn new(queue: &str, run: &str) -> Self {
        Self { source: format!("/millrace/workers/{queue}"), run: run.to_owned(), next: AtomicU64::new(0) }
    }

    pub(crate) fn write(&self, task: &Task, answer: Answer) -> CloudEvent {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = EventId { source: self.source.clone(), id: format!("{}-{number}", self.run) };
        let (instance, token) = (task.instance(), task.token());
        let event = match answer {
            Answer::Completed(output) => complete_event(id, instance, token, output),
            Answer::Failed(failure) => fail_event(id, instance, token, &failure.error, failure.retriable),
            Answer::Heartbeat => heartbeat_event(id, instance, token),
        };
        event.with_trace(task.traceparent(), task.tracestate())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use millrace_schemas::Timestamp;
    use millrace_schemas::cloud_event::{InboxRecord, InboxRequest, read_inbox};
    use millrace_schemas::codec::Codec;
    use millrace_schemas::command::{AddressedCommand, Command};
    use serde_json::json;

    use super::*;
    use crate::task::{Pulse, Trace, tests::command};

    struct Nowhere;
    impl Pulse for Nowhere {
        fn beat(&self, _: &Task) {}
    }

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// What the processor makes of an answer.
    fn read(answer: Answer) -> AddressedCommand {
        let trace = Trace { parent: Some(TRACE.into()), state: None };
        let task = Task::new(command("charge", json!({})), trace, Arc::new(Nowhere));
        let record = Letterhead::new("orders", "run").write(&task, answer).to_binary();
        let inbox = InboxRecord {
            key: record.key.as_deref(),
            headers: &record.headers,
            value: record.value.as_deref(),
            timestamp: Timestamp(0),
        };
        match read_inbox(&inbox, &Codec::single_object()).unwrap() {
            InboxRequest::Instance(command) => command,
            other => panic!("an answer is for an instance: {other:?}"),
        }
    }

    #[test]
    fn the_processor_understands_the_answers_and_keeps_the_trace() {
        let completed = read(Answer::Completed(json!({ "charged": 5 })));
        assert_eq!(completed.instance.as_str(), "order-1");
        assert_eq!(completed.traceparent.as_deref(), Some(TRACE));
        assert_eq!(completed.cause.to_string(), "/millrace/workers/orders run-0");
        let Command::CompleteTask { token, output } = completed.command else { panic!("{completed:?}") };
        assert_eq!((token.to_string().as_str(), output.value()), ("3.1", &json!({ "charged": 5 })));

        let failure = TaskFailure::permanent("declined").with_status(402).with_detail("no funds");
        let Command::FailTask { error, retriable, .. } = read(Answer::Failed(failure.clone())).command else {
            panic!()
        };
        assert_eq!((error, retriable), (failure.error, false));

        assert!(matches!(read(Answer::Heartbeat).command, Command::RecordHeartbeat { .. }));
    }

    #[test]
    fn every_answer_has_a_name_of_its_own() {
        let letterhead = Letterhead::new("orders", "run");
        let task = Task::detached(command("charge", json!({})));
        let [first, second] = [0, 1].map(|_| letterhead.write(&task, Answer::Heartbeat).event_id);
        assert_ne!(first, second);
    }
}
