//! The span of a record that is sent to a topic.

use std::time::SystemTime;

use millrace_schemas::cloud_event::CloudEvent;
use millrace_schemas::trace::TraceContext;
use millrace_traces::{Kind, Span, Value};

use super::{Cause, Traces, requests};

/// A span that has begun.
#[derive(Debug)]
pub(crate) struct Sending {
    context: TraceContext,
    cause: Option<Cause>,
    started_at: SystemTime,
    instance: Option<String>,
}

impl Traces {
    /// The event as it is sent: caused by a span of its own, which is to be ended, or by whatever has caused that.
    pub(crate) fn send(&self, event: CloudEvent) -> (CloudEvent, Option<Sending>) {
        let of_event = Cause::read(|name| event.extension(name));
        let cause = of_event.or_else(requests::cause).or_else(|| self.cause.clone());
        let tracestate = cause.as_ref().and_then(|it| it.tracestate.clone());
        match self.tracer.begin(cause.as_ref().map(|it| it.context)) {
            Some(context) => {
                let instance = event.subject.clone();
                let event = event.with_trace(Some(&context.to_string()), tracestate.as_deref());
                (event, Some(Sending { context, cause, started_at: SystemTime::now(), instance }))
            }
            None => {
                let traceparent = cause.map(|it| it.context.to_string());
                (event.with_trace(traceparent.as_deref(), tracestate.as_deref()), None)
            }
        }
    }

    /// It was sent to there, or not at all.
    pub(crate) fn sent(&self, sending: Option<Sending>, topic: &str, place: Option<(i32, i64)>) {
        let Some(sending) = sending else { return };
        let context = sending.context;
        self.tracer.record(|| sending.into_span(topic, place), context);
    }
}

impl Sending {
    /// By the semantic conventions for messaging.
    fn into_span(self, topic: &str, place: Option<(i32, i64)>) -> Span {
        let mut attributes: Vec<(&'static str, Value)> = vec![
            ("messaging.system", "kafka".into()),
            ("messaging.operation.type", "send".into()),
            ("messaging.operation.name", "send".into()),
            ("messaging.destination.name", topic.to_owned().into()),
        ];
        attributes.extend(self.instance.map(|it| ("millrace.instance", it.into())));
        if let Some((partition, offset)) = place {
            attributes.push(("messaging.destination.partition.id", partition.to_string().into()));
            attributes.push(("messaging.kafka.offset", offset.into()));
        }
        let tracestate = self.cause.as_ref().and_then(|it| it.tracestate.clone());
        Span {
            context: self.context,
            tracestate,
            parent: self.cause.map(|it| it.context.span),
            link: None,
            kind: Kind::Producer,
            name: format!("send {topic}").into(),
            started_at: self.started_at,
            ended_at: SystemTime::now(),
            attributes,
            error: place.is_none().then(|| "the record was not sent".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::EventId;
    use millrace_schemas::trace::TRACEPARENT;

    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OWN: &str = "00-11111111111111111111111111111111-2222222222222222-00";

    fn event() -> CloudEvent {
        CloudEvent::new(EventId { source: "/test".to_owned(), id: "e-1".to_owned() }, "shop.paid")
    }

    fn sent(traces: &Traces, event: CloudEvent) -> Option<String> {
        let (event, sending) = traces.send(event);
        assert!(sending.is_none(), "nothing is recorded");
        event.extension(TRACEPARENT).map(str::to_owned)
    }

    #[test]
    fn without_a_collector_an_event_says_what_has_caused_it_all_the_same() {
        let called = Traces {
            cause: Cause::read(|name| (name == TRACEPARENT).then_some(CALLER)),
            ..Traces::default()
        };
        assert_eq!(sent(&called, event()).as_deref(), Some(CALLER));
        assert_eq!(sent(&called, event().with_trace(Some(OWN), None)).as_deref(), Some(OWN));
        assert_eq!(sent(&Traces::default(), event()), None);
    }
}
