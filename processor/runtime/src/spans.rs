//! Spans of the records that transactions take in. What such a record has caused carries the context of its span, which is known before
//! the commit; the span itself is recorded after it, with its outcome. So nothing of a transaction that was aborted is ever seen.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use millrace_partition::{Became, Config, Described, Processed, Source, Transaction};
use millrace_schemas::Timestamp;
use millrace_schemas::trace::TraceContext;
use millrace_traces::headers::Written;
use millrace_traces::{Kind, Span, Tracer, Value};

/// What transactions have to tell for a tracer.
pub(crate) fn described(tracer: &Tracer) -> Described {
    match tracer.sampler() {
        None => Described::Nothing,
        Some(sampler) if sampler.is_parent_based() => Described::Sampled,
        Some(_) => Described::Everything,
    }
}

/// Begins and ends the spans of a lane.
#[derive(Debug)]
pub(crate) struct Spans {
    tracer: Tracer,
    names: Names,
}

/// What there is one of, made once.
#[derive(Debug)]
struct Names {
    internal: Arc<str>,
    events: Arc<str>,
    dead_letters: String,
}

/// A span that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    context: TraceContext,
    processed: Processed,
}

impl Spans {
    pub(crate) fn new(tracer: Tracer, config: &Config) -> Self {
        let topics = &config.topics;
        let names = Names {
            internal: topics.internal().into(),
            events: topics.events().into(),
            dead_letters: topics.dead_letters(),
        };
        Self { tracer, names }
    }

    /// Begins a span for each record that the transaction tells of, and writes its context into what that has caused.
    pub(crate) fn begin(&self, transaction: &mut Transaction) -> Vec<Begun> {
        let Transaction { processed, records, .. } = transaction;
        let mut begun = Vec::with_capacity(processed.len());
        for processed in processed.drain(..) {
            let context = match (processed.context, processed.start) {
                (None, Some(start)) => self.tracer.begin_after(start),
                (cause, _) => self.tracer.begin(cause),
            };
            let Some(context) = context else { continue };
            let written = Written::new(context, processed.tracestate.as_deref());
            for record in &mut records[processed.caused.clone()] {
                // A dead letter is the record that it was, headers and all.
                if *record.topic != *self.names.dead_letters {
                    written.put(&mut record.headers);
                }
            }
            if context.is_sampled() {
                begun.push(Begun { context, processed });
            }
        }
        begun
    }

    /// Records them: their transaction is committed, or, if not `is_known`, nobody can tell.
    pub(crate) fn end(&self, begun: Vec<Begun>, is_known: bool) {
        if begun.is_empty() {
            return;
        }
        let ended_at = SystemTime::now();
        for Begun { context, processed } in begun {
            self.tracer.record(|| self.names.span(context, processed, ended_at, is_known), context);
        }
    }
}

impl Names {
    /// By the semantic conventions for messaging.
    fn span(
        &self,
        context: TraceContext,
        processed: Processed,
        ended_at: SystemTime,
        is_known: bool,
    ) -> Span {
        let (topic, partition) = match &processed.source {
            Source::Internal(partition) => (&self.internal, partition),
            Source::Events(partition) => (&self.events, partition),
            Source::Topic(topic, partition) => (topic, partition),
        };
        let mut attributes: Vec<(&'static str, Value)> = vec![
            ("messaging.system", "kafka".into()),
            ("messaging.operation.type", "process".into()),
            ("messaging.operation.name", "process".into()),
            ("messaging.destination.name", topic.into()),
            ("messaging.destination.partition.id", partition.to_string().into()),
            ("messaging.kafka.offset", processed.offset.0.into()),
            ("millrace.request", processed.request.into()),
        ];
        let mut put = |name, value: Option<Value>| attributes.extend(value.map(|it| (name, it)));
        put("millrace.instance", processed.key.map(|it| it.as_str().to_owned().into()));
        if let Some(version) = &processed.workflow {
            put("millrace.workflow", Some(version.workflow.to_string().into()));
            put("millrace.workflow.version", Some((&version.version).into()));
        }
        put("millrace.task", processed.task.as_ref().map(Value::from));
        let error = match processed.became {
            _ if !is_known => {
                put("millrace.outcome", Some("unknown".into()));
                Some("whether the transaction was committed is not known".into())
            }
            Became::Done => None,
            // An answer like any other.
            Became::Refused(reason) => {
                put("millrace.refused", Some(reason.into()));
                None
            }
            Became::DeadLetter(reason) => {
                put("error.type", Some(reason.into()));
                Some(format!("dead letter: {reason}").into())
            }
        };
        Span {
            context,
            tracestate: processed.tracestate,
            parent: processed.context.map(|it| it.span),
            link: processed.start.filter(|_| processed.context.is_none()),
            kind: Kind::Consumer,
            name: format!("process {topic}").into(),
            started_at: time(processed.started_at),
            ended_at,
            attributes,
            error,
        }
    }
}

fn time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use millrace_partition::{OutgoingRecord, TransactionId};
    use millrace_placement::Topics;
    use millrace_schemas::{InstanceId, Offset, trace};
    use millrace_traces::{Sampler, Sink};

    use super::*;

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Span>>);
    impl Sink for Kept {
        fn take(&self, span: Span) {
            self.0.lock().expect("no holder panics").push(span);
        }
    }

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn spans(sampler: &str) -> (Spans, Arc<Kept>) {
        let (kept, topics) = (Arc::new(Kept::default()), Topics::default());
        let names = Names {
            internal: topics.internal().into(),
            events: topics.events().into(),
            dead_letters: topics.dead_letters(),
        };
        let sampler = Sampler::named(sampler, None).expect("is one");
        let sink: Arc<dyn Sink> = Arc::<Kept>::clone(&kept);
        (Spans { tracer: Tracer::new(sampler, sink), names }, kept)
    }

    fn processed(context: Option<&str>, caused: std::ops::Range<usize>) -> Processed {
        Processed {
            source: Source::Events(3),
            offset: Offset(7),
            context: context.map(|it| TraceContext::parse(it).expect("is one")),
            tracestate: None,
            start: None,
            request: "start",
            key: Some(InstanceId::new("order-1").expect("is legal")),
            workflow: None,
            task: None,
            started_at: Timestamp(1_000),
            became: Became::Done,
            caused,
        }
    }

    fn transaction(processed: Vec<Processed>, topics: &[&str]) -> Transaction {
        let record = |topic: &&str| OutgoingRecord {
            topic: (*topic).into(),
            partition: None,
            key: None,
            headers: vec![("traceparent".to_owned(), Bytes::from_static(SAMPLED.as_bytes()))],
            value: None,
        };
        let records = topics.iter().map(record).collect();
        let (id, internal_offset) = (TransactionId(1), Offset(0));
        Transaction { id, changelog: Vec::new(), records, processed, internal_offset }
    }

    fn parent(transaction: &Transaction, number: usize) -> TraceContext {
        let headers = &transaction.records[number].headers;
        let text = |name: &str| std::str::from_utf8(&headers.iter().find(|it| it.0 == name)?.1).ok();
        trace::read(text).expect("is there").0
    }

    #[test]
    fn each_record_carries_the_span_of_what_has_caused_it() {
        let (spans, kept) = spans("parentbased_always_on");
        let taken = vec![processed(Some(SAMPLED), 0..1), processed(None, 1..2)];
        let topics = ["millrace.commands.default", "millrace.events", "millrace.internal"];
        let mut transaction = transaction(taken, &topics);
        let begun = spans.begin(&mut transaction);
        assert!(kept.0.lock().expect("no holder panics").is_empty(), "nothing is committed yet");
        spans.end(begun, true);
        let kept = kept.0.lock().expect("no holder panics");
        let cause = TraceContext::parse(SAMPLED).expect("is one");
        assert_eq!(parent(&transaction, 0), kept[0].context);
        assert_eq!((kept[0].context.trace, kept[0].parent), (cause.trace, Some(cause.span)));
        assert_eq!(parent(&transaction, 1), kept[1].context);
        assert!(kept[1].context.trace != cause.trace && kept[1].parent.is_none());
        // A timer that was proposed: nothing has caused it.
        assert_eq!(parent(&transaction, 2), cause);
        assert_eq!(
            (&*kept[0].name, kept[0].kind, &kept[0].error),
            ("process millrace.events", Kind::Consumer, &None)
        );
    }

    #[test]
    fn a_dead_letter_keeps_its_headers_and_its_span_says_why() {
        let (spans, kept) = spans("parentbased_always_on");
        let taken =
            Processed { became: Became::DeadLetter("unknown-type"), ..processed(Some(SAMPLED), 0..1) };
        let mut transaction = transaction(vec![taken], &["millrace.dead-letters"]);
        spans.end(spans.begin(&mut transaction), true);
        assert_eq!(parent(&transaction, 0).to_string(), SAMPLED);
        assert_eq!(
            kept.0.lock().expect("no holder panics")[0].error.as_deref(),
            Some("dead letter: unknown-type")
        );
    }

    #[test]
    fn what_is_not_recorded_says_so_to_what_it_causes() {
        let (spans, kept) = spans("parentbased_always_off");
        let follower = Processed { start: TraceContext::parse(UNSAMPLED), ..processed(None, 1..2) };
        let mut transaction = transaction(vec![processed(None, 0..1), follower], &["a", "b"]);
        spans.end(spans.begin(&mut transaction), true);
        assert!(kept.0.lock().expect("no holder panics").is_empty());
        assert!([0, 1].iter().all(|it| !parent(&transaction, *it).is_sampled()));
    }

    #[test]
    fn a_timer_begins_a_trace_that_is_linked_to_the_start_of_its_instance() {
        let (spans, kept) = spans("parentbased_always_on");
        let start = TraceContext::parse(SAMPLED).expect("is one");
        let fired = Processed { start: Some(start), ..processed(None, 0..1) };
        spans.end(spans.begin(&mut transaction(vec![fired], &["a"])), true);
        let kept = kept.0.lock().expect("no holder panics");
        assert_eq!((kept[0].link, kept[0].parent), (Some(start), None));
        assert_ne!(kept[0].context.trace, start.trace);
    }

    #[test]
    fn an_outcome_that_nobody_knows_does_not_look_committed() {
        let (spans, kept) = spans("parentbased_always_on");
        let begun = spans.begin(&mut transaction(vec![processed(None, 0..0)], &[]));
        spans.end(begun, false);
        assert!(kept.0.lock().expect("no holder panics")[0].error.is_some());
    }
}
