//! The span of a task: from when its handler begins until its answer is with the broker.

use std::borrow::Cow;
use std::time::SystemTime;

use millrace_schemas::trace::TraceContext;
use millrace_traces::{Kind, Span, Tracer, Value};

use crate::answer::Answer;
use crate::execute::Outcome;
use crate::{Task, TaskFailure};

/// Makes spans for the tasks of one queue.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    pub(crate) tracer: Tracer,
    /// The topic of the queue.
    pub(crate) topic: String,
    /// The consumer group.
    pub(crate) group: String,
}

/// One that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    context: TraceContext,
    cause: Option<TraceContext>,
    started_at: SystemTime,
}

impl Spans {
    /// The task as its handler gets it: whatever that calls, and the answer, are caused by its span.
    pub(crate) fn begin(&self, task: &Task) -> (Task, Option<Begun>) {
        let cause = task.traceparent().and_then(TraceContext::parse);
        match self.tracer.begin(cause) {
            Some(context) => {
                let begun = Begun { context, cause, started_at: SystemTime::now() };
                (task.clone().with_traceparent(&context), Some(begun))
            }
            None => (task.clone(), None),
        }
    }

    pub(crate) fn end(&self, begun: Option<Begun>, task: &Task, ended: &Ended) {
        if let Some(begun) = begun {
            let context = begun.context;
            self.tracer.record(|| self.span(begun, task, ended), context);
        }
    }

    /// By the semantic conventions for messaging.
    fn span(&self, begun: Begun, task: &Task, ended: &Ended) -> Span {
        let Begun { context, cause, started_at } = begun;
        let version = task.workflow();
        let mut attributes: Vec<(&'static str, Value)> = vec![
            ("messaging.system", "kafka".into()),
            ("messaging.operation.type", "process".into()),
            ("messaging.operation.name", "process".into()),
            ("messaging.destination.name", self.topic.clone().into()),
            ("messaging.consumer.group.name", self.group.clone().into()),
            ("millrace.instance", task.instance().as_str().to_owned().into()),
            ("millrace.workflow", version.workflow.to_string().into()),
            ("millrace.workflow.version", (&version.version).into()),
            ("millrace.task", task.reference().to_owned().into()),
            ("millrace.function", task.function().to_owned().into()),
            ("millrace.attempt", i64::from(task.attempt()).into()),
        ];
        if let Some((partition, offset)) = task.place() {
            attributes.push(("messaging.destination.partition.id", partition.to_string().into()));
            attributes.push(("messaging.kafka.offset", offset.into()));
        }
        let error = match ended {
            Ended::Well => None,
            Ended::Late => Some(Cow::Borrowed("the deadline is over")),
            // Its type alone: the rest may quote what was worked with.
            Ended::Failed { error_type } => {
                attributes.push(("error.type", error_type.clone().into()));
                Some(Cow::Owned(error_type.clone()))
            }
        };
        Span {
            context,
            tracestate: task.tracestate().map(str::to_owned),
            parent: cause.map(|it| it.span),
            link: None,
            kind: Kind::Consumer,
            name: format!("process {}", self.topic).into(),
            started_at,
            ended_at: SystemTime::now(),
            attributes,
            error,
        }
    }
}

/// How a task ended, as far as its span says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    Late,
    Failed { error_type: String },
}

impl Ended {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered(Answer::Failed(TaskFailure { error, .. })) => {
                Self::Failed { error_type: error.error_type.to_string() }
            }
            Outcome::Answered(Answer::Completed(_) | Answer::Heartbeat) => Self::Well,
            Outcome::Late => Self::Late,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use millrace_traces::{Sampler, Sink};
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::task::{Pulse, Trace, tests::command};

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Span>>);
    impl Sink for Kept {
        fn take(&self, span: Span) {
            self.0.lock().unwrap().push(span);
        }
    }

    struct Nowhere;
    impl Pulse for Nowhere {
        fn beat(&self, _: &Task) {}
    }

    fn spans() -> (Spans, Arc<Kept>) {
        let kept = Arc::new(Kept::default());
        let sink: Arc<dyn Sink> = Arc::<Kept>::clone(&kept);
        let tracer = Tracer::new(Sampler::default(), sink);
        (Spans { tracer, topic: "millrace.commands.orders".into(), group: "g".into() }, kept)
    }

    fn task(traceparent: Option<&str>) -> Task {
        let trace = Trace { parent: traceparent.map(Into::into), state: Some("congo=1".into()) };
        Task::new(command("charge", json!({})), trace, Arc::new(Nowhere))
    }

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn the_handler_and_the_answer_are_caused_by_the_span_of_the_task() {
        let (spans, kept) = spans();
        let (task, begun) = spans.begin(&task(Some(SAMPLED)));
        let failed = Outcome::Answered(Answer::Failed(
            TaskFailure::permanent("card 4242 was declined").with_status(402),
        ));
        spans.end(begun, &task, &Ended::of(&failed));
        let kept = kept.0.lock().unwrap();
        assert_eq!(task.traceparent(), Some(kept[0].context.to_string().as_str()));
        assert_eq!(task.tracestate(), Some("congo=1"));
        assert_eq!(kept[0].parent, TraceContext::parse(SAMPLED).map(|it| it.span));
        assert!(kept[0].error.is_some() && !format!("{:?}", kept[0]).contains("4242"));
    }

    #[test]
    fn what_is_not_recorded_goes_on_as_it_came() {
        let (spans, kept) = spans();
        for traceparent in [UNSAMPLED, "nonsense"] {
            let (task, begun) = spans.begin(&task(Some(traceparent)));
            spans.end(begun, &task, &Ended::of(&Outcome::Answered(Answer::Completed(Json::Null))));
            if traceparent == UNSAMPLED {
                assert_eq!(task.traceparent(), Some(UNSAMPLED));
            } else {
                assert!(TraceContext::parse(task.traceparent().unwrap()).unwrap().is_sampled());
            }
        }
        assert_eq!(kept.0.lock().unwrap().len(), 1, "one began a trace of its own");
        let off = Spans { tracer: Tracer::off(), ..spans };
        assert_eq!(off.begin(&task(Some(SAMPLED))).0.traceparent(), Some(SAMPLED));
    }
}
