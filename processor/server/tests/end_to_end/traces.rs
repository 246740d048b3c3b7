//! Traces: what a collector gets to see of a workflow, from whoever starts it through processor and worker to its end. The collector is
//! the test, and speaks OTLP.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use millrace_placement::{home, key_group};
use millrace_schemas::cloud_event::start_event;
use millrace_schemas::trace::TraceContext;
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use serde_json::json;

use crate::support::collector::{Collector, Seen, Service};
use crate::support::{Fleet, millrace};

const PARTITIONS: u32 = 4;
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Asks the service, and ends.
fn definition(service: &Service) -> String {
    format!(
        "\
document: {{dsl: '1.0.3', namespace: demo, name: traced, version: '1.0.0'}}
do:
  - ask: {{call: http, with: {{method: get, endpoint: '{}'}}}}
  - done: {{set: {{asked: true}}}}
",
        service.url()
    )
}

/// Everything in one process, and what it does told to `otlp`.
fn dev(definition: &str, otlp: &str, arguments: &[&str]) -> Fleet {
    Fleet::in_dev(PARTITIONS, &[definition], &[&["--otlp", otlp], arguments].concat())
}

fn start(id: &str) -> millrace_schemas::cloud_event::CloudEvent {
    let workflow = WorkflowName { namespace: "demo".into(), name: "traced".into() };
    let event = EventId { source: "/test".to_owned(), id: id.to_owned() };
    start_event(event, &InstanceId::new(id).unwrap(), &workflow, None, json!({}))
}

/// A span by what it has processed.
fn of<'a>(spans: &'a [Seen], request: &str) -> &'a Seen {
    let found: Vec<_> = spans.iter().filter(|it| it.attribute("millrace.request") == request).collect();
    assert_eq!(found.len(), 1, "{request} in {spans:#?}");
    found[0]
}

fn named<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    spans.iter().find(|it| it.name == name).unwrap_or_else(|| panic!("{name} in {spans:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_by_the_command_line_is_one_trace_to_its_end() {
    let (collector, service) = (Collector::start().await, Service::start().await);
    let mut fleet = dev(&definition(&service), &collector.url(), &[]);
    fleet.run(&["--otlp", &collector.url(), "start", "demo/traced", "--id", "t-1", "--wait"]).succeeds();
    // Send, start, task, answer.
    let spans = collector.until(4).await;
    let sent = named(&spans, "send millrace.events");
    let started = of(&spans, "start");
    let task = named(&spans, "process millrace.commands.builtin");
    let completed = of(&spans, "complete_task");
    assert!(spans.iter().all(|it| it.trace == sent.trace), "{spans:#?}");
    assert_eq!((&sent.parent, sent.kind.as_str()), (&None, "producer"));
    assert_eq!((&started.parent, started.kind.as_str()), (&Some(sent.id.clone()), "consumer"));
    assert_eq!(task.parent.as_ref(), Some(&started.id));
    assert_eq!(completed.parent.as_ref(), Some(&task.id));
    // The service that was called is part of it.
    let called = TraceContext::parse(&service.traceparents()[0]).unwrap();
    assert_eq!((called.trace.to_string(), called.span.to_string()), (sent.trace.clone(), task.id.clone()));
    let services: Vec<_> = spans.iter().map(|it| it.service.as_str()).collect();
    assert_eq!(services.iter().filter(|it| **it == "millrace").count(), 1, "{services:?}");
    assert_eq!(services.iter().filter(|it| **it == "millrace-dev").count(), 3, "{services:?}");
    for (name, value) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", "millrace.events"),
        ("millrace.instance", "t-1"),
        ("millrace.workflow", "demo/traced"),
        ("millrace.workflow.version", "1.0.0"),
        ("millrace.task", "/do/0/ask"),
    ] {
        assert_eq!(completed.attribute(name), value, "{name}");
    }
    assert_eq!(started.attribute("messaging.kafka.offset"), sent.attribute("messaging.kafka.offset"));
    assert_eq!(task.attribute("millrace.function"), "http");
    assert!(!spans.iter().any(|it| it.is_error), "{spans:#?}");
    fleet
        .until("they are counted", async || fleet.metric("millrace_spans_exported_total").await >= 3.0)
        .await;
    assert_eq!(fleet.stop_processor(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_arrives_elsewhere_is_followed_to_where_it_belongs() {
    let (collector, service) = (Collector::start().await, Service::start().await);
    let mut fleet = dev(&definition(&service), &collector.url(), &[]);
    let elsewhere = (home(key_group(b"t-2"), PARTITIONS).0 + 1) % PARTITIONS;
    let event = start("t-2").to_structured();
    let headers = [("traceparent".to_owned(), SAMPLED.into()), ("tracestate".to_owned(), "congo=1".into())];
    fleet
        .kafka
        .produce_at("events", i32::try_from(elsewhere).unwrap(), b"t-2", &headers, &event.value.unwrap())
        .await;
    // Forward, start, task, answer.
    let spans = collector.until(4).await;
    let (forwarded, started) = (of(&spans, "forward"), of(&spans, "start"));
    let (task, completed) = (named(&spans, "process millrace.commands.builtin"), of(&spans, "complete_task"));
    let cause = TraceContext::parse(SAMPLED).unwrap();
    assert!(spans.iter().all(|it| it.trace == cause.trace.to_string()), "{spans:#?}");
    assert_eq!(forwarded.parent, Some(cause.span.to_string()));
    assert_eq!(forwarded.attribute("messaging.destination.partition.id"), elsewhere.to_string());
    assert_eq!(started.parent.as_ref(), Some(&forwarded.id));
    assert_eq!(started.name, "process millrace.internal");
    assert_eq!(task.parent.as_ref(), Some(&started.id));
    assert_eq!(completed.parent.as_ref(), Some(&task.id));
    assert!(spans.iter().all(|it| it.state == "congo=1"), "{spans:#?}");
    assert_eq!(fleet.stop_processor(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_the_api_is_the_cause_of_what_it_sends() {
    let (collector, service) = (Collector::start().await, Service::start().await);
    let mut fleet = dev(&definition(&service), &collector.url(), &[]);
    let request = reqwest::Client::new().post(format!("{}/v1/instances", fleet.url()));
    let body = json!({ "workflow": "demo/traced", "id": "t-3" });
    let response = request.header("traceparent", SAMPLED).json(&body).send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    // Request, send, start, task, answer.
    let spans = collector.until(5).await;
    let (request, sent) = (named(&spans, "POST /v1/instances"), named(&spans, "send millrace.events"));
    let cause = TraceContext::parse(SAMPLED).unwrap();
    assert_eq!((&request.parent, request.kind.as_str()), (&Some(cause.span.to_string()), "server"));
    assert_eq!(sent.parent.as_ref(), Some(&request.id));
    assert_eq!(of(&spans, "start").parent.as_ref(), Some(&sent.id));
    assert!(spans.iter().all(|it| it.trace == cause.trace.to_string()), "{spans:#?}");
    assert_eq!(fleet.stop_processor(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sampled_out_stays_so_to_the_end() {
    let (collector, service) = (Collector::start().await, Service::start().await);
    let mut fleet = dev(&definition(&service), &collector.url(), &[]);
    let event = start("t-4").to_structured();
    let headers = [("traceparent".to_owned(), UNSAMPLED.into())];
    fleet.kafka.produce("events", b"t-4", &headers, &event.value.unwrap()).await;
    fleet.until_status("t-4", "completed").await;
    assert_eq!(service.traceparents(), [UNSAMPLED]);
    assert_eq!(fleet.stop_processor(), Some(0));
    // Whoever has looked how it is has begun traces by that.
    let others = collector.spans().iter().all(|it| it.kind == "server");
    assert!(others, "{:#?}", collector.spans());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_sampler_off_nothing_is_recorded_and_everybody_hears_so() {
    let (collector, service) = (Collector::start().await, Service::start().await);
    let mut fleet = dev(&definition(&service), &collector.url(), &["--traces-sampler", "always_off"]);
    fleet.run(&["start", "demo/traced", "--id", "t-5", "--wait"]).succeeds();
    assert!(!TraceContext::parse(&service.traceparents()[0]).unwrap().is_sampled());
    assert_eq!(fleet.stop_processor(), Some(0));
    assert!(collector.spans().is_empty(), "{:#?}", collector.spans());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_a_context_is_passed_on_as_it_came_and_a_malformed_one_is_nobodys_trouble() {
    let service = Service::start().await;
    let mut fleet = Fleet::in_dev(PARTITIONS, &[&definition(&service)], &[]);
    for (id, traceparent) in [("t-6", SAMPLED), ("t-7", "00-nonsense-01")] {
        let event = start(id).to_structured();
        let headers =
            [("traceparent".to_owned(), traceparent.into()), ("tracestate".to_owned(), "congo=1".into())];
        fleet.kafka.produce("events", id.as_bytes(), &headers, &event.value.unwrap()).await;
        fleet.until_status(id, "completed").await;
    }
    assert_eq!(service.requests(), [(Some(SAMPLED.to_owned()), Some("congo=1".to_owned())), (None, None)]);
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// Neither one that is not there, nor one that takes connections and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_changes_nothing_but_a_counter() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let (is_silent, is_closed) = (silent.local_addr().unwrap(), closed.local_addr().unwrap());
    drop(closed);
    for (address, series) in
        [(is_closed, Some("millrace_spans_dropped_total{reason=\"export_failed\"}")), (is_silent, None)]
    {
        let (service, otlp) = (Service::start().await, format!("http://{address}"));
        let mut fleet = dev(&definition(&service), &otlp, &[]);
        for number in 0..20 {
            let id = format!("t-{number}");
            fleet.run(&["start", "demo/traced", "--id", &id, "--wait"]).succeeds();
        }
        if let Some(series) = series {
            fleet.until("they are counted", async || fleet.metric(series).await > 0.0).await;
            assert_eq!(fleet.log().matches("spans are dropped").count(), 1, "{}", fleet.log());
        }
        let stopping = Instant::now();
        assert_eq!(fleet.stop_processor(), Some(0));
        assert!(stopping.elapsed() < Duration::from_secs(20), "{:?}", stopping.elapsed());
    }
}

#[test]
fn what_cannot_be_a_collector_is_refused_with_what_could() {
    let refused = |arguments: &[&str]| {
        let ran = crate::support::Ran::of(millrace(arguments));
        ran.ends_with(2);
        ran.stderr()
    };
    let told = refused(&["--otlp", "collector:4317", "describe", "none.yaml"]);
    assert!(told.contains("http://localhost:4318"), "{told}");
    let told = refused(&["--otlp", "http://c", "--traces-sampler", "xray", "describe", "none.yaml"]);
    assert!(told.contains("parentbased_traceidratio"), "{told}");
}
